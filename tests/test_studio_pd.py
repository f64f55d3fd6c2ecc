"""The Pure Data client: its file by a parser, and its deeds in the real Pure Data."""

import asyncio
import contextlib
import itertools
import shutil
import socket

import numpy as np
import pytest
import soundfile
from osc_client import in_loop, studio
from pd_files import DRAWN, area, ends, names, parse
from pure_data import WAIT, atom, atoms, pure_data

from drumjax.__main__ import main
from drumjax.export.wav import read_recipe, write_wav
from drumjax.play import recipe
from drumjax.play.instrument import load_instrument
from drumjax.play.runtime import Player
from drumjax.studio.engine import Engine
from drumjax.studio.osc import OscServer
from drumjax.studio.osc_messages import decode, encode
from drumjax.studio.pd.patch import is_untouched, patch_text
from drumjax.studio.spec import Spec, sound_of
from drumjax.studio.takes import Takes

needs_pd = pytest.mark.skipif(not shutil.which("pd"), reason="puredata-core is not installed")


@pytest.fixture(scope="module")
def full(instruments):
    """A player of the instrument with axes and attributes."""
    return Player(load_instrument(instruments / "full.safetensors"))


@pytest.fixture
def takes(tmp_path):
    """A folder whose name has a blank."""
    return tmp_path / "my takes"


def code_in(path):
    """The code of the sound in a file, as its recipe tells it."""
    (sound,) = recipe.read(read_recipe(path), str(path)).sounds
    return sound.z


def code(player, *args, **fields):
    """The code that the server should make of a request."""
    return sound_of(player.instrument, Spec(*args, **fields)).z


async def check_sound(pd, sound):
    """The table holds what another reader finds in the file: all of it, and its rate."""
    samples, rate = soundfile.read(sound.path)
    assert (sound.frames, sound.rate) == (len(samples), rate)
    got = await pd.numbers(sound.table, len(samples))
    np.testing.assert_allclose(got, samples, atol=1e-5)  # Pd writes six digits
    assert np.abs(samples).max() > 0.5


# The file


def test_every_cord_joins_an_outlet_to_an_inlet():
    """Oracle: the inlets and outlets of Pure Data's own objects; any other object is refused."""
    canvases = parse(patch_text()).all()
    assert len(canvases) > 10
    for canvas in canvases:
        for a, outlet, b, inlet in canvas.cords:
            assert outlet < ends(canvas.boxes[a])[1], canvas.boxes[a]
            assert inlet < ends(canvas.boxes[b])[0], canvas.boxes[b]
        wired = {n for a, _, b, _ in canvas.cords for n in (a, b)}
        for number, box in enumerate(canvas.boxes):
            alone = box[0] != "obj" or area(box) or box[1][0] in ("cnv", *DRAWN)
            assert number in wired or alone, box
        assert len(set(canvas.cords)) == len(canvas.cords)


def test_every_name_is_sent_to_and_heard():
    sent, heard = names(parse(patch_text()))
    assert "$0-alpha1" in sent & heard
    computed = {f"$0-categories-label-{i}" for i in range(16)}
    computed |= {f"$0-attributes-label-{i}" for i in range(8)}
    computed |= {f"$0-attribute-{i}-set" for i in range(8)}
    actions = {f"$0-{name}-set" for name in ("play", "random", "open", "vary")}
    assert heard - sent == computed | actions | {"pd-dsp-started", "pd-dsp-stopped"}
    assert sent - heard == {"pd-$0-pad"}


def test_no_control_covers_another():
    areas = [a for a in map(area, parse(patch_text()).boxes) if a]
    assert len(areas) > 25
    for a, b in itertools.combinations(areas, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (a, b)
    assert max(a[2] for a in areas) < 760
    assert max(a[3] for a in areas) < 572


def test_boxes_behind_the_face_stand_apart():
    for canvas in parse(patch_text()).inside:
        places = [box[2] for box in canvas.boxes]
        assert len(set(places)) == len(places)


# The command


def test_the_command_writes_the_patch(tmp_path, capsys):
    file = tmp_path / "new folder" / "drumjax.pd"
    assert main(["pd-patch", f"--output={file.parent}", "--osc_port=9412"]) == 0
    assert file.read_text() == patch_text(9412)
    assert "9412" in file.read_text()
    assert "drumjax serve --osc_port=9412" in capsys.readouterr().out
    assert main(["pd-patch", f"--output={file}"]) == 0  # takes the place of one that is ours
    assert file.read_text() == patch_text(9400) != patch_text(9412)


def test_a_patch_that_was_changed_stays(tmp_path, capsys):
    file = tmp_path / "mine.pd"
    changed = patch_text().replace("#X obj 20", "#X obj 21", 1)
    file.write_text(changed)
    assert not is_untouched(changed.encode())
    assert main(["pd-patch", f"--output={file}"]) == 1
    assert "move it away" in capsys.readouterr().err
    assert file.read_text() == changed


@pytest.mark.parametrize("flag", ["--osc_port=0", "--osc_port=70000", "--output="])
def test_the_command_refuses(tmp_path, monkeypatch, capsys, flag):
    monkeypatch.chdir(tmp_path)
    assert main(["pd-patch", "--output=here", flag]) == 1
    assert capsys.readouterr().err.startswith("drumjax pd-patch: ")
    assert list(tmp_path.iterdir()) == []


# In Pure Data


@pytest.mark.parametrize("text", ["plain", "two words", "a;b, c", "back\\slash ; ", "é"])
def test_words_come_back_from_pure_datas_form(text):
    assert atoms(f"told {atom(text)} 1.5") == ["told", text, 1.5]


@needs_pd
@in_loop
async def test_a_control_moves_and_the_new_sound_is_loaded(full, takes, tmp_path):
    async with studio(full, takes) as s, pure_data(tmp_path, s.server.port) as pd:
        assert "answers" in (await pd.hear("status"))[0]
        sound = await pd.sound()  # nobody has asked yet: the middle of the first category
        assert sound.path == str(takes / "drumjax_kick_000001.wav")
        np.testing.assert_array_equal(code_in(sound.path), code(full, "kick"))
        await check_sound(pd, sound)
        sound = await pd.sound("alpha1", 0.5)
        np.testing.assert_array_equal(
            code_in(sound.path), code(full, "kick", alphas=(0.5, 0.0, 0.0))
        )
        await check_sound(pd, sound)


@needs_pd
@in_loop
async def test_each_control_is_heard(full, takes, tmp_path):
    """Oracle: the code that `sound_of` makes of the same request, in the recipe of the take."""
    steps = [
        (("alpha1", 0.5), {"alphas": (0.5, 0.0, 0.0)}),
        (("alpha2", -0.25), {"alphas": (0.5, -0.25, 0.0)}),
        (("alpha3", 1), {"alphas": (0.5, -0.25, 1.0)}),
        (("range", 3), {"reach": 3.0}),
        (("range", 0), {"reach": 0.5}),
        (("seed", 123456), {"seed": 123456}),
        (("category", 1), {"category": "snare"}),
        (("category", "clap"), {"category": "clap"}),
        (("attribute", "brightness", 1.5), {"attributes": {"brightness": 1.5}}),
        (("attribute", "dusty", -2), {"attributes": {"brightness": 1.5, "dusty": -2.0}}),
    ]
    async with studio(full, takes) as s, pure_data(tmp_path, s.server.port) as pd:
        await pd.sound()
        fields = {"category": "kick"}
        for words, change in steps:
            sound = await pd.sound(*words)
            fields |= change
            want = code(full, **fields)
            np.testing.assert_array_equal(code_in(sound.path), want, err_msg=str(words))
            assert sound.category == fields["category"]
        first, second = [code_in((await pd.sound("random")).path) for _ in range(2)]
        assert np.abs(first - want).max() > 0.01
        assert np.abs(first - second).max() > 0.01


@needs_pd
@in_loop
async def test_a_sound_of_ones_own_is_varied(full, takes, tmp_path):
    async with studio(full, takes) as s, pure_data(tmp_path, s.server.port) as pd:
        await pd.sound()
        pd.send("vary")
        assert await pd.hear("status") == ["choose a sound file first"]
        kept = tmp_path / "kept sounds" / "one of mine.wav"
        kept.parent.mkdir()
        shutil.copy((await pd.sound("seed", 3)).path, kept)
        z = code_in(kept)
        await pd.sound("category", 1)
        near = await pd.sound("file", kept)
        assert near.category == "kick"  # the file's
        again = await pd.sound("vary")
        assert np.abs(code_in(near.path) - code_in(again.path)).max() > 0.01
        assert np.abs(code_in(again.path) - z).max() > 0.01
        np.testing.assert_array_equal(code_in((await pd.sound("amount", 0)).path), z)
        back = await pd.sound("amount", 0.3)  # the same way as before
        np.testing.assert_allclose(code_in(back.path), code_in(again.path), atol=1e-6)
        moved = await pd.sound("alpha1", 0.5)  # the pad moves the category that is shown
        want = code(full, "kick", 3, alphas=(0.5, 0.0, 0.0))
        np.testing.assert_array_equal(code_in(moved.path), want)
        await check_sound(pd, moved)


@needs_pd
@in_loop
async def test_a_file_without_a_recipe_is_varied(full, takes, tmp_path):
    """The path has blanks and signs that Pure Data's own messages use."""
    file = tmp_path / "a b, c; $1 é" / "snare 1.wav"
    file.parent.mkdir()
    write_wav(file, full.render(code(full, "snare"), "snare"), full.sample_rate, 16)
    async with studio(full, takes) as s, pure_data(tmp_path, s.server.port) as pd:
        await pd.sound()
        sound = await pd.sound("file", file)
        assert sound.category == "snare"
        await check_sound(pd, sound)


@needs_pd
@in_loop
async def test_errors_are_shown(full, takes, tmp_path):
    async with studio(full, takes) as s, pure_data(tmp_path, s.server.port) as pd:
        await pd.sound()
        for words, part in [
            (("category", "gong"), "no category 'gong'"),
            (("attribute", "shine", 1), "no attribute 'shine'"),
            (("file", tmp_path / "not there.wav"), "cannot be opened"),
        ]:
            pd.send(*words)
            (sentence,) = await pd.hear("error")
            assert part in sentence
            assert sentence.endswith(".")
        sound = await pd.sound("category", "snare")
        await check_sound(pd, sound)


@needs_pd
@in_loop
async def test_a_drag_ends_where_the_control_stands(full, takes, tmp_path):
    async with studio(full, takes) as s, pure_data(tmp_path, s.server.port) as pd:
        await pd.sound()
        for i in range(61):
            pd.send("alpha1", i / 60)
        want = code(full, "kick", alphas=(1.0, 0.0, 0.0))
        async with asyncio.timeout(30):
            while not np.array_equal(code_in((await pd.sound()).path), want):
                pass
        assert len(list(takes.iterdir())) < 30


@needs_pd
@in_loop
async def test_two_clients_hear_their_own_sounds(full, takes, tmp_path):
    folders = tmp_path / "one", tmp_path / "two"
    for folder in folders:
        folder.mkdir()
    async with (
        studio(full, takes) as s,
        pure_data(folders[0], s.server.port) as one,
        pure_data(folders[1], s.server.port) as two,
    ):
        await asyncio.gather(one.sound(), two.sound())
        mine, yours = await asyncio.gather(one.sound("category", 1), two.sound("category", 2))
        assert (mine.category, yours.category) == ("snare", "clap")
        assert mine.path != yours.path


class Stub(asyncio.DatagramProtocol):
    """A server that says whatever a test wants Pure Data to hear."""

    def __init__(self, answers):
        self.answers, self.asked, self.source = answers, asyncio.Queue(), None

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, source):
        address, values = decode(data)
        self.source = source
        self.asked.put_nowait((address, values))
        if answer := self.answers.get(address):
            self.say(*answer)

    def say(self, *answer):
        """An answer, when nobody has asked, too."""
        self.transport.sendto(encode(*answer), self.source)

    async def ask(self, address):
        """What comes next with that address; other requests are passed over."""
        while True:
            found, values = await asyncio.wait_for(self.asked.get(), WAIT)
            if found == address:
                return values

    def all_asked(self):
        """All requests that have come since."""
        return [self.asked.get_nowait() for _ in range(self.asked.qsize())]


@contextlib.asynccontextmanager
async def stub_server(**answers):
    """A stub and its port, which answers what says that it is there, and what it is told to."""
    known = {
        "ping": ("/drumjax/pong", "0.0.0"),
        "categories": ("/drumjax/categories", "kick", "snare", "clap"),
        "instrument": ("/drumjax/instrument", "x", "y", 4, 22050, "brightness"),
    }
    stub = Stub({f"/drumjax/{word}": answer for word, answer in {**known, **answers}.items()})
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: stub, ("127.0.0.1", 0))
    try:
        yield stub, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@needs_pd
@in_loop
async def test_a_server_of_many_names_and_many_words(tmp_path):
    """More names than labels, an error of three lines, a file that is gone: none stops the rest."""
    sentence = "It went wrong; " * 20 + "try again."
    some = [f"a{i}" for i in range(20)]
    answers = {
        "categories": ("/drumjax/categories", *(f"category {i}" for i in range(40))),
        "instrument": ("/drumjax/instrument", "x", "y", 4, 22050, *some),
        "generate": ("/drumjax/error", sentence),
    }
    gone = str(tmp_path / "gone.wav")
    async with (
        stub_server(**answers) as (stub, port),
        pure_data(tmp_path, port, complaint="gone.wav") as pd,
    ):
        assert await pd.hear("error") == [sentence]
        stub.answers["/drumjax/generate"] = ("/drumjax/sample", gone, "kick", 1.0)
        pd.send("category", 15)
        assert await pd.hear("error") == [f"{gone} cannot be read"]
        pd.send("attribute", "a7", 0.5)
        stub.answers["/drumjax/attribute"] = ("/drumjax/error", "heard")
        pd.send("attribute", "a19", 0.5)  # has no slider, but a name
        assert await pd.hear("error") == ["heard"]
    asked = stub.all_asked()
    assert asked.count(("/drumjax/generate", [0.0, 0.0, 0.0, "category 15", 0, 1, 0])) == 1
    told = [values for address, values in asked if address == "/drumjax/attribute"]
    assert told == [["a7", 0.5, 0], ["a19", 0.5, 0]]


@needs_pd
@in_loop
async def test_late_answers_take_no_category_back(tmp_path):
    """Only a sound that was varied last is of a category of its own, and only of a known one."""
    wav = tmp_path / "a.wav"
    soundfile.write(wav, np.zeros(100), 44100)
    async with stub_server() as (stub, port), pure_data(tmp_path, port) as pd:

        async def wish(*words):
            """The category that the client asks for after words to it."""
            pd.send(*words)
            return (await stub.ask("/drumjax/generate"))[3]

        async def answer(label):
            stub.say("/drumjax/sample", str(wav), label, 2.0)
            await pd.hear("sound")

        assert (await stub.ask("/drumjax/generate"))[3] == "kick"
        assert await wish("category", 1) == "snare"
        await answer("kick")  # to the request before
        assert await wish("alpha1", 0.1) == "snare"
        await answer("kick60_snare40")
        assert await wish("alpha1", 0.2) == "snare"
        pd.send("file", wav)
        assert (await stub.ask("/drumjax/vary"))[3] == ""
        await answer("kick60_snare40")
        await answer("clap")
        assert await wish("alpha1", 0.3) == "clap"
        await answer("kick")
        assert await wish("category", "kick") == "kick"
        assert await wish("alpha1", 0.4) == "kick"
        pd.send("vary")
        await stub.ask("/drumjax/vary")
        pd.send("category", 1)
        await asyncio.sleep(0.004)  # within the pace: before the request goes out, or after
        await answer("clap")
        assert (await stub.ask("/drumjax/generate"))[3] == "snare"
        assert await wish("alpha1", 0.5) == "snare"


@needs_pd
@in_loop
async def test_a_server_that_comes_later_is_found_and_told(full, takes, tmp_path):
    """It answers, is missed, and comes back: with the state of the face, not its own."""
    other, port = free_port(), free_port()
    missing = "no answer: start drumjax serve --osc_port={}"
    async with pure_data(tmp_path, other) as pd:
        assert await pd.hear("status") == [missing.format(other)]
        pd.send("port", port)
        missed = [missing.format(port)]
        for attributes in ({}, {"punch": 2.0}):
            engine = Engine(full)
            server = OscServer(engine, Takes(takes), print)
            server.start("127.0.0.1", port)
            try:
                while "answers" not in (await pd.hear("status"))[0]:
                    pass
                want = code(full, "kick", attributes=attributes)
                async with asyncio.timeout(30):
                    while not np.array_equal(code_in((await pd.sound()).path), want):
                        pass
                await pd.sound("attribute", "punch", 2)
            finally:
                server.stop()
                await engine.close()
            while await pd.hear("status") != missed:
                pass


def free_port():
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@needs_pd
@pytest.mark.parametrize("rate", [44100, 48000])
def test_the_sound_is_played_at_its_own_rate(full, takes, tmp_path, rate):
    """Oracle: the file's samples, read between by a cubic, at -6 dB."""

    async def play():
        async with studio(full, takes) as s, pure_data(tmp_path, s.server.port, rate) as pd:
            sound = await pd.sound()
            samples, _ = soundfile.read(sound.path)
            for words in (("auto", 0), ("audio", 1), ("speakers", 0)):
                pd.send(*words)
            await pd.recorded("client", "volume", -6)
            whole = await pd.recorded("client", "play", 1)
            soft = await pd.recorded("midi", 36, 32)
            released = await pd.recorded("midi", 36, 0)
            pd.send("note", 38)
            other = await pd.recorded("midi", 36, 100)
            ours = await pd.recorded("midi", 38, 127)
            pd.send("start", 0.25)
            pd.send("end", 0.5)
            part = await pd.recorded("client", "play")
            return samples, whole, soft, released, other, ours, part

    samples, whole, soft, released, other, ours, part = asyncio.run(play())
    step, n = 44100 / rate, len(samples)
    gain = 10 ** (-6 / 20)

    def heard(start, end, loud):
        at = np.arange(start * n, end * n, step)
        return loud * gain * cubic(samples, at)

    check_heard(whole, heard(0, 1, 1.0), rate)
    check_heard(soft, heard(0, 1, 32 / 127), rate)
    check_heard(ours, heard(0, 1, 1.0), rate)
    check_heard(part, heard(0.25, 0.5, 1.0), rate, cut=True)
    assert not released.any()
    assert not other.any()


def cubic(samples, at):
    """Lagrange's cubic through the four samples around each place; zeros beyond the ends."""
    padded = np.pad(samples, (2, 4))
    whole = np.floor(at).astype(int)
    x = at - whole
    a, b, c, d = (padded[whole + 1 + i] for i in range(4))
    return (
        -a * x * (x - 1) * (x - 2) / 6
        + b * (x + 1) * (x - 1) * (x - 2) / 2
        - c * x * (x + 1) * (x - 2) / 2
        + d * x * (x + 1) * (x - 1) / 6
    )


def check_heard(got, want, rate, cut=False):
    """What was recorded is the sound, from wherever it began, but for 2 ms where it fades."""
    ramp = round(0.003 * rate)
    got = np.pad(got, (8, 0))  # tabread4~ cannot play the very first sample
    began = np.correlate(got, want, "valid").argmax()
    inner = slice(ramp if cut else 3, len(want) - ramp)
    found = got[began : began + len(want)]
    np.testing.assert_allclose(found[inner], want[inner], atol=2e-3)
    assert np.abs(want[inner]).max() > 0.02
    assert not got[began + len(want) + 2 :].any()
    assert not got[: max(0, began - 2)].any()
