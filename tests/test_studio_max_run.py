"""The Max for Live device's patch, run by max_patch.py: what it asks for, and does with answers.

No Max is run: the objects are those of its reference, in Python. The server is the real one.
"""

import asyncio
import copy
import socket

import pytest
from max_graph import BOXES, CORDS, DEVICE, find, find_status
from max_patch import Patch
from osc_client import in_loop, studio
from pythonosc.osc_packet import OscPacket

from drumjax.categories import CATEGORIES
from drumjax.play.instrument import load_instrument
from drumjax.play.runtime import Player
from drumjax.studio.max import face
from drumjax.studio.max.device import FIRST_PORT, PORTS
from drumjax.studio.osc_messages import encode

# The patch, run


@pytest.fixture(params=[False, True], ids=["", "mirrored"])
def patch(request):
    return Patch(copy.deepcopy(DEVICE), request.param)


@pytest.fixture
def met(patch):
    """A patch whose server has answered."""
    patch.load()
    patch.receive("/drumjax/pong", "0.1.0")
    patch.advance(100)
    patch.sent.clear()
    patch.sets.clear()
    return patch


def status(patch):
    return patch.state[find_status()]


@pytest.mark.parametrize("silent", [False, True])
def test_a_set_that_is_loaded_asks_for_its_sound_once(patch, silent):
    """Whether or not Live lets parameters send what they are restored to."""
    patch.restore({"X": 0.5, "Y": -0.25, "Fine": 1.0, "Range": 3, "Category": 4}, silent)
    patch.restore({"Seed": 36.99998, "Punch": -2.0, "New sound": 0, "Gain": -6.0}, silent)
    assert patch.sent == []
    patch.load()
    patch.advance(1000)
    assert patch.sent == [["/drumjax/ping", patch.port]]
    assert patch.chance == 101  # one port was drawn
    assert 20001 <= patch.port <= 29999
    patch.sent.clear()
    patch.receive("/drumjax/pong", "0.1.0")
    patch.advance(900)
    asked, *attributes, sound = patch.sent
    assert asked == ["/drumjax/categories", patch.port]
    values = {"brightness": 0, "punch": -2.0, "decay": 0, "body": 0, "noisiness": 0}
    wanted = [["/drumjax/attribute", n, v, patch.port] for n, v in values.items()]
    assert sorted(attributes) == sorted(wanted)
    assert sound == ["/drumjax/generate", 0.5, -0.25, 1.0, 4, patch.port, 3.0, 37]
    assert [type(x) for x in sound[1:]] == [float] * 3 + [int, int, float, int]
    assert patch.value("pictslider") == [500, -250]
    assert patch.gain == [pytest.approx(0.501187), 20]


@pytest.mark.parametrize("settled", [0, 100])
def test_a_preset_brings_its_attributes_with_it(met, settled):
    """`live.thisdevice` bangs again; the server knows nothing of the new reply port."""
    met.restore({"X": 0.5, "Brightness": 2.0, "Category": 3})
    met.advance(settled)
    old = met.port
    met.load()
    assert met.port != old
    assert status(met) == face.offline(9400)
    met.advance(10)
    met.sent.clear()
    met.receive("/drumjax/pong", "0.1.0")
    met.advance(1000)
    asked, *attributes, sound = met.sent
    assert asked == ["/drumjax/categories", met.port]
    values = dict.fromkeys(face.ATTRIBUTES, 0) | {"brightness": 2.0}
    wanted = [["/drumjax/attribute", n, v, met.port] for n, v in values.items()]
    assert sorted(attributes) == sorted(wanted)
    assert sound == ["/drumjax/generate", 0.5, 0.0, 0.0, 3, met.port, 1.0, 0]


def test_a_set_remembers_whether_new_sounds_are_played(patch):
    patch.restore({"Play on change": 1}, silent=True)
    patch.load()
    patch.receive("/drumjax/sample", "/a.wav", "kick", 10.0)
    patch.advance(5)
    assert len(patch.played) == 1


def test_a_silent_server_is_told_about_and_another_port_tried(patch):
    patch.load()
    ports = set()
    for _ in range(5):
        patch.advance(2000)
        ports.add(patch.port)
    assert len(ports) == 5
    assert status(patch) == "no answer yet - start: drumjax serve"
    patch.turn("X", 1.0)
    assert {message[0] for message in patch.sent} == {"/drumjax/ping"}
    pings = [message[1] for message in patch.sent]
    assert len(set(pings)) == len(pings) == 6
    patch.receive("/drumjax/pong", "0.1.0")
    assert status(patch) == "connected"
    patch.advance(30)
    assert patch.sent[-1] == ["/drumjax/generate", 1.0, 0.0, 0.0, 0, patch.port, 1.0, 0]


def test_a_server_that_answers_keeps_the_port_and_goes_unmentioned(met):
    port = met.port
    met.receive("/drumjax/error", "One sentence: what to do.")
    for _ in range(5):
        met.advance(2000)
        met.receive("/drumjax/pong", "0.1.0")
    assert met.port == port
    assert status(met) == "One sentence: what to do."
    assert met.sent == [["/drumjax/ping", port]] * 5
    met.drop("/a.wav")
    met.advance(4000)
    assert status(met) == "no answer yet - start: drumjax serve"
    met.sent.clear()
    met.turn("Y", 1.0)
    met.turn("Decay", 1.0)
    met.turn("Vary", 1.0)
    met.press("New sound")
    met.advance(100)
    assert met.sent == []
    assert met.value("Seed") == 0


@pytest.mark.parametrize(
    ("name", "value", "place", "wanted"),
    [
        ("X", 0.5, 1, 0.5),
        ("Y", 0.5, 2, 0.5),
        ("Fine", -0.5, 3, -0.5),
        ("Category", 10, 4, 10),
        ("Range", 0, 6, 0.5),
        ("Range", 1, 6, 1.0),
        ("Range", 2, 6, 2.0),
        ("Range", 3, 6, 3.0),
        ("Seed", 9999, 7, 9999),
    ],
)
def test_each_control_asks_for_a_sound(met, name, value, place, wanted):
    """generate a1 a2 a3 category reply_port range seed"""
    sound = ["/drumjax/generate", 0.0, 0.0, 0.0, 0, met.port, 1.0, 0]
    sound[place] = wanted
    met.turn(name, value)
    met.advance(100)
    assert met.sent == [sound]


def test_the_pad_is_not_set_while_it_is_dragged(met):
    met.drag(300, 400)
    assert met.sets == []
    met.emit(met.find("pictslider"), 1, [500])  # one axis alone
    met.turn("X", 0.1)
    assert met.sets == ["pad"]
    assert met.value("pictslider") == [100, 500]
    met.emit(met.find("pictslider"), 0, [200])
    met.turn("Y", -1.0)
    assert met.value("pictslider") == [200, -1000]


def test_a_click_on_the_pad_asks_for_one_sound(met):
    met.drag(300, 400)  # one axis after the other
    met.advance(200)
    assert met.sent == [["/drumjax/generate", 0.3, 0.4, 0.0, 0, met.port, 1.0, 0]]


def test_a_control_that_never_rests_is_heard(met):
    """A wait that each move began anew would never end."""
    for i in range(1, 101):
        met.turn("X", i / 100)
        met.advance(1)
    assert 3 <= len(met.sent) <= 5
    met.advance(100)
    assert met.sent[-1][1] == 1.0


def test_the_last_request_is_the_last_that_is_sent(met):
    met.turn("X", 0.1)
    met.advance(5)
    met.turn("X", 0.2)
    met.drop("/a.wav")
    met.advance(100)
    assert [message[0] for message in met.sent] == ["/drumjax/generate", "/drumjax/vary"]
    assert met.value("Vary the file") == 1
    met.turn("Y", 0.3)
    met.advance(100)
    assert met.sent[-1][:3] == ["/drumjax/generate", 0.2, 0.3]


def test_a_drag_is_limited_and_ends_where_it_ended(met):
    for i in range(1, 101):
        met.drag(-10 * i, 5 * i)
        met.advance(2)
    met.advance(100)
    assert len(met.sent) <= 200 / 25 + 2
    assert met.sent[-1][1:3] == [-1.0, 0.5]
    assert (met.value("X"), met.value("Y")) == (-1.0, 0.5)
    met.turn("X", 0.25)  # as automation does
    assert met.value("pictslider") == [250, 500]
    met.advance(100)
    assert met.sent[-1] == ["/drumjax/generate", 0.25, 0.5, 0.0, 0, met.port, 1.0, 0]


def test_attributes_carry_their_names(met):
    for name in face.ATTRIBUTES:
        met.turn(name.capitalize(), 9.0)
    met.advance(30)
    assert met.sent == [["/drumjax/attribute", n, 3.0, met.port] for n in face.ATTRIBUTES]


def test_new_is_another_seed_that_the_set_keeps(met):
    met.press("New sound")
    met.advance(30)
    first = met.sent[-1][-1]
    assert met.value("Seed") == first > 0
    met.press("New sound")
    met.advance(30)
    assert met.sent[-1][-1] not in (0, first)


def test_a_file_is_varied_until_the_pad_is_touched(met):
    met.turn("Vary", 0.5)
    met.advance(100)
    assert met.sent == []
    met.turn("Category", 2)
    met.advance(100)
    met.sent.clear()
    met.turn("Vary the file", 1)
    assert (met.sent, status(met)) == ([], "drop a sound first")
    met.turn("X", 0.0)
    assert met.value("Vary the file") == 0
    met.advance(100)
    met.sent.clear()
    met.drop("Macintosh HD:/my sounds/a snare.wav")
    met.advance(30)
    wanted = ["/drumjax/vary", "/my sounds/a snare.wav", 0.5, met.port, "", 1]
    assert met.sent == [wanted]  # whatever the menu says
    assert met.value("Vary the file") == 1
    met.turn("Seed", 7)
    met.advance(30)
    met.turn("Vary", 0.75)
    met.advance(30)
    assert met.sent[-1] == ["/drumjax/vary", "/my sounds/a snare.wav", 0.75, met.port, "", 7]
    assert {message[0] for message in met.sent} == {"/drumjax/vary"}
    met.turn("Fine", 0.5)
    met.advance(30)
    assert met.sent[-1] == ["/drumjax/generate", 0.0, 0.0, 0.5, 2, met.port, 1.0, 7]
    assert met.value("Vary the file") == 0
    met.turn("Vary the file", 1)
    met.advance(30)
    assert met.sent[-1][0] == "/drumjax/vary"
    met.turn("Category", 3)
    met.advance(30)
    assert met.sent[-1] == ["/drumjax/generate", 0.0, 0.0, 0.5, 3, met.port, 1.0, 7]
    assert met.value("Vary the file") == 0


def test_other_categories_of_the_server_leave_a_variation_alone(met):
    met.turn("Category", 10)
    met.drop("/a.wav")
    met.advance(100)
    met.receive("/drumjax/categories", "boom", "tick tock")
    met.advance(100)
    assert met.sent[-1] == ["/drumjax/vary", "/a.wav", 0.3, met.port, "", 1]
    assert met.value("Vary the file") == 1
    met.turn("X", 0.5)
    met.advance(100)
    assert met.sent[-1] == ["/drumjax/generate", 0.5, 0.0, 0.0, 1, met.port, 1.0, 0]
    met.turn("Category", 0)  # is heard again
    met.advance(100)
    assert met.sent[-1][4] == 0


@pytest.mark.parametrize("silent", [False, True])
def test_a_set_that_varied_a_file_varies_it_again(patch, silent):
    patch.restore({"File": "C:/a b.wav", "Vary the file": 1, "Vary": 1.0, "Seed": 0.0}, silent)
    patch.load()
    patch.receive("/drumjax/pong", "0.1.0")
    patch.advance(100)
    assert patch.sent[-1] == ["/drumjax/vary", "C:/a b.wav", 1.0, patch.port, "", 1]
    patch.advance(10_000)
    patch.receive("/drumjax/pong", "0.1.0")
    patch.advance(100)
    assert patch.sent[-1] == ["/drumjax/vary", "C:/a b.wav", 1.0, patch.port, "", 1]
    assert "/drumjax/generate" not in {message[0] for message in patch.sent}


def test_the_menu_takes_the_servers_categories(met):
    met.receive("/drumjax/categories", *CATEGORIES)
    met.advance(30)
    assert met.sent == []
    met.turn("Category", 10)
    met.receive("/drumjax/categories", "boom", "tick tock")
    met.advance(30)
    menu = met.boxes[met.find("Category")]["saved_attribute_attributes"]["valueof"]
    assert menu["parameter_enum"] == ["boom", "tick tock"]
    assert met.sent[-1] == ["/drumjax/generate", 0.0, 0.0, 0.0, 1, met.port, 1.0, 0]


def test_a_sound_is_loaded_shown_and_played(met):
    met.receive("/drumjax/sample", "/my takes/drumjax kick 1.wav", "kick", 400.0)
    met.advance(5)
    assert met.files == ["/my takes/drumjax kick 1.wav"]
    assert status(met) == "kick 400 ms"
    assert met.played == []
    met.note(36, 127)
    met.note(36, 0)
    assert met.played == [(0.0, 400.0, 1.0)]
    met.note(40, 64)
    assert met.played[-1] == (0.0, 400.0, pytest.approx(64 / 127))
    met.press("Play")
    assert met.played[-1] == (0.0, 400.0, 0.8)
    met.press("Play on change")
    met.receive("/drumjax/sample", "/my takes/drumjax kick 2.wav", "kick", 100.0)
    met.advance(5)
    assert met.played[3:] == [(0.0, 100.0, 0.8)]


def test_the_crop_is_kept_in_hundredths(met):
    met.receive("/drumjax/sample", "/a.wav", "kick", 400.0)
    met.advance(5)
    met.select(100.0, 300.0)
    assert (met.value("Start"), met.value("End")) == (25.0, 75.0)
    met.note(36, 127)
    met.receive("/drumjax/sample", "/b.wav", "kick", 200.0)
    met.advance(5)
    met.note(36, 127)
    met.turn("Start", 90.0)  # beyond the end
    met.note(36, 127)
    met.press("Whole sound")
    met.note(36, 127)
    assert met.selection == {2: 0.0, 3: 200.0}
    played = [(start, end) for start, end, _ in met.played]
    assert played == [(100, 300), (50, 150), (150, pytest.approx(180)), (0, 200)]
    met.receive("/drumjax/sample", "/silent.wav", "kick", 0.0)
    met.advance(5)
    assert (met.value("Start"), met.value("End")) == (0, 100)


def test_something_is_played_however_little_is_selected(met):
    met.receive("/drumjax/sample", "/a.wav", "kick", 400.0)
    met.advance(5)
    met.select(100.0, 100.0)  # a click
    met.note(36, 127)
    met.select(100.0, 104.0)
    met.note(36, 127)
    met.turn("End", 0.0)
    met.turn("Start", 0.0)
    met.note(36, 127)
    met.turn("Start", 100.0)
    met.turn("End", 100.0)
    met.note(36, 127)
    met.receive("/drumjax/sample", "/short.wav", "kick", 6.0)
    met.advance(5)
    met.note(36, 127)
    played = [(start, end) for start, end, _ in met.played]
    assert played == [(100, 110), (100, 110), (0, 10), (390, 400), (0, 10)]


def test_a_parameter_that_moves_the_waveform_is_not_moved_by_it(met):
    """Setting a parameter would override its automation."""
    met.receive("/drumjax/sample", "/a.wav", "kick", 333.3)
    met.advance(5)
    met.turn("Start", 12.3456789)
    assert met.value("Start") == 12.3456789
    assert met.sets == []
    met.select(10.0, 20.0)
    assert met.sets == ["End", "Start"]


def test_the_sound_goes_out_on_both_sides():
    def follow(id):
        """The signal objects behind one, by their text."""
        ends = [(b, j) for a, i, b, j in CORDS if (a, i) == (id, 0)]
        return [(BOXES[b]["text"], j, follow(b)) for b, j in ends]

    out = [("plugout~", 0, []), ("plugout~", 1, [])]
    assert follow(find("play~")) == [("*~ 0.", 0, [("*~ 1.", 0, out)])]
    assert follow(find("line~")) == [("*~ 1.", 1, out)]


# The patch and the real server


def ear_of_the_device():
    """A socket at a port that a device may pick and nobody has, and what `random` gives for it."""
    for chance in range(PORTS):
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            ear.bind(("127.0.0.1", FIRST_PORT + chance))
        except OSError:
            ear.close()
            continue
        ear.setblocking(False)
        return ear, chance
    raise AssertionError("no port is free")


class Wire:
    """Carries messages between a patch and a server."""

    def __init__(self, patch, ear, port):
        self.patch, self.ear, self.place = patch, ear, ("127.0.0.1", port)

    async def talk(self, until, tries=600):
        """Carry them to and fro until there is an answer of that kind."""
        kinds = []
        for _ in range(tries):
            self.patch.advance(20)  # less than passes: the device bears with a busy machine
            while self.patch.sent:
                self.ear.sendto(encode(*self.patch.sent.pop(0)), self.place)
            await asyncio.sleep(0.05)
            kinds += self.hear()
            if until in kinds:
                return
        raise AssertionError(f"{until} has not come: {kinds}")

    def hear(self):
        """Give the patch what has come; tells of which kinds."""
        while True:
            try:
                message = OscPacket(self.ear.recv(8192)).messages[0].message
            except BlockingIOError:
                return
            self.patch.receive(message.address, *message.params)
            yield message.address


@in_loop
async def test_the_server_understands_all_of_it(instruments, tmp_path):
    player = Player(load_instrument(instruments / "full.safetensors", encoder=True))
    ear, chance = ear_of_the_device()
    patch = Patch(copy.deepcopy(DEVICE), chance=chance)
    with ear:
        async with studio(player, tmp_path / "my takes") as s:
            wire = Wire(patch, ear, s.server.port)
            patch.load()
            await wire.talk("/drumjax/sample")
            for act in (
                lambda: patch.drag(700, -300),
                lambda: patch.turn("Category", 2),
                lambda: patch.turn("Range", 3),
                lambda: patch.press("New sound"),
                lambda: patch.turn("Brightness", 2.0),
                lambda: patch.drop(patch.files[0]),
                lambda: patch.turn("Vary", 1.0),
            ):
                act()
                await wire.talk("/drumjax/sample")
            assert s.server.counters["errors"] == s.server.counters["unread"] == 0
    assert patch.value("Category") == 2
    assert status(patch).startswith("kick ")  # as the file's recipe says
    assert len(patch.files) >= 8
    assert all(path.startswith(str(tmp_path / "my takes")) for path in patch.files)
    known = patch.boxes[patch.find("Category")]["saved_attribute_attributes"]["valueof"]
    assert len(known["parameter_enum"]) == 3
