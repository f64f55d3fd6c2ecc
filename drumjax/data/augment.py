"""Random changes to one-shots: speed, decay, spectral tilt and layering, in plain NumPy."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_FULL_SCALE = 32767
_TILT_CENTRE = 1000.0  # Hz
_FADE = 0.01  # seconds, where a slowed-down sound is cut at the end of its frame


@dataclass(frozen=True)
class AugmentConfig:
    """How often and how far sounds are changed; each amount is drawn uniformly up to its limit.

    Attributes:
        probability: share of the sounds that are changed at all.
        speed: largest log ratio of the playing speed; 0.2 plays between 0.82 and 1.22 times.
        decay: most extra decay, in dB at the sound's end.
        tilt: most tilt in dB between low and high frequencies, around 1 kHz, either way.
        layer: probability that a changed sound is mixed with another of its category, which is
            0 to 12 dB softer.
    """

    probability: float = 0.0
    speed: float = 0.0
    decay: float = 0.0
    tilt: float = 0.0
    layer: float = 0.0


class Changes(NamedTuple):
    """What happens to each row of a batch; every array is [c, n]."""

    active: np.ndarray  # bool, the row is changed at all
    ratio: np.ndarray  # playing speed
    decay: np.ndarray  # dB at the sound's end, ≤ 0
    tilt: np.ndarray  # dB
    layer: np.ndarray  # gain of the partner, 0 is no layer
    partner: np.ndarray  # [0, 1), which sound of the category is the partner

    def take(self, rows: slice) -> "Changes":
        """The changes of some rows of axis 1."""
        return Changes(*(field[:, rows] for field in self))


def draw_changes(
    rng: np.random.Generator, shape: tuple[int, int], config: AugmentConfig
) -> Changes:
    """Draw the changes of a batch of `shape` [c, n]."""
    uniform = rng.random((7, *shape))
    signed = 2 * uniform - 1
    level = 10 ** (-12 * uniform[5] / 20)
    return Changes(
        active=uniform[0] < config.probability,
        ratio=np.exp(config.speed * signed[1]),
        decay=-config.decay * uniform[2],
        tilt=config.tilt * signed[3],
        layer=np.where(uniform[4] < config.layer, level, 0.0),
        partner=uniform[6],
    )


def apply_changes(
    audio: np.ndarray, partners: np.ndarray, changes: Changes, sample_rate: int
) -> np.ndarray:
    """Change `audio` int16 [c, n, s] row by row; `partners` [c, n, s] are the sounds to layer.

    Each changed row has peak 32,767 and keeps exact zeros after its end; silent rows stay so.
    """
    result = audio.copy()
    for row in zip(*np.nonzero(changes.active), strict=True):
        result[row] = _change(audio[row], partners[row], [f[row] for f in changes], sample_rate)
    return result


def augment(
    audio: np.ndarray, rng: np.random.Generator, config: AugmentConfig, sample_rate: int = 22050
) -> np.ndarray:
    """Change a batch int16 [c, n, s] by itself: a row's partner is another row of its category."""
    changes = draw_changes(rng, audio.shape[:2], config)
    n = audio.shape[1]
    away = 1 + (changes.partner * max(n - 1, 1)).astype(int)
    partner = (np.arange(n)[None, :] + away) % n  # [c, n]
    partners = np.take_along_axis(audio, partner[:, :, None], axis=1)
    return apply_changes(audio, partners, changes, sample_rate)


def _change(sound: np.ndarray, partner: np.ndarray, change: list, sample_rate: int) -> np.ndarray:
    """Apply one row of `Changes` to `sound` int16 [s]."""
    _, ratio, decay, tilt, layer, _ = change
    mixed = sound.astype(np.float64)
    if layer > 0:
        mixed += layer * partner
    length = _length(mixed)
    if not length:
        return sound
    changed = _speed_and_tilt(mixed[:length], ratio, tilt, sample_rate)  # [m]
    if len(changed) > len(sound):
        changed = changed[: len(sound)] * _fade(len(sound), sample_rate)
    changed *= 10 ** (decay / 20 * np.arange(len(changed)) / len(changed))
    result = np.zeros_like(sound)
    peak = np.abs(changed).max()
    result[: len(changed)] = np.round(changed * (_FULL_SCALE / peak))
    return result


def _length(sound: np.ndarray) -> int:
    """Samples up to and with the last that is not zero."""
    nonzero = np.flatnonzero(sound)
    return int(nonzero[-1]) + 1 if len(nonzero) else 0


def _speed_and_tilt(x: np.ndarray, ratio: float, tilt: float, sample_rate: int) -> np.ndarray:
    """Play x [t] at `ratio` times its speed and tilt its spectrum; about [t / ratio].

    Both act on one Fourier transform. The tilt is the causal first-order shelf
    (√g·s + ω/√g) / (s + ω), so no echo appears before the attack.
    """
    size = 64 * -(-(len(x) + 512) // 64)  # room for the filter's tail, and a quick transform
    target = 64 * max(1, round(size / ratio / 64))
    spectrum = np.fft.rfft(x, size)[: target // 2 + 1]
    frequency = np.arange(len(spectrum)) * (sample_rate / target)  # Hz, as it will sound
    gain = 10 ** (tilt / 40)
    s = 1j * frequency / _TILT_CENTRE
    spectrum *= (gain * s + 1 / gain) / (s + 1)
    length = max(1, round(len(x) * target / size))
    return np.fft.irfft(spectrum, target)[:length] * (target / size)


def _fade(length: int, sample_rate: int) -> np.ndarray:
    """Gains [length] that are 1 up to a linear fade to zero at the end."""
    left = np.arange(length - 1, -1, -1)
    return np.minimum(left / round(_FADE * sample_rate), 1.0)
