"""Sounds over the studio's WebSocket, from a real server, compared with the player's own."""

import asyncio
import json

import numpy as np
import pytest
import web_client
from web_client import SPEC, answer, request
from websockets.exceptions import ConnectionClosed, InvalidStatus

from drumjax.audio.levels import sounding
from drumjax.play.recipe import render
from drumjax.play.shape import Shape, apply
from drumjax.studio.engine import Superseded
from drumjax.studio.spec import read_spec, sound_of
from drumjax.studio.websocket import MOST_CHANNELS, Conversation

_DEEP = '{"id": 1, "spec": {"category": "kick", "alphas": ' + "[" * 900 + "]" * 900 + "}}"


def rendered(studio, spec):
    """The whole sound, by the library alone."""
    instrument = studio.player.instrument
    return render(studio.player, sound_of(instrument, read_spec(spec, instrument)), 22050)


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        {"category": "kick"},
        {"category": {"kick": 1, "clap": 3}, "seed": 8, "attributes": {"dusty": 0.5}},
        {"category": "clap", "z": [0.1, -1, 2, 0], "seed": 5, "amount": 0.4},
        {"category": "kick", "shape": {"reverse": True, "gain": -6, "pitch": 3}},
    ],
)
def test_the_answer_is_the_sound(studio, spec):
    """Oracle: `recipe.render`, bit for bit; what ends it is no 0."""
    with studio.talk() as socket:
        socket.send(request(2**32 - 1, spec))
        number, samples = answer(socket.recv(web_client.TIMEOUT))
    whole = rendered(studio, spec)
    assert number == 2**32 - 1
    assert samples[-1] != 0
    assert not whole[len(samples) :].any()
    np.testing.assert_array_equal(samples, whole[: len(samples)])


def test_a_crop_yields_the_samples_between(studio):
    """Oracle: a slice of the whole sound; the ramps of 2 ms at the cuts are 44 samples."""
    whole = rendered(studio, SPEC)
    end = sounding(whole)
    crop = {"trim_start": 200 / 22050, "trim_end": 300 / 22050}
    with studio.talk() as socket:
        socket.send(request(1, {**SPEC, "shape": crop}))
        _, samples = answer(socket.recv(web_client.TIMEOUT))
    exact = apply(whole, 22050, Shape(**crop))
    assert len(exact) == end - 500
    np.testing.assert_array_equal(samples, exact[: len(samples)])
    np.testing.assert_allclose(samples[44:-44], whole[244 : 200 + len(samples) - 44], atol=1e-7)


def test_of_each_channel_the_newest_is_answered(studio):
    superseded = studio.engine.superseded
    with studio.talk() as socket:
        with studio.busy():
            for number in range(1, 6):
                socket.send(request(number, SPEC, channel="main"))
            socket.send(request(6, {"category": "kick"}, channel="pad 3"))
            socket.send(request(7, {"category": "no such"}, channel="last"))
            assert answer(socket.recv(web_client.TIMEOUT))[0] == 7  # all have been read by now
        numbers = [answer(socket.recv(web_client.TIMEOUT))[0] for _ in range(2)]
        with pytest.raises(TimeoutError):
            socket.recv(0.2)
    assert sorted(numbers) == [5, 6]
    assert studio.engine.superseded == superseded + 4


def test_connections_do_not_supersede_each_other(studio):
    with studio.talk() as one, studio.talk() as other:
        with studio.busy():
            one.send(request(1, SPEC))
            other.send(request(2, SPEC))
            for socket in (one, other):
                socket.send(request(0, None, channel="x"))
                assert answer(socket.recv(web_client.TIMEOUT))[0] == 0
        assert answer(one.recv(web_client.TIMEOUT))[0] == 1
        assert answer(other.recv(web_client.TIMEOUT))[0] == 2


def test_who_has_gone_is_rendered_nothing(studio):
    with studio.talk() as stays:
        done = studio.engine.done
        with studio.busy():
            with studio.talk() as socket:
                socket.send(request(1, SPEC))
                socket.send(request(0, None, channel="x"))
                assert answer(socket.recv(web_client.TIMEOUT))[0] == 0
            stays.send(request(2, {"category": "kick"}))
        assert answer(stays.recv(web_client.TIMEOUT))[0] == 2
    assert studio.engine.done == done + 2  # the busy one and the second connection's


@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        ("", None, "no JSON"),
        ("{", None, "no JSON"),
        ("[" * 100_000, None, "nested too deeply"),
        (_DEEP, 1, "n"),  # not too deep for JSON, but perhaps for the sentence about it
        ("[]", None, "A request is a table of id, channel, spec"),
        ('{"id": 1}', 1, "A sound is a table"),
        ('{"id": NaN}', None, "no JSON"),
        ('{"id": true, "spec": {}}', None, "id is a whole number"),
        ('{"id": -1, "spec": {}}', None, "id is a whole number"),
        ('{"id": 4294967296, "spec": {}}', None, "id is a whole number"),
        (f'{{"id": {"9" * 5000}, "spec": {{}}}}', None, "id is a whole number"),
        ('{"id": 5, "spec": {}, "chanel": 1}', None, "has no 'chanel'"),
        ('{"id": 5, "spec": {}, "channel": 1}', 5, "A channel is named by a text"),
        (json.dumps({"id": 5, "channel": "x" * 65, "spec": {}}), 5, "A channel is named by"),
        ('{"id": 5, "spec": {"category": "\\ud800"}}', 5, "knows no category '\\ud800'"),
        ('{"id": 5, "spec": {"category": "kick", "seed": 1e400}}', 5, "The seed is inf"),
        (
            f'{{"id": 5, "spec": {{"category": "kick", "shape": {{"pitch": {"9" * 400}}}}}}}',
            5,
            "pitch is inf",
        ),
        (request(5, {"category": "kick", "shape": {"trim_start": 60}}), 5, "leave nothing"),
    ],
)
def test_what_cannot_be_used_is_told(studio, text, number, words):
    with studio.talk() as socket:
        socket.send(text)
        asked, sentence = answer(socket.recv(web_client.TIMEOUT))
        assert asked == number
        assert words in sentence
        assert sentence.endswith(".")
        socket.send(request(9, SPEC))
        assert answer(socket.recv(web_client.TIMEOUT))[0] == 9


def test_bytes_are_no_request(studio):
    with studio.talk() as socket:
        socket.send(b"\0" * 100)
        assert answer(socket.recv(web_client.TIMEOUT)) == (None, "Requests are text, in JSON.")


def test_a_connection_has_so_many_channels(studio):
    with studio.talk() as socket:
        for number in range(MOST_CHANNELS + 1):
            socket.send(request(number, {"category": "no such"}, channel=str(number)))
        told = [answer(socket.recv(web_client.TIMEOUT)) for _ in range(MOST_CHANNELS + 1)]
    few = [number for number, sentence in told if "64 channels" in sentence]
    assert few == [MOST_CHANNELS]


def test_a_message_too_long_ends_the_connection(studio):
    with studio.talk() as socket:
        socket.send("x" * (256 * 2**10 + 1))
        with pytest.raises(ConnectionClosed):
            socket.recv(web_client.TIMEOUT)
        assert socket.close_code == 1009


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://{host}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_do_not_get_in(studio, headers):
    headers = {name: value.format(host=studio.host) for name, value in headers.items()}
    with pytest.raises(InvalidStatus) as refused:
        studio.talk(additional_headers=headers)
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body)["error"].startswith("A page of another site")
    own = {"Origin": f"http://{studio.host}", "Sec-Fetch-Site": "same-origin"}
    with studio.talk(additional_headers=own) as socket:
        socket.send(request(1, SPEC))
        assert answer(socket.recv(web_client.TIMEOUT))[0] == 1


class _Deaf:
    """A client that sends all at once and reads nothing until it is `reading`."""

    def __init__(self, messages):
        self.messages, self.sent, self.reading = iter(messages), [], asyncio.Event()

    async def accept(self):
        pass

    async def receive(self):
        if (text := next(self.messages, None)) is None:
            await asyncio.sleep(0.05)
            self.reading.set()
            await asyncio.sleep(0.05)
            return {"type": "websocket.disconnect"}
        return {"type": "websocket.receive", "text": text}

    async def send_bytes(self, message):
        await self.reading.wait()
        self.sent.append(message)

    send_text = send_bytes


class _Prompt:
    """An engine that has each answer at once."""

    def __init__(self, player):
        self.player = player

    async def newest(self, client, work, channel):
        return work(self.player)


def test_who_does_not_read_gets_the_newest_of_each_channel_at_last(studio):
    """One answer was on its way; of the 299 others, those of two channels are left."""
    numbers = range(300)
    messages = [request(n, {"category": "kick"}, channel="ab"[n % 2]) for n in numbers]
    client = _Deaf(messages)
    asyncio.run(Conversation(client, _Prompt(studio.player), "audible", print).run())
    first, *rest = (answer(message)[0] for message in client.sent)
    assert (first, sorted(rest)) == (0, [298, 299])


def test_an_answer_never_replaces_one_to_a_later_request(studio):
    """The first request's sound is made only when the second's error waits to be sent."""

    class Slow(_Prompt):
        async def newest(self, client, work, channel):
            await asyncio.sleep(0.02)
            return work(self.player)

    bad = request(2, {"category": "no such"})
    client = _Deaf([request(0, None, channel="x"), request(1, {"category": "kick"}), bad])
    asyncio.run(Conversation(client, Slow(studio.player), "audible", print).run())
    assert [answer(message)[0] for message in client.sent] == [0, 2]


def test_superseded_requests_and_mistakes_of_ours(studio):
    class Broken(_Prompt):
        async def newest(self, client, work, channel):
            raise (Superseded() if channel == "old" else ZeroDivisionError("x\ny"))

    lines = []
    client = _Deaf([request(1, SPEC, channel="old"), request(2, SPEC, channel="bad")])
    asyncio.run(Conversation(client, Broken(studio.player), "audible", lines.append).run())
    [told] = map(answer, client.sent)
    assert told[0] == 2
    assert told[1].startswith("The server could not do that")
    assert lines == [r"a sound failed: ZeroDivisionError: 'x\ny'"]


def _wrong(rng):
    """A message that is somewhat wrong: bytes, text, or JSON whose parts were changed."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.bytes(int(rng.integers(200)))
    if kind == 1:
        return rng.bytes(int(rng.integers(200))).decode("latin-1")
    odd = [None, True, -1, 0, 1.5, 1e308, "kick", "", [], {}, [[]], {"kick": 1}, [1e9] * 4, "\0"]
    spec = {"category": "kick", "seed": 1, "alphas": [0, 0, 0], "range": 1, "attributes": {}}
    spec |= {"z": None, "amount": 0, "shape": {}}
    for name in rng.choice(list(spec), 2):
        spec[name] = odd[rng.integers(len(odd))]
    message = request(int(rng.integers(1000)), spec)
    if kind == 2:
        at = int(rng.integers(len(message)))
        message = message[:at] + chr(int(rng.integers(32, 0x2FF))) + message[at + 1 :]
    return message


def test_three_thousand_wrong_messages_harm_nothing(studio):
    """Each is answered or superseded; then a good one gets its sound."""
    rng = np.random.default_rng(5)
    with studio.talk() as socket:
        for _ in range(30):
            for _ in range(100):
                socket.send(_wrong(rng))
            socket.send(request(123456, SPEC, channel="last"))
            while answer(message := socket.recv(web_client.TIMEOUT))[0] != 123456:
                pass
            assert len(answer(message)[1]) == sounding(rendered(studio, SPEC))
