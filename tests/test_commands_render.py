"""render from its command line: what recipes make again, and whose files are replaced."""

import json
import os

import pytest
import soundfile
from playing import burst, files, pcm

from drumjax.commands._files import check_file
from drumjax.export.wav import read_recipe
from drumjax.play.recipe import read
from drumjax.play.shape import Shape


def test_any_file_is_made_again_from_itself(play, tmp_path):
    """Byte for byte, with its shape, form, note and recipe."""
    play("kit", "--pads=kick,snare", "--pitch=3", "--profile=daw", "--output=a")
    play("sample", "--category=kick=1,clap=2", "--count=1", "--no_sheet", "--output=a")
    made = files(tmp_path / "a")
    del made["kit.json"]
    for name in made:
        assert play("render", f"--recipe=a/{name}", "--output=b") == 0
    assert files(tmp_path / "b") == made
    assert play("render", "--recipe=a/drumjax_kick_01.wav", "--output=c/my.wav") == 0
    assert (tmp_path / "c/my.wav").read_bytes() == made["drumjax_kick_01.wav"]
    assert play("render", "--recipe=a/kit.json", "--output=d") == 0
    again = files(tmp_path / "d")
    assert again == {name: made[name] for name in again}
    assert len(again) == 2


def test_flags_change_what_a_recipe_says(play, tmp_path):
    play("kit", "--pads=kick", "--pitch=3", "--gain=-3", "--output=a")
    flags = ["--recipe=a/drumjax_kick_01.wav", "--pitch=0", "--rate=48000"]
    assert play("render", *flags, "--output=b.wav") == 0
    recipe = read(read_recipe("b.wav"), "x")
    assert recipe.sounds[0].shape == Shape(pitch=0.0, gain=-3.0)
    assert (recipe.output.sample_rate, recipe.output.bits) == (48000, 16)
    assert soundfile.info("b.wav").samplerate == 48000


def test_plain_files_are_made_again_from_the_recipe_beside_them(play, tmp_path):
    flags = ["--count=1", "--no_sheet", "--profile=mpc"]
    play("sample", *flags, "--output=a")
    assert play("render", "--recipe=a/drumjax_recipe.json", "--output=b") == 0
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_plain_files_of_several_runs_share_one_recipe(play, tmp_path):
    """By name; what is of another instrument, or no recipe, stays as it is."""

    def held(name):
        sounds = json.loads((tmp_path / "a" / name).read_text())["sounds"]
        return {s["name"]: s["origin"]["seed"] for s in sounds}

    flags = ["--no_sheet", "--profile=mpc", "--output=a"]
    play("sample", "--category=kick", "--count=2", *flags)
    play("sample", "--category=kick", "--count=1", "--seed=2", *flags)
    play("sample", "--category=snare", "--count=1", *flags)
    assert held("drumjax_recipe.json") == {"kick_01": 2, "kick_02": 1, "snare_01": 1}
    assert play("render", "--recipe=a/drumjax_recipe.json", "--output=b") == 0
    assert files(tmp_path / "a") == files(tmp_path / "b")
    kept = (tmp_path / "a/drumjax_recipe.json").read_bytes()
    (tmp_path / "a/drumjax_recipe_2.json").write_text("mine")
    play("sample", "--category=clap", "--count=1", *flags, instrument="other")
    assert held("drumjax_recipe_3.json") == {"clap_01": 1}
    play("sample", "--category=clap", "--count=1", "--no_sheet", "--profile=elektron", "--output=a")
    assert held("drumjax_recipe_4.json") == {"clap_01": 1}
    assert (tmp_path / "a/drumjax_recipe.json").read_bytes() == kept
    assert (tmp_path / "a/drumjax_recipe_2.json").read_text() == "mine"


def test_one_plain_file_has_its_recipe_beside_it(play, refused, groove):
    """Which also says whose it is; the name alone or an altered sound do not."""
    play("sample", "--category=kick", "--count=1", "--no_sheet", "--profile=mpc", "--output=a")
    commands = {
        "one.wav": ["render", "--recipe=a/drumjax_recipe.json"],
        "loop.wav": ["humanise", "--midi=in.mid", "--profile=mpc", "--seed=4"],
    }
    for name, words in commands.items():
        assert play(*words, f"--output={name}") == 0
        first = (groove / name).read_bytes()
        assert play(*words, f"--output={name}") == 0
        assert (groove / name).read_bytes() == first
        (groove / name).write_bytes(first[:-1] + bytes([first[-1] ^ 1]))
        error = refused(*words, f"--output={name}")
        assert f"{name} is there already and was not made by drumjax" in error
    assert play("render", "--recipe=one.json", "--output=two.wav") == 0
    assert (groove / "two.wav").read_bytes() == (groove / "a/drumjax_kick_01.wav").read_bytes()
    assert play("humanise", "--midi=in.mid", "--kit=loop.json", "--output=again.wav") == 0
    assert (groove / "again.wav").read_bytes() == first


@pytest.mark.parametrize(
    ("words", "plain", "told"),
    [
        (["sample", "--count=1", "--no_sheet"], "drumjax_kick_01.wav", "drumjax_recipe.json"),
        (["kit", "--pads=kick"], "drumjax_kick_01.wav", "kit.json"),
        (["render", "--recipe=sound.json"], "one.wav", "one.json"),
    ],
)
def test_a_plain_file_names_the_recipe_that_tells_of_it(
    play, refused, tmp_path, words, plain, told
):
    """Not one of other sounds, and not what is no recipe, which may be a WAV file's double."""
    place = f"--output=a/{plain}" if words[0] == "render" else "--output=a"
    play("sample", "--category=kick", "--count=1", "--no_sheet", "--profile=mpc", "--output=b")
    (tmp_path / "b/drumjax_recipe.json").rename(tmp_path / "sound.json")
    assert play(*words, "--profile=mpc", place) == 0
    (tmp_path / "a/drumjax_recipe_2.json").write_text("mine")
    (tmp_path / "a/drumjax_recipe_3.json").write_bytes((tmp_path / "a" / plain).read_bytes())
    error = refused("render", f"--recipe=a/{plain}", "--output=out")
    assert f"a/{plain} is plain and holds no recipe; give a/{told}, which holds its." in error
    assert play("render", f"--recipe=a/{told}", "--output=out") == 0
    foreign = (tmp_path / "a" / plain).rename(tmp_path / "a/thing.json")
    error = refused("render", f"--recipe={foreign}", "--output=out")
    assert "thing.json holds no recipe; give a WAV that drumjax made" in error


def test_of_two_recipes_of_a_plain_file_the_newer_is_named(play, refused, tmp_path):
    flags = ["sample", "--category=kick", "--count=1", "--no_sheet", "--output=a"]
    for profile in ("mpc", "elektron"):
        play(*flags, f"--profile={profile}")
    os.utime(tmp_path / "a/drumjax_recipe.json", (1e9, 1e9))
    error = refused("render", "--recipe=a/drumjax_kick_01.wav", "--output=out")
    assert "give a/drumjax_recipe_2.json, which" in error


def test_a_plain_file_takes_no_other_recipes_place(play, refused, groove):
    play("kit", "--pads=kick,snare", "--profile=mpc", "--output=a")
    before = files(groove / "a")
    flags = ["--midi=in.mid", "--kit=a/kit.json", "--output=a/kit.wav"]
    assert "a/kit.json, where the recipe" in refused("humanise", *flags)
    play("kit", "--pads=kick", "--output=b")
    flags = ["--recipe=b/drumjax_kick_01.wav", "--profile=mpc", "--output=a/kit.wav"]
    assert "a/kit.json, where the recipe" in refused("render", *flags)
    assert files(groove / "a") == before


def test_the_recipe_beside_a_plain_file_is_never_somebody_elses(refused, groove):
    (groove / "loop.json").write_text('{"mine": 1}')
    flags = ["--midi=in.mid", "--profile=mpc"]
    error = refused("humanise", *flags, "--output=loop.wav")
    assert "loop.json is there already and was not made by drumjax" in error
    name = "x" * 251  # .wav fits, .json does not
    assert "File name too long" in refused("humanise", *flags, f"--output={name}.wav")


def test_another_instrument_plays_a_recipe_only_if_told_to(play, refused, tmp_path):
    play("sample", "--category=kick", "--count=1", "--no_sheet", "--output=a")
    flags = ["--recipe=a/drumjax_kick_01.wav", "--output=b"]
    assert "--any_instrument" in refused("render", *flags, instrument="other")
    assert play("render", *flags, "--any_instrument", instrument="other") == 0
    a, b = (read_recipe(f"{n}/drumjax_kick_01.wav") for n in "ab")
    assert b["instrument"]["name"] == "other"
    assert a["sounds"] == b["sounds"]
    assert (pcm("a/drumjax_kick_01.wav") != pcm("b/drumjax_kick_01.wav")).any()


def test_what_holds_no_recipe(refused, tmp_path):
    soundfile.write(tmp_path / "a.wav", burst(), 22050)
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.json").write_bytes(b"\xff")
    assert "a.wav holds no recipe" in refused("render", "--recipe=a.wav", "--output=out")
    assert "b.json is no recipe" in refused("render", "--recipe=b.json", "--output=out")
    assert "c.json is no recipe" in refused("render", "--recipe=c.json", "--output=out")
    assert "cannot be opened" in refused("render", "--recipe=d.json", "--output=out")
    assert "cannot be opened" in refused("render", "--recipe=.", "--output=out")


def test_a_file_too_large_for_a_recipe_is_not_read_whole(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("drumjax.commands._files._LARGEST", 100)
    (tmp_path / "a.json").write_text(" " * 101 + "{}")
    assert "too large for a recipe" in refused("render", "--recipe=a.json", "--output=out")


def test_one_file_holds_one_sound(play, refused):
    play("kit", "--pads=kick,snare", "--output=a")
    error = refused("render", "--recipe=a/kit.json", "--output=one.wav")
    assert "holds 2 sounds; give a folder" in error


# Whose files they are


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kit.json", '{"note": "made for drumjax"}'),
        ("set.sfz", "// my own set, to be used with drumjax\n<region>sample=a.wav\n"),
        ("set.h2drumkit", "<author>me, with drumjax</author>"),
    ],
)
def test_a_file_that_speaks_of_drumjax_is_not_for_that_its_own(refused, tmp_path, name, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(text)
    error = refused("kit", "--pads=kick", "--name=set", "--format=sfz,hydrogen", "--output=out")
    assert f"{name} is there already" in error
    assert (tmp_path / "out" / name).read_text() == text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have names on POSIX alone")
def test_a_pipe_is_not_looked_into(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    assert check_file(tmp_path / "pipe.wav") == tmp_path / "pipe.wav"


@pytest.mark.parametrize(
    ("midi", "says"),
    [
        ("my part.mid", "'drumjax humanise '--midi=my part.mid' --kit=a.json'"),
        ("$(rm -r ~).mid", "'--midi=$(rm -r ~).mid' --kit=a.json"),
        ("a\x1b[2J\n.mid", "'--midi=a\\x1b[2J\\n.mid'"),
        (["a"], "--midi=FILE --kit=a.json"),
    ],
)
def test_what_a_stranger_wrote_into_a_loop_is_quoted(play, refused, groove, midi, says):
    assert play("humanise", "--midi=in.mid", "--output=a.wav") == 0
    document = read_recipe("a.wav")
    document["extra"] |= {"midi": midi, "amount": "\x1b", "seed": [1]}
    (groove / "a.json").write_text(json.dumps(document))
    error = refused("render", "--recipe=a.json", "--output=out")
    assert says in error
    assert "\x1b" not in error
    assert play("humanise", "--midi=in.mid", "--kit=a.json", "--output=b.wav") == 0
    assert (groove / "a.wav").read_bytes() == (groove / "b.wav").read_bytes()


def test_what_drumjax_did_not_make_is_kept(play, refused, groove):
    for name in ("loop.wav", "out/kit.json", "out/set.sfz"):
        (groove / name).parent.mkdir(exist_ok=True)
        (groove / name).write_text("mine")
    error = refused("humanise", "--midi=in.mid", "--output=loop.wav")
    assert "loop.wav is there already and was not made by drumjax" in error
    assert "kit.json is there already" in refused("kit", "--output=out")
    (groove / "out/kit.json").unlink()
    error = refused("kit", "--output=out", "--name=set", "--format=sfz")
    assert "set.sfz is there already" in error
    assert (groove / "out/set.sfz").read_text() == "mine"
    assert play("kit", "--output=out", "--pads=kick") == 0
    assert play("kit", "--output=out", "--pads=kick", "--seed=2") == 0
    assert (groove / "out/set.sfz").read_text() == "mine"


def test_a_long_loop_is_known_by_its_end(play, groove):
    """Its recipe stands behind the sound."""
    mark = b"ISFT" + bytes([12, 0, 0, 0]) + b"drumjax 0.1\0"
    (groove / "loop.wav").write_bytes(b"RIFF" + bytes(3 * 2**20) + mark + bytes(2**19))
    assert play("humanise", "--midi=in.mid", "--output=loop.wav") == 0
    assert soundfile.info("loop.wav").duration > 0.5
