"""What a checkpoint costs: to training's own thread, until it is on the disk, and to read again.

`python -m drumjax.benchmarks.saving [--model=cwae] [--variant=small] [--runs=5] [--folder=DIR]`
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from drumjax.errors import DrumjaxError


def time_checkpoints(config: dict[str, Any], runs: int, folder: Path) -> dict[str, float]:
    """Save a config's whole state, optimiser and all, verify it and restore it.

    Args:
      config: as for training.
      runs: checkpoints that are written, each after the one before it is on the disk.
      folder: an empty one on the disk that is to be timed; what is written stays.

    Returns:
      Median seconds: "save", until training may go on; "written", until the checkpoint and its
      manifest are on the disk; "verify" one; "restore" one that is verified. "megabytes" of one.
    """
    import jax
    import numpy as np

    from drumjax.categories import CATEGORIES
    from drumjax.integrity import step_label, verify_folder
    from drumjax.models import build_objective
    from drumjax.training.checkpoint import Checkpoints
    from drumjax.training.state import adam, create_state

    rng, times = np.random.default_rng(0), {"save": [], "written": [], "verify": [], "restore": []}

    def noise(a: Any) -> Any:  # zeros would be compressed to nothing
        return a + rng.standard_normal(a.shape, np.float32) if a.dtype == np.float32 else a

    def note(name: str, run: Callable[[], Any], began: float) -> None:
        run()
        times[name].append(time.perf_counter() - began)

    objective = build_objective(config, CATEGORIES)
    state = jax.tree.map(noise, create_state(objective, adam(), jax.random.key(0)))
    with Checkpoints(folder) as checkpoints:
        for step in range(1, runs + 1):
            now = state._replace(step=jax.numpy.int32(step))
            began = time.perf_counter()
            note("save", lambda now=now: checkpoints.save(now, {}, {}, 1.0), began)
            note("written", checkpoints.wait, began)
    own = folder / "checkpoints" / str(runs)
    for _ in range(runs):
        note("verify", lambda: verify_folder(own, step_label(runs)), time.perf_counter())
        with Checkpoints(folder, read_only=True) as checkpoints:
            began = time.perf_counter()
            note("restore", lambda opened=checkpoints: opened.restore(runs, state), began)
    size = sum(file.stat().st_size for file in own.rglob("*") if file.is_file())
    return {name: statistics.median(each) for name, each in times.items()} | {
        "megabytes": size / 1e6
    }


def main(argv: Sequence[str]) -> int:
    """Print the figures of a config; returns the exit status."""
    from drumjax.commands.bench import load_config

    p = argparse.ArgumentParser(prog="python -m drumjax.benchmarks.saving", description=__doc__)
    p.add_argument("--model", default="cwae", choices=("cwae", "frame_wae", "mcnn"))
    p.add_argument("--variant", default="small")
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--folder", help="where to write and delete a few checkpoints (the system's)")
    args = p.parse_args(argv)
    try:
        config = load_config(None, args.model, args.variant).to_dict()
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            found = time_checkpoints(config, args.runs, Path(folder))
    except (DrumjaxError, OSError) as error:
        print(f"drumjax.benchmarks.saving: {error}", file=sys.stderr)
        return 1
    print(
        f"{args.model}:{args.variant}, {found['megabytes']:.0f} MB: training goes on after "
        f"{found['save']:.2f} s, on the disk after {found['written']:.2f} s, verified in "
        f"{found['verify']:.2f} s, restored and verified in {found['restore']:.2f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
