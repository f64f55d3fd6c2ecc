"""kit and humanise from their command lines, with the tiny instrument."""

import json
import re
import sys
import tarfile

import mido
import numpy as np
import pytest
import soundfile
from playing import files, write_part
from tiny import MEL

from drumjax.export.wav import read_recipe
from drumjax.play.controls import draw_codes, vary_codes

# kit


def test_a_kit_is_reproduced_byte_for_byte(play, tmp_path):
    flags = ["--format=wav,sfz,hydrogen", "--profile=daw", "--pitch=2", "--name=my kit"]
    assert play("kit", "--seed=7", "--pads=kick,snare,kick", "--output=a", *flags) == 0
    assert play("kit", "--recipe=a/kit.json", "--output=b") == 0
    a, b = files(tmp_path / "a"), files(tmp_path / "b")
    assert a == b
    names = [f"drumjax_{n}.wav" for n in ("kick_01", "kick_02", "snare_01")]
    listed = [
        *names,
        *(f"my kit_samples/{n}" for n in names),
        "kit.json",
        "my kit.sfz",
        "my kit.h2drumkit",
    ]
    assert sorted(a) == sorted(listed)
    assert all(a[n] == a[f"my kit_samples/{n}"] for n in names)


def test_pads_of_a_table_may_be_hybrids(play, tmp_path):
    (tmp_path / "pads.toml").write_text(
        '[pads]\n"low boom" = "kick"\nghost = {clap = 0.25, snare = 0.75}\n'
    )
    assert play("kit", "--pads=pads.toml", "--format=wav,sfz", "--output=a") == 0
    assert play("kit", "--recipe=a/kit.json", "--output=b") == 0
    a = files(tmp_path / "a")
    assert a == files(tmp_path / "b")
    for name in ("drumjax_low_boom.wav", "drumjax_ghost.wav"):
        assert a[name] == a[f"drumjax_kit_samples/{name}"]
    assert play("kit", "--reroll=ghost", "--output=a") == 0
    again = files(tmp_path / "a")
    assert again["drumjax_low_boom.wav"] == a["drumjax_low_boom.wav"]
    assert again["drumjax_ghost.wav"] != a["drumjax_ghost.wav"]


def test_one_name_is_one_sound_in_all_formats(play, tmp_path):
    """Also of a pad that is called by another category's name: the loose files are the oracle."""
    (tmp_path / "pads.toml").write_text(
        '[pads]\ntom_01 = "snare"\nsnare_01 = "kick"\nsnare_02 = "snare"\n'
    )
    assert play("kit", "--pads=pads.toml", "--format=wav,sfz,hydrogen", "--output=a") == 0
    a = files(tmp_path / "a")
    loose = {name: content for name, content in a.items() if re.fullmatch(r"drumjax_\w+.wav", name)}
    assert sorted(loose) == [f"drumjax_{n}.wav" for n in ("snare_01", "snare_02", "tom_01")]
    assert files(tmp_path / "a/drumjax_kit_samples") == loose
    with tarfile.open(tmp_path / "a/drumjax_kit.h2drumkit") as archive:
        for name, content in loose.items():
            assert archive.extractfile(f"drumjax_kit/{name}").read() == content


def test_any_sounds_become_a_kit(play, tmp_path):
    """A recipe without notes gets them."""
    play("sample", "--count=1", "--no_sheet", "--profile=mpc", "--output=a")
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
    assert files(tmp_path / "b/drumjax_kit_samples") == {
        n: wavs[n] for n in wavs if n.endswith(".wav")
    }


def test_a_terminal_sees_the_count(play, monkeypatch, capsys):
    flags = ["--category=kick", "--count=2", "--no_sheet", "--output=out"]
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


def kit_of_seed(play, tmp_path, seed):
    """kit.json of one pad, whose sound says that it came of `seed`."""
    play("kit", "--pads=kick", "--output=a")
    kit = json.loads((tmp_path / "a/kit.json").read_text())
    kit["sounds"][0]["origin"] = {"seed": seed}
    (tmp_path / "kit.json").write_text(json.dumps(kit))


@pytest.mark.parametrize("seed", [-5, "7", None, True])
def test_a_pad_whose_seed_is_none_gets_the_first(play, tmp_path, capsys, seed):
    kit_of_seed(play, tmp_path, seed)
    capsys.readouterr()
    assert play("kit", "--recipe=kit.json", "--reroll=kick", "--output=b") == 0
    assert capsys.readouterr().out.split()[:5] == ["kick_01", "note", "36", "seed", "1"]


def test_a_kit_that_cannot_be_made_whole_replaces_nothing(play, refused, tmp_path):
    """A trim that the first pads survive and a later one does not."""
    play("kit", "--pads=kick,snare", "--seed=1", "--format=wav,sfz", "--output=a")
    document = json.loads((tmp_path / "a/kit.json").read_text())
    document["sounds"][1]["shape"]["trim_start"] = 0.03
    (tmp_path / "a/kit.json").write_text(json.dumps(document))
    before = files(tmp_path / "a")
    flags = ["--recipe=a/kit.json", "--seed=2", "--trim_end=0.03", "--output=a"]
    error = refused("kit", *flags)
    assert re.search("kit: snare_01: trim_start and trim_end leave nothing", error)
    assert files(tmp_path / "a") == before


def test_an_empty_lock_replaces_nothing(play, refused, tmp_path):
    play("kit", "--pads=kick,snare", "--output=a")
    before = files(tmp_path / "a")
    for flag in ("--lock=", "--reroll=", "--lock=kick,"):
        assert "the kit has no pad ''" in refused("kit", flag, "--output=a")
    assert files(tmp_path / "a") == before


def test_a_pad_is_as_it_was_if_all_of_it_is(play, tmp_path, capsys):
    """Its code, its shape, its category and its instrument."""

    def lines(*flags, **options):
        capsys.readouterr()
        assert play("kit", "--recipe=a/kit.json", "--output=b", *flags, **options) == 0
        return ["as it was" in line for line in capsys.readouterr().out.splitlines()[:2]]

    play("kit", "--pads=kick,snare", "--output=a")
    assert lines() == [True, True]
    assert lines("--lock=kick", "--seed=5") == [True, False]
    assert lines("--lock=kick", "--seed=5", "--pitch=2") == [False, False]
    assert lines("--any_instrument", instrument="other") == [False, False]
    document = json.loads((tmp_path / "a/kit.json").read_text())
    assert lines("--gain=0") == [True, True]  # what it was already
    assert [s["shape"]["gain"] for s in document["sounds"]] == [0.0, 0.0]


@pytest.mark.parametrize("seed", [[1], {"a": 1}, "\x1b[2J", 1.5])
def test_a_strangers_seed_is_not_printed(play, tmp_path, capsys, seed):
    kit_of_seed(play, tmp_path, seed)
    capsys.readouterr()
    assert play("kit", "--recipe=kit.json", "--output=b") == 0
    said = capsys.readouterr().out
    assert said.split()[:5] == ["kick_01", "note", "36", "seed", "?"]
    assert "\x1b" not in said


@pytest.mark.parametrize("formats", [[], "wav", [1], [["wav"]], [None]])
def test_a_recipe_whose_formats_cannot_be_used(play, refused, tmp_path, formats):
    play("kit", "--pads=kick", "--output=a")
    kit = json.loads((tmp_path / "a/kit.json").read_text())
    kit["extra"]["formats"] = formats
    (tmp_path / "kit.json").write_text(json.dumps(kit))
    assert "format" in refused("kit", "--recipe=kit.json", "--output=b")
    assert play("kit", "--recipe=kit.json", "--format=wav", "--output=b") == 0


def test_formats_that_an_earlier_kit_left_are_told(play, tmp_path, capsys):
    play("kit", "--pads=kick", "--format=wav,sfz", "--output=a")
    before = files(tmp_path / "a")
    capsys.readouterr()
    play("kit", "--pads=kick", "--seed=2", "--output=a")
    said = "drumjax_kit.sfz stays as it was; --format=wav,sfz makes it anew"
    assert said in capsys.readouterr().out
    after = files(tmp_path / "a")
    assert {name for name in before if after[name] != before[name]} == {
        "drumjax_kick_01.wav",
        "kit.json",
    }


def test_hybrids_have_the_note_and_the_choke_of_their_strongest_category(play, tmp_path):
    (tmp_path / "pads.toml").write_text(
        "[pads]\nsizzle = {open_hat = 0.8, snare = 0.2}\n"
        "tick = {closed_hat = 0.8, open_hat = 0.2}\n"
    )
    flags = ["--pads=pads.toml", "--gain=-12", "--format=wav,sfz", "--output=a"]
    assert play("kit", *flags, instrument="hats") == 0
    sounds = json.loads((tmp_path / "a/kit.json").read_text())["sounds"]
    assert {s["name"]: s["note"] for s in sounds} == {"sizzle": 46, "tick": 42}
    text = (tmp_path / "a/drumjax_kit.sfz").read_text()
    assert "key=46\noff_by=1\n" in text
    assert "key=42\ngroup=1\n" in text
    write_part(tmp_path / "in.mid", (0, 46, 127), (6, 44, 127))  # 44, a pedal hat, is no pad's
    flags = ["--midi=in.mid", "--kit=a/kit.json", "--amount=0", "--bits=32", "--output=a.wav"]
    assert play("humanise", *flags, instrument="hats") == 0
    mix, closed = soundfile.read("a.wav")[0], soundfile.read("a/drumjax_tick.wav")[0]
    start, silent = round(0.00625 * 22050), round(0.01425 * 22050) + 1
    np.testing.assert_allclose(mix[silent:], closed[silent - start :], atol=2e-5)


@pytest.mark.parametrize("command", ["kit", "render", "one"])
def test_silent_pads_are_told(play, capsys, monkeypatch, command):
    play("kit", "--pads=kick,snare", "--output=a")
    silence = np.zeros(MEL.num_samples, np.float32)
    monkeypatch.setattr("drumjax.play.runtime.Player.render", lambda self, z, category: silence)
    capsys.readouterr()
    if command == "one":
        assert play("render", "--recipe=a/drumjax_kick_01.wav", "--output=b.wav") == 0
        assert "it is silent: the networks need more training." in capsys.readouterr().out
    else:
        assert play(command, "--recipe=a/kit.json", "--output=b") == 0
        assert "2 of them are silent: the networks" in capsys.readouterr().out


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
        (["--lock="], "no kit.json"),
        (["--format="], "''; choose of wav"),
        (["--name="], "''"),
        (["--pads="], "cannot be called '_01'"),
        (["--recipe="], "cannot be opened"),
        (["--seed=-1"], "choose 0 or more"),
    ],
)
def test_kits_that_cannot_be_made(refused, flags, says):
    assert says in refused("kit", *flags, "--output=out")


def test_an_unknown_pad_names_the_known_ones(play, refused):
    play("kit", "--pads=kick,snare", "--output=a")
    error = refused("kit", "--recipe=a/kit.json", "--lock=tom", "--output=b")
    assert "no pad 'tom'; it has kick_01, snare_01" in error


# humanise


def test_each_hit_is_a_take_of_its_own(play, groove, player, capsys):
    flags = ["--kit=a/kit.json", "--seed=5", "--amount=0.5", "--bits=32"]
    play("kit", "--pads=kick,snare", "--seed=3", "--output=a")
    assert play("humanise", "--midi=in.mid", "--output=loop.wav", *flags) == 0
    mix = soundfile.read("loop.wav", dtype="float32")[0]
    expected = np.zeros(11025 + MEL.num_samples, np.float64)
    hits = (("kick", 0, 0, 127), ("snare", 0, 5512, 64), ("kick", 1, 11025, 127))
    for category, number, start, velocity in hits:
        z = draw_codes(player.instrument, category, 1, 3)[0]
        z = vary_codes(player.instrument, z, category, 0.5, number + 1, 5)[number]
        take = player.render(z, category)
        expected[start : start + len(take)] += (velocity / 127) ** 2 * take
    np.testing.assert_allclose(mix, expected, atol=1e-6)
    said = capsys.readouterr().out
    assert "kick_01 2, snare_01 1" in said
    assert "no category plays their keys (49): 1" in said


def test_takes_of_a_hybrid_are_those_of_its_mixture(play, groove, player):
    (groove / "pads.toml").write_text("[pads]\nmix = {kick = 0.6, clap = 0.4}\n")
    play("kit", "--pads=pads.toml", "--output=a")
    flags = ["--kit=a/kit.json", "--amount=0.8", "--bits=32", "--output=a.wav"]
    assert play("humanise", "--midi=in.mid", *flags) == 0
    z = np.float32(json.loads((groove / "a/kit.json").read_text())["sounds"][0]["z"])
    weights = np.float32([0.6, 0, 0.4])
    first = player.render(vary_codes(player.instrument, z, weights, 0.8, 1, 1)[0], weights)
    np.testing.assert_allclose(soundfile.read("a.wav")[0][: len(first)], first, atol=1e-6)


def test_a_part_is_reproduced_byte_for_byte(play, groove, refused):
    for name in ("a.wav", "b.wav"):
        assert play("humanise", "--midi=in.mid", f"--output={name}") == 0
    assert play("humanise", "--midi=in.mid", "--kit=a.wav", "--output=c.wav") == 0
    assert play("humanise", "--midi=in.mid", "--seed=2", "--output=d.wav") == 0
    a, b, c, d = ((groove / f"{n}.wav").read_bytes() for n in "abcd")
    assert a == b == c != d
    assert play("humanise", "--midi=in.mid", "--kit=d.wav", "--output=e.wav") == 0  # its seed
    assert (groove / "e.wav").read_bytes() == d
    flags = ["--kit=d.wav", "--seed=1", "--amount=0.4", "--output=f.wav"]
    assert play("humanise", "--midi=in.mid", *flags) == 0
    extra = read_recipe("f.wav")["extra"]
    assert (extra["seed"], extra["amount"]) == (1, 0.4)
    error = refused("render", "--recipe=a.wav", "--output=out")
    assert "a drum part; play it again with 'drumjax humanise --midi=in.mid --kit=a.wav'." in error


def test_a_closed_hat_chokes_the_open_one(play, tmp_path):
    """In the loop, and in the sampler that loads the kit."""
    write_part(tmp_path / "in.mid", (0, 46, 127), (6, 42, 127))  # 6.25 ms later
    flags = ["--pads=open_hat,closed_hat", "--gain=-12", "--format=wav,sfz", "--output=a"]
    play("kit", *flags, instrument="hats")
    assert (tmp_path / "a/drumjax_kit.sfz").read_text().count("group=1\n") == 1
    assert (tmp_path / "a/drumjax_kit.sfz").read_text().count("off_by=1\n") == 1
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
        assert "--any_instrument" in refused(command, *words, instrument="other")
        assert play(command, *words, "--any_instrument", instrument="other") == 0


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
