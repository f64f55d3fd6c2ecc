"""`drumjax verify`: what it counts, and one sentence for whatever is wrong."""

import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import pytest
from instruments import tiny_instrument
from one_shots import prepare, two_kits
from test_integrity import damaged, flip

from drumjax.__main__ import main
from drumjax.commands import verify
from drumjax.play.instrument import save_instrument
from drumjax.training.checkpoint import Checkpoints
from drumjax.training.state import TrainState


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An instrument, a data set and a run of two checkpoints, in one folder."""
    root = tmp_path_factory.mktemp("made")
    save_instrument(tiny_instrument(), root / "a.safetensors")
    prepare(two_kits(root / "in"), output=root / "drums")
    with Checkpoints(root / "run") as checkpoints:
        for step in (9, 10):
            state = TrainState(jnp.int32(step), {"w": jnp.ones((9, 9))}, {}, jnp.ones(()))
            checkpoints.save(state, {}, {}, 1.0)
    return root


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A copy, to do something to; the folder that commands run in."""
    shutil.copytree(made, tmp_path / "made")
    monkeypatch.chdir(tmp_path / "made")
    return tmp_path / "made"


def unsealed(folder):
    """Make of a checkpoint one from before there were manifests."""
    (folder / "manifest.json").unlink()
    metadata = folder / "config" / "metadata"
    config = json.loads(metadata.read_text())
    del config["manifest"]
    metadata.write_text(json.dumps(config))


def megabytes(*paths):
    files = [f for path in paths for f in (path.rglob("*") if path.is_dir() else [path])]
    return sum(f.stat().st_size for f in files if f.is_file() and f.name != "manifest.json") / 1e6


def test_what_is_whole_is_told_with_its_files_and_bytes(place, capsys):
    capsys.readouterr()
    assert main(["verify", "a.safetensors", "run", "drums"]) == 0
    out, err = capsys.readouterr()
    size = megabytes(place / "a.safetensors", place / "a.encoder.safetensors")
    lines = out.splitlines()
    assert lines[0] == (
        f"a.safetensors: instrument and its encoder, 2 files, {size:.1f} MB, intact"
    )
    assert lines[1].startswith("run/checkpoints/9: checkpoint of step 9, ")
    assert lines[2].startswith("run/checkpoints/10: checkpoint of step 10, ")
    files = sum(f.is_file() and f.name != "manifest.json" for f in (place / "drums").iterdir())
    size = megabytes(place / "drums")
    assert lines[3:] == [f"drums: data set, {files} files, {size:.1f} MB, intact"]
    assert err == ""


@pytest.mark.parametrize("path", ["run/checkpoints", "run/checkpoints/10", "a.encoder.safetensors"])
def test_parts_may_be_named(place, path, capsys):
    assert main(["verify", path]) == 0
    assert "intact" in capsys.readouterr().out


def test_the_factory_instrument_is_intact(capsys):
    assert main(["verify"]) == 0
    assert "factory.safetensors: instrument and its encoder, 2 files, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "path", "words"),
    [
        (lambda p: flip(p / "a.safetensors"), "a.safetensors", "copy or export it again"),
        (lambda p: flip(p / "a.encoder.safetensors"), "a.safetensors", "a.encoder.safetensors"),
        (lambda p: damaged(p / "run", 9), "run", "checkpoints/9/model"),
        (lambda p: damaged(p / "run", 9), "run", "from the newest whole one, if there is one"),
        (lambda p: (p / "run/checkpoints/9/manifest.json").unlink(), "run", "9 lacks its manifest"),
        (lambda p: unsealed(p / "run/checkpoints/9"), "run", "an older drumjax wrote none"),
        (lambda p: flip(p / "drums/report.json"), "drums", "prepare it again"),
        (lambda p: (p / "drums/dataset_info.json").unlink(), "drums", "dataset_info.json is miss"),
        (lambda p: (p / "drums/manifest.json").unlink(), "drums", "has no manifest"),
        (lambda p: None, "in", "no instrument, no data set and no run"),
        (lambda p: None, "nowhere", "There is no nowhere"),
        (lambda p: (p / "x").write_text("kick"), "x", "is no instrument"),
    ],
)
def test_one_sentence_tells_what_is_wrong(place, capsys, damage, path, words):
    damage(place)
    capsys.readouterr()
    assert main(["verify", path]) == 1
    error = capsys.readouterr().err
    assert error.startswith("drumjax verify: ")
    assert words in error
    assert error.endswith(".\n")
    assert error.count("\n") == 1


def test_what_is_whole_is_told_beside_what_is_not(place, capsys):
    damaged(place / "run", 9)
    assert main(["verify", "run"]) == 1
    assert "run/checkpoints/10: checkpoint of step 10" in capsys.readouterr().out


def test_all_that_is_wrong_is_named(place, capsys):
    damaged(place / "run", 9, 10)
    (place / "a.safetensors").write_text("kick")
    capsys.readouterr()
    assert main(["verify", "run", "a.safetensors", "drums"]) == 1
    out, err = capsys.readouterr()
    for line, name in zip(err.splitlines(), ("s/9/model", "s/10/model", "a.safe"), strict=True):
        assert line.startswith("drumjax verify: ")
        assert name in line
    assert out.startswith("drums: data set, ")


@pytest.mark.parametrize("when", ["listed", "read"])
def test_what_a_run_removes_meanwhile_is_not_wrong(place, monkeypatch, when):
    folder, verify_folder = place / "run/checkpoints/9", verify.verify_folder

    def removed(*args):
        shutil.rmtree(folder, ignore_errors=True)
        return verify_folder(*args)

    listed = verify.checks(Path("run"))
    if when == "listed":
        shutil.rmtree(folder)
    else:
        monkeypatch.setattr(verify, "verify_folder", removed)
    assert listed[0]() == "run/checkpoints/9: checkpoint of step 9, removed meanwhile"
    assert "intact" in listed[1]()


def test_what_verify_says_of_training_is_so(place):
    """One without a manifest stays; a damaged one is moved away if another is whole."""
    unsealed(place / "run/checkpoints/10")
    damaged(place / "run", 9)
    with Checkpoints(place / "run") as checkpoints:
        assert checkpoints.latest_step() == 10
    assert [f.name[:2] for f in (place / "run/damaged").iterdir()] == ["9_"]
