"""The state of a training run: one tree of arrays, without a device axis, saved as it is."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from drumjax.models.objective import Objective, Variables


class TrainState(NamedTuple):
    """Model variables, one optimiser state a player, and the step that comes next."""

    step: jax.Array  # int32 scalar
    variables: Variables
    optimiser: dict[str, Any]
    lr_scale: jax.Array  # float32 scalar, lowered by the plateau


def adam(beta1: float = 0.9, beta2: float = 0.999) -> optax.GradientTransformation:
    """Adam without a learning rate: the update multiplies by it, so that it can change."""
    return optax.scale_by_adam(b1=beta1, b2=beta2)


def trained(variables: Variables, keys: tuple[str, ...]) -> dict[str, Any]:
    """The part of the parameters that a player may change."""
    return {k: variables["params"][k] for k in keys}


def create_state(
    objective: Objective, optimiser: optax.GradientTransformation, key: jax.Array
) -> TrainState:
    """A fresh state at step 0."""
    variables = jax.jit(objective.init)(key)
    states = {
        player: optimiser.init(trained(variables, loss.trains))
        for player, loss in objective.losses.items()
    }
    return TrainState(jnp.zeros((), jnp.int32), variables, states, jnp.ones(()))
