"""The face of the Pure Data client: its sliders, buttons and labels, and where they stand."""

from drumjax.studio.pd.canvas import Canvas
from drumjax.studio.pd.pad import pad
from drumjax.studio.pd.sound import LINES
from drumjax.studio.pd.talk import ATTRIBUTES, CATEGORIES

WIDTH, HEIGHT = 760, 572  # pixels
PAD = 200  # pixels a side of the XY pad
_WAVE = 676, 96  # pixels
_CELL = 17  # pixels of a category, and of a step of the range
_FRAMES = 1000  # of the table before it holds a sound
_EDGE = 3  # pixels that a slider extends beyond its ends
_BACK, _DARK = "#ececec", "#181818"
_COLOURS = f"#fcfcfc {_DARK} {_DARK}"  # background, front, label


def put_controls(c: Canvas, osc_port: int) -> None:
    """Put all that is seen on the canvas; a control sends `$0-NAME`, and hears `$0-NAME-set`."""
    c.add(f"[cnv 1 {WIDTH} {HEIGHT} empty empty empty 0 0 0 10 {_BACK} {_DARK} 0]", (0, 0))
    _label(c, 20, 10, "drumjax", size=18)
    for line in range(LINES):
        _label(c, 120, 4 + 13 * line, "", name=f"status-{line + 1}")
    _put_categories(c, 20, 72)
    _put_pad(c, 190, 72)
    _put_attributes(c, 490, 72)
    _put_source(c, 490, 292)
    _put_wave(c, 20, 376)
    _put_playing(c, 20, 538, osc_port)


def _put_categories(c: Canvas, x: int, y: int) -> None:
    _label(c, x, y - 22, "category")
    _radio(c, "vradio", x, y, "categories", 1)
    for i in range(CATEGORIES):
        _label(c, x + 24, y + _CELL * i, "", name=f"categories-label-{i}")


def _put_pad(c: Canvas, x: int, y: int) -> None:
    _label(c, x, y - 22, "pad: drag the point")
    c.add_canvas(pad(PAD), (x + 24, y))
    _slider(c, x, y, "alpha2", (-1, 1), PAD - 2 * _EDGE + 1, upright=True)
    _slider(c, x + 24, y + PAD + 8, "alpha1", (-1, 1), PAD - 2 * _EDGE + 1)
    _label(c, x + 24, y + PAD + 32, "fine")
    _slider(c, x + 64, y + PAD + 34, "alpha3", (-1, 1), PAD - 45)
    _label(c, x + 24, y + PAD + 56, "range")
    _radio(c, "hradio", x + 64, y + PAD + 58, "range", 4, 1)
    for i, text in enumerate(("0.5", "1", "2", "3")):
        _label(c, x + 72 + _CELL * i - 3 * len(text), y + PAD + 74, text)
    _label(c, x + 142, y + PAD + 57, "seed")
    _number(c, x + 170, y + PAD + 59, "seed", 6, (0, 999999), 0)
    _button(c, x + 240, y + PAD + 59, "random", "random")


def _put_attributes(c: Canvas, x: int, y: int) -> None:
    _label(c, x, y - 22, "attributes (standard deviations)")
    for i in range(ATTRIBUTES):
        _slider(c, x, y + 24 * i, f"attribute-{i}", (-3, 3), 161)
        _label(c, x + 172, y + 24 * i - 1, "", name=f"attributes-label-{i}")


def _put_source(c: Canvas, x: int, y: int) -> None:
    _label(c, x, y - 22, "a sound of your own")
    _button(c, x, y, "open", "open")
    c.add_atom("symbolatom", "26 0 0 0 - $0-file-shown - 10", (x + 60, y))
    _slider(c, x, y + 28, "amount", (0, 1), 161, 0.3)
    _label(c, x + 172, y + 27, "amount")
    _button(c, x + 218, y + 28, "vary", "vary")


def _put_wave(c: Canvas, x: int, y: int) -> None:
    _label(c, x, y - 20, "sound")
    _label(c, x + 60, y - 20, "", name="length")
    wave = Canvas()
    wave.add_array("$0-sound", _FRAMES)
    wave.show(0, 1, _FRAMES - 1, -1, *_WAVE)
    c.add_canvas(wave, (x, y))
    _slider(c, x, y + _WAVE[1] + 6, "start", (0, 1), _WAVE[0] - 2 * _EDGE, label="start")
    _slider(c, x, y + _WAVE[1] + 26, "end", (0, 1), _WAVE[0] - 2 * _EDGE, 1, label="end")


def _put_playing(c: Canvas, x: int, y: int, osc_port: int) -> None:
    _button(c, x, y, "play", "play")
    _switch(c, x + 70, y, "auto", "play new sounds", True)
    _switch(c, x + 200, y, "audio", "audio on")
    _switch(c, x + 285, y, "speakers", "to the speakers", True)
    _slider(c, x + 410, y, "volume", (-60, 0), 91, -6, label="dB")
    _label(c, x + 542, y - 1, "note")
    _number(c, x + 572, y, "note", 3, (0, 127), 0)
    _label(c, x + 626, y - 1, "port")
    _number(c, x + 656, y, "port", 5, (1, 65535), osc_port)


def _label(c: Canvas, x: int, y: int, text: str, name: str = "", size: int = 10) -> None:
    """Text without a frame; where it has a name, other text is put there through `$0-NAME`."""
    heard = f"$0-{name}" if name else "empty"
    where = f"0 8 0 {size} {_BACK} {_DARK} 0"
    c.add(f"[cnv 1 1 1 empty {heard} {_word(text)} {where}]", (x, y))


def _slider(
    c: Canvas,
    x: int,
    y: int,
    name: str,
    ends: tuple[float, float],
    length: int,
    value: float = 0,
    upright: bool = False,
    label: str = "",
) -> None:
    """A slider of so many pixels; its value must be at a whole one, from 0 to length - 1."""
    low, high = ends
    kind, size = ("vsl", f"14 {length}") if upright else ("hsl", f"{length} 14")
    at = 100 * round((value - low) / (high - low) * (length - 1))
    place = (x, y + _EDGE) if upright else (x + _EDGE, y)
    c.add(f"[{kind} {size} {low} {high} 0 1 {_about(name, label, length + 6, 7)} {at} 1]", place)


def _radio(c: Canvas, kind: str, x: int, y: int, name: str, cells: int, chosen: int = 0) -> None:
    c.add(f"[{kind} {_CELL} 1 1 {cells} {_about(name)} {chosen}]", (x, y))


def _number(
    c: Canvas, x: int, y: int, name: str, digits: int, ends: tuple[int, int], value: int
) -> None:
    low, high = ends
    c.add(f"[nbx {digits} 15 {low} {high} 0 1 {_about(name)} {value} 256]", (x, y))


def _button(c: Canvas, x: int, y: int, name: str, label: str) -> None:
    c.add(f"[bng 15 250 50 0 {_about(name, label, 20, 7)}]", (x, y))


def _switch(c: Canvas, x: int, y: int, name: str, label: str, on: bool | None = None) -> None:
    """A switch; `on` is what it sends when the patch is opened, None: nothing."""
    start = "0" if on is None else "1"
    c.add(f"[tgl 15 {start} {_about(name, label, 20, 7)} {int(bool(on))} 1]", (x, y))


def _about(name: str, label: str = "", x: int = 0, y: int = 0) -> str:
    """What all controls say: what they send and hear, their label and its place, colours."""
    return f"$0-{name} $0-{name}-set {_word(label)} {x} {y} 0 10 {_COLOURS}"


def _word(text: str) -> str:
    """Text as one word of a file."""
    return text.replace(" ", "\\ ") or "empty"
