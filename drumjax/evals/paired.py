"""How far a sound is from the one it should be: one value a pair, 0 for equal sounds."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.audio.envelope import attack_time, decay_time
from drumjax.audio.frames import frame, hann_window, magnitude
from drumjax.audio.mel import MelConfig, mel_filterbank
from drumjax.audio.spectral_losses import (
    log_mel_loss,
    multi_resolution_stft_loss,
    spectral_convergence,
)

LOG_FLOOR = 1e-5  # added to linear mels before the log; NDM does not give it
LSD_FLOOR = -80.0  # dB below the target's loudest bin: what lies deeper is as good as silent
LSD_ACTIVE = -60.0  # dB below the target's loudest frame: quieter frames do not count
FLUX = (1024, 64)  # n_fft and hop of the onset strength, in samples
ENVELOPE = (128, 32)  # frame and hop of the RMS envelope, in samples
WITHIN = 0.005  # seconds that a sound may be shifted for its correlation
DECAY = 40.0  # dB; the noise of old machines does not let a sound fall by 60
_CHUNK = 16  # pairs at once
_TINY = 1e-12


def mel_errors(target: np.ndarray, estimate: np.ndarray) -> dict[str, np.ndarray]:
    """Distances of linear mels [b, frames, mels].

    Returns:
      "sc": spectral convergence (NDM eq. 11); "sc_gain": the same after the estimate is scaled by
      the gain that makes it smallest; "sc_log": L1 of log(mel + 1e-5) over that of the target
      (NDM eq. 12); each [b].
    """
    return _in_chunks(_mel_errors, target, estimate)


def sound_errors(
    target: np.ndarray, estimate: np.ndarray, lengths: Sequence[int] | np.ndarray, mel: MelConfig
) -> dict[str, np.ndarray]:
    """Distances of sounds [b, samples] whose targets are `lengths` [b] samples long.

    Returns:
      What `mel_errors` gives for their mels, and, each [b]:
      "stft_sc", "stft_log": see `multi_resolution_stft_loss`, with auraloss's resolutions;
      "lsd": log-spectral distance in dB, see `log_spectral_distance`;
      "onset": L1 distance of the onset strengths over the L1 norm of the target's;
      "envelope": L2 distance of the RMS envelopes (6 ms) over the L2 norm of the target's;
      "attack_ms", "decay_ms": |difference| of the times from 10 to 90 % and from the peak to
      40 dB below it;
      "correlation": the peak of |normalised cross-correlation| within ±5 ms, 1 for equal sounds;
      polarity does not count, as neither an ear nor a mel knows it.
    """
    compare = functools.partial(_sound_errors, mel)
    errors = _in_chunks(compare, target, estimate, np.asarray(lengths, np.int32))
    for name, time in (("attack_ms", _attack), ("decay_ms", _decay)):
        pairs = zip(np.asarray(target), np.asarray(estimate), strict=True)
        rate = mel.sample_rate
        errors[name] = np.array([abs(time(t, rate) - time(e, rate)) * 1e3 for t, e in pairs])
    return errors


def log_spectral_distance(
    target: jax.Array, estimate: jax.Array, lengths: jax.Array, hop_length: int
) -> jax.Array:
    """Root mean square over bins of the difference in dB, mean over active frames: [b].

    Gray and Markel (1976). The power of both is taken as no less than 80 dB below the target's
    loudest bin, by addition. A frame is active if it begins before the sound's end and holds no
    less than a millionth of the loudest frame's energy. Two noises of the same spectrum are about
    7.9 dB apart. On drums the transform's length and hop move the value by 0.2 dB (drumblender
    takes 8,092 and 64), the floor by 4 dB for each 20.

    Args:
      target, estimate: magnitudes [b, frames, bins].
      lengths: of the targets in samples [b].
      hop_length: samples between frames.

    Returns:
      dB; 0 where no frame is active.
    """
    power = target**2
    loudest = jnp.max(power, axis=(-2, -1), keepdims=True)
    floor = jnp.maximum(loudest * 10.0 ** (LSD_FLOOR / 10.0), _TINY)
    difference = 10.0 * jnp.log10((power + floor) / (estimate**2 + floor))
    distance = jnp.sqrt(jnp.mean(difference**2, axis=-1))  # [b, frames]
    energy = power.sum(-1)
    loud = energy >= energy.max(-1, keepdims=True) * 10.0 ** (LSD_ACTIVE / 10.0)
    before = jnp.arange(energy.shape[-1])[None] * hop_length < lengths[:, None]
    active = loud & before & (energy > 0)
    return (distance * active).sum(-1) / jnp.maximum(active.sum(-1), 1)


def onset_strength(sound: jax.Array) -> jax.Array:
    """Spectral flux of [b, samples]: what the magnitudes of all bins have risen since, [b, frames].

    Dixon (2006), eq. 2; n_fft 1024, hop 64, Hann. Silence comes before the first frame, so that
    an attack at the first sample counts. Differs from drumblender's metric of this name, which
    takes the differences along the bins.
    """
    n_fft, hop = FLUX
    padded = jnp.pad(sound, ((0, 0), (n_fft, n_fft)))
    window = jnp.asarray(hann_window(n_fft, n_fft))
    bins = jnp.abs(jnp.fft.rfft(frame(padded, n_fft, hop) * window[None, None]))
    return jnp.maximum(bins[:, 1:] - bins[:, :-1], 0.0).sum(-1)


def correlation(target: jax.Array, estimate: jax.Array, lags: int) -> jax.Array:
    """Peak of |cross-correlation| within ±lags samples over the norms of [b, samples]: [b]."""
    n = target.shape[-1]
    length = 2 ** (n + lags - 1).bit_length()  # so that nothing wraps
    spectra = (jnp.fft.rfft(x, length) for x in (target, estimate))
    crossed = jnp.fft.irfft(next(spectra) * jnp.conj(next(spectra)), length)
    near = jnp.concatenate([crossed[:, : lags + 1], crossed[:, -lags:]], axis=-1)
    norms = jnp.linalg.norm(target, axis=-1) * jnp.linalg.norm(estimate, axis=-1)
    return jnp.abs(near).max(-1) / jnp.maximum(norms, _TINY)


@jax.jit
def _mel_errors(target: jax.Array, estimate: jax.Array) -> dict[str, jax.Array]:
    plane = (-2, -1)
    both = jnp.sum(target * estimate, axis=plane, keepdims=True)
    gain = both / jnp.maximum(jnp.sum(estimate**2, axis=plane, keepdims=True), _TINY)
    return {
        "sc": spectral_convergence(target, estimate),
        "sc_gain": spectral_convergence(target, gain * estimate),
        "sc_log": log_mel_loss(target, estimate, LOG_FLOOR),
    }


@functools.partial(jax.jit, static_argnames="mel")
def _sound_errors(
    mel: MelConfig, target: jax.Array, estimate: jax.Array, lengths: jax.Array
) -> dict[str, jax.Array]:
    pair = target, estimate
    shape = (mel.n_fft, mel.win_length, mel.hop_length)
    bins, others = (magnitude(x, *shape) for x in pair)  # [b, frames, bins]
    filters = mel_filterbank(mel)
    mels = [jnp.matmul(x, filters, precision="highest") for x in (bins, others)]
    stft_sc, stft_log = multi_resolution_stft_loss(*pair)
    onsets = [onset_strength(x) for x in pair]
    return _mel_errors(*mels) | {
        "stft_sc": stft_sc,
        "stft_log": stft_log,
        "lsd": log_spectral_distance(bins, others, lengths, mel.hop_length),
        "onset": _relative(*onsets, order=1),
        "envelope": _relative(*(_envelope(x) for x in pair), order=2),
        "correlation": correlation(*pair, lags=round(WITHIN * mel.sample_rate)),
    }


def _envelope(sound: jax.Array) -> jax.Array:
    """RMS of [b, samples] in frames: [b, frames]."""
    return jnp.sqrt(jnp.mean(frame(sound, *ENVELOPE) ** 2, axis=-1))


def _relative(target: jax.Array, estimate: jax.Array, order: int) -> jax.Array:
    """Norm of the difference over the target's norm: [b, n] to [b]."""
    norm = functools.partial(jnp.linalg.norm, ord=order, axis=-1)
    return norm(target - estimate) / jnp.maximum(norm(target), _TINY)


def _attack(sound: np.ndarray, sample_rate: int) -> float:
    return attack_time(sound, sample_rate)


def _decay(sound: np.ndarray, sample_rate: int) -> float:
    return decay_time(sound, sample_rate, DECAY)


def _in_chunks(
    function: Callable[..., dict[str, jax.Array]], *arrays: np.ndarray
) -> dict[str, np.ndarray]:
    """Apply to [b, ...] arrays in chunks of one size, the last filled up, so as to compile once."""
    arrays = tuple(np.asarray(a) for a in arrays)
    count = len(arrays[0])
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, count, _CHUNK):
        rows = np.minimum(np.arange(start, start + _CHUNK), count - 1)
        for name, values in function(*(a[rows] for a in arrays)).items():
            parts.setdefault(name, []).append(np.asarray(values)[: count - start])
    return {name: np.concatenate(values) for name, values in parts.items()}
