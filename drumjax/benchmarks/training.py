"""A training step as training makes it: its speed, its share of the peak, and its input's time."""

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from drumjax.benchmarks.machine import peak_rate
from drumjax.benchmarks.table import columns
from drumjax.categories import CATEGORIES
from drumjax.data.augment import AugmentConfig
from drumjax.data.sampler import Sampler
from drumjax.data.source import Source
from drumjax.models import batch_size, build_objective
from drumjax.train import batches
from drumjax.training.distributed import any_process
from drumjax.training.gradients import PLAIN, Memory
from drumjax.training.parallel import Runner, parallelise, resolve_mode
from drumjax.training.state import TrainState, adam, create_state
from drumjax.training.update import learning_rate, make_update

SOUNDS = 64  # of each category, to draw batches from
HEAD = ("ms a step", "sounds/s", "GFLOP/s", "of peak", "a batch, ms", "waited")


def time_training(config: dict[str, Any], mode: str, runs: int) -> dict[str, Any]:
    """Time the update of a config on noise, on all devices of all processes.

    The step and the making of its batch are timed each alone, then both at once as `drumjax.train`
    runs them: the next batch is made while a step runs.

    Args:
      config: as for training; `data.path` is not looked at.
      mode: as `train.parallel`.
      runs: timed steps of each.

    Returns:
      "mode"; "devices", of all processes, the "device" they are and the "dtype" they compute in;
      "batch", in sounds; medians "seconds" of a step whose
      batch lies on the devices, "input_seconds" to make a batch and bring it there, "stop_seconds"
      in which the processes agree whether to stop; "waited", the share of the time that goes in
      waiting for batches when both run; "sounds_per_second", of the step alone; "gflop" of a step
      as XLA counts the traced one, without what `train.remat` computes again, "gflop_per_second",
      and "peak_gflop_per_second".
    """
    data, memory = config["data"], Memory(config["train"]["accumulate"], config["train"]["remat"])
    objective, optimiser = build_objective(config, CATEGORIES), adam()
    rate = learning_rate(1e-3, "constant", 1, 0)
    build = functools.partial(make_update, objective, optimiser, rate, 0, memory=memory)
    mode = resolve_mode(mode, data["per_category"], memory.accumulate)
    run, sampler = parallelise(build, mode), _sampler(config)
    state = create_state(objective, optimiser, jax.random.key(0))
    # Counted before it runs, because a run consumes the state; all processes' batch in one.
    gflop = _count(build(None, memory=PLAIN), state, config) / 1e9
    state, steps, stops = _steps(run, state, sampler, runs)
    made = statistics.median(_input(run, sampler, step) for step in range(runs))
    waited = _waited(run, state, sampler, runs)
    seconds, batch = statistics.median(steps), batch_size(config, CATEGORIES)
    devices = 1 if mode == "none" else jax.local_device_count()
    dtype = config[config["model"]]["compute_dtype"]
    peak = peak_rate(dtype, devices) * jax.process_count()
    return {
        "mode": mode,
        "devices": devices * jax.process_count(),
        "device": jax.devices()[0].device_kind,
        "dtype": dtype,
        "batch": batch,
        "seconds": seconds,
        "sounds_per_second": batch / seconds,
        "gflop": gflop,
        "gflop_per_second": gflop / seconds,
        "peak_gflop_per_second": peak / 1e9,
        "input_seconds": made,
        "waited": waited,
        "stop_seconds": statistics.median(stops),
    }


def cells(row: dict[str, Any]) -> list[str]:
    """A row's figures under `HEAD`."""
    return [
        f"{row['seconds'] * 1e3:.0f}",
        f"{row['sounds_per_second']:.1f}",
        f"{row['gflop_per_second']:.0f}",
        f"{100 * row['gflop_per_second'] / row['peak_gflop_per_second']:.0f} %",
        f"{row['input_seconds'] * 1e3:.1f}",
        f"{100 * row['waited']:.1f} %",
    ]


def show(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of `drumjax bench --train` as a table, and what their peaks are."""
    body = []
    for row in rows:
        about = [str(row["devices"]), row["mode"], str(row["batch"])]
        body.append([f"{row['model']}:{row['variant']}", *about, *cells(row)])
    first = rows[0]
    return "\n".join(
        [
            *columns(("devices", "mode", "batch", *HEAD), body, "step"),
            f"{first['device']}; peak: {first['peak_gflop_per_second']:.0f} GFLOP/s, which matrix "
            f"products in {first['dtype']} reach here. A batch is made while a step runs; waited: "
            "the share of the time in which a step waits for it.",
        ]
    )


def batch_shapes(config: dict[str, Any], per_category: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a config's batch, with so many sounds of each category, or in its one pool."""
    shape = len(CATEGORIES) if config["data"]["balanced"] else 1, per_category
    return {
        "audio": jax.ShapeDtypeStruct((*shape, config["mel"]["num_samples"]), np.int16),
        "category": jax.ShapeDtypeStruct(shape, np.int32),
    }


def _sampler(config: dict[str, Any]) -> Sampler:
    """This process's share of batches of noise, changed as the config says."""
    mel, data, n = config["mel"], config["data"], SOUNDS * len(CATEGORIES)
    audio = np.random.default_rng(0).normal(0, 3000, (n, mel["num_samples"])).astype(np.int16)
    source = Source(
        audio,
        np.tile(np.arange(len(CATEGORIES), dtype=np.int32), SOUNDS),
        np.full(n, mel["num_samples"], np.int32),
        tuple(str(i) for i in range(n)),
        ("noise",) * n,
        CATEGORIES,
        mel["sample_rate"],
    )
    share = (0, jax.process_index(), jax.process_count(), data["balanced"])
    return Sampler(source, data["per_category"], *share, AugmentConfig(**data["augment"]))


def _count(update: Callable[..., Any], state: TrainState, config: dict[str, Any]) -> float:
    """FLOP of a step of the whole batch on one device."""
    batch = batch_shapes(config, config["data"]["per_category"])
    return float((jax.jit(update).lower(state, batch).cost_analysis() or {}).get("flops", 0.0))


def _steps(
    run: Runner, state: TrainState, sampler: Sampler, runs: int
) -> tuple[TrainState, list[float], list[float]]:
    """The state after the steps, and the seconds of each and of the agreement after it."""
    batch, steps, stops = run.put_batch(sampler.batch(0)), [], []
    for _ in range(runs + 2):  # two to warm up
        began = time.perf_counter()
        state, metrics = run(state, batch)
        jax.block_until_ready(metrics)
        done = time.perf_counter()
        any_process(False)
        steps.append(done - began)
        stops.append(time.perf_counter() - done)
    return state, steps[2:], stops[2:]


def _input(run: Runner, sampler: Sampler, step: int) -> float:
    """Seconds to make a batch and bring it to the devices."""
    began = time.perf_counter()
    jax.block_until_ready(run.put_batch(sampler.batch(step)))
    return time.perf_counter() - began


def _waited(run: Runner, state: TrainState, sampler: Sampler, runs: int) -> float:
    """The share of the steps' time that goes in waiting for batches, after the first two."""
    coming, waits, start = batches(sampler, 0, runs + 2, run.put_batch), 0.0, 0.0
    for step in range(runs + 2):
        if step == 2:
            waits, start = 0.0, time.perf_counter()
        began = time.perf_counter()
        batch = jax.block_until_ready(next(coming))
        waits += time.perf_counter() - began
        state, metrics = run(state, batch)
        jax.device_get(metrics)
    return waits / (time.perf_counter() - start)
