"""How an instrument's codes lie: beside the prior, along their axes, and on the way between two."""

from collections.abc import Callable
from typing import Any

import numpy as np

from drumjax.data.folder import take
from drumjax.data.source import Source
from drumjax.errors import DataError
from drumjax.evals.latent import mmd_to_prior, pca_share, smoothness
from drumjax.evals.reconstruction import CHUNK, original
from drumjax.evals.subject import Subject
from drumjax.training.sweep import first_of_each

_LEAST = 8  # codes of a category


def encode_source(subject: Subject, source: Source, tick: Callable[[float], Any]) -> np.ndarray:
    """The codes of a source's sounds: [n, d]. The subject must have an encoder."""
    assert subject.encode is not None
    codes = [np.zeros((0, subject.latents), np.float32)]
    for start in range(0, len(source.names), CHUNK):
        rows = slice(start, start + CHUNK)
        codes.append(subject.encode(original(source, rows), subject.weights(source.category[rows])))
        tick(len(codes[-1]))
    return np.concatenate(codes)


def judge_codes(
    subject: Subject,
    source: Source,
    held_out: Source,
    most: int,
    pairs: int,
    seed: int,
    tick: Callable[[float], Any],
) -> dict[str, Any]:
    """All numbers on codes.

    Args:
      subject: with an encoder.
      source: sounds whose codes are set beside the prior category by category: training sounds,
        as there are enough of them.
      held_out: sounds that the networks have not heard; all categories together.
      most: codes of a category that are used.
      pairs: of sounds of a category, on the way between which the decoder is listened to.
      seed: of the draws.
      tick: called with the number of sounds done.
    """
    few = take(source, first_of_each(source, most))
    z, held = encode_source(subject, few, tick), encode_source(subject, held_out, tick)
    table: dict[str, Any] = {"categories": {}}
    for c, name in enumerate(few.categories):
        own = few.category == c
        if own.sum() >= _LEAST:
            row = {"raw": mmd_to_prior(z[own], most, seed), "pca3": _share(z[own])}
            if subject.standardise is not None:
                row["standardised"] = mmd_to_prior(
                    subject.standardise(z[own], few.category[own]), most, seed
                )
            table["categories"][name] = {**row, "sounds": int(own.sum())}
            tick(CHUNK)
    table["held_out"] = {"raw": mmd_to_prior(held, most, seed), "sounds": len(held)}
    if subject.standardise is not None:
        table["held_out"]["standardised"] = mmd_to_prior(
            subject.standardise(held, held_out.category), most, seed
        )
    table["pca3"] = {"codes": _share(z), "prior": 3 / subject.latents, "sounds": len(z)}
    table["smoothness"] = _smoothness(subject, z, few.category, pairs)
    tick(CHUNK)
    return table


def _share(z: np.ndarray) -> float | None:
    try:
        return pca_share(z, 3)
    except DataError:
        return None


def _smoothness(
    subject: Subject, z: np.ndarray, category: np.ndarray, pairs: int
) -> dict[str, Any] | None:
    """Of ways between neighbours in the list of each category's codes."""
    starts, ends = [], []
    for c in np.unique(category):
        own = np.flatnonzero(category == c)[: pairs + 1]
        starts += own[:-1].tolist()
        ends += own[1:].tolist()
    if not starts:
        return None
    weights = subject.weights(category[starts])
    return smoothness(subject.decode, z[starts], z[ends], weights)
