"""A one-shot's level over time: peak, silence, fades, attack, decay and where it ends."""

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.errors import AudioDecodeError

_FRAME_SECONDS = 0.002  # the envelope that attack_time and decay_time read
_FRAMES_PER_WINDOW = 4
_REST = 0.05  # seconds, a period of 20 Hz: the end that shows whether a sound rests on an offset


def peak_normalise(x: np.ndarray) -> np.ndarray:
    """Scale [samples] so that its largest absolute value is 1.

    Raises:
      AudioDecodeError: the sound is empty or all zeros.
    """
    peak = np.max(np.abs(x), initial=0.0)
    if peak == 0.0:
        raise AudioDecodeError(
            "The sound is silent, so that it has no peak to normalise.", "silent"
        )
    return (x / peak).astype(np.float32)


def remove_offset(x: np.ndarray, sample_rate: int, threshold: float = 5e-4) -> np.ndarray:
    """Subtract from [samples] the constant that the sound dies away to, if it is not near zero.

    It counts if it reaches `threshold` times the peak and the last 50 ms stray from it by less
    than half of it; any other sound, such as one cut off while it swings, comes back as it is.
    """
    end = x[-round(_REST * sample_rate) :]
    offset = np.median(end) if end.size else 0.0
    reaches = abs(offset) >= threshold * np.max(np.abs(x), initial=0.0)
    steady = np.all(np.abs(end - offset) < 0.5 * abs(offset))
    return x - offset if reaches and steady else x


def trim_leading_silence(x: np.ndarray, threshold_db: float = -60.0) -> np.ndarray:
    """Drop what lies before the first sample at or above threshold_db, relative to the peak.

    A silent sound comes back empty.
    """
    loud = _loud(x, threshold_db)
    return x[loud[0] :] if loud.size else x[:0]


def trim_trailing_silence(x: np.ndarray, threshold_db: float = -60.0) -> np.ndarray:
    """Drop what lies after the last sample at or above threshold_db, relative to the peak.

    A silent sound comes back empty.
    """
    loud = _loud(x, threshold_db)
    return x[: loud[-1] + 1] if loud.size else x[:0]


def fade_in(x: np.ndarray, samples: int) -> np.ndarray:
    """Ramp the first `samples` of [n] up from 0, linearly; a longer ramp is cut to n samples."""
    samples = min(samples, len(x))
    gain = np.ones(len(x), np.float32)
    gain[:samples] = np.arange(samples) / max(samples, 1)
    return (x * gain).astype(np.float32)


def fade_out(x: np.ndarray, samples: int) -> np.ndarray:
    """Ramp the last `samples` of [n] down to 0, linearly; a longer ramp is cut to n samples."""
    return np.ascontiguousarray(fade_in(x[::-1], samples)[::-1])


def rms_envelope(x: np.ndarray, frame: int, hop: int) -> np.ndarray:
    """Root mean square of [samples] in frames of `frame` every `hop` samples: float32 [frames].

    The end is filled with zeros, so that every sample lies in a frame if hop <= frame.
    """
    frames = 1 + max(0, -(-(len(x) - frame) // hop))
    padded = np.pad(x.astype(np.float64), (0, max(0, (frames - 1) * hop + frame - len(x))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop]  # [frames, frame]
    return np.sqrt(np.mean(windows[:frames] ** 2, axis=1)).astype(np.float32)


def attack_time(x: np.ndarray, sample_rate: int) -> float:
    """Seconds in which the RMS envelope rises from 10 % to 90 % of its peak; 0 for silence."""
    envelope, seconds = _envelope(x, sample_rate)
    peak = envelope.max()
    if peak == 0.0:
        return 0.0
    rises = np.argmax(envelope >= 0.1 * peak), np.argmax(envelope >= 0.9 * peak)
    return float(rises[1] - rises[0]) * seconds


def decay_time(x: np.ndarray, sample_rate: int, decibels: float = 60) -> float:
    """Seconds from the RMS envelope's peak to where it stays `decibels` below; 0 for silence.

    A sound that does not fall so far is measured up to its end.
    """
    envelope, seconds = _envelope(x, sample_rate)
    peak = envelope.max()
    if peak == 0.0:
        return 0.0
    last = np.flatnonzero(envelope >= peak * 10.0 ** (-decibels / 20.0))[-1]
    return float(last - np.argmax(envelope)) * seconds


def activity_mask(x: jax.Array) -> jax.Array:
    """1 up to and with the last sample that is not 0, then 0: [..., samples], jittable.

    The target of the MCNN's mask (NDM eq. 9); all zeros for a silent sound.
    """
    index = jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
    last = jnp.max(jnp.where(x != 0, index, -1), axis=-1, keepdims=True)
    return (index <= last).astype(x.dtype)


def _loud(x: np.ndarray, threshold_db: float) -> np.ndarray:
    """Indices of the samples that are not 0 and reach threshold_db, relative to the peak."""
    level = np.abs(x)
    return np.flatnonzero((level > 0) & (level >= level.max(initial=0) * 10 ** (threshold_db / 20)))


def _envelope(x: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float]:
    """RMS envelope in 2 ms frames, and the seconds between two of its values."""
    hop = max(1, round(_FRAME_SECONDS * sample_rate / _FRAMES_PER_WINDOW))
    return rms_envelope(x, _FRAMES_PER_WINDOW * hop, hop), hop / sample_rate
