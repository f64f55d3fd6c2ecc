"""Train any model: `python -m drumjax.train --config=configs/cwae.py[:variant] --workdir=DIR`."""

import functools
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import config_flags
from tqdm import tqdm

from drumjax.data.augment import AugmentConfig
from drumjax.data.sampler import Sampler
from drumjax.data.source import Source, load_source
from drumjax.errors import ConfigError, DataError, DrumjaxError, TrainingError
from drumjax.evals.pictures import write_validation
from drumjax.models import build_objective, mel_config
from drumjax.models.objective import Objective, Variables
from drumjax.training.checkpoint import Checkpoints
from drumjax.training.config import check_same
from drumjax.training.metrics_log import MetricsLog
from drumjax.training.parallel import parallelise, resolve_mode
from drumjax.training.plateau import Plateau, observe
from drumjax.training.state import TrainState, adam, create_state
from drumjax.training.sweep import chunks, first_of_each, sweep
from drumjax.training.update import learning_rate, make_update

NEEDED = "both --config=configs/NAME.py[:variant] and --workdir=DIR are needed"
USAGE = """usage: python -m drumjax.train --config=configs/NAME.py[:variant] --workdir=DIR

  --config          the experiment and its variant: configs/cwae.py:small
  --config.a.b=v    change a field of it: --config.train.steps=500 --config.data.path=DIR
  --workdir         where checkpoints, metrics, pictures and sounds go; a run that is found
                    there is continued
"""


class Stopped(KeyboardInterrupt):
    """Ctrl-C, after the state was saved."""


class Interrupt:
    """Ctrl-C sets a flag that the loop reads between steps; a second one ends at once."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        tqdm.write("Stopping after this step; press Ctrl-C again to stop at once.", file=sys.stderr)

    def __enter__(self) -> "Interrupt":
        self._before = signal.signal(signal.SIGINT, self)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)


def load_data(config: dict[str, Any]) -> tuple[Source, Source, Sampler]:
    """The training set, the validation set and the sampler of the training set."""
    data = config["data"]
    source, held_out = (load_source(data["path"], split) for split in ("train", "validation"))
    rate, samples = config["mel"]["sample_rate"], config["mel"]["num_samples"]
    if (source.sample_rate, source.audio.shape[1]) != (rate, samples):
        raise DataError(
            f"{data['path']} holds sounds of {source.audio.shape[1]} samples at "
            f"{source.sample_rate} Hz, but the config wants {samples} at {rate} Hz; "
            "prepare the data set again."
        )
    sampler = Sampler(
        source,
        data["per_category"],
        config["seed"],
        jax.process_index(),
        jax.process_count(),
        data["balanced"],
        AugmentConfig(**data["augment"]),
    )
    return source, held_out, sampler


def batches(sampler: Sampler, start: int, steps: int) -> Iterator[dict[str, np.ndarray]]:
    """The batches of the steps [start, steps), each made while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(sampler.batch, start)
        for step in range(start, steps):
            batch = coming.result()
            coming = pool.submit(sampler.batch, step + 1)
            yield batch


def resume(
    checkpoints: Checkpoints, state: TrainState, objective: Objective, source: Source
) -> tuple[TrainState, Plateau]:
    """The newest checkpoint's state, or a fresh one with constants fitted to the training set."""
    step = checkpoints.latest_step()
    if step is not None:
        saved = checkpoints.config(step)
        if tuple(saved["config"]["categories"]) != source.categories:
            raise ConfigError(
                f"The run was begun on {', '.join(saved['config']['categories'])}, but this data "
                f"set holds {', '.join(source.categories)}; give the run its own, or begin another."
            )
        print(f"Going on from step {step}.", flush=True)
        return checkpoints.restore(step, state), Plateau(**saved["host"]["plateau"])
    starts = list(range(0, len(source.names), 64))
    bar = tqdm(starts, "Measuring the training set", unit="chunk", leave=False)
    constants = objective.fit(source.audio[i : i + 64] for i in bar)
    return state._replace(variables={**state.variables, "constants": constants}), Plateau()


def check_finite(metrics: dict[str, float], step: int) -> None:
    """Stop at the first number that is none.

    Raises:
      TrainingError: names the terms.
    """
    bad = [name for name, value in metrics.items() if not np.isfinite(value)]
    if bad:
        raise TrainingError(
            f"Step {step}: {', '.join(bad)} is not a finite number. Training stopped; the last "
            "checkpoint is intact. Lower train.learning_rate or look at the data of this step."
        )


def validate(
    objective: Objective,
    compiled: Callable[..., dict[str, jax.Array]],
    variables: Variables,
    held_out: Source,
) -> dict[str, float]:
    """The scalars of the whole validation set; "loss" is the one that counts."""
    values = sweep(lambda audio, category: compiled(variables, audio, category), held_out)
    return objective.summarise(values, held_out.category)


def calibrate(objective: Objective, state: TrainState, source: Source, count: int) -> TrainState:
    """Refresh what a model measures on the training set, such as the latent Gaussians."""
    pairs = ((a[:n], c[:n]) for a, c, n in chunks(source, 64, first_of_each(source, count)))
    constants = objective.calibrate(state.variables, pairs)
    return state._replace(variables={**state.variables, "constants": constants})


def train(config: dict[str, Any], workdir: Path) -> TrainState:
    """Run an experiment, or go on with the one that `workdir` holds; returns the last state."""
    check_workdir(workdir, config)
    source, held_out, sampler = load_data(config)
    print(f"Training on {source.describe()}\n" + "\n".join(sampler.warnings()), flush=True)

    t = config["train"]
    objective = build_objective(config, source.categories)
    mel = mel_config(config)
    optimiser = adam(t["beta1"])
    rate = learning_rate(t["learning_rate"], t["schedule"], t["steps"], t["warmup"])
    build = functools.partial(make_update, objective, optimiser, rate, config["seed"])
    run = parallelise(build, resolve_mode(t["parallel"], sampler.per_category))
    compiled = jax.jit(objective.validate)
    claim_workdir(workdir, config)
    config = {**config, "categories": list(source.categories)}

    checkpoints = Checkpoints(workdir)
    fresh = create_state(objective, optimiser, jax.random.key(config["seed"]))
    state, plateau = resume(checkpoints, fresh, objective, source)
    start = int(state.step)
    sounds = sampler.per_category * (len(source.categories) if sampler.balanced else 1)
    patience = t["plateau_patience"] * sampler.steps_per_epoch
    bar = tqdm(total=t["steps"], initial=start, unit="step", dynamic_ncols=True)

    def save(loss: float) -> None:
        checkpoints.save(state, config, {"plateau": plateau._asdict()}, loss)

    with MetricsLog(workdir) as log, Interrupt() as interrupt, bar:
        for step, batch in enumerate(batches(sampler, start, t["steps"]), start + 1):
            began = time.perf_counter()
            state, metrics = run(state, batch)
            metrics = {k: float(v) for k, v in jax.device_get(metrics).items()}
            check_finite(metrics, step)
            metrics["sounds_per_second"] = sounds / (time.perf_counter() - began)
            bar.update()
            bar.set_postfix({k: f"{v:.3g}" for k, v in metrics.items() if k != "gradient_norm"})
            if step % t["log_every"] == 0 or step == t["steps"]:
                log.write(step, "train", metrics)
            if step % t["validate_every"] == 0 or step == t["steps"]:
                state = calibrate(objective, state, source, t["calibrate_sounds"])
                values = validate(objective, compiled, state.variables, held_out)
                check_finite(values, step)
                log.write(step, "validation", values)
                bar.write(describe(step, values))
                plateau = observe(
                    plateau, values["loss"], step, factor=t["plateau_factor"], patience=patience
                )
                state = state._replace(lr_scale=jax.numpy.float32(plateau.scale))
                save(values["loss"])
                write_validation(objective, state.variables, held_out, mel, workdir, step)
            if interrupt.asked:
                state = calibrate(objective, state, source, t["calibrate_sounds"])
                save(float("inf"))  # not validated, so never the best
                raise Stopped
    checkpoints.close()
    print(f"Trained for {t['steps']} steps. The checkpoints are in {workdir / 'checkpoints'}.")
    return state


def describe(step: int, values: dict[str, float]) -> str:
    """One line about a validation."""
    listed = "  ".join(f"{k} {v:.4g}" for k, v in values.items() if "/" not in k)
    return f"step {step}  validation: {listed}"


def check_workdir(workdir: Path, config: dict[str, Any]) -> None:
    """Refuse a work directory that holds a run of another config."""
    file = workdir / "config.json"
    if file.exists():
        check_same(config, json.loads(file.read_text()), str(workdir))


def claim_workdir(workdir: Path, config: dict[str, Any]) -> None:
    """Write the config into a fresh work directory; only once everything else accepted it."""
    file = workdir / "config.json"
    if file.exists():
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(config, indent=2) + "\n")
    except OSError as error:
        raise ConfigError(
            f"{workdir} cannot be written to ({error.strerror}); choose another --workdir."
        ) from error


def read_flags(argv: Sequence[str]) -> tuple[dict[str, Any], Path]:
    """The config and the work directory of a command line, program name first.

    Raises:
      flags.Error: the command line is wrong.
      ConfigError: there is no such config or variant.
    """
    values = flags.FlagValues()
    argv = list(argv)
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    try:
        values(argv)
        if values["config"].value is None or values["workdir"].value is None:
            raise flags.Error(NEEDED)
        return values["config"].value.to_dict(), Path(values["workdir"].value)
    except OSError as error:
        named = [a.partition("=")[2] for a in argv if a.startswith(("--config=", "-config="))]
        raise ConfigError(
            f"The config file {', '.join(named)} cannot be read; give --config=configs/NAME.py."
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise flags.Error(str(error).splitlines()[0]) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and train; returns the exit status."""
    argv = sys.argv if argv is None else argv
    if {"-h", "--help"} & set(argv):
        print(USAGE, end="")
        return 0
    try:
        train(*read_flags(argv))
    except flags.Error as error:
        print(f"drumjax train: {error}", file=sys.stderr)
        return 2
    except DrumjaxError as error:
        print(f"drumjax train: {error}", file=sys.stderr)
        return 1
    except Stopped:
        print("Stopped and saved. The same command goes on from here.", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
