"""Training steps on 1, 2, 4 and 8 fake CPU devices, and in 1, 2 and 4 processes: the overhead.

All of them share the cores of one machine, so that nothing can become faster: what several devices
or processes take beyond one is what sharing the batch costs. `python -m drumjax.benchmarks.scaling`
with settings as JSON is one process of a row.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from drumjax.errors import TrainingError

DEVICES, PROCESSES = (1, 2, 4, 8), (1, 2, 4)
LIMIT = 600  # seconds that a row may take


def bench_scaling(
    model: str, config: dict[str, Any], runs: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Time a training step for each number of devices, then of processes with one device each.

    Args:
      model, config: as for training; `data.per_category` must be a multiple of 8.
      runs: timed steps of each.
      say: is told each row.

    Returns:
      Rows of "devices", "processes", "mode", "seconds" (the median step), "sounds_per_second", and
      "stop_seconds": what the processes take to agree whether to stop, once a step.
    """
    shapes = [(n, 1) for n in DEVICES] + [(1, n) for n in PROCESSES if n > 1]
    rows = []
    for devices, processes in shapes:
        mode = "none" if devices * processes == 1 else "pmap"
        given = {"model": model, "config": config, "runs": runs, "mode": mode}
        rows.append(run_row(given, devices, processes))
        speed = f"{rows[-1]['sounds_per_second']:.1f} sounds/s"
        say(f"{processes} processes, {devices} devices each: {speed}")
    return rows


def run_row(given: dict[str, Any], devices: int, processes: int) -> dict[str, Any]:
    """Start the processes of a row and read what the first one prints.

    Raises:
      TrainingError: one of them failed, with its last line.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    children = []
    for i in range(processes):
        own = {**given, "coordinator": address, "process_count": processes, "process_id": i}
        command = [sys.executable, "-m", "drumjax.benchmarks.scaling", json.dumps(own)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        children.append(subprocess.Popen(command, env=environment, **pipes))
    try:
        said = [child.communicate(timeout=LIMIT) for child in children]
    finally:
        for child in children:
            child.kill()
    for child, (_, errors) in zip(children, said, strict=True):
        if child.returncode:
            last = (errors.strip().splitlines() or ["no reason given"])[-1]
            raise TrainingError(f"A process of {processes} with {devices} devices failed: {last}.")
    return {"devices": devices, "processes": processes, **json.loads(said[0][0].splitlines()[-1])}


def show(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    from drumjax.benchmarks.table import columns

    head = ("devices each", "mode", "ms a step", "sounds/s", "of one device", "agreeing, ms")
    one = rows[0]["sounds_per_second"]
    cells = [
        (
            str(row["processes"]),
            str(row["devices"]),
            row["mode"],
            f"{row['seconds'] * 1e3:.0f}",
            f"{row['sounds_per_second']:.1f}",
            f"{100 * row['sounds_per_second'] / one:.0f} %",
            f"{row['stop_seconds'] * 1e3:.2f}",
        )
        for row in rows
    ]
    lines = columns(head, cells, "processes")
    return "\n".join([*lines, "Fake devices share this machine's cores: overhead, not speed."])


def measure(given: dict[str, Any]) -> dict[str, Any]:
    """One process of a row: a compiled update on this process's share of a batch of noise."""
    import functools

    import jax
    import numpy as np

    from drumjax.categories import CATEGORIES
    from drumjax.models import batch_size, build_objective
    from drumjax.training.distributed import any_process, initialise
    from drumjax.training.parallel import parallelise, resolve_mode
    from drumjax.training.state import adam, create_state
    from drumjax.training.update import learning_rate, make_update

    initialise(given["coordinator"], given["process_count"], given["process_id"])
    config = given["config"]
    objective, n = build_objective(config, CATEGORIES), config["data"]["per_category"]
    mode = resolve_mode(given["mode"], n)
    rate = learning_rate(1e-3, "constant", 1, 0)
    run = parallelise(functools.partial(make_update, objective, adam(), rate, 0), mode)
    rows, share = len(CATEGORIES), n // jax.process_count()
    rng = np.random.default_rng(jax.process_index())
    audio = rng.normal(0, 3000, (rows, share, config["mel"]["num_samples"])).astype(np.int16)
    category = np.tile(np.arange(rows, dtype=np.int32)[:, None], (1, share))
    state = create_state(objective, adam(), jax.random.key(0))
    steps, stops = [], []
    for _ in range(given["runs"] + 2):  # two to warm up
        began = time.perf_counter()
        state, metrics = run(state, {"audio": audio, "category": category})
        jax.block_until_ready(metrics)
        done = time.perf_counter()
        any_process(False)
        steps.append(done - began)
        stops.append(time.perf_counter() - done)
    seconds = statistics.median(steps[2:])
    return {
        "mode": mode,
        "seconds": seconds,
        "sounds_per_second": batch_size(config, CATEGORIES) / seconds,
        "stop_seconds": statistics.median(stops[2:]),
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
