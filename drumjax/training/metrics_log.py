"""Numbers on disk: metrics.jsonl, one object a line, and TensorBoard events of the same."""

import json
from pathlib import Path
from types import TracebackType


class MetricsLog:
    """Appends scalars to `metrics.jsonl` and to TensorBoard event files in a work directory."""

    def __init__(self, workdir: Path) -> None:
        from tensorboardX import SummaryWriter

        self._file = (workdir / "metrics.jsonl").open("a", encoding="utf-8")
        self._events = SummaryWriter(str(workdir / "events"), write_to_disk=True)

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Write one set of scalars under "train" or "validation"."""
        row = {"step": step, "split": split, **{k: round(v, 7) for k, v in values.items()}}
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
        self._file.close()
        self._events.close()
