"""From codes to descriptors by a small network, and back: the least move that changes one alone."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

PREFIX = "controls/map/"
_STEPS = 5  # Gauss-Newton steps of one move
_DAMPING = 0.03  # of J Jᵀ, as a share of its mean diagonal
_WIDEST = 8.0  # standard deviations of the codes: the networks are shown nothing beyond
_LONGEST = 1.5  # whitened length of a step: beyond, the map has not been taught


@dataclasses.dataclass(frozen=True)
class AttributeMap:
    """What an instrument's codes sound like, in standard deviations of a category's sounds.

    The mean of `e` networks with two hidden layers (swish), taught by `play.attributes`.
    """

    centre: np.ndarray  # [d], of the codes
    scale: np.ndarray  # [d]
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]  # kernel [e, in, out], bias [e, 1, out]

    @staticmethod
    def of(tensors: Mapping[str, np.ndarray]) -> "AttributeMap":
        """Read it from an instrument's tensors."""

        def get(name: str) -> np.ndarray:
            return np.asarray(tensors[PREFIX + name], np.float32)

        layers = tuple((get(f"layer{i}/kernel"), get(f"layer{i}/bias")) for i in range(3))
        return AttributeMap(get("centre"), get("scale"), layers)

    def tensors(self) -> dict[str, np.ndarray]:
        """As an instrument keeps it."""
        named: dict[str, Any] = {"centre": self.centre, "scale": self.scale}
        for i, (kernel, bias) in enumerate(self.layers):
            named |= {f"layer{i}/kernel": kernel, f"layer{i}/bias": bias}
        return {PREFIX + k: np.asarray(v, np.float32) for k, v in named.items()}

    def inputs(self, z: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Codes z [b, d], category weights [b, k] -> what the networks take, float32 [b, d + k]."""
        near = np.clip((z - self.centre[None]) / self.scale[None], -_WIDEST, _WIDEST)
        return np.concatenate([near, weights], axis=1, dtype=np.float32)

    def values(self, z: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Codes [b, d], category weights [b, k] -> descriptors [b, a]."""
        return self._run(z, weights)[0]

    def jacobian(self, z: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes [b, d], weights [b, k] -> descriptors [b, a] and their slopes in z [b, a, d].

        A latent that lies beyond what the networks are shown has the slope 0.
        """
        values, gates = self._run(z, weights)
        kernels = [kernel for kernel, _ in self.layers]
        back = np.swapaxes(kernels[-1], 1, 2)[:, None]  # [e, 1, a, hidden]
        for kernel, slope in zip(kernels[-2::-1], gates[::-1], strict=True):
            back = (back * slope[:, :, None]) @ np.swapaxes(kernel, 1, 2)[:, None]
        shown = np.abs(self.inputs(z, weights)[:, : len(self.scale)]) < _WIDEST  # [b, d]
        slopes = back.mean(0)[..., : len(self.scale)] / self.scale[None, None]
        return values, slopes * shown[:, None]

    def _run(self, z: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        x, slopes = self.inputs(z, weights)[None], []  # [1, b, in]
        for kernel, bias in self.layers[:-1]:
            x = x @ kernel + bias
            gate = 0.5 + 0.5 * np.tanh(0.5 * x)  # the logistic function, without overflow
            slopes.append(gate * (1.0 + x * (1.0 - gate)))
            x = x * gate
        kernel, bias = self.layers[-1]
        return (x @ kernel + bias).mean(0), slopes

    def move(
        self, z: np.ndarray, weights: np.ndarray, change: np.ndarray, covariance: np.ndarray
    ) -> np.ndarray:
        """Move codes so that their descriptors change by `change` and the others do not.

        Gauss-Newton along the straight line of targets; each step is the least one in the
        category's standard deviations, so that a sound stays as likely as it can.

        Args:
          z: [b, d].
          weights: category weights [k].
          change: [a] or [b, a], in standard deviations.
          covariance: of the category's codes [d, d].

        Returns:
          [b, d].
        """
        rows = np.tile(weights, (len(z), 1))
        start = self.values(z, rows)
        change = np.broadcast_to(change, start.shape)
        for i in range(_STEPS):
            now, slopes = self.jacobian(z, rows)
            missing = start + change * ((i + 1) / _STEPS) - now  # [b, a]
            z = z + _least(slopes, missing, covariance)
        return z


def _least(slopes: np.ndarray, missing: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """The likeliest step with slopes @ step = missing, damped, and no longer than `_LONGEST`.

    Args:
      slopes: [b, a, d].
      missing: [b, a].
      covariance: [d, d]; a step's length is measured in standard deviations.

    Returns:
      [b, d].
    """
    spread = slopes @ covariance  # [b, a, d]
    square = spread @ np.swapaxes(slopes, 1, 2)  # [b, a, a]
    damping = _DAMPING * np.trace(square, axis1=1, axis2=2) / square.shape[1] + 1e-9
    damped = square + damping[:, None, None] * np.eye(square.shape[1])[None]
    shares = np.linalg.solve(damped, missing[..., None])  # [b, a, 1]
    length = np.sqrt((np.swapaxes(shares, 1, 2) @ square @ shares)[:, 0])  # [b, 1]
    step = (np.swapaxes(shares, 1, 2) @ spread)[:, 0]
    return step * np.minimum(1.0, _LONGEST / np.maximum(length, 1e-9))
