"""The studio's server: one player behind two doors, OSC for DAWs and a page for browsers."""

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drumjax.play.meta import Mode
from drumjax.play.runtime import Player
from drumjax.studio.engine import Engine
from drumjax.studio.http import WebServer
from drumjax.studio.osc import OscServer
from drumjax.studio.osc_socket import is_loopback
from drumjax.studio.sources import can_encode, encode
from drumjax.studio.takes import Takes

# Seconds after which a thread lets another one run. Python's own 5 ms are a good part of what a
# sound may take; datagrams that arrive meanwhile would fill the kernel's buffer in a flood.
_SWITCH = 0.0005

Say = Callable[[str], object]


class Doors(NamedTuple):
    """Where a server listens and writes.

    Attributes:
      host: an address of this machine; the loopback one keeps all others out.
      port, osc_port: of the page (TCP) and of OSC (UDP); 0 takes any that is free.
      takes: folder of what OSC clients asked for; the oldest are removed in time.
      library: folder of what a musician saves from the page; nothing is removed.
      mode: whose axes the pad moves along, see `controls.from_alphas`.
    """

    host: str
    port: int
    osc_port: int
    takes: Path
    library: Path
    mode: Mode = "audible"


async def serve(
    player: Player, doors: Doors, say: Say, opened: Callable[[str], object] = lambda _: None
) -> None:
    """Serve until SIGINT or SIGTERM, or until the task is cancelled.

    Args:
      player: what plays.
      doors: where.
      say: takes lines for the user.
      opened: called once with the page's address, when both doors are open, on a thread of its
        own, which is not waited for.

    Raises:
      DataError: a port is in use, or a folder cannot be written to.
    """
    ended = asyncio.Event()
    _end_on_signals(ended)
    async with contextlib.AsyncExitStack() as ends:
        ends.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(_SWITCH)
        engine = Engine(player)
        ends.push_async_callback(engine.close)
        osc = OscServer(engine, Takes(doors.takes), say, doors.mode)
        ends.callback(osc.stop)
        web = WebServer(engine, mode=doors.mode, library=doors.library, say=say)
        ends.push_async_callback(web.stop)
        osc_port = osc.start(doors.host, doors.osc_port)
        port = await web.start(doors.host, doors.port)
        address = f"http://{_shown(doors.host)}:{port}/"
        _tell(doors, player, address, osc_port, say)
        # A browser in a terminal waits there for its user, and the page for this loop.
        threading.Thread(target=opened, args=(address,), daemon=True).start()
        warming = asyncio.create_task(_warm_up(engine))
        warming.add_done_callback(lambda task: _tell_failure(task, say))
        ends.callback(warming.cancel)
        await ended.wait()
    say("ended")


async def _warm_up(engine: Engine) -> None:
    """Compile what sounds of each length need, and the encoder, between requests that come."""
    player = engine.player
    for frames in player.plan.lengths:
        await engine.each("warm-up", lambda player, n=frames: player.warm_up(lengths=(n,)))
    if can_encode(player.instrument):
        silence, first = np.zeros(player.samples, np.float32), player.categories[0]
        await engine.each("warm-up", lambda player: player.encode(silence, first))
        await encode(silence, first, None, "warm-up", engine)


def _tell_failure(task: "asyncio.Task[None]", say: Say) -> None:
    if not task.cancelled() and (error := task.exception()):
        say(f"the warm-up failed, and first sounds take longer: {type(error).__name__}: {error}")


def _end_on_signals(ended: asyncio.Event) -> None:
    """Set the event on SIGINT and SIGTERM, where the event loop knows signals (not on Windows)."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(name, ended.set)
        except (NotImplementedError, RuntimeError, ValueError):  # or not the main thread
            return


def _shown(host: str) -> str:
    """A host as it stands in an address that a browser on this machine opens."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def _tell(doors: Doors, player: Player, address: str, osc_port: int, say: Say) -> None:
    say(f"{player.instrument.meta['name']} plays {', '.join(player.categories)}")
    say(f"  page      {address}")
    say(f"  OSC       udp {doors.host}:{osc_port}")
    say(f"  takes     {doors.takes}  (the oldest are removed in time)")
    say(f"  library   {doors.library}")
    if not is_loopback(doors.host):
        say("whoever reaches this machine can play, and fill these folders")
    say("Ctrl-C ends it")
