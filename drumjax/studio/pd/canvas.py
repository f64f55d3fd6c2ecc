"""Canvases of Pure Data: boxes and cords, put in order, written as the text of a patch."""

import dataclasses
import itertools
import re
from collections.abc import Iterable

FONT = 10  # of every box that does not choose its own
_LINE, _GAP, _LETTER = 30, 24, 6  # pixels: between rows, between boxes of a row, of a letter


@dataclasses.dataclass(frozen=True)
class Box:
    """A box of a canvas, with the outlet and the inlet that a cord takes.

    Attributes:
      number: which box of its canvas, from 0.
      outlet: where a cord from it starts, from 0.
      inlet: where a cord to it ends, from 0.
    """

    number: int
    outlet: int = 0
    inlet: int = 0

    def out(self, outlet: int) -> "Box":
        """The box, left through another outlet."""
        return dataclasses.replace(self, outlet=outlet)

    def at(self, inlet: int) -> "Box":
        """The box, entered through another inlet."""
        return dataclasses.replace(self, inlet=inlet)


def escaped(text: str) -> str:
    """Text as it stands in a box, as it stands in a file; a blank within a word stays `\\ `."""
    return re.sub(r" ?([,;])", r" \\\1", text.replace("$", r"\$"))


class Canvas:
    """A canvas that is filled box by box; the text of boxes is as Pure Data shows it.

    Attributes:
      name: what a subpatch is called.
    """

    def __init__(self, name: str = "", width: int = 600, height: int = 400):
        self.name = name
        self._size = width, height
        self._lines: list[tuple[str, str]] = []  # before a box's place, and after it
        self._widths: list[int] = []
        self._places: list[tuple[int, int] | None] = []  # None: to be put in order
        self._cords: list[tuple[int, int, int, int]] = []
        self._end = ""

    def add(self, text: str, place: tuple[int, int] | None = None) -> Box:
        """A box as it is drawn: `[object]`, `[message(` or a `comment`.

        Args:
          text: of the box.
          place: x and y in pixels; without one, the box is put below those that feed it.
        """
        kinds = {"[]": "obj", "[(": "msg"}
        kind = kinds.get(text[:1] + text[-1:], "text")
        inside = text if kind == "text" else text[1:-1]
        width = max(3, max(map(len, inside.split(";")))) * _LETTER + 6
        return self._add(f"#X {kind}", inside, width, place)

    def add_atom(self, kind: str, values: str, place: tuple[int, int]) -> Box:
        """A box that shows a number or a symbol: `floatatom` or `symbolatom`."""
        return self._add(f"#X {kind}", values, 0, place)

    def add_canvas(self, canvas: "Canvas", place: tuple[int, int] | None = None) -> Box:
        """A subpatch: `pd NAME`, or what the canvas ends in when it shows itself."""
        kind, name = ("graph", "") if canvas._end.startswith("#X array") else ("pd", canvas.name)
        width = len(name) * _LETTER + 24
        return self._add(f"{canvas._inside()}#X restore", f"{kind} {name}".strip(), width, place)

    def show(self, left: float, top: float, right: float, bottom: float, *pixels: int) -> None:
        """Show the canvas in the one that it stands in: its ranges; width, height [and margins]."""
        x, y = pixels[2:] or (0, 0)
        size = f"{pixels[0]} {pixels[1]}"
        self._end += f"#X coords {left:g} {top:g} {right:g} {bottom:g} {size} 2 {x} {y};\n"

    def add_array(self, name: str, count: int) -> None:
        """An array of so many numbers, drawn as a line; its content is not saved."""
        self._end += f"#X array {name} {count} float 8;\n"

    def chain(self, *boxes: "Box | str") -> Box:
        """Cords from each box to the next one; text makes a new box. Returns the last one."""
        made = [self.add(box) if isinstance(box, str) else box for box in boxes]
        for a, b in itertools.pairwise(made):
            self._cords.append((a.number, a.outlet, b.number, b.inlet))
        return made[-1]

    def text(self) -> str:
        """The whole patch, as its file holds it."""
        width, height = self._size
        return f"#N canvas 60 60 {width} {height} {FONT};\n{self._content()}"

    def _inside(self) -> str:
        width, height = self._size
        return f"#N canvas 80 80 {width} {height} {self.name or '(subpatch)'} 0;\n{self._content()}"

    def _add(self, start: str, end: str, width: int, place: tuple[int, int] | None) -> Box:
        self._lines.append((start, end))
        self._widths.append(width)
        self._places.append(place)
        return Box(len(self._lines) - 1)

    def _content(self) -> str:
        boxes = [
            f"{start} {x} {y} {escaped(end)};\n"
            for (start, end), (x, y) in zip(self._lines, self._in_order(), strict=True)
        ]
        cords = [f"#X connect {a} {b} {c} {d};\n" for a, b, c, d in self._cords]
        return "".join([*boxes, *cords, self._end])

    def _in_order(self) -> list[tuple[int, int]]:
        """Each box's place: rows from top to bottom along the cords, no box over another."""
        rows: dict[int, list[int]] = {}
        for number, depth in enumerate(self._depths()):
            rows.setdefault(depth, []).append(number)
        places = list(self._places)
        for depth in sorted(rows):
            x = 20
            for number in rows[depth]:
                if places[number] is None:
                    wanted = self._under(number, places)
                    x = max(x, wanted)
                    places[number] = x, 20 + _LINE * depth
                    x += self._widths[number] + _GAP
        return [place or (20, 20) for place in places]

    def _under(self, number: int, places: Iterable[tuple[int, int] | None]) -> int:
        """Where the leftmost box that feeds one stands, of those that have a place."""
        feeding = {a for a, _, b, _ in self._cords if b == number}
        found = [place[0] for i, place in enumerate(places) if i in feeding and place]
        return min(found, default=20)

    def _depths(self) -> list[int]:
        """The row of each box: below all that feed it, whatever feeds back from further on."""
        depths = [0] * len(self._lines)
        for _ in depths:
            for a, _, b, _ in self._cords:
                if a < b:
                    depths[b] = max(depths[b], depths[a] + 1)
        return depths
