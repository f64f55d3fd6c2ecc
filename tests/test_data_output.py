"""Where `prepare` writes, what it replaces, and what is said when that or reading fails."""

import io
import os
import sys

import pytest
from one_shots import burst, names, prepare, reasons, two_kits, write

from drumjax.__main__ import main as command_line
from drumjax.data import builder
from drumjax.data.builder import read_metadata
from drumjax.data.source import load_source
from drumjax.errors import DataError


@pytest.fixture
def folder(tmp_path):
    return two_kits(tmp_path / "in")


def test_overwrite_is_asked_for_and_done(folder):
    output = prepare(folder)
    before = names(output, "train")
    write(folder / "tom 1.wav", burst(50))
    with pytest.raises(DataError, match="--overwrite"):
        prepare(folder)
    assert names(output, "train") == before
    prepare(folder, "--overwrite")
    assert "tom 1.wav" in names(output, "train")
    assert sorted(p.name for p in folder.parent.iterdir()) == ["in", "out"]


def test_a_link_stays_and_its_folder_is_written(folder, tmp_path):
    """As from a small disk to a large one; the second --overwrite finds no remains of the first."""
    (tmp_path / "big").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "big" / "data")
    for flags in ([], ["--overwrite"], ["--overwrite"]):
        prepare(folder, *flags, output=link)
        assert link.is_symlink()
        assert len(names(tmp_path / "big" / "data", "train")) > 0
    assert sorted(p.name for p in tmp_path.rglob(".*")) == []


def test_a_folder_that_is_no_data_set_is_never_replaced(folder):
    with pytest.raises(DataError, match="no prepared data set"):
        prepare(folder, "--overwrite", output=folder)
    (folder / "dataset_info.json").write_text('{"name": "mnist"}')
    with pytest.raises(DataError, match="no prepared data set"):
        prepare(folder, "--overwrite", output=folder)
    with pytest.raises(DataError, match="no prepared data set"):
        load_source(folder, "train")
    assert (folder / "808" / "Kick 0.wav").exists()


def test_an_empty_folder_is_filled(folder):
    (folder.parent / "out").mkdir()
    assert len(names(prepare(folder), "train")) == 8


def test_an_output_that_is_no_utf8_is_refused_at_once(folder):
    output = os.fsdecode(os.fsencode(folder.parent) + b"/out\xe9")
    with pytest.raises(DataError, match="no UTF-8"):
        prepare(folder, output=output)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("thesis.txt", "precious", "is no prepared data set"),
        ("dataset_info.json", '{"name": "drum_sounds"}', "add --overwrite"),
    ],
)
def test_what_appears_at_the_output_meanwhile_stays(folder, monkeypatch, file, text, message):
    output, write_dataset = folder.parent / "out", builder.write_dataset

    def late(*arguments, **options):
        output.mkdir()
        (output / file).write_text(text)
        write_dataset(*arguments, **{"overwrite": False, **options})

    monkeypatch.setattr(builder, "write_dataset", late)
    with pytest.raises(DataError, match=rf"{message}.*kept in .*\.out-partial"):
        prepare(folder)
    assert (output / file).read_text() == text


def test_a_mount_point_is_refused_at_once(folder, monkeypatch):
    """It could not be moved away in the end."""
    output = folder.parent / "out"
    output.mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == output)
    with pytest.raises(DataError, match=r"is a mount point; name a folder inside it"):
        prepare(folder)
    assert len(names(prepare(folder, output=output / "set"), "train")) == 8


def test_a_name_that_no_file_system_takes_is_refused(folder):
    with pytest.raises(DataError, match=r"nothing can be written to .*too long"):
        prepare(folder, output=folder.parent / ("o" * 300))


@pytest.mark.parametrize("output", ["locked", "locked/out"])
def test_a_folder_that_cannot_be_opened_is_refused(folder, output):
    locked = folder.parent / "locked"
    locked.mkdir(mode=0)
    if os.access(locked, os.X_OK):
        pytest.skip("root opens all folders")
    with pytest.raises(DataError, match=r"nothing can be written to .*choose another"):
        prepare(folder, output=folder.parent / output)
    locked.chmod(0o700)


def test_a_failed_move_leaves_the_old_data_set(folder, monkeypatch):
    output = prepare(folder)
    before = names(output, "train")
    rename = os.rename

    def fail(source, target):
        if target == output and source.name != "before":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    write(folder / "tom 1.wav", burst(50))
    with pytest.raises(DataError, match=r"cannot be written .*No space left"):
        prepare(folder, "--overwrite")
    assert names(output, "train") == before
    assert sorted(p.name for p in folder.parent.iterdir()) == [".out-partial", "in", "out"]


def test_a_full_disk_is_named(folder, monkeypatch):
    def fail(sound):
        raise OSError(28, "No space left on device\nand a long tale")

    monkeypatch.setattr("drumjax.data.builder.pad", fail)
    with pytest.raises(
        DataError, match=r"cannot be written .*No space left.*; make room"
    ) as caught:
        prepare(folder)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in folder.parent.iterdir()) == [".out-partial", "in"]
    monkeypatch.undo()
    prepare(folder)
    assert sorted(p.name for p in folder.parent.iterdir()) == ["in", "out"]


def test_a_damaged_data_file_is_named(folder):
    output = prepare(folder)
    file = next(output.glob("*train*array_record*"))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"is damaged .*--overwrite") as caught:
        load_source(output, "train")
    assert "\n" not in str(caught.value)


def test_what_the_terminal_cannot_show_is_replaced(folder, monkeypatch):
    write(folder / "mystery \u266b.wav", burst(42))
    screen = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    prepare(folder)
    screen.flush()
    assert b"mystery ?.wav" in screen.buffer.getvalue()


def test_a_place_that_cannot_hold_it_is_refused_at_once(folder):
    (folder.parent / "file").write_text("text")
    with pytest.raises(DataError, match="nothing can be written"):
        prepare(folder, output=folder.parent / "file" / "out")


def test_names_that_are_no_utf8_are_kept_apart(folder):
    for i, name in enumerate((b"tom \xe8.wav", b"tom \xe9.wav")):
        write(folder / f"tom {i}.wav", burst(60 + i))
        try:
            os.rename(folder / f"tom {i}.wav", os.path.join(os.fsencode(folder), name))
        except OSError:
            pytest.skip("this file system takes UTF-8 alone")
    output = prepare(folder)
    found = names(output, "train") | names(output, "validation")
    assert {r"tom \xe8.wav", r"tom \xe9.wav"} <= found
    assert reasons(output) == {}


def test_an_input_folder_may_have_a_name_that_is_no_utf8(folder):
    write(folder / "tom 1.wav", burst(50))
    odd = os.fsdecode(os.fsencode(folder.parent) + b"/in\xe9")
    try:
        folder.rename(odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    output = prepare(odd, output=folder.parent / "out")
    assert r"in\xe9" in load_source(output, "train").kits
    assert r"/in\xe9" in read_metadata(output)["command"]


def test_an_interruption_leaves_the_old_data_set_and_what_was_read(folder, monkeypatch):
    output = prepare(folder)
    before = names(output, "train")

    def interrupt(sound):
        raise KeyboardInterrupt

    monkeypatch.setattr("drumjax.data.builder.pad", interrupt)
    options = ["prepare", f"--input={folder}", f"--output={output}", "--overwrite"]
    assert command_line(options) == 130
    assert names(output, "train") == before
    assert sorted(p.name for p in folder.parent.iterdir()) == [".out-partial", "in", "out"]
    monkeypatch.undo()
    assert command_line(options) == 0
    assert sorted(p.name for p in folder.parent.iterdir()) == ["in", "out"]


def test_what_is_no_data_set_is_named(tmp_path, folder):
    with pytest.raises(DataError, match="drumjax prepare"):
        load_source(tmp_path, "train")
    output = prepare(folder)
    (output / "features.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        load_source(output, "train")
