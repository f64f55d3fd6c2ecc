"""The update on one device, under pmap, or as a sharded jit: three ways that agree."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from drumjax.errors import ConfigError
from drumjax.training.state import TrainState
from drumjax.training.update import Update

AXIS = "data"
MODES = ("none", "pmap", "jit")


def resolve_mode(mode: str, per_category: int) -> str:
    """Choose the way to run: "auto" is pmap on several devices and one plain jit on one.

    Raises:
      ConfigError: unknown mode, or a batch that the devices cannot share.
    """
    devices = jax.local_device_count()
    if mode == "auto":
        mode = "pmap" if devices > 1 and per_category % devices == 0 else "none"
    if mode not in MODES:
        raise ConfigError(f"train.parallel must be auto, {', '.join(MODES)}; not {mode!r}.")
    if mode != "none" and per_category % devices:
        raise ConfigError(
            f"data.per_category = {per_category} cannot be shared by {devices} devices; "
            f"choose a multiple of {devices} or train.parallel=none."
        )
    return mode


def parallelise(build: Callable[[str | None], Update], mode: str) -> Callable[..., Any]:
    """Compile the update for a mode of `MODES`.

    Args:
      build: axis_name -> update; only pmap names an axis.
      mode: "none", "pmap" or "jit".

    Returns:
      run(state, batch): batch as the sampler makes it, [categories, n, ...] NumPy arrays. The state
      carries no device axis in any mode; the one given is consumed.
    """
    if mode == "none":
        # Arrays that the host makes anew between steps are put where the others lie: a state that
        # lies elsewhere would compile the step again.
        alone = SingleDeviceSharding(jax.local_devices()[0])
        one = jax.jit(build(None), donate_argnums=0)
        return lambda state, batch: one(jax.device_put(state, alone), batch)
    if mode == "pmap":
        step = jax.pmap(
            build(AXIS), axis_name=AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=0
        )
        return lambda state, batch: step(state, jax.tree.map(split_devices, dict(batch)))
    mesh = jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))
    whole = NamedSharding(mesh, PartitionSpec())
    shared = NamedSharding(mesh, PartitionSpec(None, AXIS))
    step = jax.jit(build(None), in_shardings=(whole, shared), out_shardings=whole, donate_argnums=0)

    def run(state: TrainState, batch: dict[str, np.ndarray]):
        return step(jax.device_put(state, whole), jax.device_put(dict(batch), shared))

    return run


def split_devices(x: np.ndarray) -> np.ndarray:
    """[categories, n, ...] -> [devices, categories, n / devices, ...]."""
    devices = jax.local_device_count()
    return x.reshape(x.shape[0], devices, -1, *x.shape[2:]).swapaxes(0, 1)
