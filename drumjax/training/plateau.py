"""Lower the learning rate when the validation loss stops falling (NDM: x0.5 after 10 epochs)."""

import math
from typing import Any, NamedTuple

import jax

from drumjax.training.config import follows_plateau
from drumjax.training.state import TrainState

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


def validation_interval(t: dict[str, Any], steps_per_epoch: int) -> int:
    """Steps between validations: as `train.validate_every` says, or an epoch's.

    Without a plateau, which counts epochs, none is shorter than 50 steps.
    """
    return t["validate_every"] or max(steps_per_epoch, 1 if follows_plateau(t) else 50)


def follow(
    plateau: Plateau, state: TrainState, loss: float, t: dict[str, Any]
) -> tuple[Plateau, TrainState]:
    """Let the plateau's rule count one validation, and set the rate that follows from it."""
    plateau = observe(plateau, loss, factor=t["plateau_factor"], patience=t["plateau_patience"])
    return plateau, state._replace(lr_scale=jax.numpy.float32(plateau.scale))
