"""What a run shows and logs: the bar, metrics.jsonl and TensorBoard; of several processes, once."""

from pathlib import Path

from tqdm import tqdm

from drumjax.training.distributed import is_first
from drumjax.training.metrics_log import MetricsLog

UNSHOWN = ("gradient_norm", "learning_rate")  # logged, but not worth a place in the bar


class Progress:
    """The bar and the logs of the steps after `start`; silent on all processes but the first."""

    def __init__(self, workdir: Path, start: int, steps: int) -> None:
        speaks = is_first()
        self._log = MetricsLog(workdir, start) if speaks else None
        self._bar = tqdm(
            total=steps, initial=start, unit="step", dynamic_ncols=True, disable=not speaks
        )

    def step(self, metrics: dict[str, float]) -> None:
        """One training step is done."""
        self._bar.update()
        self._bar.set_postfix({k: f"{v:.3g}" for k, v in metrics.items() if k not in UNSHOWN})

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Write a step's metrics."""
        if self._log:
            self._log.write(step, "train", metrics)

    def validated(self, step: int, values: dict[str, float]) -> None:
        """The scalars of a validation."""
        if self._log:
            self._log.write(step, "validation", values)
            self._bar.write(describe(step, values))

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
        if self._log:
            self._log.__exit__(None, None, None)


def describe(step: int, values: dict[str, float]) -> str:
    """One line about a validation."""
    listed = "  ".join(f"{k} {v:.4g}" for k, v in values.items() if "/" not in k)
    return f"step {step}  validation: {listed}"


def conclude(start: int, step: int, workdir: Path) -> None:
    """Say what a run from one step to another did, and where it lies."""
    if is_first():
        done = f"Trained for {step} steps."
        if step == start:
            done = f"Nothing was left to do: this run has been trained for {step} steps."
        print(f"{done} The checkpoints are in {workdir / 'checkpoints'}.")
