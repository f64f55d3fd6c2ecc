"""The sounds that the Pure Data client asks for: by its pad, by attributes, by a sound file."""

from drumjax.studio.pd.canvas import Box, Canvas
from drumjax.studio.pd.talk import ATTRIBUTES

_PACE = 10  # milliseconds from one request to the next while a control moves
_REST = 100  # milliseconds without a move, before a sound file is varied anew
_SEEDS = 1_000_000  # a number of Pure Data is whole below 2 ** 24


def request() -> Canvas:
    """Asks for a sound when a control has moved, and all that move within the pace with it."""
    c = Canvas("request", 900, 500)
    place = [c.chain(f"[r $0-alpha{i}]", "[t b f]") for i in (1, 2, 3)]
    category = c.chain("[r $0-category]", "[t b s]")
    reach = c.chain("[r $0-range]", "[max 0.5]", "[t b f]")
    seed = c.chain("[r $0-seed]", "[t b f]")
    changed = c.add("[spigot]")
    c.chain("[r $0-ready]", changed.at(1))
    for control in (*place, category, reach, seed):
        c.chain(control, changed)
    own = c.chain(changed, "[t b b]")
    varied = c.chain(own.out(1), "[0(", "[s $0-varied]")
    gate = c.chain(own, "[spigot 1]")
    closed = c.chain(gate, "[t b b]")
    opened = c.chain(closed, f"[delay {_PACE}]", "[t b b]")
    c.chain(closed.out(1), "[0(", gate.at(1))
    c.chain(opened.out(1), "[1(", gate.at(1))
    kept = c.add("[f]")
    packed = c.chain(opened, kept, "[pack f f f s f f f]")
    c.chain(place[0].out(1), kept.at(1))
    for i, control in enumerate((*place[1:], category), 1):
        c.chain(control.out(1), packed.at(i))
    c.chain(reach.out(1), packed.at(5))
    c.chain(seed.out(1), packed.at(6))
    asked = c.chain(packed, "[t l b]")
    c.chain(asked.out(1), "[0(", varied)
    c.chain(asked, "[oscformat drumjax generate]", "[s $0-out]")

    c.chain("[r $0-category-known]", packed.at(3))
    c.chain(_drawn(c, c.add("[r $0-random]")), "[s $0-seed-set]")
    return c


def category() -> Canvas:
    """The category that is shown is the one that is asked for.

    Another patch may name it. A sound that was varied is of its own: where that was the last wish,
    the answer's category is shown. Names that the server does not list, as of a hybrid, change
    nothing.
    """
    c = Canvas("category", 600, 400)
    c.chain("[r $0-categories]", "[s $0-categories-number]")
    c.chain("[r $0-categories-name]", "[s $0-category]")
    ours = c.chain("[r $0-category-heard]", "[spigot]")
    c.chain("[r $0-varied]", ours.at(1))
    name = c.chain(ours, "[t s s]")
    c.chain("[r $0-category-named]", name)
    kept = c.add("[symbol]")
    c.chain(name.out(1), kept.at(1))
    c.chain(name, "[s $0-categories-find]")
    found = c.chain("[r $0-categories-found]", "[moses 0]")
    known = c.chain(found.out(1), "[t b f]")
    c.chain(known.out(1), "[set $1(", "[s $0-categories-set]")
    c.chain(known, kept, "[s $0-category-known]")
    return c


def attributes() -> Canvas:
    """Each slider's value goes with its name; a server that is new to them hears those not 0."""
    c = Canvas("attributes", 1200, 500)
    again = c.add("[r $0-attributes-again]")
    told = c.add("[unpack f f]")
    for i in range(ATTRIBUTES):
        value = c.chain(f"[r $0-attribute-{i}]", "[t f f]")
        kept = c.chain(again, "[f]")
        c.chain(value.out(1), kept.at(1))
        numbered = c.chain(value, f"[list prepend {i}]")
        c.chain(c.chain(kept, "[sel 0]").out(1), numbered)
        c.chain(numbered, told)
    c.chain(told, "[s $0-attributes-number]")
    packed = c.add("[pack s f f]")
    c.chain(told.out(1), packed.at(1))
    c.chain("[r $0-attributes-name]", packed)
    ready = c.chain(packed, "[spigot]")
    c.chain("[r $0-ready]", ready.at(1))
    c.chain(ready, "[oscformat drumjax attribute]", "[s $0-out]")

    asked = c.chain("[r $0-attribute]", "[unpack s f]")  # as another patch says it
    name = c.chain(asked, "[t b s s]")
    slider, sent, word = c.add("[f]"), c.add("[f]"), c.add("[symbol]")
    number = c.add("[f]")
    for value in (slider, sent):
        c.chain(asked.out(1), value.at(1))
    c.chain(name.out(2), word.at(1))
    c.chain(name.out(1), "[s $0-attributes-find]")
    c.chain("[r $0-attributes-found]", number.at(1))
    known = c.chain(name, number, "[moses 0]")
    unknown = c.chain(known, "[t b b]")  # is for the server to refuse
    c.chain(unknown.out(1), sent, packed.at(1))
    c.chain(unknown, word, packed)
    move = c.chain(known.out(1), "[t b f]")
    there = c.add("[send]")
    c.chain(move.out(1), "[makefilename $0-attribute-%d-set]", there.at(1))
    c.chain(move, slider, there)
    return c


def vary() -> Canvas:
    """A sound file of one's own, and how far from it the next sound may be.

    Each time anew, but while the amount moves: that goes one way, further or less far.
    """
    c = Canvas("vary", 700, 400)
    c.chain("[r $0-open]", "[openpanel]", "[s $0-file]")
    file = c.chain("[r $0-file]", "[t b b s s]")
    amount = c.chain("[r $0-amount]", "[t b f]")
    draw = c.chain("[r $0-vary]", "[t b b b]")
    seed = _drawn(c, draw.out(1))
    path = c.add("[symbol]")
    name = c.chain(file.out(3), "[file splitname]", "[unpack s s]")
    c.chain(name.out(1), "[s $0-file-shown]")
    c.chain(file.out(2), path.at(1))
    known = c.chain(file.out(1), "[1(")
    c.chain(file, draw)
    first = c.chain(draw, "[f]")
    rest = c.chain(amount, f"[delay {_REST}]")
    c.chain(draw.out(2), "[stop(", rest)
    moved = c.chain(rest, "[f]")
    for flag in (first, moved):
        c.chain(known, flag.at(1))
    asked = c.chain(first, "[sel 0 1]")
    c.chain(asked, "[symbol choose\\ a\\ sound\\ file\\ first(", "[s $0-status]")
    c.chain(asked.out(1), path)
    c.chain(moved, "[sel 1]", path)
    packed = c.chain(path, "[pack s f f s f]")
    c.chain(amount.out(1), packed.at(1))
    c.chain("[loadbang]", "[symbol]", packed.at(3))  # empty: the category is the file's own
    c.chain(seed, packed.at(4))
    wanted = c.chain(packed, "[t l b]")
    c.chain(wanted.out(1), "[1(", "[s $0-varied]")
    c.chain(wanted, "[oscformat drumjax vary]", "[s $0-out]")
    return c


def _drawn(c: Canvas, bang: Box) -> Box:
    """A number from 1 that differs each time, also from those after the last start of Pd."""
    when = c.chain(bang, "[t b b]")
    drawn = c.add(f"[random {_SEEDS - 1}]")
    clock = c.add("[realtime]")
    c.chain(when.out(1), clock.at(1))
    c.chain(clock, "[* 1000]", "[int]", "[seed $1(", drawn)
    c.chain(when, drawn)
    return c.chain(drawn, "[+ 1]")
