"""`evaluate` from its command line, on a data set and on a plain folder, with a tiny instrument."""

import importlib.util
import json
import re
import sys
import zlib

import numpy as np
import one_shots
import pytest
import soundfile
from playing import files
from test_evals import write_run
from tiny import MEL, NAMES

from drumjax.__main__ import main
from drumjax.data.folder import NOT_A_KIT, load_folder, split_source
from drumjax.data.source import load_source
from drumjax.errors import DataError
from drumjax.evals import distribution, latent, run
from drumjax.evals.material import load_material

REPORT = ["report.html", "report.json", "report.md"]


def kits(root, count=7):
    """Kicks and snares of three kits, and a few claps of one; in the ways that folders are kept."""
    for k, kit in enumerate(("808", "909", "CR 78")):
        for i in range(count):
            seed = 100 * k + i
            one_shots.write(root / "kick" / kit / f"{i}.wav", one_shots.burst(seed))
            one_shots.write(root / "Snares" / f"{kit}__{i}.wav", one_shots.burst(seed + 50, 0.3))
    one_shots.write(root / "clap" / "909" / "kick-like snare.wav", one_shots.burst(9))
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = kits(tmp_path_factory.mktemp("kits") / "mine")
    one_shots.write(root / "cowbell" / "1.wav", one_shots.burst(7))
    one_shots.write(root / "kick" / "808" / "short.wav", one_shots.burst(8, 0.02))
    (root / "kick" / "notes.txt").write_text("x")
    (root / "snares" / "broken.wav").parent.mkdir(exist_ok=True)
    (root / "snares" / "broken.wav").write_bytes(b"RIFF")
    return root


@pytest.fixture(autouse=True)
def little(monkeypatch):
    """The least of everything, so that it takes seconds."""
    few = run.Options(count=8, judged=2, steps=2, rivals=1, timed=1, codes=8, pairs=1)
    monkeypatch.setattr(run, "QUICK", few)
    monkeypatch.setitem(sys.modules, "librosa", None)
    monkeypatch.setattr(distribution, "_SIZES", 2)
    monkeypatch.setattr(latent, "_DRAWS", 20)
    yield
    latent._null.cache_clear()  # of so few draws


# A plain folder


def load(path):
    return load_folder(str(path), lambda items, _: items)


def test_folders_say_categories_and_kits(folder):
    found = load(folder)
    source = found.source
    assert source.categories == ("kick", "snare", "clap")
    np.testing.assert_array_equal(np.bincount(source.category), [21, 21, 1])
    assert set(source.kits) == {"808", "909", "CR 78"}
    assert found.kits_known
    assert source.kits[source.names.index("Snares/CR 78__0.wav")] == "CR 78"
    clap = source.names.index("clap/909/kick-like snare.wav")
    assert source.categories[source.category[clap]] == "clap"  # the folder decides
    assert source.audio.dtype == np.int16
    assert np.abs(source.audio).max(1).tolist() == [32767] * len(source.names)


def test_what_a_folder_holds_besides_is_counted(folder):
    assert load(folder).skipped == {
        "none of the eleven categories": 1,
        "no WAV, AIFF, FLAC, OGG or MP3 file": 1,
        "shorter than 0.1 s": 1,
        "unreadable": 1,
    }


def test_kits_that_no_name_tells_are_each_their_own(tmp_path):
    for i in range(3):
        one_shots.write(tmp_path / "x" / "kick" / f"{i}.wav", one_shots.burst(i))
    one_shots.write(tmp_path / "y" / "Kit B" / "snares" / "1.wav", one_shots.burst(3))
    found = load(tmp_path / "x")
    assert not found.kits_known
    assert len(set(found.source.kits)) == 3
    assert NOT_A_KIT not in found.source.kits
    assert load(tmp_path / "y").source.kits == ("Kit B",)


def test_a_folder_without_sounds_says_what_it_holds(tmp_path):
    with pytest.raises(DataError, match=r"holds no files \(0 seen\)"):
        load(tmp_path)
    one_shots.write(tmp_path / "cowbell" / "1.wav", one_shots.burst(0))
    one_shots.write(tmp_path / "kick" / "1.wav", one_shots.burst(0, 0.01))
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"None of the 3 files .*1 none of the eleven categories"):
        load(tmp_path)


def test_a_folder_is_parted_by_kit_or_not_at_all(folder):
    source = load(folder).source
    train, held = split_source(source, 0.4, 0, by_kit=True)
    assert not set(train.kits) & set(held.kits)
    assert len(train.names) + len(held.names) == len(source.names)
    only_kicks = source._replace(category=0 * source.category)
    assert split_source(only_kicks, 0.4, 0, by_kit=False) is None


def test_categories_that_the_instrument_lacks_are_left_out_and_said(folder):
    material = load_material(str(folder), "validation", ("snare", "tom", "kick"), MEL)
    judged = material.judged
    assert judged.categories == ("snare", "tom", "kick")
    np.testing.assert_array_equal(np.bincount(judged.category), [21, 0, 21])
    assert all(n.startswith(("kick/", "Snares/")) for n in judged.names)
    notes = " ".join(material.notes)
    assert "instrument has no such category: 1 clap." in notes
    assert f"42 sounds are cut to the {MEL.num_samples} samples" not in notes  # 43 with the clap
    assert judged.audio.shape[1] == MEL.num_samples
    with pytest.raises(DataError, match=r"None of the 43 sounds .*knows \(tom\)"):
        load_material(str(folder), "validation", ("tom",), MEL)


# The command


def test_an_instrument_is_judged_on_a_folder(play, folder, tmp_path, capsys):
    flags = [f"--data={folder}", "--output=out", "--quick"]
    assert play("evaluate", *flags) == 0
    assert sorted(files(tmp_path / "out")) == REPORT
    printed = capsys.readouterr().out
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    mean = told["reconstruction"]["chain"]["sc"]["sounds"]["mean"]
    assert f"Whole chain, raw: mel SC: {mean:.3f}" in printed
    assert {"rivals", "latent", "generation"} <= told.keys()
    assert told["generation"]["copies"] is None  # nobody knows what it was trained on
    assert "Copies are not looked for" in printed
    assert told["data"]["judged"]["categories"]["kick"] == {"sounds": 2, "kits": 2}
    assert str(tmp_path) not in (tmp_path / "out" / "report.json").read_text()
    assert str(folder) not in (tmp_path / "out" / "report.html").read_text()
    assert told["subject"]["name"] == "tiny.safetensors"


def test_raw_and_played_are_told_apart(player, folder):
    """Raw is `invert` of the decoded mel; the report's mean is that of the sounds one by one."""
    from drumjax.audio.mel import mel_spectrogram
    from drumjax.commands.evaluate import subject_of
    from drumjax.evals.reconstruction import original, reconstruct

    source = load_material(str(folder), "validation", player.categories, player.instrument.mel)
    source = source.judged
    heard = reconstruct(subject_of(player, "tiny"), source, lambda _: None)
    audio, names = original(source), [source.categories[c] for c in source.category]
    z = player.encode(audio, names)
    target = np.asarray(mel_spectrogram(audio, MEL), np.float64)
    for stage, sound in (
        ("chain", player.invert(player.decode(z, names))),
        ("rendered", player.render(z, names)),
    ):
        mel = np.asarray(mel_spectrogram(sound, MEL), np.float64)
        each = [np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in zip(target, mel, strict=True)]
        mean = heard.table[stage]["sc"]["sounds"]["mean"]
        assert mean == pytest.approx(np.mean(each), rel=1e-3)


def test_an_instrument_without_an_encoder_is_judged_on_the_rest(play, folder, tmp_path, capsys):
    flags = [f"--data={folder}", "--output=out", "--quick", "--no_rivals", "--no_generation"]
    assert play("evaluate", *flags, instrument="mute") == 0
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(told["reconstruction"]) == {"original", "inverter"}
    assert not {"rivals", "latent", "generation"} & told.keys()
    assert "has no encoder" in capsys.readouterr().out


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    flags = ("--split_by=file", "--validation=0.4")
    return one_shots.prepare(kits(root / "in", 8), *flags, output=root / "set")


def test_training_sounds_are_known_by_what_the_run_noted(prepared):
    """The note is that of `drumjax train`, whose fingerprint is the oracle."""
    from drumjax.train import fingerprint

    train = load_source(prepared, "train")
    own = fingerprint(train)
    assert own["crc"] == zlib.crc32(train.audio.data) ^ zlib.crc32(train.category.data)
    other = {**own, "crc": own["crc"] ^ 1, "sounds": 811}

    def load(**trained_on):
        found = load_material(str(prepared), "validation", NAMES, MEL, trained_on=trained_on)
        return found.is_training, found.label, " ".join(found.notes)

    known, label, notes = load(cwae=own, mcnn=own)
    assert known
    assert label.startswith("held-out sounds, some of kits that training sounds have")
    assert "checkpoints the one may have been chosen" in notes
    known, label, notes = load(cwae=other, mcnn=own)
    assert not known
    assert label.startswith("sounds not known to be held out")
    assert "The cwae was trained on another data set (811 sounds)" in notes
    known, label, notes = load(cwae=own, mcnn={})
    assert known
    assert label.startswith("sounds not known to be held out")
    assert "training sounds of the mcnn are not noted" in notes
    assert not load()[0]


def test_too_little_is_told_before_minutes_are_spent(play, tmp_path, capsys):
    """Kicks alone, as the instrument knows no toms, of one kit: reconstructed all the same."""
    for i in range(24):
        name = ("kick", "tom")[i % 2]
        one_shots.write(tmp_path / "in" / name / "808" / f"{i}.wav", one_shots.burst(i))
    flags = ("--split_by=file", "--validation=0.4")
    data = one_shots.prepare(tmp_path / "in", *flags, output=tmp_path / "one")
    assert play("evaluate", f"--data={data}", "--output=out", "--quick", "--no_rivals") == 0
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "generation" not in told
    assert told["latent"]["categories"] == {}
    assert told["reconstruction"]["chain"]["sc"]["sounds"]["sounds"] == 2
    assert told["reconstruction"]["chain"]["sc"]["sounds"]["low"] is None
    printed = capsys.readouterr().out
    assert "New sounds are not compared with real ones: that takes 12 sounds" in printed


def test_trained_networks_are_judged_on_a_data_set(prepared, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("drumjax.play.cache.use_cache", lambda: None)
    for model in ("cwae", "mcnn"):
        write_run(tmp_path / model, model, 1, (0.5,))
    flags = [f"--{model}={tmp_path / model}" for model in ("cwae", "mcnn")]
    flags += [f"--data={prepared}", f"--output={tmp_path / 'out'}", "--quick", "--no_rivals"]
    assert main(["evaluate", *flags, "--no_generation", "--no_latent", "--split=train"]) == 0
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert told["data"]["name"] == "set"
    assert told["data"]["held_out"]["sounds"] < told["data"]["train"]["sounds"]
    printed = capsys.readouterr().out
    assert "no claim rests on them" in printed
    assert "1 of the 1 held-out kits have sounds among the training sounds" in printed
    assert told["subject"]["name"] == "cwae and mcnn"
    assert told["subject"]["steps"] == {"cwae": 1, "mcnn": 1}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--data=nowhere"], "nowhere .*no prepared data set"),
        (["--data=.", "--count=3"], "--count=3 cannot be used; choose 8 to"),
        (["--data=.", "--seed=-1"], "--seed=-1 cannot be used"),
        (["--data=empty"], r"empty holds no files \(0 seen\); .*--data"),
        (["--data=.", "--output=groove.txt/x"], "choose another --output"),
    ],
)
def test_what_cannot_be_used_is_said(refused, tmp_path, flags, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "groove.txt").write_text("")
    error = refused("evaluate", *flags)
    assert re.search(sentence, error), error


def test_half_a_subject_is_a_wrong_command_line(capsys):
    for flags in (["--mcnn=x"], ["--cwae=x", "--mcnn=y", "--instrument=z"]):
        with pytest.raises(SystemExit) as caught:
            main(["evaluate", "--data=x", *flags])
        assert caught.value.code == 2
        assert "--instrument, or --cwae with or without --mcnn" in capsys.readouterr().err


def test_a_missing_package_is_named_before_anything_is_read(refused, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "flax" else find(n, *a)
    )
    assert "drumjax[train]" in refused("evaluate", "--data=nowhere")


def test_an_interruption_leaves_nothing_behind(play, folder, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "reconstruct", interrupted)
    assert play("evaluate", f"--data={folder}", "--output=out", "--quick") == 130
    assert list(tmp_path.iterdir()) == []
    assert "interrupted" in capsys.readouterr().err


def test_a_sound_file_of_another_rate_is_taken(tmp_path):
    wave = one_shots.burst(0, 0.2, 48000)
    (tmp_path / "kick").mkdir()
    soundfile.write(tmp_path / "kick" / "1.flac", wave, 48000)
    source = load(tmp_path).source
    assert source.sample_rate == 22050
    assert abs(int(source.length[0]) - 4410) < 60


def test_the_order_of_categories_is_the_instruments(folder):
    material = load_material(str(folder), "validation", NAMES[::-1], MEL)
    names = [material.judged.categories[c] for c in material.judged.category]
    assert all(n.lower().startswith(c) for c, n in zip(names, material.judged.names, strict=True))
