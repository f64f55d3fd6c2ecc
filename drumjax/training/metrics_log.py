"""Numbers on disk: metrics.jsonl, one object a line, and TensorBoard events of the same."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from drumjax.atomic import replace_file
from drumjax.training.whole import tell


class MetricsLog:
    """Appends scalars to `metrics.jsonl` and to TensorBoard event files in a work directory.

    A run that goes on from `step` drops what was logged after it: those steps come again. Rows that
    a full disk or a power cut spoilt are dropped too, and a line tells how many.

    Raises:
      OSError: a file cannot be read or written; `metrics.jsonl` then stays as it is.
    """

    def __init__(self, workdir: Path, step: int = 0) -> None:
        from tensorboardX import SummaryWriter

        path = workdir / "metrics.jsonl"
        if path.exists():
            _rewind(path, step)
        self._file = path.open("a", encoding="utf-8")
        self._events = SummaryWriter(
            str(workdir / "events"), write_to_disk=True, purge_step=step + 1
        )
        _forgive(self._events)

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Write one set of scalars under "train" or "validation"."""
        row = {"step": step, "split": split, **{k: float(f"{v:.7g}") for k, v in values.items()}}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._events.add_scalar(f"{split}/{name}", value, step)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        finally:
            self._events.close()


def _rewind(path: Path, step: int) -> None:
    """Keep the rows up to a step, as they are; nothing is written if that is all of them."""
    with path.open("rb") as file:
        rows = file.readlines()
    steps = [_step_of(row) for row in rows]
    kept = [row for row, at in zip(rows, steps, strict=True) if at is not None and at <= step]
    if kept and not kept[-1].endswith(b"\n"):  # whole, as its object is closed
        kept[-1] += b"\n"
    if kept != rows:
        replace_file(path, b"".join(kept))
    if spoilt := steps.count(None):
        tell(f"{path}: dropped {spoilt} row{'s' * (spoilt > 1)} that could not be read.")


def _step_of(row: bytes) -> int | None:
    """A row's step, or None if it is no row that `write` wrote."""
    try:
        step = json.loads(row)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return step if type(step) is int else None


def _forgive(events: Any) -> None:
    """Let TensorBoard's file lose what a full disk refuses; metrics.jsonl is what says so.

    Else the thread that writes it would die with a traceback, and the run wait for it forever.
    """
    writer = events.file_writer.event_writer._ev_writer

    def forgiving(function: Callable[..., Any]) -> Callable[..., None]:
        def call(*args: Any) -> None:
            with contextlib.suppress(OSError):
                function(*args)

        return call

    for name in ("write_event", "flush", "close"):
        setattr(writer, name, forgiving(getattr(writer, name)))
