"""How an instrument's codes lie: beside the prior, along their axes, and on the way between two."""

from collections.abc import Callable
from typing import Any

import numpy as np

from drumjax.data.folder import take
from drumjax.data.source import Source
from drumjax.errors import DataError
from drumjax.evals.latent import expected_share, mean_mmd, pca_share, smoothness
from drumjax.evals.reconstruction import CHUNK, original
from drumjax.evals.subject import Subject
from drumjax.training.sweep import first_of_each

_LEAST, _MOST = 8, 64  # codes that are set beside the prior at a time


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
    """All numbers on codes; None stands where there are too few of them.

    One number n of codes is set beside the prior for all categories, that of the smallest one that
    has enough, or their ratios could not be compared.

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
    sizes = np.bincount(few.category, minlength=len(few.categories))
    enough = [int(c) for c in np.flatnonzero(sizes >= _LEAST)]
    n = min([_MOST, *(int(sizes[c]) for c in enough)]) if enough else _LEAST
    table: dict[str, Any] = {"n": n, "categories": {}}
    for c in enough:
        own = few.category == c
        table["categories"][few.categories[c]] = {
            **_beside_prior(subject, z[own], few.category[own], n, seed),
            **_share(z[own]),
        }
        tick(CHUNK)
    table["held_out"] = (
        _beside_prior(subject, held, held_out.category, n, seed) if len(held) >= n else None
    )
    table["all"] = {**_share(z), "sounds": len(z)}
    table["smoothness"] = _smoothness(subject, z, few.category, pairs)
    tick(CHUNK)
    return table


def _beside_prior(
    subject: Subject, z: np.ndarray, category: np.ndarray, n: int, seed: int
) -> dict[str, Any]:
    """MMD of codes [c, d] as they are, and as their category's Gaussian makes them."""
    row = {"raw": mean_mmd(z, n, seed), "sounds": len(z)}
    if subject.standardise is not None:
        row["standardised"] = mean_mmd(subject.standardise(z, category), n, seed)
    return row


def _share(z: np.ndarray) -> dict[str, float | None]:
    """Of three axes, and what as many codes of N(0, I) have; None if there is no such share."""
    try:
        return {"pca3": pca_share(z, 3), "pca3_prior": expected_share(*z.shape)}
    except DataError:
        return {"pca3": None, "pca3_prior": None}


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
