"""Sound from a mel spectrogram without a network: how a CWAE is heard before an MCNN exists."""

import functools

import jax
import jax.numpy as jnp

from drumjax.audio.frames import istft, stft
from drumjax.audio.mel import MelConfig, mel_filterbank

MOMENTUM = 0.99  # librosa's; Perraudin et al. (2013) found it the best of those that settle


@functools.partial(jax.jit, static_argnames=("config", "rounds", "iterations"))
def griffin_lim(
    mel: jax.Array, config: MelConfig, rounds: int = 30, iterations: int = 32
) -> jax.Array:
    """Invert linear mel spectrograms: `multiplicative_inverse`, then `find_phase`.

    Args:
      mel: [..., frames, mels], not negative.
      config: the analysis that made it.
      rounds: multiplicative updates.
      iterations: phase updates.

    Returns:
      [..., samples]
    """
    return find_phase(multiplicative_inverse(mel, config, rounds), config, iterations)


def multiplicative_inverse(mel: jax.Array, config: MelConfig, rounds: int) -> jax.Array:
    """A non-negative magnitude whose mel is the one given: [..., frames, mels] to [..., bins].

    Multiplicative updates (Lee and Seung, 2001), starting from ones, which spreads a band evenly
    over its bins.
    """
    filters = jnp.asarray(mel_filterbank(config))  # [bins, mels]
    gram = filters @ filters.T
    target = mel @ filters.T  # [..., frames, bins]

    def scale(magnitude: jax.Array, _: None) -> tuple[jax.Array, None]:
        return magnitude * target / jnp.maximum(magnitude @ gram, 1e-8), None

    return jax.lax.scan(scale, jnp.ones_like(target), None, rounds)[0]


def find_phase(
    magnitude: jax.Array, config: MelConfig, iterations: int, momentum: float = MOMENTUM
) -> jax.Array:
    """Sounds [..., samples] whose STFT has nearly this magnitude [..., frames, bins].

    Griffin and Lim's (1984) iteration as Perraudin, Balazs and Søndergaard (2013) made it faster,
    starting from zero phase; a momentum of 0 is the original one.
    """
    shape = (config.n_fft, config.win_length, config.hop_length)

    def turn(
        carry: tuple[jax.Array, jax.Array], _: None
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        phase, before = carry
        spectrum = stft(istft(magnitude * phase, *shape, config.num_samples), *shape)
        ahead = spectrum - momentum / (1.0 + momentum) * before
        return (ahead / jnp.maximum(jnp.abs(ahead), 1e-8), spectrum), None

    start = jnp.ones_like(magnitude, jnp.complex64)
    (phase, _), _ = jax.lax.scan(turn, (start, jnp.zeros_like(start)), None, iterations)
    return istft(magnitude * phase, *shape, config.num_samples)
