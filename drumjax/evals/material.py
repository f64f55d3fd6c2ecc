"""The sounds that an evaluation needs, from a prepared data set or from a plain folder."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from drumjax.audio.mel import MelConfig
from drumjax.data.folder import load_folder, split_source, take
from drumjax.data.source import Source, fingerprint, load_source
from drumjax.errors import DataError

_HELD = 0.4  # share of a plain folder's sounds that generated ones are compared with
_LEAST = 12  # sounds of either side, below which nothing is said of generated ones


class Material(NamedTuple):
    """Sounds by what they are for; their categories are the subject's, in its order."""

    name: str  # the folder's own name
    judged: Source  # are sent through the networks
    held_out: Source | None  # generated sounds are compared with them
    train: Source | None  # train the classifiers, fit the embedding
    is_training: bool  # whether `train` is what the instrument was trained on
    kits_known: bool
    notes: tuple[str, ...]  # sentences for the report
    label: str = "held-out sounds"  # what the judged sounds are

    @property
    def digest(self) -> str:
        """SHA-256 of the sounds and categories that are used."""
        total = hashlib.sha256()
        for source in (self.judged, self.held_out, self.train):
            if source is not None:
                total.update(np.ascontiguousarray(source.audio).data)
                total.update(" ".join(source.categories[c] for c in source.category).encode())
        return total.hexdigest()


def load_material(
    path: str,
    split: str,
    categories: tuple[str, ...],
    mel: MelConfig,
    seed: int = 0,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, _: items,
    trained_on: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Material:
    """Read what `prepare` made, or else a plain folder; see `data.folder.load_folder`.

    Args:
      path: of either.
      split: which sounds of a prepared data set are sent through the networks.
      categories: those that the instrument knows.
      mel: its analysis, which says how long a sound is.
      seed: of a plain folder's division.
      progress: shows the files of a plain folder as they are read.
      trained_on: network -> the `fingerprint` of its training set, "sounds" and "crc", as far as
        that is known.

    Raises:
      DataError: nothing there can be used.
    """
    if _is_prepared(path):
        found = _of_data_set(path, split, trained_on)
    elif Path(path).is_dir():
        found = _of_folder(path, seed, progress)
    else:
        load_source(path, split)  # says what is wrong
        raise DataError(f"{path} is no folder; name one with --data.")
    judged, held_out, train = (
        None if source is None else _fitted(source, categories, mel)
        for source in (found.judged, found.held_out, found.train)
    )
    assert judged is not None
    unknown = sorted(set(found.judged.categories) - set(categories))
    notes = [*found.notes, *_left_out(found.judged, unknown)]
    if train is not None and held_out is not None and not _enough(train, held_out):
        train = held_out = None
        notes.append(
            f"New sounds are not compared with real ones: that takes {_LEAST} sounds to train "
            f"classifiers and {_LEAST} held out, of categories that both have, and 2 categories."
        )
    if not judged.names:
        raise DataError(
            f"None of the {len(found.judged.names)} sounds in {path} is of a category that the "
            f"instrument knows ({', '.join(categories)})."
        )
    if mel.num_samples < found.judged.audio.shape[1]:
        cut = int(np.sum(found.judged.length > mel.num_samples))
        notes.append(f"{cut} sounds are cut to the {mel.num_samples} samples of the instrument.")
    return found._replace(judged=judged, held_out=held_out, train=train, notes=tuple(notes))


def _is_prepared(path: str) -> bool:
    """Whether `prepare` wrote a data set there, readable or not."""
    return Path(path, "dataset_info.json").is_file()


def _of_data_set(path: str, split: str, trained_on: Mapping[str, Mapping[str, Any]]) -> Material:
    judged = load_source(path, split)
    held_out = judged if split == "validation" else load_source(path, "validation")
    train = judged if split == "train" else load_source(path, "train")
    is_training, notes = _compared(trained_on, train)
    label = "held-out sounds" if not notes else "sounds not known to be held out"
    if is_training:
        notes.append(
            "Of each network's checkpoints the one may have been chosen that does best on the "
            "held-out sounds, so they are a little easier than others."
        )
    if shared := set(held_out.kits) & set(train.kits):
        label += ", some of kits that training sounds have too"
        notes.append(
            f"{len(shared)} of the {len(set(held_out.kits))} held-out kits have sounds among the "
            "training sounds too: they are easier than kits that were never heard."
        )
    if split == "train":
        label = "training sounds"
        notes.append("Training sounds were sent through the networks: no claim rests on them.")
    name = Path(path).absolute().name
    return Material(name, judged, held_out, train, is_training, True, tuple(notes), label)


def _compared(trained_on: Mapping[str, Mapping[str, Any]], train: Source) -> tuple[bool, list[str]]:
    """Whether no network is known to have another training set and one to have this; notes."""
    crc, notes = fingerprint(train)["crc"], []
    others = {n: d["sounds"] for n, d in trained_on.items() if d.get("crc", crc) != crc}
    silent = [n for n, d in trained_on.items() if "crc" not in d]
    for name, sounds in others.items():
        notes.append(
            f"The {name} was trained on another data set ({sounds} sounds), so that the sounds "
            "called held out may have been among them."
        )
    if silent or not trained_on:
        notes.append(
            f"The training sounds of the {' and the '.join(silent) or 'networks'} are not noted, "
            "so that the sounds called held out may have been among them."
        )
    is_training = not others and len(silent) < len(trained_on)
    if not is_training:
        notes.append("Copies are not looked for: the instrument's training sounds are not here.")
    return is_training, notes


def _enough(train: Source, held_out: Source) -> bool:
    """Whether classifiers can be trained, and sounds of their categories are held out."""
    sides = {c for c in train.category.tolist()}, {c for c in held_out.category.tolist()}
    shared = list(sides[0] & sides[1])
    sizes = [int(np.isin(source.category, shared).sum()) for source in (train, held_out)]
    return min(map(len, sides)) > 1 and min(sizes) >= _LEAST


def _of_folder(path: str, seed: int, progress: Any) -> Material:
    folder = load_folder(path, progress)
    source, notes = folder.source, []
    notes.append("The sounds come from a plain folder; those over 1 second are cut with a fade.")
    if folder.skipped:
        listed = ", ".join(f"{n} {reason}" for reason, n in folder.skipped.items())
        notes.append(f"Files left out of the folder: {listed}.")
    if not folder.kits_known:
        notes.append(
            "Not every sound's kit is known, so some count as a kit each and the intervals are "
            "too narrow; put kits into folders, or name files KIT__NAME."
        )
    parts = split_source(source, _HELD, seed, by_kit=folder.kits_known)
    if parts is None:
        notes.append(
            f"{len(source.names)} sounds from {len(set(source.kits))} kits are too few to part "
            "into two sets, so generated sounds are not compared with real ones."
        )
        train = held_out = None
    else:
        train, held_out = parts
        how = "kit by kit" if folder.kits_known else "file by file"
        notes.append(
            f"For the generated sounds the folder was parted {how}: {len(train.names)} sounds "
            f"train the classifiers, {len(held_out.names)} are compared with."
        )
    notes.append(
        "Copies are not looked for: the instrument's own training sounds are not here, or not "
        "known to be; and nor is it known whether it was trained on the folder's."
    )
    name, known = Path(path).absolute().name, folder.kits_known
    label = "sounds not known to be held out"
    return Material(name, source, held_out, train, False, known, tuple(notes), label)


def _left_out(source: Source, unknown: list[str]) -> list[str]:
    """A sentence on sounds of categories that the instrument lacks."""
    counts = {c: int(np.sum(source.category == source.categories.index(c))) for c in unknown}
    listed = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    return [f"Left out, as the instrument has no such category: {listed}."] if listed else []


def _fitted(source: Source, categories: tuple[str, ...], mel: MelConfig) -> Source:
    """The sounds of known categories, in the instrument's order and length.

    Raises:
      DataError: another sample rate.
    """
    if source.sample_rate != mel.sample_rate:
        raise DataError(
            f"The sounds have {source.sample_rate} Hz and the instrument {mel.sample_rate} Hz; "
            "they cannot be compared."
        )
    index = {name: i for i, name in enumerate(categories)}
    place = np.array([index.get(name, -1) for name in source.categories])[source.category]
    kept = take(source._replace(category=place.astype(np.int32)), place >= 0)
    n = mel.num_samples
    audio = np.pad(kept.audio[:, :n], ((0, 0), (0, max(0, n - kept.audio.shape[1]))))
    length = np.minimum(kept.length, n)
    return kept._replace(audio=audio, length=length, categories=categories)
