"""`prepare` from the command line: what it takes, what it leaves out, and what it writes."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from drumjax.__main__ import main as command_line
from drumjax.commands.prepare import main
from drumjax.data.builder import read_metadata
from drumjax.data.normalise import NUM_SAMPLES, UnfitError, normalise
from drumjax.data.source import load_source
from drumjax.errors import DataError

RATE = 22050


def burst(seed, seconds=0.2, rate=RATE):
    n = round(seconds * rate)
    return np.random.default_rng(seed).standard_normal(n) * np.linspace(0.3, 0.05, n)


def write(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT")


@pytest.fixture
def folder(tmp_path):
    """Five kicks and five snares, in two kits each."""
    for i in range(5):
        kit = "808" if i < 4 else "909"
        write(tmp_path / "in" / kit / f"Kick {i}.wav", burst(i))
        write(tmp_path / "in" / kit / "Snares" / f"{i}.wav", burst(10 + i, 0.3))
    return tmp_path / "in"


def prepare(folder, *options, output=None):
    output = output or folder.parent / "out"
    assert main([f"--input={folder}", f"--output={output}", *options]) == 0
    return output


def names(output, split):
    return set(load_source(output, split).names)


def reasons(output):
    return json.loads((output / "report.json").read_text())["skipped"]


# What a sound becomes


def test_normalise_keeps_a_clean_sound_bit_for_bit():
    x = np.random.default_rng(0).integers(-32766, 32767, 5000)
    x[0], x[-1] = 32767, 1000
    np.testing.assert_array_equal(normalise((x / 32767).astype(np.float32), RATE, False), x)


def test_normalise_trims_both_ends_before_it_measures():
    silence = np.full(RATE, 1e-5)
    sound = normalise(np.concatenate([silence, burst(0, 0.2), silence]), RATE, False)
    assert 0.19 < len(sound) / RATE <= 0.2
    with pytest.raises(UnfitError, match="shorter"):
        normalise(np.concatenate([burst(0, 0.09), silence]), RATE, False)


def test_normalise_resamples():
    t = np.arange(44100 // 2) / 44100
    sound = normalise(np.sin(2 * np.pi * 1000 * t) * 0.5, 44100, False)
    assert len(sound) == pytest.approx(RATE // 2, abs=2)
    assert np.argmax(np.abs(np.fft.rfft(sound, RATE))) == 1000
    assert np.abs(sound.astype(int)).max() == 32767


def test_normalise_drops_or_cuts_what_is_long():
    with pytest.raises(UnfitError, match="longer"):
        normalise(burst(0, 1.2), RATE, False)
    cut = normalise(burst(0, 1.2), RATE, True).astype(int)
    assert NUM_SAMPLES - 5 <= len(cut) <= NUM_SAMPLES
    assert np.abs(cut[-10:]).max() < 0.1 * np.abs(cut[-600:-300]).max()
    assert len(normalise(burst(0, 1.0), RATE, False)) <= NUM_SAMPLES  # 22,050 samples are allowed


@pytest.mark.parametrize(
    ("value", "reason"), [(np.zeros(9000), "silent"), (np.full(9000, np.nan), "NaN")]
)
def test_normalise_refuses_what_is_no_sound(value, reason):
    with pytest.raises(UnfitError, match=reason):
        normalise(value, RATE, True)


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
    assert reasons(output) == {"none of the eleven categories": 1, "unreadable": 1}


def test_manifest_without_its_columns(folder):
    table = folder / "table.csv"
    table.write_text("path,category\na.wav,kick\n")
    with pytest.raises(DataError, match="fold"):
        prepare(folder, f"--manifest={table}")
    table.write_text("path,category,fold\na.wav,kick,test\n")
    with pytest.raises(DataError, match="line 2"):
        prepare(folder, f"--manifest={table}")


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
    (bad / "snare text.wav").write_text("this is no sound")
    (bad / "snare cut.wav").write_bytes(kick.read_bytes()[:30])
    (bad / "kick copy.wav").write_bytes(kick.read_bytes())
    (bad / "readme.txt").write_text("hello")
    (bad / "._kick.wav").write_text("hidden")
    output = prepare(folder)
    assert reasons(output) == {
        "silent": 1,
        "shorter than 0.1 s": 1,
        "longer than 1.0 s": 1,
        "unreadable": 4,  # NaN, no samples, text, cut short
        "no category in its name": 1,
        "none of the eleven categories": 1,
        "duplicate": 1,
        "no WAV, AIFF, FLAC, OGG or MP3 file": 1,
    }
    assert (output / "undecided.txt").read_text() == "bad/mystery.wav\n"
    printed = capsys.readouterr().out
    assert "1  no category in its name: bad/mystery.wav" in printed
    assert "4  unreadable:" in printed
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
        "808/Kick 1.wav,snare,train\n"
    )
    output = prepare(folder, f"--manifest={table}")
    assert names(output, "train") == {"808/Kick 0.wav", "808/Kick 1.wav"}
    with pytest.raises(DataError, match="no validation sounds"):
        load_source(output, "validation")


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
    ],
)
def test_flags_that_cannot_be_meant_are_refused(tmp_path, options):
    with pytest.raises(SystemExit) as stop:
        main([*options, f"--output={tmp_path / 'out'}"])
    assert stop.value.code == 2


# Where it is written


def test_overwrite_is_asked_for_and_done(folder):
    output = prepare(folder)
    before = names(output, "train")
    write(folder / "tom 1.wav", burst(50))
    with pytest.raises(DataError, match="--overwrite"):
        prepare(folder)
    assert names(output, "train") == before
    prepare(folder, "--overwrite")
    assert "tom 1.wav" in names(output, "train")
    assert sorted(p.name for p in folder.parent.iterdir()) == ["in", "out"]


def test_a_folder_that_is_no_data_set_is_never_replaced(folder):
    with pytest.raises(DataError, match="no prepared data set"):
        prepare(folder, "--overwrite", output=folder)
    assert (folder / "808" / "Kick 0.wav").exists()


def test_a_place_that_cannot_hold_it_is_refused_at_once(folder):
    (folder.parent / "file").write_text("text")
    with pytest.raises(DataError, match="nothing can be written"):
        prepare(folder, output=folder.parent / "file" / "out")


def test_names_that_are_no_utf8_are_kept_apart(folder):
    for i, name in enumerate((b"tom \xe8.wav", b"tom \xe9.wav")):
        write(folder / f"tom {i}.wav", burst(60 + i))
        try:
            os.rename(folder / f"tom {i}.wav", os.path.join(os.fsencode(folder), name))
        except OSError:
            pytest.skip("this file system takes UTF-8 alone")
    output = prepare(folder)
    report = json.loads((output / "report.json").read_text())
    found = names(output, "train") | names(output, "validation")
    found |= {file["name"] for file in report["files"]}  # where soundfile cannot open such names
    assert {r"tom \xe8.wav", r"tom \xe9.wav"} <= found


def test_an_interruption_leaves_nothing(folder, monkeypatch):
    output = prepare(folder)
    before = names(output, "train")

    def interrupt(sound):
        raise KeyboardInterrupt

    monkeypatch.setattr("drumjax.data.builder.pad", interrupt)
    options = ["prepare", f"--input={folder}", f"--output={output}", "--overwrite"]
    assert command_line(options) == 130
    assert names(output, "train") == before
    assert sorted(p.name for p in folder.parent.iterdir()) == ["in", "out"]


def test_what_is_no_data_set_is_named(tmp_path, folder):
    with pytest.raises(DataError, match="drumjax prepare"):
        load_source(tmp_path, "train")
    output = prepare(folder)
    (output / "features.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        load_source(output, "train")


def test_procedural_sounds_join_training_only(folder, monkeypatch):
    monkeypatch.setattr("drumjax.synth.dataset.render_set", fake_render)
    output = prepare(folder, "--synth_per_category=2")
    train, validation = load_source(output, "train"), load_source(output, "validation")
    assert len(train.categories) == 11
    assert train.kits.count("procedural") == 22
    assert "synth/train/open_hat_00001" in train.names
    assert "procedural" not in validation.kits


def test_procedural_sounds_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("drumjax.synth.dataset.render_set", fake_render)
    output = tmp_path / "out"
    assert main(["--synth_per_category=8", f"--output={output}"]) == 0
    train, validation = load_source(output, "train"), load_source(output, "validation")
    assert (len(train.names), len(validation.names)) == (88, 22)
    together = np.concatenate([train.audio, validation.audio])
    assert len(np.unique(together, axis=0)) == 110


def fake_render(category, count, seed):
    """`render_set` without its compilation: other noise for each category and seed."""
    rng = np.random.default_rng([seed, *category.encode()])
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
