"""The XY pad of the Pure Data client: a data structure whose point the mouse moves."""

from drumjax.studio.pd.canvas import Canvas

_SETTLED = 20  # milliseconds after the patch was opened


def pad(pixels: int) -> Canvas:
    """The square that shows the point, -1 to 1 both ways; `pad_logic` puts the point there."""
    c = Canvas("$0-pad", 300, 300)
    c.show(-1, 1, 1, -1, pixels, pixels)
    return c


def pad_logic() -> Canvas:
    """The point follows the sliders of alpha 1 and 2, and the sliders follow the point."""
    c = Canvas("pad", 700, 500)
    x, y = (f"{name}(-1:1)(-1:1)" for name in ("px", "py"))
    changed = c.chain("[struct $0-point float x float y float px float py]", "[route change]")
    c.add(f"[drawpolygon 0 1 -1 {y} {x} {y} 1 {y}]")
    c.add(f"[drawpolygon 0 1 {x} -1 {x} {y} {x} 1]")
    c.add(f"[filledpolygon 0 0 9 {x} {y} {x} {y} {x} {y}]")
    moved = c.chain(changed, "[get $0-point px py]")
    c.chain(moved, "[s $0-alpha1-set]")
    c.chain(moved.out(1), "[s $0-alpha2-set]")

    made = c.chain("[loadbang]", f"[delay {_SETTLED}]", "[t b b b b]")
    c.chain(made.out(3), "[clear(", "[s pd-$0-pad]")  # of a point that was saved with the patch
    point = c.add("[append $0-point px py]")
    where = c.chain(made.out(2), "[symbol pd-$0-pad]", "[traverse $1, bang(", "[pointer]")
    c.chain(where, point.at(2))
    kept = c.chain(made.out(1), "[f]", point)
    there = c.chain(made, "[1(")
    for start, control, field in ((kept, "alpha1", "px"), (point, "alpha2", "py")):
        told = c.chain(f"[r $0-{control}]", "[t f f]")
        c.chain(told.out(1), start.at(1))
        gate = c.chain(told, "[spigot]")
        c.chain(there, gate.at(1))
        follow = c.chain(gate, f"[set $0-point {field}]")
        c.chain(point, follow.at(1))
    return c
