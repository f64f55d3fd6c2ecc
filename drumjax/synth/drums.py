"""Render drum sounds from points in the unit cube: the one door to the synthesiser."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from drumjax.errors import ConfigError
from drumjax.synth import hands, membranes, metals
from drumjax.synth.blocks import Clock, Values
from drumjax.synth.parameters import parameters_of, physical_vector

Voice = Callable[[Clock, Values, jax.Array], jax.Array]
VOICES: dict[str, Voice] = {
    "kick": membranes.kick,
    "snare": membranes.snare,
    "clap": hands.clap,
    "snap": hands.snap,
    "closed_hat": metals.hat,
    "open_hat": metals.hat,
    "tom": membranes.tom,
    "conga": membranes.hand_drum,
    "bongo": membranes.hand_drum,
    "shaker": hands.shaker,
    "tambourine": metals.tambourine,
}


def render(
    category: str,
    parameters: ArrayLike,
    key: jax.Array,
    *,
    sample_rate: int = 22050,
    num_samples: int = 22015,
) -> jax.Array:
    """Render one sound for each parameter vector.

    Args:
      category: one of CATEGORIES.
      parameters: [..., P] in [0, 1]; see PARAMETERS[category].
      key: a typed PRNG key for the noise, one for all (each sound then folds its place into it)
        or one per sound, shaped like `parameters` without its last axis.
      sample_rate: Hz, static.
      num_samples: length of the result in samples, static, at least 0.1 s.

    Returns:
      float32 [..., num_samples], peak 1. Each sound starts at sample 0, lasts 0.1 to 1 s and is
      exactly zero after its end. Pure and jittable.

    Raises:
      ConfigError: unknown category, wrong number of parameters or keys, or too short a length.
    """
    physical = physical_vector(category, parameters)
    if num_samples < 0.1 * sample_rate:
        raise ConfigError(f"{num_samples} samples at {sample_rate} Hz are under the 0.1 s needed.")
    leading = physical.shape[:-1]
    keys = _one_key_each(key, leading)
    names = tuple(p.name for p in parameters_of(category))
    flat = physical.reshape(-1, len(names))
    clock = Clock(sample_rate, num_samples)
    audio = _render_flat(VOICES[category], names, clock, flat, keys.reshape(-1))
    return audio.reshape(*leading, num_samples)


def _one_key_each(key: jax.Array, leading: tuple[int, ...]) -> jax.Array:
    if key.shape == leading:
        return key
    if key.shape:
        raise ConfigError(f"Give one key, or keys shaped {leading}, not {key.shape}.")
    places = jnp.arange(jnp.zeros(leading).size)
    return jax.vmap(partial(jax.random.fold_in, key))(places).reshape(leading)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _render_flat(
    voice: Voice, names: tuple[str, ...], clock: Clock, physical: jax.Array, keys: jax.Array
) -> jax.Array:
    """One compilation serves every category with the same voice: both hats, both hand drums."""

    def one(vector: jax.Array, key: jax.Array) -> jax.Array:
        return voice(clock, dict(zip(names, vector, strict=True)), key)

    return jax.vmap(one)(physical, keys)  # [b, n]
