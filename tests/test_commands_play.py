"""sample, vary and morph from their command lines, and what all commands that play refuse."""

import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from instruments import tiny_frame_instrument
from playing import DUSTIER, burst, files, pcm
from tiny import MEL, NAMES

from drumjax.__main__ import main
from drumjax.audio.files import quantise
from drumjax.audio.mel import mel_spectrogram
from drumjax.export.wav import read_recipe
from drumjax.play import shape as shaping
from drumjax.play.controls import between, draw_codes, vary_codes
from drumjax.play.instrument import save_instrument
from drumjax.play.recipe import read
from drumjax.play.refine import STEPS
from drumjax.play.runtime import Player
from drumjax.play.shape import Shape
from drumjax.play.source_sound import error_of, read_source

# sample


def test_sample_writes_each_category_by_its_number(play, tmp_path, player):
    assert play("sample", "--count=2", "--seed=3", "--output=out", "--no_sheet") == 0
    names = [f"drumjax_{name}_{i:02d}.wav" for name in NAMES for i in (1, 2)]
    assert sorted(files(tmp_path / "out")) == sorted(names)
    z = draw_codes(player.instrument, "snare", 2, seed=3)
    for i in (0, 1):
        expected = quantise(player.render(z[i], "snare"), 16)
        np.testing.assert_array_equal(pcm(f"out/drumjax_snare_0{i + 1}.wav"), expected)


def test_a_sound_does_not_depend_on_how_many_are_made(play, tmp_path):
    play("sample", "--count=3", "--output=many", "--no_sheet")
    play("sample", "--count=1", "--category=clap", "--output=one", "--no_sheet")
    one, many = files(tmp_path / "one"), files(tmp_path / "many")
    assert one == {"drumjax_clap_01.wav": many["drumjax_clap_01.wav"]}


def test_sample_draws_a_sheet_of_what_it_wrote(play, tmp_path, capsys):
    assert play("sample", "--count=1", "--output=out", "--pitch=12") == 0
    assert (tmp_path / "out/drumjax_contact_sheet.png").read_bytes().startswith(b"\x89PNG")
    assert "contact_sheet.png shows them" in capsys.readouterr().out


def test_without_matplotlib_there_is_no_sheet(play, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert play("sample", "--count=1", "--category=kick", "--output=out") == 0
    assert list(files(tmp_path / "out")) == ["drumjax_kick_01.wav"]
    assert "no contact sheet is drawn, as matplotlib is not installed" in capsys.readouterr().out


def test_hybrids_have_the_shares_that_are_asked_for(play, player, tmp_path):
    """And names of their own: one does not replace another."""
    for shares in ("kick=7,snare=3", "kick=0.6,snare=0.4"):
        flags = [f"--category={shares}", "--count=1", "--no_sheet", "--output=out"]
        assert play("sample", *flags) == 0
    made = {path: read(read_recipe(path), "x").sounds[0] for path in (tmp_path / "out").iterdir()}
    categories = [sound.category for sound in made.values()]
    assert len(made) == 2
    assert {"kick": 0.7, "snare": 0.3} in categories
    assert {"kick": 0.6, "snare": 0.4} in categories
    for path, sound in made.items():
        assert re.fullmatch(r"drumjax_kick_snar_[0-9a-f]{4}_01\.wav", path.name)
        expected = player.render(sound.z, np.float32([*sound.category.values(), 0]))
        np.testing.assert_array_equal(pcm(path), quantise(expected, 16))


def test_controls_move_the_codes(play, player):
    flags = ["--category=snare", "--count=1", "--no_sheet"]
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
        play("sample", "--category=clap", "--count=1", "--no_sheet", f"--output={i}", *flags)
    codes = [read(read_recipe(f"{i}/drumjax_clap_01.wav"), "x").sounds[0].z for i in (0, 1)]
    np.testing.assert_array_equal(codes[0], draw_codes(instrument, "clap", 1, 1, "fitted", 0.5)[0])
    np.testing.assert_array_equal(codes[1], draw_codes(instrument, "clap", 1, 4, "normal")[0])


def test_silent_sounds_are_told(play, capsys, monkeypatch):
    silence = np.zeros(MEL.num_samples, np.float32)
    monkeypatch.setattr("drumjax.play.runtime.Player.render", lambda self, z, category: silence)
    assert play("sample", "--category=clap", "--count=3", "--no_sheet", "--output=out") == 0
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
    play("sample", "--category=kick", "--count=1", "--no_sheet", "--output=out", *flags)
    info = soundfile.info(tmp_path / "out/drumjax_kick_01.wav")
    assert (info.samplerate, info.subtype) == (rate, subtype)
    assert info.frames == round(MEL.num_samples * rate / 22050)
    plain = "--profile=elektron" in flags
    assert (read_recipe(tmp_path / "out/drumjax_kick_01.wav") is None) == plain
    assert (tmp_path / "out/drumjax_recipe.json").is_file() == plain


def test_shape_flags_shape_the_sound(play, player):
    flags = ["--pitch=-5", "--decay=0.5", "--gain=-6", "--fade=0.01", "--trim_start=0.001"]
    play("sample", "--category=kick", "--count=1", "--no_sheet", "--output=out", *flags)
    z = draw_codes(player.instrument, "kick", 1, seed=1)[0]
    shape = Shape(pitch=-5, decay=0.5, gain=-6, fade=0.01, trim_start=0.001)
    expected = shaping.apply(player.render(z, "kick"), 22050, shape)
    np.testing.assert_array_equal(pcm("out/drumjax_kick_01.wav"), quantise(expected, 16))


def test_one_length_cuts_the_longer_sounds_alone(play, player):
    """Oracle: 0.038 s are 838 samples; the whole sounds last 832, 896 and 704 of them."""
    flags = ["--category=clap", "--count=3", "--seed=2", "--no_sheet"]
    play("sample", *flags, "--output=whole")
    play("sample", *flags, "--length=0.038", "--output=cut")
    whole, cut = ([pcm(f"{x}/drumjax_clap_0{i}.wav") for i in (1, 2, 3)] for x in ("whole", "cut"))
    for i in (0, 2):
        np.testing.assert_array_equal(cut[i], whole[i])
    assert len(cut[1]) == 838
    np.testing.assert_array_equal(cut[1][:-44], whole[1][: 838 - 44])
    assert not np.array_equal(cut[1][-44:], whole[1][838 - 44 : 838])
    [sound] = read(read_recipe("cut/drumjax_clap_01.wav"), "x").sounds
    assert sound.shape == Shape(length=0.038)


def test_playing_an_instrument_imports_no_training_library(instruments, tmp_path):
    """In a process of its own: not even for the sheet, and matplotlib not before the last WAV."""
    flags = [f"--instrument={instruments}/tiny.safetensors", "--count=1", "--category=kick"]
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
    z = player.encode(source.audio, "kick", refine=STEPS)
    codes = [z, *vary_codes(player.instrument, z, "kick", 0.4, 3, 9)]
    for i, code in enumerate(codes):
        expected = quantise(player.render(code, "kick"), 16)
        np.testing.assert_array_equal(pcm(f"out/drumjax_my_kick_0{i}.wav"), expected)
    assert "my Kick.wav is taken for kick (by its name); the instrument" in capsys.readouterr().out
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
    made = player.decode(player.encode(audio, nearest, refine=STEPS), nearest)
    error = np.sqrt(np.sum((target - made) ** 2) / np.sum(target**2))
    assert f"spectral error of {error:.2f}" in said


@pytest.mark.parametrize("name", ["tom", "crash"])
def test_a_name_that_the_instrument_does_not_know_counts_for_nothing(play, own, capsys, name):
    (own / "thing.wav").rename(own / f"{name}.wav")
    assert play("vary", f"--input={name}.wav", "--output=out", "--count=1") == 0
    assert "(it comes back nearest as that; " in capsys.readouterr().out


def test_what_is_asked_for_goes_before_the_name(play, own, capsys):
    play("vary", "--input=my Kick.wav", "--category=snare", "--output=out", "--count=1")
    assert "is taken for snare (as you say); the instrument" in capsys.readouterr().out
    play("vary", "--input=my Kick.wav", "--category=snare=1,clap=3", "--output=o", "--count=1")
    said = capsys.readouterr().out
    assert "is taken for a hybrid of 25% snare and 75% clap (as you say); " in said
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


@pytest.mark.parametrize("command", ["vary", "morph"])
def test_a_folder_is_no_sound(refused, own, command):
    (own / "mine").mkdir()
    flags = ["--input=mine"] if command == "vary" else ["--from=my Kick.wav", "--to=mine"]
    error = refused(command, *flags, "--output=out")
    assert "mine is a folder; give one sound file, such as a WAV in it." in error


def test_an_instrument_without_its_encoder_says_so(refused, own):
    error = refused("vary", "--input=my Kick.wav", "--output=out", instrument="mute")
    assert "mute.encoder.safetensors, which is not there" in error


def test_morph_goes_from_one_sound_to_the_other(play, own, player):
    flags = ["--from=my Kick.wav", "--to=snare 2.wav", "--steps=5", "--output=out"]
    assert play("morph", *flags, "--curve=spherical") == 0
    assert sorted(files(own / "out")) == [f"drumjax_morph_0{i}.wav" for i in range(1, 6)]
    a, b = (
        player.encode(read_source(f"{name}.wav", 22050, MEL.num_samples).audio, kind, refine=STEPS)
        for name, kind in (("my Kick", "kick"), ("snare 2", "snare"))
    )
    for i, z in enumerate(between(a, b, 5, "spherical")):
        weights = np.float32([1 - i / 4, i / 4, 0])
        expected = quantise(player.render(z, weights), 16)
        np.testing.assert_array_equal(pcm(f"out/drumjax_morph_0{i + 1}.wav"), expected)
    categories = [
        read_recipe(f"out/drumjax_morph_0{i}.wav")["sounds"][0]["category"] for i in (1, 2)
    ]
    assert categories == ["kick", {"kick": 0.75, "snare": 0.25}]


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
        ("--length=61", "0 to 60 \\(seconds\\)"),
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
        ("kick=1e7,snare=1", "choose -1e+06 to 1e+06"),
        ("kick=-1,snare=2", "a share of -1"),
        ("kick=nan,snare=2", "write it like"),
        ("kick=1,kick=2", "write it like"),
        ("kick=1,snare", "write it like"),
        ("", "no category ''"),
    ],
)
def test_categories_that_there_are_not(refused, category, says):
    assert says in refused("sample", f"--category={category}", "--output=out")


@pytest.mark.parametrize(
    ("controls", "says"),
    [
        ("warmth=1", "no control 'warmth'; there are dusty"),
        ("dusty", "write it like"),
        ("dusty=inf", "write it like"),
        ("=1", "write it like"),
        ("", "write it like"),
        ("dusty=1e39", "--set gives dusty 1e+39; choose -100 to 100"),
    ],
)
def test_controls_that_there_are_not(refused, controls, says):
    assert says in refused("sample", f"--set={controls}", "--output=out")


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


@pytest.mark.parametrize(
    ("command", "flags", "says"),
    [
        *((c, ["--profile=daw", "--rate=44100"], "leave out --rate") for c in COMMANDS),
        ("kit", ["--lock=kick", "--reroll=kick"], "not allowed with"),
        ("kit", ["--pads=kick", "--reroll="], "leave out --recipe"),
        ("kit", ["--pads=kick", "--recipe=a"], "leave out --recipe"),
    ],
)
def test_flags_that_contradict_are_status_2(play, no_player, capsys, command, flags, says):
    with pytest.raises(SystemExit) as stop:
        play(command, *COMMANDS[command], "--output=out.wav", *flags)
    assert stop.value.code == 2
    assert says in capsys.readouterr().err


def test_flags_of_two_words_may_have_hyphens(play, tmp_path):
    flags = ["--category=kick", "--count=1", "--no-sheet", "--trim-start=0.001"]
    assert play("sample", *flags, "--output=a-b") == 0
    assert list(files(tmp_path / "a-b")) == ["drumjax_kick_01.wav"]
    [sound] = read(read_recipe("a-b/drumjax_kick_01.wav"), "x").sounds
    assert sound.shape == Shape(trim_start=0.001)


@pytest.mark.parametrize("command", COMMANDS)
def test_names_that_are_too_long_for_a_disk(refused, command):
    name = "x" * 300
    flags = [flag.replace("in.mid", name) for flag in COMMANDS[command]]
    assert "File name too long" in refused(command, *flags, f"--output={name}.wav")


def test_a_share_that_is_nothing_is_left_out(play):
    flags = ["--category=kick=1e-40,snare=1e6", "--count=1", "--no_sheet", "--output=out"]
    assert play("sample", *flags) == 0
    [sound] = read(read_recipe("out/drumjax_snare_01.wav"), "x").sounds
    assert sound.category == "snare"


def test_a_group_of_which_one_fails_replaces_nothing(play, refused, tmp_path, monkeypatch):
    """The third sound lasts too short for the trim."""
    flags = ["--category=kick", "--count=4", "--no_sheet", "--output=out"]
    play("sample", *flags)
    before = files(tmp_path / "out")
    rendered, seen = shaping.apply, []

    def third(samples, rate, shape):
        seen.append(shape)
        short = samples[:100] if len(seen) == 3 else samples
        return rendered(short, rate, shape)

    monkeypatch.setattr("drumjax.play.recipe.apply", third)
    error = refused("sample", *flags, "--seed=2", "--trim_end=0.01")
    assert "kick_03: trim_start and trim_end leave nothing" in error
    assert files(tmp_path / "out") == before


@pytest.mark.parametrize("command", ["vary", "morph"])
def test_codes_of_a_sound_of_ones_own_are_refined(command, tmp_path, monkeypatch):
    """By STEPS; the file holds a sound that the instrument can make, if not one that it finds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("drumjax.play.cache.use_cache", lambda: None)
    save_instrument(tiny_frame_instrument(), tmp_path / "frames.safetensors", "float32")
    player = Player(tiny_frame_instrument())
    drawn = np.random.default_rng(3).normal(0, 1, player.instrument.latents)
    soundfile.write("kick.wav", player.render(np.float32(drawn), "kick"), 22050, "FLOAT")
    flags = ["--input=kick.wav", "--count=1"]
    flags = flags if command == "vary" else ["--from=kick.wav", "--to=kick.wav", "--steps=2"]
    assert main([command, "--instrument=frames.safetensors", *flags, "--output=out"]) == 0
    first = min((tmp_path / "out").glob("*.wav"))
    found = read(read_recipe(first), "x").sounds[0].z
    audio = read_source("kick.wav", 22050, MEL.num_samples).audio
    before, refined = (player.encode(audio, "kick", refine=n) for n in (0, STEPS))
    np.testing.assert_allclose(found, refined, atol=1e-5)
    assert np.abs(refined - before).max() > 0.05
    assert error_of(player, audio, found, "kick") < 0.95 * error_of(player, audio, before, "kick")


@pytest.mark.parametrize("command", ["vary", "morph"])
def test_silent_sounds_are_told_of_a_sound_of_ones_own_too(play, own, capsys, monkeypatch, command):
    silence = np.zeros(MEL.num_samples, np.float32)
    monkeypatch.setattr("drumjax.play.runtime.Player.render", lambda self, z, category: silence)
    flags = ["--input=my Kick.wav", "--count=2"]
    flags = flags if command == "vary" else ["--from=my Kick.wav", "--to=thing.wav", "--steps=3"]
    assert play(command, *flags, "--output=out") == 0
    assert "3 of them are silent: the networks need more training." in capsys.readouterr().out
