"""Train any model: `python -m drumjax.train --config=configs/cwae.py[:variant] --workdir=DIR`."""

import functools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import config_flags
from tqdm import tqdm

from drumjax.data.augment import AugmentConfig
from drumjax.data.sampler import Sampler
from drumjax.data.source import Source, fingerprint, load_source
from drumjax.errors import ConfigError, DataError, DrumjaxError, TrainingError
from drumjax.evals.pictures import write_validation
from drumjax.models import batch_size, build_objective, check_batches, mel_config
from drumjax.models.objective import Objective, Variables
from drumjax.training.checkpoint import Checkpoints
from drumjax.training.config import check_workdir, claim_workdir
from drumjax.training.config_files import with_configs
from drumjax.training.distributed import (
    FLAGS,
    agree,
    check_alike,
    check_shared,
    explain,
    initialise,
    is_failure,
    is_first,
    leave,
    to_global,
    to_local,
    together,
)
from drumjax.training.gradients import Memory
from drumjax.training.interrupt import Interrupt, Stopped
from drumjax.training.parallel import parallelise, resolve_mode
from drumjax.training.plateau import Plateau, observe
from drumjax.training.progress import Progress
from drumjax.training.state import TrainState, adam, create_state
from drumjax.training.sweep import chunks, first_of_each, sweep
from drumjax.training.update import learning_rate, make_update

NEEDED = "both --config=configs/NAME.py[:variant] and --workdir=DIR are needed"
USAGE = """usage: python -m drumjax.train --config=configs/NAME.py[:variant] --workdir=DIR

  --config          the experiment and its variant: configs/cwae.py:small
  --config.a.b=v    change a field of it: --config.train.steps=500 --config.data.path=DIR
  --workdir         where checkpoints, metrics, pictures and sounds go; a run that is found
                    there is continued

  several processes (found by itself where srun, Open MPI or a TPU pod starts them):
  --coordinator     HOST:PORT of process 0, the same for all of them
  --process_count   how many there are; 1 keeps this one alone
  --process_id      which of them this is, from 0
"""


def load_data(config: dict[str, Any]) -> tuple[Source, Source, Sampler]:
    """The training set, the validation set and the sampler of the training set."""
    check_batches(config)
    data = config["data"]
    path = Path(data["path"]).expanduser()
    source, held_out = (load_source(path, split) for split in ("train", "validation"))
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


def batches(
    sampler: Sampler, start: int, steps: int, put: Callable[[dict[str, np.ndarray]], Any]
) -> Iterator[Any]:
    """The batches of the steps [start, steps), each made and brought to the devices, which is what
    `put` does, while the one before it is used.
    """
    with ThreadPoolExecutor(1) as pool:
        coming = None
        for step in range(start, steps):
            batch = coming.result() if coming else put(sampler.batch(step))
            more = step + 1 < steps
            coming = pool.submit(lambda n: put(sampler.batch(n)), step + 1) if more else None
            yield batch


def resume(
    checkpoints: Checkpoints,
    state: TrainState,
    objective: Objective,
    source: Source,
    data: dict[str, Any],
) -> tuple[TrainState, Plateau]:
    """The newest checkpoint's state, or a fresh one with constants fitted to the training set.

    `data` is the source's `fingerprint`, which must be the one that the run began with.
    """
    step = checkpoints.latest_step()
    if step is not None:
        host = checkpoints.config(step)["host"]
        if host["data"] != data:
            raise ConfigError(
                f"This run was begun on another data set, of {host['data']['sounds']} sounds; give "
                "it that one as --config.data.path, or begin another --workdir."
            )
        if is_first():
            print(f"Going on from step {step}.", flush=True)
        return checkpoints.restore(step, state), Plateau(**host["plateau"])
    starts = list(range(0, len(source.names), 64))
    bar = tqdm(
        starts, "Measuring the training set", unit="chunk", leave=False, disable=not is_first()
    )
    constants = objective.fit((source.audio[i : i + 64], source.category[i : i + 64]) for i in bar)
    state = state._replace(variables={**state.variables, "constants": constants})
    return agree(state), Plateau()


def check_finite(metrics: dict[str, float], step: int) -> None:
    """Stop at the first number that is none.

    Raises:
      TrainingError: names the terms.
    """
    bad = [name for name, value in metrics.items() if not np.isfinite(value)]
    if bad:
        raise TrainingError(
            f"Step {step}: {', '.join(bad)} is not a finite number. Training stopped; the last "
            "checkpoint is intact. Begin another --workdir with a lower "
            "--config.train.learning_rate."
        )


def validate(
    objective: Objective,
    compiled: Callable[..., dict[str, jax.Array]],
    variables: Variables,
    held_out: Source,
) -> dict[str, float]:
    """The scalars of the whole validation set; "loss" is the one that counts."""
    here = to_local(variables)
    values = sweep(lambda audio, category: compiled(here, audio, category), held_out)
    own = objective.summarise(values, held_out.category)
    agreed = agree(own)
    return {name: float(agreed[name]) for name in own}


def calibrate(objective: Objective, state: TrainState, source: Source, count: int) -> TrainState:
    """Refresh what a model measures on the training set, such as the latent Gaussians."""
    pairs = ((a[:n], c[:n]) for a, c, n in chunks(source, 64, first_of_each(source, count)))
    constants = agree(objective.calibrate(to_local(state.variables), pairs))
    return state._replace(variables={**state.variables, "constants": constants})


def check_schedule(t: dict[str, Any]) -> None:
    """Refuse step counts that the loop cannot keep."""
    low = [k for k in ("steps", "log_every", "checkpoint_every") if t[k] < 1]
    if low or t["validate_every"] < 0:
        raise ConfigError(f"train.{(low or ['validate_every'])[0]} must be at least 1.")


def announce(sampler: Sampler, mode: str) -> None:
    """Say what is trained on, with what, and what is unusual about it."""
    if not is_first():
        return
    devices = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    if jax.process_count() > 1:
        devices += f" in {jax.process_count()} processes"
    how = "one device" if mode == "none" else mode
    lines = [f"Training on {sampler.source.describe()}", f"Running on {devices}: {how}"]
    if mode == "none" and (count := jax.local_device_count()) > 1:
        lines.append(
            f"{count - 1} of {count} devices are idle: {sampler.per_category} sounds cannot be "
            f"shared by {count}. Give --config.data.per_category a multiple of {count} to use all."
        )
    print("\n".join([*lines, *sampler.warnings()]), flush=True)


def open_workdir(config: dict[str, Any], workdir: Path, data: dict[str, Any]) -> Checkpoints:
    """Claim the work directory for this run, once all processes are known to agree on it."""
    check_alike("data sets", data)
    check_alike("configs", {**config, "data": {**config["data"], "path": ""}})
    together(lambda: claim_workdir(workdir, config) if is_first() else None)
    check_shared(workdir)
    return Checkpoints(workdir)


def train(config: dict[str, Any], workdir: Path) -> TrainState:
    """Run an experiment, or go on with the one that `workdir` holds; returns the last state."""
    together(check_workdir, workdir, config)
    t = config["train"]
    check_schedule(t)
    source, held_out, sampler = together(load_data, config)
    objective, mel = build_objective(config, source.categories), mel_config(config)
    optimiser = adam(t["beta1"])
    rate = learning_rate(t["learning_rate"], t["schedule"], t["steps"], t["warmup"])
    memory = Memory(t["accumulate"], t["remat"])
    build = functools.partial(
        make_update, objective, optimiser, rate, config["seed"], memory=memory
    )
    mode = resolve_mode(t["parallel"], sampler.per_category, t["accumulate"])
    run = parallelise(build, mode)
    scores, reconstruct = jax.jit(objective.validate), jax.jit(objective.reconstruct)
    data = fingerprint(source)
    checkpoints = open_workdir(config, workdir, data)
    announce(sampler, mode)

    fresh = create_state(objective, optimiser, jax.random.key(config["seed"]))
    state, plateau = resume(checkpoints, fresh, objective, source, data)
    start, every = int(state.step), t["validate_every"] or max(sampler.steps_per_epoch, 50)
    sounds = batch_size(config, source.categories)
    told = {**config, "categories": list(source.categories)}

    def save(loss: float) -> None:
        host = {"data": data, "plateau": plateau._asdict()}
        checkpoints.save(to_global(state), told, host, loss)

    with checkpoints, Progress(workdir, start, t["steps"]) as progress, Interrupt() as interrupt:
        began = time.perf_counter()
        for step, batch in enumerate(batches(sampler, start, t["steps"], run.put_batch), start + 1):
            state, metrics = run(state, batch)
            metrics = {k: float(v) for k, v in jax.device_get(metrics).items()}
            check_finite(metrics, step)
            metrics["sounds_per_second"] = sounds / (time.perf_counter() - began)
            last = step == t["steps"]
            progress.step(step, metrics, log=step % t["log_every"] == 0 or last)
            keep = step % t["checkpoint_every"] == 0 or last
            if step % every == 0 or keep:
                values = validate(objective, scores, state.variables, held_out)
                check_finite(values, step)
                progress.validated(step, values)
                rule = {"factor": t["plateau_factor"], "patience": t["plateau_patience"]}
                plateau = observe(plateau, values["loss"], **rule)
                state = state._replace(lr_scale=jax.numpy.float32(plateau.scale))
                if keep:
                    state = calibrate(objective, state, source, t["calibrate_sounds"])
                    save(values["loss"])
                    if is_first():
                        own = to_local(state.variables)
                        write_validation(reconstruct, own, held_out, mel, workdir, step)
            if interrupt.stops():
                save(float("inf"))  # not validated, so never the best
                raise Stopped
            began = time.perf_counter()
    if is_first():
        print(f"Trained for {t['steps']} steps. The checkpoints are in {workdir / 'checkpoints'}.")
    return state


def read_flags(argv: Sequence[str]) -> tuple[dict[str, Any], Path, dict[str, Any]]:
    """Config, work directory and the processes' settings of a command line, program name first.

    Raises:
      flags.Error: the command line is wrong.
      ConfigError: there is no such config or variant.
    """
    values = flags.FlagValues()
    argv = with_configs(argv)  # outside a checkout, configs/NAME.py is the one that came along
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    for name in FLAGS:
        kind = flags.DEFINE_string if name == "coordinator" else flags.DEFINE_integer
        kind(name, None, "", flag_values=values)
    try:
        rest = values(argv)[1:]
        if rest:
            raise flags.Error(f"what is {' '.join(rest)}? Flags begin with --")
        if values["config"].value is None or values["workdir"].value is None:
            raise flags.Error(NEEDED)
        workdir = Path(values["workdir"].value).expanduser()
        processes = {name: values[name].value for name in FLAGS}
        return values["config"].value.to_dict(), workdir, processes
    except OSError as error:
        named = [a.partition("=")[2] for a in argv if a.startswith(("--config=", "-config="))]
        raise ConfigError(
            f"The config file {', '.join(named)} cannot be read; give --config=configs/NAME.py."
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise flags.Error(str(error).splitlines()[0]) from error


def say_refused(error: OSError) -> str:
    """One sentence about a disk that is full, a folder that is read-only or gone."""
    where = f"{error.filename}: " if error.filename else ""
    return (
        f"{where}{error.strerror or error}. Put that right and start again with the same command: "
        "it goes on from the last checkpoint."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and train; returns the exit status."""
    argv = sys.argv if argv is None else argv
    if {"-h", "--help"} & set(argv):
        print(USAGE, end="")
        return 0
    try:
        config, workdir, processes = read_flags(argv)
        initialise(**processes)
        train(config, workdir)
    except flags.Error as error:
        print(f"drumjax train: {error}", file=sys.stderr)
        return 2
    except DrumjaxError as error:
        print(f"drumjax train: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"drumjax train: {say_refused(error)}", file=sys.stderr)
        return leave(1)
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if not is_failure(error):
            raise
        print(f"drumjax train: {explain(error)}", file=sys.stderr)
        return leave(1)
    except Stopped:
        print("Stopped and saved. The same command goes on from here.", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
