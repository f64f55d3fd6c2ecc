"""What a network that turns mels into sounds competes with, in quality and in time on one core."""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.audio.griffin_lim import find_phase, griffin_lim
from drumjax.audio.mel import MelConfig, mel_filterbank

ITERATIONS = 60  # phase updates after least squares
ROUNDS = 100  # of least squares: what is left is below 1e-4 of the mel
PAUSE = 0.02  # seconds before a call: threads that the last one left spinning go to sleep
OWN, SQUARES, MULTIPLIED, LIBROSA = (
    "own",
    "least squares + Griffin-Lim 60",
    "multiplicative + Griffin-Lim 32",
    "librosa, least squares + Griffin-Lim 60",
)

Inverter = Callable[[np.ndarray], np.ndarray]  # mels [b, frames, mels] to sounds [b, samples]


def baselines(config: MelConfig) -> dict[str, Inverter]:
    """What to compete with, by name; both are drumjax's own and need nothing installed."""
    return {
        SQUARES: lambda mel: np.asarray(nnls_griffin_lim(jnp.asarray(mel), config)),
        MULTIPLIED: lambda mel: np.asarray(griffin_lim(jnp.asarray(mel), config)),
    }


@functools.partial(jax.jit, static_argnames=("config", "iterations"))
def nnls_griffin_lim(mel: jax.Array, config: MelConfig, iterations: int = ITERATIONS) -> jax.Array:
    """`nnls_inverse`, then `find_phase`: linear mels [..., frames, mels] to [..., samples]."""
    return find_phase(nnls_inverse(mel, config), config, iterations)


def nnls_inverse(mel: jax.Array, config: MelConfig, rounds: int = ROUNDS) -> jax.Array:
    """Non-negative least squares: [..., frames, mels] to the magnitude [..., frames, bins].

    Minimises ‖magnitude F - mel‖ over magnitudes that are not negative by FISTA (Beck and
    Teboulle, 2009, section 4). With fewer bands than bins many magnitudes fit; as in librosa's
    `mel_to_stft` the search starts from that of the pseudo-inverse with what is negative set to 0.
    librosa stops long before the minimum: it leaves 15 % of a drum's mel on average, this less
    than 0.1 ‰.
    """
    filters = jnp.asarray(mel_filterbank(config))  # [bins, mels]
    step = 1.0 / np.linalg.norm(mel_filterbank(config), 2) ** 2
    start = jnp.maximum(mel @ jnp.asarray(_pseudo_inverse(config)), 0.0)

    def descend(
        carry: tuple[jax.Array, jax.Array, jax.Array], _: None
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], None]:
        now, ahead, pace = carry
        gradient = (ahead @ filters - mel) @ filters.T
        then = jnp.maximum(ahead - step * gradient, 0.0)
        faster = (1.0 + jnp.sqrt(1.0 + 4.0 * pace**2)) / 2.0
        return (then, then + (pace - 1.0) / faster * (then - now), faster), None

    (magnitude, _, _), _ = jax.lax.scan(descend, (start, start, jnp.float32(1.0)), None, rounds)
    return magnitude


def librosa_inverse(config: MelConfig, iterations: int = ITERATIONS) -> Inverter:
    """librosa's own way, sound by sound: `librosa_magnitude`, then `librosa_phase`.

    Raises:
      ModuleNotFoundError: librosa is not installed (extra bench).
    """
    from threadpoolctl import threadpool_limits  # comes with librosa

    magnitude, phase = librosa_magnitude(config), librosa_phase(config, iterations)

    def invert(mels: np.ndarray) -> np.ndarray:
        with threadpool_limits(1):  # on one core, threads that wait for each other cost ten times
            return np.stack([phase(magnitude(mel)) for mel in mels])

    return invert


def librosa_magnitude(config: MelConfig) -> Callable[[np.ndarray], np.ndarray]:
    """librosa's least squares: mel [frames, mels] to [bins, frames]; the same error."""
    from librosa.feature.inverse import mel_to_stft

    return lambda mel: mel_to_stft(
        mel.T,
        sr=config.sample_rate,
        n_fft=config.n_fft,
        power=1.0,
        fmin=config.f_min,
        fmax=config.top,
        htk=config.scale == "htk",
        norm=config.norm,
    )


def librosa_phase(config: MelConfig, iterations: int) -> Callable[[np.ndarray], np.ndarray]:
    """librosa's Griffin-Lim: magnitude [bins, frames] to [samples]; the same error."""
    from inspect import signature

    from librosa import griffinlim

    until_librosa_1 = "rng" not in signature(griffinlim).parameters
    seed: dict[str, Any] = {"random_state" if until_librosa_1 else "rng": 0}
    return lambda magnitude: griffinlim(
        magnitude,
        n_iter=iterations,
        n_fft=config.n_fft,
        win_length=config.win_length,
        hop_length=config.hop_length,
        length=config.num_samples,
        pad_mode="reflect",  # as the mels were made; zeros, its default, nearly double the error
        **seed,
    )


def inversion_times(mels: np.ndarray, config: MelConfig, own: Inverter) -> dict[str, dict]:
    """Time an inverter, the baselines, and librosa where it is installed, sound by sound.

    All of them run on one core where the system lets a process choose (Linux), in turns, so that a
    busy machine slows all alike, after one untimed call each. The whole process under
    `taskset -c 0` takes the same times within a tenth.

    Args:
      mels: [n, frames, mels], one call of each inverter for each.
      config: the analysis that made them.
      own: the inverter that competes; it is given [1, frames, mels] and has finished when it
        returns.

    Returns:
      {name: {"ms": median of a sound, "ms_best", "times_slower": its median over that of `own`,
      "sounds": n, "cores": how many the process had}}, `OWN` first.
    """
    contenders = {OWN: own} | baselines(config)
    with contextlib.suppress(ModuleNotFoundError):
        contenders[LIBROSA] = librosa_inverse(config)
    with one_core() as cores:
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        for invert in contenders.values():
            invert(mels[:1])
        for mel in mels:
            for name, invert in contenders.items():
                taken[name].append(_seconds(invert, mel[None]))
    medians = {name: float(np.median(seconds)) for name, seconds in taken.items()}
    return {
        name: {
            "ms": medians[name] * 1e3,
            "ms_best": min(seconds) * 1e3,
            "times_slower": medians[name] / medians[OWN],
            "sounds": len(seconds),
            "cores": cores,
        }
        for name, seconds in taken.items()
    }


@contextlib.contextmanager
def one_core() -> Iterator[int]:
    """Keep all threads of this process on one core; gives the number of cores they share.

    What `taskset` does, but for threads that are there already. Elsewhere than on Linux nothing
    can be done, and the number is that of the machine.
    """
    tasks = Path("/proc/self/task")
    if not hasattr(os, "sched_setaffinity") or not tasks.is_dir():
        yield os.cpu_count() or 1
        return
    before = os.sched_getaffinity(0)
    _pin(tasks, {min(before)})
    try:
        yield 1
    finally:
        _pin(tasks, before)


def _pin(tasks: Path, cores: set[int]) -> None:
    """Give every thread of this process these cores."""
    for task in tasks.iterdir():
        with contextlib.suppress(ProcessLookupError):  # a thread may end meanwhile
            os.sched_setaffinity(int(task.name), cores)


def _seconds(invert: Inverter, mel: np.ndarray) -> float:
    time.sleep(PAUSE)
    began = time.perf_counter()
    invert(mel)
    return time.perf_counter() - began


@functools.lru_cache(maxsize=4)
def _pseudo_inverse(config: MelConfig) -> np.ndarray:
    """Of the mel filters: float32 [mels, bins]."""
    return np.linalg.pinv(mel_filterbank(config).astype(np.float64)).astype(np.float32)
