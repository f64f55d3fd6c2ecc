"""What the Max for Live device shows: its controls, where they stand, what Live sees of them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from drumjax.categories import CATEGORIES
from drumjax.studio.max.patcher import ENUM, FILE, Box, Parameter, Patcher, Rect
from drumjax.studio.ports import serve_command

WIDTH = 620  # pixels
PAD = 1000  # the pad counts in whole numbers, -PAD to PAD
BUFFER = "---drumjax"  # Live puts a number of each device's own for the dashes
RANGES = (0.5, 1.0, 2.0, 3.0)  # standard deviations that the pad and Fine reach
ATTRIBUTES = {  # the instrument's name for it: what its dial has room for
    "brightness": "Bright",
    "punch": "Punch",
    "decay": "Decay",
    "body": "Body",
    "noisiness": "Noise",
}
SEEDS = 9999
SILENT = -70.0  # dB


@dataclasses.dataclass(frozen=True)
class Control:
    """Something that the device shows; `about` stands in Live's info view."""

    object: str
    place: Rect
    parameter: Parameter | None = None
    about: str = ""
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _dial(x: int, y: int, parameter: Parameter, about: str) -> Control:
    return Control("live.dial", (x, y, 44, 48), parameter, about)


def _number(place: Rect, parameter: Parameter, about: str) -> Control:
    return Control("live.numbox", place, parameter, about)


def _button(place: Rect, name: str, short: str, about: str) -> Control:
    parameter = Parameter(name, short, values=("off", "on"), type=ENUM)
    return Control("live.text", place, parameter, about, {"mode": 0, "text": short})


def _switch(place: Rect, name: str, words: tuple[str, str], about: str) -> Control:
    parameter = Parameter(name, name, values=("off", "on"), type=ENUM)
    look = {"mode": 1, "text": words[0], "texton": words[1]}
    return Control("live.text", place, parameter, about, look)


def _label(place: Rect, text: str) -> Control:
    return Control("live.comment", place, attributes={"text": text, "textjustification": 0})


def _alpha(place: Rect, name: str) -> Control:
    about = "How far the sound is moved along an axis of the pad."
    return _number(place, Parameter(name, name, -1.0, 1.0), about)


def _attribute(x: int, y: int, name: str) -> Control:
    parameter = Parameter(name.capitalize(), ATTRIBUTES[name], -3.0, 3.0)
    return _dial(x, y, parameter, f"More or less {name}, in standard deviations.")


_RANGE = Parameter("Range", "Range", initial=1, values=tuple(f"{r:g}" for r in RANGES), type=ENUM)
CONTROLS: dict[str, Control] = {
    "pad": Control(
        "pictslider",
        (6, 6, 124, 124),
        about="Drag to move the sound along two axes at once.",
        attributes={
            "leftvalue": -PAD,
            "rightvalue": PAD,
            "topvalue": PAD,
            "bottomvalue": -PAD,
            "parameter_enable": 0,
        },
    ),
    "x": _alpha((6, 134, 60, 15), "X"),
    "y": _alpha((70, 134, 60, 15), "Y"),
    "x label": _label((6, 150, 60, 18), "left - right"),
    "y label": _label((70, 150, 60, 18), "down - up"),
    "fine": _dial(138, 4, Parameter("Fine", "Fine", -1.0, 1.0), "The third axis."),
    "gain": _dial(196, 4, Parameter("Gain", "Gain", SILENT, 6.0, unit=4), "The output's level."),
    "range label": _label((138, 54, 104, 18), "range of pad and Fine"),
    "range": Control(
        "live.tab",
        (138, 72, 104, 18),
        _RANGE,
        "How far the pad and Fine reach, in standard deviations.",
        {"num_lines_patching": 1, "num_lines_presentation": 1},
    ),
    "category": Control(
        "live.menu",
        (138, 96, 104, 15),
        Parameter("Category", "Category", values=CATEGORIES, type=ENUM),
        "The kind of drum that the pad makes. A file that is varied keeps its own.",
    ),
    "seed label": _label((138, 114, 34, 18), "seed"),
    "seed": _number(
        (172, 116, 38, 15),
        Parameter("Seed", "Seed", 0, SEEDS, unit=0),
        "0 is the category's typical sound; each other number is another one.",
    ),
    "new": _button((214, 116, 28, 15), "New sound", "new", "Another seed by chance."),
    "on change": _switch(
        (138, 135, 104, 14),
        "Play on change",
        ("play on change", "play on change"),
        "Play each new sound as soon as it is there.",
    ),
    "play": _button((138, 152, 104, 14), "Play", "play", "Play the sound, as a MIDI note does."),
    "wave": Control(
        "waveform~",
        (250, 6, 222, 118),
        about="The sound. Drag across it to choose what is played.",
        attributes={
            "buffername": BUFFER,
            "setmode": 1,
            "setunit": 0,
            "allowdrag": 0,
            "labels": 0,
            "vlabels": 0,
            "vticks": 0,
        },
    ),
    "crop label": _label((250, 126, 42, 18), "crop"),
    "start": _number(
        (292, 128, 56, 15), Parameter("Start", "Start", 0, 100, 0, unit=5), "Where playing starts."
    ),
    "end": _number(
        (352, 128, 56, 15), Parameter("End", "End", 0, 100, 100, unit=5), "Where playing ends."
    ),
    "whole": _button((412, 128, 60, 15), "Whole sound", "whole", "Play the whole sound again."),
    **{
        name: _attribute(480 + 45 * (i % 3), 4 + 50 * (i // 3), name)
        for i, name in enumerate(ATTRIBUTES)
    },
    "amount": _dial(
        570, 54, Parameter("Vary", "Vary", initial=0.3), "How far a dropped file is varied."
    ),
    "file": Control(
        "live.drop",
        (480, 105, 134, 20),
        Parameter("File", "File", type=FILE),
        "Drop a drum sound here to vary it.",
        {"legend": "drop a sound", "decodemode": 0},
    ),
    "source": _switch(
        (480, 128, 134, 15),
        "Vary the file",
        ("sound of the pad", "variation of the file"),
        "Whether the sound is the pad's or the dropped file's; what is touched last decides.",
    ),
    "status": Control(
        "live.comment",
        (250, 145, 364, 23),
        attributes={"textjustification": 0, "fontsize": 9.0},
    ),
}
BANKS = {
    "Pad": ("X", "Y", "Fine", "Range", "Category", "Seed", "New sound", "Gain"),
    "Character": (*(a.capitalize() for a in ATTRIBUTES), "Vary", "Vary the file"),
    "Playing": ("Start", "End", "Whole sound", "Play", "Play on change"),
}


def offline(osc_port: int) -> str:
    """What the status says while no server answers at a port."""
    return f"no answer yet - start: {serve_command(osc_port)}"


def put_face(patcher: Patcher, status: str) -> dict[str, Box]:
    """Put all controls and the banks into a patcher; returns the boxes by their keys above.

    Args:
      patcher: that is filled.
      status: what the status says at first.
    """
    patcher.part("what the device shows")
    boxes = {}
    for key, control in CONTROLS.items():
        told = dict(control.attributes)
        if control.about:
            told |= {"annotation": control.about}
        if key == "status":
            told |= {"text": status}
        boxes[key] = patcher.face(control.object, control.place, control.parameter, told)
    for name, parameters in BANKS.items():
        patcher.bank(name, parameters)
    return boxes
