"""What is packed: the wheel's packages and data, the configs inside it, how they are found."""

import tomllib
from pathlib import Path

import pytest

from drumjax.training import config_files

ROOT = Path(__file__).parents[1]


PACKED = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_file_of_the_package_is_packed():
    """Oracle: the files that are there, caches left out."""
    folders = PACKED["package-dir"]
    packed = {
        f
        for name in PACKED["packages"]
        for f in (ROOT / folders.get(name, name.replace(".", "/"))).glob("*.py")
    }
    for name, patterns in PACKED["package-data"].items():
        packed |= {f for p in patterns for f in (ROOT / name.replace(".", "/")).glob(p)}
    there = {
        f
        for top in ("drumjax", "configs")
        for f in (ROOT / top).rglob("*")
        if f.is_file() and "__pycache__" not in f.parts
    }
    assert there == packed
    web = ROOT / "drumjax/studio/web"
    for name in ("factory.safetensors", "factory.encoder.safetensors", "README.md"):
        assert ROOT / "drumjax/instruments" / name in packed
    assert {web / "index.html", web / "app.js"} <= packed


def test_configs_beside_the_package(monkeypatch):
    monkeypatch.setattr(config_files, "PACKAGE", ROOT / "drumjax")
    assert config_files.config_folder() == ROOT / "configs"


def test_the_configs_of_this_installation_are_there():
    """In a checkout as well as where the wheel is installed."""
    own = {path.name: path.read_bytes() for path in config_files.config_folder().glob("*.py")}
    assert own == {path.name: path.read_bytes() for path in (ROOT / "configs").glob("*.py")}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package that holds its configs, as the wheel's does, and an empty current folder."""
    (tmp_path / "drumjax/configs").mkdir(parents=True)
    (tmp_path / "drumjax/configs/cwae.py").touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr(config_files, "PACKAGE", tmp_path / "drumjax")
    return tmp_path / "drumjax/configs"


def test_configs_inside_the_package(installed):
    assert config_files.config_folder() == installed


def test_configs_are_found_outside_a_checkout(installed):
    argv = ["train", "--config=configs/cwae.py:small", "--config.data.path=configs/cwae.py"]
    own = f"--config={installed / 'cwae.py'}:small"
    assert config_files.with_configs(argv) == ["train", own, argv[2]]
    assert config_files.with_configs(["--config", "configs/cwae.py"])[1] == str(
        installed / "cwae.py"
    )


@pytest.mark.parametrize(
    "word", ["--config=configs/mine.py", "--config=other/cwae.py", "--workdir=configs/cwae.py"]
)
def test_other_words_stay(installed, word):
    assert config_files.with_configs([word]) == [word]


def test_a_config_of_the_current_folder_comes_first(installed):
    Path("configs").mkdir()
    Path("configs/cwae.py").touch()
    assert config_files.with_configs(["-config=configs/cwae.py"]) == ["-config=configs/cwae.py"]
