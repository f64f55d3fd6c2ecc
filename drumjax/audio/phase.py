"""Sound from a mel spectrogram in a few iterations and without a network.

A ridge regression gives the magnitudes, the gradient of their logarithm gives a phase to start
from, as in phase gradient heap integration (Průša, Balazs and Søndergaard, 2017), and a few rounds
of the accelerated Griffin-Lim iteration (Perraudin, Balazs and Søndergaard, 2013) make it one that
a signal can have. A one-shot begins at sample 0, and that is what the start makes use of: the phase
of the first frame is that of an impulse soon after. Nothing is upsampled, so nothing draws stripes.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.audio.frames import istft, stft
from drumjax.audio.mel import MelConfig, mel_filterbank

Pair = tuple[jax.Array, jax.Array]

MOMENTUM = 0.9  # of the rounds; 1.2 and more are ahead for four of them and behind after eight
# Where the impulse is, in windows: 5.4 ms. At sample 0 itself all frequencies meet in a click 5 dB
# above the sound's peak; the training sounds' errors are least from here to 9 ms (BUILD.md).
_ONSET = 15 / 128
_RIDGE = 1e-4  # of the filters' largest squared singular value
_FLOOR = 1e-4  # of the loudest magnitude, -80 dB: below it the log's gradient means nothing
_HANN = 0.25645  # a Hann window's spread: of the Gaussian like it, over its squared length


@functools.lru_cache(maxsize=16)
def inverse_filterbank(config: MelConfig) -> np.ndarray:
    """Matrix [mels, bins] that estimates magnitudes from mels: regularised least squares."""
    filters = mel_filterbank(config).astype(np.float64)  # [bins, mels]
    gram = filters.T @ filters
    ridge = _RIDGE * np.linalg.norm(gram, 2) * np.eye(len(gram))
    return np.linalg.solve(gram + ridge, filters.T).astype(np.float32)


def magnitudes(mel: jax.Array, config: MelConfig) -> jax.Array:
    """Linear mel [b, frames, mels] -> magnitudes [b, frames, bins], not negative."""
    return jnp.maximum(mel @ inverse_filterbank(config), 0.0)


def gradient_phase(magnitude: jax.Array, config: MelConfig) -> jax.Array:
    """A phase to start from, integrated along time from an impulse near sample 0.

    Differs from the source: it integrates in the order of magnitude, along both axes, with a heap;
    one axis is a cumulative sum, and the iterations after it mend what it gets wrong.

    Args:
      magnitude: [b, frames, bins].
      config: its analysis; a Hann window is assumed.

    Returns:
      Unit complex numbers [b, frames, bins].
    """
    bins, spread = magnitude.shape[2], _HANN * config.win_length**2
    floor = _FLOOR * jnp.max(magnitude, axis=(1, 2), keepdims=True) + 1e-9
    logs = jnp.log(magnitude + floor)
    slope = jnp.pad((logs[..., 2:] - logs[..., :-2]) / 2, ((0, 0), (0, 0), (1, 1)))
    carrier = 2 * np.pi * config.hop_length * np.arange(bins, dtype=np.float32) / config.n_fft
    step = slope * (config.hop_length * config.n_fft / spread) + carrier[None, None]
    mean = (step[:, 1:] + step[:, :-1]) / 2
    phase = jnp.pad(jnp.cumsum(jnp.mod(mean, 2 * np.pi), axis=1), ((0, 0), (1, 0), (0, 0)))
    turns = 0.5 - _ONSET * config.win_length / config.n_fft  # a bin; frames are centred
    phase = phase + 2 * np.pi * turns * np.arange(bins, dtype=np.float32)[None, None]
    return jax.lax.complex(jnp.cos(phase), jnp.sin(phase))


def invert(mel: jax.Array, config: MelConfig, rounds: int) -> jax.Array:
    """Invert linear mel spectrograms.

    Frames of silence stay silence, and those after the last other one change nothing before it,
    however many they are, from two on: batches may be filled up with them.

    Args:
      mel: [b, frames, mels], not negative; frames may be fewer than the config's.
      config: the analysis that made it.
      rounds: iterations; each costs a transform and an inverse one.

    Returns:
      [b, samples], the config's num_samples or, of fewer frames, frames * hop.
    """
    shape = (config.n_fft, config.win_length, config.hop_length)
    samples = min(config.num_samples, mel.shape[1] * config.hop_length)
    frames = 1 + samples // config.hop_length
    magnitude = magnitudes(mel, config)
    magnitude = jnp.pad(magnitude, ((0, 0), (0, frames - mel.shape[1]), (0, 0)))

    def to_magnitude(spectrum: jax.Array) -> jax.Array:
        power = spectrum.real**2 + spectrum.imag**2
        return spectrum * (magnitude * jax.lax.rsqrt(jnp.maximum(power, 1e-20)))

    def turn(state: Pair, _: None) -> tuple[Pair, None]:
        spectrum, before = state
        made = stft(istft(to_magnitude(spectrum), *shape, samples), *shape)
        return (made + MOMENTUM * (made - before), made), None

    start = magnitude * gradient_phase(magnitude, config)
    (spectrum, _), _ = jax.lax.scan(turn, (start, start), None, rounds)
    return istft(to_magnitude(spectrum), *shape, samples)
