"""A flood of OSC messages, as a program: `python -m drumjax.benchmarks.flood PORT SECONDS RATE`.

It asks the studio's server for sounds, RATE times a second, and prints how many messages it sent.
"""

import socket
import sys
import time

from pythonosc.osc_message_builder import OscMessageBuilder

BURST = 0.001  # seconds


def message(address: str, *values: float | str) -> bytes:
    """An OSC message; the values' types are those of Python."""
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return builder.build().dgram


def flood(port: int, seconds: float, rate: float) -> int:
    """Send to a port of this machine; returns how many messages went out."""
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind(("127.0.0.1", 0))
        reply = out.getsockname()[1]
        asks = [message("/drumjax/generate", i / 64, 0.0, 0.0, 0, reply) for i in range(64)]
        began = time.perf_counter()
        while (past := time.perf_counter() - began) < seconds:
            for _ in range(int(past * rate) - sent):
                out.sendto(asks[sent % 64], ("127.0.0.1", port))
                sent += 1
            time.sleep(BURST)
    return sent


if __name__ == "__main__":
    print(flood(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
