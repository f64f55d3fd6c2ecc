"""Sound from a mel spectrogram without a network: how a CWAE is heard before an MCNN exists."""

import functools

import jax
import jax.numpy as jnp

from drumjax.audio.frames import istft, stft
from drumjax.audio.mel import MelConfig, mel_filterbank


@functools.partial(jax.jit, static_argnames=("config", "rounds", "iterations"))
def griffin_lim(
    mel: jax.Array, config: MelConfig, rounds: int = 30, iterations: int = 32
) -> jax.Array:
    """Invert linear mel spectrograms.

    Multiplicative updates (Lee and Seung, 2001) find a non-negative magnitude whose mel is the
    one given, then Griffin and Lim's (1984) iteration finds a phase, starting from zero phase.

    Args:
      mel: [b, frames, mels], not negative.
      config: the analysis that made it.
      rounds: multiplicative updates.
      iterations: phase updates.

    Returns:
      [b, samples]
    """
    filters = jnp.asarray(mel_filterbank(config))  # [bins, mels]
    gram = filters @ filters.T
    target = mel @ filters.T  # [b, frames, bins]

    def scale(magnitude: jax.Array, _: None) -> tuple[jax.Array, None]:
        return magnitude * target / jnp.maximum(magnitude @ gram, 1e-8), None

    magnitude, _ = jax.lax.scan(scale, jnp.ones_like(target), None, rounds)
    shape = (config.n_fft, config.win_length, config.hop_length)

    def turn(phase: jax.Array, _: None) -> tuple[jax.Array, None]:
        spectrum = stft(istft(magnitude * phase, *shape, config.num_samples), *shape)
        return spectrum / jnp.maximum(jnp.abs(spectrum), 1e-8), None

    phase, _ = jax.lax.scan(turn, jnp.ones_like(magnitude, jnp.complex64), None, iterations)
    return istft(magnitude * phase, *shape, config.num_samples)
