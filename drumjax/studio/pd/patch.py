"""The Pure Data client as the text of one file: `drumjax pd-patch` writes it.

Opened by itself it is an instrument with a face. As an object of another patch, `[drumjax]` or
`[drumjax 9400]`, it has an inlet that takes the names of its controls (`alpha1 0.5`), an outlet
with the sound, and one that tells what happens (`sound …`, `status …`, `error …`). It needs Pure
Data 0.52 or later, and nothing else.
"""

import hashlib
import re

from drumjax import __version__
from drumjax.studio.pd import sound, talk, wishes
from drumjax.studio.pd.canvas import Canvas
from drumjax.studio.pd.face import HEIGHT, WIDTH, put_controls
from drumjax.studio.pd.pad import pad_logic
from drumjax.studio.pd.talk import ATTRIBUTES, CATEGORIES
from drumjax.studio.ports import OSC_PORT

_NO_SEAL = "0" * 32
_SEAL = re.compile(r"(?<=unchanged since drumjax wrote it: )[0-9a-f]{32}")


def patch_text(osc_port: int = OSC_PORT) -> str:
    """The patch.

    Args:
      osc_port: where the server listens, 1 to 65535; the face and the first argument change it.
    """
    c = Canvas(width=WIDTH + 20, height=HEIGHT + 20)
    put_controls(c, osc_port)
    y = HEIGHT + 30  # below what is seen
    orders, player, status = talk.orders(), sound.player(), sound.status()
    c.chain(c.add("[inlet]", (20, y)), c.add_canvas(orders, (20, y + 30)))
    c.chain(c.add_canvas(player, (120, y)), c.add("[outlet~]", (120, y + 30)))
    c.chain(c.add_canvas(status, (220, y)), c.add("[outlet]", (220, y + 30)))
    rest = [talk.link(), talk.session(), wishes.request(), wishes.category()]
    rest += [wishes.attributes(), wishes.vary()]
    rest += [talk.names("categories", CATEGORIES), talk.names("attributes", ATTRIBUTES)]
    rest += [sound.sample(), sound.midi(), sound.device(), pad_logic()]
    for i, canvas in enumerate(rest):
        c.add_canvas(canvas, (320 + 140 * (i % 3), y + 30 * (i // 3)))
    c.add(f"drumjax {__version__}", (20, y + 80))
    c.add(f"unchanged since drumjax wrote it: {_NO_SEAL}", (20, y + 100))
    c.show(0, -1, 1, 1, WIDTH, HEIGHT)
    return _sealed(c.text())


def is_untouched(data: bytes) -> bool:
    """Whether a file holds the patch as drumjax wrote it, changed by nobody."""
    text = data.decode("utf-8", "replace")
    return _SEAL.search(text) is not None and _sealed(_SEAL.sub(_NO_SEAL, text)) == text


def _sealed(text: str) -> str:
    """The patch with a hash of all the rest of it."""
    return text.replace(_NO_SEAL, hashlib.sha256(text.encode()).hexdigest()[: len(_NO_SEAL)])
