"""Pictures of sounds: what a validation reconstructs, and a contact sheet of what was generated."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from drumjax.audio.files import write_audio
from drumjax.audio.griffin_lim import griffin_lim
from drumjax.audio.levels import CEILING
from drumjax.audio.mel import MelConfig, mel_spectrogram
from drumjax.data.source import Source
from drumjax.training.sweep import first_of_each

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from drumjax.models.objective import Variables


def to_ceiling(sound: np.ndarray) -> np.ndarray:
    """Scale a sound [samples] to a peak of -0.1 dBFS; silence stays silence."""
    peak = np.max(np.abs(sound))
    return (sound * (CEILING / peak)).astype(np.float32) if peak > 0 else sound


def write_validation(
    reconstruct: Callable[..., dict[str, jax.Array]],
    variables: "Variables",
    held_out: Source,
    mel: MelConfig,
    workdir: Path,
    step: int,
) -> None:
    """Reconstruct one held-out sound of each category: a picture and WAVs in workdir/validation.

    `reconstruct` is an objective's, compiled. A model that makes no sound of its own is heard
    through Griffin-Lim.
    """
    from drumjax.models.objective import to_float  # brings flax, which a contact sheet needs not

    rows = first_of_each(held_out, 1)
    audio, category = held_out.audio[rows], held_out.category[rows]
    made = reconstruct(variables, audio, category)
    sound = made["audio"] if "audio" in made else griffin_lim(made["mel"], mel)
    originals, sounds = np.asarray(to_float(audio)), np.asarray(sound)
    names = [held_out.categories[c] for c in category]

    folder = workdir / "validation"
    folder.mkdir(exist_ok=True)
    true_mel = np.asarray(mel_spectrogram(jax.numpy.asarray(originals), mel))
    path = folder / f"step_{step:06d}.png"
    draw_pairs(path, names, (true_mel, np.asarray(made["mel"])), (originals, sounds), mel)
    for name, original, copy in zip(names, originals, sounds, strict=True):
        for kind, x in (("original", original), ("reconstruction", copy)):
            write_audio(folder / f"{name}_{kind}.wav", to_ceiling(x), mel.sample_rate)


def draw_pairs(
    path: Path,
    names: Sequence[str],
    mels: tuple[np.ndarray, np.ndarray],
    sounds: tuple[np.ndarray, np.ndarray],
    mel: MelConfig,
) -> None:
    """Draw originals above reconstructions, one column a sound: log-mel, then waveform."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.9 * len(names), 7.2), layout="constrained")
    grid = figure.subplots(4, len(names), squeeze=False)
    labels = ("original", "reconstruction", "original", "reconstruction")
    for column, name in enumerate(names):
        top = mels[0][column].max()
        for row in (0, 1):
            _draw_mel(grid[row, column], mels[row][column], top, mel)
            _draw_wave(grid[row + 2, column], sounds[row][column], mel.sample_rate)
        grid[0, column].set_title(name, fontsize=10)
    for row, label in enumerate(labels):
        grid[row, 0].set_ylabel(label, fontsize=9)
    figure.savefig(path, dpi=80)


def draw_contact_sheet(
    path: Path, sounds: dict[str, np.ndarray], mel: MelConfig, columns: int = 8
) -> None:
    """Draw up to `columns` sounds [count, samples] of each category: log-mel under waveform."""
    from matplotlib.figure import Figure

    columns = min(columns, max(len(s) for s in sounds.values()))
    figure = Figure(figsize=(1.7 * columns + 0.8, 1.7 * len(sounds)), layout="constrained")
    ratios = [ratio for _ in sounds for ratio in (1, 2)]
    grid = figure.subplots(2 * len(sounds), columns, squeeze=False, height_ratios=ratios)
    for row, (name, takes) in enumerate(sounds.items()):
        for column, sound in enumerate(takes[:columns]):
            wave, picture = grid[2 * row, column], grid[2 * row + 1, column]
            _draw_wave(wave, sound, mel.sample_rate)
            values = np.asarray(mel_spectrogram(jax.numpy.asarray(sound), mel))
            _draw_mel(picture, values, values.max(), mel)
        for column in range(len(takes), columns):
            grid[2 * row, column].axis("off")
            grid[2 * row + 1, column].axis("off")
        grid[2 * row + 1, 0].set_ylabel(name, fontsize=10)
    figure.savefig(path, dpi=80)


def _draw_mel(axes: "Axes", values: np.ndarray, top: float, mel: MelConfig) -> None:
    """80 dB below `top`, time to the right and frequency upwards."""
    decibels = 20 * np.log10(np.maximum(values, 1e-8) / max(top, 1e-8))
    seconds = mel.num_samples / mel.sample_rate
    extent = (0.0, seconds, 0.0, float(mel.n_mels))
    axes.imshow(
        decibels.T, origin="lower", aspect="auto", vmin=-80, vmax=0, cmap="magma", extent=extent
    )
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_wave(axes: "Axes", sound: np.ndarray, sample_rate: int) -> None:
    """The outline of the waveform, full scale at the frame's edges."""
    blocks = np.array_split(sound, 220)
    low, high = [b.min() for b in blocks], [b.max() for b in blocks]
    seconds = np.linspace(0, len(sound) / sample_rate, len(blocks))
    axes.fill_between(seconds, low, high, linewidth=0.6, edgecolor="C0")
    axes.set_ylim(-1.02, 1.02)
    axes.set_xlim(0, seconds[-1])
    axes.set_xticks([])
    axes.set_yticks([])
