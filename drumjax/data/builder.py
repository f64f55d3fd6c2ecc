"""Writes and reads prepared data sets as TFDS array_record files. TensorFlow is never imported."""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import example_serializer, file_adapters, naming
from tensorflow_datasets.core.utils import shard_utils

from drumjax.data import mapped
from drumjax.data.ledger import Ledger
from drumjax.data.normalise import NUM_SAMPLES, SAMPLE_RATE, pad
from drumjax.data.parts import Place, fetch, told
from drumjax.data.scan import as_text
from drumjax.data.source import Source
from drumjax.errors import DataError
from drumjax.integrity import (
    DATA_SET,
    IntegrityError,
    has_manifest,
    verify_folder,
    write_manifest,
)

_MARK = "dataset_info.json"  # the file that tells a data set from any other folder
_NAME, _VERSION = "drum_sounds", "1.0.0"
_SEALED = "manifest"  # in the metadata: the data set was written with a manifest


class Shard(NamedTuple):
    """A file of records to write; may be sent to another process or machine."""

    path: str
    receipt: str  # written when the shard is: what it was made of, and its size
    parts: str
    array: str
    first: int  # row of the array
    total: int  # rows of the array
    categories: list[str]
    sounds: list[tuple[str, str, str, list]]  # name, category, kit and place of each


Run = Callable[[Callable[[Shard], None], Iterable[Shard]], Generator[Shard, None, None]]


def check_output(directory: Path, overwrite: bool) -> None:
    """See that a data set may be written to `directory`.

    Raises:
        DataError: it exists, is not empty and `overwrite` is not given, it is something else than
            a prepared data set, a mount point, its name is no UTF-8, or nothing can be written
            there.
    """
    if as_text(directory) != directory.as_posix():
        raise DataError(f"the name {as_text(directory)} is no UTF-8; choose another --output.")
    with told(f"nothing can be written to {directory}", "choose another --output", (OSError,)):
        if directory.exists() and not _is_empty(directory):
            if not _is_ours(directory):
                raise DataError(
                    f"{directory} exists and is no prepared data set; choose another --output."
                )
            if not overwrite:
                raise DataError(f"{directory} exists; choose another --output or add --overwrite.")
        if os.path.ismount(directory):  # which cannot be moved away when the new one is complete
            raise DataError(f"{directory} is a mount point; name a folder inside it with --output.")
        above = next(path for path in directory.absolute().parents if path.exists())
        if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
            raise DataError(f"nothing can be written to {above}; choose another --output.")


def write_dataset(
    directory: Path,
    ledger: Ledger,
    categories: Sequence[str],
    metadata: dict[str, Any],
    write_notes: Callable[[Path], None],
    run: Run,
    overwrite: bool = True,
) -> None:
    """Write the data set that a ledger has decided on, with notes beside it.

    It is moved to `directory` when it is complete; until then an older data set is kept there.

    Args:
        write_notes: writes files into the folder that it is told.
        run: does jobs; yields each when it is done.
        overwrite: whether a data set that is there may be replaced; nothing else ever is.

    Raises:
        DataError: it cannot be written, such as when the disk is full, or may not be replaced.
    """
    made = ledger.folder / "made"
    metadata = {**metadata, "sample_rate": SAMPLE_RATE, "num_samples": NUM_SAMPLES, _SEALED: True}
    with told(
        f"the data set cannot be written to {directory}", "make room, or choose another --output"
    ):
        for folder in (made, ledger.folder / "shards"):
            folder.mkdir(exist_ok=True)
        folds = {fold: n for fold in ("train", "validation") if (n := ledger.count(fold))}
        splits = []
        for fold, count in folds.items():
            mapped.reserve(made, fold, count)
            shards = _shards(ledger, made, fold, count, categories)
            with contextlib.closing(run(write_shard, shards)) as done:  # before the folder is free
                sizes = [_checked(shard) for shard in done]
            splits.append(_split_info(made, fold, count, sizes))
        _remove_others(made, splits)
        _info(made, categories, metadata, splits).write_to_directory(made)
        write_notes(made)
        write_manifest(made, DATA_SET)
        check_output(directory, overwrite)  # again: the work may have taken hours
        _replace(directory, made, ledger.folder / "before")


def write_shard(shard: Shard) -> None:
    """Write a file of records and its rows of the array, unless that is done."""
    if _written(shard) is not None:
        return
    features = _features(shard.categories)
    serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
    sizes = []

    def records() -> Iterator[tuple[str, bytes]]:
        places = [Place(*place) for *_, place in shard.sounds]
        padded = (pad(audio) for audio in fetch(Path(shard.parts), places))
        written = mapped.put(Path(shard.array), shard.first, shard.total, padded)
        for audio, sound in zip(written, shard.sounds, strict=True):
            example = features.encode_example(_example(audio, *sound))
            # TFDS's own serialize_example leaves the order of the fields to chance
            record = serializer.get_tf_example(example).SerializeToString(deterministic=True)
            sizes.append(len(record))
            yield sound[0], record

    beside = f"{shard.path}.tmp"
    file_adapters.ArrayRecordFileAdapter.write_examples(beside, records())
    with open(beside, "rb+") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    os.replace(beside, shard.path)
    receipt = {"made of": _digest(shard), "sha256": digest, "bytes": sum(sizes)}
    Path(shard.receipt).write_text(json.dumps(receipt), "utf-8")


def _checked(shard: Shard) -> int:
    """The bytes of the records of a shard that has been written."""
    if (size := _written(shard)) is None:
        raise DataError(f"{shard.path} is not what was written; run the same command again.")
    return size


def _written(shard: Shard) -> int | None:
    """The bytes of the records, if they and the rows of the array are on disk.

    Receipts stay from tries with other options, which share the files: contents are compared.
    """
    receipt = _receipt(Path(shard.receipt))
    if receipt.get("made of") != _digest(shard) or not Path(shard.path).exists():
        return None
    with open(shard.path, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != receipt.get("sha256"):
            return None
    places = [Place(*place) for *_, place in shard.sounds]
    same = mapped.holds(Path(shard.array), shard.first, shard.total, places)
    return receipt["bytes"] if same else None


def _example(audio: np.ndarray, name: str, category: str, kit: str, place: Sequence) -> dict:
    length = Place(*place).length
    return {"audio": audio, "category": category, "length": length, "name": name, "kit": kit}


def _features(categories: Sequence[str]) -> tfds.features.FeaturesDict:
    return tfds.features.FeaturesDict(
        {
            "audio": tfds.features.Tensor(shape=(NUM_SAMPLES,), dtype=np.int16, encoding="bytes"),
            "category": tfds.features.ClassLabel(names=list(categories)),
            "length": tfds.features.Scalar(np.int32),
            "name": tfds.features.Text(),
            "kit": tfds.features.Text(),
        }
    )


def _info(
    made: Path,
    categories: Sequence[str],
    metadata: dict[str, Any],
    splits: Sequence[tfds.core.SplitInfo],
) -> tfds.core.DatasetInfo:
    """What TFDS writes about one-shots of equal rate and padded length."""
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=_NAME,
        version=tfds.core.Version(_VERSION),
        data_dir=os.fspath(made),
        module_name=__name__,
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        features=_features(categories),
        metadata=tfds.core.MetadataDict(metadata),
    )
    info.set_file_format("array_record")
    info.set_splits(tfds.core.splits.SplitDict(splits))
    return info


def _shards(
    ledger: Ledger, made: Path, fold: str, count: int, categories: Sequence[str]
) -> Iterator[Shard]:
    """The shards of a fold, one at a time; its table is written on the way."""
    first, rows = 0, ledger.rows(fold)
    with mapped.table_path(made, fold).open("w", encoding="utf-8") as table:
        for path, length in zip(*_files(made, fold, count), strict=True):
            sounds = []
            for row in itertools.islice(rows, length):
                sounds.append((row.name, row.category, row.kit, list(row.place)))
                table.write(
                    mapped.line(categories.index(row.category), row.place.length, row.name, row.kit)
                )
            table.flush()  # or it is written, over what a next try wrote, when this is collected
            yield Shard(
                path=os.fspath(path),
                receipt=os.fspath(ledger.folder / "shards" / f"{path.name}.json"),
                parts=os.fspath(ledger.parts),
                array=os.fspath(mapped.array_path(made, fold)),
                first=first,
                total=count,
                categories=list(categories),
                sounds=sounds,
            )
            first += length


def _template(made: Path, fold: str) -> naming.ShardedFileTemplate:
    return naming.ShardedFileTemplate(
        data_dir=epath.Path(made), dataset_name=_NAME, split=fold, filetype_suffix="array_record"
    )


def _files(made: Path, fold: str, count: int) -> tuple[list[Path], list[int]]:
    """The files of a fold of `count` sounds, as many as its size asks for, and their lengths."""
    number = shard_utils.ShardConfig().get_number_shards(2 * NUM_SAMPLES * count, count)
    ends = shard_utils.get_shard_boundaries(count, number)
    paths = [Path(path) for path in _template(made, fold).sharded_filepaths(number)]
    return paths, [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _split_info(made: Path, fold: str, count: int, sizes: Sequence[int]) -> tfds.core.SplitInfo:
    """What TFDS notes about a fold; `sizes` are the bytes of its shards' records."""
    paths, lengths = _files(made, fold, count)
    if len(sizes) < len(paths):
        raise DataError("not all files have been written; run the same command again.")
    return tfds.core.SplitInfo(
        name=fold,
        shard_lengths=lengths,
        num_bytes=sum(sizes),
        filename_template=_template(made, fold),
    )


def _remove_others(made: Path, splits: Sequence[tfds.core.SplitInfo]) -> None:
    """Remove what a try with other options has left."""
    ours = {Path(path).name for split in splits for path in split.filepaths}
    ours |= {mapped.array_path(made, split.name).name for split in splits}
    ours |= {mapped.table_path(made, split.name).name for split in splits}
    for path in made.iterdir():
        if path.name not in ours:
            path.unlink()


def _receipt(path: Path) -> dict[str, Any]:
    """What is noted about a shard; nothing if that was written by halves."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _digest(shard: Shard) -> str:
    """What a shard is made of."""
    told = [shard.first, shard.total, shard.categories, shard.sounds]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def read_split(directory: str | PathLike[str], split: str) -> Source:
    """Map a split, or read one that has no array into memory; see `source.load_source`.

    What is read is first compared with the data set's manifest.
    """
    builder = _open(Path(directory), split)
    if split not in builder.info.splits:
        raise DataError(f"the data set {directory} has no {split} sounds; prepare it with more.")
    with told(f"the data set {directory} is damaged", "prepare it again with --overwrite"):
        if (source := mapped.read_mapped(Path(directory), split)) is not None:
            return source
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


def _open(directory: Path, split: str = "") -> tfds.core.DatasetBuilder:
    """Verify a data set's notes, and a split's sounds if one is named; then read the notes."""
    sealed = has_manifest(directory)
    if not (_is_ours(directory) or (sealed and (directory / _MARK).is_file())):
        raise DataError(
            f"{directory} is no prepared data set; make one with "
            "'python -m drumjax prepare --input=FOLDER --output=DIR'."
        )
    remedy = "prepare it again with --overwrite"
    try:
        if sealed:
            verify_folder(directory, DATA_SET, lambda name: _is_used(directory, name, split))
    except IntegrityError as error:
        raise DataError(f"the data set {directory} is damaged ({error.what}); {remedy}.") from error
    with told(f"the data set {directory} is damaged", remedy):
        builder = tfds.builder_from_directory(directory)
        lost = not sealed and _SEALED in (builder.info.metadata or {})
    if lost:
        raise DataError(f"the data set {directory} is damaged (its manifest is lost); {remedy}.")
    if split and not sealed:
        line = f"{directory} has no manifest, as it is of an older drumjax: it cannot be verified."
        print(line, file=sys.stderr, flush=True)
    return builder


def _is_used(directory: Path, name: str, split: str) -> bool:
    """Whether `read_split` reads a file: the notes, and a split's array or else its records."""
    array, table = mapped.array_path(directory, split), mapped.table_path(directory, split)
    if name.endswith((".npy", ".jsonl")):
        return name in (array.name, table.name)
    if ".array_record" in name:
        return f"-{split}.array_record" in name and not array.exists()
    return True


def _is_ours(directory: Path) -> bool:
    """Whether a data set that `write_dataset` wrote lies in `directory`."""
    try:
        info = json.loads((directory / _MARK).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(info, dict) and info.get("name") == _NAME


def _is_empty(directory: Path) -> bool:
    return directory.is_dir() and not any(directory.iterdir())


def _replace(directory: Path, written: Path, before: Path) -> None:
    """Move `written` to `directory`; what is there goes to `before`, and comes back on failure."""
    try:
        if before.exists() and directory.exists():
            shutil.rmtree(before)
        if directory.exists():
            os.rename(directory, before)
        os.rename(written, directory)
    except BaseException:  # an interruption, too
        if before.exists() and not directory.exists():
            os.rename(before, directory)
        raise
