"""`drumjax bench --play`: the player against other ways to run the same networks."""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from drumjax.audio.levels import CEILING
from drumjax.benchmarks import griffin_lim, machine, networks, rival_linen
from drumjax.benchmarks.linen_networks import Linen, linen_networks
from drumjax.benchmarks.rival_onnx import onnx_apply
from drumjax.benchmarks.rival_torch import torch_apply
from drumjax.benchmarks.timing import FEWEST, Timing, race
from drumjax.errors import InstrumentError
from drumjax.export.wav import wav_bytes
from drumjax.play.finish import finish
from drumjax.play.instrument import Instrument
from drumjax.play.runtime import Player

BATCHES = (8, 64)
CODES = 64  # different sounds; each call takes the next
TOLERANCE = 1e-4  # of a rival's sound, relative to the linen model's
SECONDS = 10.0  # that a contender may take in one race

Render = Callable[[np.ndarray, np.ndarray], np.ndarray]  # z [b, d], weights [b, k] -> [b, samples]
Say = Callable[[str], None]


class Entry(NamedTuple):
    """A rival: its name, how it is made, and whether it also runs the batches."""

    name: str
    make: Callable[[], Render]
    batches: bool


class Setting(NamedTuple):
    """What is played: codes z [n, d], weights [n, k], and the model's answer to the first one."""

    instrument: Instrument
    player: Player
    z: np.ndarray
    weights: np.ndarray
    mel: np.ndarray  # [1, frames, mels]
    sound: np.ndarray  # [1, samples]
    logits: np.ndarray  # [1, samples]
    raw: np.ndarray  # [1, samples]
    runs: int
    say: Say


class Field(NamedTuple):
    """Who takes part: those that are equal to the model, and why the others do not."""

    ready: dict[str, Render]
    batches: list[str]
    errors: dict[str, float]
    failed: list[dict[str, Any]]
    missing: list[str]


def bench_play(
    instrument: Instrument, runs: int, rivals: Sequence[str], say: Say = print
) -> dict[str, Any]:
    """Race the player and its rivals on one instrument.

    Args:
      instrument: whose networks run.
      runs: timed calls of each contender, fewer for batches and for what takes long.
      rivals: who is invited, of `commands.bench.RIVALS`.
      say: takes a line on what is being done.

    Returns:
      {"instrument", "limit", "rows", "missing", "natural_seconds", "ratios"}, as JSON takes it. A
      row is a contender at one batch size, or one that failed and why; `table.show` prints it.
    """
    instrument = networks.in_float32(instrument)
    linen = linen_networks(instrument)
    z, weights = networks.draw_codes(instrument, CODES)
    answer = rival_linen.reference(linen)(z[:1], weights[:1])
    setting = Setting(instrument, Player(instrument), z, weights, *answer, runs, say)
    field = _line_up(setting, _invited(instrument, linen, rivals))
    rows, limit = _single(setting, field, "griffin-lim" in rivals)
    for b in BATCHES:
        rows += _batch(setting, field, b)
    return {
        "instrument": instrument.meta["name"],
        "limit": limit,
        "rows": [*rows, *field.failed],
        "missing": field.missing,
        "natural_seconds": _natural_seconds(setting),
        "ratios": _ratios(rows, limit),
    }


def _invited(instrument: Instrument, linen: Linen, rivals: Sequence[str]) -> list[Entry]:
    """The rivals; those with threads of their own with one, two, and as many as there are cores."""
    entries = []
    if "linen" in rivals:
        entries += [
            Entry("linen, package's modules", lambda: rival_linen.package_apply(linen), True),
            Entry("linen, plain", lambda: rival_linen.plain_apply(linen, False), True),
            Entry(
                "linen, plain, vmapped heads", lambda: rival_linen.plain_apply(linen, True), False
            ),
        ]
    makers: dict[str, tuple[str, Callable[[int], Render]]] = {
        "torch": ("torch, eager", lambda n: torch_apply(instrument, n)),
        "torch-compile": ("torch, compiled", lambda n: torch_apply(instrument, n, compiled=True)),
        "onnx": ("ONNX Runtime", lambda n: onnx_apply(instrument, n)),
    }
    cores = machine.describe()["cores"]
    for rival, (name, make) in makers.items():
        for n in sorted({1, 2, cores}) if rival in rivals else ():
            batches = n == cores and rival != "torch-compile"  # which would compile for each size
            title = f"{name}, {n} thread{'s' * (n > 1)}"
            entries.append(Entry(title, lambda n=n, make=make: make(n), batches))
    return entries


def _line_up(setting: Setting, entries: Sequence[Entry]) -> Field:
    """The player, and each rival whose first sound is the model's."""
    player = setting.player
    full = functools.partial(player.render, full=True)
    own = {"player, whole second": full, "player, natural length": player.render}
    error = _own_error(setting)
    if not error <= TOLERANCE:
        raise InstrumentError(
            f"The player's sound differs from the model's by {error:.1e}, which is a defect of "
            "drumjax; report it, and run its tests."
        )
    field = Field(dict(own), list(own), {"player, whole second": error}, [], [])
    for entry in entries:
        setting.say(f"preparing: {entry.name}")
        try:
            render = entry.make()
            sound = render(setting.z[:1], setting.weights[:1])
        except ModuleNotFoundError as error:
            _note_missing(field, error)
            continue
        except Exception as error:  # a rival's own failure is a row of the table
            field.failed.append({"contender": entry.name, "failed": _first_line(error)})
            continue
        difference = networks.relative_error(sound, setting.sound, setting.logits)
        if not difference <= TOLERANCE:  # also when it is not a number
            why = f"not timed: its sound differs from the model's by {difference:.1e}"
            field.failed.append({"contender": entry.name, "failed": why})
            continue
        field.ready[entry.name] = render
        field.errors[entry.name] = difference
        if entry.batches:
            field.batches.append(entry.name)
    return field


def _own_error(setting: Setting) -> float:
    """How far the player's whole second is from the model's raw sound, finished the same way."""
    plan = setting.player.plan
    raw, logits = (jnp.asarray(x) for x in (setting.raw, setting.logits))
    expected = np.asarray(finish(plan, raw, logits, jnp.full(1, plan.frames)))
    made = setting.player.render(setting.z[:1], setting.weights[:1], full=True)
    return float(np.linalg.norm(made - expected) / max(np.linalg.norm(expected), 1e-12))


def _note_missing(field: Field, error: ModuleNotFoundError) -> None:
    if error.name not in field.missing:
        field.missing.append(str(error.name))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:100]


def to_wav(sounds: np.ndarray, sample_rate: int) -> list[bytes]:
    """Sounds [b, samples], brought below -0.1 dBFS where they are above, as 16-bit WAV bytes."""
    peaks = np.maximum(np.abs(sounds).max(axis=1, keepdims=True), CEILING)
    return [wav_bytes(x, sample_rate) for x in sounds * (CEILING / peaks)]


def _calls(setting: Setting, render: Render, batch: int) -> Callable[[], Any]:
    """A call that renders the next `batch` codes to WAV bytes."""
    starts = itertools.cycle(range(0, CODES - batch + 1, batch))

    def call() -> list[bytes]:
        part = slice(at := next(starts), at + batch)
        return to_wav(render(setting.z[part], setting.weights[part]), setting.player.sample_rate)

    return call


def _single(
    setting: Setting, field: Field, inversions: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows for one sound at a time, and the arithmetic limit measured in the same race."""
    player, meta = setting.player, setting.instrument.meta
    setting.say("compiling the player")
    player.warm_up()
    calls = {name: _calls(setting, render, 1) for name, render in field.ready.items()}
    calls["player, mel alone"] = lambda: player.decode(setting.z[0], setting.weights[0])
    mel = player.decode(setting.z[:1], setting.weights[:1])
    difference = np.linalg.norm(mel - setting.mel) / np.linalg.norm(setting.mel)
    field.errors["player, mel alone"] = float(difference)
    if inversions:
        try:
            calls |= griffin_lim.inversions(setting.mel[0], setting.instrument.mel)
        except ModuleNotFoundError as error:
            _note_missing(field, error)
    calls["matmul"] = machine.matmul()
    setting.say(f"one sound: {len(calls) - 1} contenders, {setting.runs} runs")
    timings = race(calls, setting.runs, SECONDS)
    gflop_s = machine.gemm_rate(timings.pop("matmul").p50) / 1e9
    counts = {k: v / 1e9 for k, v in machine.flop_per_sound(meta).items()}
    limit = {"gflop": counts, "gflop_per_second": gflop_s, "ms": counts["total"] / gflop_s * 1e3}
    return [_row(name, t, 1, field.errors.get(name)) for name, t in timings.items()], limit


def _batch(setting: Setting, field: Field, batch: int) -> list[dict[str, Any]]:
    """Rows for batches of one size; each rival's first sound is held to the model's again."""
    setting.say(f"batches of {batch}: {len(field.batches)} contenders")
    calls, errors = {}, {}
    for name in field.batches:
        first = field.ready[name](setting.z[:batch], setting.weights[:batch])[:1]
        if name in field.errors and not name.startswith("player"):
            errors[name] = networks.relative_error(first, setting.sound, setting.logits)
        calls[name] = _calls(setting, field.ready[name], batch)
    timings = race(calls, max(FEWEST, setting.runs // batch), SECONDS)
    return [_row(name, t, batch, errors.get(name)) for name, t in timings.items()]


def _row(name: str, timing: Timing, batch: int, error: float | None) -> dict[str, Any]:
    return {
        "contender": name,
        "batch": batch,
        "p50_ms": timing.p50 * 1e3,
        "p99_ms": timing.p99 * 1e3,
        "best_ms": timing.best * 1e3,
        "runs": timing.n,
        "sounds_per_second": batch / timing.p50,
        "error": error,
    }


def _natural_seconds(setting: Setting) -> float:
    """Mean time until the last sample that is not zero, over the codes."""
    audible = setting.player.render(setting.z, setting.weights) != 0
    samples = audible.shape[1]
    ends = np.where(audible.any(1), samples - np.argmax(audible[:, ::-1], axis=1), 0)
    return float(ends.mean() / setting.player.sample_rate)


def _ratios(rows: Sequence[Mapping[str, Any]], limit: Mapping[str, Any]) -> dict[str, float]:
    """The player's whole second as a multiple of the limit and of each kind of rival's best."""
    single = {r["contender"]: r["p50_ms"] for r in rows if r["batch"] == 1}
    kinds = ("linen, package", "linen, plain", "torch", "ONNX Runtime")
    times = {k: [ms for name, ms in single.items() if name.startswith(k)] for k in kinds}
    best = {"the limit": limit["ms"], **{k: min(ms) for k, ms in times.items() if ms}}
    return {kind: single["player, whole second"] / ms for kind, ms in best.items()}
