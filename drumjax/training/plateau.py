"""Lower the learning rate when the validation loss stops falling (NDM: x0.5 after 10 epochs)."""

import math
from typing import NamedTuple

MIN_SCALE = 1e-4  # below it a run stands still, and noise alone would drive it there


class Plateau(NamedTuple):
    """What the rule remembers; a fresh one knows nothing."""

    best: float = math.inf
    misses: int = 0  # validations since the best value, or since the last reduction
    scale: float = 1.0


def observe(
    plateau: Plateau, loss: float, *, factor: float, patience: int, threshold: float = 1e-4
) -> Plateau:
    """Take in one validation.

    The threshold is absolute: losses with an unbiased MMD or a critic in them go below zero, where
    a relative one never fires.

    Args:
      plateau: the memory so far.
      loss: this validation's loss.
      factor: what the scale is multiplied by on a plateau; 1 leaves it alone.
      patience: validations without improvement that bring a reduction.
      threshold: how much lower than the best counts as an improvement.
    """
    if loss < plateau.best - threshold:
        return plateau._replace(best=loss, misses=0)
    if plateau.misses + 1 < patience:
        return plateau._replace(misses=plateau.misses + 1)
    return plateau._replace(misses=0, scale=max(MIN_SCALE, plateau.scale * factor))
