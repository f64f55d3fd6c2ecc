"""/drumjax/vary: takes, whose exact codes are known, and sounds of one's own, named by path.

Oracles: what the recipes of the answers' files give; `encode_source`'s calls of the player.
"""

import asyncio
import os
import threading

import numpy as np
import pytest
import soundfile
from osc_client import WAIT, in_loop, sound_in, studio

from drumjax.errors import DataError
from drumjax.export.wav import wav_bytes
from drumjax.play import recipe
from drumjax.play.controls import move
from drumjax.play.instrument import load_instrument
from drumjax.play.runtime import Player
from drumjax.play.source_sound import read_source
from drumjax.studio.osc_messages import encode
from drumjax.studio.spec import control_names


@pytest.fixture(scope="module")
def full(instruments):
    """A player of the instrument with axes and attributes."""
    return Player(load_instrument(instruments / "full.safetensors"))


@in_loop
async def test_a_take_is_varied_from_its_exact_code(full, tmp_path):
    async with studio(full, tmp_path) as s:
        path, *_ = await s.client.sample("/drumjax/generate", 0.3, 0.1, 0.0, "clap", 0, 2.0, 5)
        same, label, _ = await s.client.sample("/drumjax/vary", path, 0.0, 0)
        assert label == "clap"
        assert np.array_equal(sound_in(same).z, sound_in(path).z)
        assert np.array_equal(soundfile.read(same)[0], soundfile.read(path)[0])
        ways = ((0.5, 0, "", 9), (0.5, 0, "clap", 9.0), (0.5, 0, "", 8), (0.9, 0, "", 9), (0.5, 0))
        codes = [
            tuple(sound_in((await s.client.sample("/drumjax/vary", path, *way))[0]).z)
            for way in ways
        ]
        assert codes[0] == codes[1]
        assert len(set(codes)) == 4


@in_loop
async def test_what_a_take_has_of_an_attribute_is_not_added_again(full, tmp_path):
    """Oracles: the take's own code and file; `controls.move` of it by what is missing."""
    name, other = control_names(full.instrument)[:2]
    async with studio(full, tmp_path) as s:
        await s.client.sample("/drumjax/generate", 0.3, 0.1, 0.0, "clap", 0, 2.0, 5)
        path, *_ = await s.client.sample("/drumjax/attribute", name, 2.0, 0)
        first = path
        for _ in range(3):
            path, *_ = await s.client.sample("/drumjax/vary", path, 0.0, 0)
            assert np.array_equal(sound_in(path).z, sound_in(first).z)
            assert np.array_equal(soundfile.read(path)[0], soundfile.read(first)[0])
            assert sound_in(path).origin["attributes"] == {name: 2.0}
        for value in (3.0, 0.0):  # the knob goes on from where it was
            path, *_ = await s.client.sample("/drumjax/attribute", name, value, 0)
            want = move(full.instrument, sound_in(first).z, "clap", {name: value - 2.0})
            assert np.array_equal(sound_in(path).z, want)
        assert "attributes" not in sound_in(path).origin
        stranger = s.connect()  # who has set nothing
        same, *_ = await stranger.sample("/drumjax/vary", first, 0.0, 0)
        assert np.array_equal(sound_in(same).z, sound_in(first).z)
        both, *_ = await stranger.sample("/drumjax/attribute", other, 1.0, 0)
        want = move(full.instrument, sound_in(first).z, "clap", {other: 1.0})
        assert np.array_equal(sound_in(both).z, want)
        assert sound_in(both).origin["attributes"] == {name: 2.0, other: 1.0}


@pytest.mark.parametrize("told", [7, [1], {"no": 1.0}, {"FIRST": "x"}, {"FIRST": 1e300}])
@in_loop
async def test_an_origin_that_tells_nonsense_moves_nothing(full, tmp_path, told):
    first = control_names(full.instrument)[0]
    if isinstance(told, dict):
        told = {name.replace("FIRST", first): value for name, value in told.items()}
    sound = recipe.Sound("x", "kick", np.ones(4, np.float32), origin={"attributes": told})
    made = recipe.Recipe(recipe.describe(full.instrument), (sound,))
    file = wav_bytes(recipe.render(full, sound, 22050), 22050, recipe=made.to_dict())
    (tmp_path / "x.wav").write_bytes(file)
    async with studio(full, tmp_path / "takes") as s:
        s.client.send("/drumjax/attribute", first, 1.0, 0)
        path, *_ = await s.client.sample("/drumjax/vary", str(tmp_path / "x.wav"), 0.0, 0)
    assert np.array_equal(sound_in(path).z, move(full.instrument, sound.z, "kick", {first: 1.0}))


@in_loop
async def test_while_a_file_is_read_others_are_served_and_the_newest_file_counts(
    full, tmp_path, monkeypatch
):
    begun, gate = threading.Event(), threading.Event()

    def read(path, *args):
        if "slow" in path:
            begun.set()
            assert gate.wait(WAIT)
            raise DataError(f"{path} is silent; choose another.")  # nobody waits for this one
        return read_source(path, *args)

    monkeypatch.setattr("drumjax.studio.sources.read_source", read)
    for name in ("slow.wav", "snare.wav"):
        noise = np.random.default_rng(0).normal(0, 0.1, 1000)
        soundfile.write(tmp_path / name, noise, 22050)
    async with studio(full, tmp_path / "takes") as s:
        s.client.send("/drumjax/vary", str(tmp_path / "slow.wav"), 0.0, 0)
        while not begun.is_set():
            await asyncio.sleep(0.01)
        try:
            other = s.connect()
            assert (await other.sample("/drumjax/random", "clap", 0))[1] == "clap"
            s.client.send("/drumjax/vary", str(tmp_path / "snare.wav"), 0.0, 0)
            await s.client.silence()
        finally:
            gate.set()
        answer, (_, label, _) = await s.client.receive()
        assert (answer, label) == ("/drumjax/sample", "snare")
        await s.client.silence()


@in_loop
async def test_a_file_that_takes_the_place_of_another_at_its_turn_is_read(full, tmp_path):
    """The take waits behind other work when a sound of one's own takes its place."""
    gate = threading.Event()
    soundfile.write(tmp_path / "snare.wav", np.random.default_rng(0).normal(0, 0.1, 999), 22050)
    async with studio(full, tmp_path / "takes") as s:
        path, *_ = await s.client.sample("/drumjax/random", "clap", 0)
        other = asyncio.create_task(s.engine.each("other", lambda _: gate.wait(WAIT)))
        s.client.send("/drumjax/vary", path, 0.0, 0)
        while not s.engine._waiting:
            await asyncio.sleep(0.01)
        s.client.send("/drumjax/vary", str(tmp_path / "snare.wav"), 0.0, 0)
        await s.client.silence()
        gate.set()
        assert (await s.client.receive())[1][1] == "snare"
        await s.client.silence()
        await other


@pytest.mark.parametrize(
    ("host", "at_home"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
    ],
)
@in_loop
async def test_other_machines_vary_takes_alone(full, tmp_path, host, at_home):
    told = []
    soundfile.write(tmp_path / "snare.wav", np.random.default_rng(0).normal(0, 0.1, 999), 22050)
    async with studio(full, tmp_path / "takes") as s:
        take, *_ = await s.client.sample("/drumjax/random", "kick", 0)
        s.server._send = lambda to, *answer: told.append(answer)
        inside = f"{tmp_path}/takes/../snare.wav"
        for path in (str(tmp_path / "snare.wav"), inside, "takes/x.wav", "", take):
            count = len(told)
            s.server.handle(encode("/drumjax/vary", path, 0.0, 9999), (host, 9999))
            while len(told) == count:
                await asyncio.sleep(0.01)
    answers = [answer for answer, *_ in told]
    assert answers[4] == "/drumjax/sample"
    assert answers[0] == ("/drumjax/sample" if at_home else "/drumjax/error")
    refused = ["none of the takes; " in values[0] for _, *values in told]
    assert refused == ([False] * 5 if at_home else [True] * 4 + [False])


@in_loop
async def test_other_sounds_are_encoded_as_asked_or_by_their_name_or_the_nearest(full, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 1000)
    for name in ("my snare.wav", "thud.wav"):
        soundfile.write(tmp_path / name, noise, 22050)
    own, thud = str(tmp_path / "my snare.wav"), str(tmp_path / "thud.wav")
    calls, encode_of = [], full.encode
    full.encode = lambda *args, **kwargs: calls.append(1) or encode_of(*args, **kwargs)
    async with studio(full, tmp_path / "takes") as s:
        assert (await s.client.sample("/drumjax/vary", own, 0.0, 0))[1] == "snare"
        as_kick, label, _ = await s.client.sample("/drumjax/vary", own, 0.0, 0, "kick")
        assert label == "kick"
        assert len(calls) == 2
        for amount in (0.1, 0.2, 0.3):  # a drag: the code is remembered
            await s.client.sample("/drumjax/vary", own, amount, 0, 0, 3)
        assert len(calls) == 2
        os.utime(own, (1e9, 1e9))  # it was changed
        await s.client.sample("/drumjax/vary", own, 0.3, 0, 0, 3)
        assert len(calls) == 3
        assert (await s.client.sample("/drumjax/vary", thud, 0.0, 0))[1] in full.categories
        assert len(calls) == 3 + 4  # each category, and the one that was the nearest
        take = (await s.client.sample("/drumjax/vary", as_kick, 0.0, 0, "snare"))[0]
        assert len(calls) == 8  # a take that is taken for something else is encoded
        assert sound_in(take).category == "snare"
    del full.encode


@in_loop
async def test_a_hybrid_or_a_shaped_file_of_ours_is_varied_as_it_is(full, tmp_path):
    from drumjax.play.shape import Shape

    sound = recipe.Sound("x", {"kick": 0.75, "clap": 0.25}, np.ones(4, np.float32), Shape(pitch=5))
    made = recipe.Recipe(recipe.describe(full.instrument), (sound,))
    samples = recipe.render(full, sound, 22050)
    (tmp_path / "x.wav").write_bytes(wav_bytes(samples, 22050, recipe=made.to_dict()))
    async with studio(full, tmp_path / "takes") as s:
        path, label, _ = await s.client.sample("/drumjax/vary", str(tmp_path / "x.wav"), 0.0, 0)
        assert label == "kick+clap"
        assert os.path.basename(path) == "drumjax_kick_clap_000001.wav"
        again = sound_in(path)
        assert (again.category, again.shape) == (sound.category, sound.shape)
        assert np.array_equal(again.z, sound.z)


@in_loop
async def test_paths_that_cannot_be_varied_are_told(full, instruments, tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    soundfile.write(tmp_path / "silent.wav", np.zeros(1000), 22050)
    wrong = {
        "nothing.wav": "No such file",
        "pipe.wav": "is no file",
        "": "is no file",
        "text.wav": "cannot be read as sound",
        "loop.wav": "cannot be opened",
        "silent.wav": "is silent",
        "x" * 300: "cannot be opened",
        "x/" * 3000: "too long",
        "text.wav/x": "cannot be opened",
    }
    async with studio(full, tmp_path / "takes") as s:
        for name, reason in wrong.items():
            assert reason in await s.client.error("/drumjax/vary", f"{tmp_path}/{name}", 0.5, 0)
        for path in ("", "text.wav", "../../etc/passwd", "~/x.wav"):
            assert "no whole path" in await s.client.error("/drumjax/vary", path, 0.5, 0)
        assert "is no file" in await s.client.error("/drumjax/vary", "/dev/zero", 0.5, 0)
        assert list((tmp_path / "takes").iterdir()) == []


@in_loop
async def test_an_attribute_goes_on_from_the_last_sound_that_was_made(full, tmp_path):
    """Oracle: `controls.move` of its code; what was refused is forgotten."""
    name = control_names(full.instrument)[0]
    nowhere = str(tmp_path / "nothing.wav")
    async with studio(full, tmp_path / "takes") as s:
        await s.client.error("/drumjax/vary", nowhere, 0.5, 0)
        s.client.send("/drumjax/attribute", name, 0.0, 0)
        await s.client.silence()  # there is no sound yet
        path, *_ = await s.client.sample("/drumjax/random", "clap", 0, 3)
        assert "No such file" in await s.client.error("/drumjax/vary", nowhere, 0.5, 0)
        moved, *_ = await s.client.sample("/drumjax/attribute", name, 1.0, 0)
        want = move(full.instrument, sound_in(path).z, "clap", {name: 1.0})
        assert np.array_equal(sound_in(moved).z, want)


@in_loop
async def test_an_attribute_changes_the_sound_that_still_waits(full, tmp_path, monkeypatch):
    """One that is overtaken while it is made fails, and the newer one counts all the same."""
    name, gate, begun = control_names(full.instrument)[0], threading.Event(), threading.Event()
    async with studio(full, tmp_path / "takes") as s:
        await s.client.sample("/drumjax/random", "kick", 0, 3)
        make = s.server._maker.make

        def slow(ask, found, player):
            if ask.spec.seed == 4:
                begun.set()
                assert gate.wait(WAIT)
                raise DataError("No room; make some.")
            return make(ask, found, player)

        monkeypatch.setattr(s.server._maker, "make", slow)
        s.client.send("/drumjax/random", "snare", 0, 4)
        while not begun.is_set():
            await asyncio.sleep(0.01)
        s.client.send("/drumjax/random", "clap", 0, 5)
        s.client.send("/drumjax/attribute", name, 1.0, 0)
        await s.client.silence()
        gate.set()
        assert (await s.client.receive())[0] == "/drumjax/error"
        answer, (path, label, _) = await s.client.receive()
        assert (answer, label) == ("/drumjax/sample", "clap")
        assert sound_in(path).origin["attributes"] == {name: 1.0}
        again, label, _ = await s.client.sample("/drumjax/attribute", name, 0.0, 0)
        assert label == "clap"
        assert sound_in(again).origin["seed"] == 5
        await s.client.silence()


@in_loop
async def test_an_instrument_without_encoder_says_so(instruments, tmp_path):
    player = Player(load_instrument(instruments / "mute.safetensors"))
    soundfile.write(tmp_path / "kick.wav", np.random.default_rng(0).normal(0, 0.1, 999), 22050)
    async with studio(player, tmp_path / "takes") as s:
        sentence = await s.client.error("/drumjax/vary", str(tmp_path / "kick.wav"), 0.5, 0)
        assert "encoder" in sentence
        assert "no axes" in await s.client.error("/drumjax/generate", 0.5, 0.0, 0.0, 0, 0)
        await s.client.sample("/drumjax/random", 0, 0)
