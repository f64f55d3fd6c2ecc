"""How well known sounds come back: through each network and through both, beside Griffin-Lim."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from drumjax.audio.mel import mel_spectrogram
from drumjax.data.folder import take
from drumjax.data.source import Source
from drumjax.evals.checkerboard import TONAL, checkerboard, tail
from drumjax.evals.inversion import OWN, baselines, inversion_times
from drumjax.evals.paired import mel_errors, sound_errors
from drumjax.evals.subject import Subject
from drumjax.evals.tables import by_category
from drumjax.training.sweep import first_of_each

_FEW = 16  # sounds at a time that Griffin-Lim inverts
CHUNK = 64  # sounds at a time: what a player's largest batch takes
STAGES = {
    "bottleneck": "mel of the code",  # beside the sound's own mel
    "inverter": "inverter, true mels",  # as its sound comes out of the network
    "chain": "whole chain, raw",  # sound, code, mel, sound, as it comes out (NDM eq. 11)
    "refined": "whole chain, raw, codes refined",  # by gradient steps
    "rendered": "whole chain, as played",  # ended, faded, its peak at -0.1 dBFS
}
_LATER = 0.1  # seconds after the original's end, from where on a sound should be silent

Values = dict[str, np.ndarray]  # measure -> [n]
Tick = Callable[[float], Any]  # told how many sounds' worth of work is done


class Heard(NamedTuple):
    """What came back: measures and sounds by stage."""

    table: dict[str, dict[str, Any]]  # stage -> measure -> see `tables.by_category`
    sounds: dict[str, np.ndarray]  # "inverter", "chain", "rendered" -> float32 [n, samples]
    codes: np.ndarray | None  # [n, d], if there is an encoder


def original(source: Source, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Sounds as float32 [n, samples] within ±1."""
    return source.audio[rows].astype(np.float32) / np.float32(32767)


def to_mel(sound: np.ndarray, subject: Subject) -> np.ndarray:
    """Linear mel [b, frames, mels] of sounds [b, samples]."""
    return np.asarray(mel_spectrogram(jnp.asarray(sound), subject.mel))


def reconstruct(subject: Subject, source: Source, tick: Tick) -> Heard:
    """Send every sound through each stage of STAGES that the subject has, and measure.

    Without an encoder the inverter is the only stage.

    Args:
      subject: what is judged.
      source: sounds, their categories being the subject's.
      tick: called with the number of sounds done.
    """
    values: dict[str, list[Values]] = {}
    sounds: dict[str, list[np.ndarray]] = {}
    codes = []
    for start in range(0, len(source.names), CHUNK):
        rows = slice(start, start + CHUNK)
        target, lengths = original(source, rows), source.length[rows]
        mel = to_mel(target, subject)
        made = {"inverter": subject.invert(mel)}
        if subject.encode is not None:
            weights = subject.weights(source.category[rows])
            z = subject.encode(target, weights)
            decoded = subject.decode(z, weights)
            made |= {"chain": subject.invert(decoded), "rendered": subject.render(z, weights)}
            values.setdefault("bottleneck", []).append(mel_errors(mel, decoded))
            codes.append(z)
            if subject.refine is not None:
                made["refined"] = subject.invert(
                    subject.decode(subject.refine(target, weights), weights)
                )
        values.setdefault("original", []).append(_lone(target, lengths, subject))
        for stage, sound in made.items():
            errors = sound_errors(target, sound, lengths, subject.mel)
            values.setdefault(stage, []).append({**errors, **_lone(sound, lengths, subject)})
            sounds.setdefault(stage, []).append(np.asarray(sound, np.float32))
        tick(len(target))
    return Heard(
        _tables(values, source),
        {stage: np.concatenate(parts) for stage, parts in sounds.items()},
        np.concatenate(codes) if codes else None,
    )


def chained(subject: Subject, source: Source) -> np.ndarray:
    """Sounds as the whole chain plays them, or the inverter alone if there is no encoder.

    Returns:
      float32 [n, samples].
    """
    made = []
    for start in range(0, len(source.names), CHUNK):
        rows = slice(start, start + CHUNK)
        target, weights = original(source, rows), subject.weights(source.category[rows])
        if subject.encode is None:
            made.append(subject.invert(to_mel(target, subject)))
        else:
            made.append(subject.render(subject.encode(target, weights), weights))
    return np.concatenate(made).astype(np.float32)


def _lone(sound: np.ndarray, lengths: np.ndarray, subject: Subject) -> Values:
    """Measures of sounds by themselves.

    "checkerboard" in dB; "tail_dbfs" from 100 ms after the original's end on, and whether that is
    exactly zero, "tail_zero"; "ends_in_zeros": the last hop, if the original is over by then. What
    does not apply to a sound is NaN.
    """
    n, rate = sound.shape[1], subject.mel.sample_rate
    starts = np.minimum(lengths + round(_LATER * rate), n)
    last = n - subject.mel.hop_length
    after, end = tail(sound, starts), tail(sound, np.full(len(sound), last))
    return {
        "checkerboard": checkerboard(sound, lengths, rate),
        "tail_dbfs": after["tail_dbfs"],
        "tail_zero": np.where(starts < n, after["exact_zero"], np.nan),
        "ends_in_zeros": np.where(lengths <= last, end["exact_zero"], np.nan),
    }


def _tables(values: dict[str, list[Values]], source: Source) -> dict[str, dict[str, Any]]:
    whole = {
        stage: {m: np.concatenate([np.asarray(p[m]) for p in parts]) for m in parts[0]}
        for stage, parts in values.items()
    }
    tonal = np.isin(np.array(source.categories)[source.category], TONAL)
    for stage in whole.keys() - {"original", "bottleneck"}:
        excess = whole[stage]["checkerboard"] - whole["original"]["checkerboard"]
        whole[stage]["checkerboard_excess"] = excess
        whole[stage]["checkerboard_tonal"] = np.where(tonal, excess, np.nan)
    return {
        stage: {measure: by_category(v, source) for measure, v in whole[stage].items()}
        for stage in ("original", *STAGES)
        if stage in whole
    }


def compare_rivals(
    subject: Subject, source: Source, per_category: int, timed: int, tick: Tick
) -> dict[str, Any]:
    """The inverter beside Griffin-Lim, from the same true mels, in quality and in time.

    Args:
      subject: what is judged.
      source: sounds.
      per_category: how many sounds of each.
      timed: how many of them are timed, one by one.
      tick: called with the number of sounds done.

    Returns:
      "quality": inverter -> measure -> see `tables.by_category`; "time": see `inversion_times`.
    """
    few = take(source, first_of_each(source, per_category))
    target = original(few)
    mels = to_mel(target, subject)
    quality = {}
    for name, invert in ({OWN: subject.invert} | baselines(subject.mel)).items():
        parts = []
        for start in range(0, len(mels), _FEW):
            parts.append(np.asarray(invert(mels[start : start + _FEW]), np.float32))
            tick(len(parts[-1]))
        made = np.concatenate(parts)
        values = sound_errors(target, made, few.length, subject.mel)
        values |= {"checkerboard": checkerboard(made, few.length, subject.mel.sample_rate)}
        quality[name] = {measure: by_category(v, few) for measure, v in values.items()}
    spread = np.linspace(0, len(mels) - 1, min(timed, len(mels))).astype(int)
    times = inversion_times(mels[spread], subject.mel, subject.invert)
    return {"quality": quality, "time": times}
