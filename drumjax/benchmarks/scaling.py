"""Training steps on 1, 2, 4 and 8 devices, and in 1, 2 and 4 processes: what sharing costs.

Where there are several GPUs, they are the devices. Otherwise they are fake ones of a CPU, which
share its cores so that nothing can become faster: what several of them take beyond one is the
price of sharing a batch. `python -m drumjax.benchmarks.scaling` with settings as JSON is one
process of a row.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from drumjax.errors import TrainingError

DEVICES, PROCESSES = (1, 2, 4, 8), (1, 2, 4)
LIMIT = 1200  # seconds that a row may take
ASK = "import jax; print(jax.default_backend(), jax.local_device_count())"
FAKE = "Fake devices share this machine's cores: overhead, not speed."


def bench_scaling(
    config: dict[str, Any], runs: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Time a training step for each number of devices, then of processes with one device each.

    Args:
      config: as for training; `data.per_category` must be a multiple of 8.
      runs: timed steps of each.
      say: is told each row.

    Returns:
      Rows of "processes" and what `training.time_training` returns.

    Raises:
      TrainingError: a process failed.
    """
    gpus = count_gpus()
    most = gpus or max(DEVICES)
    shapes = [(n, 1) for n in DEVICES if n <= most]
    shapes += [(1, n) for n in PROCESSES if 1 < n <= most]
    rows = []
    for devices, processes in shapes:
        for mode in ("none",) if devices * processes == 1 else ("pmap", "jit"):
            given = {"config": config, "runs": runs, "mode": mode}
            rows.append(run_row(given, devices, processes, bool(gpus)))
            speed = f"{rows[-1]['sounds_per_second']:.1f} sounds/s"
            say(f"{processes} processes, {devices} devices each, {mode}: {speed}")
    return rows


def count_gpus() -> int:
    """How many GPUs JAX finds, if more than one; asked in a process, which lets go of them."""
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True)
    kind, count = (done.stdout.split() or ["none", "0"])[-2:]
    return int(count) if kind == "gpu" and int(count) > 1 else 0


def visible(devices: int, process: int, gpus: bool) -> dict[str, str]:
    """The environment in which a process finds its own devices and no others."""
    if not gpus:
        return {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    known = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = known.split(",") if known else [str(i) for i in range(max(DEVICES))]
    return {"CUDA_VISIBLE_DEVICES": ",".join(names[process * devices :][:devices])}


def run_row(
    given: dict[str, Any], devices: int, processes: int, gpus: bool = False
) -> dict[str, Any]:
    """Start the processes of a row and read what the first one prints.

    Raises:
      TrainingError: one of them failed, with its last line, or they did not end within `LIMIT`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    children = []
    for i in range(processes):
        own = {**given, "coordinator": address, "process_count": processes, "process_id": i}
        command = [sys.executable, "-m", "drumjax.benchmarks.scaling", json.dumps(own)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**os.environ, **visible(devices, i, gpus)}
        children.append(subprocess.Popen(command, env=environment, **pipes))
    try:
        said = [child.communicate(timeout=LIMIT) for child in children]
    except subprocess.TimeoutExpired as error:
        row = f"The row of {processes} processes with {devices} devices"
        raise TrainingError(f"{row} took longer than {LIMIT} s; give fewer --runs.") from error
    finally:
        for child in children:
            child.kill()
            child.communicate()
    for child, (_, errors) in zip(children, said, strict=True):
        if child.returncode:
            last = (errors.strip().splitlines() or ["no reason given"])[-1]
            raise TrainingError(f"A process of {processes} with {devices} devices failed: {last}.")
    return {"processes": processes, **json.loads(said[0][0].splitlines()[-1])}


def show(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    from drumjax.benchmarks.table import columns
    from drumjax.benchmarks.training import HEAD, cells

    head = ("devices each", "mode", *HEAD, "of one device", "agreeing, ms")
    one = rows[0]["sounds_per_second"]
    body = [
        [
            str(row["processes"]),
            str(row["devices"] // row["processes"]),
            row["mode"],
            *cells(row),
            f"{100 * row['sounds_per_second'] / one:.0f} %",
            f"{row['stop_seconds'] * 1e3:.2f}",
        ]
        for row in rows
    ]
    return "\n".join([*columns(head, body, "processes"), *([FAKE] * (rows[0]["device"] == "cpu"))])


def measure(given: dict[str, Any]) -> dict[str, Any]:
    """One process of a row."""
    from drumjax.benchmarks.training import time_training
    from drumjax.training.distributed import initialise

    initialise(given["coordinator"], given["process_count"], given["process_id"])
    return time_training(given["config"], given["mode"], given["runs"])


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
