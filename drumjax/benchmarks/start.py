"""How long a player takes from process start to its first file, and the memory it needs."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from drumjax.play.instrument import Instrument, save_instrument

WARM_RUNS = 3


def measure_start(instrument: Instrument) -> list[dict[str, Any]]:
    """Start `drumjax sample` with an empty compilation cache, then with the one it filled.

    Args:
      instrument: its own file is used, or one written for the purpose.

    Returns:
      A row for each cache: {"cache", "first_wav_s", "exit_s", "peak_mb", "runs"}, the medians of
      the runs with a warm one, or {"cache", "failed"}. `peak_mb` is None where the system does not
      tell it.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        file = instrument.path
        if file is None:
            file = save_instrument(instrument, root / "bench.safetensors", encoder=False)[0]
        category = instrument.categories[0]
        flags = [f"--instrument={file}", f"--category={category}", "--count=1"]
        command = [sys.executable, "-m", "drumjax", "sample", *flags]
        taken = [
            run_once([*command, f"--output={root / str(i)}"], root / str(i), root / "cache")
            for i in range(1 + WARM_RUNS)
        ]
    return [_median("empty", taken[:1]), _median("warm", taken[1:])]


def run_once(command: list[str], output: Path, cache: Path) -> dict[str, Any]:
    """What `process.watch` tells of one command.

    Args:
      command: what is run.
      output: the folder that it writes its files into.
      cache: the folder of its compilation cache, named by DRUMJAX_CACHE.
    """
    watcher = [sys.executable, "-m", "drumjax.benchmarks.process", str(output)]
    env = {**os.environ, "DRUMJAX_CACHE": str(cache)}
    done = subprocess.run([*watcher, *command], env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _median(cache: str, taken: list[dict[str, Any]]) -> dict[str, Any]:
    failed = [run for run in taken if "failed" in run]
    if failed:
        return {"cache": cache, **failed[0]}
    middle = {
        key: None if taken[0][key] is None else statistics.median(run[key] for run in taken)
        for key in taken[0]
    }
    return {"cache": cache, **middle, "runs": len(taken)}
