"""Whether new sounds are like real ones: distances, categories, copies and diversity."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from drumjax.data.folder import take
from drumjax.data.source import Source
from drumjax.errors import DataError
from drumjax.evals.accuracy import accuracy_ratio, ratio_interval, recognition
from drumjax.evals.classifier import Classifier
from drumjax.evals.distribution import (
    bandwidth,
    copies,
    fad_infinity,
    kad_interval,
    nearer,
    prdc,
    vendi,
)
from drumjax.evals.embedding import Embedding
from drumjax.evals.reconstruction import CHUNK, original
from drumjax.evals.statistics import Interval, wilson
from drumjax.evals.subject import Subject
from drumjax.evals.tables import FEWEST
from drumjax.training.sweep import first_of_each

NOISE = -40.0  # dB of full scale, which every peak is: what spoils the training sounds as a test
_LEAST = 10  # held-out sounds of a category for a distance of its own
_CHAINED = 128  # training sounds that are sent through the chain, to see whether copies are told
_WITH_FAD = ("training", "generated")  # the others' FAD says nothing that their KAD does not

SETS = {
    "training": "real training sounds: the floor",
    "noisy": f"the same with noise at {NOISE:.0f} dB: must score worse",
    "reconstructed": "the held-out sounds themselves, through the whole chain: paired with them",
    "generated": "new sounds",
}


class Made(NamedTuple):
    """New sounds, `count` of each category."""

    sound: np.ndarray  # float32 [n, samples]
    category: np.ndarray  # int32 [n]
    codes: np.ndarray  # float32 [n, d]


class Ears(NamedTuple):
    """What listens: none of them has heard a generated or a held-out sound."""

    embeddings: Sequence[Embedding]  # the first is the headline's
    classifiers: Sequence[Classifier]


def generate(
    subject: Subject, categories: Sequence[int], count: int, seed: int, tick: Callable[[float], Any]
) -> Made:
    """Draw and render `count` sounds of each category; the same seed gives the same sounds."""
    codes = [subject.draw(c, count, seed) for c in categories]
    z = np.concatenate(codes)
    category = np.repeat(np.array(categories, np.int32), count)
    sounds = []
    for start in range(0, len(z), CHUNK):
        rows = slice(start, start + CHUNK)
        sounds.append(subject.render(z[rows], subject.weights(category[rows])))
        tick(len(sounds[-1]))
    return Made(np.concatenate(sounds).astype(np.float32), category, z)


def largest_mix(category: np.ndarray, like: np.ndarray) -> float:
    """How many times a set of the shares of `like` [m] can be taken out of `category` [n]."""
    wanted, there = _both_counts(category, like)
    shared = (wanted > 0) & (there > 0)
    return float(np.min(there[shared] / wanted[shared])) if shared.any() else 0.0


def same_mix(category: np.ndarray, like: np.ndarray, times: float) -> np.ndarray:
    """Rows of `category` [n] in which categories have the shares that they have in `like` [m].

    About times × m of them, spread over each category's rows; at least one of each that both have.
    """
    rows = []
    for c, (wanted, there) in enumerate(np.stack(_both_counts(category, like), axis=1)):
        if wanted and there:
            own, n = np.flatnonzero(category == c), max(int(wanted * times + 1e-9), 1)
            rows.append(own[np.linspace(0, len(own) - 1, min(n, len(own))).astype(int)])
    return np.concatenate(rows)


def _both_counts(category: np.ndarray, like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of each category there are in `like` and in `category`."""
    k = int(max(category.max(), like.max())) + 1
    return np.bincount(like, minlength=k), np.bincount(category, minlength=k)


def judge(
    made: Made,
    held_out: Source,
    train: Source,
    ears: Ears,
    rendered: np.ndarray | None,
    chain: Callable[[Source], np.ndarray] | None,
    seed: int,
    tick: Callable[[float], Any],
) -> dict[str, Any]:
    """All numbers on generated sounds.

    Distances are measured on sets in which each category has the share that it has among the
    held-out sounds; categories are recognised among all that were made. Categories that made,
    held-out or training sounds lack are left out of all.

    Args:
      made: the sounds.
      held_out: real sounds that nothing was trained on.
      train: real sounds that the ears were trained on.
      ears: what listens.
      rendered: the held-out sounds through the whole chain [n, samples], if there are any.
      chain: sends sounds through the chain; None if the instrument was not trained on `train`, so
        that copies cannot be told.
      seed: of the noise and of the subsets that FAD is extrapolated from.
      tick: called with 1 for each embedding.
    """
    made, held_out, train, rendered = _shared(made, held_out, train, rendered)
    sets = _sets(made, held_out, train, rendered, seed)
    table: dict[str, Any] = {"distances": {}, "sets": {}}
    for name, (sound, _) in sets.items():
        table["sets"][name] = {"sounds": len(sound), "about": SETS[name]}
    points: dict[str, np.ndarray] = {}
    for number, embedding in enumerate(ears.embeddings):
        features = {name: embedding.function(sound) for name, (sound, _) in sets.items()}
        held = embedding.function(original(held_out))
        kits = {name: kits for name, (_, kits) in sets.items()}
        table["distances"][embedding.name] = {
            "digest": embedding.digest,
            **_distances(held, features, np.array(held_out.kits), kits, seed),
        }
        if not number:
            every, known = embedding.function(made.sound), embedding.function(original(train))
            table["copies"] = None
            if chain is not None:
                table["copies"] = _copies(embedding, chain, train, held_out, known, held, every)
            table["diversity"] = _diversity(held, features, every, known, made, train)
            table["per_category"] = _category_distances(held, every, made, held_out)
            points = {"held": held, "every": every, "known": known}
        tick(1.0)
    table["orderings"] = orderings(table["distances"])
    table["categories"] = _recognised(made, held_out, train, ears, points)
    return table


def _shared(
    made: Made, held_out: Source, train: Source, rendered: np.ndarray | None
) -> tuple[Made, Source, Source, np.ndarray | None]:
    """All of them without the categories that one of them lacks."""
    common = np.intersect1d(made.category, np.intersect1d(held_out.category, train.category))
    new, held, old = (np.isin(x.category, common) for x in (made, held_out, train))
    return (
        Made(made.sound[new], made.category[new], made.codes[new]),
        take(held_out, held),
        take(train, old),
        None if rendered is None else rendered[held],
    )


def _sets(
    made: Made, held_out: Source, train: Source, rendered: np.ndarray | None, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """name -> (sounds [n, samples], their kits [n], or None if each is its own).

    Sets of one size and mix, as coverage and FAD depend on both.
    """
    like = held_out.category
    times = min(largest_mix(made.category, like), largest_mix(train.category, like))
    real = take(train, same_mix(train.category, like, times))
    sound, kits = original(real), np.array(real.kits)
    noise = np.random.default_rng([seed, 1]).standard_normal(sound.shape, np.float32)
    sets: dict[str, tuple[np.ndarray, np.ndarray | None]] = {
        "training": (sound, kits),
        "noisy": (sound + noise * np.float32(10 ** (NOISE / 20)), kits),
    }
    if rendered is not None:
        rows = same_mix(like, like, min(times, 1.0))
        sets["reconstructed"] = rendered[rows], np.array(held_out.kits)[rows]
    sets["generated"] = made.sound[same_mix(made.category, like, times)], None
    return sets


def _told(function: Callable[[], Any]) -> Any:
    """What a function returns, or None where the sounds are too few for it."""
    try:
        return function()
    except DataError:
        return None


def _distances(
    held: np.ndarray,
    features: dict[str, np.ndarray],
    held_kits: np.ndarray,
    kits: dict[str, np.ndarray | None],
    seed: int,
) -> dict[str, Any]:
    width = bandwidth(held)
    e = held.shape[1]
    rows: dict[str, Any] = {"bandwidth": width, "numbers": e, "sets": {}}
    for name, x in features.items():
        paired = name == "reconstructed"  # not drawn beside the held-out sounds, but made of them
        kad = _told(lambda x=x, name=name: kad_interval(held, x, width, held_kits, kits[name]))
        fits = name in _WITH_FAD and min(len(held), len(x)) >= 2 * e
        fad = _told(lambda x=x: fad_infinity(held, x, seed)) if fits else None
        shares = None if paired else _told(lambda x=x: prdc(held, x))
        rows["sets"][name] = {
            "kad": _row_of(kad, paired),
            "fad_infinity": None if fad is None else fad[0],
            "fad_floor": None if fad is None or len(held) < 4 * e else fad[1],
            "sounds": len(x),
            "paired": paired,
            **(shares or {}),
        }
    return rows


def _row_of(kad: Interval | None, paired: bool = False) -> dict[str, Any] | None:
    """KAD without an interval where there are too few kits for one, or where sets are paired."""
    if kad is None or np.isnan(kad.mean):
        return None
    told = not paired and kad.groups >= FEWEST and not np.isnan(kad.low)
    return kad._asdict() if told else {**kad._asdict(), "low": None, "high": None}


def _copies(
    embedding: Embedding,
    chain: Callable[[Source], np.ndarray],
    train: Source,
    held_out: Source,
    known: np.ndarray,
    held: np.ndarray,
    every: np.ndarray,
) -> dict[str, Any]:
    """Whether new sounds are copies of training sounds, and whether that could be seen at all.

    The control is training sounds sent through the chain, which is lossy: they are copies, and a
    test that does not find them cannot find others.

    Args:
      embedding: hears all of them.
      chain: sends sounds through the chain.
      train: training sounds, `known` [n, e] to the embedding.
      held_out: real sounds that were not trained on, `held` [h, e] to it.
      known, held: these.
      every: new sounds [m, e].

    Returns:
      "generated", "held_out", "control": shares of `distribution.copies`; "nearer",
      "nearer_control": of `nearer` to training sounds than to as many held-out ones of the same
      categories; "among", how many of each.
    """
    rows = _as_many(train.category, held_out.category)
    others = _as_many(held_out.category, train.category)
    beside = take(train, rows)
    chosen = first_of_each(beside, max(_CHAINED // len(np.unique(beside.category)), 1))
    back = embedding.function(chain(take(beside, chosen)))
    shares = {"generated": every, "held_out": held, "control": back}
    table: dict[str, Any] = {side: _share(copies(known, x), len(x)) for side, x in shares.items()}
    for side, x in (("nearer", every), ("nearer_control", back)):
        table[side] = _share(nearer(known[rows], held[others], x).mean(), len(x))
    return {**table, "among": len(rows)}


def _share(share: float, n: int) -> dict[str, Any]:
    return wilson(round(share * n), n)._asdict()


def _as_many(category: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Rows of `category` [n], of each as many as there are in both it and `like`, spread."""
    rows = []
    for c in np.intersect1d(category, like):
        own, n = np.flatnonzero(category == c), int(np.sum(like == c))
        rows.append(own[np.linspace(0, len(own) - 1, min(n, len(own))).astype(int)])
    return np.concatenate(rows)


def _diversity(
    held: np.ndarray,
    features: dict[str, np.ndarray],
    every: np.ndarray,
    known: np.ndarray,
    made: Made,
    train: Source,
) -> dict[str, Any]:
    """Vendi scores of sets of one size, over all sounds and within each category."""
    width, rng = bandwidth(held), np.random.default_rng(0)
    size = min(len(held), len(features["generated"]), len(features["training"]))
    pick = {
        name: x[rng.permutation(len(x))[:size]]
        for name, x in {"held_out": held, **features}.items()
        if name != "noisy"
    }
    table: dict[str, Any] = {"sounds": size, "categories": {}}
    table["vendi"] = {name: vendi(x, width) for name, x in pick.items()}
    for c in np.unique(made.category):
        real, new = known[train.category == c], every[made.category == c]
        n = min(len(real), len(new))
        if n >= 2:
            scores = {"training": vendi(real[:n], width), "generated": vendi(new[:n], width)}
            table["categories"][train.categories[c]] = {**scores, "sounds": n}
    return table


def _category_distances(
    held: np.ndarray, every: np.ndarray, made: Made, held_out: Source
) -> dict[str, Any]:
    """KAD within each category that has enough held-out sounds."""
    width, table = bandwidth(held), {}
    kits = np.array(held_out.kits)
    for c in np.unique(made.category):
        own = held_out.category == c
        if own.sum() >= _LEAST and len(set(kits[own])) >= FEWEST:
            new = every[made.category == c]
            kad = _told(lambda own=own, new=new: kad_interval(held[own], new, width, kits[own]))
            table[held_out.categories[c]] = _row_of(kad)
    return table


def orderings(distances: dict[str, Any]) -> dict[str, Any]:
    """Whether the embeddings agree on which sets are nearer to the held-out sounds.

    Differences within half of the interval of the floor's KAD are no differences.

    Returns:
      "order": embedding -> the sets from near to far; "agree": no two embeddings contradict each
      other on a pair of sets, None if no two of them tell one apart; "as_real": embedding ->
      whether new sounds are no farther than training sounds; "noise_told": embedding -> whether
      the noisy sounds are farther than the same without noise. Embeddings without a floor, or with
      one of too few kits for an interval, are left out.
    """
    order, signs, as_real, noise_told = {}, [], {}, {}
    for name, rows in distances.items():
        known = {s: row["kad"]["mean"] for s, row in rows["sets"].items() if row["kad"]}
        if not {"training", "noisy", "generated"} <= known.keys():
            continue
        floor = rows["sets"]["training"]["kad"]
        if floor["low"] is None:
            continue
        half = (floor["high"] - floor["low"]) / 2
        order[name] = sorted(known, key=known.__getitem__)
        as_real[name] = known["generated"] - known["training"] <= half
        noise_told[name] = known["noisy"] - known["training"] > half
        far = np.array(list(known.values()))
        apart = far[:, None] - far[None]
        signs.append(np.where(np.abs(apart) > half, np.sign(apart), 0))
    pairs = [a * b for i, a in enumerate(signs) for b in signs[:i]]
    told = any((product != 0).any() for product in pairs)
    agree = not any((product < 0).any() for product in pairs) if told else None
    return {"order": order, "agree": agree, "as_real": as_real, "noise_told": noise_told}


def _recognised(
    made: Made, held_out: Source, train: Source, ears: Ears, points: dict[str, np.ndarray]
) -> dict[str, Any]:
    """How often each ear hears the category that was asked for, in real and in new sounds."""
    guesses = {
        f"classifier, seed {c.seed}": (c.predict(original(held_out)), c.predict(made.sound))
        for c in ears.classifiers
    }
    learnt = list(guesses)
    nearest = [_nearest(points[x], points["known"], train.category) for x in ("held", "every")]
    guesses["nearest training sound in log-mel statistics"] = (nearest[0], nearest[1])
    names, table = held_out.categories, {}
    for ear, (real, new) in guesses.items():
        known = recognition(held_out.category, real, names)
        generated = recognition(made.category, new, names)
        table[ear] = {
            "held_out": _row(known),
            "generated": _row(generated),
            "ratio": accuracy_ratio(generated, known),
        }
    return {
        "names": names,
        "ears": table,
        "learnt": learnt,
        "ratio": ratio_interval(
            np.mean([guesses[ear][0] == held_out.category for ear in learnt], axis=0),
            held_out.category,
            np.array(held_out.kits),
            np.mean([guesses[ear][1] == made.category for ear in learnt], axis=0),
            made.category,
        )._asdict(),
        "confusion": {
            side: np.sum([table[ear][side].pop("confusion") for ear in learnt], axis=0)
            for side in ("held_out", "generated")
        },
    }


def _row(found: dict[str, Any]) -> dict[str, Any]:
    """What `recognition` found, without tuples."""
    rows = {name: row._asdict() for name, row in found["categories"].items()}
    return {**found, "macro": found["macro"]._asdict(), "categories": rows}


def _nearest(points: np.ndarray, known: np.ndarray, category: np.ndarray) -> np.ndarray:
    """The category [k] of the nearest of `known` [k, e] to each of the points [n, e]: [n]."""
    squares = (known**2).sum(1)[None] - 2 * points @ known.T  # [n, k]
    return category[np.argmin(squares, axis=1)]
