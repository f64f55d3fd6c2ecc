"""Which category a sound belongs to, read from the words in its file and folder names."""

import itertools
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

from drumjax.audio.names import brief
from drumjax.categories import CATEGORIES
from drumjax.errors import DataError

OTHER = "other"  # a drum that is none of the eleven
_HAT = "hat"  # a hat that the name calls neither open nor closed

# Words next to each other; '+' joins words that stand anywhere in the name. Plurals are understood.
_ALIASES = {
    "kick": "kick, kik, kck, kickdrum, kick drum, bd, kd, kdrum, bassdrum, bass drum",
    "snare": "snare, snr, sd, sn, snaredrum, snare drum",
    "clap": "clap, clp, cp, handclap, hand clap",
    "snap": "snap, fingersnap, finger snap",
    "tom": "tom, tomtom, lt, mt, ht, lowtom, midtom, hitom, lotom, hightom, floortom, racktom",
    "conga": "conga, quinto, tumba, tumbadora, lc, mc, hc",
    "bongo": "bongo",
    "shaker": "shaker, shake, shk, maraca, cabasa, shekere, caxixi",
    "tambourine": "tambourine, tamb, tmb, tambo, tamborine, tamburin",
    "closed_hat": "ch, chh, hhc, chat, chihat",
    "open_hat": "oh, ohh, hho, ohat, ohihat",
    _HAT: "hat, hihat, hi hat, hh, hhat",
    OTHER: (
        "crash, ride, cymbal, cym, cy, china, splash, gong, cowbell, cow bell, bell, cb, rim, "
        "rimshot, rs, sidestick, side stick, stick, clave, woodblock, wood block, block, agogo, "
        "triangle, guiro, timbale, tabla, djembe, cajon, whistle, vibraslap, tambora, tamborim, "
        "half, semi, halfopen, semiopen, pedal, foot"
    ),
}
_MISLEADING = frozenset({"snappy"})  # words that begin with a category and mean another
_HATS = ("closed_hat", "open_hat")
_HAT_WORDS = ("hat", "hihat", "hh", "hhat")
_CLOSED_WORDS = ("closed", "close", "clsd", "cls", "cl", "clos", "shut", "tight")
_OPEN_WORDS = ("open", "opened", "opn", "op")
_WEAK = 2  # letters; shorter abbreviations give way to longer words
_AFFIX = 4  # letters; from here on an alias is found at a word's start or end, too
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LETTERS = re.compile(r"[^\W\d_]+")


class _Name(NamedTuple):
    """The words of one or several names, and the same in order."""

    words: frozenset[str]
    short: frozenset[str]  # the words of one or two letters that may say a category by themselves
    line: str


class Aliases:
    """The table of words that name a category."""

    def __init__(self, extra: Mapping[str, Iterable[str]] | None = None):
        """Take the built-in words and, over them, `extra`: category (or 'other') → words."""
        table = dict(_built_in())
        for category, aliases in (extra or {}).items():
            table.update((_normal(alias), category) for alias in aliases)
        self._table = table

    def category(self, path: PurePath) -> str | None:
        """The category of the sound at `path`, relative to the folder that is searched.

        The file's name decides; if it says nothing, the nearest folder, and so on. A hat that the
        file does not call open or closed may be called so by a folder. A word of one or two letters
        counts in a folder's name only if it is all of it: 'SD', but not 'SD Card' or 'MT-40'. None
        if nothing is said or two categories are; OTHER for a drum that is none of the eleven.
        """
        names = [_read(path.stem), *map(_read_folder, reversed(path.parent.parts))]
        hat = False
        for name in itertools.accumulate(names, _joined):
            found = self._found(name)
            if hat:
                found &= set(_HATS)
            if found == {_HAT}:
                hat = True
            elif found:
                return found.pop() if len(found) == 1 else None
        return None

    def is_named_by(self, folder: str) -> bool:
        """Whether a folder's name says a category, or several: 'Kicks', '808 Kicks', 'Hats'."""
        return bool(self._found(_read_folder(folder)))

    def _found(self, name: _Name) -> set[str]:
        """The categories that a name speaks of, after the closest kind of match there is."""
        ranked: dict[int, dict[frozenset[str], set[str]]] = {}
        for alias, category in self._table.items():
            rank, used = _match(alias, name)
            if rank:
                ranked.setdefault(rank, {}).setdefault(used, set()).add(category)
        best = ranked[max(ranked)] if ranked else {}
        longest = [used for used in best if not any(used < other for other in best)]
        found = set().union(*(best[used] for used in longest))
        return found - {_HAT} if found.intersection(_HATS) else found


def load_aliases(path: Path | None) -> Aliases:
    """The built-in table, extended by the `[aliases]` of a TOML file: kick = ["boom", "thud"].

    Raises:
        DataError: the file cannot be read, names a category that does not exist, or has an alias
            without letters, which every name would match.
    """
    if path is None:
        return Aliases()
    try:
        extra = tomllib.loads(path.read_text("utf-8-sig"))["aliases"]
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"the table {path} cannot be read: {error}.") from error
    except KeyError:
        raise DataError(
            f'{path} has no [aliases]; write lines like kick = ["boom"] there.'
        ) from None
    if not isinstance(extra, dict):
        raise DataError(f'{path}: write [aliases] and, below it, lines like kick = ["boom"].')
    for category, aliases in extra.items():
        if category not in (*CATEGORIES, OTHER):
            known = ", ".join((*CATEGORIES, OTHER))
            raise DataError(f"{path} names the category {brief(category)}; there are: {known}.")
        if not isinstance(aliases, list) or not all(isinstance(a, str) and a for a in aliases):
            raise DataError(f'{path}: write {brief(category)} = ["word", "two words"].')
        for alias in aliases:
            if not all(_normal(alias).split("+")):
                raise DataError(f"{path}: {brief(category)} has {alias!r}; write words of letters.")
    return Aliases(extra)


def _built_in() -> Iterable[tuple[str, str]]:
    """Pairs of alias and category."""
    for category, aliases in _ALIASES.items():
        yield from ((_normal(alias), category) for alias in aliases.split(", "))
    for category, kinds in zip(_HATS, (_CLOSED_WORDS, _OPEN_WORDS), strict=True):
        for kind, hat in itertools.product(kinds, _HAT_WORDS):
            yield from ((f"{kind}+{hat}", category), (kind + hat, category), (hat + kind, category))


def _normal(alias: str) -> str:
    """An alias in the form in which names are read."""
    alias = unicodedata.normalize("NFC", alias).lower()
    return "+".join(" ".join(map(_singular, _LETTERS.findall(a))) for a in alias.split("+"))


def _singular(word: str) -> str:
    plural = len(word) > 3 and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if plural else word


def _read(text: str) -> _Name:
    """Split a name at all that is no letter and, besides, at capital letters inside a word."""
    text = unicodedata.normalize("NFC", text)  # macOS stores letters and accents apart
    runs = [_singular(run.lower()) for run in _LETTERS.findall(text)]
    pieces = [_singular(p.lower()) for p in _LETTERS.findall(_CAMEL.sub(" ", text))]
    words = frozenset(runs + pieces) - _MISLEADING
    return _Name(words, frozenset(w for w in words if len(w) <= _WEAK), f" {' '.join(pieces)} ")


def _read_folder(text: str) -> _Name:
    """Read a folder's name, whose short words mean something by themselves only if alone."""
    name = _read(text)
    return name if len(text.strip()) <= _WEAK else name._replace(short=frozenset())


def _joined(near: _Name, far: _Name) -> _Name:
    return _Name(near.words | far.words, near.short | far.short, f"{near.line}|{far.line}")


def _match(alias: str, name: _Name) -> tuple[int, frozenset[str]]:
    """How closely `alias` is found in `name` (0 not at all, 3 best), and the words it rests on."""
    parts = frozenset(alias.replace("+", " ").split())
    whole = f" {alias} " in name.line if " " in alias else parts <= name.words
    if len(alias) <= _WEAK:
        whole = alias in name.short
    if whole:
        return (3 if len(alias) > _WEAK else 2), parts
    if len(parts) > 1 or len(alias) < _AFFIX:
        return 0, frozenset()
    words = frozenset(w for w in name.words if w.startswith(alias) or w.endswith(alias))
    return (1 if words else 0), words
