"""`drumjax serve` as a process: it says where it listens, plays, and ends when it is told to."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest
from pythonosc.osc_packet import OscPacket

from drumjax.__main__ import main
from drumjax.play.instrument import load_instrument
from drumjax.play.runtime import Player
from drumjax.studio.osc_messages import encode
from drumjax.studio.server import Doors, serve

WAIT = 120  # seconds, of a busy machine


def ask(port, address, *values):
    """Send a message, and return the answer's address and values."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(WAIT)
        s.sendto(encode(address, *values), ("127.0.0.1", port))
        answer = OscPacket(s.recv(8192)).messages[0].message
    return answer.address, answer.params


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DRUMJAX_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr("drumjax.play.cache.use_cache", lambda: None)


@pytest.fixture
def served(instruments, tmp_path):
    """Starts the server with more flags; returns its process, page's address and OSC port."""
    started = []

    def start(*flags):
        command = [sys.executable, "-m", "drumjax", "serve", "--port=0", "--osc_port=0"]
        command += [f"--instrument={instruments / 'full.safetensors'}"]
        command += [f"--takes={tmp_path / 'my takes'}", f"--library={tmp_path / 'library'}", *flags]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        page = re.search(r"page +(\S+)", said)[1]
        return process, page, int(re.search(r"OSC +udp \S+:(\d+)", said)[1])

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_both_doors_open_and_a_signal_ends_the_server(served, tmp_path, end):
    process, page, port = served()
    with urllib.request.urlopen(page, timeout=WAIT) as response:
        assert response.status == 200
    address, (path, category, _) = ask(port, "/drumjax/generate", 0.5, 0.0, 0.0, 0, 0)
    assert (address, category) == ("/drumjax/sample", "kick")
    assert path.startswith(str(tmp_path / "my takes"))
    process.send_signal(end)
    out, err = process.communicate(timeout=WAIT)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("ended\n")


class Told(Player):
    """A player that notes what it warms up, and may fail."""

    def __init__(self, instrument, fails=False):
        super().__init__(instrument)
        self.fails, self.calls = fails, []

    def warm_up(self, *args, **kwargs):
        if self.fails:
            raise ZeroDivisionError("x")

    def encode(self, audio, category, refine=0):
        self.calls.append(refine > 0)
        return super().encode(audio, category, refine)


def run_until(tmp_path, player, is_over, opened=lambda _: None):
    """Serve in this process until is_over(lines that were said); returns these lines."""

    async def run():
        lines = []
        doors = Doors("127.0.0.1", 0, 0, tmp_path / "takes", tmp_path / "library")
        serving = asyncio.create_task(serve(player, doors, lines.append, opened))
        async with asyncio.timeout(WAIT):
            while not is_over(lines):
                assert not serving.done()
                await asyncio.sleep(0.01)
        serving.cancel()
        await asyncio.wait([serving])
        assert serving.cancelled()
        return lines

    return asyncio.run(run())


def test_a_browser_that_waits_for_its_user_holds_nothing_up(instruments, tmp_path):
    """A browser in a terminal, such as w3m: it reads the page, and ends when its user does."""
    read, gate = threading.Event(), threading.Event()

    def browse(address):
        with urllib.request.urlopen(address, timeout=WAIT) as response:
            assert response.status == 200
        read.set()
        gate.wait(WAIT)

    player = Told(load_instrument(instruments / "full.safetensors"))
    run_until(tmp_path, player, lambda _: read.is_set(), browse)
    gate.set()


def test_the_encoder_is_warmed_up_where_there_is_one(instruments, tmp_path):
    full, mute = (
        Told(load_instrument(instruments / f"{name}.safetensors")) for name in ("full", "mute")
    )
    run_until(tmp_path, full, lambda _: len(full.calls) == 2)
    assert full.calls == [False, True]  # alone, and refined
    lines = run_until(tmp_path, mute, lambda _: True)
    assert mute.calls == []
    assert not any("failed" in line for line in lines)


def test_a_warm_up_that_fails_is_told_and_the_server_lives(instruments, tmp_path):
    player = Told(load_instrument(instruments / "full.safetensors"), fails=True)
    lines = run_until(tmp_path, player, lambda lines: "ZeroDivisionError: x" in str(lines))
    assert sum("warm-up failed" in line for line in lines) == 1


@pytest.mark.parametrize(("kind", "flag"), [("STREAM", "port"), ("DGRAM", "osc_port")])
def test_a_port_in_use_is_one_sentence(instruments, tmp_path, capsys, kind, flag):
    with socket.socket(socket.AF_INET, getattr(socket, f"SOCK_{kind}")) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == "STREAM":
            taken.listen()
        port = taken.getsockname()[1]
        ports = {"port": 0, "osc_port": 0, flag: port}
        status = main(
            [
                "serve",
                f"--instrument={instruments / 'full.safetensors'}",
                f"--takes={tmp_path / 'takes'}",
                f"--library={tmp_path / 'library'}",
                *(f"--{name}={value}" for name, value in ports.items()),
            ]
        )
    error = capsys.readouterr().err
    assert status == 1
    assert error.count("\n") == 1
    assert f"{port} is in use" in error
    assert f"--{flag}" in error


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--port=70000", "--port=70000"),
        ("--osc_port=-1", "--osc_port=-1"),
        ("--takes=FILE", "is a file"),
        ("--library=FILE/below", "is a file"),
        ("--instrument=none.safetensors", "none.safetensors"),
        ("--host=no.such.host.invalid", "--host"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(instruments, tmp_path, capsys, flag, says):
    (tmp_path / "file").write_text("")
    flags = [f"--takes={tmp_path / 'takes'}", f"--library={tmp_path / 'library'}"]
    flags += ["--port=0", "--osc_port=0", f"--instrument={instruments / 'full.safetensors'}"]
    assert main(["serve", *flags, flag.replace("FILE", str(tmp_path / "file"))]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error
