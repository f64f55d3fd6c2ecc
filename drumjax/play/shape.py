"""Shaping of a finished sound: trim, reverse, pitch, decay, fade, gain."""

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from drumjax.audio.envelope import fade_in, fade_out, rms_envelope
from drumjax.audio.levels import peak_safe, sounding
from drumjax.audio.names import brief
from drumjax.audio.resample import resample_exactly
from drumjax.errors import ConfigError

_DECLICK = 0.002  # seconds, where a cut leaves an edge: short enough to keep a drum's attack
_FRAME, _HOP = 0.02, 0.005  # seconds, the envelope that the decay is read from
_FLOOR = -60.0  # dB from the sound's peak level: what lies lower counts as noise
_MOST = 36.0  # dB by which the decay may raise a tail
_ATTACK = 0.5  # of the highest sample: the first one to reach it is where the decay starts
_RATIO_STEPS = 1_000_000  # soxr takes the pitch as a ratio of two whole rates

_RANGES = {
    "pitch": (-24.0, 24.0, "semitones"),
    "decay": (0.05, 4.0, "times the decay time"),
    "gain": (-60.0, 24.0, "dB"),
    "fade": (0.0, 60.0, "seconds"),
    "trim_start": (0.0, 60.0, "seconds"),
    "trim_end": (0.0, 60.0, "seconds"),
    "length": (0.0, 60.0, "seconds"),
}


@dataclasses.dataclass(frozen=True)
class Shape:
    """What to do to a sound, in the order in which `apply` does it; the defaults do nothing.

    Attributes:
        trim_start: seconds to take off the start.
        trim_end: seconds to take off the end of the sound; the silence behind it goes, too.
        length: seconds to keep behind trim_start, 0 for all of it: of a longer sound the rest goes
            and the silence behind it, a shorter one stays; with trim_end, what cuts more counts.
        reverse: play the sound backwards; silence behind it stays behind it.
        pitch: semitones, by playing the sound faster or slower, as a tape: the length changes.
        decay: factor on the time in which the sound dies away; see `apply`.
        fade: seconds at the sound's end over which it is faded out.
        gain: dB.

    Raises:
        ConfigError: a value is no number or lies outside its range.
    """

    trim_start: float = 0.0
    trim_end: float = 0.0
    length: float = 0.0
    reverse: bool = False
    pitch: float = 0.0
    decay: float = 1.0
    fade: float = 0.0
    gain: float = 0.0

    def __post_init__(self):
        for name, (low, high, unit) in _RANGES.items():
            value = getattr(self, name)
            is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not (is_number and low <= float(value) <= high):
                raise ConfigError(
                    f"{name} is {brief(value)}; choose a number from {low:g} to {high:g} ({unit})."
                )
            object.__setattr__(self, name, float(value))
        if not isinstance(self.reverse, bool):
            raise ConfigError(f"reverse is {brief(self.reverse)}; choose true or false.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Shape":
        """The shape that a recipe holds; what it leaves out keeps its default.

        Raises:
          ConfigError: it is no table, a key is unknown, or a value cannot be used.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, Mapping):
            raise ConfigError(f"A shape is a table of {', '.join(known)}, not {brief(values)}.")
        unknown = [key for key in values if key not in known]
        if unknown:
            raise ConfigError(
                f"A shape has no {brief(unknown[0])}; what it knows is {', '.join(known)}."
            )
        return cls(**values)

    def to_dict(self) -> dict[str, float | bool]:
        """All values, fit for JSON; `from_dict` turns them back into an equal shape."""
        return dataclasses.asdict(self)


def apply(samples: np.ndarray, sample_rate: int, shape: Shape) -> np.ndarray:
    """Shape a sound: trim, reverse, pitch, decay, fade, gain, in this order.

    All of it happens to the sound up to its last sample that is not 0; the exact zeros behind stay
    (as many as the pitch leaves of them) unless trim_end, or a length that cuts, takes them away.
    Where a trim or the length cuts into the sound, and at both ends of a reversed one, a ramp of
    2 ms keeps it from clicking.

    Decay: from the first sample within 6 dB of the highest on, the sound follows its own falling
    envelope, read at a pace of 1 / decay, so that each level is reached after `decay` times as
    long. Below 1 the sound ends earlier. Above 1 its tail is raised within its own length, by 36 dB
    at most; what lies 60 dB below the peak level counts as noise and is never raised above the
    stretched envelope.

    Gain: a result that would exceed -0.1 dBFS is scaled down to it as a whole. A drum's attack
    keeps its form so, which a limiter would dent.

    Args:
      samples: finite float32 [n]. Within -0.1 dBFS, the default shape returns them bit for bit.
      sample_rate: in Hz.
      shape: what to do.

    Returns:
      float32 [m], finite, within -0.1 dBFS; silence stays silent.

    Raises:
      ConfigError: there are no samples, they are not finite, or the trims leave nothing.
    """
    if samples.ndim != 1 or not samples.size or not np.isfinite(samples).all():
        raise ConfigError("A sound to be shaped is one row of finite samples, and not empty.")
    if shape == Shape():
        return peak_safe(samples)
    end = sounding(samples)
    level = float(np.max(np.abs(samples))) or 1.0
    start, stop = _kept(end, sample_rate, shape)
    sound = _cut(samples[:end] / np.float64(level), start, stop, round(_DECLICK * sample_rate))
    behind = 0 if shape.trim_end or stop < end else len(samples) - end
    if shape.reverse:
        ramp = round(_DECLICK * sample_rate)
        sound = fade_out(fade_in(sound[::-1], ramp), ramp)
    if shape.pitch:
        ratio = 2.0 ** (shape.pitch / 12.0)
        sound = resample_exactly(sound, round(_RATIO_STEPS * ratio), _RATIO_STEPS)
        behind = round(behind / ratio)
    if shape.decay != 1.0:
        sound = _decayed(sound, sample_rate, shape.decay)
    if shape.fade:
        sound = _fade(sound, round(shape.fade * sample_rate))
    sound = sound * np.float64(level * 10.0 ** (shape.gain / 20.0))
    return peak_safe(np.pad(sound, (0, behind)))


def _kept(samples: int, sample_rate: int, shape: Shape) -> tuple[int, int]:
    """From where to where the trims and the length keep a sound of so many samples."""
    start, end = round(shape.trim_start * sample_rate), round(shape.trim_end * sample_rate)
    if start + end >= samples:
        raise ConfigError(
            f"trim_start and trim_end leave nothing of the sound, which lasts "
            f"{samples / sample_rate:.3f} s; choose less."
        )
    stop = samples - end
    if shape.length:
        stop = min(stop, start + max(1, round(shape.length * sample_rate)))
    return start, stop


def _cut(sound: np.ndarray, start: int, stop: int, ramp: int) -> np.ndarray:
    """What [n] holds from start to stop, with a ramp where more than silence was cut off."""
    kept = sound[start:stop]
    kept = fade_in(kept, ramp) if sound[:start].any() else kept
    return fade_out(kept, ramp) if sound[stop:].any() else kept


def _fade(sound: np.ndarray, samples: int) -> np.ndarray:
    """Fade [n] out up to its last sample that is not 0."""
    end = sounding(sound)
    return np.concatenate([fade_out(sound[:end], samples), sound[end:]])


def _decayed(sound: np.ndarray, sample_rate: int, factor: float) -> np.ndarray:
    """Stretch in time what [n] does after its attack, by gain alone; see `apply`."""
    level = np.abs(sound)
    attack = int(np.argmax(level >= _ATTACK * level.max()))
    tail = sound[attack:]
    if not tail.any():
        return sound
    time = np.arange(len(tail)) / sample_rate
    times, levels = _falling(tail, sample_rate, _FLOOR if factor > 1.0 else 2 * _FLOOR)
    change = np.interp(time / factor, times, levels) - np.interp(time, times, levels)  # dB
    gain = 10.0 ** (np.minimum(change, _MOST) / 20.0) * (time < factor * len(tail) / sample_rate)
    shaped = np.concatenate([sound[:attack], tail * gain])
    return _fade(shaped, min(sounding(shaped) - attack, round(_DECLICK * sample_rate)))


def _falling(tail: np.ndarray, sample_rate: int, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """When, in seconds, and how loud, in dB from the start, [n] is: an envelope that never rises.

    Each value is the highest level from there on, and at least `floor`.
    """
    frame, hop = round(_FRAME * sample_rate), round(_HOP * sample_rate)
    level = rms_envelope(tail, frame, hop).astype(np.float64)  # [frames]
    level = np.maximum.accumulate(level[::-1])[::-1] / level.max()
    times = np.arange(len(level)) * hop / sample_rate
    return times, 20.0 * np.log10(np.maximum(level, 10.0 ** (floor / 20.0)))
