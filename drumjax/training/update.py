"""One update of every player: the pure function that all ways of running share."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from drumjax.errors import ConfigError
from drumjax.models.objective import Batch, Loss, Objective, Variables
from drumjax.training.gradients import PLAIN, Memory, gradients
from drumjax.training.state import TrainState, trained

Update = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]


def learning_rate(
    peak: float, schedule: str, steps: int, warmup: int
) -> Callable[[jax.Array], jax.Array]:
    """Learning rate by step: "constant" (the papers') or "cosine" to zero, after a warm-up."""
    if schedule not in ("constant", "cosine"):
        raise ConfigError(f"train.schedule must be constant or cosine, not {schedule!r}.")

    def rate(step: jax.Array) -> jax.Array:
        ramp = jnp.minimum(1.0, (step + 1) / max(warmup, 1))
        if schedule == "constant":
            return peak * ramp
        progress = jnp.clip((step - warmup) / max(steps - warmup, 1), 0.0, 1.0)
        return peak * ramp * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))

    return rate


def step_player(
    loss: Loss,
    variables: Variables,
    batch: Batch,
    key: jax.Array,
    axis_name: str | None,
    memory: Memory,
) -> tuple[Any, Any, dict[str, jax.Array]]:
    """Gradients of one player: (gradients, batch_stats, metrics), averaged over `axis_name`."""
    grads, (stats, metrics) = gradients(loss, variables, batch, key, axis_name, memory)
    if axis_name is not None:
        grads, metrics = jax.lax.pmean((grads, metrics), axis_name)
    return grads, stats, {**metrics, "gradient_norm": optax.tree.norm(grads)}


def make_update(
    objective: Objective,
    optimiser: optax.GradientTransformation,
    rate: Callable[[jax.Array], jax.Array],
    seed: int,
    axis_name: str | None = None,
    memory: Memory = PLAIN,
) -> Update:
    """Build update(state, batch) -> (state, metrics), pure in both arguments.

    Randomness is a function of (seed, step): a resumed run draws what an unbroken one would have
    drawn. Metrics are scalars, prefixed by the player where there are several.
    """

    def update(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        scale = rate(state.step) * state.lr_scale
        variables, states, log = state.variables, dict(state.optimiser), {}
        players = objective.losses.items()
        for (player, loss), own in zip(players, jax.random.split(key, len(players)), strict=True):
            grads, stats, metrics = step_player(loss, variables, batch, own, axis_name, memory)
            part = trained(variables, loss.trains)
            steps, states[player] = optimiser.update(grads, states[player], part)
            part = jax.tree.map(lambda p, u: p - scale * u, part, steps)
            params = {**variables["params"], **part}
            variables = {**variables, "params": params, "batch_stats": stats}
            prefix = f"{player}/" if len(players) > 1 else ""
            log |= {prefix + k: v for k, v in metrics.items()}
        log["learning_rate"] = jnp.asarray(scale, jnp.float32)
        return TrainState(state.step + 1, variables, states, state.lr_scale), log

    return update
