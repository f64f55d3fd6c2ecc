"""Gradients of a loss, and what they trade for a smaller memory: micro-batches, recomputation."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from drumjax.errors import ConfigError
from drumjax.models.objective import Batch, Loss, Variables
from drumjax.nn.parts import MicroBatch, split_rows
from drumjax.training.state import trained

PRODUCTS = ("dot_general", "conv_general_dilated", "custom_vjp_call")  # what `remat` keeps


@dataclasses.dataclass(frozen=True)
class Memory:
    """What an update does to need less memory.

    accumulate: micro-batches that each device works through one after the other. The update is that
      of the whole batch for losses that are means over sounds and for the MMD, whose codes of all
      micro-batches an encoding pass finds first. Differs where there are batch norms: a micro-batch
      is normalised by its own statistics, and the running ones take the mean of theirs.
    remat: keep only what matrix products and convolutions make, and compute everything else again
      for the gradients. The numbers do not change.

    Raises:
      ConfigError: `accumulate` is below 1.
    """

    accumulate: int = 1
    remat: bool = False

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise ConfigError(f"train.accumulate must be at least 1, not {self.accumulate}.")


PLAIN = Memory()


def gradients(
    loss: Loss,
    variables: Variables,
    batch: Batch,
    key: jax.Array,
    axis_name: str | None,
    memory: Memory,
) -> tuple[Any, tuple[Any, dict[str, jax.Array]]]:
    """(gradients, (batch_stats, metrics)) of this device's part of the batch.

    Args:
      loss: the player; the gradients are by what it trains.
      variables, batch, key, axis_name: as the loss takes them.
      memory: how.
    """
    count = memory.accumulate

    def of(part: dict[str, Any], batch: Batch, micro: tuple[jax.Array, Any] | None):
        params = {**variables["params"], **part}
        axis = axis_name if micro is None else MicroBatch(axis_name, count, *micro)
        # All micro-batches draw the same numbers, of which each takes what belongs to its rows.
        own = jax.random.clone(key)
        return loss.function({**variables, "params": params}, batch, own, axis)

    if memory.remat:
        of = recompute(of)
    part, differentiate = trained(variables, loss.trains), jax.grad(of, has_aux=True)
    if count == 1:
        return differentiate(part, batch, None)

    def gathered(given: tuple[jax.Array, Batch]) -> list[Any]:
        axis = MicroBatch(axis_name, count, given[0])
        own = jax.random.clone(key)
        loss.function(variables, given[1], own, axis)  # what is not gathered is not computed
        return axis.seen

    micros = jnp.arange(count), jax.tree.map(lambda x: split_rows(x, count, 1), dict(batch))
    known = jax.lax.map(gathered, micros)

    def add(total: Any, given: tuple[jax.Array, Batch]) -> tuple[Any, None]:
        index, micro = given
        return jax.tree.map(jnp.add, total, differentiate(part, micro, (index, known))), None

    first = jax.tree.map(lambda x: x[0], micros)
    shapes = jax.eval_shape(lambda i, b: differentiate(part, b, (i, known)), *first)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    total, _ = jax.lax.scan(add, zeros, micros)
    return jax.tree.map(lambda x: x / count, total)


def recompute(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which keeps its `PRODUCTS` alone for the gradients."""
    return jax.checkpoint(function, policy=_is_product)


def _is_product(primitive: Any, *_: Any, **__: Any) -> bool:
    return primitive.name in PRODUCTS
