"""The Max for Live device: its file, the builder of its patch, and the command that writes it.

The file is read by a second reader below, made from the format's description alone.
"""

import copy
import hashlib
import json
import random
import struct
import subprocess
import sys

import pytest
from max_graph import DEVICE

from drumjax.__main__ import main
from drumjax.errors import DataError
from drumjax.studio.max import patcher
from drumjax.studio.max.container import patcher_text, read_device, write_device
from drumjax.studio.max.device import is_untouched

# Of the files as they are on the day that they were last changed on purpose.
GOLDEN = {
    "drumjax.amxd": "7f470cd0073b8523b410c5ffd880a6cb689faa1e7fcbb175a1a795ad5351ad46",
    "drumjax.maxpat": "b1621870b757b1f7c68262838c821cafd03ea864751cd474e9882aa6ac6d5080",
}


# The file


def second_reader(data):
    """(kind, patcher) of a device, as its format is described; asserts all on its way."""
    chunks, at = [], 0
    while at < len(data):
        tag, size = struct.unpack_from("<4sI", data, at)
        chunks.append((tag, data[at + 8 : at + 8 + size]))
        at += 8 + size
    assert at == len(data)
    (a, kind), (m, meta), (p, patch) = chunks
    assert (a, m, p) == (b"ampf", b"meta", b"ptch")
    assert struct.unpack("<I", meta) == (1,)
    assert patch.endswith(b"\n\0")
    return kind, json.loads(patch[:-2])


def test_a_second_reader_reads_the_device():
    assert second_reader(write_device(DEVICE)) == (b"iiii", DEVICE)
    assert read_device(write_device(DEVICE)) == DEVICE


def test_other_forms_and_kinds_are_refused():
    """py2max writes frozen devices; Max 6 leaves anything behind the JSON, which is no harm."""
    m4l = pytest.importorskip("py2max.m4l")
    for kind, words in (("instrument", "Expecting value"), ("midi_effect", "another kind")):
        with pytest.raises(DataError, match=words):
            read_device(m4l.pack_amxd(patcher_text(DEVICE), device_type=kind))
    data = write_device({"patcher": {}})
    old = data[:28] + struct.pack("<I", len(data) - 32 + 3) + data[32:] + b"}\xff{"
    assert read_device(old) == {"patcher": {}}


def test_a_damaged_device_is_refused():
    data = write_device({"patcher": {"boxes": []}})
    for size in range(len(data)):
        with pytest.raises(DataError, match=r"no Max for Live instrument that can be read"):
            read_device(data[:size])
    with pytest.raises(DataError, match="no patcher"):
        read_device(write_device([]))
    chance = random.Random(0)
    for _ in range(2000):
        spoilt = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            spoilt[chance.randrange(len(data))] = chance.randrange(256)
        try:
            read_device(bytes(spoilt))
        except DataError:
            continue


def test_the_files_are_as_they_were():
    written = {"drumjax.amxd": write_device(DEVICE), "drumjax.maxpat": patcher_text(DEVICE)}
    assert {n: hashlib.sha256(data).hexdigest() for n, data in written.items()} == GOLDEN


# The builder


def test_the_builder_refuses_what_max_passes_over():
    p = patcher.Patcher(100)
    route, send = p.object("route a b"), p.object("udpsend 127.0.0.1 9400")
    parameter = patcher.Parameter("A", "A")
    p.face("live.dial", (0, 0, 44, 48), parameter)
    for act, words in (
        (lambda: p.object("udpsent 1 2"), "'udpsent' is no object"),
        (lambda: p.face("jsui", (0, 0, 9, 9)), "'jsui' is no object"),
        (lambda: p.cord(route.out(3), send), "'route a b' has no outlet 3"),
        (lambda: p.cord(send, route), "'udpsend 127.0.0.1 9400' has no outlet 0"),
        (lambda: p.cord(route, send.inlet(1)), "'udpsend 127.0.0.1 9400' has no inlet 1"),
        (lambda: p.face("live.dial", (60, 0, 44, 48)), "is cut off"),
        (lambda: p.face("live.dial", (0, 130, 44, 48)), "is cut off"),
        (lambda: p.face("live.dial", (50, 0, 44, 48), parameter), "parameter 'A' already"),
        (lambda: p.bank("Pad", ["A", "B"]), "unknown names"),
        (lambda: p.bank("Pad", ["A"] * 9), "more than 8"),
    ):
        with pytest.raises(ValueError, match=words):
            act()
    p.cord(route, send)
    with pytest.raises(ValueError, match="that cord already"):
        p.cord(route.out(0), send.inlet(0))


# The command


def test_the_command_writes_both_files_and_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["max-device", "--output=my folder"]) == 0
    said = capsys.readouterr().out
    assert "drumjax.amxd is the instrument" in said
    assert "`drumjax serve`" in said
    assert "MIDI track" in said
    written = {p.name: p.read_bytes() for p in (tmp_path / "my folder").iterdir()}
    assert {n: hashlib.sha256(data).hexdigest() for n, data in written.items()} == GOLDEN
    assert main(["max-device", "--output=my folder/other.amxd", "--osc-port=9500"]) == 0
    assert "--osc_port=9500" in capsys.readouterr().out
    _, patch = second_reader((tmp_path / "my folder/other.amxd").read_bytes())
    texts = [entry["box"].get("text") for entry in patch["patcher"]["boxes"]]
    assert "udpsend 127.0.0.1 9500" in texts
    told = "no answer yet - start: drumjax serve --osc_port=9500"
    assert {told, f"set {told}"} <= {*texts}
    assert (tmp_path / "my folder/other.maxpat").read_bytes() == patcher_text(patch)
    # Its own devices are replaced, whatever their port.
    assert main(["max-device", "--output=my folder/other.amxd"]) == 0
    assert (tmp_path / "my folder/other.amxd").read_bytes() == written["drumjax.amxd"]


def edited():
    """The device as somebody saves it who has moved a box."""
    device = copy.deepcopy(DEVICE)
    device["patcher"]["boxes"][3]["box"]["patching_rect"][0] += 8.0
    return write_device(device)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("drumjax.amxd", b"my notes"),
        ("drumjax.amxd", write_device({"patcher": {"description": "a synth"}})),
        ("drumjax.amxd", b"{}"),
        ("drumjax.amxd", edited()),
        ("drumjax.maxpat", b'{"patcher": {"boxes": []}}'),
        ("drumjax.maxpat", b'{"patcher": 3}'),
        ("drumjax.maxpat", b""),
    ],
)
def test_what_others_made_or_changed_stays(name, content, tmp_path, capsys):
    (tmp_path / name).write_bytes(content)
    assert main(["max-device", f"--output={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{name} is there already" in error
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == content
    assert is_untouched(write_device(DEVICE))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--output="], "--output is empty"),
        (["--output=a", "--osc_port=0"], "choose 1 to 65535"),
        (["--output=a", "--osc_port=65536"], "choose 1 to 65535"),
        (["--output=taken/a"], "taken is a file"),
        (["--output=a\0b"], "choose another"),
        (["--output=folder"], "drumjax.amxd is there already"),
    ],
)
def test_mistakes_are_told_in_a_sentence(flags, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("")
    (tmp_path / "folder" / "drumjax.amxd").mkdir(parents=True)
    assert main(["max-device", *flags]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "a").exists()


def test_it_starts_without_jax(tmp_path):
    code = (
        "import sys; from drumjax.__main__ import main\n"
        f"assert main(['max-device', '--output={tmp_path}']) == 0\n"
        "print(*sorted({'jax', 'flax', 'starlette', 'pythonosc'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
