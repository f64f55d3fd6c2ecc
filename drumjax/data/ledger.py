"""What `prepare` has found, read and decided: a table on disk, so that memory stays flat.

The table is made anew by each run. What lasts from run to run are the parts beside it; a sound that
an earlier run has read is known by its key.
"""

import contextlib
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from drumjax.categories import CATEGORIES
from drumjax.data import parts
from drumjax.data.parts import Place
from drumjax.data.scan import Candidate, Skipped
from drumjax.data.split import split_by_file, split_by_kit
from drumjax.errors import DataError
from drumjax.lock import hold

DUPLICATE = "duplicate"
UNTRAINED = "no training sound in its category"

FORM = 1  # to be raised when sounds come out of reading or rendering in another way
CRASHED = "crashes the reader"
_FLEETING = (  # reasons that another run may not meet again
    "not there",
    "cannot be opened",
    "crashes the reader",  # or memory was short
)
_LOCK = "lock"

_TABLES = """
CREATE TABLE wanted (place INTEGER PRIMARY KEY, key TEXT, path BLOB, name TEXT, category TEXT,
                     kit TEXT, fold TEXT);
CREATE TABLE done (key TEXT PRIMARY KEY, part INTEGER, start INTEGER, length INTEGER, digest TEXT,
                   reason TEXT, detail TEXT) WITHOUT ROWID;
CREATE TABLE kept (place INTEGER PRIMARY KEY, name TEXT, category TEXT, kit TEXT, fold TEXT,
                   part INTEGER, start INTEGER, length INTEGER, digest TEXT);
CREATE TABLE left_out (place INTEGER PRIMARY KEY, name TEXT, reason TEXT, detail TEXT);
"""

# Of equal sounds one is kept, for training if there is one for it.
_RANKED = """
SELECT *, row_number() OVER same AS n, first_value(name) OVER same AS first
FROM wanted JOIN done USING (key) WHERE reason IS NULL
WINDOW same AS (PARTITION BY digest ORDER BY fold IS 'validation', place)
"""


class Row(NamedTuple):
    """A sound of the data set."""

    name: str
    category: str
    kit: str
    place: Place


class Ledger:
    """The table and the parts of a folder that no other process may use meanwhile.

    Attributes:
        folder: where all that lies.
        parts: the folder of the parts.
    """

    def __init__(self, folder: Path):
        self.folder, self.parts = folder, folder / "parts"
        with contextlib.ExitStack() as lock:
            lock.enter_context(_hold(folder))
            self.parts.mkdir(parents=True, exist_ok=True)
            table = folder / "ledger.sqlite"
            table.unlink(missing_ok=True)
            self._db = sqlite3.connect(table, isolation_level=None)
            lock.enter_context(contextlib.closing(self._db))
            self._db.executescript(
                "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8000;"
                + _TABLES
            )
            self._db.create_function("rank", 2, _rank, deterministic=True)
            for number in parts.numbers(self.parts):
                self.absorb(number, _FLEETING)
            self._next = max(parts.numbers(self.parts), default=-1) + 1
            self._lock = lock.pop_all()

    def close(self) -> None:
        """Let go of the folder."""
        self._db.close()
        self._lock.close()

    def remove(self) -> None:
        """Remove the folder with all in it; the lock last, so that nobody begins there before."""
        self._db.close()
        with self._lock, contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name != _LOCK:
                    path.unlink()
            (self.folder / _LOCK).unlink(missing_ok=True)
            self.folder.rmdir()

    def holds_sounds(self) -> bool:
        """Whether any try has read or rendered a sound."""
        return any(path.stat().st_size for path in self.parts.glob("*.pcm"))

    def has_sounds(self) -> bool:
        """Whether any sound that is wanted has been read or rendered."""
        joined = "SELECT 1 FROM wanted JOIN done USING (key) WHERE reason IS NULL"
        return bool(self._one(f"SELECT EXISTS ({joined})"))

    def want_files(self, found: Iterable[Candidate | Skipped], cut_long: bool) -> None:
        """Note the files of an input, in order, and those that are left out at sight."""
        with self._at_once():
            for item in found:
                if isinstance(item, Skipped):
                    self._leave_out(item)
                else:
                    path = os.fsencode(item.path)
                    self._want(_file_key(path, cut_long), path, *item[1:])

    def want_rendered(self, sounds: Iterable[tuple[str, str, str, str, str, int]]) -> None:
        """Note procedural sounds: key, name, category, kit, fold and index of each."""
        with self._at_once():
            for key, *values, _ in sounds:
                self._want(key, None, *values)

    def has(self, key: str) -> bool:
        """Whether a sound is done."""
        return bool(self._one("SELECT EXISTS (SELECT 1 FROM done WHERE key = ?)", key))

    def counts(self) -> tuple[int, int]:
        """How many sounds are wanted, and how many of these were read or rendered before."""
        joined = "SELECT count(*) FROM wanted JOIN done USING (key)"
        return self._one("SELECT count(*) FROM wanted"), self._one(joined)

    def waiting_files(self, size: int) -> Iterator[tuple[int, list[tuple[str, str]]]]:
        """Batches of at most `size` files to read: a new part's number and pairs (key, path)."""
        for rows in self._waiting("path IS NOT NULL", "key, path", size):
            yield self.new_part(), [(key, os.fsdecode(path)) for _, key, path in rows]

    def new_part(self) -> int:
        """A number that no part has."""
        self._next += 1
        return self._next - 1

    def absorb(self, number: int, but: Sequence[str] = ()) -> int:
        """Note what a part holds, without the reasons in `but`; returns for how many sounds."""
        start, outcomes = 0, parts.read_index(self.parts, number)
        with self._at_once():
            for o in outcomes:
                if o.reason not in but:
                    values = (o.key, number, start, o.length, o.digest, o.reason, o.detail)
                    self._db.execute("INSERT OR REPLACE INTO done VALUES (?,?,?,?,?,?,?)", values)
                start += o.length
        if not outcomes:
            parts.forget(self.parts, number)
        return len(outcomes)

    def settle(self) -> None:
        """Part what can be used from what cannot, and keep one of each set of equal sounds."""
        add = "INSERT INTO left_out (name, reason, detail) "
        self._db.execute(
            f"{add} SELECT name, reason, detail FROM wanted JOIN done USING (key) "
            "WHERE reason IS NOT NULL ORDER BY place"
        )
        self._db.execute(
            f"{add} SELECT name, ?, 'equals ' || first FROM ({_RANKED}) WHERE n > 1 "
            "ORDER BY fold IS 'validation', place",
            (DUPLICATE,),
        )
        self._db.execute(
            "INSERT INTO kept SELECT place, name, category, kit, fold, part, start, length, digest "
            f"FROM ({_RANKED}) WHERE n = 1"
        )

    def divide(self, by_folder: bool, fraction: float, seed: int) -> None:
        """Split the kept sounds that have no fold yet."""
        free = "FROM kept WHERE fold IS NULL"
        places = np.fromiter(self._column(f"SELECT place {free} ORDER BY place"), np.int64)
        categories = list(self._column(f"SELECT category {free} ORDER BY place"))
        if by_folder:
            # as text of equal order, which takes less memory
            kits = {k: f"{i:08d}" for i, k in enumerate(self._column(_KITS))}
            listed = [kits[kit] for kit in self._column(f"SELECT kit {free} ORDER BY place")]
            held = split_by_kit(categories, listed, fraction, seed)
        else:
            held = split_by_file(categories, fraction, seed)
        pairs = (
            ("validation" if h else "train", int(p)) for h, p in zip(held, places, strict=True)
        )
        with self._at_once():
            self._db.executemany("UPDATE kept SET fold = ? WHERE place = ?", pairs)

    def drop_untrained(self) -> tuple[str, ...]:
        """Leave out categories without a training sound; returns those that stay, in order.

        Raises:
            DataError: fewer than two categories stay.
        """
        trained = set(self._column("SELECT DISTINCT category FROM kept WHERE fold = 'train'"))
        if len(trained) < 2:
            only = f"only {next(iter(trained))}" if trained else "no category"
            raise DataError(
                f"{only} has sounds to train on, and a model needs at least two categories; add "
                "folders, name categories in a --categories table or add --synth_per_category=300."
            )
        for category in set(CATEGORIES) - trained:
            self._db.execute(
                "INSERT INTO left_out (name, reason, detail) SELECT name, ?, category FROM kept "
                "WHERE category = ? ORDER BY place",
                (UNTRAINED, category),
            )
            self._db.execute("DELETE FROM kept WHERE category = ?", (category,))
        return tuple(category for category in CATEGORIES if category in trained)

    def count(self, fold: str, category: str | None = None) -> int:
        """How many sounds of a fold, and of a category or all, the data set has."""
        query = "SELECT count(*) FROM kept WHERE fold = ? AND category = ifnull(?, category)"
        return self._one(query, fold, category)

    def kits(self, category: str | None = None) -> int:
        """How many kits the sounds of a category, or all, come from."""
        query = "SELECT count(DISTINCT kit) FROM kept WHERE category = ifnull(?, category)"
        return self._one(query, category)

    def lengths(self, category: str | None = None) -> np.ndarray:
        """Samples of each sound of a category, or of all: int32 [n]."""
        query = "SELECT length FROM kept WHERE category = ifnull(?, category)"
        return np.fromiter(self._column(query, category), np.int32)

    def rows(self, fold: str) -> Iterator[Row]:
        """The sounds of a fold in the order of the data set, which their names alone decide."""
        query = (
            "SELECT name, category, kit, part, start, length, digest FROM kept WHERE fold = ? "
            "ORDER BY rank(?, name)"
        )
        for name, category, kit, *place in self._db.execute(query, (fold, fold)):
            yield Row(name, category, kit, Place(*place))

    def left_out(self) -> Iterator[Skipped]:
        """What is left out, and why, in the order in which that was found."""
        query = "SELECT name, reason, detail FROM left_out ORDER BY place"
        yield from (Skipped(*row) for row in self._db.execute(query))

    def reasons(self) -> dict[str, int]:
        """How many were left out for each reason; the most frequent first."""
        query = "SELECT reason, count(*) AS n FROM left_out GROUP BY reason"
        return dict(self._db.execute(f"{query} ORDER BY n DESC, min(place)"))

    def names_for(self, reason: str, limit: int = -1) -> Iterator[str]:
        """The first names that were left out for a reason."""
        query = "SELECT name FROM left_out WHERE reason = ? ORDER BY place LIMIT ?"
        return self._column(query, reason, limit)

    def _want(self, key: str, *values: Any) -> None:
        insert = "INSERT INTO wanted (key, path, name, category, kit, fold) VALUES (?,?,?,?,?,?)"
        self._db.execute(insert, (key, *values))

    def _leave_out(self, item: Skipped) -> None:
        insert = "INSERT INTO left_out (name, reason, detail) VALUES (?, ?, ?)"
        self._db.execute(insert, item)

    def _waiting(self, which: str, columns: str, size: int) -> Iterator[list[tuple]]:
        """Rows (place, *columns) of wanted sounds that are not done; more may be done meanwhile."""
        query = (
            f"SELECT place, {columns} FROM wanted WHERE place > ? AND {which} "
            "AND NOT EXISTS (SELECT 1 FROM done WHERE done.key = wanted.key) "
            "ORDER BY place LIMIT ?"
        )
        last = 0
        while rows := self._db.execute(query, (last, size)).fetchall():
            yield rows
            last = rows[-1][0]

    def _one(self, query: str, *values: Any) -> int:
        return self._db.execute(query, values).fetchone()[0]

    def _column(self, query: str, *values: Any) -> Iterator[Any]:
        return (row[0] for row in self._db.execute(query, values))

    @contextlib.contextmanager
    def _at_once(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")


_KITS = "SELECT DISTINCT kit FROM kept ORDER BY kit"


def _file_key(path: bytes, cut_long: bool) -> str:
    """The key of a file as it is now."""
    try:
        stat = os.stat(path)
        state = f"{stat.st_size} {stat.st_mtime_ns}"
    except OSError:
        state = "none"
    told = f"{FORM} {cut_long} {state} ".encode() + path
    return hashlib.blake2b(told, digest_size=16).hexdigest()


def _rank(fold: str, name: str) -> bytes:
    """Where TFDS, which shuffles by a hash of the key, puts a sound."""
    salted = fold + name.replace("\\", "/")
    return hashlib.md5(salted.encode(), usedforsecurity=False).digest()


def _hold(folder: Path) -> contextlib.ExitStack:
    """Hold a folder that only one process may have at a time, until what is returned is closed."""
    stack = contextlib.ExitStack()
    if os.name == "nt":  # which keeps an open table from being removed
        return stack
    busy = f"another prepare is at work in {folder}; wait for it, or choose another --output."
    if (held := hold(folder / _LOCK, busy)) is None:
        raise DataError(
            f"the file system of {folder} cannot lock files; choose an --output on another."
        )
    stack.enter_context(held)
    return stack
