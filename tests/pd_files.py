"""Reads Pure Data's files for the tests: canvases, their boxes and cords."""

import dataclasses
import re


@dataclasses.dataclass
class Patch:
    """A canvas: boxes as (kind, words), cords as (from, outlet, to, inlet)."""

    boxes: list = dataclasses.field(default_factory=list)
    cords: list = dataclasses.field(default_factory=list)
    inside: list = dataclasses.field(default_factory=list)  # the canvases in it

    def all(self):
        """It, and all canvases within."""
        return [self, *(c for child in self.inside for c in child.all())]


def parse(text):
    """The outermost canvas of a file."""
    open_canvases, outermost = [], None
    for statement in re.split(r"(?<!\\);\n", text):
        match statement.split(" "):
            case ["#N", "canvas", *_]:
                open_canvases.append(Patch())
                outermost = outermost or open_canvases[0]
            case ["#X", "restore", x, y, *name]:
                inner = open_canvases.pop()
                open_canvases[-1].inside.append(inner)
                open_canvases[-1].boxes.append(("canvas", inner, (int(x), int(y)), name))
            case ["#X", "connect", *numbers]:
                open_canvases[-1].cords.append(tuple(map(int, numbers)))
            case ["#X", "coords" | "array", *_] | [""]:
                pass
            case ["#X", kind, x, y, *words]:
                open_canvases[-1].boxes.append((kind, _words(words), (int(x), int(y)), None))
            case _:
                raise AssertionError(statement)
    assert len(open_canvases) == 1
    return outermost


def _words(words):
    """Words of a box; those with escaped blanks are whole."""
    joined = " ".join(words)
    return [w.replace("\\$", "$") for w in re.findall(r"(?:\\.|[^\s\\])+", joined)]


def ends(box):
    """How many inlets and outlets a box has; an object that is not vanilla's is a KeyError."""
    kind, words, *_ = box
    if kind == "canvas":
        names = [b[1][0] for b in words.boxes if b[0] == "obj"]
        return (
            sum(n in ("inlet", "inlet~") for n in names),
            sum(n in ("outlet", "outlet~") for n in names),
        )
    if kind != "obj":
        return {"msg": (1, 1), "symbolatom": (1, 1), "text": (0, 0)}[kind]
    name, *arguments = words
    n = len(arguments)
    if name == "expr":
        inputs = max(map(int, re.findall(r"\$f(\d)", " ".join(words))))
        return inputs, words.count("\\;") + 1
    if name == "list":
        return LISTS[arguments[0] if n else "append"]
    counted = {
        "t": (1, n),
        "route": (1 + (n == 1), n + 1),
        "sel": (1 + (n == 1), n + 1),
        "pack": (n, 1),
        "unpack": (1, n),
        "append": (n, 1),
        "get": (1, n - 1),
        "set": (n, 0),
        "send": (2 - n, 0),
    }
    return counted[name] if name in counted else OBJECTS[name]


LISTS = {"prepend": (2, 1), "append": (2, 1), "split": (2, 3), "trim": (1, 1), "length": (1, 1)}
LISTS |= {"fromsymbol": (1, 1), "tosymbol": (1, 1), "store": (2, 2)}
OBJECTS = {"r": (0, 1), "s": (1, 0), "f": (2, 1), "symbol": (2, 1), "int": (2, 1), "clip": (3, 1)}
TWO_IN = ("+", "-", "*", "/", "max", "*~", "line~", "tabread4~", "metro", "delay", "random")
OBJECTS |= {
    **dict.fromkeys(TWO_IN, (2, 1)),
    "moses": (2, 2),
    "spigot": (2, 1),
    "realtime": (2, 1),
    "makefilename": (1, 1),
}
OBJECTS |= {"oscformat": (1, 1), "oscparse": (1, 1), "netsend": (1, 2), "soundfiler": (1, 2)}
OBJECTS |= {"openpanel": (1, 1), "file": (1, 1), "loadbang": (0, 1), "dbtorms": (1, 1)}
OBJECTS |= {"notein": (0, 3), "stripnote": (2, 2), "vline~": (3, 1), "dac~": (2, 0)}
OBJECTS |= {"inlet": (0, 1), "outlet": (1, 0), "outlet~": (1, 0), "pointer": (2, 2)}
DRAWN = ("drawpolygon", "filledpolygon")
OBJECTS |= {"struct": (0, 1), "cnv": (0, 0), **dict.fromkeys(DRAWN, (1, 0))}
CONTROLS = ("bng", "tgl", "nbx", "hsl", "vsl", "hradio", "vradio")
OBJECTS |= dict.fromkeys(CONTROLS, (1, 1))

_SEND = {"bng": 5, "tgl": 3, "nbx": 7, "hsl": 7, "vsl": 7, "hradio": 5, "vradio": 5, "cnv": 4}


def names(patch):
    """What is sent to by name, and what hears a name, on all canvases."""
    sent, heard = set(), set()
    for kind, words, *_ in (box for canvas in patch.all() for box in canvas.boxes):
        if kind == "symbolatom":
            heard.add(words[5])
        elif kind == "obj" and words[0] in _SEND:
            at = _SEND[words[0]]
            sent.add(words[at])
            heard.add(words[at + 1])
        elif kind == "obj" and words[0] == "s":
            sent.add(words[1])
        elif kind == "obj" and words[0] == "r":
            heard.add(words[1])
    return sent - {"empty"}, heard - {"empty"}


def area(box):
    """Left, top, right and bottom of a control, in pixels; None for what is no control."""
    kind, words, (x, y), _ = box
    if kind != "obj":
        return None
    match words[0], *words[1:5]:
        case "hsl" | "vsl", w, h, *_:
            edge = 3 if words[0] == "hsl" else 0
            return x - edge, y - 3 + edge, x + int(w) + edge, y + int(h) + 3 - edge
        case "bng" | "tgl", size, *_:
            return x, y, x + int(size), y + int(size)
        case "hradio" | "vradio", size, _, _, n:
            a, b = (int(n), 1) if words[0] == "hradio" else (1, 16)  # of categories: all
            return x, y, x + a * int(size), y + b * int(size)
        case "nbx", digits, height, *_:
            return x, y, x + 7 * int(digits) + 15, y + int(height)
    return None
