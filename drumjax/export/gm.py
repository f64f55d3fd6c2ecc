"""General MIDI's drum notes: which category a note asks for, and which note a pad answers to.

Notes 35 to 81: General MIDI 1 percussion map; 82 to 87: General MIDI 2; 26: Roland GS.
"""

from collections.abc import Sequence

from drumjax.categories import CHOKES
from drumjax.errors import DataError

# The notes of each category, the usual one first. A finger snap has no note in General MIDI: the
# side stick, a dry click as well, is lent to it.
NOTES: dict[str, tuple[int, ...]] = {
    "kick": (36, 35),
    "snare": (38, 40),
    "clap": (39,),
    "snap": (37, 26),
    "closed_hat": (42, 44),
    "open_hat": (46,),
    "tom": (45, 41, 43, 47, 48, 50),
    "conga": (63, 62, 64),
    "bongo": (60, 61),
    "shaker": (70, 69, 82),
    "tambourine": (54,),
}

# Instruments that are none of ours but stand near one: timbales, jingle bells, claves, surdos.
_NEIGHBOURS = {65: "tom", 66: "tom", 83: "tambourine", 75: "snap", 86: "tom", 87: "tom"}

CATEGORY_OF = {note: name for name, notes in NOTES.items() for note in notes} | _NEIGHBOURS

_GROUPS = {name: number for number, name in enumerate(CHOKES, 1)}
_CUT_BY = {name: _GROUPS[choker] for choker, names in CHOKES.items() for name in names}

# Where pads without a note of their own go, in this order: first the notes that are no drum in any
# map, as the others would play such a pad for the cymbals and bells of a drum part.
_FREE = (*range(88, 128), *range(27), *range(27, 35), *range(82, 88), *range(35, 82))


def category_of(note: int) -> str | None:
    """The category that a MIDI note of a drum part asks for; None for cymbals, bells and the like.

    A side stick asks for a snap and a timbale for a tom, their nearest neighbours here.
    """
    return CATEGORY_OF.get(note)


def choke_groups(category: str) -> tuple[int | None, int | None]:
    """The choke group of a category, and that whose hits cut it off; from `categories.CHOKES`.

    A closed hat is in group 1 and an open one is cut off by it; all else is in none.
    """
    return _GROUPS.get(category), _CUT_BY.get(category)


def assign_notes(categories: Sequence[str]) -> list[int]:
    """A MIDI note of its own for each pad of a kit, in their order.

    A category's first pad gets its usual note and the next ones its further notes; pads beyond
    those, and of categories that General MIDI does not know, get notes that no category has.

    Raises:
      DataError: there are more pads than notes are left.
    """
    own = {name: list(NOTES.get(name, ())) for name in categories}
    free = [note for note in _FREE if note not in CATEGORY_OF]
    notes = []
    for name in categories:
        left = own[name] or free
        if not left:
            raise DataError(f"A kit of {len(categories)} pads needs more notes than MIDI has.")
        notes.append(left.pop(0))
    return notes
