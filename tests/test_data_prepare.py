"""`prepare` from the command line: what it takes, what it leaves out, and what it writes."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from one_shots import RATE, burst, names, prepare, reasons, two_kits, write

from drumjax.__main__ import main as command_line
from drumjax.commands.prepare import main
from drumjax.data.aliases import Aliases
from drumjax.data.assemble import render_sounds
from drumjax.data.builder import read_metadata
from drumjax.data.normalise import NUM_SAMPLES, normalise
from drumjax.data.scan import Skipped, scan_folders
from drumjax.data.source import load_source
from drumjax.errors import DataError


@pytest.fixture
def folder(tmp_path):
    return two_kits(tmp_path / "in")


# What is written


def test_round_trip_is_bit_exact(folder):
    output = prepare(folder)
    train, validation = load_source(output, "train"), load_source(output, "validation")
    assert train.categories == ("kick", "snare")
    assert (train.sample_rate, train.audio.dtype, train.audio.shape) == (RATE, np.int16, (8, 22015))
    assert len(validation.names) == 2
    assert set(validation.category) == {0, 1}
    for source in (train, validation):
        for audio, length, name, kit in zip(
            source.audio, source.length, source.names, source.kits, strict=True
        ):
            samples, _ = soundfile.read(folder / name, dtype="float32")
            expected = normalise(samples, RATE, False)
            assert length == len(expected)
            np.testing.assert_array_equal(audio[:length], expected)
            assert not audio[length:].any()
            assert kit == name.split("/")[0]


def test_metadata_is_stored(folder):
    metadata = read_metadata(prepare(folder, "--seed", "3", "--validation=0.4"))
    assert metadata["categories"] == ["kick", "snare"]
    assert (metadata["seed"], metadata["sample_rate"], metadata["num_samples"]) == (3, RATE, 22015)
    assert metadata["counts"]["validation"] == {"kick": 2, "snare": 2}
    assert "--validation=0.4" in metadata["command"]


def test_the_same_seed_divides_the_same_way(folder):
    first = names(prepare(folder), "validation")
    assert first == names(prepare(folder, output=folder.parent / "again"), "validation")


def test_whole_folders_are_held_back(folder):
    output = prepare(folder, "--split_by=folder")
    train, validation = load_source(output, "train"), load_source(output, "validation")
    assert set(validation.kits) == {"909"}
    assert set(train.kits) == {"808"}


def test_folders_that_name_a_category_part_no_kit(tmp_path):
    for i, place in enumerate(
        ("A/Kicks", "A/Snares/Tight", "B/808 Kicks", "B/Snares", "C/Kicks", "C/Snares")
    ):
        drum = "kick" if "Kick" in place else "snare"
        write(tmp_path / "in" / place / f"{drum}.wav", burst(i))
    output = prepare(tmp_path / "in", "--split_by=folder")
    train, validation = load_source(output, "train"), load_source(output, "validation")
    assert set(train.kits) | set(validation.kits) == {"A", "B", "C"}
    assert len(validation.names) == 2
    assert len(set(validation.kits)) == 1


def test_a_data_set_without_validation_is_refused(folder, tmp_path):
    for drum in ("Kicks", "Snares"):
        for i in range(3):
            write(tmp_path / "one" / drum / f"{i}.wav", burst(70 + i, 0.2 + 0.1 * (drum < "L")))
    with pytest.raises(DataError, match="--split_by=file"):
        prepare(tmp_path / "one", "--split_by=folder")
    write(tmp_path / "two" / "kick.wav", burst(0))
    write(tmp_path / "two" / "snare.wav", burst(1))
    with pytest.raises(DataError, match="no category has two sounds"):
        prepare(tmp_path / "two")
    table = folder / "table.csv"
    table.write_text("path,category,fold\n808/Kick 0.wav,kick,train\n808/Kick 1.wav,tom,train\n")
    with pytest.raises(DataError, match="no usable sound for validation"):
        prepare(folder, f"--manifest={table}")


def test_several_inputs(folder, capsys):
    write(folder.parent / "more" / "clap.wav", burst(30))
    both = f"{folder},{folder.parent / 'more'}"
    output = folder.parent / "out"
    assert main(["--input", both, "--output", str(output)]) == 0
    source = load_source(output, "train")
    assert source.categories == ("kick", "snare", "clap")
    assert {name.split("/")[0] for name in source.names} == {"in", "more"}
    assert "all in training: clap" in capsys.readouterr().out


def test_manifest_gives_categories_and_folds(folder):
    rows = [
        ["808/Kick 0.wav", "kick", "train", "A"],
        ["808/Kick 1.wav", "snare", "validation", "B"],
        ["808/Kick 2.wav", "snare", "train", "A"],
        ["808/Kick 3.wav", "ride", "train", "A"],
        ["gone.wav", "kick", "train", "A"],
    ]
    table = folder / "table.csv"
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows([["path", "category", "fold", "kit"], *rows])
    output = prepare(folder, f"--manifest={table}")
    train, validation = load_source(output, "train"), load_source(output, "validation")
    found = dict(zip(train.names, train.category, strict=True))
    assert found == {"808/Kick 0.wav": 0, "808/Kick 2.wav": 1}
    assert (validation.names, validation.kits) == (("808/Kick 1.wav",), ("B",))
    assert reasons(output) == {"none of the eleven categories": 1, "not there": 1}


def test_manifest_without_its_columns(folder):
    table = folder / "table.csv"
    table.write_text("path,category\na.wav,kick\n")
    with pytest.raises(DataError, match="fold"):
        prepare(folder, f"--manifest={table}")
    table.write_text("path,category,fold\na.wav,kick,test\n")
    with pytest.raises(DataError, match="line 2"):
        prepare(folder, f"--manifest={table}")


def test_manifest_with_semicolons_and_with_a_file_twice(folder):
    lines = ["kick,train", "snare,train", "kick,validation", "snare,validation"]
    text = "path,category,fold\n"
    text += "".join(f"808/Kick {i}.wav,{line}\n" for i, line in enumerate(lines))
    table = folder / "table.csv"
    table.write_text(text.replace(",", ";"))
    output = prepare(folder, f"--manifest={table}")
    assert names(output, "validation") == {"808/Kick 2.wav", "808/Kick 3.wav"}
    table.write_text(text + "808/Kick 0.wav,kick,validation\n")
    with pytest.raises(DataError, match=r"line 6: 808/Kick 0\.wav is in line 2"):
        prepare(folder, f"--manifest={table}", "--overwrite")


def test_the_input_folder_itself_may_say_the_category_and_hold_a_comma(folder):
    kicks = folder.parent / "Kicks, dry"
    (folder / "808").rename(kicks)
    candidates, skipped = scan_folders([kicks], Aliases())
    assert {(c.category, c.kit) for c in candidates} == {
        ("kick", "Kicks, dry"),
        ("snare", "Kicks, dry"),
    }
    assert skipped == []
    (kicks / "Kick 0.wav").rename(kicks / "1.wav")
    output = prepare(kicks)
    assert "1.wav" in names(output, "train") | names(output, "validation")


def test_links_are_followed_once(folder):
    other = folder.parent / "other"
    write(other / "Kick 9.wav", burst(80))
    write(folder / "Kick top.wav", burst(81))
    for name, target in (("link", other), ("again", other), ("up", folder)):
        try:
            (folder / name).symlink_to(target, target_is_directory=True)
        except OSError:
            pytest.skip("no links here")
    candidates, _ = scan_folders([folder], Aliases())
    found = [c.name for c in candidates]
    assert len(found) == 12
    assert [name for name in found if name.endswith("Kick 9.wav")] == ["again/Kick 9.wav"]


def test_a_folder_that_cannot_be_opened_is_reported(folder, monkeypatch):
    scandir = os.scandir  # what os.walk calls; the tests may run as root, whom nothing is closed to

    def closed(path):
        if os.fspath(path).endswith("909"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    candidates, skipped = scan_folders([folder], Aliases())
    assert skipped == [Skipped("909", "folder cannot be opened", "Permission denied")]
    assert len(candidates) == 8


@pytest.fixture
def closed(folder):
    """A folder that nobody may look into, and what is in it."""
    folder.chmod(0)
    if os.access(folder, os.R_OK):
        pytest.skip("nothing is closed to this user")
    yield folder
    folder.chmod(0o700)


@pytest.mark.parametrize("inside", ["", "808", "808/gone", "a,b"])
def test_an_input_that_is_closed_is_named(closed, inside):
    with pytest.raises(DataError, match=r"/in cannot be looked into \(Permission denied\); check"):
        main([f"--input={closed / inside}", f"--output={closed.parent / 'out'}"])


def test_an_input_that_cannot_be_opened_is_named(folder, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(DataError, match=r"/in cannot be looked into \(Permission denied\); check"):
        scan_folders([folder], Aliases())


def test_an_input_of_folders_that_cannot_be_opened_is_no_matter_of_names(folder, monkeypatch):
    scandir = os.scandir

    def closed(path):
        if str(path).startswith(f"{folder}{os.sep}"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(DataError, match=r"\(2 folder cannot be opened\); check the permissions\."):
        prepare(folder)


def test_an_input_that_is_a_link_to_itself_is_no_folder(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match="loop is no folder"):
        prepare(tmp_path / "loop")


# What is left out


def test_everything_left_out_is_counted(folder, capsys):
    kick = folder / "808" / "Kick 0.wav"
    bad = folder / "bad"
    write(bad / "kick silent.wav", np.zeros(9000))
    write(bad / "kick nan.wav", np.full(9000, np.nan))
    write(bad / "kick short.wav", burst(40, 0.05))
    write(bad / "kick long.wav", burst(41, 1.5))
    write(bad / "kick empty.wav", np.zeros(0))
    write(bad / "mystery.wav", burst(42))
    write(bad / "crash.wav", burst(43))
    write(bad / "kick click.wav", np.eye(1, 9600)[0], 48000)  # none of it is left at 22,050 Hz
    (bad / "snare text.wav").write_text("this is no sound")
    (bad / "snare cut.wav").write_bytes(kick.read_bytes()[:30])
    (bad / "kick copy.wav").write_bytes(kick.read_bytes())
    (bad / "readme.txt").write_text("hello")
    (bad / "._kick.wav").write_text("hidden")
    output = prepare(folder)
    assert reasons(output) == {
        "silent": 1,
        "shorter than 0.1 s": 2,
        "longer than 1.0 s": 1,
        "unreadable": 2,  # text, and too little left of a header
        "holds no samples": 1,
        "holds NaN or infinite values": 1,
        "no category in its name": 1,
        "none of the eleven categories": 1,
        "duplicate": 1,
        "no WAV, AIFF, FLAC, OGG or MP3 file": 1,
    }
    assert (output / "undecided.txt").read_text() == "bad/mystery.wav\n"
    printed = capsys.readouterr().out
    assert "1  no category in its name: bad/mystery.wav" in printed
    assert "2  unreadable:" in printed
    assert "kick               4           1     2      0.20" in printed


def test_long_sounds_can_be_cut(folder):
    write(folder / "kick long.wav", burst(41, 1.5))
    output = prepare(folder, "--long=cut")
    lengths = [length for f in ("train", "validation") for length in load_source(output, f).length]
    assert NUM_SAMPLES - 5 <= max(lengths) <= NUM_SAMPLES
    assert reasons(output) == {}


def test_a_copy_of_a_training_sound_never_validates(folder):
    copy = folder / "copy.wav"
    copy.write_bytes((folder / "808" / "Kick 0.wav").read_bytes())
    table = folder / "table.csv"
    table.write_text(
        "path,category,fold\ncopy.wav,kick,validation\n808/Kick 0.wav,kick,train\n"
        "808/Kick 1.wav,snare,train\n808/Kick 2.wav,snare,validation\n"
    )
    output = prepare(folder, f"--manifest={table}")
    assert names(output, "train") == {"808/Kick 0.wav", "808/Kick 1.wav"}
    assert names(output, "validation") == {"808/Kick 2.wav"}


def test_a_category_that_cannot_be_trained_is_left_out(folder, capsys):
    table = folder / "table.csv"
    lines = ["kick,train", "snare,train", "tom,validation", "snare,validation"]
    rows = "".join(f"808/Kick {i}.wav,{line}\n" for i, line in enumerate(lines))
    table.write_text(f"path,category,fold\n{rows}")
    output = prepare(folder, f"--manifest={table}")
    assert load_source(output, "validation").categories == ("kick", "snare")
    assert reasons(output) == {"no training sound in its category": 1}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "holds no files"),
        (["notes.txt"], r"none of the 1 files .*1 no WAV"),
        (["a.wav", "b.wav"], r"none of the 2 files .*2 no category"),
        (["kick.wav", "snare.wav"], r"none of the 2 files .*2 unreadable"),
    ],
)
def test_an_input_without_sounds_is_refused(tmp_path, files, words):
    (tmp_path / "in").mkdir()
    for name in files:
        (tmp_path / "in" / name).write_text("text")
    with pytest.raises(DataError, match=words):
        prepare(tmp_path / "in")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_one_category_is_refused(tmp_path):
    write(tmp_path / "in" / "kick.wav", burst(0))
    with pytest.raises(DataError, match="only kick"):
        prepare(tmp_path / "in")


def test_the_command_line_says_one_sentence(tmp_path, capsys):
    status = command_line(["prepare", f"--input={tmp_path / 'none'}", f"--output={tmp_path / 'o'}"])
    assert status == 1
    error = capsys.readouterr().err
    assert "is no folder" in error
    assert error.count("\n") == 1
    assert command_line(["nonsense"]) == 2
    assert "prepare" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--split_by=folder", "--synth_per_category=4"],
        ["--input=a,b", "--manifest=t.csv"],
        ["--input=a", "--manifest=t.csv", "--split_by=file"],
        ["--input=a", "--validation=1"],
        ["--input=a", "--inputs=b"],
        ["--input=a", "--workers=0"],
        ["--input=a", "--workers=99999"],
        ["--synth_per_category=1", "--seed=2147483648"],
        ["--synth_per_category=1", "--seed=-1"],
    ],
)
def test_flags_that_cannot_be_meant_are_refused(tmp_path, options):
    with pytest.raises(SystemExit) as stop:
        main([*options, f"--output={tmp_path / 'out'}"])
    assert stop.value.code == 2


# Procedural sounds


def test_procedural_sounds_join_training_only(folder, monkeypatch):
    monkeypatch.setattr("drumjax.synth.dataset.render_set", fake_render)
    output = prepare(folder, "--synth_per_category=2")
    train, validation = load_source(output, "train"), load_source(output, "validation")
    assert len(train.categories) == 11
    assert train.kits.count("procedural") == 22
    assert "synth/train/open_hat_00001" in train.names
    assert "procedural" not in validation.kits


def test_validation_is_a_share_of_procedural_sounds_too(tmp_path, monkeypatch):
    monkeypatch.setattr("drumjax.synth.dataset.render_set", fake_render)
    output = tmp_path / "out"
    assert main(["--synth_per_category=4", "--validation=0.5", f"--output={output}"]) == 0
    assert len(load_source(output, "validation").names) == 44


def test_what_fails_in_rendering_is_no_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("drumjax.synth.dataset.render_set", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["--synth_per_category=1", f"--output={tmp_path / 'out'}"])


def test_the_renderer_gives_exactly_as_many_as_asked_for():
    sounds = list(render_sounds(32, "train", 0, ["closed_hat"]))
    assert [s.name for s in sounds] == [f"synth/train/closed_hat_{i:05d}" for i in range(32)]
    for sound in sounds:
        assert np.abs(sound.audio.astype(int)).max() == 32767
        assert sound.audio[-1]
        assert 0.09 * RATE < len(sound.audio) <= NUM_SAMPLES


def test_procedural_sounds_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("drumjax.synth.dataset.render_set", fake_render)
    output = tmp_path / "out"
    assert main(["--synth_per_category=8", f"--output={output}"]) == 0
    train, validation = load_source(output, "train"), load_source(output, "validation")
    assert (len(train.names), len(validation.names)) == (88, 22)
    together = np.concatenate([train.audio, validation.audio])
    assert len(np.unique(together, axis=0)) == 110


def fake_render(category, count, seed, start=0):
    """`render_set` without its compilation: other noise for each category and seed."""
    rng = np.random.default_rng([seed, start, *category.encode()])
    audio = np.zeros((count, NUM_SAMPLES), np.float32)
    audio[:, :5000] = rng.uniform(-1, 1, (count, 5000))
    return audio, np.zeros((count, 1), np.float32)


CHECK = """
import sys
from drumjax.__main__ import main
from drumjax.data.source import load_source

assert main(['prepare', '--input=' + sys.argv[1], '--output=' + sys.argv[2]]) == 0
assert len(load_source(sys.argv[2], 'train').names) == 8
assert 'tensorflow' not in sys.modules
"""


def test_tensorflow_is_never_imported(folder):
    """Not even one that is installed: the one on the path here ends the process.

    (To TFDS, sys.modules['tensorflow'] = None would mean that TensorFlow is loaded.)
    """
    trap = folder.parent / "trap" / "tensorflow" / "__init__.py"
    trap.parent.mkdir(parents=True)
    trap.write_text("raise SystemExit('TensorFlow was imported')")
    done = subprocess.run(
        [sys.executable, "-c", CHECK, folder, folder.parent / "out"],
        env={**os.environ, "PYTHONPATH": str(trap.parent.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
