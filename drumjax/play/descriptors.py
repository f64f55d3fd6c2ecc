"""What a sound is like, in five numbers that depend on each other as little as they can."""

import functools
import itertools

import numpy as np

ATTRIBUTES = ("brightness", "punch", "decay", "body", "noisiness")
_LOW = 40.0, 1000.0  # Hz, where the low partial is looked for
_BANDS = (160.0, 1280.0, 10240.0)  # Hz: where tones are told from noise
_CHUNK = 64  # sounds at a time, to keep memory small


def describe(x: np.ndarray, sample_rate: int) -> dict[str, np.ndarray]:
    """Measure sounds.

    brightness: mean of log2(frequency / Hz), weighted by the magnitude spectrum: octaves.
    punch: energy of the first 10 ms over that of the next 40 ms: dB.
    decay: log2 of the seconds in which the energy yet to come falls from -3 to -23 dB: octaves.
    body: log2(frequency / Hz) of the low partial, 40 to 1,000 Hz: octaves. The mean weighted by
      the square of the power, and so next to the strongest partial, but it does not jump where
      two are about as strong.
    noisiness: geometric over arithmetic mean of the power spectrum within two bands of three
      octaves, their mean weighted by the bands' amplitudes: dB, 0 for a flat spectrum, lower for
      tones. Within bands, as the flatness of the whole spectrum is nearly its brightness.

    Args:
      x: float [b, samples], b may be 0; silence gives finite numbers that mean nothing.
      sample_rate: in Hz.

    Returns:
      each of `ATTRIBUTES` -> float64 [b].
    """
    x = np.asarray(x, np.float32)
    parts = [_describe(x[i : i + _CHUNK], sample_rate) for i in range(0, max(1, len(x)), _CHUNK)]
    return {k: np.concatenate([p[k] for p in parts]) for k in ATTRIBUTES}


def as_table(values: dict[str, np.ndarray]) -> np.ndarray:
    """What `describe` gave as one array [b, 5]."""
    return np.stack([values[k] for k in ATTRIBUTES], axis=-1)


def _describe(x: np.ndarray, sample_rate: int) -> dict[str, np.ndarray]:
    power = _power(x)  # [b, bins]
    hz = np.fft.rfftfreq(2 * (power.shape[1] - 1), 1 / sample_rate)
    energy = np.square(x, dtype=np.float64)
    energy[:, 0] += 1e-12  # silence has its energy at the start
    return {
        "brightness": _brightness(power, hz),
        "punch": _punch(x, energy, sample_rate),
        "decay": _decay(energy, sample_rate),
        "body": _body(x, sample_rate),
        "noisiness": _noisiness(power, hz),
    }


@functools.cache
def _window(n: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)).astype(np.float32)


def _power(x: np.ndarray, n: int = 1024) -> np.ndarray:
    """Mean power spectrum of centred frames of 1,024 samples: [b, 513], at most 1, never 0."""
    padded = np.pad(x, ((0, 0), (n // 2, n // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n, axis=1)[:, :: n // 4]
    bins = np.fft.rfft(frames * _window(n)[None, None], axis=-1)
    power = np.square(np.abs(bins)).sum(1)
    return power / np.maximum(power.max(1, keepdims=True), 1e-12) + 1e-9


def _brightness(power: np.ndarray, hz: np.ndarray) -> np.ndarray:
    heard = hz > _LOW[0]
    magnitude = np.sqrt(power[:, heard])
    return magnitude @ np.log2(hz[heard]) / magnitude.sum(1)


def _punch(x: np.ndarray, energy: np.ndarray, sample_rate: int) -> np.ndarray:
    """From where the sound first reaches a tenth of its peak; at most ± 40 dB."""
    size = np.abs(x)
    start = np.argmax(size >= 0.1 * size.max(1, keepdims=True), axis=1)
    running = np.pad(np.cumsum(energy, axis=1), ((0, 0), (1, 0)))
    ends = start[:, None] + np.array([0.0, 0.01, 0.05])[None] * sample_rate
    at = np.take_along_axis(running, np.minimum(ends.astype(int), x.shape[1]), axis=1)
    early, late = np.diff(at, axis=1).T + 1e-4 * running[:, -1][None]
    return 10 * np.log10(early / late)


def _decay(energy: np.ndarray, sample_rate: int) -> np.ndarray:
    """Backward integration (Schroeder, 1965); at least 1 ms."""
    rest = np.cumsum(energy[:, ::-1], axis=1)[:, ::-1]
    rest = rest / rest[:, :1]
    falls = [np.sum(rest > 10 ** (-level / 10), axis=1) for level in (3, 23)]
    return np.log2((falls[1] - falls[0]) / sample_rate + 1e-3)


def _body(x: np.ndarray, sample_rate: int) -> np.ndarray:
    n = 1 << int(np.ceil(np.log2(0.35 * sample_rate)))  # samples: 0.37 s at 22,050 Hz
    hz = np.fft.rfftfreq(2 * n, 1 / sample_rate)
    low = (hz >= _LOW[0]) & (hz <= _LOW[1])
    power = np.square(np.abs(np.fft.rfft(x[:, :n], 2 * n, axis=1)[:, low])).astype(np.float64)
    weight = (power / np.maximum(power.max(1, keepdims=True), 1e-12)) ** 2 + 1e-9
    weight = weight / hz[low][None]  # every octave has the same number of bins
    return weight @ np.log2(hz[low]) / weight.sum(1)


def _noisiness(power: np.ndarray, hz: np.ndarray) -> np.ndarray:
    power = power + 1e-6 * power.max(1, keepdims=True)
    flatness, amplitude = [], []
    for low, high in itertools.pairwise(_BANDS):
        band = power[:, (hz >= low) & (hz < high)]
        flatness.append(np.log10(band).mean(1) - np.log10(band.mean(1)))
        amplitude.append(np.sqrt(band.sum(1)))
    return 10 * np.sum(np.multiply(flatness, amplitude), axis=0) / np.sum(amplitude, axis=0)
