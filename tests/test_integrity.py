"""Manifests, and damage of every kind to all that drumjax stores: none of it is loaded silently.

DRUMJAX_CORRUPTIONS=1000 sets how often each of the three is damaged (100).
"""

import errno
import json
import os
import random
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from instruments import tiny_instrument
from one_shots import prepare, two_kits

from drumjax.data.source import load_source
from drumjax.errors import CheckpointError, DataError, DrumjaxError, InstrumentError
from drumjax.integrity import (
    DATA_SET,
    MANIFEST,
    IntegrityError,
    has_manifest,
    verify_folder,
    write_manifest,
)
from drumjax.play.instrument import encoder_path, load_instrument, save_instrument
from drumjax.training.checkpoint import Checkpoints
from drumjax.training.state import TrainState

COUNT = int(os.environ.get("DRUMJAX_CORRUPTIONS", "100"))


@pytest.fixture
def folder(tmp_path):
    """a, b of equal sizes and inner/c, with a manifest."""
    root = tmp_path / "folder"
    (root / "inner").mkdir(parents=True)
    for name, text in (("a", b"kick"), ("b", b"clap"), ("inner/c", b"snare")):
        (root / name).write_bytes(text)
    write_manifest(root, "step 5")
    return root


def test_what_is_whole_is_counted(folder):
    assert verify_folder(folder, "step 5") == (3, 13)
    assert verify_folder(folder, "step 5", lambda name: name.startswith("inner/")) == (1, 5)
    assert has_manifest(folder)


def test_the_digests_are_those_of_hashlib(folder):
    import hashlib

    files = json.loads((folder / MANIFEST).read_text())["files"]
    assert files["inner/c"] == [5, hashlib.sha256(b"snare").hexdigest()]
    assert sorted(files) == ["a", "b", "inner/c"]


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)


def swap(one, two):
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "b").unlink(), "b is missing"),
        (lambda f: shutil.rmtree(f / "inner"), "inner/c is missing"),
        (lambda f: (f / "new").write_text(""), "new was not there"),
        (lambda f: (f / "b").write_bytes(b"cla"), "b is damaged: it has 3 bytes, not 4"),
        (lambda f: flip(f / "inner/c"), "inner/c is damaged: its SHA-256 does not match"),
        (lambda f: swap(f / "a", f / "b"), "a is damaged: its SHA-256"),
        (lambda f: (f / MANIFEST).unlink(), "manifest.json is missing"),
        (lambda f: (f / MANIFEST).write_bytes(b""), "manifest.json is damaged"),
        (lambda f: (f / MANIFEST).write_text("[" * 10_000), "manifest.json is damaged"),
        (lambda f: (f / MANIFEST).write_text('{"files": {"../x": 1}}'), "manifest.json is damaged"),
        (lambda f: (f / "a").rename(f / "A2"), "A2 was not there"),
        (lambda f: ((f / "a").unlink(), os.mkfifo(f / "a")), "a is no plain file"),
        (lambda f: ((f / "a").unlink(), (f / "a").symlink_to("gone")), "a cannot be read"),
    ],
)
def test_all_damage_is_named(folder, damage, words):
    damage(folder)
    with pytest.raises(IntegrityError, match=words) as caught:
        verify_folder(folder, "step 5")
    assert str(caught.value).endswith("; copy the folder again, or make it anew.")


def test_no_bit_of_a_manifest_is_free(folder):
    whole = (folder / MANIFEST).read_bytes()
    for bit in range(0, len(whole) * 8, 1 if COUNT >= 1000 else 7):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        (folder / MANIFEST).write_bytes(data)
        with pytest.raises(IntegrityError, match=r"manifest\.json is damaged"):
            verify_folder(folder, "step 5")


def test_a_manifest_is_of_what_it_says(folder):
    with pytest.raises(IntegrityError, match="is not step 6 but 'step 5'"):
        verify_folder(folder, "step 6")


def test_what_desktops_leave_is_no_damage(folder):
    for name in (".DS_Store", "inner/._c", "Thumbs.db"):
        (folder / name).write_text("x")
    assert verify_folder(folder, "step 5").files == 3


def test_a_link_to_the_same_bytes_will_do(folder, tmp_path):
    (folder / "a").rename(tmp_path / "elsewhere")
    (folder / "a").symlink_to(tmp_path / "elsewhere")
    assert verify_folder(folder, "step 5").files == 3


def test_a_manifest_that_cannot_be_written_leaves_the_one_before(folder, monkeypatch):
    before = (folder / MANIFEST).read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    (folder / "a").write_bytes(b"tom!")
    with pytest.raises(OSError, match="No space left"):
        write_manifest(folder, "step 5")
    assert (folder / MANIFEST).read_bytes() == before


# A checkpoint, a data set and an instrument, damaged at random


def corrupt(root, rng):
    """Damage one file under a folder, or swap two; returns in words what was done."""
    files = sorted(p for p in root.rglob("*") if p.is_file())
    path = rng.choice(files)
    data = path.read_bytes()
    kind = rng.choice(("flip", "flip", "cut", "delete", "swap", "grow", "zero"))
    if kind == "flip" and data:
        at = rng.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
    elif kind == "cut" and data:
        path.write_bytes(data[: rng.randrange(len(data))])
    elif kind == "zero" and any(data):
        start = rng.randrange(len(data))
        start -= not any(data[start:]) and start  # there must be something to lose
        path.write_bytes(data[:start] + bytes(len(data) - start))
    elif kind == "swap":
        other = rng.choice([f for f in files if f.read_bytes() != data])
        swap(path, other)
        return f"swap {path} {other}"
    elif kind == "grow":
        path.write_bytes(data + b"\0")
    else:
        path.unlink()
    return f"{kind} {path}"


def silently_loaded(whole, place, load, count=COUNT):
    """Damage copies of a folder; returns what was loaded all the same, or failed otherwise."""
    rng, wrong = random.Random(0), []
    for _ in range(count):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(whole, place)
        done = corrupt(place, rng)
        try:
            load(place)
            wrong.append(done)
        except DrumjaxError as error:
            if "\n" in str(error):
                wrong.append(f"{done}: {error}")
        except Exception as error:
            wrong.append(f"{done}: {error!r}")
    return wrong


def state(step):
    noise = jnp.asarray(np.random.default_rng(step).normal(size=(30, 30)), jnp.float32)
    return TrainState(jnp.int32(step), {"w": noise}, {"m": noise}, jnp.ones(()))


@pytest.fixture
def workdir(tmp_path):
    """Three checkpoints: the best, at step 1, and the latest two."""
    with Checkpoints(tmp_path / "run") as checkpoints:
        for step, loss in ((1, 0.1), (2, 0.9), (3, 0.8)):
            checkpoints.save(state(step), {"seed": 0}, {}, loss)
    return tmp_path / "run"


def test_damaged_checkpoints_are_refused(workdir, tmp_path):
    """One checkpoint alone, as a reader opens it: config, model, training state."""
    for step in (1, 2):
        shutil.rmtree(workdir / "checkpoints" / str(step))

    def load(place):
        checkpoints = Checkpoints(place, read_only=True)
        try:
            step = checkpoints.best_step() or checkpoints.latest_step() or 3
            checkpoints.config(step)
            checkpoints.restore(step, state(step))
        finally:
            checkpoints.close()

    load(workdir)
    assert silently_loaded(workdir, tmp_path / "bad", load) == []


def test_damaged_data_sets_are_refused(tmp_path, capsys):
    whole = prepare(two_kits(tmp_path / "in"))

    def load(place):
        """All that training reads; the records beside the arrays are there for others."""
        for split in ("train", "validation"):
            load_source(place, split)
        verify_folder(place, DATA_SET)

    load(whole)
    assert silently_loaded(whole, tmp_path / "bad", load) == []
    assert "manifest" not in capsys.readouterr().err


def test_damaged_sounds_are_refused_by_loading_alone(tmp_path):
    whole = prepare(two_kits(tmp_path / "in"))
    for name in ("train.npy", "train.jsonl", "metadata.json", "dataset_info.json", "features.json"):
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        shutil.copytree(whole, tmp_path / "bad")
        flip(tmp_path / "bad" / name)
        with pytest.raises(DataError, match=rf"damaged.*{name}.*--overwrite"):
            load_source(tmp_path / "bad", "train")


def test_damaged_instruments_are_refused(tmp_path):
    (tmp_path / "whole").mkdir()
    save_instrument(tiny_instrument(), tmp_path / "whole" / "a.safetensors")

    def load(place):
        load_instrument(place / "a.safetensors", encoder=True)

    load(tmp_path / "whole")
    assert silently_loaded(tmp_path / "whole", tmp_path / "bad", load) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [(b'"schema":"2"', b'"schema":"0"'), (b"e-05", b"E-05"), (b'"format":', b'"farmot":')],
)
def test_an_instruments_header_is_written_one_way(tmp_path, before, after):
    path = tmp_path / "a.safetensors"
    instrument = tiny_instrument()
    meta = {**instrument.meta, "provenance": {"rate": 1e-05}}
    save_instrument(type(instrument)(instrument.tensors, meta), path, encoder=False)
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after, 1))
    with pytest.raises(InstrumentError, match=r"a\.safetensors"):
        load_instrument(path)
    assert not encoder_path(path).exists()


# What training makes of damaged checkpoints


def damaged(workdir, *steps):
    for step in steps:
        flip(next((workdir / "checkpoints" / str(step) / "model").rglob("d/*")))


def test_training_goes_back_to_the_newest_whole_checkpoint(workdir, capsys):
    damaged(workdir, 3)
    kept = sorted(p.name for p in (workdir / "checkpoints" / "3").rglob("*"))
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.latest_step() == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("The checkpoint of step 3 is damaged: ")
        assert lines[0].endswith("the run goes on without it.")
        checkpoints.save(state(3), {}, {}, 0.8)  # its place is free again
        np.testing.assert_array_equal(
            checkpoints.restore(3, state(3)).variables["w"], state(3).variables["w"]
        )
    [aside] = (workdir / "damaged").iterdir()
    assert aside.name.startswith("3_")
    assert sorted(p.name for p in aside.rglob("*")) == kept


def test_a_run_whose_checkpoints_are_all_damaged_does_not_begin_anew(workdir):
    damaged(workdir, 1, 2, 3)
    for read_only in (False, True):
        with pytest.raises(CheckpointError, match=r"SHA-256"):
            Checkpoints(workdir, read_only).latest_step()
    assert not (workdir / "damaged").exists()


def test_reading_takes_the_newest_whole_one_and_moves_nothing(workdir, capsys):
    damaged(workdir, 3)
    with Checkpoints(workdir, read_only=True) as checkpoints:
        assert checkpoints.latest_step() == 2
        assert "Taking step 2 instead." in capsys.readouterr().err
        assert checkpoints.best_step() == 1
        with pytest.raises(CheckpointError, match=r"The checkpoint of step 3 .* cannot be read"):
            checkpoints.restore_model(3, state(3).variables)
    assert (workdir / "checkpoints" / "3").is_dir()


def test_a_loss_that_is_damaged_does_not_choose_the_best(workdir):
    file = workdir / "checkpoints" / "2" / "metrics" / "metrics"
    file.write_bytes(file.read_bytes().replace(b"0.9", b"0.0"))
    with (
        Checkpoints(workdir, read_only=True) as checkpoints,
        pytest.raises(CheckpointError, match=r"step 2 .*metrics/metrics is damaged"),
    ):
        checkpoints.best_step()


def test_a_checkpoint_under_another_steps_name_is_refused(workdir):
    folder = workdir / "checkpoints"
    shutil.rmtree(folder / "3")
    (folder / "2").rename(folder / "3")
    with (
        Checkpoints(workdir, read_only=True) as checkpoints,
        pytest.raises(CheckpointError, match="not step 3 but 'step 2'"),
    ):
        checkpoints.restore(3, state(3))


def test_checkpoints_from_before_manifests_are_read_with_a_line(workdir, capsys):
    for step in (1, 2, 3):
        folder = workdir / "checkpoints" / str(step)
        (folder / MANIFEST).unlink()
        config = json.loads((folder / "config" / "metadata").read_text())
        del config["manifest"]
        (folder / "config" / "metadata").write_text(json.dumps(config))
    for read_only in (True, False):
        with Checkpoints(workdir, read_only) as checkpoints:
            assert checkpoints.latest_step() == 3
            assert checkpoints.config(3) == {"config": {"seed": 0}, "host": {}}
            checkpoints.restore(3, state(3))
        [line] = capsys.readouterr().err.splitlines()
        assert "step 3" in line
        assert "cannot be verified" in line


def test_a_data_set_from_before_manifests_is_read_with_a_line(tmp_path, capsys):
    place = prepare(two_kits(tmp_path / "in"))
    (place / MANIFEST).unlink()
    with pytest.raises(DataError, match=r"its manifest is lost.*--overwrite"):
        load_source(place, "train")
    metadata = json.loads((place / "metadata.json").read_text())
    del metadata["manifest"]
    (place / "metadata.json").write_text(json.dumps(metadata))
    assert len(load_source(place, "train").names) == 8
    assert "cannot be verified" in capsys.readouterr().err


def test_pruned_checkpoints_take_their_manifests_along(workdir):
    names = sorted(p.relative_to(workdir).as_posix() for p in Path(workdir).rglob(MANIFEST))
    assert names == [f"checkpoints/{step}/{MANIFEST}" for step in (1, 2, 3)]
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(state(4), {}, {}, 0.8)
    names = sorted(p.relative_to(workdir).as_posix() for p in Path(workdir).rglob(MANIFEST))
    assert names == [f"checkpoints/{step}/{MANIFEST}" for step in (1, 3, 4)]


def test_a_state_may_be_given_away_while_it_is_written(tmp_path):
    """The next step takes the buffers over; what is on disk is what was handed to `save`."""
    step = jax.jit(lambda s: jax.tree.map(lambda a: a * 0 + 7, s), donate_argnums=0)
    big = {"w": jnp.full((1000, 1000), 3.0)}
    with Checkpoints(tmp_path) as checkpoints:
        kept = TrainState(jnp.int32(1), big, {}, jnp.ones(()))
        checkpoints.save(kept, {}, {}, 1.0)
        jax.block_until_ready(step(kept.variables))
        read = checkpoints.restore_model(1, {"w": jnp.zeros((1000, 1000))})
    assert (read["w"].min(), read["w"].max()) == (3.0, 3.0)
