"""Fits the axes α₁, α₂, α₃: the paper's PCA of the codes, and the axes of what can be heard."""

from collections.abc import Callable
from typing import Any

import numpy as np

from drumjax.play.controls import MODES, Mode, draw_codes, from_alphas, position, with_controls
from drumjax.play.gaussian import Gaussian, gaussian_of, global_gaussian
from drumjax.play.instrument import Instrument
from drumjax.play.runtime import Player

AXES = 3
FIT_SOUNDS, SHARE_SOUNDS = 512, 128  # a category
_QUIET = 10 ** (-50 / 20)  # of the loudest cell: what lies below is not heard
_POOL = 2, 16  # frames and mels in a cell: 23 ms by a 32nd of the mel scale


def audible(mel: np.ndarray) -> np.ndarray:
    """What is heard of linear mels [b, frames, mels]: dB of cells under the loudest, [b, cells].

    Cells of 2 frames by 16 bands; 50 dB under each sound's loudest cell is silence, so that
    neither silence nor a sound's level counts.
    """
    b, frames, mels = mel.shape
    t, f = -(-frames // _POOL[0]), -(-mels // _POOL[1])
    full = np.pad(mel, ((0, 0), (0, t * _POOL[0] - frames), (0, f * _POOL[1] - mels)))
    cells = full.reshape(b, t, _POOL[0], f, _POOL[1]).mean((2, 4)).reshape(b, -1)
    loudest = np.maximum(cells.max(1, keepdims=True), 1e-9)
    return 20 * np.log10(np.maximum(cells / loudest, _QUIET))


def principal(gaussian: Gaussian, count: int = AXES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """PCA of a Gaussian's codes: directions [n, d], spreads [n] (sd), shares of the variance [n].

    The signs are free; here the largest entry of each direction is positive.
    """
    spread, vectors = np.linalg.eigh(gaussian.root)
    order = np.argsort(spread)[::-1][:count]
    share = spread[order] ** 2 / np.sum(spread**2)
    return _signed(vectors[:, order].T), spread[order], share


def audible_axes(
    w: np.ndarray, heard: np.ndarray, gaussian: Gaussian, count: int = AXES
) -> tuple[np.ndarray, np.ndarray]:
    """The directions of z that are heard most: directions [n, d] and spreads [n].

    Ridge regression from whitened codes to what is heard, and the singular vectors of its
    coefficients (reduced-rank regression, Izenman, 1975): the orthonormal directions of whitened
    space along which a line through the mean moves most of what is heard.

    Args:
      w: whitened codes [n, d].
      heard: [n, cells], see `audible`.
      gaussian: that whitened them.
      count: how many axes.
    """
    centred = w - w.mean(0)[None]
    square = centred.T @ centred + 0.05 * len(w) * np.eye(w.shape[1])
    coefficients = np.linalg.solve(square, centred.T @ (heard - heard.mean(0)[None]))
    _, vectors = np.linalg.eigh(coefficients @ coefficients.T)
    steps = vectors[:, ::-1][:, :count].T @ gaussian.root  # [n, d]
    spread = np.linalg.norm(steps, axis=1)
    return _signed(steps / spread[:, None]), spread


def _signed(directions: np.ndarray) -> np.ndarray:
    largest = np.argmax(np.abs(directions), axis=1)
    return directions * np.sign(np.take_along_axis(directions, largest[:, None], axis=1))


def fit_axes(
    player: Player, seed: int, progress: Callable[[str], Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Fit the axes of every mode, and measure what they reach by decoding.

    Args:
      player: of the instrument.
      seed: of the codes that are decoded.
      progress: told a line a category.

    Returns:
      tensors `controls/MODE/directions` and `/spread`, and words and numbers on them: the shares
      of the codes' variance ("latent_share") and of what is heard (`shares`).
    """
    instrument = player.instrument
    tensors, latent = _paper_axes(instrument)
    parts, drawn = [], []
    for i, name in enumerate(player.categories):
        gaussian = gaussian_of(instrument, i)
        z = draw_codes(instrument, i, FIT_SOUNDS, seed)
        heard = audible(player.decode(z, i))
        parts.append(audible_axes(gaussian.whiten(z), heard, gaussian))
        drawn.append((z[:SHARE_SOUNDS], heard[:SHARE_SOUNDS]))
        progress(f"{name}: {FIT_SOUNDS} sounds decoded for the axes")
    for key, values in zip(("directions", "spread"), zip(*parts, strict=True), strict=True):
        tensors[f"controls/audible/{key}"] = np.stack(values).astype(np.float32)
    fitted = with_controls(instrument, tensors, {})
    reached = {
        name: {mode: shares(player, fitted, i, mode, *drawn[i]) for mode in MODES}
        for i, name in enumerate(player.categories)
    }
    return tensors, {"latent_share": latent, "audible_share": reached}


def _paper_axes(instrument: Instrument) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The PCA of all codes, and of each category's."""
    whole = principal(global_gaussian(instrument))
    each = [principal(gaussian_of(instrument, i)) for i in range(len(instrument.categories))]
    tensors = {}
    for i, key in enumerate(("directions", "spread")):
        tensors[f"controls/paper/{key}"] = whole[i].astype(np.float32)
        tensors[f"controls/paper_category/{key}"] = np.stack([e[i] for e in each]).astype("f4")
    names = ("paper", *instrument.categories)
    latent = {n: round(float(s[2].sum()), 4) for n, s in zip(names, (whole, *each), strict=True)}
    return tensors, latent


def shares(
    player: Player, fitted: Instrument, category: int, mode: Mode, z: np.ndarray, heard: np.ndarray
) -> dict[str, float]:
    """How much of what a category's sounds differ by its axes hold.

    Args:
      player: decodes.
      fitted: the instrument with its axes.
      category: index.
      mode: one of `controls.MODES`.
      z: drawn codes [n, d].
      heard: what is heard of them [n, cells].

    Returns:
      "explains": 1 - the share of the variance that is left when the codes are replaced by their
      places on the axes. "reaches": the variance of those replacements over the variance of all.
    """
    alphas = position(fitted, z, category, mode)
    only = audible(player.decode(from_alphas(fitted, alphas, category, mode, 1.0), category))
    total = heard.var(0).sum() + 1e-9
    return {
        "explains": round(float(1 - (heard - only).var(0).sum() / total), 3),
        "reaches": round(float(only.var(0).sum() / total), 3),
    }


def as_text(words: dict[str, Any]) -> str:
    """The shares that `fit_axes` measured, a row for each category and their mean.

    Args:
      words: `meta["controls"]` of a fitted instrument.
    """
    table = words["audible_share"]
    rows = [[table[name][m][s] for m in MODES for s in ("explains", "reaches")] for name in table]
    head = "".join(f"{mode:>24}" for mode in MODES)
    lines = [
        f"{'':<12}{head}",
        f"{'category':<12}" + f"{'explains':>12}{'reaches':>12}" * len(MODES),
    ]
    for name, row in zip((*table, "mean"), (*rows, np.mean(rows, axis=0)), strict=True):
        lines.append(f"{name:<12}" + "".join(f"{share:>12.1%}" for share in row))
    return "\n".join(lines)
