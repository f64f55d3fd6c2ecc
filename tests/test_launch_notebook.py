"""launch/colab.ipynb: stripped, what it installs, its studio, and a run from top to bottom."""

import ast
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import types
import wave
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "launch/colab.ipynb"


def cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def source_of(name):
    """The code of a cell of the notebook."""
    return "".join(next(cell for cell in cells() if cell["id"] == name)["source"])


def test_the_notebook_is_valid_and_stripped():
    nbformat = pytest.importorskip("nbformat", reason="nbformat, of the test extra, is not there")
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    for cell in code:
        ast.parse("".join(cell["source"]))


@pytest.mark.parametrize(
    ("there", "nvidia", "installed"),
    [
        (["drumjax-0.1.0-py3-none-any.whl"], False, ["{}/drumjax-0.1.0-py3-none-any.whl[train]"]),
        (["drumjax/train.py"], True, ["{}[train]", "jax[cuda12]"]),
        ([], True, None),  # an installed drumjax, as here, is left alone
    ],
)
def test_what_the_notebook_installs(there, nvidia, installed, tmp_path, monkeypatch):
    """Its cells run with a pip that only writes down what it is asked for."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in there:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    calls = []
    monkeypatch.setattr(subprocess, "run", lambda words, check: calls.append(words))
    monkeypatch.setattr(shutil, "which", lambda name: name if nvidia else None)
    monkeypatch.setattr(
        "glob.glob",
        lambda pattern: (
            [str(p) for p in Path().glob(pattern)] if not pattern.startswith("/dev") else []
        ),
    )
    for name in ("DRUMJAX_SOURCE", "TPU_ACCELERATOR_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "numpy", types.SimpleNamespace(__version__="2.0.2"))
    scope = {}
    exec(source_of("settings"), scope)
    exec(source_of("install"), scope)
    loaded = ["numpy==2.0.2"]  # another one on disk would break `import jax` in this kernel
    expected = [x.format(Path.cwd()) for x in installed] + loaded if installed else None
    start = [sys.executable, "-m", "pip", "install", "-q"]
    assert calls == ([[*start, *expected]] if expected else [])


def test_how_a_wheel_is_made_is_said():
    said = (ROOT / "launch/README.md").read_text(encoding="utf-8")
    assert all("pip wheel --no-deps -w dist ." in text for text in (said, source_of("settings")))


def write_samples(folder):
    """Twelve falling sines named kick, twelve bursts of noise named snare."""
    import soundfile

    rng, time = np.random.default_rng(0), np.arange(6000) / 22050
    for i in range(12):
        fade = np.exp(-time * (20 + i))
        kick = np.sin(2 * np.pi * (60 + 4 * i) * time) * fade
        for name, sound in {"kick": kick, "snare": rng.normal(0, 0.2, 6000) * fade}.items():
            file = folder / name / f"{name}_{i:02}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, 0.9 * sound / np.abs(sound).max(), 22050)


def played(cell):
    """The sounds in a cell's outputs: int16 arrays out of the players' own WAV files."""
    pages = "".join(str(o["data"].get("text/html", "")) for o in cell["outputs"] if "data" in o)
    files = re.findall(r'src="data:audio/wav;base64,([^"]+)"', pages)
    return [
        np.frombuffer(wave.open(BytesIO(base64.b64decode(f))).readframes(-1), "<i2") for f in files
    ]


EXECUTE = r"""
import sys, nbformat, nbclient
notebook = nbformat.read("colab.ipynb", 4)
*_, studio, _, _ = notebook.cells
again = "import sys; sys.modules['ipywidgets'] = None\n" + studio.source  # as where it is missing
notebook.cells.append(nbformat.v4.new_code_cell(again))
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
nbformat.write(notebook, "done.ipynb")
"""


def test_the_studio_has_a_slider_for_each_control(instruments, monkeypatch):
    """With stand-ins for the widgets: a control that is moved makes another sound."""
    display = pytest.importorskip(
        "IPython.display", reason="ipykernel, of the test extra, is not there"
    )
    from drumjax.play.controls import names

    shown, made = [], {}
    monkeypatch.setattr(display, "display", lambda *parts: shown.extend(parts))
    widgets = types.ModuleType("ipywidgets")
    widgets.FloatSlider = widgets.IntSlider = lambda **settings: settings["value"]
    widgets.interact = lambda play, **words: made.update(words, play=play)
    monkeypatch.setitem(sys.modules, "ipywidgets", widgets)
    monkeypatch.setattr("jax.config.update", lambda name, value: None)
    scope = {"instrument_file": instruments / "full.safetensors"}
    exec(source_of("listen"), scope)
    exec(source_of("studio"), scope)
    play, categories = made.pop("play"), made.pop("category")
    assert set(made) == {"seed", *names(scope["instrument"])}
    shown.clear()
    play(categories[0], **made)
    for control in set(made) - {"seed"}:
        play(categories[0], **{**made, control: 1.0})
    sounds = [sound.data for sound in shown]
    assert all(sound[:4] == b"RIFF" for sound in sounds)
    assert len(set(sounds)) == len(made)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    """On two categories of twelve sounds for three steps: sounds are heard, sliders are there."""
    for package in ("nbclient", "nbformat", "ipykernel", "ipywidgets"):
        pytest.importorskip(package, reason=f"{package}, of the test extra, is not there")
    write_samples(tmp_path / "samples")
    shutil.copy(NOTEBOOK, tmp_path)
    settings = {"SAMPLES": str(tmp_path / "samples"), "SOUNDS": 0, "STEPS": 3, "CONTROL_SOUNDS": 0}
    env = os.environ | {f"DRUMJAX_{name}": str(value) for name, value in settings.items()}
    env |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "DRUMJAX_SOURCE": ""}
    command = [sys.executable, "-c", EXECUTE]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr[-3000:]

    results = json.loads((tmp_path / "done.ipynb").read_text(encoding="utf-8"))["cells"]
    by_name = {cell["id"]: cell for cell in results}
    heard = played(by_name["listen"])
    assert len(heard) == 4  # two of each category
    assert all(len(sound) == 22015 and np.abs(sound).max() > 3000 for sound in heard)
    [studio] = by_name["studio"]["outputs"]
    assert "application/vnd.jupyter.widget-view+json" in studio["data"]
    [alone] = played(results[-1])  # without sliders
    assert np.abs(alone).max() > 3000
    runs = tmp_path / "runs/notebook"
    assert (runs / "frame_wae_tiny.encoder.safetensors").is_file()
    assert len(list((runs / "kit").glob("*.wav"))) == 16
    assert (runs / "kit.zip").is_file()
