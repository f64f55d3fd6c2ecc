"""From sound files, or from the procedural drums, to the two folds of a data set."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from drumjax.audio.files import read_audio
from drumjax.categories import CATEGORIES
from drumjax.data.normalise import Sound, UnfitError, normalise, quantise
from drumjax.data.scan import Candidate, Skipped
from drumjax.data.split import split_by_file, split_by_kit
from drumjax.errors import AudioDecodeError, DataError

DUPLICATE = "duplicate"
UNTRAINED = "no training sound in its category"
PROCEDURAL = "procedural"  # the kit of all rendered sounds


def read_sounds(candidates: Sequence[Candidate], cut_long: bool) -> Iterator[Sound | Skipped]:
    """Read and normalise files on all processor cores; results come in the order of the files."""

    def one(candidate: Candidate) -> Sound | Skipped:
        try:
            samples, rate = read_audio(candidate.path)
            audio = normalise(samples, rate, cut_long)
        except AudioDecodeError as error:
            return Skipped(candidate.name, error.reason, str(error))
        except UnfitError as reason:
            return Skipped(candidate.name, str(reason))
        return Sound(audio, candidate.category, candidate.name, candidate.kit, candidate.fold)

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield from pool.map(one, candidates)
    finally:
        pool.shutdown(cancel_futures=True)


def render_sounds(count: int, fold: str, seed: int) -> Iterator[Sound]:
    """Render `count` procedural sounds of each category for `fold`; the folds' seeds differ.

    They last 0.1 to 1 second as they are rendered, and so are taken as they are.
    """
    from drumjax.synth.dataset import render_set  # compiles with jax

    seed = 2 * seed + (fold == "validation")
    for category in CATEGORIES:
        audio, _ = render_set(category, count, seed)
        for index, samples in enumerate(audio):
            name = f"synth/{fold}/{category}_{index:05d}"
            yield Sound(quantise(samples), category, name, PROCEDURAL, fold)


def without_duplicates(sounds: Iterable[Sound]) -> tuple[list[Sound], list[Skipped]]:
    """Keep one of each set of equal sounds, one for training if there is one."""
    kept, skipped, seen = [], [], {}
    for sound in sorted(sounds, key=lambda s: s.fold == "validation"):
        digest = hashlib.blake2b(sound.audio.tobytes()).digest()
        if digest in seen:
            skipped.append(Skipped(sound.name, DUPLICATE, f"equals {seen[digest]}"))
        else:
            seen[digest] = sound.name
            kept.append(sound)
    return kept, skipped


def divide(
    sounds: Sequence[Sound], by_folder: bool, fraction: float, seed: int
) -> dict[str, list[Sound]]:
    """Split the sounds that have no fold yet; returns fold → sounds."""
    free = [sound for sound in sounds if sound.fold is None]
    categories = [sound.category for sound in free]
    if by_folder:
        kits = [sound.kit for sound in free]
        held = split_by_kit(categories, kits, fraction, seed)
    else:
        held = split_by_file(categories, fraction, seed)
    folds: dict[str, list[Sound]] = {"train": [], "validation": []}
    for sound in sounds:
        if sound.fold is not None:
            folds[sound.fold].append(sound)
    for sound, validation in zip(free, held, strict=True):
        folds["validation" if validation else "train"].append(sound)
    return folds


def trainable(
    folds: dict[str, list[Sound]],
) -> tuple[dict[str, list[Sound]], tuple[str, ...], list[Skipped]]:
    """Leave out categories without a training sound.

    Returns the folds, what categories stay, in canonical order, and the sounds left out.

    Raises:
        DataError: fewer than two categories stay.
    """
    trained = {sound.category for sound in folds["train"]}
    if len(trained) < 2:
        only = f"only {next(iter(trained))}" if trained else "no category"
        raise DataError(
            f"{only} has sounds to train on, and a model needs at least two categories; add "
            "folders, name categories in a --categories table or add --synth_per_category=300."
        )
    kept = {fold: [s for s in sounds if s.category in trained] for fold, sounds in folds.items()}
    lost = [s for sounds in folds.values() for s in sounds if s.category not in trained]
    skipped = [Skipped(s.name, UNTRAINED, s.category) for s in lost]
    return kept, tuple(category for category in CATEGORIES if category in trained), skipped
