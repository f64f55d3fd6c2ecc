"""Commands without --instrument play the factory instrument, for which the tiny one stands in."""

import json

import one_shots
import pytest
import soundfile
from instruments import tiny_instrument
from playing import burst, files

from drumjax import instruments as shipped
from drumjax.__main__ import main
from drumjax.evals import run
from drumjax.export.wav import read_recipe
from drumjax.play.instrument import save_instrument


@pytest.fixture(autouse=True)
def factory(groove, monkeypatch):
    """The folder that stands in for the package's; the current one has sounds and a drum part."""
    folder = groove / "package"
    folder.mkdir()
    save_instrument(tiny_instrument(), folder / shipped.FACTORY, "float32")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    monkeypatch.setattr("drumjax.play.cache.use_cache", lambda: None)
    monkeypatch.chdir(groove)
    for i, name in enumerate(("kick", "snare", "clap")):
        soundfile.write(groove / f"{name}.wav", burst(seed=i), 22050)
    return folder


def said(capsys, *words):
    """The sentence of a command that refuses."""
    capsys.readouterr()
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    "line",
    [
        "sample --category=kick --count=1 --no_sheet --output=out",
        "vary --input=kick.wav --count=1 --output=out",
        "morph --from=kick.wav --to=snare.wav --steps=2 --output=out",
        "kit --pads=kick,snare --output=out",
        "humanise --midi=in.mid --output=out/loop.wav",
    ],
)
def test_it_is_the_default(line, factory, tmp_path):
    before = files(factory)
    assert main(line.split()) == 0
    made = sorted((tmp_path / "out").glob("*.wav"))
    assert made
    for path in made:
        assert read_recipe(path)["instrument"]["identity"] == tiny_instrument().identity
        assert read_recipe(path)["instrument"]["file"] == "factory.safetensors"
    assert files(factory) == before


def test_info_speaks_of_it(capsys):
    assert main(["info"]) == 0
    assert tiny_instrument().identity in capsys.readouterr().out


def test_evaluate_judges_it(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "QUICK", run.Options(count=8, judged=2, steps=2, timed=1))
    for i, name in enumerate(("kick", "snare", "clap") * 2):
        one_shots.write(tmp_path / "mine" / name / f"kit__{i}.wav", one_shots.burst(i, 0.12))
    left_out = ["--no_rivals", "--no_generation", "--no_latent"]
    assert main(["evaluate", "--data=mine", "--output=out", "--quick", *left_out]) == 0
    told = json.loads((tmp_path / "out/report.json").read_text())
    assert told["subject"]["identity"] == tiny_instrument().identity
    assert told["subject"]["name"] == shipped.FACTORY


def test_its_recipes_are_made_again(play, tmp_path):
    """Also those of a file of the same networks under another name."""
    flags = ["sample", "--category=kick", "--count=1", "--no_sheet", "--output=a"]
    assert main(flags) == 0
    assert main(["render", "--recipe=a/drumjax_kick_01.wav", "--output=b"]) == 0
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert play(flags[0], *flags[1:-1], "--output=c") == 0
    assert main(["render", "--recipe=c/drumjax_kick_01.wav", "--output=d"]) == 0


def test_a_recipe_of_another_instrument_names_that_one(play, capsys, tmp_path):
    flags = ["--category=kick", "--count=1", "--no_sheet", "--output=a"]
    assert play("sample", *flags, instrument="other") == 0
    told = read_recipe("a/drumjax_kick_01.wav")["instrument"]
    error = said(capsys, "render", "--recipe=a/drumjax_kick_01.wav", "--output=b")
    assert f"'other' ('other.safetensors', identity {told['identity'][:8]})" in error
    assert f"('factory.safetensors', identity {tiny_instrument().identity[:8]})" in error
    assert "name that file with --instrument" in error
    assert not (tmp_path / "b").exists()


def test_a_control_is_learnt_into_a_file_of_ones_own(capsys, factory, tmp_path):
    before = files(factory)
    flags = ["learn-control", "--name=soft", "--examples=.", "--category=kick"]
    assert "Name the new instrument with --output" in said(capsys, *flags)
    assert "lies beside the factory instrument" in said(capsys, *flags, "--overwrite")
    over = f"--output={factory / 'factory.safetensors'}"
    assert "lies beside the factory instrument" in said(capsys, *flags, over, "--overwrite")
    assert main([*flags, "--output=mine.safetensors"]) == 0
    assert "move it with --instrument=mine.safetensors --set=soft=1" in capsys.readouterr().out
    assert files(factory) == before
    soft = ["--set=soft=1", "--category=kick", "--count=1", "--no_sheet", "--output=out"]
    assert main(["sample", "--instrument=mine.safetensors", *soft]) == 0
    assert main(["render", "--recipe=out/drumjax_kick_01.wav", "--output=again"]) == 0
    assert files(tmp_path / "out") == files(tmp_path / "again")


def test_a_name_that_is_empty_is_no_name_left_out(capsys):
    """As --instrument=$unset gives."""
    for words in (["sample", "--instrument=", "--output=out"], ["info", ""]):
        assert "The name of the instrument is empty" in said(capsys, *words)


@pytest.mark.parametrize("command", ["sample", "evaluate", "export-instrument"])
@pytest.mark.parametrize("flags", [["--cwae="], ["--cwae=a", "--mcnn="]])
def test_a_work_directory_whose_name_is_empty_is_none_left_out(capsys, tmp_path, command, flags):
    """As --mcnn=$unset gives: not the sound of another inverter than the one that was meant."""
    words = [command, *flags, "--output=out.safetensors"]
    words += ["--data=."] * (command == "evaluate")
    assert "The name of a work directory is empty" in said(capsys, *words)
    assert not (tmp_path / "out.safetensors").exists()


def test_sample_wants_one_source_of_sound(capsys):
    own = "--instrument=a"
    for flags in (["--mcnn=b"], ["--mcnn="], [own, "--cwae=b"], [own, "--mcnn=b"]):
        with pytest.raises(SystemExit) as stop:
            main(["sample", "--output=out", *flags])
        assert stop.value.code == 2
        assert "--instrument, or --cwae with or without --mcnn" in capsys.readouterr().err
