"""Noise bursts as sound files, and `prepare` run on them, for tests."""

import json

import numpy as np
import soundfile

from drumjax.commands.prepare import main
from drumjax.data.source import load_source

RATE = 22050


def burst(seed, seconds=0.2, rate=RATE):
    n = round(seconds * rate)
    return np.random.default_rng(seed).standard_normal(n) * np.linspace(0.3, 0.05, n)


def write(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT")


def two_kits(root):
    """Write five kicks and five snares, in two kits each, under `root`, and return it."""
    for i in range(5):
        kit = "808" if i < 4 else "909"
        write(root / kit / f"Kick {i}.wav", burst(i))
        write(root / kit / "Snares" / f"{i}.wav", burst(10 + i, 0.3))
    return root


def prepare(folder, *options, output=None):
    output = output or folder.parent / "out"
    assert main([f"--input={folder}", f"--output={output}", *options]) == 0
    return output


def names(output, split):
    return set(load_source(output, split).names)


def reasons(output):
    return json.loads((output / "report.json").read_text())["skipped"]
