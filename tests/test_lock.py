"""A held file: one process alone has it, and it is free as soon as that one is gone."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drumjax.lock import BusyError, hold

fcntl = pytest.importorskip("fcntl")  # not on Windows

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from drumjax.lock import hold
held = hold(Path(sys.argv[1]), "busy")
started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(started.pid, flush=True)
time.sleep(60)
"""


def test_who_comes_second_is_told_until_the_first_is_killed(tmp_path):
    """What the first one started lives on, and does not hold the file."""
    path = tmp_path / "new" / ".lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    root = str(Path(__file__).parents[1])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    ) as first:
        started = int(first.stdout.readline())
        try:
            with pytest.raises(BusyError, match=r"^Wait for it\.$"):
                hold(path, "Wait for it.")
            first.send_signal(signal.SIGKILL)
            first.wait()
            os.kill(started, 0)  # is there
            with hold(path, "Wait for it."):
                pass
        finally:
            os.kill(started, signal.SIGKILL)
            first.kill()


def test_one_process_has_it_once_and_again_after_closing(tmp_path):
    for _ in range(2):
        with hold(tmp_path / "a", "busy"), pytest.raises(BusyError):
            hold(tmp_path / "a", "busy")


@pytest.mark.parametrize("remade", [False, True])
def test_a_file_removed_while_it_is_locked_is_not_the_one_held(tmp_path, monkeypatch, remade):
    """Else the next one would lock the file that then has the name, and both would go on."""
    path, lock, calls = tmp_path / "a", fcntl.flock, []

    def slow(file, how):
        lock(file, how)
        calls.append(file)
        if len(calls) == 1:
            path.unlink()
            if remade:
                path.touch()

    monkeypatch.setattr(fcntl, "flock", slow)
    with hold(path, "busy") as held:
        assert os.path.samestat(os.fstat(held.fileno()), path.stat())
        with pytest.raises(BusyError):
            hold(path, "busy")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_worked_on_without(tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert hold(tmp_path / "a", "busy") is None


def test_a_system_without_locks_is_worked_on_without(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert hold(tmp_path / "a", "busy") is None


def test_a_file_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        hold(tmp_path / "file" / "a", "busy")
