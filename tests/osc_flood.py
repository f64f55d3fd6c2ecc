"""A program that floods a UDP port: osc_flood.py PORT KIND SOCKETS RATE SECONDS; prints how many.

KIND: generate, malformed, random (bytes), mixed. Each socket sends at its own share of the rate.
"""

import contextlib
import itertools
import os
import socket
import sys
import time

from drumjax.studio.osc_messages import encode


def datagrams(kind):
    """An endless row of them, of 64 that are made in advance."""
    made = {
        "generate": [encode("/drumjax/generate", i / 64, -0.5, 0.1, i % 3, 0) for i in range(64)],
        "malformed": [encode("/drumjax/generate", 7.0 + i, "x", 0.1, i % 3, 0) for i in range(64)],
        "random": [os.urandom(8 + 2 * i) for i in range(64)],
    }
    made["mixed"] = [x for kinds in zip(*made.values(), strict=True) for x in kinds]
    return itertools.cycle(made[kind])


def main(port, kind, sockets, rate, seconds):
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(sockets)]
    for sender in senders:
        sender.connect(("127.0.0.1", port))
        sender.setblocking(False)
    sent, start = 0, time.perf_counter()
    turn, row = itertools.cycle(senders), datagrams(kind)
    while (now := time.perf_counter() - start) < seconds:
        due = int(rate * now) - sent
        for _ in range(min(due, 500)):
            with contextlib.suppress(OSError):  # refused, or the buffer is full: it is a flood
                next(turn).send(next(row))
            sent += 1
        if due < 50:
            time.sleep(0.0005)
    print(sent)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
