"""What a machine is and what it could reach: its name, its GEMM rate, a network's arithmetic."""

import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from drumjax.play.meta import grid_sizes

PACKAGES = ("jax", "flax", "torch", "onnxruntime", "librosa")
GEMM = 2048  # rows and columns of the matrix product that the limit is measured with


def describe() -> dict[str, Any]:
    """Processor, cores that this process may use, their load, system, versions of the packages.

    The load is the mean number of running processes in the last minute; None where the system does
    not tell it.
    """
    return {
        "cpu": _processor(),
        "cores": _cores(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _processor() -> str:
    """The processor's model; Linux names it in /proc/cpuinfo."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def matmul() -> Callable[[], Any]:
    """A float32 product of two `GEMM` x `GEMM` matrices in JAX on all threads, compiled."""
    import jax

    rng = np.random.default_rng(0)
    a, b = (jax.numpy.asarray(rng.standard_normal((GEMM, GEMM), np.float32)) for _ in range(2))
    product = jax.jit(lambda a, b: a @ b).lower(a, b).compile()
    return lambda: product(a, b).block_until_ready()


def peak_rate(dtype: str, devices: int) -> float:
    """FLOP/s of matrix products on the first `devices` local devices at once, the best of five.

    Args:
      dtype: of the matrices, "float32" or "bfloat16". Products of float32 are made in whatever
        precision the device takes for them by itself, as those of the networks are.
      devices: how many take part.
    """
    import jax

    size, count = (GEMM, 1) if jax.default_backend() == "cpu" else (4 * GEMM, 16)
    rng = np.random.default_rng(0)
    a = jax.numpy.asarray(rng.standard_normal((size, size), np.float32) / size**0.5, dtype)
    on = {"devices": jax.local_devices()[:devices]}
    products = jax.pmap(lambda a: jax.lax.fori_loop(0, count, lambda _, x: a @ x, a), **on)
    each = jax.pmap(jax.numpy.copy, **on)(jax.numpy.broadcast_to(a, (devices, size, size)))
    jax.block_until_ready(products(each))
    times = []
    for _ in range(5):
        began = time.perf_counter()
        jax.block_until_ready(products(each))
        times.append(time.perf_counter() - began)
    return 2.0 * size**3 * count * devices / min(times)


def gemm_rate(seconds: float) -> float:
    """FLOP/s of a `matmul` that took so long."""
    return 2.0 * GEMM**3 / seconds


def flop_per_sound(meta: Any) -> dict[str, float]:
    """Arithmetic of one sound in FLOP, counted from the shapes of an instrument's networks.

    A multiplication and an addition are two FLOP. A transposed convolution multiplies each input
    position by its whole kernel; what falls off the edges is counted, activations are not.

    Args:
      meta: `Instrument.meta`.

    Returns:
      {"decoder/dense", "decoder/conv", "mcnn", "total"}
    """
    decoder, mcnn, mel = meta["cwae"], meta["mcnn"], meta["mel"]
    sizes = grid_sizes(meta)
    frames = sizes[0][1]
    channels = [*decoder["channels"][::-1], 1]
    flat = int(np.prod(sizes[-1])) * channels[0]
    widths = [decoder["latents"] + len(meta["categories"]), *decoder["hidden"][::-1], flat]
    heads = [mel["n_mels"], *mcnn["channels"]]
    steps = [frames * mcnn["stride"] ** i for i in range(len(mcnn["channels"]))]
    taps = int(np.prod(decoder["kernel"]))
    counts = {
        "decoder/dense": sum(a * b for a, b in pairwise(widths)),
        "decoder/conv": sum(
            h * w * taps * a * b
            for (h, w), (a, b) in zip(sizes[:0:-1], pairwise(channels), strict=True)
        ),
        "mcnn": mcnn["heads"]
        * sum(t * mcnn["width"] * a * b for t, (a, b) in zip(steps, pairwise(heads), strict=True)),
    }
    counts = {name: 2.0 * count for name, count in counts.items()}
    return {**counts, "total": sum(counts.values())}
