"""The report's numbers in words and tables, which Markdown and the page both show."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from drumjax.evals.inversion import LIBROSA, SQUARES
from drumjax.evals.reconstruction import STAGES
from drumjax.evals.tables import FEWEST

Numbers = Mapping[str, Any]

_SETS = {
    "training": "real training sounds (the floor)",
    "noisy": "the same with noise at -40 dB",
    "reconstructed": "the held-out sounds through the chain (paired)",
    "generated": "**new sounds**",
}
_SEEN = 0.8  # of training sounds sent through the chain: a test that tells fewer is blind
_MEASURES = {  # measure: (heading, digits, scale)
    "sc": ("mel SC", 3, 1),
    "sc_gain": ("SC, gain-matched", 3, 1),
    "sc_log": ("SC log", 4, 1),
    "stft_sc": ("STFT SC", 3, 1),
    "stft_log": ("STFT log", 3, 1),
    "lsd": ("LSD dB", 2, 1),
    "onset": ("onset error", 3, 1),
    "envelope": ("envelope error", 3, 1),
    "attack_ms": ("attack ms off", 1, 1),
    "decay_ms": ("decay ms off", 1, 1),
    "correlation": ("correlation", 2, 1),
    "checkerboard": ("stripes dB", 1, 1),
    "checkerboard_excess": ("stripes over original dB", 1, 1),
    "checkerboard_tonal": ("the same, tonal drums dB", 1, 1),
    "tail_dbfs": ("tail dBFS", 0, 1),
    "tail_zero": ("silent after the original %", 0, 100),
    "ends_in_zeros": ("ends in exact zeros %", 0, 100),
}


class Headline(NamedTuple):
    """One number in plain words."""

    title: str
    value: str
    words: str  # what it means
    beside: str  # what to hold it against


class Table(NamedTuple):
    """Cells are text; **bold** cells are marked as in Markdown."""

    title: str
    words: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def number(value: float | None, digits: int = 3, scale: float = 1.0) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else f"{scale * value:.{digits}f}"


def ranged(row: Numbers | None, digits: int = 3, scale: float = 1.0, unit: str = "") -> str:
    """A mean with its interval: "0.55 (0.50 to 0.61)"; the unit stands after the mean."""
    if row is None or row["mean"] is None:
        return "–"
    text = number(row["mean"], digits, scale) + unit
    if row["low"] is None or row["high"] is None:
        return text
    return f"{text} ({number(row['low'], digits, scale)} to {number(row['high'], digits, scale)})"


def counted(sounds: int, kits: int) -> str:
    """ "1 sound from 1 kit", "2 sounds from 2 kits"."""
    return f"{sounds} sound{'s' * (sounds != 1)} from {kits} kit{'s' * (kits != 1)}"


def _counted(row: Numbers) -> str:
    return counted(row["sounds"], row["kits"])


def subtitle(numbers: Numbers) -> str:
    """What was judged, on which sounds, in a sentence."""
    data = numbers["data"]
    judged, options = data["judged"], numbers["options"]
    text = f"judged on {_counted(judged)} of {data['name']}, {data['label']}"
    if options["generation"]:
        text += f", and on {options['count']} new sounds of each category (seed {options['seed']})"
    return f"{text}, by drumjax {numbers['drumjax']}."


def headlines(numbers: Numbers) -> Iterator[Headline]:
    """The numbers to look at first, those that were measured."""
    if "reconstruction" in numbers:
        yield from _chain_lines(numbers["reconstruction"], numbers["data"]["label"])
    if "rivals" in numbers:
        yield from _rival_lines(numbers["rivals"])
    if "generation" in numbers:
        yield from _new_lines(numbers["generation"])


def _chain_lines(table: Numbers, label: str) -> Iterator[Headline]:
    if "chain" in table:
        row = table["chain"]["sc"]
        scores = {s: t["sc"]["sounds"]["mean"] for s, t in table.items() if "sc" in t}
        means = {stage: number(value) for stage, value in scores.items()}
        refined = f"codes refined {means['refined']}; " if "refined" in means else ""
        yield Headline(
            "Whole chain, raw: mel SC",
            ranged(row["sounds"]),
            f"How far {label} are from themselves after code, mel and inverter, as the "
            "network's output comes (NDM eq. 11): 0 is perfect, silence scores 1.",
            f"mean of the categories {number(row['macro'])}; gain-matched "
            f"{number(table['chain']['sc_gain']['sounds']['mean'])}; {refined}as played "
            f"{means['rendered']}; {_counted(row['sounds'])}. "
            "The Neural Drum Machine's demos, 7 sounds that its authors chose: 0.64, gain-matched "
            "0.58.",
        )
    row = table["inverter"]["sc"]
    yield Headline(
        "Inverter on true mels: mel SC",
        ranged(row["sounds"]),
        "The same when the mel is the sound's own: what the inverter alone loses.",
        f"mean of the categories {number(row['macro'])}; {_counted(row['sounds'])}.",
    )
    last = "rendered" if "rendered" in table else "inverter"
    row = table[last]["checkerboard_tonal"]["sounds"]
    yield Headline(
        "Stripes over the originals",
        ranged(row, 1, unit=" dB"),
        "How far lines at fixed frequencies, a strided network's whistle, stand out more than in "
        "the sounds themselves: 0 is as natural.",
        f"{STAGES[last]}; {_counted(row)}, kicks, toms, congas and bongos, as noise hides lines. "
        "The published demos: +17 dB.",
    )
    if "rendered" in table:
        ends = table["rendered"]["ends_in_zeros"]["sounds"]
        yield Headline(
            "Ends in silence",
            f"{number(ends['mean'], 0, 100)} %",
            "Sounds as played that are exactly zero at the file's end, of those whose original is.",
            f"{_counted(ends)}.",
        )


def _rival_lines(table: Numbers) -> Iterator[Headline]:
    quality, clock = table["quality"], table["time"]
    best = [quality[name]["sc"]["macro"] for name in ("own", SQUARES)]
    ms = [clock[name]["ms"] for name in ("own", SQUARES)]
    cores = clock["own"]["cores"]
    rival = f"{clock[LIBROSA]['times_slower']:.1f}; " if LIBROSA in clock else "not installed; "
    yield Headline(
        "Time for one sound from its mel",
        f"{ms[0]:.0f} ms at mel SC {number(best[0])} against {ms[1]:.0f} ms at {number(best[1])}",
        "The instrument's inverter against least squares + Griffin-Lim 60, on "
        f"{cores} core{'s' * (cores > 1)}; mel SC is the mean of the categories, 0 is perfect.",
        f"times slower than the inverter: {clock[SQUARES]['times_slower']:.1f}; librosa's: "
        f"{rival}{clock['own']['sounds']} sounds timed.",
    )


def _new_lines(table: Numbers) -> Iterator[Headline]:
    yield _recognised_line(table)
    name, found = next(iter(table["distances"].items()))
    row, floor = found["sets"]["generated"], found["sets"]["training"]
    yield Headline(
        "Distance from real sounds: KAD × 1,000",
        ranged(row["kad"], 1),
        "How unlike held-out real sounds the new ones are as a set; 0 is alike.",
        f"in {name}; real training sounds score {ranged(floor['kad'], 1)}; {row['sounds']} new "
        "sounds.",
    )
    if "recall" in row:
        yield Headline(
            "Recall and coverage",
            f"{number(row['recall'], 2)} and {number(row['coverage'], 2)}",
            "Share of the held-out sounds that lie nearer to some new one than its fifth new "
            "neighbour does, and share that have a new one nearer than their own fifth real "
            "neighbour: low is a lack of variety.",
            f"real training sounds: {number(floor.get('recall'), 2)} and "
            f"{number(floor.get('coverage'), 2)}; precision {number(row['precision'], 2)}.",
        )
    if table.get("copies"):
        yield _copies_line(table["copies"])


def _recognised_line(table: Numbers) -> Headline:
    ears = table["categories"]["ears"]
    learnt = [ears[name] for name in table["categories"]["learnt"]]
    real, new = (
        sum(e[side]["macro"]["mean"] for e in learnt) / len(learnt)
        for side in ("held_out", "generated")
    )
    sizes = [row["n"] for row in learnt[0]["held_out"]["categories"].values()]
    few = sum(n < 5 for n in sizes)
    return Headline(
        "Recognised as what was asked for",
        ranged(table["categories"]["ratio"], 2, unit=" ×"),
        "How often new sounds are heard as their category, over how often held-out real ones are.",
        f"{number(new, 0, 100)} % of new sounds, {number(real, 0, 100)} % of real ones; mean of "
        f"{len(sizes)} categories, {few} of which stand on fewer than 5 real sounds, and of "
        f"{len(learnt)} classifiers trained on real sounds alone.",
    )


def _copies_line(found: Numbers) -> Headline:
    """Copies, or, where the chain loses too much for them to be told, what survives it."""
    control = f"training sounds sent through the chain: {ranged(found['control'], 1, 100, ' %')}"
    real = f"held-out real sounds: {number(found['held_out']['mean'], 1, 100)} %"
    if found["control"]["mean"] >= 0.5:
        return Headline(
            "Copies of training sounds",
            ranged(found["generated"], 1, 100, " %"),
            "New sounds that lie nearer to one of the data set's training sounds than all but 1 % "
            "of those do to one another.",
            f"{control}; {real}.",
        )
    blind = found["nearer_control"]["mean"] < _SEEN
    return Headline(
        "Nearer to a training sound than to a held-out one",
        "cannot be told" if blind else ranged(found["nearer"], 0, 100, " %"),
        "Whether there are near copies of training sounds cannot be told by this test, as it does "
        "not find those that went through the chain either. Instead: new sounds whose nearest "
        f"sound, of {found['among']} training and {found['among']} held-out ones of the same "
        "categories, is a training sound; 50 % without copies, and as far as kits are alike.",
        f"{'as the' if blind else 'the'} same of training sounds sent through the chain, which "
        "must come out near 100 %, is "
        f"{ranged(found['nearer_control'], 0, 100, ' %')}. The test for copies: new sounds "
        f"{number(found['generated']['mean'], 1, 100)} %; {control}; {real}.",
    )


def tables(numbers: Numbers) -> Iterator[Table]:
    """All tables, those that were measured."""
    if "reconstruction" in numbers:
        yield _categories_back(numbers["reconstruction"])
        yield _measures(numbers["reconstruction"])
    if "rivals" in numbers:
        yield _rivals(numbers["rivals"])
    if "generation" in numbers:
        yield from _generation(numbers["generation"], numbers["data"]["held_out"]["categories"])
    if "latent" in numbers:
        yield from _latent(numbers["latent"])
    if "sweeps" in numbers:
        yield _sweeps(numbers["sweeps"])


def _categories_back(table: Numbers) -> Table:
    stages = {s: text for s, text in STAGES.items() if s in table}
    rows = []
    for name, first in table["inverter"]["sc"]["categories"].items():
        cells = [ranged(table[s]["sc"]["categories"][name]) for s in stages]
        rows.append((name, str(first["sounds"]), str(first["kits"]), *cells))
    whole = table["inverter"]["sc"]["sounds"]
    means = [f"**{number(table[s]['sc']['macro'])}**" for s in stages]
    rows.append(("**mean of categories**", str(whole["sounds"]), str(whole["kits"]), *means))
    means = [f"**{ranged(table[s]['sc']['sounds'])}**" for s in stages]
    rows.append(("**mean of sounds**", str(whole["sounds"]), str(whole["kits"]), *means))
    return Table(
        "Known sounds, sent through: mel SC",
        "Spectral convergence of linear mels (NDM eq. 11); 0 is perfect. Intervals of 95 %, kits "
        "resampled; there is none where one kit is all there is.",
        ("category", "sounds", "kits", *stages.values()),
        rows,
    )


def _measures(table: Numbers) -> Table:
    stages = {"original": "the originals", **STAGES}
    stages = {s: text for s, text in stages.items() if s in table}
    rows = []
    for measure, (title, digits, scale) in _MEASURES.items():
        cells = [
            ranged(table[s][measure]["sounds"], digits, scale) if measure in table[s] else ""
            for s in stages
        ]
        rows.append((title, *cells))
    return Table(
        "Known sounds, sent through: all measures",
        "Means over all sounds. Raw is the inverter's output as it comes; as played is ended, "
        "faded and brought to a peak of -0.1 dBFS; gain-matched takes the best single gain first. "
        "The tail is what sounds 100 ms after the original's end, where it is not exactly zero.",
        ("measure", *stages.values()),
        rows,
    )


def _rivals(table: Numbers) -> Table:
    rows = []
    for name, clock in table["time"].items():
        row = table["quality"].get(name)
        cells = [
            ranged(row[m]["sounds"], *_MEASURES[m][1:]) if row else "–"
            for m in ("sc", "sc_log", "lsd", "onset")
        ]
        count = str(row["sc"]["sounds"]["sounds"]) if row else "–"
        title = "the instrument's inverter" if name == "own" else name
        rows.append((title, count, *cells, number(clock["ms"], 1)))
    first = table["time"]["own"]
    return Table(
        "Sound from a true mel: the inverter beside Griffin-Lim",
        f"The same sounds for all. Median milliseconds of {first['sounds']} of them, one at a "
        f"time and in turns, on {first['cores']} of the cores.",
        ("method", "sounds", "mel SC", "SC log", "LSD dB", "onset error", "ms"),
        rows,
    )


def _generation(table: Numbers, held: Numbers) -> Iterator[Table]:
    for name, found in table["distances"].items():
        rows = []
        for key, row in found["sets"].items():
            shares = [number(row.get(m), 2) for m in ("precision", "recall", "density", "coverage")]
            fad = number(row["fad_infinity"], 2)
            title = _SETS[key]
            if key == "training" and name in table["categories"]["learnt"]:
                title = "real sounds that this listener was trained on (the floor)"
            rows.append((title, str(row["sounds"]), ranged(row["kad"], 1), fad, *shares))
        floor = number(next(iter(found["sets"].values()))["fad_floor"], 2)
        yield Table(
            f"New sounds as a set: {name}",
            f"Beside the held-out real sounds, categories in their shares. KAD × 1,000: bandwidth "
            f"{found['bandwidth']:.3f}, fixed on the held-out sounds. FAD∞, where there are twice "
            f"as many sounds as the {found['numbers']} numbers that tell one; between halves of "
            f"the held-out ones: {floor}. {_ear(table['orderings'], name)} Embedding "
            f"{found['digest'][:12]}.",
            ("sounds", "n", "KAD", "FAD∞", "precision", "recall", "density", "coverage"),
            rows,
        )
    scores = table["diversity"]["vendi"]
    titles = {"held_out": "held-out real sounds", **_SETS}
    yield Table(
        "Variety",
        f"Vendi scores of {table['diversity']['sounds']} sounds of each set: how many quite "
        "different sounds they amount to.",
        ("sounds", "Vendi score"),
        [(title, number(scores[key], 1)) for key, title in titles.items() if key in scores],
    )
    yield _recognition(table, held)


def _ear(orderings: Numbers, name: str) -> str:
    """What an embedding says of noise, and of new sounds as a whole."""
    if name not in orderings["noise_told"]:
        return f"Below {FEWEST} kits it is not told what exceeds the floor's interval."
    hears = (
        "It tells noise at -40 dB from the same sounds without."
        if orderings["noise_told"][name]
        else "It does not hear noise at -40 dB: not to be relied on for that."
    )
    far = "no farther than" if orderings["as_real"][name] else "farther than"
    return f"{hears} New sounds are {far} training sounds, by half of the floor's interval."


def _recognition(table: Numbers, held: Numbers) -> Table:
    found, rows = table["categories"], []
    ears = found["ears"]
    short = [f"{n.replace('classifier, ', '')}" for n in ears]
    for name, row in held.items():
        cells = []
        for ear in ears.values():
            pair = [ear[side]["categories"].get(name) for side in ("held_out", "generated")]
            cells.append(" / ".join(number(p and p["mean"], 0, 100) for p in pair))
        kad = ranged(table["per_category"].get(name), 0)
        variety = table["diversity"]["categories"].get(name)
        share = number(variety and variety["generated"] / variety["training"], 2)
        rows.append((name, str(row["sounds"]), str(row["kits"]), *cells, kad, share))
    macros = [
        " / ".join(number(ear[s]["macro"]["mean"], 0, 100) for s in ("held_out", "generated"))
        for ear in ears.values()
    ]
    rows.append(("**mean**", "", "", *(f"**{m}**" for m in macros), "", ""))
    agree = {
        True: "agree on which sets are nearer to real sounds, as far as differences exceed half of "
        "the floor's interval",
        False: "contradict each other on which sets are nearer to real sounds",
        None: "cannot be compared: no two of them tell the same sets apart",
    }[table["orderings"]["agree"]]
    return Table(
        "New sounds, category by category",
        "How often real / new sounds are heard as their category, in percent, by each listener; "
        "KAD × 1,000 within the category; variety: the Vendi score of new sounds over that of as "
        f"many training sounds. The embeddings above {agree}.",
        ("category", "real sounds", "kits", *short, "KAD", "variety"),
        rows,
    )


def _latent(table: Numbers) -> Iterator[Table]:
    rows = []
    named = {**table["categories"], "**held-out sounds, all categories**": table["held_out"]}
    for name, row in named.items():
        if row is not None:
            cells = []
            for kind in ("raw", "standardised"):
                x = row.get(kind)
                cells += [number(x and x["mmd2"], 4), number(x and x["ratio"], 2)]
            rows.append((name, str(row["sounds"]), *cells, _axes(row)))
    row = table["all"]
    rows.append(("**all codes**", str(row["sounds"]), "", "", "", "", _axes(row)))
    yield Table(
        "Codes beside the prior",
        f"MMD² to N(0, I) of {table['n']} codes of each, the mean of several draws, and over the "
        "95 % quantile that as many codes of N(0, I) have: of the codes as they are, and after "
        "the category's own Gaussian, which new sounds are drawn from, is taken out. That was "
        "fitted to such codes, so its quotient is no test: it only compares. The share of three "
        "principal axes stands beside that of as many codes of N(0, I).",
        ("category", "codes", "MMD² raw", "/ null", "MMD² standardised", "/ null", "3 axes %"),
        rows,
    )
    if smooth := table["smoothness"]:
        yield Table(
            "On the way between two sounds",
            "The greatest step over the mean one of 16 (1 is even), and the way's length over its "
            "ends' distance. On the straight line the way is the smoother in "
            f"{number(smooth['linear_smoother'], 0, 100)} % of the pairs "
            f"(p = {smooth['p']:.3f}).",
            ("way", "pairs", "greatest step", "worst", "detour"),
            [
                (
                    way,
                    str(smooth[way]["pairs"]),
                    *(number(smooth[way][m], 2) for m in ("jump", "worst", "detour")),
                )
                for way in ("linear", "spherical")
            ],
        )


def _axes(row: Numbers) -> str:
    """The share of three principal axes, and what is to be expected, in percent."""
    if row.get("pca3") is None:
        return "–"
    return f"{number(row['pca3'], 1, 100)} / {number(row['pca3_prior'], 1, 100)}"


def _sweeps(table: Numbers) -> Table:
    names, cells = list(table["all"]), table["all"]
    chance = number(0.674 / (table["points"] - 1) ** 0.5, 2)  # a normal's median size, SD 1/√(n-1)
    return Table(
        "Attributes, swept from -2 to 2 standard deviations",
        "Rows are moved, columns measured on the sounds: rank correlation with the amount, median "
        "of the sounds, mean of the categories. The diagonal has its sign and should be near 1 (0 "
        f"by chance); elsewhere stands the size, which should be small (about {chance} by chance). "
        "Last, the size of the moved attribute's own change for each unit, in standard deviations "
        "of real sounds: 1 is as asked for.",
        ("moved", *names, "change"),
        [
            (
                a,
                *(
                    f"**{number(cells[a][b]['each'], 2)}**"
                    if a == b
                    else number(cells[a][b]["each_size"], 2)
                    for b in names
                ),
                number(cells[a][a]["slope_size"], 2),
            )
            for a in names
        ],
    )
