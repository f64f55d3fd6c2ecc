"""The studio's library: what /save writes, what it never touches, and a disk that is full."""

import errno
import http.client
import io
import json
import time
import zipfile
from pathlib import Path, PureWindowsPath

import pytest
from playing import files
from web_client import KIT, SPEC, TIMEOUT

from drumjax.errors import DataError
from drumjax.studio import saves


@pytest.fixture
def library(studio):
    """The library, made anew."""
    studio.library.mkdir(parents=True)
    yield studio.library
    for path in sorted(studio.library.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    studio.library.rmdir()
    studio.library.parent.rmdir()


@pytest.mark.parametrize("path", ["/kit", "/save"])
def test_a_kit_is_left_when_its_client_has_left(studio, library, path):
    """Of its six pieces of work one waits when the client goes; the others are not begun."""
    done, lines = studio.engine.done, list(studio.lines)
    with studio.busy():
        gone = http.client.HTTPConnection("127.0.0.1", studio.port, timeout=TIMEOUT)
        gone.request("POST", path, json.dumps(KIT).encode())
        while not studio.engine._waiting:
            time.sleep(0.01)
        gone.close()
        assert studio.ask("GET", "/instrument.json")[0] == 200  # by now the server has seen it go

    async def free():
        async with studio.engine.memory:
            return studio.engine.done

    assert studio.on_loop(free()) == done + 2  # what kept the engine busy, and the one
    assert list(library.iterdir()) == []
    assert studio.lines == lines
    assert studio.ask("POST", path, KIT)[0] == 200


def test_what_is_saved_is_what_is_downloaded(studio, library):
    library.rmdir()  # it is made with the first sound
    asked = {"spec": SPEC, "name": "My Snare-01", "profile": "mpc"}
    status, _, body = studio.ask("POST", "/save", asked)
    assert (status, json.loads(body)) == (200, {"path": str(library / "my_snare_01.wav")})
    assert (library / "my_snare_01.wav").read_bytes() == studio.ask("POST", "/wav", asked)[2]
    path = Path(json.loads(studio.ask("POST", "/save", KIT)[2])["path"])
    assert path == library / "my_kit"
    with zipfile.ZipFile(io.BytesIO(studio.ask("POST", "/kit", KIT)[2])) as archive:
        made = {f"my kit/{name}": content for name, content in files(path).items()}
        assert made == {name: archive.read(name) for name in archive.namelist()}


def test_nothing_is_replaced_or_written_through(studio, library, tmp_path):
    """Neither files nor folders, nor links, dangling ones as well."""
    asked = {"spec": SPEC, "name": "s"}
    (library / "s.wav").write_text("mine")
    (library / "s_2.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "there").mkdir()
    (library / "s_3.wav").mkdir()
    (library / "my_kit").mkdir()
    (library / "my_kit_2").symlink_to(tmp_path / "there")
    (library / "my_kit_3").symlink_to(tmp_path / "nowhere")
    paths = [json.loads(studio.ask("POST", "/save", a)[2])["path"] for a in (asked, asked, KIT)]
    assert paths == [str(library / name) for name in ("s_4.wav", "s_5.wav", "my_kit_4")]
    assert (library / "s.wav").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["there"]


@pytest.mark.parametrize("name", ["CON", "nul", "Com1", "LPT9", "aux", "console", "com"])
def test_no_name_is_that_of_a_device_on_windows(tmp_path, name):
    """Oracle: pathlib's rule of what such names are."""
    path = saves.save_wav(tmp_path, name, b"")
    assert not PureWindowsPath(path.name).is_reserved()
    assert name.lower() in path.name


def test_a_library_that_is_no_folder(studio, library):
    library.rmdir()
    library.write_text("mine")
    for asked in ({"spec": SPEC}, KIT):
        status, sentence = studio.error("POST", "/save", asked)
        assert status == 400
        assert "Nothing can be saved to" in sentence
    assert library.read_text() == "mine"
    library.unlink()
    library.mkdir()


def test_a_full_disk_is_told_and_leaves_nothing(studio, library, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full(io.BytesIO):
        write = full

    opened = Path.open

    def half(path, mode="r", *more, **named):
        if mode != "xb":
            return opened(path, mode, *more, **named)
        opened(path, mode).close()
        return Full()

    monkeypatch.setattr(Path, "open", half)
    status, sentence = studio.error("POST", "/save", {"spec": SPEC})
    assert status == 507
    assert "No space left" in sentence
    monkeypatch.undo()
    monkeypatch.setattr("drumjax.studio.kits.write_hydrogen", lambda *_: _as_written(full))
    for path in ("/save", "/kit"):
        status, sentence = studio.error("POST", path, KIT)
        assert status == 507
        assert "No space left" in sentence
    monkeypatch.setattr("drumjax.studio.sources.tempfile.TemporaryDirectory", full)
    assert studio.error("POST", "/source", b"", X_Name="x.wav")[0] == 507
    monkeypatch.undo()
    assert list(library.iterdir()) == []
    assert studio.ask("POST", "/save", {"spec": SPEC})[0] == 200


def _as_written(write):
    """What `atomic.write_file` makes of an error."""
    try:
        write()
    except OSError as error:
        raise DataError(f"x cannot be written ({error.strerror}); choose another.") from error


def test_a_name_that_is_always_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(FileExistsError()))
    with pytest.raises(DataError, match="too much called s;"):
        saves.save_wav(tmp_path, "s", b"")
