"""A run of several processes: how they meet, agree, write once, and what is said of a lost one.

Each process (one a host, or one a GPU) runs the same command. It reads its own share of every
batch; all of them hold the same state and take the same decisions; process 0 writes.
"""

import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from drumjax.errors import ConfigError, DrumjaxError, TrainingError

FLAGS = ("coordinator", "process_count", "process_id")
VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
AGREED = "told to all processes"  # a note on an error
PATIENCE = 300  # seconds to wait for the other processes at the start
HEARTBEAT = 60  # seconds without a sign of life until a process counts as lost
E = TypeVar("E", bound=Exception)


def initialise(
    coordinator: str | None = None, process_count: int | None = None, process_id: int | None = None
) -> None:
    """Join the run's other processes, if it has any; nothing in JAX may have been computed before.

    What is not given is taken from the environment (`VARIABLES`). Where nothing is said there
    either, JAX finds the others by itself if srun, Open MPI 4 or a TPU host started this process.
    A process takes all devices of its machine that it sees; but where it was found by itself that
    srun or Open MPI started several there, each takes the GPU of its number.

    Args:
      coordinator: HOST:PORT of process 0, the same for all.
      process_count: how many processes there are; 1 keeps this one alone wherever it runs.
      process_id: which of them this is, from 0.

    Raises:
      ConfigError: the settings contradict each other, or the others did not come.
    """
    pairs = zip(VARIABLES, (coordinator, process_count, process_id), strict=True)
    said: list[Any] = [os.environ.get(k) or None if v is None else v for k, v in pairs]
    if said == [None] * 3 and not is_cluster(os.environ):
        return
    given = {} if said == [None] * 3 else check_settings(*said)
    if given.get("num_processes") == 1:
        return
    try:
        jax.distributed.initialize(
            **(given or {"local_device_ids": own_gpus(os.environ)}),
            cluster_detection_method="deactivate" if given else None,
            initialization_timeout=PATIENCE,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=HEARTBEAT,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise ConfigError(
            f"The processes of this run did not find each other ({_reason(error)}); start all of "
            "them with the same --coordinator=HOST:PORT and --process_count, each with its own "
            "--process_id, or this one alone with --process_count=1."
        ) from error


def check_devices() -> None:
    """Refuse to go on where JAX cannot use the devices that it was told to use.

    Raises:
      ConfigError: says how to train on the CPU.
    """
    try:
        jax.devices()
    except RuntimeError as error:
        raise ConfigError(
            f"JAX cannot use its devices ({_reason(error)}); see launch/README.md, or train on the "
            "CPU with JAX_PLATFORMS=cpu."
        ) from error


def check_settings(address: str | None, count: Any, index: Any) -> dict[str, Any]:
    """What `jax.distributed.initialize` is to be told.

    Raises:
      ConfigError: a setting is missing, no number, or impossible beside the others.
    """
    count, index = _whole("process_count", count), _whole("process_id", index)
    if count == 1 and index is None:
        index = 0
    if count is None or index is None or (address is None and count > 1):
        raise ConfigError(
            "A run of several processes needs all of --coordinator=HOST:PORT, --process_count and "
            "--process_id."
        )
    if not 0 <= index < count:
        raise ConfigError(
            f"There is no process {index} of {count}: --process_id counts from 0 and lies below "
            "--process_count."
        )
    host, _, port = (address or "localhost:1").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"--coordinator must be HOST:PORT, such as 10.0.0.1:8476, not {address}.")
    return {"coordinator_address": address, "num_processes": count, "process_id": index}


def is_cluster(environment: Mapping[str, str]) -> bool:
    """Whether srun or Open MPI started this process beside others, or it runs on a TPU host.

    An sbatch script's own shell is no such process: it holds SLURM_NTASKS, but the others never
    start.
    """
    for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "MEGASCALE_NUM_SLICES"):
        if environment.get(name, "1") not in ("", "1"):
            return True
    for name in ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES"):
        if name in environment:
            return "," in environment[name]
    if "TPU_SKIP_MDS_QUERY" in environment:  # a TPU whose service knows of no others
        return False
    chips = [*Path("/dev").glob("accel[0-9]*"), *Path("/dev").glob("vfio/[0-9]*")]
    return bool(chips) and importlib.util.find_spec("libtpu") is not None


def own_gpus(environment: Mapping[str, str]) -> list[int] | None:
    """All GPUs that SLURM gives a process that it started alone on its machine.

    JAX would take the one of the process's number there, which is right for one process a GPU.
    """
    alone = re.fullmatch(r"1(\(x\d+\))?", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    gpus = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return list(range(len(gpus))) if alone and len(gpus) > 1 else None


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return jax.process_index() == 0


def agree(tree: Any) -> Any:
    """Process 0's tree of arrays, on all processes: what each measured by itself may differ.

    Bit for bit: as bytes, because it is a sum with zeros that brings them.
    """
    if jax.process_count() == 1:
        return tree
    own = jax.tree.map(np.asarray, tree)
    sent = multihost_utils.broadcast_one_to_all(
        jax.tree.map(lambda x: np.ascontiguousarray(x).reshape(-1).view(np.uint8), own)
    )
    return jax.tree.map(lambda b, x: np.asarray(b).view(x.dtype).reshape(x.shape), sent, own)


def any_process(flag: bool) -> bool:
    """Whether any process says so; all of them get the answer at the same call."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def together(function: Callable[..., Any], *args: Any) -> Any:
    """Run function(*args) on every process; where one of them refuses, all of them stop.

    Raises:
      DrumjaxError, OSError: this process's own, or a TrainingError that points to another's.
    """
    error, result = None, None
    try:
        result = function(*args)
    except (DrumjaxError, OSError) as own:
        error = own
    if any_process(error is not None):
        points = TrainingError("Another process cannot go on; what it said tells why.")
        raise agreed(error or points)
    return result


def on_first(function: Callable[..., Any], *args: Any) -> Any:
    """Run function(*args) on process 0 alone; where it refuses, all of them stop.

    Returns:
      What it returned, on process 0; None on the others.

    Raises:
      DrumjaxError, OSError: as `together`.
    """
    return together(function, *args) if is_first() else together(lambda: None)


def share(value: Any) -> Any:
    """Process 0's value, of JSON's kinds, on all processes."""
    if jax.process_count() == 1:
        return value
    own = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(agree(np.int32(own.size)))
    text = own if is_first() else np.zeros(size, np.uint8)
    return json.loads(np.asarray(agree(text)).tobytes())


def check_alike(what: str, value: Any) -> None:
    """Refuse processes that were given different values, which must be of JSON's kinds.

    Args:
      what: how to name it: "configs", "data sets".
      value: this process's.

    Raises:
      TrainingError: on every process.
    """
    if jax.process_count() == 1:
        return
    own = json.loads(json.dumps(value))
    if any_process(share(value) != own):
        raise agreed(
            TrainingError(f"The processes have different {what}; give all of them the same.")
        )


def whole_mesh(axis: str) -> Mesh:
    """All devices of all processes in one row, the processes one after the other."""
    order = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    return Mesh(np.array(order), (axis,))


def to_local(tree: Any) -> Any:
    """Replicated arrays as this process's first device holds them; nothing is copied."""

    def convert(x: Any) -> Any:
        return x.addressable_data(0) if isinstance(x, jax.Array) else x

    return jax.tree.map(convert, tree)


def agreed(error: E) -> E:
    """Note that all processes raise an error at this point: none of them is left behind waiting."""
    error.add_note(AGREED)
    return error


def is_agreed(error: BaseException | None) -> bool:
    """Whether all processes raise this error."""
    return AGREED in getattr(error, "__notes__", ())


def is_failure(error: Exception) -> bool:
    """Whether an error came from a device or from the connection of the processes."""
    connection = isinstance(error, ValueError) and "Gloo" in str(error)
    return connection or isinstance(error, jax.errors.JaxRuntimeError)


def explain(error: Exception) -> str:
    """One sentence about an error of a device or of the processes' connection."""
    if "RESOURCE_EXHAUSTED" in str(error):
        return (
            "The device's memory does not hold a batch; give --config.train.accumulate=4, "
            f"--config.train.remat=True, or both ({_reason(error)})."
        )
    if jax.process_count() > 1:
        return (
            f"Process {jax.process_index()} lost another one ({_reason(error)}); see what that one "
            "said, then start all of them again with the same commands: they go on from the last "
            "checkpoint."
        )
    return f"The device failed: {_reason(error)}."


def leave(status: int, error: BaseException | None = None) -> int:
    """End a process of several at once: the others, one of whom is lost, are not waited for.

    Without this JAX would first wait `HEARTBEAT` seconds for all of them to come to their end.

    Returns:
      `status`, if this is the only process, or all of them end because of this `agreed` error.
    """
    if jax.distributed.is_initialized() and not is_agreed(error):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _whole(flag: str, value: Any) -> int | None:
    """A whole number given as a flag or in the environment."""
    if value is None or isinstance(value, int):
        return value
    if not str(value).isdecimal():
        raise ConfigError(f"--{flag} must be a whole number, not {value}.")
    return int(value)


def _reason(error: Exception) -> str:
    """The first line of a message, without its full stop."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line[:200].rstrip(".: ")
