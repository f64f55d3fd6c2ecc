"""The whole evaluation: every section in turn, with its progress, into one tree of numbers."""

import functools
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from drumjax import __version__
from drumjax.audio.mel import MelConfig
from drumjax.data.folder import take
from drumjax.evals.classifier import train_classifier
from drumjax.evals.codes import judge_codes
from drumjax.evals.embedding import log_mel_statistics
from drumjax.evals.generation import Ears, Made, generate, judge
from drumjax.evals.material import Material
from drumjax.evals.reconstruction import (
    Heard,
    Tick,
    chained,
    compare_rivals,
    original,
    reconstruct,
)
from drumjax.evals.subject import Subject
from drumjax.evals.tables import FEWEST, counts, plain
from drumjax.training.sweep import first_of_each

SEEDS = (0, 1)  # of the classifiers


class Options(NamedTuple):
    """How much is measured."""

    count: int = 64  # new sounds of each category
    seed: int = 1
    steps: int = 400  # of each classifier's training
    rivals: int = 4  # sounds of each category that Griffin-Lim inverts; 0: none
    timed: int = 6  # of those that are timed
    judged: int = 0  # known sounds of each category that are sent through; 0: all
    codes: int = 600  # of each category that are set beside the prior
    pairs: int = 2  # of sounds of each category, between which the way is walked
    generation: bool = True
    latent: bool = True


QUICK = Options(count=32, judged=10, steps=120, rivals=1, timed=2, codes=64, pairs=1)


class Results(NamedTuple):
    """Numbers for the report, and sounds for its page."""

    numbers: dict[str, Any]  # JSON-able
    mel: MelConfig
    material: Material
    heard: Heard | None
    made: Made | None
    points: dict[str, np.ndarray]  # "held_out", "generated": [n, 2], a map of what the ears hear


class Progress:
    """One bar over all sections, in seconds' worth of work as a fast core would need them."""

    def __init__(self, work: dict[str, float]):
        """Work: section -> how much of it there is to do."""
        from tqdm import tqdm

        self._work, self._total = work, sum(work.values())
        form = "{desc:<32}{percentage:3.0f}% |{bar}| {elapsed}, about {remaining} left"
        self._bar = tqdm(total=self._total, disable=None, bar_format=form, leave=False)
        self._before, self._share, self._weight = 0.0, 0.0, 0.0
        self.seconds: dict[str, dict[str, float]] = {}  # section -> "clock", "cpu" over all cores
        self._section, self._started = "", _clocks()

    def begin(self, section: str, units: float) -> Tick:
        """Close the section before; `units` is what the returned function will be told in all."""
        self._close()
        self._section, self._started = section, _clocks()
        self._weight, self._share = self._work.get(section, 0.0) / max(units, 1e-9), 0.0
        self._bar.set_description_str(section)
        if self._bar.disable:
            print(f"{section} …", file=sys.stderr, flush=True)
        return self._tick

    def _tick(self, units: float) -> None:
        step = min(units * self._weight, self._work.get(self._section, 0.0) - self._share)
        self._share += step
        self._bar.update(step)

    def _close(self) -> None:
        if self._section:
            clock, cpu = _clocks() - self._started
            self.seconds[self._section] = {"clock": float(clock), "cpu": float(cpu)}
            self._bar.update(self._work.get(self._section, 0.0) - self._share)
        self._section = ""

    def end(self) -> None:
        """Take the bar away."""
        self._close()
        self._bar.close()


def _clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


_COST = {  # seconds for one unit on two cores, which only shape the bar
    "reconstruction": 0.14,
    "Griffin-Lim": 0.9,
    "attribute sweeps": 0.6,
    "codes": 0.03,
    "new sounds": 0.02,
    "classifiers": 0.08,
    "distances": 0.01,
}


def evaluate(
    subject: Subject,
    material: Material,
    options: Options,
    sweeps: Callable[[Tick], dict[str, Any]] | None = None,
) -> Results:
    """Run all sections that subject and material allow; what is left out is said in the notes.

    Args:
      subject: what is judged.
      material: the sounds.
      options: how much is measured.
      sweeps: measures the subject's attributes, as `play.sweep.measure_sweeps` does; it is given a
        function to call after each category.
    """
    material, sampled = _fewer(material, options.judged)
    judged = material.judged
    present = [int(c) for c in np.unique(judged.category)]
    units = _units(subject, material, options, len(present), sweeps is not None)
    progress = Progress({name: n * _COST[name] for name, n in units.items()})
    notes = [*material.notes, *sampled, *_notes(subject, material, options, sweeps is not None)]
    sections: dict[str, Any] = {}
    made, points = None, {}
    try:
        heard = reconstruct(subject, judged, progress.begin("reconstruction", len(judged.names)))
        sections["reconstruction"] = heard.table
        if options.rivals:
            tick = progress.begin("Griffin-Lim", units["Griffin-Lim"])
            sections["rivals"] = compare_rivals(
                subject, judged, options.rivals, options.timed, tick
            )
        if "codes" in units:
            sections["latent"] = _latent(subject, material, options, progress, units["codes"])
        if sweeps is not None:
            sections["sweeps"] = sweeps(progress.begin("attribute sweeps", len(subject.categories)))
        if options.generation:
            tick = progress.begin("new sounds", units["new sounds"])
            made = generate(subject, present, options.count, options.seed, tick)
            if material.train is not None and material.held_out is not None:
                sections["generation"], points = _judged(
                    subject, made, material, heard, options, progress
                )
    finally:
        progress.end()
    numbers = {
        **_about(subject, material, options),
        "notes": notes,
        **sections,
        "seconds": progress.seconds,
    }
    return Results(plain(numbers), subject.mel, material, heard, made, points)


def _fewer(material: Material, most: int) -> tuple[Material, list[str]]:
    """At most so many known sounds of each category, and a sentence if some are left out."""
    judged = material.judged
    few = first_of_each(judged, most) if most else np.arange(len(judged.names))
    if len(few) == len(judged.names):
        return material, []
    note = f"Of {len(judged.names)} known sounds {len(few)} were sent through, to be quick."
    return material._replace(judged=take(judged, few)), [note]


def _units(
    subject: Subject, material: Material, options: Options, categories: int, swept: bool
) -> dict[str, float]:
    """Section -> units of work, for those sections that are run."""
    judged, compared = len(material.judged.names), material.train is not None
    units: dict[str, float] = {"reconstruction": judged}
    if options.rivals:
        few = counts(material.judged).values()
        units["Griffin-Lim"] = 3.0 * sum(min(options.rivals, row["sounds"]) for row in few)
    if options.latent and subject.encode is not None:
        first, second = material.train or material.judged, material.held_out or material.judged
        few = counts(first).values()
        units["codes"] = sum(min(options.codes, row["sounds"]) + 64 for row in few)
        units["codes"] += len(second.names) + 64
    if swept:
        units["attribute sweeps"] = 5.0 * categories
    if options.generation:
        units["new sounds"] = options.count * categories
        if compared:
            units["classifiers"] = len(SEEDS) * options.steps
            units["distances"] = 3.0 * (units["new sounds"] + 4 * judged)
    return units


def _latent(
    subject: Subject, material: Material, options: Options, progress: Progress, units: float
) -> dict[str, Any]:
    first, second = material.train or material.judged, material.held_out or material.judged
    tick = progress.begin("codes", units)
    return judge_codes(subject, first, second, options.codes, options.pairs, options.seed, tick)


def _judged(
    subject: Subject,
    made: Made,
    material: Material,
    heard: Heard,
    options: Options,
    progress: Progress,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The numbers on generated sounds, and the map of them and the held-out ones."""
    train, held_out = material.train, material.held_out
    assert train is not None
    assert held_out is not None
    tick, classifiers = progress.begin("classifiers", len(SEEDS)), []
    for seed in SEEDS:
        classifiers.append(train_classifier(train, seed, subject.mel, options.steps))
        tick(1.0)
    statistics = log_mel_statistics(subject.mel, train.audio)
    ears = Ears((statistics, *(c.embedding for c in classifiers)), classifiers)
    rendered = _of_names(heard.sounds.get("rendered"), material.judged.names, held_out.names)
    tick = progress.begin("distances", 3.0)
    chain = functools.partial(chained, subject) if material.is_training else None
    table = judge(made, held_out, train, ears, rendered, chain, options.seed, tick)
    seen = classifiers[0].embed(original(held_out)), classifiers[0].embed(made.sound)
    return table, _map(*seen)


def _of_names(
    sound: np.ndarray | None, names: tuple[str, ...], wanted: tuple[str, ...]
) -> np.ndarray | None:
    """Those of the sounds [n, samples] that have the wanted names; None if any is missing."""
    rows = {name: i for i, name in enumerate(names)}
    if sound is None or not set(wanted) <= rows.keys():
        return None
    return sound[[rows[name] for name in wanted]]


def _map(held_out: np.ndarray, generated: np.ndarray) -> dict[str, np.ndarray]:
    """Both sets of features [n, e] on the two principal axes of the real ones: [n, 2]."""
    mean = held_out.mean(axis=0)[None]
    axes = np.linalg.svd(held_out - mean, full_matrices=False)[2][:2]
    return {"held_out": (held_out - mean) @ axes.T, "generated": (generated - mean) @ axes.T}


def _about(subject: Subject, material: Material, options: Options) -> dict[str, Any]:
    """What was judged, on what, with what."""
    judged = material.judged
    packages = ("jax", "jaxlib", "numpy", "scipy", "flax", "soxr", "soundfile")
    sides = {"judged": judged, "held_out": material.held_out, "train": material.train}
    return {
        "drumjax": __version__,
        "subject": {
            "name": subject.name,
            "categories": subject.categories,
            "latents": subject.latents,
            "encoder": subject.encode is not None,
            **subject.about,
        },
        "data": {
            "name": material.name,
            "digest": material.digest,
            "kits_known": material.kits_known,
            "label": material.label,
            "is_training": material.is_training,
            **{
                side: {
                    "sounds": len(source.names),
                    "kits": len(set(source.kits)),
                    "categories": counts(source),
                }
                for side, source in sides.items()
                if source is not None
            },
        },
        "options": options._asdict(),
        "classifier_seeds": SEEDS,
        "machine": {"cores": os.cpu_count(), "kind": platform.machine()},
        "versions": {name: version(name) for name in packages},
    }


def _notes(subject: Subject, material: Material, options: Options, swept: bool) -> list[str]:
    """What was not measured, and why."""
    notes = [f"Where fewer than {FEWEST} kits stand behind a mean it has no interval."]
    if subject.encode is None:
        notes.append(
            "The instrument has no encoder beside it, so sounds cannot be sent through the whole "
            "chain: only its inverter is judged on known sounds, and no codes are."
        )
    if not swept and options.latent:
        notes.append("No attributes were swept: the instrument has none, or was put together here.")
    known = {int(c) for c in np.unique(material.judged.category)}
    silent = [name for i, name in enumerate(subject.categories) if i not in known]
    if silent:
        notes.append(f"Not judged, as the data have no such sounds: {', '.join(silent)}.")
    thin = [
        f"{name} ({row['sounds']} from {row['kits']})"
        for name, row in counts(material.held_out or material.judged).items()
        if row["sounds"] < 10 or row["kits"] < 3
    ]
    if thin:
        notes.append(f"Categories that rest on few sounds or kits: {', '.join(thin)}.")
    return notes
