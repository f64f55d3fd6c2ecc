"""Trained networks from their work directories, on whatever device this machine has."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from drumjax.errors import CheckpointError
from drumjax.models import build_objective, model_config
from drumjax.models.objective import Variables
from drumjax.training.checkpoint import Checkpoints


class Network(NamedTuple):
    """A trained network: its frozen config, its variables, and what is known of its training."""

    config: Any  # CwaeConfig, FrameWaeConfig or McnnConfig
    variables: Variables
    about: Mapping[str, Any] = MappingProxyType({})  # "steps", "config", "data" of the run


MAKES_MELS = ("cwae", "frame_wae")  # models that a --cwae may name the run of


def load_network(workdir: str, models: Sequence[str], which: str = "best") -> Network:
    """Load the model's variables, and what is known of its training; no optimiser state is read.

    Args:
      workdir: the --workdir of a training run.
      models: what the run may have trained, such as ("mcnn",).
      which: "best" (lowest validation loss) or "latest".

    Raises:
      CheckpointError: no checkpoint, a damaged one, or one of another model.
    """
    checkpoints = Checkpoints(workdir, read_only=True)
    try:
        step = _step(checkpoints, workdir, which)
        saved = checkpoints.config(step)
        config = saved["config"]
        if config["model"] not in models:
            flag = "cwae" if config["model"] in MAKES_MELS else config["model"]
            raise CheckpointError(
                f"{workdir} holds a {config['model']}, not a {' or '.join(models)}; "
                f"give its directory as --{flag} instead."
            )
        objective = build_objective(config, config["categories"])
        like = jax.eval_shape(objective.init, jax.random.key(0))
        variables = checkpoints.restore_model(step, like)
        about = {
            "steps": step,
            "config": _without_path(config),
            "data": saved["host"].get("data", {}),
        }
        return Network(model_config(config, config["categories"]), variables, about)
    finally:
        checkpoints.close()


def _step(checkpoints: Checkpoints, workdir: str, which: str) -> int:
    """The step that "best" or "latest" means."""
    step = checkpoints.best_step() if which == "best" else None
    step = checkpoints.latest_step() if step is None else step
    if step is None:
        raise CheckpointError(f"{workdir} holds no complete checkpoint yet; train a while longer.")
    return step


def _without_path(config: dict[str, Any]) -> dict[str, Any]:
    """The config without the name of a folder of this machine."""
    return {**config, "data": {k: v for k, v in config["data"].items() if k != "path"}}


def load_pair(
    model_dir: str, mcnn_dir: str | None, which: str = "best"
) -> tuple[Network, Network | None]:
    """The model that makes mels and the MCNN, checked to speak of the same mel spectrogram.

    Args:
      model_dir: the --workdir of a CWAE or frame WAE.
      mcnn_dir: that of an MCNN; None if sound is made without one.
      which: "best" or "latest".

    Raises:
      CheckpointError: as `load_network`, or the two were trained on different analyses.
    """
    model = load_network(model_dir, MAKES_MELS, which)
    if mcnn_dir is None:
        return model, None
    mcnn = load_network(mcnn_dir, ("mcnn",), which)
    if model.config.mel != mcnn.config.mel:
        raise CheckpointError(
            f"{model_dir} and {mcnn_dir} use different mel settings; "
            "train both with the same config.mel."
        )
    return model, mcnn
