"""What strangers and broken programs send: nothing of it may escape, stay, or shut others out.

Oracles: the loop's exception handler, which must stay silent (see `osc_client.studio`); the
counters, which must account for every message; tracemalloc; and the answers that others get.
DRUMJAX_FUZZ=100 sends a hundred times as much.
"""

import asyncio
import gc
import os
import random
import struct
import sys
import tracemalloc
from collections import deque

import numpy as np
import pytest
from osc_client import WAIT, in_loop, studio

from drumjax.export.wav import read_recipe
from drumjax.play.instrument import load_instrument
from drumjax.play.runtime import Player
from drumjax.studio.osc_messages import LARGEST, Unreadable, decode, encode, split
from drumjax.studio.osc_socket import newest
from drumjax.studio.takes import Takes

TIMES = float(os.environ.get("DRUMJAX_FUZZ", "1"))
RANDOM, WRONG = int(100_000 * TIMES), int(10_000 * TIMES)
OVER_SOCKET = 3000
GROWTH = 2**20  # bytes that may stay, whatever the number: 256 clients and 32 files are kept
# A block as large as this is a table: at some time, Python makes that of its interned strings anew
# (3.8 MB), in which nothing more lies than before. Of what a message left, each block counts.
TABLE = 2**20

REQUESTS = [
    f"/drumjax/{name}"
    for name in ("generate", "random", "vary", "attribute", "categories", "instrument", "ping")
]


class Instant(Player):
    """A player whose sounds cost nothing: what is tested is all around them."""

    def render(self, z, category, full=False):
        return np.linspace(0.5, 0.0, 64, dtype=np.float32)


@pytest.fixture(scope="module")
def instant(instruments):
    return Instant(load_instrument(instruments / "full.safetensors"))


def valid(rng):
    """A good request."""
    kind = rng.choice(["kick", 1, 2.0])
    alphas = [rng.uniform(-1, 1) for _ in range(3)]
    return rng.choice(
        [
            encode("/drumjax/generate", *alphas, kind, 0, 1.0, rng.randrange(99)),
            encode("/drumjax/random", kind, 0),
            encode("/drumjax/vary", "/x/y z.wav", 0.5, 0, kind, 3),
            encode("/drumjax/attribute", "brightness", rng.uniform(-3, 3), 0),
            encode(rng.choice(REQUESTS[4:]), 0),
        ]
    )


def bundled(rng, *contents):
    body = b"".join(len(c).to_bytes(4, "big") + c for c in contents)
    return b"#bundle\0" + rng.randbytes(8) + body


def noise(rng):
    """A datagram that nobody meant: random bytes, behind an address or not, or a spoilt request."""
    way = rng.randrange(5)
    if way == 0:
        return rng.randbytes(rng.randrange(80))
    if way == 1:
        head = rng.choice([*(r.encode() + b"\0" for r in REQUESTS), b"/", b"#bundle\0"])
        return head + rng.randbytes(rng.randrange(60))
    if way == 2:
        tags = bytes(rng.choices(b"ifhdsbTFNISrmtc[],\0q", k=rng.randrange(20)))
        head = rng.choice(REQUESTS).encode()
        return pad(head) + pad(b"," + tags) + rng.randbytes(4 * rng.randrange(12))
    spoilt = bytearray(
        valid(rng) if way == 3 else bundled(rng, valid(rng), bundled(rng, valid(rng)))
    )
    for _ in range(rng.randrange(1, 4)):
        spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
    return bytes(spoilt[: rng.randrange(len(spoilt) + 1)] if rng.random() < 0.3 else spoilt)


def pad(text):
    return text + bytes(4 - len(text) % 4)


def wrong(rng):
    """A message that any OSC program could send, with arguments that hardly fit."""
    pool = [
        *(0, 1, -1, 2**31 - 1, -(2**31), 2**62, 9400),
        *(0.0, 0.5, -0.5, 1e30, float("nan"), float("inf"), -float("inf")),
        *(
            "",
            "kick",
            "no",
            "/etc/passwd",
            "../" * 40,
            "/dev/zero",
            "\U0001f941",
            "%s%n",
            "x" * 900,
        ),
        *(b"b", b"blob" * 9, True, False, None, [], [1, [2.0, "x"]], [[[]]]),
    ]
    args = [rng.choice(pool) for _ in range(rng.randrange(9))]
    return encode(rng.choice([*REQUESTS, "/drumjax", "/other", "/drumjax/sample"]), *args)


async def throw(studio, datagrams, sink):
    """Hand datagrams to the server as its socket does, and let the loop do its other work."""
    for index, datagram in enumerate(datagrams):
        studio.server.handle(datagram, sink)
        if index % 64 == 0:
            await asyncio.sleep(0)
    while studio.engine.busy:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("make", "count"), [(noise, RANDOM), (wrong, WRONG)])
@in_loop
async def test_nothing_escapes_nothing_stays_and_answers_go_on(instant, tmp_path, make, count):
    rng = random.Random(0)
    async with studio(instant, Takes(tmp_path, most_files=20)) as s:
        sink = s.connect().address  # nobody reads there
        await throw(s, (make(rng) for _ in range(count)), sink)
        gc.collect()
        tracemalloc.start()  # slow; what is kept by design was kept before
        await throw(s, (make(rng) for _ in range(count // 10)), sink)
        gc.collect()
        traces = tracemalloc.take_snapshot().traces
        tracemalloc.stop()
        grown = sum(trace.size for trace in traces if trace.size < TABLE)
        assert grown < GROWTH
        counters = s.server.counters
        assert counters["unread"] > count // 10
        assert counters["errors"] + counters["muted"] > count // 100
        await s.client.sample("/drumjax/random", "kick", 0)
    print(count, dict(counters))


@in_loop
async def test_the_same_over_the_socket(instant, tmp_path):
    rng = random.Random(1)
    async with studio(instant, Takes(tmp_path, most_files=20)) as s:
        stranger = s.connect()
        for index in range(OVER_SOCKET):
            stranger.send_bytes(rng.choice((noise, wrong, valid))(rng))
            while index % 64 == 63 and s.server.counters["received"] < index:
                await asyncio.sleep(0.001)  # no more than the kernel's buffer holds
        while s.engine.busy:
            await asyncio.sleep(0.01)
        assert s.server.counters["answered"] > 0
        await s.client.sample("/drumjax/random", "kick", 0)


@pytest.mark.parametrize("kind", ["generate", "malformed", "bundles", "mixed"])
@in_loop
async def test_a_flood_does_not_shut_a_good_client_out(instant, tmp_path, kind):
    async with studio(instant, Takes(tmp_path, most_files=20)) as s:
        await s.client.sample("/drumjax/random", "kick", 0)
        program = (sys.executable, "-m", "drumjax.benchmarks.flood")
        flood = await asyncio.create_subprocess_exec(
            *(*program, str(s.server.port), kind, "1", "20000", "2"),
            stdout=asyncio.subprocess.PIPE,
        )
        while s.server.counters["received"] < 1000:
            await asyncio.sleep(0.01)
        lost = 0
        for seed in range(20):
            s.client.send("/drumjax/random", "snare", 0, seed)
            try:
                answer, (_, label, _) = await s.client.receive(2.0)
                assert (answer, label) == ("/drumjax/sample", "snare")
            except TimeoutError:  # it is UDP
                lost += 1
        assert lost <= 2
        await asyncio.wait_for(flood.communicate(), WAIT)
        assert s.server.counters["received"] > 5000
        await s.client.sample("/drumjax/random", "kick", 0)


@in_loop
async def test_who_sent_little_is_looked_at_first(instant, tmp_path):
    async with studio(instant, tmp_path) as s:
        await s.client.sample("/drumjax/random", "kick", 0)  # known from now on
        strangers = [s.connect() for _ in range(40)]
        for stranger in strangers:  # all of this is there before the server looks
            for _ in range(3):
                stranger.send("/drumjax/random", "nothing", 0)
        s.client.send("/drumjax/ping", 0)
        assert (await s.client.receive())[0] == "/drumjax/pong"
        assert s.server.counters["received"] == 122
        assert s.server.counters["dropped"] == 121 - 64


def test_of_a_burst_the_newest_of_each_kind_counts():
    few = [encode("/drumjax/generate", i, 0, 0, 0, 0) for i in range(8)]
    assert newest(deque(few)) == few
    drag = [encode("/drumjax/generate", i / 60, 0.0, 0.0, 0, 0) for i in range(60)]
    ping = encode("/drumjax/ping", 0)
    named = [encode("/drumjax/attribute", n, v, 0) for v in (1.0, 2.0) for n in ("punch", "decay")]
    assert newest(deque([*drag, ping])) == [drag[-1], ping]
    assert newest(deque([ping, *drag, ping])) == [drag[-1], ping]  # in the order of the newest
    assert newest(deque([*named, *drag, ping])) == [*named[2:], drag[-1], ping]
    assert len(newest(deque(encode(f"/{i}") for i in range(100)))) == 32
    assert newest(deque([b"", b"x"] * 20)) == [b"x"]


@pytest.mark.parametrize("place", [("kick",), (1,), (1.0,)])
def test_requests_for_other_clients_and_bundles_are_of_other_kinds(place):
    rng = random.Random(0)
    ports = [encode("/drumjax/generate", 0.5, 1, 0.0, *place, p, 1.0, 3) for p in range(9001, 9021)]
    older = [encode("/drumjax/generate", 0.25, 1, 0.0, *place, p) for p in range(9001, 9021)]
    assert newest(deque([*older, *ports])) == [*ports]
    varied = [encode("/drumjax/vary", "/x" * n, 0.5, 9000 + n) for n in range(1, 11)]
    assert newest(deque([*varied, *varied])) == varied
    named = [encode("/drumjax/attribute", "punch", 1.0, p) for p in range(9001, 9021)]
    assert newest(deque([*named, *named])) == named
    bundles = [bundled(rng, message) for message in (*named[:10], ports[0])]
    assert newest(deque([*bundles, *bundles])) == bundles


@in_loop
async def test_a_burst_for_many_reply_ports_is_answered_at_each(instant, tmp_path):
    async with studio(instant, tmp_path) as s:
        others = [s.connect() for _ in range(16)]
        for value in (0.0, 0.5, 1.0):
            for other in others:
                s.client.send("/drumjax/generate", value, 0.0, 0.0, "kick", other.port)
        for other in others:
            assert (await other.receive())[0] == "/drumjax/sample"


@in_loop
async def test_a_burst_of_bundles_is_handled_whole(instant, tmp_path):
    rng, names = random.Random(0), ("brightness", "punch", "decay", "body", "noisiness")
    async with studio(instant, tmp_path) as s:
        wanted = {name: value for value in (1.0, 2.0) for name in names}
        burst = [encode("/drumjax/attribute", n, v, 0) for v in (1.0, 2.0) for n in names]
        for message in (*burst, encode("/drumjax/generate", 0.5, 0.0, 0.0, "kick", 0)):
            s.client.send_bytes(bundled(rng, message))
        _, (path, *_) = await s.client.receive()
        assert read_recipe(path)["sounds"][0]["origin"]["attributes"] == wanted


@pytest.mark.parametrize(
    "datagram",
    [
        b"#bundle\0" + bytes(8) + b"\xff\xff\xff\xfc",
        b"#bundle\0" + bytes(8) + b"\x80\0\0\0",
        b"#bundle\0" + bytes(8) + bytes(8000),
        (b"#bundle\0" + bytes(8) + b"\0\0\x1f\xf0") * 400,
        pad(b"/drumjax/ping") + pad(b"," + b"bs" * 4000),
        pad(b"/drumjax/ping") + pad(b"," + b"bsbsbsbsbsbsbsbs") + b"\xff\xff\xe0\0" * 1800,
        pad(b"/drumjax/ping") + pad(b"," + b"[" * 8000),
        pad(b"/drumjax/ping") + pad(b"," + b"q" * 10),
        b"/" + b"x" * 8191,
        bytes(LARGEST + 1),
    ],
)
def test_no_datagram_takes_long_or_speaks_to_the_log(datagram, caplog):
    """Each of these keeps python-osc alone busy for ever or for seconds, or makes it log."""
    steps = 0

    def count(*_):
        nonlocal steps
        steps += 1
        return count

    sys.settrace(count)
    try:
        for message in split(datagram):
            decode(message)
    except Unreadable:
        pass
    finally:
        sys.settrace(None)
    assert steps < 1_500_000
    assert caplog.records == []


def test_bundles_in_bundles_are_read_to_a_depth():
    rng, ping = random.Random(0), encode("/drumjax/ping", 0)
    nested = ping
    for _ in range(8):
        nested = bundled(rng, nested)
    assert split(nested) == [ping]
    with pytest.raises(Unreadable, match="nested too deeply"):
        split(bundled(rng, nested))
    assert split(bundled(rng, *[ping] * 32)) == [ping] * 32
    with pytest.raises(Unreadable, match="more than 32"):
        split(bundled(rng, *[ping] * 33))


@in_loop
async def test_the_largest_message_is_read_and_a_larger_one_is_not(instant, tmp_path):
    async with studio(instant, tmp_path) as s:
        most = LARGEST - len(encode("/drumjax/vary", "", 0.5, 0))
        assert "too long" in await s.client.error("/drumjax/vary", "/" + "x" * (most - 1), 0.5, 0)
        s.client.send("/drumjax/vary", "/" + "x" * (most + 3), 0.5, 0)
        await s.client.silence()
        assert s.server.counters["unread"] == 1


@in_loop
async def test_datagrams_from_a_port_that_is_ours_start_no_loop(instant, tmp_path):
    """Two servers, and one that is told to answer itself, as a forged sender would have it."""
    async with studio(instant, tmp_path / "a") as a, studio(instant, tmp_path / "b") as b:
        for port, s in ((b.server.port, a), (a.server.port, b)):
            s.client.send("/drumjax/random", "kick", port)
            s.client.send("/drumjax/random", "nothing", port)
            s.client.send("/drumjax/ping", port)
            s.client.send("/drumjax/categories", port)
            s.client.send("/drumjax/instrument", port)
        own = ("127.0.0.1", a.server.port)
        assert not a.server.handle(encode("/drumjax/ping", 0), own)
        while a.server.counters["unread"] < 6 or b.server.counters["unread"] < 5:
            await asyncio.sleep(0.01)
        await a.client.silence()
        assert a.server.counters["received"] == 5 + 5 + 1
        assert b.server.counters["received"] == 5 + 5


def test_floats_are_read_as_osc_says():
    """Oracle: struct's big-endian form of the number."""
    message = pad(b"/x") + pad(b",fdih") + struct.pack(">fdiq", 0.5, -0.25, -7, 2**40)
    assert decode(message) == ("/x", [0.5, -0.25, -7, 2**40])
