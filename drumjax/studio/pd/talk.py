"""What the Pure Data client says to the server, and hears from it: subpatches behind its face.

They and the face talk through names of their own (`$0-…`), which no other client hears: a
control sends `$0-NAME` and is set through `$0-NAME-set`. Where one thing must come before
another, a trigger says so, from right to left.
"""

from drumjax.studio.pd.canvas import Canvas
from drumjax.studio.ports import OSC_PORT, serve_command

CATEGORIES, ATTRIBUTES = 16, 8  # names that the face has room for
CONTROLS = "alpha1 alpha2 alpha3 range seed amount start end volume note port auto speakers audio"
ACTIONS = "random vary play file category attribute"

_PING, _PATIENCE = 1000, 2500  # milliseconds: between pings, and until no answer is none
_NOBODY = "no answer: start "


def orders() -> Canvas:
    """What other patches say to the client: the name of a control or an action, and its value."""
    c = Canvas("orders", 900, 300)
    controls = CONTROLS.split()
    told = c.chain("[inlet]", f"[route {CONTROLS} {ACTIONS}]")
    for i, name in enumerate(controls):
        c.chain(told.out(i), f"[s $0-{name}-set]")
    random, vary, play, file, category, attribute = (
        told.out(len(controls) + i) for i in range(len(ACTIONS.split()))
    )
    c.chain(random, "[s $0-random]")
    c.chain(vary, "[s $0-vary]")
    c.chain(play, "[s $0-play]")
    c.chain(file, "[symbol]", "[s $0-file]")
    number = c.chain(category, "[route float]")
    c.chain(number, "[s $0-categories-set]")
    named = c.chain(number.out(1), "[symbol]", "[t s s]")
    c.chain(named.out(1), "[s $0-category-named]")
    c.chain(named, "[s $0-category]")
    c.chain(attribute, "[list]", "[s $0-attribute]")
    return c


def link() -> Canvas:
    """The socket: answers come to the port that it sends from, so that each client has its own."""
    c = Canvas("link", 900, 500)
    given = c.chain("[loadbang]", "[f $1]", "[sel 0]")  # the port is the first argument, if any
    c.chain(given.out(1), "[s $0-port-set]")
    port = c.chain("[r $0-port]", "[t b f b b f]")
    ask = c.chain(port, "[t b b]")
    lost = c.add("[f]")
    c.chain(port.out(4), lost.at(1))
    c.chain(port.out(3), "[0(", "[s $0-ready]")
    heard = c.add("[t a b]")
    patience = c.add(f"[delay {_PATIENCE}]")
    c.chain(ask.out(1), patience)
    silence = c.chain(patience, "[t b b]")
    c.chain(silence.out(1), "[0(", "[s $0-ready]")
    usual = c.chain(silence, lost, f"[sel {OSC_PORT}]")
    told = c.chain(usual, f"[symbol {_word(_NOBODY + serve_command(OSC_PORT))}(", "[s $0-status]")
    c.chain(usual.out(1), f"[makefilename {_word(_NOBODY)}drumjax\\ serve\\ --osc_port=%d]", told)
    ping = c.chain(ask, "[1(", f"[metro {_PING}]", "[0(", "[oscformat drumjax ping]")
    socket = c.chain(ping, "[netsend -u -b]")
    c.chain("[r $0-out]", socket)
    c.chain(port.out(2), "[disconnect(", socket)
    c.chain(port.out(1), "[connect 127.0.0.1 $1(", socket)
    c.chain(socket.out(1), "[oscparse]", "[list trim]", "[route drumjax]", heard)
    c.chain(heard.out(1), patience)
    kinds = c.chain(heard, "[route sample error pong categories instrument]")
    c.chain(kinds, "[s $0-sample]")
    for i, (to, name) in enumerate(
        [("symbol", "error"), ("symbol", "pong"), ("list", "names"), ("list", "instrument")], 1
    ):
        c.chain(kinds.out(i), f"[{to}]", f"[s $0-{name}]")
    return c


def session() -> Canvas:
    """What is asked of a server that begins to answer: its names; then the state of the face."""
    c = Canvas("session", 900, 500)
    pong = c.chain("[r $0-pong]", "[t b s]")
    ready = c.add("[f]")
    c.chain("[r $0-ready]", ready.at(1))
    ask = c.chain(pong, ready, "[sel 0]", "[t b b b]")
    version = c.add("[symbol]")
    c.chain(pong.out(1), version.at(1))
    c.chain(ask.out(2), version, "[makefilename drumjax\\ %s\\ answers]", "[s $0-status]")
    c.chain(ask.out(1), "[0(", "[oscformat drumjax instrument]", "[s $0-out]")
    c.chain(ask, "[0(", "[oscformat drumjax categories]", "[s $0-out]")
    about = c.chain("[r $0-instrument]", "[list split 4]")
    c.chain(about.out(1), "[s $0-attributes-names]")
    known = c.chain("[r $0-names]", "[t b b b l l]")
    c.chain(known.out(4), "[s $0-categories-names]")
    count = c.chain(known.out(3), "[list length]", f"[clip 1 {CATEGORIES}]")
    c.chain(count, "[number $1(", "[s $0-categories-set]")
    c.chain(known.out(2), "[1(", "[s $0-ready]")
    c.chain(known.out(1), "[s $0-attributes-again]")
    c.chain(known, "[bang(", "[s $0-categories-set]")
    return c


def names(of: str, slots: int) -> Canvas:
    """A list of names beside their labels on the face: `categories` or `attributes`.

    `$0-OF-names` takes the list, `$0-OF-number` a number and gives `$0-OF-name`, `$0-OF-find` a
    name and gives its number as `$0-OF-found`, or -1.
    """
    c = Canvas(of, 700, 500)
    numbers = f"[{', '.join(map(str, range(slots)))}("
    told = c.chain(f"[r $0-{of}-names]", "[t b l]")
    shown = c.chain(told, numbers, "[t f f]")
    label = c.add("[send]")
    c.chain(shown.out(1), f"[makefilename $0-{of}-label-%d]", label.at(1))
    kept = c.chain(shown, "[get $1(", "[list store]")
    c.chain(told.out(1), kept.at(1))
    c.chain(kept, "[label $1(", label)
    c.chain(kept.out(1), "[label empty(", label)

    asked = c.chain(f"[r $0-{of}-number]", "[get $1(", "[list store]")
    c.chain(told.out(1), asked.at(1))
    c.chain(asked, "[symbol]", f"[s $0-{of}-name]")

    find = c.chain(f"[r $0-{of}-find]", "[t b b b s]")
    number, found = c.add("[f]"), c.add("[f -1]")
    c.chain(find.out(2), "[-1(", found.at(1))
    each = c.chain(find.out(1), numbers, "[t f f]")
    c.chain(each.out(1), number.at(1))
    searched = c.chain(each, "[get $1(", "[list store]")
    c.chain(told.out(1), searched.at(1))
    same = c.chain(searched, "[symbol]", "[sel nothing]")
    c.chain(find.out(3), same.at(1))
    c.chain(same, number, found.at(1))
    c.chain(find, found, f"[s $0-{of}-found]")
    return c


def _word(text: str) -> str:
    """Text as one word of a box."""
    return text.replace(" ", "\\ ")
