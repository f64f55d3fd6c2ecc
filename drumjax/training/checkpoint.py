"""Checkpoints, latest and best, that open on any device; the only file that imports orbax."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint import checkpoint_managers as policies

from drumjax.errors import CheckpointError
from drumjax.training.state import TrainState

Composite = ocp.args.Composite
StandardSave, StandardRestore = ocp.args.StandardSave, ocp.args.StandardRestore


class Checkpoints:
    """The checkpoints of one work directory, in `workdir/checkpoints`.

    Items: `model` (what sampling needs), `train` (what resuming needs besides) and `config` (JSON).
    """

    def __init__(self, workdir: str | Path, read_only: bool = False) -> None:
        directory = Path(workdir).absolute() / "checkpoints"
        if read_only and not directory.is_dir():
            raise CheckpointError(
                f"{workdir} holds no checkpoints; give the --workdir of a `drumjax.train` run."
            )
        latest, best = policies.LatestN(2), policies.BestN(get_metric_fn=_loss, reverse=True, n=1)
        options = ocp.CheckpointManagerOptions(
            # BestN alone would not write the metric to disk: after a restart the best is forgotten.
            best_fn=_loss,
            best_mode="min",
            preservation_policy=policies.AnyPreservationPolicy([latest, best]),
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            read_only=read_only,
            save_interval_steps=0 if read_only else 1,
            enable_async_checkpointing=False,
        )
        names = ("model", "train", "config")
        self.workdir = Path(workdir)
        with _quiet():
            self._manager = ocp.CheckpointManager(directory, options=options, item_names=names)

    def latest_step(self) -> int | None:
        """The newest complete checkpoint's step, or None."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """The step of the lowest validation loss, or None."""
        return self._manager.best_step()

    def save(
        self, state: TrainState, config: dict[str, Any], host: dict[str, Any], loss: float
    ) -> None:
        """Write the state at its step; an incomplete write never replaces an older checkpoint.

        Args:
          state: model and optimiser.
          config: the experiment's config with everything that loading needs; JSON values only.
          host: small JSON values that live outside the state, such as the plateau.
          loss: the last validation loss; the lowest is kept as the best.

        Raises:
          CheckpointError: the disk is full or cannot be written to.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        train = {"optimiser": state.optimiser, "lr_scale": state.lr_scale}
        args = Composite(
            model=StandardSave(state.variables),
            train=StandardSave(train),
            config=ocp.args.JsonSave({"config": config, "host": host}),
        )
        try:
            with _quiet():
                self._manager.save(step, args=args, metrics={"loss": float(loss)}, force=True)
                self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"Cannot write the checkpoint of step {step} to {self.workdir}: "
                f"{_reason(error)}. Free some space and start again with the same command; "
                "it resumes at the previous one."
            ) from error

    def config(self, step: int) -> dict[str, Any]:
        """What `save` got as {"config", "host"}."""
        return self._restore(step, config=ocp.args.JsonRestore())["config"]

    def restore(self, step: int, like: TrainState) -> TrainState:
        """The whole state, on the default device; `like` gives the tree and shapes."""
        train = {"optimiser": like.optimiser, "lr_scale": like.lr_scale}
        items = self._restore(
            step,
            model=StandardRestore(_abstract(like.variables)),
            train=StandardRestore(_abstract(train)),
        )
        restored = items["train"]
        step_array = jax.numpy.asarray(step, jax.numpy.int32)
        return TrainState(step_array, items["model"], restored["optimiser"], restored["lr_scale"])

    def restore_model(self, step: int, like: Any) -> Any:
        """The model's variables alone, on the first CPU or default device."""
        return self._restore(step, model=StandardRestore(_abstract(like)))["model"]

    def close(self) -> None:
        """Release the manager's threads."""
        self._manager.close()

    def _restore(self, step: int, **items: Any) -> Any:
        try:
            with _quiet():
                return self._manager.restore(step, args=Composite(**items))
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"The checkpoint of step {step} in {self.workdir} cannot be read: "
                f"{_reason(error)}. Delete {self.workdir / 'checkpoints' / str(step)} "
                "to go on from an older one."
            ) from error


def _loss(metrics: dict[str, float]) -> float:
    return metrics["loss"]


def _reason(error: BaseException) -> str:
    """The end of the first line: orbax and tensorstore put paths in front and the reason last."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else f"... {line[-200:]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep orbax from logging a traceback of each failure that it also raises."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _abstract(tree: Any) -> Any:
    """Shapes with a sharding: without one a checkpoint opens only on the devices that wrote it."""
    sharding = SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree)
