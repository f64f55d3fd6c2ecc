"""Checkpoints, latest and best, that open on any device; the only file that imports orbax."""

import asyncio
import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from logging import CRITICAL, getLogger
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint import checkpoint_managers as policies

from drumjax.atomic import sync_folder
from drumjax.errors import CheckpointError, DrumjaxError
from drumjax.integrity import (
    IntegrityError,
    has_manifest,
    step_label,
    verify_folder,
    write_manifest,
)
from drumjax.training.state import TrainState
from drumjax.training.whole import SEALED, is_whole, set_aside, tell

Composite = ocp.args.Composite
StandardSave, StandardRestore = ocp.args.StandardSave, ocp.args.StandardRestore
atomicity = ocp.path.atomicity
_UNTIL_THE_END: list[contextlib.ExitStack] = []  # of the process
_PRUNED = "pruned"  # in the checkpoints' folder: what is about to be deleted


class _Sealed(atomicity.AtomicRenameTemporaryPath):
    """A checkpoint's folder while it is written; its manifest comes last, then its name.

    Both come in one rename, so that a folder with a step's name has a manifest from its first
    moment, whenever the process is killed.
    """

    async def finalize(self) -> None:
        """What orbax does at the end, under another name that counts as unfinished; then ours."""
        final = self._final_path
        if not final.name.isdecimal():  # an item's folder, inside a step's
            return await super().finalize()
        self._final_path = final.parent / f"{final.name}{atomicity.TMP_DIR_SUFFIX}-sealing"
        await super().finalize()
        await asyncio.to_thread(write_manifest, Path(self._final_path), step_label(final.name))
        self._final_path.rename(final)
        self._final_path = final
        await asyncio.to_thread(sync_folder, Path(final.parent))


class Checkpoints:
    """The checkpoints of one work directory, in `workdir/checkpoints`.

    One process opens them, whatever others there are: of a run of several, process 0.

    Items: `model` (what sampling needs), `train` (what resuming needs besides) and `config` (JSON).
    Each folder holds a manifest, and no array of it is handed out before all of it was verified.
    Those of runs before there were manifests are read with a line that says so.

    Opened for training, damaged checkpoints are moved to `workdir/damaged` with a line each, so
    that the run goes on from the newest whole one and nothing is deleted.

    Raises:
      CheckpointError: there are none to read, or those that are there are all damaged.
    """

    def __init__(self, workdir: str | Path, read_only: bool = False) -> None:
        directory = Path(workdir).absolute() / "checkpoints"
        if read_only and not directory.is_dir():
            raise CheckpointError(
                f"{workdir} holds no checkpoints; give the --workdir of a `drumjax.train` run."
            )
        self.workdir = Path(workdir)
        self._verified: set[int] = set()
        self._writing: int | None = None
        self._hush = contextlib.ExitStack()  # what orbax logs while it writes
        if not read_only:
            self._verified = set_aside(self.workdir)
        own = jax.process_index()
        latest, best = policies.LatestN(2), policies.BestN(get_metric_fn=_loss, reverse=True, n=1)
        options = ocp.CheckpointManagerOptions(
            # BestN alone would not write the metric to disk: after a restart the best is forgotten.
            best_fn=_loss,
            best_mode="min",
            preservation_policy=policies.AnyPreservationPolicy([latest, best]),
            cleanup_tmp_directories=not read_only,
            create=False,  # orbax makes no folder for one process of several
            read_only=read_only,
            save_interval_steps=0 if read_only else 1,
            enable_async_checkpointing=not read_only,
            async_options=ocp.options.AsyncOptions(create_directories_asynchronously=False),
            multiprocessing_options=ocp.options.MultiprocessingOptions(own, {own}),
            temporary_path_class=_Sealed,
            todelete_subdir=None if read_only else _PRUNED,
        )
        names = ("model", "train", "config")
        try:
            with _quiet():
                if not read_only:
                    directory.mkdir(parents=True, exist_ok=True)
                self._manager = ocp.CheckpointManager(directory, options=options, item_names=names)
            if not read_only:
                _mute_closed_loops()
                self._prune()
        except Exception as error:  # of whatever kind: orbax has no types of its own
            raise CheckpointError(
                f"The checkpoints in {workdir} cannot be opened: {_reason(error)}. "
                "`drumjax verify` says which is damaged."
            ) from error

    def latest_step(self) -> int | None:
        """The newest whole checkpoint's step, or None; a line tells of newer, damaged ones.

        Raises:
          CheckpointError: there are some, and all are damaged.
        """
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                self._verify(step)
            except CheckpointError as error:
                damaged.append(error)
                continue
            for error in damaged:
                tell(f"{error} Taking step {step} instead.")
            return step
        if damaged:
            raise damaged[0]
        return None

    def best_step(self) -> int | None:
        """The step of the lowest validation loss, or None.

        Raises:
          CheckpointError: a checkpoint is damaged so that its loss is not known.
        """
        self.wait()
        for step in self._manager.all_steps():
            if step not in self._verified and has_manifest(self._folder(step)):
                with self._said(step):
                    verify_folder(self._folder(step), step_label(step), _is_metric)
        return self._manager.best_step()

    def save(
        self, state: TrainState, config: dict[str, Any], beside: dict[str, Any], loss: float
    ) -> None:
        """Begin to write the state at its step; an incomplete write never replaces an older one.

        Returns when the state may change again; what is left to do is done beside the training.
        `wait`, `close` and the next save wait for its end.

        Args:
          state: model and optimiser, which this process holds the whole of.
          config: the experiment's config with everything that loading needs; JSON values only.
          beside: small JSON values that live outside the state, such as the plateau.
          loss: the last validation loss; the lowest is kept as the best.

        Raises:
          CheckpointError: the disk is full or cannot be written to; now, or at the last save.
        """
        step = int(state.step)
        self.wait()
        if step in self._manager.all_steps():
            return
        if jax.process_count() > 1:  # orbax takes no arrays of one process's devices then
            state = jax.tree.map(np.asarray, state)
        train = {"optimiser": state.optimiser, "lr_scale": state.lr_scale}
        args = Composite(
            model=StandardSave(state.variables),
            train=StandardSave(train),
            config=ocp.args.JsonSave({"config": config, "host": beside, SEALED: True}),
        )
        self._writing = step
        self._hush.enter_context(_quiet())
        with self._written():
            self._manager.save(step, args=args, metrics={"loss": float(loss)}, force=True)

    def wait(self) -> None:
        """Wait until the last save is on the disk.

        Raises:
          CheckpointError: it could not be written.
        """
        if self._writing is not None:
            with self._written():
                self._manager.wait_until_finished()
            self._writing = None
            self._hush.close()
            self._prune()

    def _prune(self) -> None:
        """Delete what orbax moved away in one go, so that no checkpoint is ever half deleted."""
        shutil.rmtree(self.workdir / "checkpoints" / _PRUNED, ignore_errors=True)

    def close(self) -> None:
        """Wait for the last save, and release the manager's threads.

        Raises:
          CheckpointError: it could not be written.
        """
        try:
            self.wait()
        finally:
            self._writing = None
            with _quiet(), contextlib.suppress(Exception):  # what `wait` raised, once more
                self._manager.close()
            self._hush.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Close; beside an error that there is already, one of writing is only told."""
        try:
            self.close()
        except CheckpointError as own:
            if error is None:
                raise
            tell(str(own))

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        """Turn what writing raises into a sentence."""
        try:
            yield
        except (OSError, ValueError, DrumjaxError) as error:
            step, self._writing = self._writing, None
            self._hush.close()
            self._hush.enter_context(_quiet())  # for good: orbax's other threads tell of it later
            _UNTIL_THE_END.append(self._hush)
            self._hush = contextlib.ExitStack()
            raise CheckpointError(
                f"Cannot write the checkpoint of step {step} to {self.workdir}: "
                f"{_reason(error)}. Free some space and start again with the same command; "
                "it resumes at the previous one."
            ) from error

    def config(self, step: int) -> dict[str, Any]:
        """What `save` got as {"config", "host"}; the latter is what was saved `beside`."""
        saved = self._restore(step, config=ocp.args.JsonRestore())["config"]
        return {key: saved[key] for key in ("config", "host")}

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

    def _restore(self, step: int, **items: Any) -> Any:
        self._verify(step)
        with self._said(step), _quiet():
            return self._manager.restore(step, args=Composite(**items))

    def _verify(self, step: int) -> None:
        """Compare a checkpoint with its manifest, once; a line tells of one without."""
        if step in self._verified:
            return
        self.wait()
        with self._said(step):
            if not is_whole(self._folder(step)):
                tell(
                    f"The checkpoint of step {step} in {self.workdir} was written before there "
                    "were manifests: whether it is intact cannot be verified."
                )
        self._verified.add(step)

    def _folder(self, step: int) -> Path:
        return self.workdir / "checkpoints" / str(step)

    @contextlib.contextmanager
    def _said(self, step: int) -> Iterator[None]:
        """Turn what reading raises into a sentence."""
        try:
            yield
        except Exception as error:
            kinds = (IntegrityError, OSError, ValueError, KeyError)
            if not isinstance(error, kinds) and type(error) is not Exception:  # orbax raises both
                raise
            reason = error.what if isinstance(error, IntegrityError) else _reason(error)
            raise CheckpointError(
                f"The checkpoint of step {step} in {self.workdir} cannot be read: {reason}. "
                f"Delete {self._folder(step)} to go on from an older one."
            ) from error


def _is_metric(name: str) -> bool:
    return name.startswith("metrics/")


def _loss(metrics: dict[str, float]) -> float:
    return metrics["loss"]


def _reason(error: BaseException) -> str:
    """What the system said, or else the end of the first line, as orbax puts paths in front."""
    if code := re.search(r"os_error_code='(\d+)'", str(error)):
        return os.strerror(int(code[1]))
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else f"... {line[-200:]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep orbax, and asyncio beneath it, from logging tracebacks of what is raised besides."""
    loops = getLogger("asyncio")
    before = logging.get_verbosity(), loops.level
    logging.set_verbosity(logging.FATAL)
    loops.setLevel(CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(before[0])
        loops.setLevel(before[1])


def _mute_closed_loops() -> None:
    """Where a write fails, tensorstore reports what else it had begun to a loop that is closed."""

    def hook(told: Any) -> None:
        if str(told.exc_value) != "Event loop is closed":
            sys.__unraisablehook__(told)

    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = hook


def _abstract(tree: Any) -> Any:
    """Shapes with a sharding: without one a checkpoint opens only on the devices that wrote it."""
    sharding = SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree)
