"""From codes to descriptors by a small network, and back: the least move that changes one alone."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from drumjax.play.gaussian import Gaussian

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
        get = lambda name: np.asarray(tensors[PREFIX + name], np.float32)  # noqa: E731
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
        """Codes [b, d], weights [b, k] -> descriptors [b, a] and their slopes in z [b, a, d]."""
        values, slopes = self._run(z, weights)
        kernels = [kernel for kernel, _ in self.layers]
        back = np.swapaxes(kernels[-1], 1, 2)[:, None]  # [e, 1, a, hidden]
        for kernel, slope in zip(kernels[-2::-1], slopes[::-1], strict=True):
            back = (back * slope[:, :, None]) @ np.swapaxes(kernel, 1, 2)[:, None]
        return values, back.mean(0)[..., : len(self.scale)] / self.scale[None, None]

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
        self, z: np.ndarray, weights: np.ndarray, change: np.ndarray, gaussian: Gaussian
    ) -> np.ndarray:
        """Move codes so that their descriptors change by `change` and the others do not.

        Gauss-Newton along the straight line of targets; each step is the least one in the
        category's whitened space, so that a sound stays as likely as it can.

        Args:
          z: [b, d].
          weights: category weights [k].
          change: [a] or [b, a], in standard deviations.
          gaussian: of the category.

        Returns:
          [b, d].
        """
        rows = np.tile(weights, (len(z), 1))
        start = self.values(z, rows)
        change = np.broadcast_to(change, start.shape)
        for i in range(_STEPS):
            now, slopes = self.jacobian(z, rows)
            missing = start + change * ((i + 1) / _STEPS) - now  # [b, a]
            slopes = slopes @ gaussian.root
            w = _least(slopes, missing)
            length = np.linalg.norm(w, axis=1, keepdims=True)
            z = z + (w * np.minimum(1.0, _LONGEST / np.maximum(length, 1e-9))) @ gaussian.root
        return z


def _least(slopes: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The least w with slopes @ w = missing, damped: slopes [b, a, d], missing [b, a] -> [b, d]."""
    square = slopes @ np.swapaxes(slopes, 1, 2)  # [b, a, a]
    damping = _DAMPING * np.trace(square, axis1=1, axis2=2) / square.shape[1] + 1e-9
    square = square + damping[:, None, None] * np.eye(square.shape[1])[None]
    return np.einsum("bad,ba->bd", slopes, np.linalg.solve(square, missing[..., None])[..., 0])
