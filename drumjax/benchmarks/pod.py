"""What a run on many chips would cost, and where sharing stops paying: computed, nothing is run.

`python -m drumjax.benchmarks.pod [--model=cwae] [--variant=paper] [--peak=197] [--link=200]`
The arithmetic of a step is XLA's count of the traced one; the rest are the formulas below.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

CHIPS = (1, 2, 4, 8, 16, 32, 64)
BYTES = 4  # of a float32


class Work(NamedTuple):
    """What a training step consists of."""

    per_sound: float  # FLOP of the networks for one sound, forward and backward
    parameters: int
    categories: int
    per_category: int
    latents: int
    scales: int  # of the MMD's kernel
    steps: int  # of a run

    @property
    def batch(self) -> int:
        """Sounds of a step."""
        return self.categories * self.per_category


def mmd_flop(work: Work, per_category: float) -> float:
    """FLOP of the mean MMD and its gradient, which every chip computes whole.

    For each category three matrices of n x n pairs: 2 d for a squared distance, 4 for each scale of
    the kernel; the gradient costs twice the value.
    """
    return 3.0 * work.categories * 3.0 * per_category**2 * (2.0 * work.latents + 4.0 * work.scales)


def gathered_bytes(work: Work, batch: float, chips: int) -> float:
    """Bytes of codes that a chip receives in the all-gather; its gradient sends as many back."""
    return batch * work.latents * BYTES * (chips - 1) / chips


def reduced_bytes(work: Work, chips: int) -> float:
    """Bytes that a chip sends in the all-reduce of the gradients, in a ring: 2 P (D - 1) / D."""
    return 2.0 * work.parameters * BYTES * (chips - 1) / chips


def step_seconds(work: Work, chips: int, rate: float, link: float) -> dict[str, float]:
    """Seconds of a step's parts on each of the chips, one after the other, with a fixed batch.

    Args:
      work: the step.
      chips: that share the batch.
      rate: FLOP/s that a chip reaches.
      link: bytes a second that a chip sends.
    """
    parts = {
        "networks": work.per_sound * work.batch / chips / rate,
        "mmd": mmd_flop(work, work.per_category) / rate,
        "gather": 2.0 * gathered_bytes(work, work.batch, chips) / link,
        "reduce": reduced_bytes(work, chips) / link,
    }
    return {**parts, "total": sum(parts.values())}


def measure_work(config: Any) -> Work:
    """Count a config's step: the arithmetic grows with the batch beside a fixed part."""
    import jax
    import numpy as np

    from drumjax.categories import CATEGORIES
    from drumjax.models import build_objective
    from drumjax.nn.mmd import SCALES
    from drumjax.training.gradients import PLAIN, gradients

    objective = build_objective(config.to_dict(), CATEGORIES)
    [loss] = objective.losses.values()
    variables = jax.eval_shape(objective.init, jax.random.key(0))

    def flop(n: int) -> float:
        shape = (len(CATEGORIES), n)
        batch = {
            "audio": jax.ShapeDtypeStruct((*shape, config.mel.num_samples), np.int16),
            "category": jax.ShapeDtypeStruct(shape, np.int32),
        }
        run = jax.jit(lambda v, b: gradients(loss, v, b, jax.random.key(0), None, PLAIN)[0])
        return float((run.lower(variables, batch).cost_analysis() or {})["flops"])

    own = config[config.model]
    leaves = jax.tree.leaves(variables["params"])
    return Work(
        per_sound=(flop(6) - flop(4)) / (2.0 * len(CATEGORIES)),
        parameters=int(sum(np.prod(leaf.shape) for leaf in leaves)),
        categories=len(CATEGORIES),
        per_category=config.data.per_category,
        latents=own.latents if "latents" in own else 0,
        scales=len(SCALES[own.kernel]) if "kernel" in own else 0,
        steps=config.train.steps,
    )


def show(work: Work, peak: float, share: float, link: float) -> str:
    """The tables as text.

    Args:
      work: the step.
      peak: of a chip, FLOP/s.
      share: of it that the step reaches.
      link: bytes a second that a chip sends.
    """
    from drumjax.benchmarks.table import columns

    rate, rows = peak * share, []
    alone = step_seconds(work, 1, rate, link)["total"]
    for chips in CHIPS:
        parts = step_seconds(work, chips, rate, link)
        hours = work.steps * parts["total"] / 3600
        names = ("networks", "mmd", "gather", "reduce", "total")
        times = [f"{parts[name] * 1e3:.3f}" for name in names]
        share_left = f"{100 * alone / parts['total'] / chips:.0f} %"
        rows.append((str(chips), *times, share_left, f"{hours:.2f}", f"{hours * chips:.2f}"))
    head = ("networks", "mmd", "gather", "reduce", "step, ms", "efficiency", "hours", "chip hours")
    networks = work.per_sound * work.batch
    lines = [
        f"{work.per_sound / 1e9:.2f} GFLOP a sound, {networks / 1e12:.2f} TFLOP a step of "
        f"{work.batch}, {work.parameters / 1e6:.1f} M parameters, {work.steps} steps",
        f"all-reduce of the gradients {2 * work.parameters * BYTES / 1e6:.0f} MB",
        *(_about_mmd(work, networks) if work.latents else ()),
        *columns(head, rows, "chips"),
    ]
    return "\n".join(lines)


def _about_mmd(work: Work, networks: float) -> list[str]:
    """What the MMD costs beside the networks' FLOP of a step, and how many chips it stands."""
    mmd = mmd_flop(work, work.per_category)
    grown = (networks / mmd) ** 0.5  # its pairs grow with the chips' square, a chip's sounds do not
    return [
        f"MMD {mmd / 1e9:.3f} GFLOP on each chip, 1 / {networks / mmd:.0f} of the networks'; "
        f"all-gather of its codes {work.batch * work.latents * BYTES / 1e3:.0f} kB",
        f"a batch of {work.batch} on each chip: the MMD takes as long as the networks at "
        f"{grown:.0f} chips, a tenth of that at {grown / 10**0.5:.0f}; the all-gather is as large "
        f"as the all-reduce at {2 * work.parameters / (work.batch * work.latents):.0f}",
    ]


def main(argv: Sequence[str]) -> int:
    """Print the tables of a config; returns the exit status."""
    from drumjax.commands.bench import load_config

    p = argparse.ArgumentParser(prog="python -m drumjax.benchmarks.pod", description=__doc__)
    p.add_argument("--model", default="cwae", choices=("cwae", "frame_wae", "mcnn"))
    p.add_argument("--variant", default="paper")
    p.add_argument("--configs", default="configs")
    p.add_argument("--peak", type=float, default=197.0, help="of a chip, TFLOP/s (TPU v5e, bf16)")
    p.add_argument("--share", type=float, default=0.4, help="of the peak that is reached")
    p.add_argument("--link", type=float, default=200.0, help="GB/s a chip sends (TPU v5e)")
    args = p.parse_args(argv)
    work = measure_work(load_config(args.configs, args.model, args.variant))
    print(show(work, args.peak * 1e12, args.share, args.link * 1e9))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
