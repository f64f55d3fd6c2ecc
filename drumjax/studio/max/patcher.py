"""A small builder of Max patchers, which refuses what Max would pass over in silence."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from drumjax.studio.max.container import EPOCH, INSTRUMENT
from drumjax.studio.max.objects import Ports, ports_of

Rect = tuple[int, int, int, int]  # x, y, width, height in pixels

HEIGHT = 169  # pixels of Live's device view; what lies below is cut off in silence
SLOTS = 8  # of a bank of parameters: the encoders of a Push
DATE = 1_767_225_600 + EPOCH  # 2026-01-01, whenever it is written: the same bytes each time
FLOAT, ENUM, FILE = 0, 2, 4  # types of parameters; 1, Int, has no more than 256 values


@dataclasses.dataclass(frozen=True)
class Box:
    """A box of a patcher; box.out(1) and box.inlet(1) name its other ends."""

    id: str
    inlets: int
    outlets: int

    def out(self, outlet: int) -> "End":
        """One of its outlets."""
        return End(self, outlet)

    def inlet(self, inlet: int) -> "End":
        """One of its inlets."""
        return End(self, inlet)


@dataclasses.dataclass(frozen=True)
class End:
    """An inlet or outlet of a box, counted from 0."""

    box: Box
    index: int


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter that Live sees.

    Attributes:
      name: unique; automation lanes and Push show it.
      short: what its control shows.
      low, high: its range.
      initial: its value in a new device.
      values: the names of an enumeration; its values are their places, and the range follows.
      unit: how Live writes it: 0 whole, 1 with decimals, 4 dB, 5 %.
      type: FLOAT, ENUM or FILE; a file is kept with the set, and neither automated nor shown.
    """

    name: str
    short: str
    low: float = 0.0
    high: float = 1.0
    initial: float = 0.0
    values: tuple[str, ...] = ()
    unit: int = 1
    type: int = FLOAT

    def to_dict(self) -> dict[str, Any]:
        """The parameter as patchers write it."""
        told: dict[str, Any] = {
            "parameter_longname": self.name,
            "parameter_shortname": self.short,
            "parameter_type": self.type,
        }
        if self.type == FILE:
            return told | {"parameter_invisible": 1}
        told |= {"parameter_initial_enable": 1, "parameter_initial": [self.initial]}
        if self.type == ENUM:
            return told | {"parameter_enum": [*self.values], "parameter_mmax": len(self.values) - 1}
        span = {"parameter_mmin": self.low, "parameter_mmax": self.high}
        return told | span | {"parameter_unitstyle": self.unit}


class Patcher:
    """A patcher that grows box by box; in Max's editor the boxes stand in columns, one a part."""

    def __init__(self, width: int):
        """`width` is the device's in pixels."""
        self._width = width
        self._boxes: list[dict[str, Any]] = []
        self._cords: dict[tuple[str, int, str, int], None] = {}
        self._parameters: dict[str, Parameter] = {}  # by their box
        self._banks: list[tuple[str, tuple[str, ...]]] = []
        self._x = self._next_x = self._y = 0

    def part(self, title: str) -> None:
        """Begin a column of boxes under a comment that says what they do."""
        self._x, self._y = self._next_x + 24, 16
        self._add("comment", (0, 0, 8 * len(title) + 16, 20), {"text": title})

    def object(self, text: str) -> Box:
        """An object that nobody sees, by its text: its name, arguments and @attributes.

        Raises:
          ValueError: it is not one of OBJECTS.
        """
        name, *words = shlex.split(text)
        first = next((i for i, word in enumerate(words) if word.startswith("@")), len(words))
        ports = ports_of(name, words[:first])
        return self._add("newobj", (0, 0, 7 * len(text) + 20, 22), {"text": text}, ports)

    def message(self, text: str) -> Box:
        """A message box."""
        return self._add("message", (0, 0, 7 * len(text) + 20, 22), {"text": text})

    def face(
        self,
        name: str,
        place: Rect,
        parameter: Parameter | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Box:
        """A box that the device shows.

        Args:
          name: one of OBJECTS.
          place: where the device shows it.
          parameter: what Live sees of it.
          attributes: its other attributes.

        Raises:
          ValueError: it is not one of OBJECTS, would be cut off, or the parameter's name is taken.
        """
        x, y, width, height = place
        if x < 0 or y < 0 or x + width > self._width or y + height > HEIGHT:
            raise ValueError(f"{name} at {place} is cut off: {self._width} x {HEIGHT} are shown.")
        told: dict[str, Any] = {"presentation": 1, "presentation_rect": _floats(place)}
        if parameter is not None:
            if parameter.name in {p.name for p in self._parameters.values()}:
                raise ValueError(f"There is a parameter {parameter.name!r} already.")
            told |= {"parameter_enable": 1, "varname": parameter.name}
            told["saved_attribute_attributes"] = {"valueof": parameter.to_dict()}
        box = self._add(name, place, {**told, **(attributes or {})})
        if parameter is not None:
            self._parameters[box.id] = parameter
        return box

    def _add(
        self, name: str, size: Rect, told: Mapping[str, Any], ports: Ports | None = None
    ) -> Box:
        """A box in the column, (width, height) being the last two of `size`."""
        inlets, outlets = ports or ports_of(name)
        box = Box(f"obj-{len(self._boxes) + 1}", inlets, len(outlets))
        place = (self._x, self._y, *size[2:])
        self._y += size[3] + 8
        self._next_x = max(self._next_x, self._x + size[2])
        entry = {"id": box.id, "maxclass": name, "numinlets": inlets, "numoutlets": len(outlets)}
        entry |= {"outlettype": [*outlets]} if outlets else {}
        self._boxes.append({"box": {**entry, "patching_rect": _floats(place), **told}})
        return box

    def cord(self, source: Box | End, *targets: Box | End) -> None:
        """Cords from one outlet to inlets; a box alone means its first.

        Raises:
          ValueError: there is no such outlet or inlet, or that cord is there already.
        """
        start = source if isinstance(source, End) else End(source, 0)
        for target in targets:
            end = target if isinstance(target, End) else End(target, 0)
            if not 0 <= start.index < start.box.outlets:
                raise ValueError(f"{self._words(start.box)} has no outlet {start.index}.")
            if not 0 <= end.index < end.box.inlets:
                raise ValueError(f"{self._words(end.box)} has no inlet {end.index}.")
            cord = (start.box.id, start.index, end.box.id, end.index)
            if cord in self._cords:
                raise ValueError(f"{self._words(start.box)} has that cord already.")
            self._cords[cord] = None

    def chain(self, source: Box | End, *targets: Box | End) -> None:
        """Cords from each box to the next, first outlet to first inlet unless an end is named."""
        for target in targets:
            self.cord(source, target)
            source = target.box if isinstance(target, End) else target

    def _words(self, box: Box) -> str:
        told = next(entry["box"] for entry in self._boxes if entry["box"]["id"] == box.id)
        return repr(told.get("text", told["maxclass"]))

    def bank(self, name: str, parameters: Sequence[str]) -> None:
        """A bank of parameters, by their names, for the encoders of a Push.

        Raises:
          ValueError: there are more than SLOTS, or a parameter is not there.
        """
        known = {parameter.name for parameter in self._parameters.values()}
        if len(parameters) > SLOTS or not known.issuperset(parameters):
            raise ValueError(f"The bank {name!r} has more than {SLOTS} slots, or unknown names.")
        self._banks.append((name, tuple(parameters)))

    def to_dict(self, description: str) -> dict[str, Any]:
        """The patcher as .maxpat files and devices hold it."""
        told = [entry["box"]["patching_rect"] for entry in self._boxes]
        right, low = (max(r[i] + r[i + 2] for r in told) + 24 for i in (0, 1))
        version = {"major": 8, "minor": 6, "revision": 0, "architecture": "x64", "modernui": 1}
        return {
            "patcher": {
                "fileversion": 1,
                "appversion": version,
                "classnamespace": "box",
                "rect": [60.0, 80.0, right, low],
                "openrect": [0.0, 0.0, float(self._width), float(HEIGHT)],
                "openinpresentation": 1,
                "default_fontsize": 10.0,
                "default_fontname": "Arial Bold",
                "gridsize": [8.0, 8.0],
                "devicewidth": float(self._width),
                "description": description,
                "digest": "",
                "tags": "",
                "boxes": self._boxes,
                "lines": [
                    {"patchline": {"source": [a, i], "destination": [b, j]}}
                    for a, i, b, j in self._cords
                ],
                "parameters": self._listed(),
                "dependency_cache": [],
                "latency": 0,
                "is_mpe": 0,
                "autosave": 0,
                "project": _project(),
            }
        }

    def _listed(self) -> dict[str, Any]:
        banks = {
            str(index): {
                "index": index,
                "name": name,
                "parameters": [*names, *["-"] * (SLOTS - len(names))],
            }
            for index, (name, names) in enumerate(self._banks)
        }
        listed = {box: [p.name, p.short, 0] for box, p in self._parameters.items()}
        return {**listed, "parameterbanks": banks}


def _floats(place: Sequence[int]) -> list[float]:
    return [float(number) for number in place]


def _project() -> dict[str, Any]:
    """What makes a patcher a device; Max refuses one without it."""
    return {
        "version": 1,
        "creationdate": DATE,
        "modificationdate": DATE,
        "viewrect": [0.0, 0.0, 300.0, 500.0],
        "autoorganize": 1,
        "hideprojectwindow": 1,
        "showdependencies": 1,
        "autolocalize": 0,
        "contents": {"patchers": {}},
        "layout": {},
        "searchpath": {},
        "detailsvisible": 0,
        "amxdtype": int.from_bytes(INSTRUMENT, "big"),
        "readonly": 0,
        "devpathtype": 0,
        "devpath": ".",
        "sortmode": 0,
        "viewmode": 0,
    }
