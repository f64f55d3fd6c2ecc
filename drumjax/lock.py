"""A file that one process alone may hold, so that two do not work in one folder at a time."""

import contextlib
import os
from io import FileIO
from pathlib import Path

from drumjax.errors import DrumjaxError


class BusyError(DrumjaxError):
    """Another process holds what one alone may have at a time."""


def hold(path: Path, busy: str) -> FileIO | None:
    """Hold a file until what is returned is closed; it is made, as is its folder, and stays.

    However the process ends, by `kill -9` too, the system lets go of it then; programs that it
    started do not hold it. Only those are kept away who ask here as well.

    Args:
      path: of a file that serves for nothing else.
      busy: the sentence for who comes second.

    Returns:
      The open file; or None where nothing can be locked, such as on Windows and on network file
      systems without locks. Work must be possible there too; that nobody else is at work is then
      for the user to see to, or for the caller to refuse.

    Raises:
      BusyError: another process holds the file, or this one does already.
      OSError: the file cannot be made.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
            file = stack.enter_context(path.open("ab", buffering=0))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:  # the latter on some network disks
                raise BusyError(busy) from error
            except OSError:
                return None
            # Who had it may have removed it, or even its folder, in the meantime: then once more.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                stack.pop_all()
                return file
