"""What each choice of the paper is for: one change a run, judged on held-out sounds, one table."""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.audio.envelope import activity_mask
from drumjax.audio.mel import MelConfig, log_mel, mel_spectrogram
from drumjax.audio.spectral_losses import log_mel_loss, mask_bce, spectral_convergence
from drumjax.data.source import Source
from drumjax.errors import ConfigError
from drumjax.evals.checkerboard import TONAL, checkerboard, tail
from drumjax.evals.latent import mmd_to_prior
from drumjax.evals.statistics import bootstrap_mean
from drumjax.models import cwae, frame_wae, mcnn
from drumjax.models.objective import Variables, to_float
from drumjax.nn.gaussian_posterior import sample_posterior
from drumjax.training.sweep import sweep

_FLOOR = 1e-3  # of mels, before the log of the error that WAEs are compared by
LATER = 64  # samples after a sound's end, from where on a tail is a tail


class Row(NamedTuple):
    """One run of the table."""

    model: str  # "cwae", "frame_wae" or "mcnn"
    name: str
    changes: str  # variants that are joined to the base's by "+"
    words: str  # what it changes
    trained_as: str = ""  # the row whose training it shares, where only generation differs


ROWS = (
    Row("cwae", "base", "", "as the paper: MMD a category, each element standardised, balanced"),
    Row("cwae", "no_mmd", "no_mmd", "no MMD"),
    Row("cwae", "global_mmd", "global_mmd", "one MMD for all categories together"),
    Row("cwae", "recon_sum", "recon_sum", "errors summed over the batch, not their mean"),
    Row("cwae", "no_standardisation", "no_standardisation", "one mean and deviation for all"),
    Row("cwae", "no_layering", "no_layering", "balanced, no layering: to compare the next with"),
    Row(
        "cwae", "random_sampler", "no_layering+random_sampler", "categories by chance, no layering"
    ),
    Row("cwae", "vae", "vae", "a variational auto-encoder in place of the Wasserstein one"),
    Row("frame_wae", "base", "", "the frame WAE: 128 latents, cube root, shortcut, augmentation"),
    Row("frame_wae", "latents64", "latents64", "64 latents, as the paper"),
    Row("frame_wae", "no_shortcut", "no_shortcut", "no principal components beside the networks"),
    Row("frame_wae", "square_root", "square_root", "mels compressed by a square root"),
    Row("frame_wae", "log_like", "log_like", "mels compressed to their 0.1th power, like a log"),
    Row("frame_wae", "no_augmentation", "no_augmentation", "no augmentation"),
    Row("frame_wae", "no_noise", "no_noise", "no noise on the codes"),
    Row("mcnn", "base", "", "as the paper: k = 13, transposed, mask binarised, no phase losses"),
    Row("mcnn", "soft_mask", "soft_mask", "the same network, its mask left soft", "base"),
    Row("mcnn", "no_mask", "no_mask", "no mask in loss nor generation"),
    Row("mcnn", "phase", "phase", "with instantaneous frequency and weighted phase"),
    Row("mcnn", "k12", "k12", "k = 12"),
    Row("mcnn", "k14", "k14", "k = 14"),
    Row("mcnn", "hann", "hann", "Hann-windowed kernels"),
    Row("mcnn", "linear", "linear", "linear upsampling + convolution"),
    Row("mcnn", "nearest", "nearest", "repeated samples + convolution"),
)


def find_row(model: str, name: str) -> Row:
    """The row of that name.

    Raises:
      ConfigError: there is none.
    """
    for row in ROWS:
        if (row.model, row.name) == (model, name):
            return row
    known = ", ".join(f"{row.model} {row.name}" for row in ROWS)
    raise ConfigError(f"There is no ablation {model} {name}; choose one of {known}.")


def variant(row: Row, base: str) -> str:
    """What follows the config's name and colon: "small", "small+no_mmd"."""
    return f"{base}+{row.changes}" if row.changes else base


def measure_wae(
    config: cwae.CwaeConfig | frame_wae.FrameWaeConfig,
    variables: Variables,
    source: Source,
    log: Path,
) -> dict[str, Any]:
    """Judge a CWAE or a frame WAE on held-out sounds.

    Args:
      config, variables: of the trained model.
      source: the held-out sounds.
      log: its run's metrics.jsonl, with every step in it.

    Returns:
      "mse": mean squared error of log(mel + 1e-3) in nepers^2, whatever the scaling, and "sc" (NDM
      eq. 11), each [mean, low, high]; "mmd2", "null_q95": means over the categories of two sounds
      or more, "mmd_ratio": the median of their ratios; "steadiness": see there.
    """
    of_one = _cwae_values if isinstance(config, cwae.CwaeConfig) else _frame_values
    values = sweep(jax.jit(functools.partial(of_one, config, variables)), source)
    z = values["z"]
    if "log_variance" in values:  # what the prior is matched with is the draws, not their means
        noise = np.random.default_rng(0).standard_normal(z.shape).astype(np.float32)
        z = np.asarray(sample_posterior(*map(jnp.asarray, (z, values["log_variance"], noise))))
    owns = [z[source.category == i] for i in range(len(source.categories))]
    rows = [mmd_to_prior(own) for own in owns if len(own) > 1]
    return {
        **{k: _interval(values[k], source) for k in ("mse", "sc")},
        "mmd2": float(np.mean([row["mmd2"] for row in rows])),
        "null_q95": float(np.mean([row["null_q95"] for row in rows])),
        "mmd_ratio": float(np.median([row["ratio"] for row in rows])),
        "steadiness": steadiness(log),
    }


def _cwae_values(
    config: cwae.CwaeConfig, variables: Variables, audio: jax.Array, category: jax.Array
) -> dict[str, jax.Array]:
    """Errors [b] and codes [b, d] of sounds [b, samples]."""
    z = cwae.encode(config, variables, audio, category)
    made = cwae.decode(config, variables, z, cwae.one_hot(config, category))
    values = {**_mel_errors(config.mel, audio, made), "z": z}
    if config.divergence == "kl":
        _, values["log_variance"] = cwae.posterior(config, variables, audio, category)
    return values


def _frame_values(
    config: frame_wae.FrameWaeConfig, variables: Variables, audio: jax.Array, category: jax.Array
) -> dict[str, jax.Array]:
    """Errors [b] and codes [b, d] of sounds [b, samples]."""
    z = frame_wae.encode(config, variables, audio, category)
    weights = jax.nn.one_hot(category, len(config.categories))
    made = frame_wae.decode(config, variables, z, weights)
    return {**_mel_errors(config.mel, audio, made), "z": z}


def _mel_errors(mel: MelConfig, audio: jax.Array, made: jax.Array) -> dict[str, jax.Array]:
    """Of linear mels [b, frames, mels] against those of sounds [b, samples]: [b] each."""
    target = mel_spectrogram(to_float(audio), mel)
    error = log_mel(target, _FLOOR) - log_mel(made, _FLOOR)
    sc = spectral_convergence(target, made)
    return {"mse": (error**2).mean((-2, -1)), "sc": sc}


def steadiness(log: Path) -> float:
    """Standard deviation from step to step of D_Z over the last third of training.

    Args:
      log: metrics.jsonl of a run that logged every step's "mmd".
    """
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    steps = [(row["step"], row["mmd"]) for row in rows if row["split"] == "train"]
    late = [value for step, value in steps if step > steps[-1][0] * 2 / 3]
    return float(np.std(late))


def measure_mcnn(config: mcnn.McnnConfig, variables: Variables, source: Source) -> dict[str, Any]:
    """Judge an MCNN on the true mels of held-out sounds, as it generates.

    Returns:
      "sc" and "sc_log" (NDM eq. 11, 12), "mask": eq. 9 in nats, "overlap": of the mask above one
      half with the true one (intersection over union), both None without a mask; "checkerboard":
      prominence in dB above that of the originals, of the tonal sounds; each [mean, low, high];
      "zeros": share of the sounds that are exactly 0 from 64 samples after their end, of those that
      do not fill the clip, "tail_dbfs": the median RMS of the others there; None if there are none.
    """
    values = sweep(jax.jit(functools.partial(_mcnn_values, config, variables)), source)
    tonal = np.isin(np.array(source.categories)[source.category], TONAL)
    original = source.audio[tonal] / 32767.0
    lines, own = (
        checkerboard(x, source.length[tonal], source.sample_rate)
        for x in (values["sound"][tonal], original)
    )
    ends = source.length + LATER
    over = ends < source.audio.shape[1]  # nothing comes after the others
    after = tail(values["sound"][over], ends[over])
    rest = after["tail_dbfs"][~after["exact_zero"]]
    masked = config.mask != "off"
    return {
        **{k: _interval(values[k], source) for k in ("sc", "sc_log")},
        **{k: _interval(values[k], source) if masked else None for k in ("mask", "overlap")},
        "checkerboard": _interval(lines - own, source, tonal),
        "zeros": float(np.mean(after["exact_zero"])) if over.any() else None,
        "tail_dbfs": float(np.median(rest)) if len(rest) else None,
    }


def _mcnn_values(
    config: mcnn.McnnConfig, variables: Variables, audio: jax.Array, category: jax.Array
) -> dict[str, jax.Array]:
    """Errors [b] and generated sounds [b, samples] of sounds [b, samples]."""
    del category
    audio = to_float(audio)
    target = mel_spectrogram(audio, config.mel)
    raw, logits = mcnn.forward(config, variables["params"]["mcnn"], target)
    sound = mcnn.finish(config, raw, logits)
    made = mel_spectrogram(sound, config.mel)
    mask = activity_mask(audio)
    both, either = ((logits > 0) & (mask > 0)).sum(-1), ((logits > 0) | (mask > 0)).sum(-1)
    return {
        "sound": sound,
        "sc": spectral_convergence(target, made),
        "sc_log": log_mel_loss(target, made, config.log_floor),
        "mask": mask_bce(mask, logits),
        "overlap": both / either,
    }


def _interval(
    values: np.ndarray, source: Source, chosen: np.ndarray | slice = slice(None)
) -> list[float]:
    """Mean, low and high end of the 95 % interval; kits are resampled, not sounds."""
    found = bootstrap_mean(values, np.array(source.kits)[chosen])
    return [float(found.mean), float(found.low), float(found.high)]


def as_markdown(results: Mapping[tuple[str, str], Mapping[str, Any]], rows: Sequence[Row]) -> str:
    """One table a model, for people: the rows that have been measured, in their order.

    Args:
      results: (model, name) -> what `measure_wae` or `measure_mcnn` found, with "steps", "sounds"
        and "kits" besides.
      rows: all of them; a row without a result is left out.
    """
    parts = [_table(m, [r for r in rows if r.model == m], results) for m in HEADS]
    return "\n\n".join(part for part in parts if part)


_WAE_HEAD = (
    "| | log-mel MSE, nepers² | mel SC | MMD², mean | its null's q95 | ratio, median "
    "| sd of D_Z, last third |"
)
HEADS = {
    "cwae": _WAE_HEAD,
    "frame_wae": _WAE_HEAD,
    "mcnn": "| | mel SC | SC_log | mask, nats | mask IoU | checkerboard, dB over originals "
    "| after the end |",
}

TITLES = {"cwae": "CWAE", "frame_wae": "Frame WAE", "mcnn": "MCNN"}


def _table(
    model: str, rows: Sequence[Row], results: Mapping[tuple[str, str], Mapping[str, Any]]
) -> str:
    done = [(row, results[model, row.name]) for row in rows if (model, row.name) in results]
    if not done:
        return ""
    steps, sounds, kits = (done[0][1][k] for k in ("steps", "sounds", "kits"))
    head = f"{TITLES[model]}, {steps} steps each; {sounds} held-out sounds of {kits} kits; 95 % "
    cells = _mcnn_cells if model == "mcnn" else _wae_cells
    lines = [f"| {row.words} | {' | '.join(cells(found))} |" for row, found in done]
    ruler = "|" + "---|" * (HEADS[model].count("|") - 1)
    head += "intervals over kits. One run each: what another seed would change is not told."
    return "\n".join([head, "", HEADS[model], ruler, *lines])


def _wae_cells(found: Mapping[str, Any]) -> list[str]:
    plain = [f"{found[k]:.4f}" for k in ("mmd2", "null_q95")]
    ratio = f"{found['mmd_ratio']:.1f}"
    return [_cell(found["mse"]), _cell(found["sc"]), *plain, ratio, f"{found['steadiness']:.4f}"]


def _mcnn_cells(found: Mapping[str, Any]) -> list[str]:
    zeros, after = found["zeros"], "–"
    if zeros is not None:
        after = "exact zeros" if zeros == 1 else f"{found['tail_dbfs']:.0f} dBFS"
        if 0 < zeros < 1:
            after = f"{100 * zeros:.0f} % exact zeros, else {after}"
    errors = [_cell(found[k]) for k in ("sc", "sc_log", "mask", "overlap")]
    return [*errors, _cell(found["checkerboard"], 1), after]


def _cell(interval: Sequence[float] | None, digits: int = 3) -> str:
    """ "0.512 [0.480, 0.551]"; a dash where there is nothing."""
    if interval is None or not np.isfinite(interval[0]):
        return "–"
    mean, low, high = (f"{x:.{digits}f}" for x in interval)
    return f"{mean} [{low}, {high}]" if np.isfinite(interval[1]) else mean
