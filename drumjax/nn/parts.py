"""The parts that a batch is cut into, in space and in time, and what each may see of the others.

A batch's axis of sounds is split over the devices of a mapped axis, and on each of them into
micro-batches whose gradients are accumulated. A loss that is a mean over sounds needs nothing of
the other parts. One that compares whole batches, such as the MMD, gathers its codes first: from the
other devices at once, from the other micro-batches as an earlier pass found them (as in GradCache,
Gao et al. 2021).
"""

from typing import Any

import jax
import jax.numpy as jnp


class MicroBatch:
    """One of `count` micro-batches of a device: rows `index`, `index + count`, ... of its sounds.

    In the first pass `gather` writes down in `seen` what each call is given. In the second `known`
    holds the same of all micro-batches, in the order of the calls, stacked: [count, ...].
    """

    def __init__(
        self, axis_name: str | None, count: int, index: jax.Array, known: list[Any] | None = None
    ) -> None:
        self.axis_name, self.count, self.index, self.known = axis_name, count, index, known
        self.seen: list[Any] = []


Axis = str | MicroBatch | None  # a mapped device axis, a micro-batch (of a device), or the whole


def device_axis(axis: Axis) -> str | None:
    """The mapped device axis, if there is one."""
    return axis.axis_name if isinstance(axis, MicroBatch) else axis


def part_count(axis: Axis) -> int:
    """Parts of the whole batch: devices times micro-batches."""
    name = device_axis(axis)
    devices = 1 if name is None else jax.lax.axis_size(name)
    return devices * (axis.count if isinstance(axis, MicroBatch) else 1)


def own_part(x: jax.Array, axis: Axis, dim: int) -> jax.Array:
    """This part's rows of an array [..., n of the whole batch, ...] that all parts hold alike."""
    name = device_axis(axis)
    if name is not None:
        n = x.shape[dim] // jax.lax.axis_size(name)
        x = jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(name) * n, n, dim)
    if isinstance(axis, MicroBatch):
        rows = split_rows(x, axis.count, dim)
        x = jax.lax.dynamic_index_in_dim(rows, axis.index, 0, keepdims=False)
    return x


def split_rows(x: jax.Array, count: int, dim: int) -> jax.Array:
    """[..., n, ...] -> [count, ..., n / count, ...]; part i takes the rows i, i + count, ...

    Taken that way, each part has rows of every device that the whole is sharded over.
    """
    shape = (*x.shape[:dim], x.shape[dim] // count, count, *x.shape[dim + 1 :])
    return jnp.moveaxis(x.reshape(shape), dim + 1, 0)


def join_rows(parts: jax.Array, dim: int) -> jax.Array:
    """The inverse of `split_rows`: [count, ..., n / count, ...] -> [..., n, ...]."""
    x = jnp.moveaxis(parts, 0, dim + 1)
    return x.reshape(*x.shape[:dim], -1, *x.shape[dim + 2 :])


def gather(tree: Any, axis: Axis, dim: int) -> Any:
    """Arrays [..., n of this part, ...] of all parts, joined along `dim` in the batch's order.

    The mean of the parts' gradients is the gradient of a loss of the whole: a device's rows count
    for all devices (all_gather's transpose is a sum), a micro-batch's own rows `count` times and
    the others', which are constants to it, not at all.
    """
    if isinstance(axis, MicroBatch):
        tree = _join_micro_batches(tree, axis, dim)
    name = device_axis(axis)
    return tree if name is None else jax.lax.all_gather(tree, name, axis=dim, tiled=True)


def _join_micro_batches(tree: Any, axis: MicroBatch, dim: int) -> Any:
    number = len(axis.seen)
    axis.seen.append(tree)
    if axis.known is None:  # only the shape matters: what is made of it is thrown away
        return jax.tree.map(lambda x: jnp.concatenate([x] * axis.count, dim), tree)

    def join(own: jax.Array, known: jax.Array) -> jax.Array:
        fixed = jax.lax.stop_gradient(own)
        own = fixed + axis.count * (own - fixed)  # the value is `fixed` exactly
        parts = jax.lax.dynamic_update_index_in_dim(
            jax.lax.stop_gradient(known), own, axis.index, 0
        )
        return join_rows(parts, dim)

    return jax.tree.map(join, tree, axis.known[number])
