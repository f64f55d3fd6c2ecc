"""Writes and reads prepared data sets as TFDS array_record files. TensorFlow is never imported."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from drumjax.data.normalise import NUM_SAMPLES, SAMPLE_RATE, Sound, pad
from drumjax.data.scan import as_text
from drumjax.data.source import Source
from drumjax.errors import DataError

_MARK = "dataset_info.json"  # the file that tells a data set from any other folder


class DrumSounds(tfds.core.GeneratorBasedBuilder):
    """One-shots of equal rate and padded length, with category, length, name and kit."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = None  # nothing is downloaded: TFDS need not look for checksums beside this file

    def __init__(
        self,
        folds: Mapping[str, Sequence[Sound]],
        categories: Sequence[str],
        metadata: dict[str, Any],
        **options,
    ):
        self._folds, self._categories, self._metadata = folds, list(categories), metadata
        super().__init__(file_format="array_record", **options)

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "audio": tfds.features.Tensor(
                    shape=(NUM_SAMPLES,), dtype=np.int16, encoding="bytes"
                ),
                "category": tfds.features.ClassLabel(names=self._categories),
                "length": tfds.features.Scalar(np.int32),
                "name": tfds.features.Text(),
                "kit": tfds.features.Text(),
            }
        )
        metadata = tfds.core.MetadataDict(self._metadata)
        return tfds.core.DatasetInfo(builder=self, features=features, metadata=metadata)

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
        return {fold: self._generate_examples(sounds) for fold, sounds in self._folds.items()}

    def _generate_examples(self, sounds: Sequence[Sound]) -> Iterator[tuple[str, dict]]:
        for sound in sounds:
            example = {
                "audio": pad(sound.audio),
                "category": sound.category,
                "length": len(sound.audio),
                "name": sound.name,
                "kit": sound.kit,
            }
            yield sound.name, example


def check_output(directory: Path, overwrite: bool) -> None:
    """See that a data set may be written to `directory`.

    Raises:
        DataError: it exists, is not empty and `overwrite` is not given, it is something else than
            a prepared data set, its name is no UTF-8, or nothing can be written there.
    """
    if as_text(directory) != directory.as_posix():
        raise DataError(f"the name {as_text(directory)} is no UTF-8; choose another --output.")
    if directory.exists() and not _is_empty(directory):
        if not _is_ours(directory):
            raise DataError(
                f"{directory} exists and is no prepared data set; choose another --output."
            )
        if not overwrite:
            raise DataError(f"{directory} exists; choose another --output or add --overwrite.")
    above = next(path for path in directory.absolute().parents if path.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise DataError(f"nothing can be written to {above}; choose another --output.")


def write_dataset(
    directory: Path,
    folds: Mapping[str, Sequence[Sound]],
    categories: Sequence[str],
    metadata: dict[str, Any],
    notes: Mapping[str, str],
) -> None:
    """Write a data set, with `notes` as text files beside it.

    It is moved to `directory` when it is complete; until then an older data set is kept there.

    Raises:
        DataError: it cannot be written, such as when the disk is full.
    """
    tfds.disable_progress_bar()
    metadata = {**metadata, "sample_rate": SAMPLE_RATE, "num_samples": NUM_SAMPLES}
    with _said(
        f"the data set cannot be written to {directory}", "make room, or choose another --output"
    ):
        directory.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        try:
            builder = DrumSounds(
                folds={fold: sounds for fold, sounds in folds.items() if sounds},
                categories=categories,
                metadata=metadata,
                data_dir=workplace,
            )
            with contextlib.redirect_stdout(None):  # TFDS announces a download
                builder.download_and_prepare()
            for name, text in notes.items():
                (Path(builder.data_dir) / name).write_text(text, encoding="utf-8")
            _replace(directory, Path(builder.data_dir), workplace / "before")
        finally:
            shutil.rmtree(workplace, ignore_errors=True)


def read_split(directory: str | PathLike[str], split: str) -> Source:
    """Read a split into memory; see `source.load_source`."""
    builder = _open(Path(directory))
    if split not in builder.info.splits:
        raise DataError(f"the data set {directory} has no {split} sounds; prepare it with more.")
    with _said(f"the data set {directory} is damaged", "prepare it again with --overwrite"):
        examples = builder.as_data_source(split)
        audio = np.empty((len(examples), NUM_SAMPLES), np.int16)
        rest = []
        for row, example in zip(audio, examples, strict=True):
            row[:] = example.pop("audio")
            rest.append(example)
    return Source(
        audio=audio,
        category=np.array([e["category"] for e in rest], np.int32),
        length=np.array([e["length"] for e in rest], np.int32),
        names=tuple(e["name"].decode() for e in rest),
        kits=tuple(e["kit"].decode() for e in rest),
        categories=tuple(builder.info.features["category"].names),
        sample_rate=int(builder.info.metadata["sample_rate"]),
    )


def read_metadata(directory: str | PathLike[str]) -> dict[str, Any]:
    """What `prepare` noted: sample_rate, num_samples, categories, seed, options and counts.

    Raises:
        DataError: `directory` is no prepared data set.
    """
    return dict(_open(Path(directory)).info.metadata)


def _open(directory: Path) -> tfds.core.DatasetBuilder:
    if not _is_ours(directory):
        raise DataError(
            f"{directory} is no prepared data set; make one with "
            "'python -m drumjax prepare --input=FOLDER --output=DIR'."
        )
    with _said(f"the data set {directory} is damaged", "prepare it again with --overwrite"):
        return tfds.builder_from_directory(directory)


def _is_ours(directory: Path) -> bool:
    """Whether a data set that `write_dataset` wrote lies in `directory`."""
    try:
        info = json.loads((directory / _MARK).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(info, dict) and info.get("name") == DrumSounds.name


def _is_empty(directory: Path) -> bool:
    return directory.is_dir() and not any(directory.iterdir())


def _replace(directory: Path, written: Path, before: Path) -> None:
    """Move `written` to `directory`; what is there goes to `before`, and comes back on failure."""
    try:
        if directory.exists():
            os.rename(directory, before)
        os.rename(written, directory)
    except BaseException:  # an interruption, too
        if before.exists() and not directory.exists():
            os.rename(before, directory)
        raise


@contextlib.contextmanager
def _said(what: str, remedy: str) -> Iterator[None]:
    """Turn any error into one sentence; neither TFDS nor array_record names its error types."""
    try:
        yield
    except Exception as error:
        cause = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(f"{what} ({cause}); {remedy}.") from error
