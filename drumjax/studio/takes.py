"""The takes folder: a WAV file for each sound that a client was sent, the oldest making room."""

import os
import re
import stat
import time
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path

from drumjax.audio.names import file_word
from drumjax.errors import DataError

_LONGEST_WORD = 40  # signs of what a take's name says of it
_DIGITS = 6  # of its number: no other command writes as many
_TAKE = re.compile(rf"drumjax_[a-z0-9_]+_(\d{{{_DIGITS},12}})\.wav")
_PART = re.compile(r"\.drumjax_[0-9a-f]{32}\.part")
_STALE = 3600.0  # seconds after which a part is what a crash left
_TRIES = 3  # of a name, while another server takes them from under us


class Takes:
    """Writes takes into one folder, and into no other place.

    Only regular files of the takes' name pattern in the folder itself are ever removed. The folder
    is read once: how much lies in it is counted from then on.

    Attributes:
      folder: its absolute path, links resolved.
    """

    def __init__(self, folder: Path, most_files: int = 2000, most_bytes: int = 2 * 2**30):
        """Make the folder, with its parents, or use the one that is there.

        Args:
          folder: where takes go.
          most_files: how many may lie there.
          most_bytes: how many they may hold together.

        Raises:
          DataError: it cannot be made or read, or OSC could not name it.
        """
        self._most_files, self._most_bytes = most_files, most_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.folder = Path(os.path.realpath(folder))
            str(self.folder).encode()
            self._scan()
        except (OSError, ValueError) as error:  # ValueError: a NUL, or no UTF-8, in the name
            reason = getattr(error, "strerror", None) or "its name cannot be used"
            raise DataError(
                f"{str(folder)!a} cannot hold takes ({reason}); choose another --takes."
            ) from error

    def write(self, word: str, content: bytes) -> Path:
        """Write drumjax_<word>_<number>.wav, after removing the oldest takes beyond the quota.

        The file is there whole or not at all, and nothing that is there is replaced or written
        through.

        Args:
          word: what the name says of the sound; made fit for a file's name.
          content: of the file.

        Returns:
          The file's absolute path.

        Raises:
          DataError: the folder cannot be written to, or the disk is full.
        """
        word = file_word(word, _LONGEST_WORD)
        try:
            try:
                return self._write(word, content)
            except FileNotFoundError:  # somebody removed the folder
                self.folder.mkdir(parents=True, exist_ok=True)
                self._scan()
                return self._write(word, content)
        except OSError as error:
            raise DataError(
                f"The take cannot be written to {self.folder} ({error.strerror or error}); make "
                "room there, or start the server with another --takes."
            ) from error

    def _scan(self) -> None:
        """Count the takes that lie in the folder, and remove what a crash left of others."""
        found, numbers = [], [0]
        with os.scandir(self.folder) as entries:
            for entry in entries:
                match, part = _TAKE.fullmatch(entry.name), _PART.fullmatch(entry.name)
                if match:
                    numbers.append(int(match[1]))
                if not (match or part) or not entry.is_file(follow_symlinks=False):
                    continue
                with suppress(FileNotFoundError):  # another server removed it
                    about = os.lstat(entry.path)
                    if match:
                        found.append((numbers[-1], entry.name, about.st_size))
                    elif about.st_mtime < time.time() - _STALE:
                        os.unlink(entry.path)
        self._kept = deque((name, size) for _, name, size in sorted(found))  # the oldest first
        self._bytes = sum(size for _, size in self._kept)
        self._number = max(numbers)

    def _write(self, word: str, content: bytes) -> Path:
        if os.path.realpath(self.folder) != str(self.folder):
            raise OSError("the folder was replaced by a link")
        self._make_room(len(content))
        part = self.folder / f".drumjax_{uuid.uuid4().hex}.part"
        try:
            _write_new(part, content)
            for _ in range(_TRIES):
                self._number += 1
                path = self.folder / f"drumjax_{word}_{self._number:0{_DIGITS}d}.wav"
                if _publish(part, path):
                    self._kept.append((path.name, len(content)))
                    self._bytes += len(content)
                    return path
                self._scan()
            raise OSError("another program takes the names")
        finally:
            part.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        while self._kept and (
            len(self._kept) >= self._most_files or self._bytes + size > self._most_bytes
        ):
            name, kept = self._kept.popleft()
            self._bytes -= kept
            with suppress(FileNotFoundError):  # its owner removed it
                if stat.S_ISREG(os.lstat(self.folder / name).st_mode):
                    os.unlink(self.folder / name)


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that must not be there yet, not even as a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)  # Windows has the first
    handle = os.open(path, flags, 0o644)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
    finally:
        os.close(handle)


def _publish(part: Path, path: Path) -> bool:
    """Give a finished file its name; False if something has that name already."""
    try:
        os.link(part, path)  # unlike a rename, this replaces nothing
    except FileExistsError:
        return False
    except OSError:  # a file system without links, such as a memory stick's
        if os.path.lexists(path):
            return False
        os.rename(part, path)
    return True
