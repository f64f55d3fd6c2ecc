"""What a run on many chips would cost, and where sharing stops paying: computed, nothing is run.

`python -m drumjax.benchmarks.pod [--model=cwae]`: XLA's count of the networks' arithmetic, the
formulas below for the rest, and the chip's published figures.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from drumjax.errors import DrumjaxError

CHIPS = (1, 4, 8, 16, 32, 64)  # slices of a TPU v5e: 1x1, 2x2, 2x4, 4x4, 4x8, 8x8
# The variant of full size, and the share of the peak that its networks reach in bfloat16: their
# FLOP beside the cycles of XLA's plan of a step for a TPU v5e (`drumjax.benchmarks.plan`).
FULL = {"cwae": ("paper", 0.20), "frame_wae": ("base", 0.28), "mcnn": ("paper", 0.13)}
FLOAT = 4  # bytes of a float32
ADAM = 7 * FLOAT  # of a parameter: reads p, g and both moments, writes p and both moments
# Bytes read and written for a pair of codes, in XLA's plan of the MMD for a TPU v5e (4,096 codes a
# category): each kernel's scales are fused into one pass.
PAIR_MOVED = 63
TPU_V5E = {  # figure, its unit, what it is
    "peak": (197.0, 1e12, "of a chip, in bfloat16, TFLOP/s"),
    "memory": (819.0, 1e9, "GB/s that a chip reads and writes"),
    "link": (90.0, 1e9, "GB/s that a chip sends, by two links as in slices below 16x16"),
}
PASSES = 6  # in bfloat16, of a TPU's product with precision="highest"


class Work(NamedTuple):
    """What a training step consists of."""

    per_sound: float  # FLOP of the networks for one sound, forward and backward
    parameters: int
    categories: int  # 1 for a batch that is one pool of all
    per_category: int
    latents: int
    scales: int  # of the MMD's kernel; 0 without one
    steps: int  # of a run

    @property
    def batch(self) -> int:
        """Sounds of a step."""
        return self.categories * self.per_category

    @property
    def pairs(self) -> int:
        """Entries of one of the MMD's matrices, in all categories."""
        return self.categories * self.per_category**2 if self.scales else 0


class Chip(NamedTuple):
    """What the parts of a step run into."""

    share: float  # of the peak that the networks reach
    peak: float  # FLOP/s of products in bfloat16
    memory: float  # bytes a second
    link: float  # bytes a second that it sends to its neighbours, all together


def mmd_flop(work: Work, passes: int = 1) -> float:
    """FLOP of the mean MMD and its gradient by the codes, which every chip computes whole.

    A pair costs 12 d + 21 s. Distances are products of 2 d in three matrices (codes, prior, both);
    the gradient takes two products for the codes' and one for the mixed matrix. A kernel's scale
    is 3 in each of the three and 6 for the gradients of two. A product runs `passes` times.
    """
    return work.pairs * (passes * 12.0 * work.latents + 21.0 * work.scales)


def gathered_bytes(work: Work, chips: int) -> float:
    """Bytes that a chip sends in the all-gather of codes and, as many, for its gradient."""
    return 2.0 * work.batch * work.latents * FLOAT * (chips - 1) / chips


def reduced_bytes(work: Work, chips: int) -> float:
    """Bytes that a chip sends in the all-reduce of the gradients, in a ring: 2 P (D - 1) / D."""
    return 2.0 * work.parameters * FLOAT * (chips - 1) / chips


def step_seconds(work: Work, chips: int, chip: Chip) -> dict[str, float]:
    """Seconds of a step's parts on each of the chips, one after the other, and their "total"."""
    parts = {
        "networks": work.per_sound * work.batch / chips / (chip.peak * chip.share),
        "mmd": mmd_flop(work, PASSES) / chip.peak + PAIR_MOVED * work.pairs / chip.memory,
        "adam": ADAM * work.parameters / chip.memory,
        "gather": gathered_bytes(work, chips) / chip.link,
        "reduce": reduced_bytes(work, chips) / chip.link,
    }
    return {**parts, "total": sum(parts.values())}


def measure_work(config: Any) -> Work:
    """Count a config's step: the arithmetic grows with the batch beside a fixed part.

    On a CPU; on an accelerator the convolutions have another form, whose count is another.
    """
    import jax

    from drumjax.benchmarks.training import batch_shapes
    from drumjax.categories import CATEGORIES
    from drumjax.models import build_objective
    from drumjax.nn.mmd import SCALES
    from drumjax.training.gradients import PLAIN, gradients

    objective = build_objective(config.to_dict(), CATEGORIES)
    [loss] = objective.losses.values()
    variables = jax.eval_shape(objective.init, jax.random.key(0))
    rows = len(CATEGORIES) if config.data.balanced else 1

    def flop(n: int) -> float:
        batch = batch_shapes(config.to_dict(), n)
        run = jax.jit(lambda v, b: gradients(loss, v, b, jax.random.key(0), None, PLAIN)[0])
        return float((run.lower(variables, batch).cost_analysis() or {})["flops"])

    own = config[config.model]
    return Work(
        per_sound=(flop(6) - flop(4)) / (2.0 * rows),
        parameters=sum(leaf.size for leaf in jax.tree.leaves(variables["params"])),
        categories=rows,
        per_category=config.data.per_category,
        latents=own.latents if "latents" in own else 0,
        scales=len(SCALES[own.kernel]) if "kernel" in own else 0,
        steps=config.train.steps,
    )


def show(work: Work, chip: Chip) -> str:
    """The table as text, and what is to be said about the MMD."""
    from drumjax.benchmarks.table import columns

    names, rows = ("networks", "mmd", "adam", "gather", "reduce", "total"), []
    alone = step_seconds(work, 1, chip)["total"]
    for chips in (n for n in CHIPS if work.per_category % n == 0):
        parts = step_seconds(work, chips, chip)
        times = [f"{parts[name] * 1e3:.3f}" for name in names]
        hours = work.steps * parts["total"] / 3600
        share = f"{100 * alone / parts['total'] / chips:.0f} %"
        rows.append((str(chips), *times, share, f"{hours:.2f}", f"{hours * chips:.2f}"))
    about = [
        f"{work.per_sound / 1e9:.2f} GFLOP a sound, {work.batch} sounds a step, "
        f"{work.parameters / 1e6:.1f} M parameters, {work.steps} steps; networks at "
        f"{100 * chip.share:.0f} % of the peak; times in ms"
    ]
    head = (*names[:-1], "step", "efficiency", "hours", "chip hours")
    return "\n".join(about + columns(head, rows, "chips") + _about_mmd(work, chip))


def _about_mmd(work: Work, chip: Chip) -> list[str]:
    """How many chips it stands if each has a whole batch, so that pairs grow with the square."""
    if not work.pairs:
        return []
    parts = step_seconds(work, 1, chip)
    even = (parts["networks"] / parts["mmd"]) ** 0.5
    codes = 2.0 * work.batch * work.latents * FLOAT  # bytes of a chip's batch, there and back
    return [
        f"with {work.batch} sounds on each chip: the MMD takes a tenth of the networks' time at "
        f"{even / 10**0.5:.0f} chips, all of it at {even:.0f};",
        "the all-gather takes a tenth at "
        f"{0.1 * parts['networks'] * chip.link / codes:.0f}, and as long as the all-reduce at "
        f"{2.0 * work.parameters * FLOAT / codes:.0f}",
    ]


def positive(text: str) -> float:
    """A flag's number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def main(argv: Sequence[str]) -> int:
    """Print the table of a config; returns the exit status."""
    from drumjax.commands.bench import load_config

    p = argparse.ArgumentParser(prog="python -m drumjax.benchmarks.pod", description=__doc__)
    p.add_argument("--model", default="cwae", choices=FULL)
    p.add_argument("--variant", help="of its config (the one of full size)")
    p.add_argument("--share", type=positive, help="of the peak that the networks reach")
    p.add_argument("--configs", metavar="DIR", help="where the configs are (drumjax's own)")
    for name, (figure, _, about) in TPU_V5E.items():
        p.add_argument(f"--{name}", type=positive, default=figure, help=f"{about} ({figure:g})")
    args = p.parse_args(argv)
    variant, share = FULL[args.model]
    figures = (getattr(args, name) * unit for name, (_, unit, _) in TPU_V5E.items())
    try:
        config = load_config(args.configs, args.model, args.variant or variant)
    except DrumjaxError as error:
        print(f"drumjax.benchmarks.pod: {error}", file=sys.stderr)
        return 1
    print(show(measure_work(config), Chip(args.share or share, *figures)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
