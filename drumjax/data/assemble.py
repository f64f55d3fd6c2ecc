"""Reads sound files, or renders procedural drums, into the form that a data set takes."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drumjax.audio.files import read_audio
from drumjax.categories import CATEGORIES
from drumjax.data.ledger import CRASHED, DUPLICATE, FORM
from drumjax.data.normalise import Sound, UnfitError, normalise, quantise
from drumjax.data.parts import write_part
from drumjax.data.scan import Candidate, Skipped, as_text
from drumjax.errors import AudioDecodeError

PROCEDURAL = "procedural"  # the kit of all rendered sounds
GROUP = 64  # procedural sounds in a part; a multiple of what is computed at once


class Batch(NamedTuple):
    """Files to read into one part; may be sent to another process or machine."""

    folder: str  # of the parts
    number: int  # of the part
    files: list[tuple[str, str]]  # key and path
    cut_long: bool


class Rendered(NamedTuple):
    """A procedural sound before it is rendered."""

    key: str  # tells it from all others
    name: str
    category: str
    kit: str
    fold: str
    index: int  # among those of its category and fold


def read_sounds(candidates: Sequence[Candidate], cut_long: bool) -> Iterator[Sound | Skipped]:
    """Read and normalise files on all processor cores; results come in the order of the files."""

    def one(candidate: Candidate) -> Sound | Skipped:
        found = read_sound(candidate.path, cut_long)
        if isinstance(found, np.ndarray):
            return Sound(found, candidate.category, candidate.name, candidate.kit, candidate.fold)
        return Skipped(candidate.name, *found)

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield from pool.map(one, candidates)
    finally:
        pool.shutdown(cancel_futures=True)


def read_sound(path: str | Path, cut_long: bool) -> np.ndarray | tuple[str, str]:
    """Read and normalise a file: int16 [n], or why it is left out, in short and at length."""
    try:
        samples, rate = read_audio(path)
        return normalise(samples, rate, cut_long)
    except AudioDecodeError as error:
        return error.reason, as_text(str(error))
    except UnfitError as reason:
        return str(reason), ""


def read_batch(batch: Batch) -> None:
    """Read files into a part."""
    found = ((key, read_sound(path, batch.cut_long)) for key, path in batch.files)
    write_part(Path(batch.folder), batch.number, found)


def single_files(batch: Batch, number: Callable[[], int]) -> list[Batch]:
    """A batch for each of a batch's files; `number` makes numbers of parts."""
    return [batch._replace(number=number(), files=[file]) for file in batch.files]


def give_up(batch: Batch) -> None:
    """Leave out the files of a batch, because the process that reads them dies of it."""
    found = ((key, (CRASHED, "")) for key, _ in batch.files)
    write_part(Path(batch.folder), batch.number, found)


def render_sounds(
    count: int, fold: str, seed: int, categories: Sequence[str] = CATEGORIES, start: int = 0
) -> Iterator[Sound]:
    """Render procedural sounds [start, start + count) of each category for `fold`.

    The folds' seeds differ. The sounds last 0.1 to 1 second as they are rendered, and so are taken
    as they are.
    """
    from drumjax.synth.dataset import render_set  # compiles with jax

    for category in categories:
        audio, _ = render_set(category, count, _seed(fold, seed), start=start)
        for index, samples in enumerate(audio, start):
            name = _rendered(category, fold, seed, index).name
            yield Sound(quantise(samples), category, name, PROCEDURAL, fold)


def groups(counts: dict[str, int], seed: int) -> Iterator[list[Rendered]]:
    """All procedural sounds, `counts` (fold → count) of each category, in groups to render."""
    for fold, count in counts.items():
        for category in CATEGORIES:
            for start in range(0, count, GROUP):
                indices = range(start, min(start + GROUP, count))
                yield [_rendered(category, fold, seed, index) for index in indices]


def render_group(folder: Path, number: int, group: Sequence[Rendered], seed: int) -> None:
    """Render a group of procedural sounds into a part."""
    first = group[0]
    sounds = render_sounds(len(group), first.fold, seed, [first.category], first.index)
    pairs = zip((wanted.key for wanted in group), (s.audio for s in sounds), strict=True)
    write_part(folder, number, pairs)


def _rendered(category: str, fold: str, seed: int, index: int) -> Rendered:
    key = f"synth {FORM} {category} {_seed(fold, seed)} {index}"
    return Rendered(key, f"synth/{fold}/{category}_{index:05d}", category, PROCEDURAL, fold, index)


def _seed(fold: str, seed: int) -> int:
    return 2 * seed + (fold == "validation")


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
