"""`drumjax bench`: how fast this machine trains, in sounds per second."""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(
        prog="drumjax bench",
        description="Time a training step of both networks on noise: the median of several steps "
        "after a warm-up, sounds per second, and the share of the step's arithmetic in the peak.",
    )
    p.add_argument("--train", action="store_true", help="the training steps (the default)")
    p.add_argument("--variant", default="small", help="variant of configs/*.py (small)")
    p.add_argument("--configs", default="configs", metavar="DIR", help="where the configs are")
    p.add_argument("--model", choices=("cwae", "mcnn", "both"), default="both")
    p.add_argument("--batch", type=int, default=0, help="override data.per_category")
    p.add_argument("--dtype", choices=("float32", "bfloat16"), help="override compute_dtype")
    p.add_argument("--runs", type=int, default=7, help="timed steps (7)")
    p.add_argument("--peak", type=float, default=0.0, help="the chip's peak in TFLOP/s, if known")
    p.add_argument("--json", metavar="FILE", help="also write the figures there")
    return p


def load_config(folder: str, model: str, variant: str) -> Any:
    """Run configs/MODEL.py and return its config for a variant."""
    import runpy

    from drumjax.errors import ConfigError

    path = Path(folder) / f"{model}.py"
    if not path.is_file():
        raise ConfigError(f"{path} is not there; give the folder of the configs as --configs.")
    return runpy.run_path(str(path))["get_config"](variant)


def time_step(model: str, config: Any, runs: int) -> dict[str, Any]:
    """Compile one training step and time it: median seconds, sounds per second, GFLOP of the step.

    The arithmetic is XLA's own count of the compiled step, which includes what it adds to the
    paper's networks (the front end, the gradients, the optimiser).
    """
    import jax
    import numpy as np

    from drumjax.categories import CATEGORIES
    from drumjax.models import build_objective
    from drumjax.training.state import adam, create_state
    from drumjax.training.update import learning_rate, make_update

    objective = build_objective(config.to_dict(), CATEGORIES)
    optimiser = adam()
    state = create_state(objective, optimiser, jax.random.key(0))
    update = make_update(objective, optimiser, learning_rate(1e-3, "constant", 1, 0), 0)
    rows, n = (len(CATEGORIES) if config.data.balanced else 1), config.data.per_category
    rng = np.random.default_rng(0)
    audio = rng.normal(0, 3000, (rows, n, config.mel.num_samples)).astype(np.int16)
    category = np.tile(np.arange(rows, dtype=np.int32)[:, None], (1, n))
    batch = {"audio": audio, "category": category}
    step = jax.jit(update, donate_argnums=0).lower(state, batch).compile()

    def run() -> float:
        nonlocal state
        began = time.perf_counter()
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
        return time.perf_counter() - began

    seconds = _median(run, runs)
    cost = step.cost_analysis() or {}
    return {
        "model": model,
        "batch": rows * n,
        "seconds": seconds,
        "sounds_per_second": rows * n / seconds,
        "gflop": cost.get("flops", 0.0) / 1e9,
        "device": jax.devices()[0].device_kind,
    }


def _median(run: Callable[[], float], runs: int) -> float:
    run()
    run()
    return statistics.median(run() for _ in range(runs))


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    rows = []
    for model in ("cwae", "mcnn") if args.model == "both" else (args.model,):
        config = load_config(args.configs, model, args.variant)
        if args.batch:
            config.data.per_category = args.batch
        if args.dtype:
            config[model].compute_dtype = args.dtype
        row = {"variant": args.variant, **time_step(model, config, args.runs)}
        rate = row["gflop"] / row["seconds"]
        row["gflop_per_second"] = rate
        peak = f", {100 * rate / 1e3 / args.peak:.1f} % of the peak" if args.peak else ""
        print(
            f"{model}:{args.variant}  batch {row['batch']}  {row['seconds'] * 1e3:.0f} ms a step  "
            f"{row['sounds_per_second']:.1f} sounds/s  {rate:.0f} GFLOP/s{peak}  ({row['device']})",
            flush=True,
        )
        rows.append(row)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=2) + "\n")
    return 0
