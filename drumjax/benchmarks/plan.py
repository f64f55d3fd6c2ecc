"""What bounds a training step on a TPU v5e: XLA's plan, compiled here for it; nothing is run.

`python -m drumjax.benchmarks.plan --model=cwae --dtype=bfloat16` takes minutes and `pip install
libtpu`, but no TPU. All figures are XLA's own estimates, not measurements.
"""

import argparse
import importlib.util
import os
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from drumjax.benchmarks.pod import FULL, TPU_V5E
from drumjax.errors import ConfigError, DrumjaxError

PEAK, MEMORY = (figure * unit for figure, unit, _ in (TPU_V5E["peak"], TPU_V5E["memory"]))
CLOCK = 1.5e9  # Hz
HOST = {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0", "TPU_SKIP_MDS_QUERY": "1"}
ALONE = {**HOST, "TPU_ACCELERATOR_TYPE": "v5litepod-4", "JAX_PLATFORMS": "cpu"}
COST = re.compile(r' ([\w-]+)\((?:.*op_name="([^"]*)")?.*"estimated_cycles":"(\d+)"')
NOT_LAYERS = re.compile(r"jit|cond|branch|vmap|.*\(\)|$")


def compile_step(config: Any) -> Any:
    """The update of a config, compiled for one chip."""
    import jax
    from jax.experimental.topologies import get_topology_desc

    from drumjax.benchmarks.training import batch_shapes
    from drumjax.categories import CATEGORIES
    from drumjax.models import build_objective
    from drumjax.training.state import adam, create_state
    from drumjax.training.update import learning_rate, make_update

    chip = get_topology_desc("v5e:2x2x1", platform="tpu").devices[0]
    objective, optimiser = build_objective(config.to_dict(), CATEGORIES), adam()
    update = make_update(objective, optimiser, learning_rate(1e-3, "constant", 1, 0), 0)
    state = jax.eval_shape(lambda: create_state(objective, optimiser, jax.random.key(0)))
    given = state, batch_shapes(config.to_dict(), config.data.per_category)
    there = jax.sharding.SingleDeviceSharding(chip)
    return jax.jit(update, donate_argnums=0, in_shardings=there).lower(*given).compile()


def show(plan: Any) -> str:
    """What the plan counts, and the layers that XLA expects to take longest, in ms."""
    cost, temporary = plan.cost_analysis(), plan.memory_analysis().temp_size_in_bytes
    products, memory = cost["flops"] / PEAK, cost["bytes accessed"] / MEMORY
    layers: defaultdict[str, float] = defaultdict(float)
    for kind, name, cycles in COST.findall(plan.as_text().split("\nENTRY ", 1)[1]):
        path = [part for part in name.split("/") if not NOT_LAYERS.match(part)]
        direction = "backward" if "transpose(" in name else "forward"
        layers[f"{direction} {'/'.join(path[-2:])} ({kind})"] += int(cycles) / CLOCK
    lines = [
        f"{cost['flops'] / 1e12:.2f} TFLOP, {1e3 * products:.1f} ms at the peak in bfloat16; "
        f"{cost['bytes accessed'] / 1e9:.1f} GB moved, {1e3 * memory:.1f} ms: at most "
        f"{100 * products / max(products, memory):.0f} % of the peak; "
        f"{temporary / 1e9:.2f} GB held beside the state and the batch",
        f"XLA's cycles: {1e3 * sum(layers.values()):.1f} ms, of which",
    ]
    largest = sorted(((seconds, name) for name, seconds in layers.items()), reverse=True)[:12]
    return "\n".join(lines + [f"{1e3 * seconds:8.1f} {name}" for seconds, name in largest])


def main(argv: Sequence[str]) -> int:
    """Print the plan of a config's step; returns the exit status."""
    os.environ.update(ALONE)  # before jax is imported: there is no TPU to ask
    from drumjax.commands.bench import load_config

    p = argparse.ArgumentParser(prog="python -m drumjax.benchmarks.plan", description=__doc__)
    p.add_argument("--model", default="cwae", choices=FULL)
    p.add_argument("--variant", help="of its config (the one of full size)")
    p.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    args = p.parse_args(argv)
    try:
        if importlib.util.find_spec("libtpu") is None:
            raise ConfigError("XLA's compiler for TPUs is not installed: pip install libtpu.")
        config = load_config(None, args.model, args.variant or FULL[args.model][0])
        config[args.model].compute_dtype = args.dtype
        print(show(compile_step(config)))
    except (DrumjaxError, RuntimeError) as error:  # of libtpu, as where another plan is being made
        print(f"drumjax.benchmarks.plan: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
