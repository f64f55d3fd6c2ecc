"""One process, watched: seconds until its first WAV file and until its end, and its memory.

Run as a program of its own, `python -m drumjax.benchmarks.process OUTPUT COMMAND …`, because the
peak memory that a system reports of a process is at least that of the one that started it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

POLL = 0.002  # seconds between looks into the output folder


def watch(command: list[str], output: Path) -> dict[str, Any]:
    """Run a command that writes WAV files into the folder `output`.

    Returns:
      {"first_wav_s", "exit_s", "peak_mb"}, or {"failed"} with the last line of its stderr.
      `peak_mb` is None where the system does not tell it.
    """
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        first = _first_file(output, process, began)
        peak = _wait(process)
        total = time.perf_counter() - began
        if process.returncode or first is None:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
            return {"failed": said[-1][:200] if said else f"status {process.returncode}"}
    return {"first_wav_s": first, "exit_s": total, "peak_mb": peak}


def _first_file(output: Path, process: subprocess.Popen, began: float) -> float | None:
    """Seconds until a WAV file is there, or None if the process ended without one."""
    while True:
        ended = _has_ended(process)
        if any(p.stat().st_size for p in output.glob("*.wav")):
            return time.perf_counter() - began
        if ended:
            return None
        time.sleep(POLL)


def _has_ended(process: subprocess.Popen) -> bool:
    """Whether the process is over; on POSIX without collecting it, so that its memory is known."""
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    seen = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return seen is not None


def _wait(process: subprocess.Popen) -> float | None:
    """Wait for the process's end; returns its peak resident memory in MB."""
    if not hasattr(os, "wait4"):
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


if __name__ == "__main__":
    print(json.dumps(watch(sys.argv[2:], Path(sys.argv[1]))))
