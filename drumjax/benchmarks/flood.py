"""A flood of datagrams: `python -m drumjax.benchmarks.flood PORT KIND SOCKETS RATE SECONDS`.

KIND is generate, malformed, random (bytes), bundles (the largest there are) or mixed; the sockets
take turns at RATE datagrams a second. Prints how many were sent.
"""

import contextlib
import itertools
import os
import socket
import sys
import time
from collections.abc import Iterator

from drumjax.studio.osc_messages import encode

_MOST = 500  # datagrams in a row
_BREATH = 0.0005  # seconds


def datagrams(kind: str) -> Iterator[bytes]:
    """An endless row of them, of 64 that are made in advance."""
    made = {
        "generate": [encode("/drumjax/generate", i / 64, -0.5, 0.1, i % 3, 0) for i in range(64)],
        "malformed": [encode("/drumjax/generate", 7.0 + i, "x", 0.1, i % 3, 0) for i in range(64)],
        "random": [os.urandom(8 + 2 * i) for i in range(64)],
    }
    elements = b"".join(len(m).to_bytes(4, "big") + m for m in made["generate"][:32])
    made["bundles"] = [b"#bundle\0" + i.to_bytes(8, "big") + elements for i in range(64)]
    made["mixed"] = [x for kinds in zip(*made.values(), strict=True) for x in kinds]
    return itertools.cycle(made[kind])


def flood(port: int, kind: str, sockets: int, rate: float, seconds: float) -> int:
    """Send to a port of this machine; returns how many datagrams were sent."""
    with contextlib.ExitStack() as stack:
        made = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(sockets)]
        senders = [stack.enter_context(sender) for sender in made]
        for sender in senders:
            sender.connect(("127.0.0.1", port))
            sender.setblocking(False)
        sent, began = 0, time.perf_counter()
        turn, row = itertools.cycle(senders), datagrams(kind)
        while (past := time.perf_counter() - began) < seconds:
            due = int(rate * past) - sent
            for _ in range(min(due, _MOST)):
                with contextlib.suppress(OSError):  # refused, or the buffer is full: it is a flood
                    next(turn).send(next(row))
                sent += 1
            if due < _MOST // 10:
                time.sleep(_BREATH)
    return sent


if __name__ == "__main__":
    port, kind, sockets, rate, seconds = sys.argv[1:]
    print(flood(int(port), kind, int(sockets), float(rate), float(seconds)))
