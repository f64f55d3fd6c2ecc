"""`prepare` at scale: processes, going on after an end, Apache Beam, and the mapped array."""

import contextlib
import errno
import gc
import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from one_shots import burst, prepare, reasons, two_kits, write

from drumjax.data import assemble, builder, mapped, parts
from drumjax.data.ledger import Ledger
from drumjax.data.normalise import NUM_SAMPLES
from drumjax.data.pool import run_jobs
from drumjax.data.source import load_source
from drumjax.errors import ConfigError, DataError
from drumjax.lock import BusyError

TOLD = {"metadata.json", "report.json", "manifest.json"}  # they hold the command line


@pytest.fixture
def folder(tmp_path):
    root = two_kits(tmp_path / "in")
    write(root / "808" / "kick again.wav", burst(0))  # equals Kick 0
    (root / "snare broken.wav").write_text("text")
    return root


def in_files(monkeypatch, number):
    """Divide each fold into as many files of records as far more sounds would fill."""
    config = builder.shard_utils.ShardConfig
    monkeypatch.setattr(config, "get_number_shards", lambda self, _, n, *__: min(number, n))


@pytest.fixture
def three_files(monkeypatch):
    in_files(monkeypatch, 3)


def contents(output):
    return {p.name: p.read_bytes() for p in output.iterdir() if p.name not in TOLD}


# One result, whoever does the work


def test_the_bytes_do_not_depend_on_the_number_of_processes(folder, monkeypatch, three_files):
    monkeypatch.setattr("drumjax.commands.prepare._BATCH", 3)
    one = prepare(folder, "--workers=1", output=folder.parent / "one")
    two = prepare(folder, "--workers=2", output=folder.parent / "two")
    assert contents(one) == contents(two)
    assert reasons(two) == {"unreadable": 1, "duplicate": 1}


def test_beam_makes_the_same_data_set(folder):
    pytest.importorskip("apache_beam")
    here = prepare(folder, output=folder.parent / "here")
    there = prepare(folder, "--runner=DirectRunner", output=folder.parent / "there")
    assert contents(here) == contents(there)


def test_beam_that_is_not_installed_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ConfigError, match=r"drumjax\[beam\]"):
        prepare(folder, "--runner=DirectRunner")
    assert [p.name for p in folder.parent.iterdir()] == ["in"]


class Plain(tfds.core.GeneratorBasedBuilder):
    """The same data set as TFDS writes it by itself."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = None
    name = "drum_sounds"

    def __init__(self, sources, **options):
        self.sources = sources
        super().__init__(file_format="array_record", **options)

    def _info(self):
        audio = tfds.features.Tensor(shape=(NUM_SAMPLES,), dtype=np.int16, encoding="bytes")
        label = tfds.features.ClassLabel(names=["kick", "snare"])
        number, text = tfds.features.Scalar(np.int32), tfds.features.Text()
        features = {"audio": audio, "category": label, "length": number, "name": text, "kit": text}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict({"sample_rate": 22050}),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(s) for split, s in self.sources.items()}

    def _generate_examples(self, source):
        fields = ("audio", "category", "length", "name", "kit")
        rows = zip(*source[:5], strict=True)
        for values in sorted(rows, key=lambda row: row[3]):
            yield values[3], dict(zip(fields, values, strict=True))


@pytest.fixture
def plain(folder, tmp_path, capfd):
    """Folders with our data set and with TFDS's own of the same sounds, given in another order."""
    output = prepare(folder)
    sources = {split: load_source(output, split) for split in ("train", "validation")}
    builder = Plain(sources, data_dir=tmp_path / "tfds")
    builder.download_and_prepare()
    return output, Path(builder.data_dir)


def test_tfds_writes_the_same_records_in_the_same_order(plain):
    ours, theirs = (tfds.builder_from_directory(path) for path in plain)
    for split, info in ours.info.splits.items():
        assert info.num_bytes == theirs.info.splits[split].num_bytes
        assert info.shard_lengths == theirs.info.splits[split].shard_lengths
        pairs = zip(ours.as_data_source(split), theirs.as_data_source(split), strict=True)
        for mine, other in pairs:
            np.testing.assert_equal(mine, other)


def test_the_mapped_array_says_what_the_records_say(plain):
    """Oracle: the same records without an array beside them, which TFDS reads."""
    for split in ("train", "validation"):
        quick, slow = (load_source(path, split) for path in plain)
        assert isinstance(quick.audio.base.base, mmap.mmap)
        assert isinstance(quick.audio, np.ndarray)
        assert not isinstance(quick.audio, np.memmap)
        np.testing.assert_equal(quick._asdict(), slow._asdict())


# Going on


def command(folder):
    flags = [f"--input={folder}", f"--output={folder.parent / 'out'}", "--workers=2"]
    return [sys.executable, "-m", "drumjax", "prepare", *flags]


def children(pid):
    """Processes that `pid` has started and that run."""
    stats = [p.read_text() for p in Path("/proc").glob("[0-9]*/stat") if p.exists()]
    fields = [(s.split()[0], s.rpartition(")")[2].split()) for s in stats]
    return [int(child) for child, (_, parent, *_) in fields if int(parent) == pid]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_same_command_goes_on_where_it_was_ended(tmp_path, monkeypatch, how):
    folder, kept = tmp_path / "in", tmp_path / ".out-partial" / "parts"
    for i in range(320):
        write(folder / f"{'kick' if i % 2 else 'snare'} {i}.wav", burst(i, 0.3, 96000), 96000)
    process = subprocess.Popen(command(folder), stderr=subprocess.PIPE, start_new_session=True)
    wait_for(lambda: list(kept.glob("*.json")))
    begun = children(process.pid)
    os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()
    _, error = process.communicate()
    assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    assert b"Traceback" not in error
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in begun))

    done = sum(len(json.loads(p.read_text())) for p in kept.glob("*.json"))
    assert 0 < done < 320
    read, seen = assemble.read_sound, []
    monkeypatch.setattr(assemble, "read_sound", lambda *a: (seen.append(a), read(*a))[1])
    output = prepare(folder, "--workers=1")
    assert len(seen) == 320 - done
    unbroken = prepare(folder, "--workers=1", output=tmp_path / "unbroken")
    assert contents(output) == contents(unbroken)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out", "unbroken"]


def test_a_file_that_has_changed_is_read_again(folder, monkeypatch):
    monkeypatch.setattr("drumjax.data.builder.pad", lambda audio: 1 / 0)
    with pytest.raises(DataError, match=r"kept in .*\.out-partial for the next try"):
        prepare(folder)
    monkeypatch.undo()
    write(folder / "808" / "Kick 1.wav", burst(77, 0.5))
    output = prepare(folder, "--validation=0.4")
    both = [load_source(output, split) for split in ("train", "validation")]
    lengths = {name: n for s in both for name, n in zip(s.names, s.length, strict=True)}
    assert lengths["808/Kick 1.wav"] == pytest.approx(11025, abs=5)
    assert len(both[1].names) == 4


def test_what_is_left_of_a_try_is_not_written_over_the_next(folder, monkeypatch):
    monkeypatch.setattr("drumjax.data.builder.pad", lambda audio: 1 / 0)
    with pytest.raises(DataError, match="next try") as caught:
        prepare(folder)
    monkeypatch.undo()
    output = prepare(folder, "--validation=0.4")
    before = contents(output)
    del caught  # with it goes what was in hand when the first try failed
    gc.collect()
    assert contents(output) == before


def test_shards_that_are_written_are_not_written_again(folder, monkeypatch):
    first = builder.pad
    calls = []

    def fail_at_nine(audio):
        calls.append(audio)
        if len(calls) == 9:
            raise OSError(28, "No space left on device")
        return first(audio)

    monkeypatch.setattr(builder, "pad", fail_at_nine)
    with pytest.raises(DataError, match="No space left"):
        prepare(folder)
    output = prepare(folder)
    assert len(calls) == 9 + 2  # eight for training, and two to validate with, one of them twice
    monkeypatch.undo()
    assert contents(output) == contents(prepare(folder, output=folder.parent / "again"))


# Several files of records


def end_at(monkeypatch, number):
    """End `prepare` when it writes its n-th sound; returns a list that grows with each."""
    pad, calls = builder.pad, []

    def count(audio):
        calls.append(audio)
        if len(calls) == number:
            raise KeyboardInterrupt
        return pad(audio)

    monkeypatch.setattr(builder, "pad", count)
    return calls


def test_several_files_hold_what_one_holds(folder, monkeypatch):
    """Oracle: one file for all, and the records, which TFDS finds by the files' lengths."""
    one = prepare(folder, output=folder.parent / "one")
    in_files(monkeypatch, 3)
    three = prepare(folder, output=folder.parent / "three")
    for split, lengths in (("train", [3, 2, 3]), ("validation", [1, 1])):
        for name in (f"{split}.npy", f"{split}.jsonl"):
            assert (three / name).read_bytes() == (one / name).read_bytes()
        read = tfds.builder_from_directory(three)
        assert read.info.splits[split].shard_lengths == lengths
        assert len(list(three.glob(f"*-{split}.array_record-*"))) == len(lengths)
        source = load_source(three, split)
        pairs = zip(source.names, source.audio, read.as_data_source(split), strict=True)
        for name, audio, record in pairs:
            assert record["name"].decode() == name
            np.testing.assert_array_equal(record["audio"], audio)


def test_an_end_between_and_within_files_costs_no_file(folder, monkeypatch, three_files):
    unbroken = contents(prepare(folder, output=folder.parent / "unbroken"))
    written = []
    for number in range(1, 20):  # the first sound, the second, ...
        with monkeypatch.context() as patch:
            calls = end_at(patch, number)
            with contextlib.suppress(KeyboardInterrupt):
                prepare(folder)
        written.append(len(calls))
        if len(calls) < number:
            break
    # files of 3, 2, 3, 1 and 1 sounds: the first is whole after the fourth try, then two more
    assert written == [1, 2, 3, 4, 5, 5]
    assert contents(folder.parent / "out") == unbroken


@pytest.mark.parametrize("between", ["--validation=0.5", "--seed=5"])
@pytest.mark.parametrize("files", [1, 3])
def test_a_try_with_other_options_between_leaves_no_trace(folder, monkeypatch, between, files):
    in_files(monkeypatch, files)
    unbroken = prepare(folder, output=folder.parent / "unbroken")
    with monkeypatch.context() as patch:
        patch.setattr(builder, "_info", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            prepare(folder)
    with monkeypatch.context() as patch:
        end_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            prepare(folder, between)
    assert contents(prepare(folder)) == contents(unbroken)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("made/train.npy", lambda path: flip(path, 60_000)),
        ("made/train.npy", lambda path: os.truncate(path, 100_000)),
        ("made/*-train.array_record-00001-*", lambda path: flip(path, 20_000)),
        ("made/*-train.array_record-00001-*", Path.unlink),
        ("shards/*-train.array_record-00001-*", lambda path: os.truncate(path, 20)),
        ("shards/*-train.array_record-00001-*", Path.unlink),
    ],
)
def test_what_is_damaged_between_two_tries_is_written_again(
    folder, monkeypatch, three_files, pattern, damage
):
    unbroken = prepare(folder, output=folder.parent / "unbroken")
    with monkeypatch.context() as patch:
        end_at(patch, 9)
        with pytest.raises(KeyboardInterrupt):
            prepare(folder)
    (path,) = (folder.parent / ".out-partial").glob(pattern)
    damage(path)
    assert contents(prepare(folder)) == contents(unbroken)


def at_the_first_row(path, first, count, sounds, put=mapped.put):
    return put(path, 0, count, sounds)


@pytest.mark.parametrize(
    ("name", "instead", "message"),
    [
        ("drumjax.data.mapped.put", at_the_first_row, "is not what was written"),
        ("drumjax.data.builder.write_shard", lambda shard: None, "is not what was written"),
        ("drumjax.commands.prepare._write_shards", lambda *_: (x for x in ()), "not all files"),
    ],
)
def test_no_manifest_is_made_for_what_was_not_written(
    folder, monkeypatch, three_files, name, instead, message
):
    with monkeypatch.context() as patch:
        patch.setattr(name, instead)
        with pytest.raises(DataError, match=message):
            prepare(folder)
    assert not (folder.parent / "out").exists()
    prepare(folder)


# One at a time


def test_two_at_the_same_output_are_one_too_many(folder):
    ledger = Ledger(folder.parent / ".out-partial")
    with pytest.raises(BusyError, match="another prepare is at work"):
        prepare(folder)
    ledger.remove()
    prepare(folder)


def test_nobody_begins_in_a_folder_that_is_being_removed(tmp_path, monkeypatch):
    pytest.importorskip("fcntl")
    first, rmtree, met = Ledger(tmp_path / "place"), shutil.rmtree, []

    def begin(path, **options):
        rmtree(path, **options)
        with pytest.raises(BusyError, match="another prepare is at work") as caught:
            Ledger(tmp_path / "place")
        met.append(caught)

    monkeypatch.setattr(shutil, "rmtree", begin)
    first.remove()
    assert len(met) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_named(folder, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(DataError, match="cannot lock files; choose an --output"):
        prepare(folder)


def test_memory_does_not_grow_with_the_sounds(tmp_path):
    """Ten times the sounds, which would be 12 MB more as int16, take at most 2 MB more."""
    peaks = []
    for count in (30, 30, 300):  # the first time, modules are imported
        for i in range(count):
            write(tmp_path / f"{count}" / f"{'kick' if i % 2 else 'tom'} {i}.wav", burst(i))
        tracemalloc.start()
        prepare(tmp_path / f"{count}", "--workers=1", "--overwrite")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 2e6


def test_a_disk_that_is_full_while_reading_is_named(folder, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(assemble, "write_part", fail)
    with pytest.raises(DataError, match=r"cannot be kept .*No space left.*; make room"):
        prepare(folder)
    assert [p.name for p in folder.parent.iterdir()] == ["in"]


# Damage on the way


def test_sounds_that_got_lost_are_missed(folder, monkeypatch):
    """As when another machine writes them where this one does not look."""
    write_part = assemble.write_part
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("drumjax.commands.prepare._BATCH", 4)
    monkeypatch.setattr(
        assemble,
        "write_part",
        lambda place, number, sounds: write_part(elsewhere if number else place, number, sounds),
    )
    with pytest.raises(DataError, match=r"8 of 12 sounds are not in .*all machines"):
        prepare(folder)


def test_a_part_that_lost_its_end_is_read_again(tmp_path):
    sounds = [("a", np.arange(1, 9, dtype=np.int16)), ("b", ("silent", ""))]
    parts.write_part(tmp_path, 3, sounds)
    first, second = parts.read_index(tmp_path, 3)
    assert (first.key, first.length, second.reason) == ("a", 8, "silent")
    place = parts.Place(3, 0, 8, first.digest)
    np.testing.assert_array_equal(next(parts.fetch(tmp_path, [place])), sounds[0][1])
    with pytest.raises(DataError, match=r"0000003\.pcm is damaged"):
        next(parts.fetch(tmp_path, [place._replace(start=1, length=7)]))
    with (tmp_path / "0000003.pcm").open("rb+") as file:
        file.truncate(14)
    assert parts.read_index(tmp_path, 3) == []


def test_a_process_that_dies_costs_only_what_it_died_of():
    lost = []
    jobs = [0, 0, 0, 0, 0, int(signal.SIGKILL), 0, 0, int(signal.SIGKILL), 0, 0]
    done = list(run_jobs(signal.raise_signal, iter(jobs), lambda job: [job], lost.append, 2))
    assert lost == [signal.SIGKILL] * 2
    assert sorted(done) == sorted(jobs)


def test_what_kills_the_reader_is_left_out(tmp_path):
    batch = assemble.Batch(str(tmp_path), 4, [("key", "a.wav"), ("other", "b.wav")], False)
    single = assemble.single_files(batch, iter((5, 6)).__next__)
    assert [(b.number, b.files) for b in single] == [(5, batch.files[:1]), (6, batch.files[1:])]
    assemble.give_up(single[0])
    assert parts.read_index(tmp_path, 5)[0].reason == "crashes the reader"


def test_what_killed_the_reader_is_tried_again_by_the_next_run(folder, monkeypatch):
    """It may have been the want of memory."""
    with monkeypatch.context() as patch:
        patch.setattr(assemble, "read_sound", lambda *_: (assemble.CRASHED, ""))
        with pytest.raises(DataError, match="12 crashes the reader"):
            prepare(folder)
    read = assemble.read_sound
    with monkeypatch.context() as patch:
        patch.setattr(
            assemble,
            "read_sound",
            lambda path, cut: (assemble.CRASHED, "") if "Kick 2" in path else read(path, cut),
        )
        end_at(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            prepare(folder)
    assert reasons(prepare(folder)) == {"unreadable": 1, "duplicate": 1}


def test_files_of_others_among_the_parts_are_passed_over(folder):
    place = folder.parent / ".out-partial" / "parts"
    place.mkdir(parents=True)
    for name in ("notes.json", "._0000001.json"):
        (place / name).write_text("{}")
    assert len(load_source(prepare(folder), "train").names) == 8
