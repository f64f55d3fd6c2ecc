"""Small networks learn procedural drums: minutes, so only with -m slow."""

import jax
import numpy as np
import pytest
from test_train import call, rows

from drumjax import train
from drumjax.audio.mel import MelConfig, mel_spectrogram
from drumjax.data.source import Source
from drumjax.models.objective import to_float
from drumjax.synth.dataset import render_set

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning"),
]
BANDS = 128
KINDS = ("kick", "snare", "closed_hat")


def procedural(count, seed):
    """`count` rendered sounds of each kind, as the data set would hold them."""
    sounds = np.concatenate([render_set(kind, count, seed)[0] for kind in KINDS])
    peaks = np.abs(sounds).max(axis=1, keepdims=True)
    audio = np.round(sounds / peaks * 32767).astype(np.int16)
    category = np.repeat(np.arange(len(KINDS), dtype=np.int32), count)
    n = len(audio)
    names = tuple(map(str, range(n)))
    length = np.full(n, audio.shape[1], np.int32)
    return Source(audio, category, length, names, ("procedural",) * n, KINDS, 22050)


@pytest.fixture(autouse=True, scope="module")
def optimise():
    """Compile as a user's run does."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="module")
def splits():
    return {"train": procedural(128, 0), "validation": procedural(8, 1)}


def learn(monkeypatch, splits, workdir, model, **settings):
    """Validation rows of a run with the given fields."""
    monkeypatch.setattr(train, "load_source", lambda path, split: splits[split])
    config = f"{__file__.rpartition('/')[0]}/../configs/{model}.py:tiny"
    common = {"mel.n_mels": BANDS, "train.parallel": "none", "train.warmup": 5}
    fields = {**common, **settings}
    options = [f"--config.{k}={v}" for k, v in fields.items()]
    assert call(f"--config={config}", f"--workdir={workdir}", *options) == 0
    return rows(workdir, "validation")


def mean_mel_convergence(splits):
    """Spectral convergence of a guess that knows the category alone: its mean mel."""
    mel = MelConfig(n_mels=BANDS)
    analyse = jax.jit(lambda audio: mel_spectrogram(to_float(audio), mel))
    known, heard = (np.asarray(analyse(splits[k].audio)) for k in ("train", "validation"))
    ratios = []
    for target, category in zip(heard, splits["validation"].category, strict=True):
        guess = known[splits["train"].category == category].mean(axis=0)
        ratios.append(np.linalg.norm(target - guess) / np.linalg.norm(target))
    return np.mean(ratios)


def test_cwae_learns(monkeypatch, splits, tmp_path):
    """Its codes tell more of a sound that it never heard than the sound's category does."""
    settings = {
        "data.per_category": 8,
        "train.steps": 300,
        "train.validate_every": 100,
        "train.checkpoint_every": 300,
    }
    found = learn(monkeypatch, splits, tmp_path / "run", "cwae", **settings)
    assert found[-1]["sc"] < 0.95 * mean_mel_convergence(splits)


def test_frame_wae_learns(monkeypatch, splits, tmp_path):
    """As the CWAE; without the shortcut, which knows these sounds before the first step."""
    settings = {"frame_wae.shortcut": False, "train.steps": 100}
    settings |= {"train.validate_every": 100, "train.checkpoint_every": 100}
    found = learn(monkeypatch, splits, tmp_path / "run", "frame_wae", **settings)
    assert found[-1]["sc"] < 0.9 * mean_mel_convergence(splits)


def test_mcnn_learns(monkeypatch, splits, tmp_path):
    """Silence scores 1."""
    settings = {"mcnn.heads": 2, "mcnn.channels": "(16, 16, 8, 8, 8, 4, 2, 2)"}
    settings |= {"train.steps": 100, "train.validate_every": 20, "train.checkpoint_every": 100}
    found = learn(monkeypatch, splits, tmp_path / "run", "mcnn", **settings)
    assert found[-1]["sc"] < 0.8
