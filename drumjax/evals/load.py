"""Trained networks from their work directories, on whatever device this machine has."""

from typing import Any

import jax

from drumjax.errors import CheckpointError
from drumjax.evals.reconstruction import Network
from drumjax.models import build_objective, model_config
from drumjax.training.checkpoint import Checkpoints


def load_network(workdir: str, model: str, which: str = "best") -> Network:
    """Load the model's variables, and what is known of its training; no optimiser state is read.

    Args:
      workdir: the --workdir of a training run.
      model: what the run must have trained, "cwae" or "mcnn".
      which: "best" (lowest validation loss) or "latest".

    Raises:
      CheckpointError: no checkpoint, a damaged one, or one of another model.
    """
    checkpoints = Checkpoints(workdir, read_only=True)
    try:
        step = _step(checkpoints, workdir, which)
        saved = checkpoints.config(step)
        config = saved["config"]
        if config["model"] != model:
            raise CheckpointError(
                f"{workdir} holds a {config['model']}, not a {model}; "
                f"give its directory as --{config['model']} instead."
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


def load_pair(cwae_dir: str, mcnn_dir: str, which: str = "best") -> tuple[Network, Network]:
    """Both networks, checked to speak of the same mel spectrogram.

    Raises:
      CheckpointError: as `load_network`, or the two were trained on different analyses.
    """
    encoder, vocoder = (
        load_network(folder, name, which)
        for folder, name in ((cwae_dir, "cwae"), (mcnn_dir, "mcnn"))
    )
    if encoder.config.mel != vocoder.config.mel:
        raise CheckpointError(
            f"{cwae_dir} and {mcnn_dir} use different mel settings; "
            "train both with the same config.mel."
        )
    return encoder, vocoder
