"""The takes folder. Oracle: what the file system itself says lies in and around it."""

import errno
import os
import uuid

import pytest

from drumjax.errors import DataError
from drumjax.studio.takes import Takes


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_takes_are_numbered_and_hold_what_was_written(tmp_path):
    takes = Takes(tmp_path / "new" / "takes")
    paths = [takes.write("kick", b"one"), takes.write("open_hat", b"two")]
    assert [path.name for path in paths] == [
        "drumjax_kick_000001.wav",
        "drumjax_open_hat_000002.wav",
    ]
    assert [path.read_bytes() for path in paths] == [b"one", b"two"]
    assert all(path.is_absolute() for path in paths)
    assert names(tmp_path / "new" / "takes") == [path.name for path in paths]  # and no part


def test_the_number_goes_on_in_a_folder_that_holds_takes(tmp_path):
    Takes(tmp_path).write("kick", b"x")
    (tmp_path / "drumjax_kick_000041.wav").write_bytes(b"x")
    assert Takes(tmp_path).write("kick", b"x").name == "drumjax_kick_000042.wav"


@pytest.mark.parametrize(
    "word", ["../../evil", "/etc/passwd", "a\0b", "..", "", "x" * 5000, "\u202e", "kick\n", "C:\\x"]
)
def test_no_word_leads_out_of_the_folder(tmp_path, word):
    folder = tmp_path / "takes"
    path = Takes(folder).write(word, b"x")
    assert path.parent == folder
    assert names(tmp_path) == ["takes"]
    assert names(folder) == [path.name]
    assert len(path.name) < 80


def test_the_oldest_takes_make_room(tmp_path):
    takes = Takes(tmp_path, most_files=3, most_bytes=100)
    paths = [takes.write("kick", bytes(10)) for _ in range(5)]
    assert names(tmp_path) == [path.name for path in paths[2:]]
    large = takes.write("snare", bytes(85))  # with one of 10 bytes, 95
    assert names(tmp_path) == [paths[4].name, large.name]
    assert names(tmp_path) == sorted(p.name for p in tmp_path.iterdir())
    small = Takes(tmp_path, most_files=1).write("clap", b"x")  # counts those that lie there
    assert names(tmp_path) == [small.name]


def test_only_takes_are_removed(tmp_path):
    outside = tmp_path / "outside.wav"
    outside.write_bytes(b"mine")
    folder = tmp_path / "takes"
    folder.mkdir()
    for name in ("mine.wav", "drumjax_kick_01.wav", "drumjax_kick_000001.txt", ".hidden"):
        (folder / name).write_bytes(b"mine")
    (folder / "drumjax_kick_000002.wav").mkdir()
    (folder / "drumjax_kick_000003.wav").symlink_to(outside)
    mine = names(folder)
    takes = Takes(folder, most_files=1)
    for _ in range(3):
        last = takes.write("kick", b"x")
    assert names(folder) == sorted([*mine, last.name])
    assert outside.read_bytes() == b"mine"


def test_a_take_that_became_a_link_is_left_alone(tmp_path):
    outside = tmp_path / "outside.wav"
    outside.write_bytes(b"mine")
    takes = Takes(tmp_path / "takes", most_files=1)
    first = takes.write("kick", b"x")
    first.unlink()
    first.symlink_to(outside)
    takes.write("kick", b"x")
    assert outside.read_bytes() == b"mine"
    assert first.is_symlink()


def test_nothing_that_has_the_next_name_is_replaced_or_written_through(tmp_path):
    outside = tmp_path / "outside.wav"
    takes = Takes(tmp_path / "takes")
    (takes.folder / "drumjax_kick_000001.wav").symlink_to(outside)  # dangling: a write makes it
    (takes.folder / "drumjax_kick_000002.wav").mkdir()
    theirs = takes.folder / "drumjax_kick_000003.wav"
    theirs.write_bytes(b"another server's")
    (takes.folder / "drumjax_kick_000004.wav").symlink_to(outside)
    path = takes.write("kick", b"x")
    assert path.name == "drumjax_kick_000005.wav"
    assert not outside.exists()
    assert theirs.read_bytes() == b"another server's"


def test_a_part_is_not_written_through_a_link_either(tmp_path, monkeypatch):
    outside = tmp_path / "outside.wav"
    takes = Takes(tmp_path / "takes")
    name = uuid.uuid4()
    (takes.folder / f".drumjax_{name.hex}.part").symlink_to(outside)
    monkeypatch.setattr(uuid, "uuid4", lambda: name)
    with pytest.raises(DataError, match="File exists"):
        takes.write("kick", b"x")
    assert not outside.exists()


def test_two_servers_share_a_folder(tmp_path):
    one, two = Takes(tmp_path), Takes(tmp_path)
    paths = [takes.write("kick", b"x") for takes in (one, two, one, one, one, two, two)]
    assert len(set(paths)) == len(paths)
    assert names(tmp_path) == sorted(path.name for path in paths)


def test_without_hard_links_a_take_is_still_written_and_nothing_replaced(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    takes = Takes(tmp_path)
    (tmp_path / "drumjax_kick_000001.wav").write_bytes(b"mine")
    assert takes.write("kick", b"x").read_bytes() == b"x"
    assert (tmp_path / "drumjax_kick_000001.wav").read_bytes() == b"mine"
    assert len(names(tmp_path)) == 2


def test_a_folder_that_is_removed_is_made_anew(tmp_path):
    takes = Takes(tmp_path / "a" / "takes", most_bytes=10)
    takes.write("kick", b"12345678").unlink()
    takes.folder.rmdir()
    takes.folder.parent.rmdir()
    assert takes.write("kick", b"12345678").read_bytes() == b"12345678"


def test_a_folder_that_is_replaced_by_a_link_is_not_written_to(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    takes = Takes(tmp_path / "a" / "takes")
    takes.folder.rmdir()
    takes.folder.symlink_to(elsewhere)
    with pytest.raises(DataError, match=r"replaced by a link.*another --takes"):
        takes.write("kick", b"x")
    takes.folder.unlink()
    takes.folder.parent.rmdir()
    takes.folder.parent.symlink_to(elsewhere)
    with pytest.raises(DataError, match=r"takes\b"):
        takes.write("kick", b"x")
    assert names(elsewhere) == []


def test_a_folder_that_is_a_link_from_the_start_is_the_users_choice(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "takes").symlink_to(tmp_path / "disk")
    assert Takes(tmp_path / "takes").write("kick", b"x").parent == tmp_path / "disk"


@pytest.mark.parametrize("written", [0, 3])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch, written):
    takes, write, full = Takes(tmp_path), os.write, True

    def fill(handle, view):
        if not full:
            return write(handle, view)
        if written and len(view) == 6:  # the first half, and then no more
            return write(handle, view[:written])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", fill)
    with pytest.raises(DataError, match=r"No space left on device.*room"):
        takes.write("kick", b"sample")
    assert names(tmp_path) == []
    full = False
    assert takes.write("kick", b"sample").read_bytes() == b"sample"


def test_what_is_written_in_pieces_is_whole(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, view: write(handle, view[:2]))
    assert Takes(tmp_path).write("kick", b"sample").read_bytes() == b"sample"


def test_parts_of_a_crash_are_removed_and_fresh_ones_left(tmp_path):
    parts = [tmp_path / f".drumjax_{digit * 32}.part" for digit in "ab"]
    for part in parts:
        part.write_bytes(b"half")
    os.utime(parts[0], (1e9, 1e9))
    Takes(tmp_path)
    assert names(tmp_path) == [parts[1].name]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "takes", tmp_path / "a\0b"):
        with pytest.raises(DataError, match=r"cannot hold takes .* another --takes"):
            Takes(folder)
    with pytest.raises(DataError, match="name cannot be used"):
        Takes(tmp_path / os.fsdecode(b"\xff"))  # no UTF-8, which OSC's texts are
