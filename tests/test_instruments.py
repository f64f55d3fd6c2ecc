"""The factory instrument: whole, small enough, playable in every category; and never written to."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from drumjax import instruments
from drumjax.commands._files import check_instrument
from drumjax.errors import ConfigError, InstrumentError
from drumjax.play import controls
from drumjax.play.instrument import encoder_path, load_instrument
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


def test_it_has_what_the_readme_plays_it_with(factory):
    assert {"a1", "a2", "a3", "brightness", "punch", "decay"} <= set(controls.names(factory))
    assert factory.meta["name"] == "factory"
    assert factory.meta["provenance"]["licence"] != "not stated"


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
