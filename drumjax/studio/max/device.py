"""The Max for Live instrument: how its controls, the server and its sound hang together.

It is the patch that the Neural Drum Machine paper describes (its Fig. 5), over OSC: a change of a
control is a request, the answer names a WAV file, and a buffer takes it in. To read the cords it
takes to know that outlets fire from the last to the first, those of `t` too, and that most objects
only store what comes to any inlet but the first.
"""

import hashlib
import json
from typing import Any

from drumjax.categories import CATEGORIES
from drumjax.errors import DataError
from drumjax.studio.max import face
from drumjax.studio.max.container import patcher_text, read_device
from drumjax.studio.max.patcher import Box, End, Patcher
from drumjax.studio.ports import OSC_PORT

DESCRIPTION = "drumjax: drum sounds from a neural network, made by `drumjax serve`."
FIRST_PORT, PORTS = 20_001, 9999  # among which each device picks its reply port by chance
PING, PATIENCE = 2000, 1500  # milliseconds between pings, and until one counts as unanswered
TOGETHER = 2  # milliseconds: controls that move within them ask for one sound
LIMIT = 25  # milliseconds between requests for sounds, or of a dial; the last one is always sent
LEAST = 10.0  # milliseconds that are played, however near to each other Start and End are
LOUDNESS = 0.8  # of sounds that no MIDI note plays


def build_device(osc_port: int = OSC_PORT) -> dict[str, Any]:
    """The instrument's patcher, for a server that takes OSC at a port of the same computer."""
    return _sealed(_Device(osc_port).patcher.to_dict(DESCRIPTION))


def is_untouched(data: bytes) -> bool:
    """Whether a file, .amxd or .maxpat, is the device as drumjax wrote it, changed by nobody."""
    try:
        patcher = json.loads(data) if data.startswith(b"{") else read_device(data)
    except (DataError, ValueError, RecursionError):
        return False
    told = patcher.get("patcher") if isinstance(patcher, dict) else None
    if not (isinstance(told, dict) and told.get("description") == DESCRIPTION):
        return False
    return _sealed(patcher)["patcher"]["tags"] == told.get("tags")


def _sealed(patcher: dict[str, Any]) -> dict[str, Any]:
    """A patcher with the hash of all the rest of it as its tag."""
    bare = {**patcher, "patcher": {**patcher["patcher"], "tags": ""}}
    tag = "drumjax " + hashlib.sha256(patcher_text(bare)).hexdigest()
    return {**patcher, "patcher": {**patcher["patcher"], "tags": tag}}


class _Device:
    """The parts of the instrument, each wired to those before it."""

    def __init__(self, osc_port: int):
        p = self.patcher = Patcher(face.WIDTH)
        self.offline = face.offline(osc_port)
        self.ui = face.put_face(p, self.offline)
        self._put_sockets(osc_port)
        self._put_outbox()
        self._wire_pad()
        self._put_requests()
        self._wire_generate()
        self._wire_vary()
        self._wire_attributes()
        self._wire_menu()
        self._wire_connection()
        self._wire_crop()
        self._wire_sound()

    def _put_sockets(self, osc_port: int) -> None:
        """The way to the server, and back to a port of the device's own.

        Max does not report that a port is taken; no answer comes then. So each time that the
        server is silent, a bang to `pick` moves the device on to another port.
        """
        p = self.patcher
        p.part("to the server and back")
        self.send = p.object(f"udpsend 127.0.0.1 {osc_port}")
        self.pick = p.object(f"random {PORTS}")
        self.port = p.object(f"+ {FIRST_PORT}")
        receive = p.object(f"udpreceive {FIRST_PORT - 1} @defer 1 @quiet 1")
        p.chain(self.pick, self.port, p.object("prepend port"), receive)
        words = ("pong", "sample", "error", "categories")
        answers = p.object("route " + " ".join(f"/drumjax/{word}" for word in words))
        p.cord(receive, answers)
        self.pong, self.sample, self.error, self.categories = (answers.out(i) for i in range(4))

    def _put_outbox(self) -> None:
        """The way that all requests for sounds take, so that none overtakes another.

        A click on the pad moves Y and then X. So the first request starts a wait, and what is the
        newest at its end goes on.
        """
        p = self.patcher
        p.part("requests, one at a time")
        self.outbox, newest = p.object("t b l"), p.object("zl.reg")
        first, waited = p.object("onebang 1"), p.object("t b b")
        p.cord(self.outbox.out(1), newest.inlet(1))
        p.chain(self.outbox, first, p.object(f"delay {TOGETHER}"), waited)
        p.cord(waited.out(1), first.inlet(1))
        p.chain(waited, newest, p.object(f"speedlim {LIMIT}"), self.send)

    def _wire_pad(self) -> None:
        """The pad moves X and Y, which are the parameters, and they move the pad.

        The pad is set, which makes no output, and not at all while it is what moves them: the
        gate is closed while X and Y pass on what comes from the pad.
        """
        p = self.patcher
        p.part("pad")
        gate, both, put = p.object("gate 1 1"), p.object("pak 0 0"), p.object("prepend set")
        p.cord(both, gate.inlet(1))
        p.chain(gate, put, self.ui["pad"])
        for outlet, key in enumerate(("x", "y")):
            moved = p.object("t 1 f 0")
            p.chain(self.ui["pad"].out(outlet), p.object(f"/ {face.PAD}."), moved)
            p.cord(moved.out(2), gate)
            p.cord(moved.out(1), self.ui[key])
            p.cord(moved, gate)
            p.chain(self.ui[key], p.object(f"* {face.PAD}."), both.inlet(outlet))

    def _put_requests(self) -> None:
        """The lists that are sent, and what both have in common: category, seed, source.

        `again` asks for the present sound once more, be it the pad's or a file's variation.
        """
        p, ui = self.patcher, self.ui
        p.part("requests")
        self.generate = p.object("pack 0. 0. 0. 0 0 1. 0")  # x y fine category port range seed
        self.vary = p.object("pack s 0.3 0 s 1")  # path amount port category seed
        p.cord(self.port, self.generate.inlet(4), self.vary.inlet(2))
        self.again, self.source = p.message("outputvalue"), p.object("sel 0 1")
        p.chain(self.again, ui["source"], self.source, self.generate)
        self.mark = p.object("change -1")  # which of the two was asked for last
        p.chain(self.mark, p.object("prepend set"), ui["source"])
        p.chain(ui["source"], p.object("prepend set"), self.mark)
        kind, self.chosen = p.object("t b i"), p.object("gate 1 1")
        p.chain(ui["category"], kind, self.chosen.inlet(1))
        p.cord(kind.out(1), self.generate.inlet(3))
        p.cord(self.chosen, self.generate)
        # Live keeps parameters as fractions of their range: whole numbers come back a little off.
        seed, varied = p.object("t b i"), p.object("maximum 1")  # seed 0 would vary nothing
        p.chain(ui["seed"], p.object("+ 0.5"), p.object("int"), seed, self.again)
        p.cord(seed.out(1), self.generate.inlet(6), varied)
        p.cord(varied, self.vary.inlet(4))

    def _wire_request(self, full: Box, address: str, source: int) -> Box:
        """A full list's way to the server; returns the gate, which is closed at first."""
        p = self.patcher
        gate, done = p.object("gate"), p.object(f"t {source} l")
        p.cord(full, gate.inlet(1))
        p.chain(gate, done, self.mark)
        p.chain(done.out(1), p.object(f"prepend {address}"), self.outbox)
        return gate

    def _wire_generate(self) -> None:
        """X, Y, Fine, range and category ask for the pad's sound, "new" for another seed's."""
        p, ui = self.patcher, self.ui
        p.part("the sound of the pad")
        p.cord(ui["x"], self.generate)
        reach, choice = p.object("t b f"), p.object("sel 0 1 2 3")
        p.cord(ui["range"], choice)
        for outlet, value in enumerate(face.RANGES):
            p.chain(choice.out(outlet), p.message(f"{value}"), reach)
        fired = {1: p.object("t b f"), 2: p.object("t b f"), 5: reach}
        p.cord(ui["y"], fired[1])
        p.cord(ui["fine"], fired[2])
        for inlet, both in fired.items():
            p.cord(both.out(1), self.generate.inlet(inlet))
            p.cord(both, self.generate)
        self.generate_gate = self._wire_request(self.generate, "/drumjax/generate", 0)
        self.new_gate = p.object("gate")  # keeps a set that is loaded from pressing the button
        p.cord(ui["new"], self.new_gate.inlet(1))
        seed = (p.object(f"random {face.SEEDS}"), p.object("+ 1"), ui["seed"])
        p.chain(self.new_gate, *seed)

    def _wire_vary(self) -> None:
        """A dropped file and the amount ask for a variation of the file."""
        p, ui = self.patcher, self.ui
        p.part("a variation of a file")
        path, amount = p.object("t l 1 2"), p.object("t b f")
        # On a Mac, Max names files "Macintosh HD:/Users/…", which nobody else understands.
        p.chain(ui["file"], p.object("conformpath slash boot"), path, self.vary)
        p.chain(ui["amount"], amount)
        p.cord(amount.out(1), self.vary.inlet(1))
        there, asked = p.object("gate"), p.object("gate 2 1")  # is there a file?
        p.cord(amount, there.inlet(1))
        p.cord(there, self.vary)
        # A number is stored as a symbol without letters: the category is the file's own.
        p.cord(path.out(1), there, self.vary.inlet(3))
        p.cord(path.out(2), asked)
        p.cord(self.source.out(1), asked.inlet(1))
        p.chain(asked, p.message("set drop a sound first"), ui["status"])
        p.cord(asked.out(1), self.vary)
        self.vary_gate = self._wire_request(self.vary, "/drumjax/vary", 1)

    def _wire_attributes(self) -> None:
        """Each attribute's dial; the server keeps what it is told for this reply port."""
        p = self.patcher
        p.part("attributes")
        self.attribute_gate, address = p.object("gate"), p.object("prepend /drumjax/attribute")
        p.chain(self.attribute_gate, address, self.send)
        for name in face.ATTRIBUTES:
            told, named = p.object("pack 0. 0"), p.object(f"prepend {name}")
            p.cord(self.port, told.inlet(1))
            limit = p.object(f"speedlim {LIMIT}")
            p.chain(self.ui[name], limit, told, named, self.attribute_gate.inlet(1))

    def _wire_menu(self) -> None:
        """The menu takes the server's categories, unless they are those that it has already.

        That is no choice of the user's: a file that is varied stays what is varied.
        """
        p = self.patcher
        p.part("categories")
        self.ask_categories = p.object("int")
        p.cord(self.port, self.ask_categories.inlet(1))
        p.chain(self.ask_categories, p.object("prepend /drumjax/categories"), self.send)
        others = p.object("zl.change " + " ".join(CATEGORIES))
        taken = p.object("t b 1 b l 0")
        p.chain(self.categories, others, taken)
        p.cord(taken.out(4), self.chosen)
        p.chain(taken.out(3), p.object("prepend _parameter_range"), self.ui["category"])
        p.cord(taken.out(2), self.ui["category"])
        p.cord(taken.out(1), self.chosen)
        p.cord(taken, self.again)

    def _wire_connection(self) -> None:
        """A ping now and then; what to do when the server begins to answer, or ceases to.

        Nothing is asked for before the first answer has come: by then all parameters of a set that
        is loaded are restored, and the reply port is known to be the device's own. A preset, and
        saving the device, bang `live.thisdevice` once more: all begins anew then.
        """
        p, ui = self.patcher, self.ui
        p.part("connection")
        begin, metro, tick = p.object("t 1 b b b"), p.object(f"metro {PING}"), p.object("t b b")
        p.chain(p.object("live.thisdevice"), begin, metro, tick)
        p.cord(begin.out(2), ui["gain"])
        p.chain(begin.out(3), p.message("outputvalue"), ui["on change"])
        ping, late = p.object("int"), p.object(f"delay {PATIENCE}")
        p.cord(self.port, ping.inlet(1))
        p.cord(tick.out(1), late)
        p.chain(tick, ping, p.object("prepend /drumjax/ping"), self.send)
        here, gone = p.object("t 1 b"), p.object("t 0 b")
        p.cord(self.pong, here)
        p.chain(here.out(1), p.message("stop"), late)
        p.cord(late, gone)
        p.cord(begin.out(1), gone)
        p.cord(gone.out(1), self.pick)
        changed, which = p.object("change -1"), p.object("sel 1 0")
        p.cord(here, changed)
        p.cord(gone, changed)
        p.chain(changed, which)
        found, lost = p.object("t b b b"), p.object("t b 0")
        p.cord(which, found)
        p.chain(found.out(2), p.message("set connected"), ui["status"])
        p.cord(found.out(1), self.ask_categories)
        p.cord(found, self._put_refresh())
        p.cord(which.out(1), lost)
        p.cord(lost.out(1), *self._gates)
        p.chain(lost, p.message(f"set {self.offline}"), ui["status"])
        p.chain(self.error, p.object("prepend set"), ui["status"])

    @property
    def _gates(self) -> tuple[Box, ...]:
        return self.attribute_gate, self.generate_gate, self.vary_gate, self.new_gate

    def _put_refresh(self) -> Box:
        """What tells the server all that it needs to know, and asks for the sound: once."""
        refresh = self.patcher.object("t b 1 b b 1")
        attributes, *others = self._gates
        self.patcher.cord(refresh.out(4), attributes)
        self.patcher.cord(refresh.out(3), *(self.ui[name] for name in face.ATTRIBUTES))
        # With the gates closed, their values only go into the lists.
        stored = ("x", "y", "fine", "range", "category", "seed", "amount", "file")
        self.patcher.cord(refresh.out(2), *(self.ui[key] for key in stored))
        self.patcher.cord(refresh.out(1), *others)
        self.patcher.cord(refresh, self.again)
        return refresh

    def _wire_answer(self) -> End:
        """A new sound goes into the buffer; returns the outlet that tells its milliseconds."""
        p, ui = self.patcher, self.ui
        p.part("a new sound")
        parts, words = p.object("unpack s s 0."), p.object("sprintf set %s %.0f ms")
        p.cord(self.sample, parts)
        p.cord(parts.out(2), words.inlet(1))
        p.chain(parts.out(1), words, ui["status"])
        # The path is one symbol, spaces and all, and stays one.
        buffer, ready = p.object(f"buffer~ {face.BUFFER}"), p.object("t b b b")
        p.chain(parts, p.object("prepend replace"), buffer)
        p.cord(buffer.out(1), ready)
        p.cord(ready.out(2), ui["end"])
        p.cord(ready.out(1), ui["start"])
        self.ready = ready.out(0)
        return parts.out(2)

    def _wire_crop(self) -> None:
        """Start and End, in hundredths of the sound, and the selection follow each other.

        What the mouse selects sets the numbers, which makes no output. A click selects nothing;
        what is played is LEAST long all the same.
        """
        milliseconds = self._wire_answer()
        p, ui, wave = self.patcher, self.ui, self.ui["wave"]
        p.part("crop")
        length, pair = p.object("maximum 1."), p.object("pak 0. 0.")
        p.cord(milliseconds, length)
        self._put_part(pair, length)
        for index, key in enumerate(("start", "end")):
            placed, share, moved = p.object("* 1."), p.object("/ 1."), p.object("t 1 f 0")
            echo = p.object("gate 1 1")  # closed while it is the numbers that set the selection
            p.cord(length, placed.inlet(1), share.inlet(1))
            p.chain(ui[key], p.object("/ 100."), placed, moved, echo)
            p.cord(moved.out(2), echo)
            p.cord(moved.out(1), pair.inlet(index), wave.inlet(2 + index))
            p.cord(wave.out(2 + index), echo.inlet(1))
            p.cord(echo, pair.inlet(index), share)
            p.chain(share, p.object("* 100."), p.object("prepend set"), ui[key])
        whole = p.object("t 0 100")
        p.chain(ui["whole"], whole, ui["start"])
        p.cord(whole.out(1), ui["end"])

    def _put_part(self, pair: Box, length: Box) -> None:
        """The part that is played, in milliseconds: in order, and LEAST long within the sound."""
        p = self.patcher
        self.crop = p.object("zl.reg 0. 0.")
        ends, start, end = p.object("unpack 0. 0."), p.object("minimum 0."), p.object("maximum 0.")
        both, part = p.object("t f f"), p.object("pack 0. 0.")
        p.chain(length, p.object(f"+ -{LEAST}"), start.inlet(1))
        p.chain(pair, p.object("zl.sort"), ends, start, p.object("maximum 0."), both)
        p.cord(ends.out(1), end.inlet(1))
        p.chain(both.out(1), p.object(f"+ {LEAST}"), end, part.inlet(1))
        p.chain(both, part, self.crop.inlet(1))

    def _wire_sound(self) -> None:
        """A MIDI note, the button or a new sound plays what is cropped."""
        p, ui = self.patcher, self.ui
        p.part("sound")
        player, struck, level = (
            p.object(f"play~ {face.BUFFER}"),
            p.object("*~ 0."),
            p.object("*~ 1."),
        )
        p.chain(self.crop, p.object("prepend start"), player, struck, level)
        notes, struck_notes = p.object("notein"), p.object("stripnote")
        p.chain(notes, struck_notes, p.object("t b"), self.crop)
        p.cord(notes.out(1), struck_notes.inlet(1))
        p.chain(struck_notes.out(1), p.object("/ 127."), struck.inlet(1))
        strike, on_change = p.object(f"t b {LOUDNESS}"), p.object("gate")
        p.chain(ui["play"], strike, self.crop)
        p.cord(strike.out(1), struck.inlet(1))
        p.cord(ui["on change"], on_change)
        p.chain(self.ready, on_change.inlet(1))
        p.cord(on_change, strike)
        ramp, out = p.object("pack 0. 20"), p.object("plugout~")
        p.chain(ui["gain"], p.object("dbtoa"), ramp, p.object("line~ 1."), level.inlet(1))
        p.cord(level, out, out.inlet(1))
