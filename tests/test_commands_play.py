"""The commands that play an instrument, from their command lines, with the tiny instrument."""

import dataclasses
import json
import re
import subprocess
import sys

import mido
import numpy as np
import pytest
import soundfile
from instruments import networks, tiny_instrument
from tiny import CWAE, MCNN, MEL, NAMES

from drumjax.__main__ import main
from drumjax.audio.files import quantise
from drumjax.audio.mel import mel_spectrogram
from drumjax.export.wav import read_recipe
from drumjax.play import shape as shaping
from drumjax.play.controls import between, draw_codes, vary_codes, with_controls
from drumjax.play.humanise import jitter
from drumjax.play.instrument import build_instrument, save_instrument
from drumjax.play.recipe import read
from drumjax.play.runtime import Player
from drumjax.play.shape import Shape
from drumjax.play.source_sound import read_source

DUSTIER = np.arange(12, dtype=np.float32).reshape(3, 4) / 10  # a control, [categories, latents]


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    """Nothing is kept in the user's cache folder."""
    monkeypatch.setattr("drumjax.play.cache.use_cache", lambda: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Instruments: tiny and other; mute, which lacks its encoder; hats, of other categories."""
    folder = tmp_path_factory.mktemp("instruments")
    tiny = tiny_instrument()
    tiny = with_controls(tiny, {"controls/step/dusty": DUSTIER}, {"learnt": ["dusty"]})
    save_instrument(tiny, folder / "tiny.safetensors", "float32")
    save_instrument(tiny, folder / "mute.safetensors", "float32", encoder=False)
    hats = {**tiny.meta, "categories": ["closed_hat", "open_hat", "snare"]}
    hats = dataclasses.replace(tiny, meta=hats)
    save_instrument(hats, folder / "hats.safetensors", "float32", encoder=False)
    cwae, mcnn = networks(seed=1)
    other = build_instrument(CWAE, cwae, MCNN, mcnn, "other")
    save_instrument(other, folder / "other.safetensors", "float32")
    return folder


@pytest.fixture(scope="module")
def player():
    return Player(tiny_instrument())


@pytest.fixture
def play(folder, tmp_path, monkeypatch):
    """Runs a command in a fresh folder; returns the exit status."""
    monkeypatch.chdir(tmp_path)

    def run(command, *flags, instrument="tiny"):
        return main([command, f"--instrument={folder / instrument}.safetensors", *flags])

    return run


@pytest.fixture
def refused(play, tmp_path, capsys):
    """Runs a command that must refuse; returns its sentence. Nothing may be written."""

    def run(command, *flags, **options):
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        assert play(command, *flags, **options) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"drumjax {command}: ")
        assert error.endswith(".\n")
        assert error.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        return error

    return run


def files(folder):
    """{path inside: bytes} of all files in a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def burst(samples=900, seed=0):
    x = np.random.default_rng(seed).standard_normal(samples)
    return 0.9 * x * np.exp(-5 * np.arange(samples) / samples) / np.abs(x).max()


def pcm(path):
    """The samples of a 16-bit file."""
    return soundfile.read(path, dtype="int16")[0]


# sample


def test_sample_writes_each_category_by_its_number(play, tmp_path, player):
    assert play("sample", "--count=2", "--seed=3", "--output=out", "--no-sheet") == 0
    names = [f"drumjax_{name}_{i:02d}.wav" for name in NAMES for i in (1, 2)]
    assert sorted(files(tmp_path / "out")) == sorted(names)
    z = draw_codes(player.instrument, "snare", 2, seed=3)
    for i in (0, 1):
        expected = quantise(player.render(z[i], "snare"), 16)
        np.testing.assert_array_equal(pcm(f"out/drumjax_snare_0{i + 1}.wav"), expected)


def test_a_sound_does_not_depend_on_how_many_are_made(play, tmp_path):
    play("sample", "--count=3", "--output=many", "--no-sheet")
    play("sample", "--count=1", "--category=clap", "--output=one", "--no-sheet")
    one, many = files(tmp_path / "one"), files(tmp_path / "many")
    assert one == {"drumjax_clap_01.wav": many["drumjax_clap_01.wav"]}


def test_sample_draws_a_sheet_of_what_it_wrote(play, tmp_path, capsys):
    assert play("sample", "--count=1", "--output=out", "--pitch=12") == 0
    assert (tmp_path / "out/contact_sheet.png").read_bytes().startswith(b"\x89PNG")
    assert "contact_sheet.png shows them" in capsys.readouterr().out


def test_without_matplotlib_there_is_no_sheet(play, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert play("sample", "--count=1", "--category=kick", "--output=out") == 0
    assert list(files(tmp_path / "out")) == ["drumjax_kick_01.wav"]
    assert "no contact sheet is drawn, as matplotlib is not installed" in capsys.readouterr().out


def test_hybrids_have_the_shares_that_are_asked_for(play, player):
    flags = ["--category=kick=7,snare=3", "--count=1", "--no-sheet", "--output=out"]
    assert play("sample", *flags) == 0
    recipe = read_recipe("out/drumjax_kick_snare_01.wav")
    [sound] = read(recipe, "x").sounds
    assert sound.category == {"kick": 0.7, "snare": 0.3}
    expected = player.render(sound.z, np.float32([0.7, 0.3, 0]))
    np.testing.assert_array_equal(pcm("out/drumjax_kick_snare_01.wav"), quantise(expected, 16))


def test_controls_move_the_codes(play, player):
    flags = ["--category=snare", "--count=1", "--no-sheet"]
    play("sample", *flags, "--output=plain")
    play("sample", *flags, "--output=moved", "--set=dusty=+1.5")
    plain, moved = (
        read(read_recipe(f"{name}/drumjax_snare_01.wav"), "x").sounds[0].z
        for name in ("plain", "moved")
    )
    np.testing.assert_allclose(moved - plain, 1.5 * DUSTIER[1], atol=1e-6)


def test_prior_and_temperature_rule_the_draw(play, player):
    instrument = player.instrument
    for i, flags in enumerate((["--temperature=0.5"], ["--prior=normal", "--seed=4"])):
        play("sample", "--category=clap", "--count=1", "--no-sheet", f"--output={i}", *flags)
    codes = [read(read_recipe(f"{i}/drumjax_clap_01.wav"), "x").sounds[0].z for i in (0, 1)]
    np.testing.assert_array_equal(codes[0], draw_codes(instrument, "clap", 1, 1, "fitted", 0.5)[0])
    np.testing.assert_array_equal(codes[1], draw_codes(instrument, "clap", 1, 4, "normal")[0])


def test_silent_sounds_are_told(play, capsys, monkeypatch):
    silence = np.zeros(MEL.num_samples, np.float32)
    monkeypatch.setattr("drumjax.play.runtime.Player.render", lambda self, z, category: silence)
    assert play("sample", "--category=clap", "--count=3", "--no-sheet", "--output=out") == 0
    assert "3 of them are silent: the networks need more training." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "rate", "subtype"),
    [
        (["--rate=44100", "--bits=24"], 44100, "PCM_24"),
        (["--bits=32"], 22050, "FLOAT"),
        (["--profile=daw"], 44100, "PCM_24"),
        (["--profile=elektron"], 48000, "PCM_16"),
    ],
)
def test_forms_of_the_files(play, player, tmp_path, flags, rate, subtype):
    play("sample", "--category=kick", "--count=1", "--no-sheet", "--output=out", *flags)
    info = soundfile.info(tmp_path / "out/drumjax_kick_01.wav")
    assert (info.samplerate, info.subtype) == (rate, subtype)
    assert info.frames == round(MEL.num_samples * rate / 22050)
    plain = "--profile=elektron" in flags
    assert (read_recipe(tmp_path / "out/drumjax_kick_01.wav") is None) == plain
    assert (tmp_path / "out/drumjax_recipe.json").is_file() == plain


def test_shape_flags_shape_the_sound(play, player):
    flags = ["--pitch=-5", "--decay=0.5", "--gain=-6", "--fade=0.01", "--trim_start=0.001"]
    play("sample", "--category=kick", "--count=1", "--no-sheet", "--output=out", *flags)
    z = draw_codes(player.instrument, "kick", 1, seed=1)[0]
    shape = Shape(pitch=-5, decay=0.5, gain=-6, fade=0.01, trim_start=0.001)
    expected = shaping.apply(player.render(z, "kick"), 22050, shape)
    np.testing.assert_array_equal(pcm("out/drumjax_kick_01.wav"), quantise(expected, 16))


def test_playing_an_instrument_imports_no_training_library(folder, tmp_path):
    """In a process of its own: not even for the sheet, and matplotlib not before the last WAV."""
    flags = [f"--instrument={folder}/tiny.safetensors", "--count=1", "--category=kick"]
    code = (
        "import sys; from drumjax.__main__ import main; from drumjax.commands import sample\n"
        "sheet, early = sample._draw_sheet, []\n"
        "sample._draw_sheet = lambda *a: (early.append('matplotlib' in sys.modules), sheet(*a))\n"
        f"assert main({['sample', *flags, f'--output={tmp_path}/out']!r}) == 0\n"
        "assert early == [False]\n"
        "print(*{n.split('.')[0] for n in sys.modules})"
    )
    env = {"DRUMJAX_CACHE": str(tmp_path / "cache"), "PATH": "", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    loaded = set(done.stdout.split())
    assert {"jax", "matplotlib"} <= loaded
    assert not loaded & {"flax", "optax", "orbax", "scipy", "tensorflow_datasets"}


def test_sample_wants_one_source_of_sound(play, capsys):
    for flags in (["--cwae=a"], ["--cwae=a", "--mcnn=b"]):
        with pytest.raises(SystemExit) as stop:
            play("sample", "--output=out", *flags)
        assert stop.value.code == 2
        assert "either --instrument, or --cwae and --mcnn" in capsys.readouterr().err


# vary and morph


@pytest.fixture
def own(tmp_path):
    """Sounds of a user's: a kick and a snare by name, and one that no name tells of."""
    for i, name in enumerate(("my Kick", "snare 2", "thing")):
        soundfile.write(tmp_path / f"{name}.wav", burst(seed=i), 22050, "FLOAT")
    return tmp_path


def test_vary_writes_the_sound_itself_and_its_variations(play, own, player, capsys):
    flags = ["--count=3", "--amount=0.4", "--seed=9"]
    assert play("vary", "--input=my Kick.wav", "--output=out", *flags) == 0
    assert sorted(files(own / "out")) == [f"drumjax_my_kick_0{i}.wav" for i in range(4)]
    source = read_source("my Kick.wav", 22050, MEL.num_samples)
    z = player.encode(source.audio, "kick")
    codes = [z, *vary_codes(player.instrument, z, "kick", 0.4, 3, 9)]
    for i, code in enumerate(codes):
        expected = quantise(player.render(code, "kick"), 16)
        np.testing.assert_array_equal(pcm(f"out/drumjax_my_kick_0{i}.wav"), expected)
    assert "my Kick.wav is taken for kick by its name" in capsys.readouterr().out
    origins = [read_recipe(f"out/drumjax_my_kick_0{i}.wav")["sounds"][0]["origin"] for i in (0, 1)]
    told = {"command": "vary", "input": "my Kick.wav", "seed": 9}
    assert origins == [told | {"amount": 0.0, "number": 0}, told | {"amount": 0.4, "number": 1}]


def test_without_a_name_the_nearest_category_is_taken(play, own, player, capsys):
    assert play("vary", "--input=thing.wav", "--output=out", "--count=1") == 0
    audio = read_source("thing.wav", 22050, MEL.num_samples).audio
    target, errors = np.asarray(mel_spectrogram(audio, MEL)), {}
    for name in NAMES:
        made = player.decode(player.encode(audio, name), name)
        errors[name] = np.sqrt(np.sum((target - made) ** 2) / np.sum(target**2))
    nearest, second, third = sorted(errors, key=errors.get)
    said = capsys.readouterr().out
    assert f"taken for {nearest} (it comes back nearest as that; " in said
    assert f"then {second} {errors[second]:.2f}, {third} {errors[third]:.2f})" in said
    assert f"spectral error of {errors[nearest]:.2f}" in said


@pytest.mark.parametrize("name", ["tom", "crash"])
def test_a_name_that_the_instrument_does_not_know_counts_for_nothing(play, own, capsys, name):
    (own / "thing.wav").rename(own / f"{name}.wav")
    assert play("vary", f"--input={name}.wav", "--output=out", "--count=1") == 0
    assert "(it comes back nearest as that; " in capsys.readouterr().out


def test_what_is_asked_for_goes_before_the_name(play, own, capsys):
    play("vary", "--input=my Kick.wav", "--category=snare", "--output=out", "--count=1")
    assert "is taken for snare as you say" in capsys.readouterr().out
    play("vary", "--input=my Kick.wav", "--category=snare=1,clap=3", "--output=o", "--count=1")
    assert "is taken for a hybrid of 25% snare and 75% clap as you say" in capsys.readouterr().out
    [sound] = read(read_recipe("o/drumjax_my_kick_01.wav"), "x").sounds
    assert sound.category == {"snare": 0.25, "clap": 0.75}


def test_a_long_stereo_file_of_another_rate_is_cut(play, tmp_path, capsys):
    x = np.stack([burst(960_000), burst(960_000, 1)], 1)
    soundfile.write(tmp_path / "kick.wav", x, 96_000, "FLOAT")
    assert play("vary", "--input=kick.wav", "--output=out", "--count=1") == 0
    assert len(files(tmp_path / "out")) == 2
    assert "kick.wav lasts 10.00 s; its first 0.06 s are used" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (np.zeros(22050), "a.wav is silent"),
        (b"this is a text\n", "a.wav cannot be read as sound"),
        (None, "a.wav is not there"),
    ],
)
@pytest.mark.parametrize("command", ["vary", "morph"])
def test_what_is_no_sound_is_one_sentence(refused, tmp_path, command, content, says):
    if isinstance(content, bytes):
        (tmp_path / "a.wav").write_bytes(content)
    elif content is not None:
        soundfile.write(tmp_path / "a.wav", content, 22050)
    flags = ["--input=a.wav"] if command == "vary" else ["--from=a.wav", "--to=a.wav"]
    assert says in refused(command, *flags, "--output=out")


def test_an_instrument_without_its_encoder_says_so(refused, own):
    error = refused("vary", "--input=my Kick.wav", "--output=out", instrument="mute")
    assert "mute.encoder.safetensors, which is not there" in error


def test_morph_goes_from_one_sound_to_the_other(play, own, player):
    flags = ["--from=my Kick.wav", "--to=snare 2.wav", "--steps=5", "--output=out"]
    assert play("morph", *flags, "--curve=spherical") == 0
    assert sorted(files(own / "out")) == [f"drumjax_morph_0{i}.wav" for i in range(1, 6)]
    a, b = (
        player.encode(read_source(f"{name}.wav", 22050, MEL.num_samples).audio, category)
        for name, category in (("my Kick", "kick"), ("snare 2", "snare"))
    )
    for i, z in enumerate(between(a, b, 5, "spherical")):
        weights = np.float32([1 - i / 4, i / 4, 0])
        expected = quantise(player.render(z, weights), 16)
        np.testing.assert_array_equal(pcm(f"out/drumjax_morph_0{i + 1}.wav"), expected)
    categories = [
        read_recipe(f"out/drumjax_morph_0{i}.wav")["sounds"][0]["category"] for i in (1, 2)
    ]
    assert categories == ["kick", {"kick": 0.75, "snare": 0.25}]


# kit and render


def test_a_kit_is_reproduced_byte_for_byte(play, tmp_path):
    flags = ["--format=wav,sfz,hydrogen", "--profile=daw", "--pitch=2", "--name=my kit"]
    assert play("kit", "--seed=7", "--pads=kick,snare,kick", "--output=a", *flags) == 0
    assert play("kit", "--recipe=a/kit.json", "--output=b") == 0
    a, b = files(tmp_path / "a"), files(tmp_path / "b")
    assert a == b
    names = [f"drumjax_{n}.wav" for n in ("kick_01", "kick_02", "snare_01")]
    listed = [
        *names,
        *(f"samples/{n}" for n in names),
        "kit.json",
        "my kit.sfz",
        "my kit.h2drumkit",
    ]
    assert sorted(a) == sorted(listed)
    assert all(a[n] == a[f"samples/{n}"] for n in names)


def test_pads_of_a_table_may_be_hybrids(play, tmp_path):
    (tmp_path / "pads.toml").write_text(
        '[pads]\n"low boom" = "kick"\nghost = {clap = 0.25, snare = 0.75}\n'
    )
    assert play("kit", "--pads=pads.toml", "--format=wav,sfz", "--output=a") == 0
    assert play("kit", "--recipe=a/kit.json", "--output=b") == 0
    a = files(tmp_path / "a")
    assert a == files(tmp_path / "b")
    assert a["drumjax_low_boom.wav"] == a["samples/drumjax_kick_01.wav"]
    assert a["drumjax_ghost.wav"] == a["samples/drumjax_snare_clap_01.wav"]
    assert play("kit", "--reroll=ghost", "--output=a") == 0
    again = files(tmp_path / "a")
    assert again["drumjax_low_boom.wav"] == a["drumjax_low_boom.wav"]
    assert again["drumjax_ghost.wav"] != a["drumjax_ghost.wav"]


def test_any_sounds_become_a_kit(play, tmp_path):
    """A recipe without notes gets them."""
    play("sample", "--count=1", "--no-sheet", "--profile=mpc", "--output=a")
    assert play("kit", "--recipe=a/drumjax_recipe.json", "--output=b", "--format=sfz") == 0
    sounds = json.loads((tmp_path / "b/kit.json").read_text())["sounds"]
    assert [(s["name"], s["note"]) for s in sounds] == [
        ("kick_01", 36),
        ("snare_01", 38),
        ("clap_01", 39),
    ]
    twice = (tmp_path / "b/kit.json").read_text().replace('"note": 38', '"note": 36')
    (tmp_path / "twice.json").write_text(twice)
    assert play("kit", "--recipe=twice.json", "--output=c", "--format=sfz") == 0
    assert files(tmp_path / "c") == files(tmp_path / "b")
    wavs = files(tmp_path / "a")
    assert files(tmp_path / "b/samples") == {n: wavs[n] for n in wavs if n.endswith(".wav")}


def test_a_terminal_sees_the_count(play, monkeypatch, capsys):
    flags = ["--category=kick", "--count=2", "--no-sheet", "--output=out"]
    play("sample", *flags)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    play("sample", *flags)
    shown = capsys.readouterr().err
    assert shown.startswith("\r0 of 2 sounds ")
    assert shown.endswith("\r\033[K")


def test_locked_pads_stay_and_the_others_change(play, tmp_path):
    play("kit", "--seed=7", "--pads=kick,snare,kick,clap", "--output=a")
    play("kit", "--recipe=a/kit.json", "--seed=8", "--lock=kick,clap_01", "--output=b")
    play("kit", "--seed=8", "--pads=kick,snare,kick,clap", "--output=c")
    a, b, c = (files(tmp_path / n) for n in "abc")
    for name in ("kick_01", "kick_02", "clap_01"):
        assert a[f"drumjax_{name}.wav"] == b[f"drumjax_{name}.wav"]
    assert a["drumjax_snare_01.wav"] != b["drumjax_snare_01.wav"]
    assert c["drumjax_snare_01.wav"] == b["drumjax_snare_01.wav"]  # the seed's own


def test_rerolling_changes_the_named_pad_alone_each_time(play, tmp_path, capsys):
    play("kit", "--seed=7", "--pads=kick,snare", "--output=a")
    seen = [files(tmp_path / "a")]
    for _ in range(2):
        capsys.readouterr()
        assert play("kit", "--reroll=snare", "--output=a") == 0
        seen.append(files(tmp_path / "a"))
    assert len({s["drumjax_kick_01.wav"] for s in seen}) == 1
    assert len({s["drumjax_snare_01.wav"] for s in seen}) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["kick_01", "note", "36", "seed", "7", "as", "it", "was"]
    assert lines[1].split() == ["snare_01", "note", "38", "seed", "9"]


@pytest.mark.parametrize("seed", [-5, "7", None, True])
def test_a_pad_whose_seed_is_none_gets_the_first(play, tmp_path, capsys, seed):
    play("kit", "--pads=kick", "--output=a")
    kit = json.loads((tmp_path / "a/kit.json").read_text())
    kit["sounds"][0]["origin"] = {"seed": seed}
    (tmp_path / "kit.json").write_text(json.dumps(kit))
    capsys.readouterr()
    assert play("kit", "--recipe=kit.json", "--reroll=kick", "--output=b") == 0
    assert capsys.readouterr().out.split()[:5] == ["kick_01", "note", "36", "seed", "1"]


def test_a_kit_has_sixteen_pads_of_the_instruments_categories(play, tmp_path):
    assert play("kit", "--output=a") == 0
    sounds = json.loads((tmp_path / "a/kit.json").read_text())["sounds"]
    assert len(sounds) == 16
    assert len({s["note"] for s in sounds}) == 16


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--pads=kick,ride"], "'ride' that the instrument does not know; it knows kick, snare, c"),
        (["--lock=kick"], "no kit.json"),
        (["--recipe=none.json"], "none.json cannot be opened"),
        (["--format=sfz,ogg"], "'ogg'; choose of wav, sfz, hydrogen"),
        (["--name=a/b"], "'a/b'"),
        (["--lock=kick", "--reroll=kick"], "give one of them"),
        (["--pads=kick", "--reroll=kick"], "leave out --recipe"),
        (["--profile=daw", "--rate=44100"], "leave out --rate"),
        (["--seed=-1"], "choose 0 or more"),
    ],
)
def test_kits_that_cannot_be_made(refused, flags, says):
    assert says in refused("kit", *flags, "--output=out")


def test_an_unknown_pad_names_the_known_ones(play, refused):
    play("kit", "--pads=kick,snare", "--output=a")
    error = refused("kit", "--recipe=a/kit.json", "--lock=tom", "--output=b")
    assert "no pad 'tom'; it has kick_01, snare_01" in error


def test_any_file_is_made_again_from_itself(play, tmp_path):
    """Byte for byte, with its shape, form, note and recipe."""
    play("kit", "--pads=kick,snare", "--pitch=3", "--profile=daw", "--output=a")
    play("sample", "--category=kick=1,clap=2", "--count=1", "--no-sheet", "--output=a")
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
    flags = ["--count=1", "--no-sheet", "--profile=mpc"]
    play("sample", *flags, "--output=a")
    assert play("render", "--recipe=a/drumjax_recipe.json", "--output=b") == 0
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_another_instrument_plays_a_recipe_only_if_told_to(play, refused, tmp_path):
    play("sample", "--category=kick", "--count=1", "--no-sheet", "--output=a")
    flags = ["--recipe=a/drumjax_kick_01.wav", "--output=b"]
    assert "--any-instrument" in refused("render", *flags, instrument="other")
    assert play("render", *flags, "--any-instrument", instrument="other") == 0
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


# humanise


@pytest.fixture
def groove(tmp_path):
    """Kick, snare, a side stick that no pad plays, and the same kick again: half a second."""
    file = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    for time, note, velocity in ((0, 36, 127), (240, 38, 64), (0, 49, 100), (240, 36, 127)):
        track.append(mido.Message("note_on", channel=9, note=note, velocity=velocity, time=time))
    file.tracks.append(track)
    file.save(tmp_path / "in.mid")
    return tmp_path


def test_each_hit_is_a_take_of_its_own(play, groove, player, capsys):
    flags = ["--kit=a/kit.json", "--seed=5", "--amount=0.5", "--bits=32"]
    play("kit", "--pads=kick,snare", "--seed=3", "--output=a")
    assert play("humanise", "--midi=in.mid", "--output=loop.wav", *flags) == 0
    mix = soundfile.read("loop.wav", dtype="float32")[0]
    expected = np.zeros(11025 + MEL.num_samples, np.float64)
    hits = (("kick", 0, 0, 127), ("snare", 1, 5512, 64), ("kick", 3, 11025, 127))
    for category, index, start, velocity in hits:
        spread = np.sqrt(
            np.diagonal(player.instrument.tensors["latents/covariance"][NAMES.index(category)])
        )
        z = draw_codes(player.instrument, category, 1, 3)[0]
        take = player.render(jitter(z, spread, 0.5, 5, index), category)
        expected[start : start + len(take)] += (velocity / 127) ** 2 * take
    np.testing.assert_allclose(mix, expected, atol=1e-6)
    said = capsys.readouterr().out
    assert "kick_01 2, snare_01 1" in said
    assert "no category plays their keys (49): 1" in said


def test_a_part_is_reproduced_byte_for_byte(play, groove, refused):
    for name in ("a.wav", "b.wav"):
        assert play("humanise", "--midi=in.mid", f"--output={name}") == 0
    assert play("humanise", "--midi=in.mid", "--kit=a.wav", "--output=c.wav") == 0
    assert play("humanise", "--midi=in.mid", "--seed=2", "--output=d.wav") == 0
    a, b, c, d = ((groove / f"{n}.wav").read_bytes() for n in "abcd")
    assert a == b == c != d
    error = refused("render", "--recipe=a.wav", "--output=out")
    assert "is a drum part; play it again with 'drumjax humanise --midi=in.mid --kit=a.wav" in error


def test_a_closed_hat_chokes_the_open_one(play, tmp_path):
    """In the loop, and in the sampler that loads the kit."""
    file = mido.MidiFile(ticks_per_beat=480)
    open_hat, closed_hat = (
        mido.Message("note_on", channel=9, note=note, velocity=127, time=time)
        for note, time in ((46, 0), (42, 6))  # 6.25 ms later
    )
    file.tracks.append(mido.MidiTrack([open_hat, closed_hat]))
    file.save(tmp_path / "in.mid")
    flags = ["--pads=open_hat,closed_hat", "--gain=-12", "--format=wav,sfz", "--output=a"]
    play("kit", *flags, instrument="hats")
    assert (tmp_path / "a/drumjax_kit.sfz").read_text().count("group=1 off_by=1") == 2
    flags = ["--midi=in.mid", "--kit=a/kit.json", "--amount=0", "--bits=32", "--output=a.wav"]
    assert play("humanise", *flags, instrument="hats") == 0
    mix, closed = soundfile.read("a.wav")[0], soundfile.read("a/drumjax_closed_hat_01.wav")[0]
    start, silent = round(0.00625 * 22050), round(0.01425 * 22050) + 1
    np.testing.assert_allclose(mix[silent:], closed[silent - start :], atol=2e-5)
    assert np.abs(mix[start:silent] - closed[: silent - start]).max() > 1e-3


def test_a_loop_takes_the_kits_form_and_the_flags(play, groove):
    play("kit", "--pads=kick,snare", "--rate=44100", "--pitch=12", "--output=a")
    play("humanise", "--midi=in.mid", "--kit=a/kit.json", "--output=a.wav")
    whole = 0.5 + MEL.num_samples / 2 / 22050  # an octave up lasts half as long
    info = soundfile.info("a.wav")
    assert (info.samplerate, info.duration) == (44100, pytest.approx(whole, abs=1e-4))
    flags = ["--kit=a/kit.json", "--profile=elektron", "--pitch=0"]
    assert play("humanise", "--midi=in.mid", "--output=drumjax_b.wav", *flags) == 0
    info = soundfile.info("drumjax_b.wav")
    whole = 0.5 + MEL.num_samples / 22050
    assert (info.samplerate, info.duration) == (48000, pytest.approx(whole, abs=1e-4))
    assert read_recipe("drumjax_b.wav") is None
    assert play("humanise", "--midi=in.mid", "--output=drumjax_b.wav", *flags) == 0  # by its name


def test_kits_of_another_instrument_are_refused_everywhere(play, refused, groove):
    play("kit", "--pads=kick,snare", "--output=a")
    flags = {
        "kit": ["--recipe=a/kit.json", "--output=b"],
        "humanise": ["--midi=in.mid", "--kit=a/kit.json", "--output=b.wav"],
    }
    for command, words in flags.items():
        assert "--any-instrument" in refused(command, *words, instrument="other")
        assert play(command, *words, "--any-instrument", instrument="other") == 0


def test_keys_without_a_pad_of_their_own_play_one_of_their_category(play, groove, capsys):
    """The first one of it."""
    play("kit", "--pads=kick,kick,snare", "--output=a")
    kit = json.loads((groove / "a/kit.json").read_text())
    for notes, played in (((20, 21), "kick_01 2, snare_01 1"), ((20, 36), "kick_02 2, snare_01 1")):
        kit["sounds"][0]["note"], kit["sounds"][1]["note"] = notes
        (groove / "kit.json").write_text(json.dumps(kit))
        capsys.readouterr()
        assert play("humanise", "--midi=in.mid", "--kit=kit.json", "--output=a.wav") == 0
        assert played in capsys.readouterr().out


def test_a_part_without_drums_is_one_sentence(refused, tmp_path):
    file = mido.MidiFile()
    program = mido.Message("program_change", channel=0, program=3)
    note = mido.Message("note_on", channel=0, note=60, velocity=90)
    file.tracks.append(mido.MidiTrack([program, note]))
    file.save(tmp_path / "piano.mid")
    (tmp_path / "text.mid").write_text("text")
    assert "holds no drums" in refused("humanise", "--midi=piano.mid", "--output=a.wav")
    assert "is no MIDI file" in refused("humanise", "--midi=text.mid", "--output=a.wav")
    assert "is not there" in refused("humanise", "--midi=none.mid", "--output=a.wav")
    assert "must end in .wav" in refused("humanise", "--midi=piano.mid", "--output=a")


# What all of them refuse, before anything is computed

COMMANDS = {
    "sample": [],
    "vary": ["--input=a.wav"],
    "morph": ["--from=a.wav", "--to=a.wav"],
    "kit": [],
    "humanise": ["--midi=in.mid"],
    "render": ["--recipe=kit.json"],
}


@pytest.fixture
def no_player(monkeypatch):
    def fail(path):
        raise AssertionError("the instrument was opened")

    monkeypatch.setattr("drumjax.commands._files.open_player", fail)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_below_a_file_is_refused_first(refused, no_player, tmp_path, command):
    (tmp_path / "file").write_text("")
    error = refused(command, *COMMANDS[command], "--output=file/below/out.wav")
    assert "file is a file); choose another --output" in error


def test_a_folder_without_permission_is_refused_first(refused, no_player, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "(no permission to write to" in refused("sample", "--output=out")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--pitch=25", "-24 to 24 \\(semitones\\)"),
        ("--decay=nan", "0.05 to 4"),
        ("--gain=30", "-60 to 24 \\(dB\\)"),
        ("--fade=-1", "0 to 60 \\(seconds\\)"),
    ],
)
def test_shapes_out_of_range_are_refused_first(
    play, no_player, tmp_path, capsys, command, flag, says
):
    assert play(command, *COMMANDS[command], "--output=out.wav", flag) == 1
    assert re.search(says, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--rate=96000", "--bits=8", "--profile=roland"])
@pytest.mark.parametrize("command", ["sample", "vary", "morph", "kit"])
def test_forms_that_are_not_written_are_refused_first(refused, no_player, command, flag):
    assert "choose one of" in refused(command, *COMMANDS[command], "--output=out", flag)


@pytest.mark.parametrize(
    ("category", "says"),
    [
        ("tom", "no category 'tom'; choose one of kick, snare, clap"),
        ("kick=1,tom=2", "no category 'tom'"),
        ("kick=0,snare=1", "a share of 0"),
        ("kick=-1,snare=2", "a share of -1"),
        ("kick=nan,snare=2", "write it like"),
        ("kick=1,kick=2", "write it like"),
        ("kick=1,snare", "write it like"),
        ("", "no category ''"),
    ],
)
def test_categories_that_there_are_not(refused, category, says):
    assert says in refused("sample", f"--category={category}", "--output=out")


@pytest.mark.parametrize("controls", ["warmth=1", "dusty", "dusty=inf", "=1"])
def test_controls_that_there_are_not(refused, controls):
    error = refused("sample", f"--set={controls}", "--output=out")
    assert ("no control 'warmth'; there are dusty" if "warmth" in controls else "like") in error


@pytest.mark.parametrize(
    ("command", "flag", "says"),
    [
        ("vary", "--amount=1.1", "choose 0 to 1"),
        ("vary", "--amount=nan", "choose 0 to 1"),
        ("vary", "--count=0", "choose 1 to 10,000"),
        ("morph", "--steps=1", "choose 2 to 10,000"),
        ("humanise", "--amount=-1", "choose 0 to 1"),
        ("humanise", "--seed=-1", "choose 0 or more"),
    ],
)
def test_numbers_out_of_range_are_refused_first(refused, no_player, command, flag, says):
    assert says in refused(command, *COMMANDS[command], "--output=out.wav", flag)


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
    (groove / "loop.wav").write_bytes(b"RIFF" + bytes(3 * 2**20) + b"drumjax" + bytes(2**19))
    assert play("humanise", "--midi=in.mid", "--output=loop.wav") == 0
    assert soundfile.info("loop.wav").duration > 0.5
