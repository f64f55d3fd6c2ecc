"""The OSC door: requests and their answers over a real socket.

Oracles: the WAV files that the answers name, read by soundfile; what their recipes give when they
are played anew; liblo's programs as a second implementation of OSC.
"""

import asyncio
import errno
import os
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest
import soundfile
from osc_client import HOST, WAIT, in_loop, sound_in, studio

from drumjax import __version__
from drumjax.errors import DataError
from drumjax.export.wav import read_recipe, wav_bytes
from drumjax.play import recipe
from drumjax.play.instrument import load_instrument
from drumjax.play.runtime import Player
from drumjax.studio.engine import Engine
from drumjax.studio.osc import OscServer
from drumjax.studio.osc_messages import decode, encode, split
from drumjax.studio.spec import control_names
from drumjax.studio.takes import Takes


@pytest.fixture(scope="module")
def full(instruments):
    """A player of the instrument with axes and attributes."""
    return Player(load_instrument(instruments / "full.safetensors"))


def made_anew(player, path):
    """The bytes that the recipe in a file gives."""
    read = recipe.read(read_recipe(path), str(path))
    (sound,) = read.sounds
    rate, bits = read.output.sample_rate, read.output.bits
    samples = recipe.render(player, sound, rate)
    about = {"title": sound.name, "category": sound.label, "recipe": read.to_dict()}
    return wav_bytes(samples, rate, bits, **about)


@in_loop
async def test_generate_writes_a_take_that_its_recipe_gives_again(full, tmp_path):
    async with studio(full, tmp_path / "my takes") as s:
        path, label, milliseconds = await s.client.sample(
            "/drumjax/generate", 0.5, -0.2, 0.1, 1, s.client.port
        )
        assert path == str(tmp_path / "my takes" / "drumjax_snare_000001.wav")
        assert label == "snare"
        samples, rate = soundfile.read(path, dtype="int16")
        assert (rate, soundfile.info(path).subtype, samples.ndim) == (44100, "PCM_16", 1)
        assert milliseconds == pytest.approx((np.flatnonzero(samples)[-1] + 1) / 44.1)
        with open(path, "rb") as file:
            assert file.read() == made_anew(full, path)


@in_loop
async def test_each_argument_of_generate_changes_the_sound(full, tmp_path):
    first = (0.5, -0.2, 0.1, "kick", 0, 1.0, 3)
    async with studio(full, tmp_path) as s:
        codes = []
        for change in ({}, {0: 0.6}, {1: 0.2}, {2: -0.1}, {3: "clap"}, {5: 2.0}, {6: 4}):
            args = [change.get(i, value) for i, value in enumerate(first)]
            path, label, _ = await s.client.sample("/drumjax/generate", *args)
            assert label == args[3]
            codes.append(tuple(sound_in(path).z))
        assert len(set(codes)) == len(codes)
        again = await s.client.sample("/drumjax/generate", *first)
        assert tuple(sound_in(again[0]).z) == codes[0]


@in_loop
async def test_whole_numbers_may_be_floats_and_floats_whole(full, tmp_path):
    async with studio(full, tmp_path) as s:
        reply = s.client.port
        same = [(1.0, 0.0, -1.0, 2, reply, 1.0, 7), (1, 0, -1, 2.0, float(reply), 1, 7.0)]
        same += [(1, 0.0, -1, "clap", 0, 1.0, 7), (1, 0, -1, "clap", 0.0, 1, 7)]
        codes = []
        for args in same:
            path, label, _ = await s.client.sample("/drumjax/generate", *args)
            assert label == "clap"
            codes.append(sound_in(path).z)
        assert all(np.array_equal(code, codes[0]) for code in codes)
        doubles = b"/drumjax/random\0,hd\0" + (1).to_bytes(8, "big") + bytes(8)
        s.client.send_bytes(doubles)
        assert (await s.client.receive())[1][1] == "snare"


@in_loop
async def test_random_without_a_seed_differs_and_with_one_does_not(full, tmp_path):
    async with studio(full, tmp_path) as s:
        paths = [
            (await s.client.sample("/drumjax/random", "kick", 0, *seed))[0]
            for seed in ((), (), (5,), (5.0,))
        ]
        a, b, c, d = (sound_in(path).z for path in paths)
        assert not np.array_equal(a, b)
        assert np.array_equal(c, d)
        assert sound_in(paths[0]).origin["seed"] > 0  # the one that was picked


@in_loop
async def test_attributes_are_kept_for_a_client_and_change_its_last_sound(full, tmp_path):
    name, other = control_names(full.instrument)[:2]
    async with studio(full, tmp_path) as s:
        s.client.send("/drumjax/attribute", name, 1.0, 0)  # kept; there is no sound yet
        await s.client.silence()
        moved, *_ = await s.client.sample("/drumjax/generate", 0.0, 0.0, 0.0, "kick", 0)
        both, *_ = await s.client.sample("/drumjax/attribute", other, -1, 0)
        one, *_ = await s.client.sample("/drumjax/attribute", name, 0.0, 0)
        none, *_ = await s.client.sample("/drumjax/attribute", other, 0.0, 0)
        told = [sound_in(path).origin.get("attributes") for path in (moved, both, one, none)]
        assert told == [{name: 1.0}, {name: 1.0, other: -1.0}, {other: -1.0}, None]
        codes = {tuple(sound_in(path).z) for path in (moved, both, one, none)}
        assert len(codes) == 4
        stranger = s.connect()
        path, *_ = await stranger.sample("/drumjax/generate", 0.0, 0.0, 0.0, "kick", 0)
        assert np.array_equal(sound_in(path).z, sound_in(none).z)


@in_loop
async def test_facts(full, tmp_path):
    instrument = full.instrument
    async with studio(full, tmp_path) as s:
        assert await s.client.ask("/drumjax/ping", 0) == ("/drumjax/pong", [__version__])
        kinds = await s.client.ask("/drumjax/categories", 0.0)
        assert kinds == ("/drumjax/categories", list(instrument.categories))
        assert await s.client.ask("/drumjax/instrument", s.client.port) == (
            "/drumjax/instrument",
            ["tiny", instrument.identity, 4, 22050, *control_names(instrument)],
        )


@in_loop
async def test_answers_go_to_the_reply_port(full, tmp_path):
    async with studio(full, tmp_path) as s:
        other = s.connect()
        s.client.send("/drumjax/random", "kick", other.port, 1)
        assert (await other.receive())[0] == "/drumjax/sample"
        s.client.send("/drumjax/random", "nothing", float(other.port))
        assert (await other.receive())[0] == "/drumjax/error"
        await s.client.silence()


@in_loop
async def test_a_bundle_is_its_messages_in_order_whatever_its_time(full, tmp_path):
    def bundle(*messages, time=2**63):  # in the year 2036
        body = b"".join(len(m).to_bytes(4, "big") + m for m in messages)
        return b"#bundle\0" + time.to_bytes(8, "big") + body

    a, b, c, d = (encode("/drumjax/random", kind, 0, 1) for kind in ("kick", "snare", "clap", 9))
    assert split(bundle(a, bundle(b, c, time=1), b"/", bundle(time=5))) == [a, b, c, b"/"]
    name = control_names(full.instrument)[0]
    async with studio(full, tmp_path) as s:
        attribute = encode("/drumjax/attribute", name, 2.0, 0)
        s.client.send_bytes(bundle(attribute, b"/damaged", bundle(a), d))
        assert (await s.client.receive())[0] == "/drumjax/error"  # d: there are 3 categories
        answer, (path, *_) = await s.client.receive()
        assert answer == "/drumjax/sample"
        assert sound_in(path).origin["attributes"] == {name: 2.0}
        assert s.server.counters["unread"] == 1


# In each of these the reply port, 0, stands where it belongs.
WRONG = [
    ("/drumjax/generate", 2.0, 0.0, 0.0, 1, 0),
    ("/drumjax/generate", float("nan"), 0.0, 0.0, 1, 0),
    ("/drumjax/generate", 0.0, float("inf"), 0.0, 1, 0),
    ("/drumjax/generate", 0.0, 0.0, "0", 1, 0),
    ("/drumjax/generate", True, 0.0, 0.0, 1, 0),
    ("/drumjax/generate", None, 0.0, 0.0, 1, 0),
    ("/drumjax/generate", b"0.5", 0.0, 0.0, 1, 0),
    ("/drumjax/generate", [0.5], 0.0, 0.0, 1, 0),
    ("/drumjax/generate", 0.0, 0.0, 0.0, 3, 0),
    ("/drumjax/generate", 0.0, 0.0, 0.0, -1, 0),
    ("/drumjax/generate", 0.0, 0.0, 0.0, 1.5, 0),
    ("/drumjax/generate", 0.0, 0.0, 0.0, float("nan"), 0),
    ("/drumjax/generate", 0.0, 0.0, 0.0, "cowbell", 0),
    ("/drumjax/generate", 0.0, 0.0, 0.0, "", 0),
    ("/drumjax/generate", 0.0, 0.0, 0.0, True, 0),
    ("/drumjax/generate", 0.0, 0.0, 0.0, ["kick"], 0),
    ("/drumjax/generate", 0.0, 0.0, 0.0, 1, 0, 9.0),
    ("/drumjax/generate", 0.0, 0.0, 0.0, 1, 0, -1.0),
    ("/drumjax/generate", 0.0, 0.0, 0.0, 1, 0, 1.0, -1),
    ("/drumjax/generate", 0.0, 0.0, 0.0, 1, 0, 1.0, 0.5),
    ("/drumjax/generate", 0.0, 0.0, 0.0, 1, 0, 1.0, 2**40),
    ("/drumjax/generate", 0.0, 0.0, 0.0, 1, 0, 1.0, 1, "more"),
    ("/drumjax/random", 7, 0),
    ("/drumjax/random", "kick", 0, "seed"),
    ("/drumjax/random", "kick", 0, 1, 1),
    ("/drumjax/vary", 3, 0.5, 0),
    ("/drumjax/vary", "/x.wav", 1.5, 0),
    ("/drumjax/vary", "/x.wav", "much", 0),
    ("/drumjax/vary", "/x.wav", 0.5, 0, "cowbell"),
    ("/drumjax/vary", "/x.wav", 0.5, 0, "kick", -3),
    ("/drumjax/attribute", "no such", 0.5, 0),
    ("/drumjax/attribute", "a1", 0.5, 0),
    ("/drumjax/attribute", 3, 0.5, 0),
    ("/drumjax/attribute", "brightness", 99.0, 0),
    ("/drumjax/attribute", "brightness", float("nan"), 0),
    ("/drumjax/attribute", "brightness", 1.0, 0, 1),
    ("/drumjax/ping", 0, 1),
    ("/drumjax/categories", 0, "x"),
    ("/drumjax/instrument", 0, 1.0),
]


@in_loop
async def test_what_is_wrong_is_told_in_a_sentence(full, tmp_path):
    async with studio(full, tmp_path) as s:
        for message in WRONG:
            sentence = await s.client.error(*message)
            assert "; " in sentence, message  # what is wrong; what to do
        assert "send 0 to 2 or one of kick, snare, clap." in await s.client.error(*WRONG[12])
        assert s.server.counters["unread"] == 0
        assert s.engine.done == 0


def test_every_request_is_refused_in_words_somewhere():
    assert {message[0] for message in WRONG} == {
        f"/drumjax/{name}"
        for name in ("generate", "random", "vary", "attribute", "ping", "categories", "instrument")
    }


UNREADABLE = [
    b"",
    b"/",
    b"#",
    b"#bundle\0",
    b"#bundle\0" + bytes(7) + b"\1" + b"\xff\xff\xff\xfc",  # an element of -4 bytes
    b"#bundle\0" + bytes(8) + b"\0\0\0\x10/x",
    (b"#bundle\0" + bytes(8)) * 100,
    encode("/drumjax/none", 0),
    encode("/drumjax/ping/", 0),
    encode("/*/ping", 0),
    encode("/drumjax/sample", "x.wav", "kick", 0.5),  # an answer of ours
    encode("/drumjax/error", "sentence"),
    encode("/drumjax/pong", "0.1"),
    encode("/drumjax/ping"),
    encode("/drumjax/ping", "0"),
    encode("/drumjax/ping", 65536),
    encode("/drumjax/ping", -1),
    encode("/drumjax/ping", 0.5),
    encode("/drumjax/ping", float("inf")),
    encode("/drumjax/ping", True),
    encode("/drumjax/ping", [0]),
    encode("/drumjax/generate", 0.0, 0.0, 0.0, 1),
    encode("/drumjax/ping", *range(17)),
    b"/drumjax/ping\0\0\0,i\0\0",  # cut short
    b"/drumjax/ping\0\0\0,i",
    b"/drumjax/ping\0\0\0i\0\0\0\0\0\0\0",  # no comma
    b"/drumjax/ping\0\0\0,q\0\0\0\0\0\0",
    b"/drumjax/ping\0\0\0,]\0\0",
    b"/drumjax/ping\0\0\0,[[[",
    b"/drumjax/ping\0\0\0,b\0\0\xff\xff\xff\xff",
    b"/drumjax/\xff\xfe\0,i\0\0\0\0\0\0",
    b"/drumjax/ping\0\0\0,s\0\0\xff\xfe\0\0",
    encode("/drumjax/vary", "x" * 9000, 0.5, 0),
    os.urandom(100),
]


@in_loop
async def test_what_cannot_be_answered_is_dropped_counted_and_told_once(full, tmp_path):
    async with studio(full, tmp_path) as s:
        for datagram in UNREADABLE:
            s.client.send_bytes(datagram)
            await s.client.silence()
        own = s.server.port
        s.client.send("/drumjax/ping", own)
        s.client.send("/drumjax/random", "kick", own)
        await s.client.silence()
        count = len(UNREADABLE) + 2
        while not s.said:
            await asyncio.sleep(0.05)
        assert s.server.counters["unread"] == count
        assert s.said == [
            f"{count} OSC messages could not be read (the last one: a reply port that is the "
            "server's own)"
        ]
        assert s.engine.done == 0


@in_loop
async def test_error_answers_are_limited(full, tmp_path):
    async with studio(full, tmp_path) as s:
        wrong = encode("/drumjax/random", 99, 0)
        for _ in range(3000):
            s.server.handle(wrong, s.client.address)
        sent, muted = s.server.counters["errors"], s.server.counters["muted"]
        assert sent + muted == 3000
        assert sent < 1500  # 100, and 100 a second


class Slow(Player):
    """A player that takes its time, and notices if two sounds are made at once."""

    seconds = 0.02

    def __init__(self, instrument):
        super().__init__(instrument)
        self.lock, self.most, self.now = threading.Lock(), 0, 0

    def render(self, z, category, full=False):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        made = super().render(z, category, full)
        with self.lock:
            self.now -= 1
        return made


@pytest.fixture(scope="module")
def slow(full):
    return Slow(full.instrument)


@in_loop
async def test_the_newest_move_of_a_drag_is_answered(slow, tmp_path):
    async with studio(slow, tmp_path) as s:
        await s.client.sample("/drumjax/generate", 0.0, 0.0, 0.0, 0, 0)
        moves = np.linspace(-1, 1, 60)
        answers = []
        for move in moves:
            s.client.send("/drumjax/generate", float(move), 0.0, 0.0, 0, 0)
            await asyncio.sleep(0.004)
        while not answers or answers[-1] < 1.0:
            answer, (path, *_) = await s.client.receive()
            assert answer == "/drumjax/sample"
            answers.append(sound_in(path).origin["alphas"][0])
        await s.client.silence()
    assert answers == sorted(set(answers))
    assert len(answers) < len(moves)


@in_loop
async def test_one_sound_at_a_time_is_made_and_each_client_gets_its_own(slow, tmp_path):
    async with studio(slow, tmp_path) as s:
        clients = [s.connect() for _ in range(8)]
        for _ in range(5):
            for seed, client in enumerate(clients):
                client.send("/drumjax/random", "snare", 0, seed)
        for seed, client in enumerate(clients):
            _, (path, *_) = await client.receive()
            assert sound_in(path).origin["seed"] == seed
    assert slow.most == 1


@in_loop
async def test_nothing_is_written_outside_whatever_a_client_sends(full, tmp_path):
    evil = "../../evil", "/tmp/evil", "..", "\u2215etc", "kick/../../x"
    outside = tmp_path / "outside.wav"
    takes = Takes(tmp_path / "takes")
    for number in (1, 2):
        (takes.folder / f"drumjax_kick_00000{number}.wav").symlink_to(outside)
    async with studio(full, takes) as s:
        for word in evil:
            await s.client.error("/drumjax/random", word, 0)
            await s.client.error("/drumjax/attribute", word, 1.0, 0)
            await s.client.error("/drumjax/vary", word, 0.5, 0)
        await s.client.sample("/drumjax/random", "kick", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["takes"]
    assert len(list(takes.folder.iterdir())) == 3


@in_loop
async def test_a_full_disk_is_told_and_the_server_lives(full, tmp_path, monkeypatch):
    def fill(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    async with studio(full, tmp_path) as s:
        with monkeypatch.context() as patch:
            patch.setattr("drumjax.studio.takes.os.write", fill)
            for _ in range(3):
                assert "No space left" in await s.client.error("/drumjax/random", "kick", 0)
        assert list(tmp_path.iterdir()) == []
        await s.client.sample("/drumjax/random", "kick", 0)


@in_loop
async def test_takes_stay_under_their_quota(full, tmp_path):
    async with studio(full, Takes(tmp_path, most_files=3)) as s:
        paths = [(await s.client.sample("/drumjax/random", "kick", 0))[0] for _ in range(6)]
    assert sorted(map(str, tmp_path.iterdir())) == paths[3:]


@in_loop
async def test_an_error_of_our_own_is_told_to_both_and_the_server_lives(full, tmp_path):
    class Broken(Player):
        broken = True

        def render(self, *args, **kwargs):
            if self.broken:
                raise RuntimeError("a fault")
            return super().render(*args, **kwargs)

    player = Broken(full.instrument)
    async with studio(player, tmp_path, fails=1) as s:
        assert "failed" in await s.client.error("/drumjax/random", "kick", 0)
        assert "RuntimeError: a fault" in s.said[0]
        player.broken = False
        await s.client.sample("/drumjax/random", "kick", 0)


@in_loop
async def test_clients_are_forgotten_in_time(full, tmp_path):
    name = control_names(full.instrument)[0]
    async with studio(full, tmp_path) as s:
        for port in range(1000, 2000):
            s.server.handle(encode("/drumjax/attribute", name, 1.0, port), (HOST, 9))
        assert len(s.server._clients) == 256


@in_loop
async def test_a_port_in_use_is_told(full, tmp_path):
    async with studio(full, tmp_path) as s:
        other = OscServer(Engine(full), Takes(tmp_path), s.said.append)
        with pytest.raises(DataError, match=rf"Port {s.server.port} is in use.*--osc_port"):
            other.start(HOST, s.server.port)
        with pytest.raises(DataError, match=r"192\.0\.2\.1.*--host"):  # RFC 5737: nobody's
            other.start("192.0.2.1", 0)
        for port in (-1, 70000):
            with pytest.raises(DataError, match=rf"no port {port}; .*--osc_port"):
                other.start(HOST, port)
        other.stop()
        await s.client.silence()


@in_loop
async def test_ipv6(full, tmp_path):
    import socket

    try:
        client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        client.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    client.setblocking(False)
    server = OscServer(Engine(full), Takes(tmp_path), print)
    port = server.start("::1", 0)
    client.sendto(encode("/drumjax/ping", client.getsockname()[1]), ("::1", port))
    loop = asyncio.get_running_loop()
    answer = await asyncio.wait_for(loop.sock_recv(client, 1000), WAIT)
    assert decode(answer)[0] == "/drumjax/pong"
    server.stop()
    client.close()


@pytest.mark.skipif(
    not (shutil.which("oscsend") and shutil.which("oscdump") and shutil.which("stdbuf")),
    reason="liblo-tools are not installed (apt-get install liblo-tools)",
)
@in_loop
async def test_liblo_asks_and_hears(full, tmp_path):
    async with studio(full, tmp_path / "with a space") as s:
        reply = s.connect()
        reply.close()  # a port that is free
        dump = await asyncio.create_subprocess_exec(
            *("stdbuf", "-oL", "oscdump", str(reply.port)), stdout=subprocess.PIPE
        )

        async def ask(*words):
            words = [word.replace("PORT", str(reply.port)) for word in words]
            send = await asyncio.create_subprocess_exec("oscsend", HOST, str(s.server.port), *words)
            assert await send.wait() == 0

        async def line():
            return (await asyncio.wait_for(dump.stdout.readline(), WAIT)).decode()

        try:
            while True:  # until oscdump listens
                await ask("/drumjax/ping", "i", "PORT")
                try:
                    pong = (await asyncio.wait_for(dump.stdout.readline(), 1)).decode()
                except TimeoutError:
                    continue
                break
            assert f'/drumjax/pong s "{__version__}"' in pong
            await ask("/drumjax/generate", "fffii", ".1", ".2", ".3", "2", "PORT")
            while "pong" in (answer := await line()):
                pass
            path = tmp_path / "with a space" / "drumjax_clap_000001.wav"
            assert f'/drumjax/sample ssf "{path}" "clap" ' in answer
            assert soundfile.info(str(path)).samplerate == 44100
            await ask("/drumjax/generate", "fffsf", ".1", ".2", ".3", "cowbell", "PORT")
            assert '/drumjax/error s "The instrument knows no category' in await line()
        finally:
            dump.terminate()
            await dump.wait()
