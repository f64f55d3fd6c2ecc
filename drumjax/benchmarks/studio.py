"""`drumjax bench --studio`: from a moved control to a sound, through the server's doors."""

import contextlib
import itertools
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pythonosc.osc_packet import OscPacket

from drumjax.benchmarks import chromium
from drumjax.benchmarks.timing import Timing, timing_of
from drumjax.errors import DataError
from drumjax.export.wav import read_recipe
from drumjax.play.controls import with_controls
from drumjax.play.instrument import Instrument, save_instrument
from drumjax.studio.osc_messages import encode

MOVES, STEP = 60, 0.008  # of a drag, and the seconds from one to the next
DRAGS = 20
PATIENCE = 1.0  # seconds after which an answer counts as lost
QUIET = 0.25  # seconds without an answer that end a drag
FLOOD_RATE, FLOOD_SECONDS = 50_000, 30.0
START = 120.0  # seconds that a server may take

Say = Callable[[str], None]


class Running(NamedTuple):
    """A server that runs: where its page is, the port of its OSC door, and its process."""

    address: str
    osc_port: int
    process: subprocess.Popen


@contextlib.contextmanager
def serving(instrument: Path | None, folder: Path) -> Iterator[Running]:
    """A `drumjax serve` of its own process, with free ports and folders below `folder`.

    Raises:
      DataError: it does not come up.
    """
    flags = [f"--takes={folder / 'takes'}", f"--library={folder / 'library'}"]
    flags += ["--port=0", "--osc_port=0"]
    flags += [f"--instrument={instrument}"] if instrument else []
    command = [sys.executable, "-m", "drumjax", "serve", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = list(itertools.takewhile(lambda x: not x.startswith("Ctrl-C"), process.stdout or ()))
        page = re.search(r"page +(\S+)", "".join(said))
        osc = re.search(r"OSC +udp \S+:(\d+)", "".join(said))
        if not (page and osc):
            raise DataError(f"The server did not start: {''.join(said)[-300:].strip()}")
        yield Running(page[1], int(osc[1]), process)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=START)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


class Client:
    """Asks an OSC door for sounds, and takes the answers at a port of its own.

    Attributes:
      known: how many categories there are.
    """

    def __init__(self, port: int):
        self._to = ("127.0.0.1", port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._reply = self._socket.getsockname()[1]
        self.known = 1

    def __enter__(self) -> "Client":
        self.known = self.categories()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def categories(self) -> int:
        """How many there are.

        Raises:
          DataError: no answer.
        """
        self._socket.sendto(encode("/drumjax/categories", self._reply), self._to)
        found = self.answer(START, "/drumjax/categories")
        if not found:
            raise DataError("The server does not answer; let the machine do nothing else.")
        return len(found)

    def send(self, x: float, y: float, number: int) -> None:
        """Ask for the sound of a place on the pad, the categories in turn."""
        category = number % self.known
        datagram = encode("/drumjax/generate", x, y, 0.0, category, self._reply, 1.0)
        self._socket.sendto(datagram, self._to)

    def answer(self, seconds: float, address: str = "/drumjax/sample") -> list[Any] | None:
        """The next answer's values, or None if none comes in time.

        Raises:
          DataError: the server answers with an error.
        """
        self._socket.settimeout(seconds)
        try:
            said = OscPacket(self._socket.recv(8192)).messages[0].message
        except TimeoutError:
            return None
        if said.address != address:
            raise DataError(f"The server answers {said.address} {said.params}.")
        return list(said.params)

    def time(self, x: float, y: float, number: int) -> float:
        """Seconds from asking to the path of the file; `PATIENCE` if the answer is lost."""
        began = time.perf_counter()
        self.send(x, y, number)
        if self.answer(PATIENCE):
            return time.perf_counter() - began
        self.forget()  # a late answer is not the next one's
        return PATIENCE

    def forget(self) -> None:
        """Take whatever answers are still to come."""
        while self.answer(PATIENCE):
            pass


def bench_studio(given: Path | None, runs: int, say: Say = print) -> dict[str, Any]:
    """Time the server of an instrument, by default one of untrained networks of the paper's size.

    Returns:
      {"instrument", "osc", "drag", "page", "page_drag", "flood"}: of OSC from the message to the
      file's path; of a drag of 60 moves, from the last one to its answer; of the page, from a move
      of the pointer to the buffer that plays, see `_page`, or None without a Chromium; of the
      flood, the same as of OSC
      meanwhile, with the messages a second and the answers that were lost, which count as
      `PATIENCE`. All times in ms.
    """
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        instrument = given
        if given is None:
            from drumjax.benchmarks.networks import random_instrument  # needs flax

            made = movable(random_instrument())
            instrument = save_instrument(made, folder / "bench.safetensors", encoder=False)[0]
        say("starting the server")
        with serving(instrument, folder) as server, Client(server.osc_port) as client:
            say("warming up")
            _wait_until_warm(client)
            say(f"{runs} sounds over OSC")
            osc = _times(client, runs)
            say(f"{DRAGS} drags of {MOVES} moves")
            drags = [_drag(client, i) for i in range(DRAGS)]
            say("the page")
            page = _page(server.address) if chromium.found() else None
            say(f"a flood of {FLOOD_RATE:,} messages a second for {FLOOD_SECONDS:.0f} s")
            flood = _flood(client, server.osc_port)
    return {
        "instrument": str(given.name if given else "random weights of the paper's size"),
        "osc": _in_ms(timing_of(osc)),
        "drag": _in_ms(timing_of(drags)),
        "page": _in_ms(timing_of(page[0])) if page else None,
        "page_drag": _in_ms(timing_of(page[1])) if page else None,
        "flood": flood,
    }


def movable(instrument: Instrument) -> Instrument:
    """An instrument without controls, given axes at random, of the deviations of its codes."""
    rng = np.random.default_rng(0)
    k, d = len(instrument.categories), instrument.latents
    turned = np.linalg.qr(rng.standard_normal((k, d, 3)))[0].transpose(0, 2, 1)  # [k, 3, d]
    axes = {"directions": turned, "spread": np.ones((k, 3))}
    tensors = {f"controls/audible/{n}": np.asarray(v, np.float32) for n, v in axes.items()}
    return with_controls(instrument, tensors, {})


def _wait_until_warm(client: Client) -> None:
    """Ask until sounds come as fast as they will: all programs are compiled then."""
    end = time.monotonic() + START
    while time.monotonic() < end:
        taken = [client.time(i / 20, 0.0, i) for i in range(20)]
        if max(taken) < min(PATIENCE, 4 * statistics.median(taken)):
            return
    raise DataError("The server does not come to rest; let the machine do nothing else.")


def _times(client: Client, runs: int) -> list[float]:
    rng = np.random.default_rng(0)
    places = rng.uniform(-1, 1, (runs, 2))
    return [client.time(x, y, i) for i, (x, y) in enumerate(places)]


def _drag(client: Client, number: int) -> float:
    """Seconds from the last of 60 moves to its answer.

    Raises:
      DataError: the last answer is not the last move's.
    """
    began = time.perf_counter()
    for i in range(MOVES):
        time.sleep(max(0.0, began + i * STEP - time.perf_counter()))
        client.send(2 * i / (MOVES - 1) - 1, 0.0, number)
    asked, ended, last = time.perf_counter(), 0.0, None
    while found := client.answer(QUIET):
        ended, last = time.perf_counter(), found
    recipe = read_recipe(last[0]) if last else None
    alphas = recipe["sounds"][0]["origin"]["alphas"] if recipe else None
    if alphas is None or alphas[0] != 1.0:
        raise DataError(f"The last move of a drag was not answered last, but {alphas}.")
    return ended - asked


def _page(address: str) -> tuple[list[float], list[float]]:
    """Seconds from moves of the pointer over the pad to their buffers, in a headless Chromium.

    First of moves 32 ms apart, then of a drag whose moves come every 8 ms, most of which newer ones
    overtake.
    """
    with chromium.chromium() as page:
        page.size(1280, 800)
        page.open(address)
        page.run("drumjax.ready")
        page.until("drumjax.renders >= 16", START)  # the pads have their sounds
        time.sleep(QUIET)
        x, y = page.place("#pad")
        few = range(DRAGS * MOVES // 4)
        many = range(len(few), len(few) + DRAGS * MOVES)  # other places: no sound is at hand
        return _moves(page, x, y, few, 4 * STEP), _moves(page, x, y, many, STEP)


def _moves(page: chromium.Page, x: float, y: float, turns: range, apart: float) -> list[float]:
    """Drag around a point, with a move every `apart` seconds; the latencies of those answered."""
    page.mouse("Pressed", x, y)
    before = len(page.run("drumjax.latency()"))
    began = time.perf_counter()
    for n, i in enumerate(turns, 1):
        page.mouse("Moved", x + 100 * np.sin(i / 7), y + 100 * np.cos(i / 11), wait=False)
        time.sleep(max(0.0, began + n * apart - time.perf_counter()))
    page.mouse("Released", x, y)
    time.sleep(QUIET)
    return [ms / 1e3 for ms in page.run("drumjax.latency()")[before:]]


def _flood(client: Client, port: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "drumjax.benchmarks.flood", str(port), "generate", "1"]
    command += [str(FLOOD_RATE), str(FLOOD_SECONDS)]
    taken, began = [], time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flooding:
        time.sleep(1.0)
        for i in itertools.count():
            if flooding.poll() is not None:
                break
            taken.append(client.time((i % 200) / 100 - 1, 0.0, i))
        seconds = time.perf_counter() - began
        sent = int((flooding.stdout.read() if flooding.stdout else "") or 0)
    client.forget()
    lost = sum(t == PATIENCE for t in taken)
    per_second = round(sent / min(seconds, FLOOD_SECONDS))
    return {**_in_ms(timing_of(taken)), "lost": lost, "messages_per_second": per_second}


def _in_ms(timing: Timing) -> dict[str, Any]:
    about = {f"{name}_ms": 1e3 * getattr(timing, name) for name in ("p50", "p99", "best")}
    return {**about, "n": timing.n}


def show(result: dict[str, Any]) -> str:
    """The figures as lines for the user."""
    osc, drag, flood = result["osc"], result["drag"], result["flood"]
    return "\n".join(
        [
            f"instrument: {result['instrument']}",
            f"OSC, message to file: p50 {osc['p50_ms']:.1f} ms, p99 {osc['p99_ms']:.1f} ms "
            f"({osc['n']} messages)",
            f"a drag of {MOVES} moves, last move to its answer: p50 {drag['p50_ms']:.1f} ms, "
            f"worst {drag['p99_ms']:.1f} ms ({drag['n']} drags)",
            _shown_page(result["page"], result["page_drag"]),
            f"in a flood of {flood['messages_per_second']:,} messages a second: p50 "
            f"{flood['p50_ms']:.1f} ms, p99 {flood['p99_ms']:.1f} ms ({flood['n']} sounds, "
            f"{flood['lost']} of them lost)",
        ]
    )


def _shown_page(page: dict[str, Any] | None, drag: dict[str, Any] | None) -> str:
    if page is None or drag is None:
        return "the page: there is no Chromium to time it in"
    return "\n".join(
        f"the page, pointer to buffer, a move every {1e3 * apart:.0f} ms: p50 {row['p50_ms']:.1f} "
        f"ms, p99 {row['p99_ms']:.1f} ms ({row['n']} moves answered)"
        for row, apart in ((page, 4 * STEP), (drag, STEP))
    )
