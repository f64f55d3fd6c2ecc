"""Oscillators, noise, filters, envelopes and rooms from which the drums are built.

Every function works on one sound, time last; `drums.render` maps them over a batch. Filters are
causal (their poles lie in the left half-plane, sampled along the frequency axis) and run in the
Fourier domain, on a grid long enough that what rings on does not wrap round to the start.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

Values = dict[str, jax.Array]  # a sound's physical parameters by name
LOG_1000 = 6.9077553  # an amplitude falls by 60 dB when it is divided by 1000


class Clock(NamedTuple):
    """The time axis of a sound: sample rate in Hz and length in samples, both static."""

    sample_rate: int
    num_samples: int

    @property
    def time(self) -> jax.Array:
        """Seconds since the start, [n]."""
        return jnp.arange(self.num_samples, dtype=jnp.float32) / self.sample_rate

    @property
    def fft_size(self) -> int:
        """The power of two that leaves at least a quarter of the length as padding."""
        return 1 << (self.num_samples * 5 // 4 - 1).bit_length()

    @property
    def frequency(self) -> jax.Array:
        """Hz of each bin of the padded transform, [f]."""
        return jnp.arange(self.fft_size // 2 + 1) * (self.sample_rate / self.fft_size)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


def decay(time: jax.Array, seconds: ArrayLike) -> jax.Array:
    """Exponential envelope that starts at 1 and is 60 dB down after `seconds`; 0 before time 0."""
    return jnp.where(time < 0, 0.0, jnp.exp(-LOG_1000 * jnp.maximum(time, 0.0) / seconds))


def swept_cycles(time: jax.Array, pitch, sweep, sweep_time) -> jax.Array:
    """Cycles so far of an oscillator at pitch * (1 + sweep * exp(-t / sweep_time)), integrated."""
    settle = -jnp.expm1(-time / sweep_time)
    return pitch * (time + sweep * sweep_time * settle)


def sine(cycles: jax.Array) -> jax.Array:
    """Sine of a phase in cycles; whole cycles are dropped first, which keeps float32 exact."""
    return jnp.sin(2 * jnp.pi * (cycles - jnp.floor(cycles)))


def modes(clock: Clock, cycles, pitch, ratios, levels, seconds) -> jax.Array:
    """Sum of decaying partials of one fundamental.

    Args:
      clock: the time axis, n samples.
      cycles: phase of the fundamental, [n].
      pitch: its frequency in Hz, to leave out partials above the Nyquist frequency.
      ratios, levels, seconds: per partial, [m]; `seconds` is the time to fall by 60 dB.

    Returns:
      [n]
    """
    levels = jnp.where(ratios * pitch < 0.49 * clock.sample_rate, levels, 0.0)
    partials = sine(ratios[:, None] * cycles[None, :])  # [m, n]
    envelopes = decay(clock.time[None, :], seconds[:, None])  # [m, n]
    return jnp.einsum("m,mn,mn->n", levels, partials, envelopes)


def square(clock: Clock, pitch: jax.Array, start: jax.Array) -> jax.Array:
    """Square wave at `pitch` Hz from phase `start` (cycles), steps smoothed by PolyBLEP, [n]."""
    step = pitch / clock.sample_rate
    phase = (pitch * clock.time + start) % 1.0
    naive = jnp.where(phase < 0.5, 1.0, -1.0)
    return naive + _blep(phase, step) - _blep((phase + 0.5) % 1.0, step)


def _blep(phase: jax.Array, step: jax.Array) -> jax.Array:
    after = phase / step
    before = (phase - 1.0) / step
    late = jnp.where(after < 1, 2 * after - after**2 - 1, 0.0)
    return late + jnp.where(before > -1, before**2 + 2 * before + 1, 0.0)


def band_noise(clock: Clock, key: jax.Array, low, high, order: int = 2) -> jax.Array:
    """Stationary Gaussian noise of about unit power between `low` and `high` Hz, [n].

    The edges fall like those of Butterworth filters, by 6 * order dB an octave.
    """
    frequency = jnp.maximum(clock.frequency, 1.0)
    gain = (1 + (low / frequency) ** (2 * order)) * (1 + (frequency / high) ** (2 * order))
    gain = (gain**-0.5).at[0].set(0.0)  # [f]
    white = jax.random.normal(key, (2, gain.shape[0]))
    spectrum = gain * (white[0] + 1j * white[1])
    noise = jnp.fft.irfft(spectrum, clock.fft_size)[: clock.num_samples]
    return noise * clock.fft_size / jnp.sqrt(4 * jnp.sum(gain**2))


def low_pass(clock: Clock, cutoff) -> jax.Array:
    """Response of a second-order low-pass, 12 dB an octave, no resonance, complex [f]."""
    return 1.0 / (1.0 + 1j * clock.frequency / cutoff) ** 2


def high_pass(clock: Clock, cutoff) -> jax.Array:
    """Response of a first-order high-pass, 6 dB an octave, exactly 0 at 0 Hz, complex [f]."""
    return 1j * clock.frequency / (cutoff + 1j * clock.frequency)


def band_pass(clock: Clock, centre, quality) -> jax.Array:
    """Response of a two-pole resonator with gain 1 at `centre` Hz, complex [f]."""
    ratio = 1j * clock.frequency / centre
    return ratio / quality / (ratio**2 + ratio / quality + 1)


def filtered(clock: Clock, signal: jax.Array, response: jax.Array) -> jax.Array:
    """Apply a complex response [f] to a signal [n] of the same clock, [n]."""
    spectrum = jnp.fft.rfft(signal, clock.fft_size) * response
    return jnp.fft.irfft(spectrum, clock.fft_size)[: clock.num_samples]


def room(clock: Clock, key: jax.Array, seconds, brightness=4000.0) -> jax.Array:
    """Response of a small room: low-passed noise that decays in `seconds`, unit energy, [f]."""
    reply = jax.random.normal(key, (clock.num_samples,)) * decay(clock.time - 0.003, seconds)
    reply = reply / jnp.sqrt(jnp.sum(reply**2))
    return jnp.fft.rfft(reply, clock.fft_size) * low_pass(clock, brightness)


def saturate(signal: jax.Array, drive) -> jax.Array:
    """Peak-normalise and push through tanh; drive 0 is nearly clean, 1 is heavily bent."""
    peak = jnp.max(jnp.abs(signal)) + 1e-9
    return jnp.tanh(signal / peak * (0.2 + 5.0 * drive**2))


def finish(clock: Clock, p: Values, key, signal: jax.Array, response, seconds) -> jax.Array:
    """Filter, lay over hiss, end and normalise a sound.

    Args:
      clock: the time axis, n samples.
      p: physical values, of which `length` (ratio of `seconds`) and `hiss` (dB) are used here.
      key: PRNG key of the hiss.
      signal: [n]; response: complex [f], applied with a 20 Hz high-pass against DC.
      seconds: where the sound ends by itself; the end is kept between 0.1 s and the shorter of
        1 s and the clock.

    Returns:
      [n], peak 1, exact zeros from its end on.
    """
    end = jnp.clip(p["length"] * seconds, 0.1, min(1.0, clock.seconds))
    fade = jnp.clip((end - clock.time) / (0.1 * end), 0.0, 1.0)
    window = 0.5 - 0.5 * jnp.cos(jnp.pi * fade)
    signal = signal / (jnp.max(jnp.abs(signal)) + 1e-9)
    signal = signal + 10 ** (p["hiss"] / 20) * jax.random.normal(key, (clock.num_samples,))
    signal = window * filtered(clock, window * signal, response * high_pass(clock, 20.0))
    peak = jnp.max(jnp.abs(signal))
    # A compiler may divide by multiplying with 1 / peak, which leaves the peak a bit below 1.
    return jnp.where(jnp.abs(signal) >= peak, jnp.sign(signal), signal / peak)
