"""The message part of a Max patch, run in Python as Max's reference describes its objects.

It knows the objects that the device has, no more, and has a clock of its own. Where the order of
cords from one outlet depends on where boxes stand, `mirrored` turns it round: a sound patch does
the same either way. A `waveform~` here echoes what it is set to, which Max may or may not do.
"""

import heapq
import itertools
import re
import shlex
from collections import defaultdict
from typing import Any

Message = list[Any]  # ["bang"], [0.5], ["set", 1, 2]; symbols are str
DEEPEST = 200  # messages within messages: more is a loop


def atom(word: str) -> Any:
    """A word of a box's text as Max reads it."""
    if re.fullmatch(r"-?\d+", word):
        return int(word)
    return float(word) if re.fullmatch(r"-?\d*\.\d*", word) and word != "." else word


class Patch:
    """A patch that runs.

    Attributes:
      sent: all messages that reached `udpsend`.
      files: all that reached `buffer~`, "replace" taken off.
      played: all that reached `play~`, with the factor of the `*~` behind it.
      port: what `udpreceive` listens to.
      sets: the names of the parameters, and "pad", that were set without output.
      selection: what `waveform~` was set to, by its inlets.
      gain: what came to `line~` last.
      chance: what `random` gives next.
    """

    def __init__(self, patcher: dict[str, Any], mirrored: bool = False, chance: int = 100):
        told = patcher["patcher"]
        self.boxes = {entry["box"]["id"]: entry["box"] for entry in told["boxes"]}
        self.cords = defaultdict(list)
        for line in told["lines"]:
            (a, i), (b, j) = line["patchline"]["source"], line["patchline"]["destination"]
            self.cords[a, i].append((b, j))
        for ends in self.cords.values():  # from right to left, from below to above
            ends.sort(key=lambda end: self.boxes[end[0]]["patching_rect"][:2], reverse=True)
            if mirrored:
                ends.reverse()
        self.sent, self.files, self.played, self.sets = [], [], [], []
        self.selection, self.gain = {}, None
        self.port, self.loudness, self.now, self.depth = None, None, 0.0, 0
        self.queue, self.order, self.chance = [], itertools.count(), chance
        self.state = {id: self._first_state(box) for id, box in self.boxes.items()}

    def _first_state(self, box):
        name, words = self.split(box)
        if name in ("pack", "pak"):
            return [{"s": "unset", "f": 0.0, "i": 0}.get(w, w) for w in words]
        if name == "gate":
            return words[1] if len(words) > 1 else 0
        if name in ("zl.reg", "zl.change"):
            return words
        if name in ("+", "*", "/", "maximum", "minimum", "change", "int", "onebang"):
            return words[0] if words else 0
        if name == "live.drop":
            return None
        value = box.get("saved_attribute_attributes", {}).get("valueof", {})
        if "parameter_initial" in value:
            return value["parameter_initial"][0]
        return [0, 0] if name in ("stripnote", "pictslider") else None

    @staticmethod
    def split(box):
        """A box's object and the arguments of its text; of a message box, what it says."""
        if box["maxclass"] not in ("newobj", "message"):
            return box["maxclass"], []
        words = shlex.split(box["text"])
        if box["maxclass"] == "message":
            return "message", [atom(w) for w in words]
        rest = itertools.takewhile(lambda w: not w.startswith("@"), words[1:])
        return words[0], [atom(w) for w in rest]

    def find(self, name):
        """The one box of that name: a parameter's, an object's, or the start of a text."""
        fits = [
            id
            for id, box in self.boxes.items()
            if name in (box.get("varname"), box["maxclass"], self.split(box)[0])
            or box.get("text", "").startswith(name)
        ]
        exact = [id for id in fits if self.boxes[id].get("varname") == name]
        (only,) = exact or fits
        return only

    # What a person, Live or the network does.

    def turn(self, name, value):
        """Move a control, or let Live's automation do it."""
        self.give(self.find(name), 0, [value])

    def press(self, name):
        """Press a button, or flip a switch."""
        id = self.find(name)
        if self.boxes[id]["mode"]:
            return self.give(id, 0, ["bang"])
        return self.emit(id, 0, ["bang"])

    def restore(self, values, silent=False):
        """Load a set: parameters take their values, and send them, unless they are silent."""
        for name, value in values.items():
            id = self.find(name)
            self.state[id] = value
            if not silent:
                self.emit(id, 0, [value])

    def drag(self, x, y):
        """Move the knob of the pad, in its own numbers."""
        pad = self.find("pictslider")
        self.state[pad] = [x, y]
        self.emit(pad, 1, [y])
        self.emit(pad, 0, [x])

    def select(self, start, end):
        """Drag across the waveform, in milliseconds."""
        wave = self.find("waveform~")
        self.emit(wave, 3, [end])
        self.emit(wave, 2, [start])

    def drop(self, path):
        """Drop a file, by the name that Max gives it."""
        id = self.find("File")
        self.state[id] = path
        self.emit(id, 0, [path])

    def note(self, pitch, velocity):
        """A MIDI note."""
        id = self.find("notein")
        self.emit(id, 1, [velocity])
        self.emit(id, 0, [pitch])

    def load(self):
        """The device is there, and ready."""
        self.emit(self.find("live.thisdevice"), 0, ["bang"])

    def receive(self, *message):
        """An OSC message comes in."""
        self.emit(self.find("udpreceive"), 0, list(message))

    def advance(self, milliseconds):
        """Let time pass."""
        until = self.now + milliseconds
        while self.queue and self.queue[0][0] <= until:
            self.now, _, act = heapq.heappop(self.queue)
            act()
        self.now = until

    def value(self, name):
        """A parameter's value, or what a comment shows."""
        return self.state[self.find(name)]

    # How messages run.

    def after(self, milliseconds, act):
        heapq.heappush(self.queue, (self.now + milliseconds, next(self.order), act))

    def emit(self, id, outlet, message):
        self.depth += 1
        assert self.depth < DEEPEST, f"a loop through {self.boxes[id]}"
        for target, inlet in self.cords[id, outlet]:
            self.give(target, inlet, message)
        self.depth -= 1

    def give(self, id, inlet, message):
        name, words = self.split(self.boxes[id])
        word = {"+": "add", "*": "multiply", "/": "divide", "*~": "amplify", "line~": "ramp"}
        method = word.get(name, name).replace(".", "_").replace("~", "")
        getattr(self, "do_" + method)(id, inlet, message, words)

    def do_t(self, id, inlet, message, words):
        number = next((x for x in message if not isinstance(x, str)), 0)
        for outlet in reversed(range(len(words))):
            kinds = {"b": ["bang"], "i": [int(number)], "f": [float(number)], "l": message}
            self.emit(id, outlet, kinds.get(words[outlet], [words[outlet]]))

    def do_gate(self, id, inlet, message, words):
        if inlet == 0:
            self.state[id] = int(message[0])
        elif self.state[id]:
            self.emit(id, self.state[id] - 1, message)

    def do_pack(self, id, inlet, message, words):
        if message != ["bang"]:
            for place, value in enumerate(message, inlet):
                like = {int: int, float: float}.get(type(words[place]), self.symbol)
                self.state[id][place] = like(value)
        if inlet == 0:
            self.emit(id, 0, list(self.state[id]))

    @staticmethod
    def symbol(value):
        """What `pack s` stores: "the incoming number will be converted to a (blank) symbol"."""
        return value if isinstance(value, str) else ""

    def do_pak(self, id, inlet, message, words):
        self.do_pack(id, inlet, message, words)
        if inlet:
            self.emit(id, 0, list(self.state[id]))

    def do_unpack(self, id, inlet, message, words):
        for outlet in reversed(range(len(message))):
            self.emit(id, outlet, [message[outlet]])

    def do_prepend(self, id, inlet, message, words):
        self.emit(id, 0, words + message)

    def do_message(self, id, inlet, message, words):
        assert inlet == 0
        self.emit(id, 0, words)

    def do_route(self, id, inlet, message, words):
        if message[0] in words:
            self.emit(id, words.index(message[0]), message[1:] or ["bang"])

    def do_sel(self, id, inlet, message, words):
        if message[0] in words:
            self.emit(id, words.index(message[0]), ["bang"])

    def do_change(self, id, inlet, message, words):
        new = message[-1]
        old, self.state[id] = self.state[id], new
        if message[0] != "set" and new != old:
            self.emit(id, 0, message)

    def do_int(self, id, inlet, message, words):
        if message != ["bang"]:
            self.state[id] = int(message[0])
        if inlet == 0:
            self.emit(id, 0, [self.state[id]])

    def arithmetic(self, id, inlet, message, words, act):
        if inlet:
            self.state[id] = message[0]
        else:
            like = float if isinstance(words[0], float) else int
            self.emit(id, 0, [like(act(like(message[0]), like(self.state[id])))])

    def do_add(self, *args):
        self.arithmetic(*args, lambda a, b: a + b)

    def do_multiply(self, *args):
        self.arithmetic(*args, lambda a, b: a * b)

    def do_divide(self, *args):
        self.arithmetic(*args, lambda a, b: a / b)

    def do_maximum(self, *args):
        self.arithmetic(*args, max)

    def do_minimum(self, *args):
        self.arithmetic(*args, min)

    def do_random(self, id, inlet, message, words):
        self.chance += 1
        self.emit(id, 0, [(self.chance - 1) % words[0]])

    def do_dbtoa(self, id, inlet, message, words):
        self.emit(id, 0, [10 ** (message[0] / 20)])

    def do_speedlim(self, id, inlet, message, words):
        free = self.state[id] or {"at": 0.0, "waiting": None}
        self.state[id] = free
        if self.now >= free["at"] and free["waiting"] is None:
            free["at"] = self.now + words[0]
            return self.emit(id, 0, message)
        if free["waiting"] is None:
            self.after(free["at"] - self.now, lambda: self.let_go(id, words))
        free["waiting"] = message
        return None

    def let_go(self, id, words):
        free = self.state[id]
        message, free["waiting"], free["at"] = free["waiting"], None, self.now + words[0]
        self.emit(id, 0, message)

    def do_onebang(self, id, inlet, message, words):
        passes, self.state[id] = self.state[id], inlet
        if inlet == 0:
            self.emit(id, 0 if passes else 1, ["bang"])

    def do_delay(self, id, inlet, message, words):
        self.state[id] = mark = object() if message == ["bang"] else None
        if mark:
            self.after(words[0], lambda: self.state[id] is mark and self.emit(id, 0, ["bang"]))

    def do_metro(self, id, inlet, message, words):
        self.state[id] = mark = object() if message[0] else None

        def tick():
            if self.state[id] is mark:
                self.after(words[0], tick)
                self.emit(id, 0, ["bang"])

        tick()

    def do_zl_reg(self, id, inlet, message, words):
        if message != ["bang"]:
            self.state[id] = message
        if inlet == 0:
            self.emit(id, 0, self.state[id])

    def do_zl_sort(self, id, inlet, message, words):
        self.emit(id, 0, sorted(message))

    def do_zl_change(self, id, inlet, message, words):
        if message != self.state[id]:
            self.state[id] = message
            self.emit(id, 0, message)

    def do_sprintf(self, id, inlet, message, words):
        held = self.state[id] = self.state[id] or {}
        held[inlet] = message[0]
        if inlet == 0:
            text = " ".join(str(w) for w in words) % tuple(held[i] for i in sorted(held))
            self.emit(id, 0, [atom(w) for w in text.split()])

    def do_conformpath(self, id, inlet, message, words):
        assert words == ["slash", "boot"]
        assert len(message) == 1
        self.emit(id, 0, [message[0].removeprefix("Macintosh HD:")])

    def do_stripnote(self, id, inlet, message, words):
        self.state[id][inlet] = message[0]
        if inlet == 0 and self.state[id][1]:
            self.emit(id, 1, [self.state[id][1]])
            self.emit(id, 0, message)

    # Ends: the network and the sound.

    def do_udpsend(self, id, inlet, message, words):
        self.sent.append(message)

    def do_udpreceive(self, id, inlet, message, words):
        assert message[0] == "port"
        self.port = message[1]

    def do_buffer(self, id, inlet, message, words):
        assert message[0] == "replace"
        assert len(message) == 2, f"a path in pieces: {message}"
        self.files.append(message[1])
        self.after(1, lambda: self.emit(id, 1, ["bang"]))

    def do_play(self, id, inlet, message, words):
        assert message[0] == "start"
        self.played.append((*message[1:], self.loudness))

    def do_amplify(self, id, inlet, message, words):
        assert inlet == 1
        if words == [0.0]:
            self.loudness = message[0]

    def do_ramp(self, id, inlet, message, words):
        self.gain = message

    # What is seen.

    def number(self, id, message):
        value = self.boxes[id]["saved_attribute_attributes"]["valueof"]
        if message[0] == "set":
            self.state[id] = message[1]
            self.sets.append(self.boxes[id]["varname"])
            return
        if message not in (["bang"], ["outputvalue"]):
            most = value["parameter_mmax"]
            self.state[id] = min(max(message[0], value.get("parameter_mmin", 0)), most)
        self.emit(id, 0, [self.state[id]])

    def do_live_numbox(self, id, inlet, message, words):
        self.number(id, message)

    do_live_dial = do_live_tab = do_live_numbox

    def do_live_menu(self, id, inlet, message, words):
        if message[0] == "_parameter_range":
            value = self.boxes[id]["saved_attribute_attributes"]["valueof"]
            value |= {"parameter_enum": message[1:], "parameter_mmax": len(message) - 2}
            self.state[id] = min(self.state[id], len(message) - 2)
        else:
            self.number(id, message)

    def do_live_text(self, id, inlet, message, words):
        assert self.boxes[id]["mode"] == 1
        if message == ["bang"]:
            message = [1 - self.state[id]]  # a bang flips a switch
        self.number(id, message)

    def do_live_drop(self, id, inlet, message, words):
        assert message == ["bang"]
        if self.state[id] is not None:
            self.emit(id, 0, [self.state[id]])

    def do_live_comment(self, id, inlet, message, words):
        assert message[0] == "set"
        self.state[id] = " ".join(str(x) for x in message[1:])

    def do_pictslider(self, id, inlet, message, words):
        assert message[0] == "set", "the pad must be set, without output"
        self.state[id] = message[1:]
        self.sets.append("pad")

    def do_waveform(self, id, inlet, message, words):
        assert inlet in (2, 3)
        self.selection[inlet] = message[0]
        self.emit(id, inlet, message)
