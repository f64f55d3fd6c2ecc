"""Lower the learning rate when the validation loss stops falling (NDM: x0.5 after 10 epochs)."""

import math
from typing import NamedTuple


class Plateau(NamedTuple):
    """What the rule remembers; a fresh one knows nothing."""

    best: float = math.inf
    since: int = 0  # the step of the best value, or of the last reduction
    scale: float = 1.0


def observe(
    plateau: Plateau,
    loss: float,
    step: int,
    *,
    factor: float,
    patience: int,
    threshold: float = 1e-4,
) -> Plateau:
    """Take in one validation.

    The threshold is absolute: losses with an unbiased MMD or a critic in them go below zero, where
    a relative one never fires.

    Args:
      plateau: the memory so far.
      loss: this validation's loss.
      step: the step that it was taken at.
      factor: what the scale is multiplied by on a plateau.
      patience: steps without improvement that are allowed.
      threshold: how much lower than the best counts as an improvement.
    """
    if loss < plateau.best - threshold:
        return plateau._replace(best=loss, since=step)
    if step - plateau.since >= patience:
        return plateau._replace(since=step, scale=plateau.scale * factor)
    return plateau
