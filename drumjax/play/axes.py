"""Fits the axes α₁, α₂, α₃: the paper's PCA of the codes, and the axes of what can be heard.

Differs from the paper, whose controls are a PCA of all codes together: that is kept as the mode
"paper" (and for each category as "paper_category"), but the default is "audible", as the paper's
axes reach only a part of what is heard to vary; `fit_axes` measures how much in each mode.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from drumjax.play.controls import (
    CHECKED,
    MODES,
    Mode,
    draw_codes,
    from_alphas,
    position,
    with_controls,
)
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
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The directions of z that are heard most.

    Ridge regression from whitened codes to what is heard, and the singular vectors of its
    coefficients (reduced-rank regression, Izenman, 1975): the orthonormal directions of whitened
    space along which a line through the mean moves most of what is heard.

    Args:
      w: whitened codes [n, d].
      heard: [n, cells], see `audible`.
      gaussian: that whitened them.
      count: how many axes, n.

    Returns:
      unit directions [n, d], spreads [n] (sd of the codes), and what moving by 1 sd along each
      changes of what is heard [n, cells], most first; the signs are free.
    """
    centred = w - w.mean(0)[None]
    square = centred.T @ centred + 0.05 * len(w) * np.eye(w.shape[1])
    coefficients = np.linalg.solve(square, centred.T @ (heard - heard.mean(0)[None]))
    _, vectors = np.linalg.eigh(coefficients @ coefficients.T)
    most = vectors[:, ::-1][:, :count].T  # [n, d]
    steps = most @ gaussian.root
    spread = np.linalg.norm(steps, axis=1)
    return steps / spread[:, None], spread, most @ coefficients


def alignment(changes: np.ndarray) -> np.ndarray:
    """The turns with which the axes of all categories mean about the same.

    The reference is what the axes of all categories together change most (the first singular
    vectors, most first, signed so that + is more sound in more places). Each category's axes are
    turned within what they span to come next to it (the orthogonal Procrustes problem, Schonemann,
    1966), so that they reach as much as before.

    Args:
      changes: of what is heard, by each category's axes [k, n, cells].

    Returns:
      orthogonal matrices [k, n, n]: `turn @ changes` are those of the turned axes.
    """
    k, n, cells = changes.shape
    _, _, vectors = np.linalg.svd(changes.reshape(k * n, cells), full_matrices=False)
    reference = vectors[:n] * np.where(vectors[:n].sum(1) < 0, -1.0, 1.0)[:, None]
    left, _, right = np.linalg.svd(reference[None] @ np.swapaxes(changes, 1, 2))
    return left @ right


def _signed(directions: np.ndarray) -> np.ndarray:
    largest = np.argmax(np.abs(directions), axis=1)
    return directions * np.sign(np.take_along_axis(directions, largest[:, None], axis=1))


def fit_axes(
    player: Player, seed: int, progress: Callable[[str], Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Fit the axes of every mode, and measure what they reach by decoding other sounds.

    The audible axes mean about the same in every category (`alignment`), so that they can be mixed;
    those of "paper_category" have the order and signs that each category's PCA gives.

    Args:
      player: of the instrument.
      seed: of the codes that are decoded.
      progress: told a line a category.

    Returns:
      float32 tensors `controls/MODE/directions` and `/spread` (see `with_controls`), and words and
      numbers on them: the shares of the codes' variance ("latent_share") and of what is heard
      (`shares`).
    """
    instrument = player.instrument
    tensors, latent = _paper_axes(instrument)
    parts = []
    for i, name in enumerate(player.categories):
        gaussian = gaussian_of(instrument, i)
        z = draw_codes(instrument, i, FIT_SOUNDS, seed)
        parts.append(audible_axes(gaussian.whiten(z), audible(player.decode(z, i)), gaussian))
        progress(f"{name}: {FIT_SOUNDS} sounds decoded for the axes")
    tensors |= _aligned(parts)
    fitted = with_controls(instrument, tensors, {})
    reached = {name: _reached(player, fitted, i, seed) for i, name in enumerate(player.categories)}
    return tensors, {"latent_share": latent, "audible_share": reached}


def _aligned(parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Tensors of what `audible_axes` gave for each category, turned alike."""
    directions, spread, changes = (np.stack(part) for part in zip(*parts, strict=True))
    steps = alignment(changes) @ (directions * spread[:, :, None])  # [k, n, d]
    spread = np.linalg.norm(steps, axis=2)
    return {
        "controls/audible/directions": (steps / spread[:, :, None]).astype(np.float32),
        "controls/audible/spread": spread.astype(np.float32),
    }


def _reached(player: Player, fitted: Instrument, category: int, seed: int) -> dict[str, Any]:
    """The `shares` of every mode, on sounds that the axes were not fitted on."""
    z = draw_codes(fitted, category, SHARE_SOUNDS, seed, purpose=CHECKED)
    heard = audible(player.decode(z, category))
    return {mode: shares(player, fitted, category, mode, z, heard) for mode in MODES}


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
