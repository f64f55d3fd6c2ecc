"""Train any model: `python -m drumjax.train --config=configs/cwae.py[:variant] --workdir=DIR`."""

import contextlib
import functools
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import config_flags
from tqdm import tqdm

import drumjax
from drumjax.data.augment import AugmentConfig
from drumjax.data.sampler import Sampler
from drumjax.data.source import Source, fingerprint, load_source
from drumjax.errors import ConfigError, DataError, DrumjaxError, TrainingError
from drumjax.evals.pictures import write_validation
from drumjax.lock import hold
from drumjax.models import batch_size, build_objective, check_batches, mel_config
from drumjax.models.objective import Objective, Variables
from drumjax.training.checkpoint import Checkpoints
from drumjax.training.config import (
    check_config,
    check_same,
    check_workdir,
    claim_workdir,
)
from drumjax.training.config_files import with_configs
from drumjax.training.distributed import (
    FLAGS,
    agree,
    agreed,
    check_alike,
    check_devices,
    explain,
    initialise,
    is_agreed,
    is_failure,
    is_first,
    leave,
    on_first,
    share,
    to_local,
    together,
)
from drumjax.training.gradients import Memory
from drumjax.training.interrupt import Interrupt, Stopped
from drumjax.training.overrides import say_override
from drumjax.training.parallel import Runner, parallelise, resolve_mode
from drumjax.training.plateau import Plateau, follow, validation_interval
from drumjax.training.progress import Progress, conclude
from drumjax.training.state import TrainState, adam, create_state
from drumjax.training.sweep import chunks, first_of_each, sweep
from drumjax.training.update import learning_rate, make_update

FEW = 32  # sounds a category behind what an interrupt measures: machines that go away do not wait
NEEDED = "both --config=configs/NAME.py[:variant] and --workdir=DIR are needed"
USAGE = """usage: python -m drumjax.train --config=configs/NAME.py[:variant] --workdir=DIR

  --config          the experiment and its variant: configs/cwae.py:small
  --config.a.b=v    change a field of it: --config.train.steps=500 --config.data.path=DIR
  --workdir         where checkpoints, metrics, pictures and sounds go; a run that is found
                    there is continued

  several processes (found by itself where srun, Open MPI 4 or a TPU pod starts them):
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


def read_newest(
    checkpoints: Checkpoints,
    fresh: TrainState,
    config: dict[str, Any],
    data: dict[str, Any],
) -> tuple[TrainState, dict[str, Any] | None]:
    """The newest checkpoint's state, and the plateau beside it; otherwise (fresh, None).

    Raises:
      ConfigError: the run was begun with another config or on other data.
      CheckpointError: there are checkpoints, and all are damaged.
    """
    step = checkpoints.latest_step()
    if step is None:
        return fresh, None
    saved = checkpoints.config(step)
    check_same(config, saved["config"], str(checkpoints.workdir))
    if saved["host"]["data"] != data:
        raise ConfigError(
            f"This run was begun on another data set, of {saved['host']['data']['sounds']} sounds; "
            "give it that one as --config.data.path, or begin another --workdir."
        )
    print(f"Going on from step {step}.", flush=True)
    return checkpoints.restore(step, fresh), saved["host"]["plateau"]


def resume(
    checkpoints: Checkpoints | None,
    fresh: TrainState,
    objective: Objective,
    source: Source,
    config: dict[str, Any],
    data: dict[str, Any],
) -> tuple[TrainState, Plateau]:
    """The newest checkpoint's state, or a fresh one with constants fitted to the training set.

    Process 0 reads, and the others take from it what it read. `data` is the source's `fingerprint`.
    """
    found = on_first(read_newest, checkpoints, fresh, config, data)
    state, plateau = found or (fresh, None)
    plateau = share(plateau)
    if plateau is not None:
        return agree(state), Plateau(**plateau)
    starts = list(range(0, len(source.names), 64))
    bar = tqdm(
        starts, "Measuring the training set", unit="chunk", leave=False, disable=not is_first()
    )
    constants = objective.fit((source.audio[i : i + 64], source.category[i : i + 64]) for i in bar)
    state = state._replace(variables={**state.variables, "constants": constants})
    return agree(state), Plateau()


def check_finite(metrics: dict[str, float], step: int, kept: int = 0) -> None:
    """Stop at the first number that is none.

    Args:
      metrics: the numbers.
      step: where they were measured.
      kept: the step of the last checkpoint; 0 if there is none.

    Raises:
      TrainingError: names the terms.
    """
    bad = [name for name, value in metrics.items() if not np.isfinite(value)]
    if bad:
        after = f"the checkpoint of step {kept} is intact" if kept else "nothing was saved yet"
        raise agreed(
            TrainingError(
                f"Step {step}: {', '.join(bad)} is not a finite number. Training stopped; {after}. "
                "Begin another --workdir with a lower --config.train.learning_rate."
            )
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
    first = agree(own)
    return {name: float(first[name]) for name in own}


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
            f"{count - 1} of {count} devices are idle: data.per_category = {sampler.per_category} "
            f"cannot be shared by {count}; a new run with a multiple of {count} uses all."
        )
    print("\n".join([*lines, *sampler.warnings()]), flush=True)


def check_run(config: dict[str, Any], workdir: Path) -> None:
    """Refuse what cannot be trained, or what the processes of a run do not agree on."""
    together(check_config, config)
    check_alike("versions of drumjax or JAX", [drumjax.__version__, jax.__version__])
    check_alike("configs", {**config, "data": {**config["data"], "path": ""}})
    together(check_schedule, config["train"])
    on_first(check_workdir, workdir, config, True)


def compile_update(config: dict[str, Any], objective: Objective, per_category: int) -> Runner:
    """The update of a config, to be run on all devices."""
    t = config["train"]
    rate = learning_rate(t["learning_rate"], t["schedule"], t["steps"], t["warmup"])
    memory = Memory(t["accumulate"], t["remat"])
    build = functools.partial(
        make_update, objective, adam(t["beta1"]), rate, config["seed"], memory=memory
    )
    return parallelise(build, resolve_mode(t["parallel"], per_category, t["accumulate"]))


@contextlib.contextmanager
def open_workdir(workdir: Path, config: dict[str, Any]) -> Iterator[Any]:
    """Take the work directory for this run alone; gives process 0 its checkpoints, others None.

    It may hold the config of another run, if that saved nothing and cannot be at work any more.
    Where an error ends all processes, they wait for the checkpoint that process 0 still writes.
    """
    busy = f"A run is already using {workdir}; wait for it, or choose another --workdir."
    with contextlib.ExitStack() as stack:
        if lock := on_first(hold, workdir / ".lock", busy):
            stack.enter_context(lock)
        on_first(check_workdir, workdir, config, lock is not None)
        if checkpoints := on_first(Checkpoints, workdir):
            stack.enter_context(checkpoints)
        try:
            yield checkpoints
        except Exception as error:
            if is_agreed(error):
                on_first(lambda: checkpoints.wait())
            raise


def train(config: dict[str, Any], workdir: Path) -> TrainState:
    """Run an experiment, or go on with the one that `workdir` holds; returns the last state."""
    check_run(config, workdir)
    t = config["train"]
    source, held_out, sampler = together(load_data, config)
    data = fingerprint(source)
    check_alike("data sets", [data, fingerprint(held_out)])
    objective, mel = together(build_objective, config, source.categories), mel_config(config)
    run = together(compile_update, config, objective, sampler.per_category)
    scores, reconstruct = jax.jit(objective.validate), jax.jit(objective.reconstruct)
    fresh = create_state(objective, adam(t["beta1"]), jax.random.key(config["seed"]))
    sounds = batch_size(config, source.categories)
    told = {**config, "categories": list(source.categories)}

    with open_workdir(workdir, config) as checkpoints:
        announce(sampler, run.mode)
        state, plateau = resume(checkpoints, fresh, objective, source, config, data)
        on_first(claim_workdir, workdir, config)
        start, every = int(state.step), validation_interval(t, sampler.steps_per_epoch)

        def save(state: TrainState, loss: float, count: int) -> TrainState:
            state = calibrate(objective, state, source, count)
            beside = {"data": data, "plateau": plateau._asdict()}
            on_first(lambda: checkpoints.save(to_local(state), told, beside, loss))
            return state

        progress = together(Progress, workdir, start, t["steps"])
        with progress, Interrupt() as interrupt:
            coming = batches(sampler, start, t["steps"], run.put_batch)
            began = time.perf_counter()
            for step, batch in enumerate(coming, start + 1):
                state, metrics = run(state, batch)
                metrics = {k: float(v) for k, v in jax.device_get(metrics).items()}
                kept = max(start, (step - 1) // t["checkpoint_every"] * t["checkpoint_every"])
                check_finite(metrics, step, kept)
                metrics["sounds_per_second"] = sounds / (time.perf_counter() - began)
                last = step == t["steps"]
                progress.step(metrics)
                if step % t["log_every"] == 0 or last:
                    together(progress.log, step, metrics)
                keep = step % t["checkpoint_every"] == 0 or last
                if step % every == 0 or keep:
                    values = validate(objective, scores, state.variables, held_out)
                    check_finite(values, step, kept)
                    together(progress.validated, step, values)
                    if step % every == 0:  # so that no other validation changes the rate
                        plateau, state = follow(plateau, state, values["loss"], t)
                    if keep:
                        state = save(state, values["loss"], t["calibrate_sounds"])
                        own = to_local(state.variables)
                        on_first(write_validation, reconstruct, own, held_out, mel, workdir, step)
                if interrupt.stops():
                    if not keep:  # nor validated, so never the best
                        save(state, float("inf"), min(t["calibrate_sounds"] or FEW, FEW))
                    on_first(lambda: checkpoints.wait())
                    raise Stopped
                began = time.perf_counter()
        on_first(lambda: checkpoints.wait())
    conclude(start, int(state.step), workdir)
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
    except (
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        flags.IllegalFlagValueError,
    ) as error:
        raise flags.Error(say_override(argv, error)) from error


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
        check_devices()
        train(config, workdir)
    except flags.Error as error:
        print(f"drumjax train: {error}", file=sys.stderr)
        return 2
    except (DrumjaxError, OSError) as error:
        said = say_refused(error) if isinstance(error, OSError) else error
        print(f"drumjax train: {said}", file=sys.stderr)
        return leave(1, error)
    except Stopped:
        print("Stopped and saved. The same command goes on from here.", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return leave(130)
    except Exception as error:
        if is_failure(error):
            print(f"drumjax train: {explain(error)}", file=sys.stderr)
        elif jax.distributed.is_initialized():  # else the others wait for a minute
            traceback.print_exc()
        else:
            raise
        return leave(1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
