"""The update on one device, under pmap, or as a sharded jit: three ways that agree."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from drumjax.errors import ConfigError
from drumjax.training.distributed import whole_mesh
from drumjax.training.state import TrainState
from drumjax.training.update import Update

AXIS = "data"
MODES = ("none", "pmap", "jit")


def resolve_mode(mode: str, per_category: int, accumulate: int = 1) -> str:
    """Choose the way to run: "auto" is pmap on several devices and one plain jit on one.

    Args:
      mode: "auto" or one of `MODES`.
      per_category: sounds of each category in the batch of all processes.
      accumulate: micro-batches that each device cuts its share into.

    Raises:
      ConfigError: unknown mode, a batch that the devices of all processes cannot share, or "none"
        in a run of several processes.
    """
    devices, processes = jax.device_count(), jax.process_count()
    if mode == "auto":
        alone = processes == 1 and (devices == 1 or per_category % devices)
        mode = "none" if alone else "pmap"
    if mode not in MODES:
        raise ConfigError(f"train.parallel must be auto, {', '.join(MODES)}; not {mode!r}.")
    if mode == "none" and processes > 1:
        raise ConfigError(
            f"train.parallel=none would train {processes} processes apart; choose pmap or jit."
        )
    if mode != "none" and per_category % devices:
        hint = " or train.parallel=none" if processes == 1 else ""
        raise ConfigError(
            f"data.per_category = {per_category} cannot be shared by {devices} devices; "
            f"choose a multiple of {devices}{hint}."
        )
    parts = accumulate * (1 if mode == "none" else devices)
    if per_category % parts:
        raise ConfigError(
            f"data.per_category = {per_category} cannot be cut into {parts} parts (devices times "
            "train.accumulate); choose a train.accumulate that divides it."
        )
    return mode


class Runner:
    """A compiled update, and where its state and batches lie.

    run(state, batch) -> (state, metrics): the batch as the sampler makes it, [categories, n, ...]
    NumPy arrays of this process, or what `put_batch` made of it. The state carries no device axis
    in any mode; the one given is consumed.
    """

    def __init__(self, step: Callable[..., Any], state: Sharding, batch: Sharding, mode: str):
        self._step, self._state, self._batch, self.mode = step, state, batch, mode

    def put_batch(self, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        """Bring this process's part of a batch to its devices; what lies there stays."""
        return {k: self._share(v) for k, v in batch.items()}

    def put_state(self, state: TrainState) -> TrainState:
        """Copy a state to every device; what lies there already stays.

        A state that lies elsewhere, such as a fresh one, one just restored or a number that the
        host made anew, would compile the step again.
        """
        return jax.tree.map(self._replicate, state)

    def __call__(self, state: TrainState, batch: Mapping[str, Any]) -> tuple[TrainState, Any]:
        """One step."""
        return self._step(self.put_state(state), self.put_batch(batch))

    def _share(self, x: Any) -> jax.Array:
        if isinstance(x, jax.Array):
            return x
        if self.mode == "jit":
            return jax.make_array_from_process_local_data(self._batch, x)
        return jax.device_put(split_devices(x) if self.mode == "pmap" else x, self._batch)

    def _replicate(self, x: Any) -> jax.Array:
        if isinstance(x, jax.Array) and x.committed and x.sharding == self._state:
            return x
        if self._state.is_fully_addressable:
            return jax.device_put(x, self._state)
        host = np.asarray(x)  # device_put would make the processes compare what they hold
        return jax.make_array_from_callback(host.shape, self._state, lambda index: host[index])


def parallelise(build: Callable[[str | None], Update], mode: str) -> Runner:
    """Compile the update for a mode of `MODES`, over the devices of all processes.

    Args:
      build: axis_name -> update; only pmap names an axis.
      mode: "none", "pmap" or "jit".
    """
    if mode == "none":
        alone = SingleDeviceSharding(jax.local_devices()[0])
        return Runner(jax.jit(build(None), donate_argnums=0), alone, alone, mode)
    if mode == "pmap":
        step = jax.pmap(
            build(AXIS), axis_name=AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=0
        )
        own = Mesh(np.array(jax.local_devices()), (AXIS,))
        whole, shared = (NamedSharding(own, PartitionSpec(*axis)) for axis in ((), (AXIS,)))
        return Runner(step, whole, shared, mode)
    mesh = whole_mesh(AXIS)
    whole = NamedSharding(mesh, PartitionSpec())
    shared = NamedSharding(mesh, PartitionSpec(None, AXIS))
    step = jax.jit(build(None), in_shardings=(whole, shared), out_shardings=whole, donate_argnums=0)
    return Runner(step, whole, shared, mode)


def split_devices(x: np.ndarray) -> np.ndarray:
    """[categories, n, ...] -> [devices of this process, categories, n / devices, ...]."""
    devices = jax.local_device_count()
    return x.reshape(x.shape[0], devices, -1, *x.shape[2:]).swapaxes(0, 1)
