"""The factory instrument: whole, small enough, playable in every category; and never written to."""

import re
import runpy
import tomllib
from pathlib import Path

import numpy as np
import pytest
from instruments import tiny_frame_instrument

from drumjax import instruments
from drumjax.commands._files import check_instrument
from drumjax.data.assemble import render_sounds
from drumjax.data.normalise import pad
from drumjax.errors import ConfigError, InstrumentError
from drumjax.models import DERIVED
from drumjax.play import controls
from drumjax.play.instrument import encoder_path, load_instrument
from drumjax.play.meta import check_meta, check_tensors
from drumjax.play.runtime import Player
from drumjax.play.source_sound import error_of

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def factory():
    """Read with its encoder; that checks the SHA-256 of both files, and that they are a pair."""
    return load_instrument(instruments.factory(), encoder=True)


def test_every_category_sounds_and_comes_back(factory):
    """In one batch. What the instrument made itself, it knows again."""
    player, names = Player(factory), list(factory.categories)
    z = np.concatenate([controls.draw_codes(factory, name, 1, seed=1) for name in names])
    sounds = player.render(z, names)
    assert sounds.shape == (11, 22015)
    peaks = np.abs(sounds).max(axis=1)
    assert peaks.max() <= 10 ** (-0.1 / 20) + 1e-6
    assert peaks.min() > 0.25
    assert len({sound.tobytes() for sound in sounds}) == len(names)
    assert not sounds[names.index("closed_hat"), -2205:].any()
    kick = names.index("kick")
    weights = player.weights("kick", 1)[0]
    again = player.encode(sounds[kick], weights)
    assert error_of(player, sounds[kick], again, weights) < 0.5


def test_drums_that_it_never_heard_come_back_as_near_as_ever(factory):
    """Procedural ones, two a category: SC of their mels' codes, 0.403 in the mean when it was made.

    The bounds lie a little above: 0.20 for kicks, 0.25 for toms, 0.85 for the worst.
    """
    player, errors = Player(factory), {}
    for sound in render_sounds(2, "validation", 0):
        audio = pad(sound.audio).astype(np.float32) / np.float32(32767)
        z = player.encode(audio, sound.category)
        errors.setdefault(sound.category, []).append(error_of(player, audio, z, sound.category))
    means = {name: np.mean(values) for name, values in errors.items()}
    assert means.keys() == set(factory.categories)
    assert np.mean(list(means.values())) < 0.42
    assert means["kick"] < 0.20
    assert means["tom"] < 0.25
    assert max(means.values()) < 0.85


def test_it_has_what_the_readme_plays_it_with(factory):
    assert {"a1", "a2", "a3", "brightness", "punch", "decay"} <= set(controls.names(factory))
    assert factory.meta["name"] == "factory"
    assert factory.meta["provenance"]["licence"] != "not stated"


def test_its_file_its_card_and_its_config_agree(factory):
    """The card's table, its first sentence and its counts, the credits, and configs/."""
    about = factory.meta["provenance"]
    told, sounds = about["frame_wae"], about["frame_wae"]["data"]["sounds"]
    card = (instruments.FOLDER / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[-2] for line in card.splitlines() if line.startswith("| [")]
    assert sum(map(int, rows)) == sounds
    section = card.split("## What it was trained on", 1)[1]
    assert int(re.search(r"\d+", section)[0]) == sounds
    kinds = re.search(r"\nKick [^#|]*", section)[0].lower()
    counts = dict(re.findall(r"([a-z_]+) (\d+)[,.]", kinds))
    assert list(counts) == list(factory.categories) == told["data"]["categories"]
    assert sum(map(int, counts.values())) == sounds
    credited = re.findall(r"\((\d+) sounds, ", about["credits"])
    assert len(credited) == about["credits"].count(" sounds")
    assert sum(map(int, credited)) == sounds
    config = runpy.run_path(str(ROOT / "configs/frame_wae.py"))["get_config"]("small").to_dict()
    ours = told["config"]
    for key in ("model", "seed", "mel"):
        assert ours[key] == config[key], key
    since = {"compute_dtype": "float32"}  # a field that came later, at what it was until then
    trained = {k: v for k, v in ours["frame_wae"].items() if k not in DERIVED}
    assert {**since, **trained} == config["frame_wae"]
    assert ours["data"] == {k: config["data"][k] for k in ("augment", "balanced", "per_category")}
    assert ours["train"]["steps"] == config["train"]["steps"]
    assert 0 < told["steps"] <= config["train"]["steps"]


def test_both_files_fit_and_are_installed():
    """The repository has room for 40 MB of them; pyproject.toml names all but the Python."""
    path = instruments.factory()
    assert sum(p.stat().st_size for p in (path, encoder_path(path))) <= 40e6
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["drumjax.instruments"]
    for file in (path, encoder_path(path), instruments.FOLDER / "README.md"):
        assert file.is_file()
        assert any(file.match(pattern) for pattern in patterns)


def test_an_installation_without_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(instruments, "FOLDER", tmp_path)
    with pytest.raises(InstrumentError, match=r"factory\.safetensors, is not there; install drumj"):
        instruments.factory()


# What no inverter without a network could play, in files from strangers


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_fft": 32768, "hop_length": 256}, "mel.n_fft is 32768, more than 64 hops"),
        ({"n_fft": 65536, "hop_length": 1024, "num_samples": 600_000}, "spectrograms are too"),
        ({"n_fft": 65536, "hop_length": 1024, "n_mels": 600}, "spectrograms are too large"),
        ({"n_mels": 2, "f_min": 5000.0, "f_max": 5001.0}, "mel filters are empty"),
    ],
)
def test_mels_that_no_phase_can_be_made_of(factory, changes, words):
    meta = {**factory.meta, "mel": {**factory.meta["mel"], "win_length": 2048}}
    meta["mel"] |= {"n_fft": 2048, "hop_length": 512}
    check_meta(meta)
    meta["mel"] |= changes
    with pytest.raises(ValueError, match=words):
        check_meta(meta)


@pytest.mark.parametrize("name", ["shortcut/spread", "shortcut/scale"])
@pytest.mark.parametrize("least", [0.0, -1.0])
def test_what_is_divided_by_lies_above_zero(name, least):
    made = tiny_frame_instrument()
    check_tensors(made.meta, made.tensors, ("shortcut/",))
    value = np.array(made.tensors[name])
    value.flat[-1] = least
    with pytest.raises(ValueError, match=f"{name} is not above 0 everywhere"):
        check_tensors(made.meta, {**made.tensors, name: value}, ("shortcut/",))


def test_nothing_is_written_beside_it(tmp_path):
    """Neither over it, nor beside it, nor through links to a file or to the folder."""
    (tmp_path / "link.safetensors").symlink_to(instruments.factory())
    (tmp_path / "folder").symlink_to(instruments.FOLDER)
    (tmp_path / "half.encoder.safetensors").symlink_to(encoder_path(instruments.factory()))
    inside = instruments.FOLDER / "mine.safetensors"
    linked = [tmp_path / n for n in ("link.safetensors", "folder/a.safetensors")]
    for path in (instruments.factory(), inside, *linked, tmp_path / "half.safetensors"):
        with pytest.raises(ConfigError, match="lies beside the factory instrument"):
            check_instrument(path)
    assert check_instrument(tmp_path / "mine.safetensors") == tmp_path / "mine.safetensors"
