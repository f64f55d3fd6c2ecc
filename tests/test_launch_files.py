"""launch/: the notebook, scripts of rented machines, the image; what cannot run here is linted."""

import ast
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import types
import wave
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])
NOTEBOOK = LAUNCH / "colab.ipynb"

unix = pytest.mark.skipif(not shutil.which("bash"), reason="these are bash scripts")


def cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def source_of(name):
    """The code of a cell of the notebook."""
    return "".join(next(cell for cell in cells() if cell["id"] == name)["source"])


# The notebook


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
    scope = {}
    exec(source_of("settings"), scope)
    exec(source_of("install"), scope)
    expected = [x.format(Path.cwd()) for x in installed] if installed else None
    start = [sys.executable, "-m", "pip", "install", "-q"]
    assert calls == ([[*start, *expected]] if expected else [])


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


# Scripts


@unix
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_read_it(script):
    assert subprocess.run(["bash", "-n", script], capture_output=True).stderr == b""


def test_shellcheck_finds_nothing():
    shellcheck = shutil.which("shellcheck") or shutil.which(
        "shellcheck", path=Path(sys.executable).parent
    )
    if not shellcheck:
        pytest.skip("shellcheck, of the test extra, is not there")
    done = subprocess.run([shellcheck, "-x", *SCRIPTS], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_did_not_run_says_so():
    for name in ("gpu.sh", "tpu_vm.sh", "slurm.sbatch", "Dockerfile"):
        head = (LAUNCH / name).read_text(encoding="utf-8").partition("\n\n")[0].replace("\n# ", " ")
        assert re.search(r"[Nn]ot (run|built)[\w ]* yet", head), name


def test_the_readme_knows_every_file():
    text = (LAUNCH / "README.md").read_text(encoding="utf-8")
    named = {path.name for path in LAUNCH.iterdir() if path.is_file() and path.suffix != ".txt"}
    assert {name for name in named if f"`{name}`" not in text} == {"README.md"}


@pytest.fixture
def checkout(tmp_path):
    """A copy of launch/ whose Python and other programs write down what they are asked for."""
    shutil.copytree(LAUNCH, tmp_path / "launch")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    for program in (".venv/bin/python", "bin/srun", "bin/scontrol", "bin/nvidia-smi", "bin/gcloud"):
        file = tmp_path / program
        file.parent.mkdir(parents=True, exist_ok=True)
        status = (
            '[ "$1" != -c ] || exit "$(cat nogpu 2>/dev/null || echo 0)"\n'
            if ".venv" in program
            else ""
        )
        status += 'exit "$(cat status 2>/dev/null || echo 0)"\n' if "srun" in program else ""
        file.write_text(f'#!/bin/bash\necho "{file.name} $*" >>calls\n{status}')
        file.chmod(0o755)
    for extra in ("train-cuda12", "train"):
        shutil.copy(ROOT / "pyproject.toml", tmp_path / f".venv/installed-{extra}.toml")
    return tmp_path


def start(checkout, script, *words, **settings):
    """(what ran, with what status, what was said)"""
    (checkout / "calls").unlink(missing_ok=True)
    env = os.environ | {"PATH": f"{checkout / 'bin'}:{os.environ['PATH']}", **settings}
    command = ["bash", f"launch/{script}", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=checkout, env=env)
    calls = (checkout / "calls").read_text() if (checkout / "calls").exists() else ""
    return calls.splitlines(), done.returncode, done.stdout + done.stderr


@unix
def test_gpu_trains_on_procedural_drums_or_on_a_data_set(checkout):
    calls, status, _ = start(checkout, "gpu.sh", "--config.seed=2")
    assert status == 0
    assert calls[0] == "nvidia-smi -L"
    prepare, train = [call for call in calls if " -m " in call]
    assert prepare.startswith("python -m drumjax prepare --synth_per_category=")
    assert train == (
        "python -m drumjax.train --config=configs/frame_wae.py:small --workdir=runs/gpu/frame_wae "
        "--config.data.path=runs/gpu/data --config.seed=2"
    )
    (checkout / "kits").mkdir()
    calls, _, _ = start(checkout, "gpu.sh", data="kits", config="configs/cwae.py")
    [train] = [call for call in calls if " -m " in call]
    assert "--config=configs/cwae.py --workdir=runs/gpu/cwae --config.data.path=kits" in train


@unix
def test_gpu_without_a_gpu_is_one_sentence(checkout):
    (checkout / "nogpu").write_text("1")
    calls, status, said = start(checkout, "gpu.sh")
    assert (status, [call for call in calls if " -m " in call]) == (1, [])
    assert "JAX sees no GPU" in said
    (checkout / "bin/nvidia-smi").unlink()
    calls, status, said = start(checkout, "gpu.sh", PATH=f"{checkout / 'bin'}:/usr/bin:/bin")
    assert (status, calls, said.count("\n")) == (1, [], 1)
    assert "bash launch/quickstart.sh train" in said


@unix
@pytest.mark.parametrize(("given", "again"), [(0, False), (1, False), (130, True)])
def test_slurm_queues_again_what_was_saved(checkout, given, again):
    """Training ends with 130 where it was stopped and has saved; see drumjax/train.py."""
    (checkout / "kits").mkdir()
    (checkout / "status").write_text(str(given))
    settings = {"SLURM_SUBMIT_DIR": str(checkout), "SLURM_JOB_ID": "7", "data": "kits"}
    calls, status, _ = start(checkout, "slurm.sbatch", "--config.seed=2", **settings)
    assert status == given
    assert calls[0] == (
        "srun --kill-on-bad-exit=1 .venv/bin/python -m drumjax.train --config=configs/frame_wae.py "
        "--workdir=runs/slurm/frame_wae --config.data.path=kits --config.seed=2"
    )
    assert calls[1:] == (["scontrol requeue 7"] if again else [])


@unix
def test_slurm_without_a_data_set_is_one_sentence(checkout):
    settings = {"SLURM_SUBMIT_DIR": str(checkout), "SLURM_JOB_ID": "7"}
    calls, status, said = start(checkout, "slurm.sbatch", **settings)
    assert (calls, status, said.count("\n")) == ([], 1, 1)


def test_slurm_asks_for_a_task_for_each_gpu():
    """JAX gives each process the GPU of its number among the node's tasks."""
    asked = dict(
        re.findall(r"^#SBATCH --([\w-]+)=(\S+)", (LAUNCH / "slurm.sbatch").read_text(), re.M)
    )
    assert asked["ntasks-per-node"] == asked["gpus-per-node"]
    assert "gpus-per-task" not in asked
    assert asked["signal"].startswith("TERM@")  # without B: it goes to the processes


@unix
@pytest.mark.parametrize(
    ("step", "settings", "lines"),
    [
        (
            "create",
            {"accelerator": "v5litepod-16", "spot": "1"},
            ["create drums --accelerator-type=v5litepod-16 --version=v2-alpha-tpuv5-lite --spot"],
        ),
        (
            "create",
            {"accelerator": "v6e-8"},
            ["create drums --accelerator-type=v6e-8 --version=v2-alpha-tpuv6e"],
        ),
        (
            "create",
            {"accelerator": "v9-8", "version": "v9"},
            ["create drums --accelerator-type=v9-8 --version=v9"],
        ),
        ("log", {}, ["ssh drums --worker=0 --command=tail -n 50 -f drumjax/train.log"]),
        ("fetch", {}, ["scp --recurse drums:drumjax/runs/frame_wae runs/tpu/ --worker=0"]),
        ("delete", {}, ["delete drums --quiet"]),
    ],
)
def test_the_lines_that_gcloud_gets(step, settings, lines, checkout):
    calls, status, _ = start(checkout, "tpu_vm.sh", step, name="drums", zone="z", **settings)
    assert status == 0
    assert calls == [f"gcloud compute tpus tpu-vm {line} --zone=z" for line in lines]


@unix
def test_a_tpu_is_set_up_and_trained_on_all_of_its_hosts(checkout):
    for name in ("README.md", "LICENSE", "configs", "drumjax"):
        (checkout / name).touch()
    (checkout / "kits").mkdir()
    calls, status, _ = start(checkout, "tpu_vm.sh", "install", data="kits", share="10.0.0.2:/runs")
    assert status == 0
    assert len(calls) == 7
    assert all("--worker=all" in call for call in calls)
    assert "mount -t nfs '10.0.0.2:/runs' drumjax/runs" in calls[1]
    words = ("--config.seed=2", "--config.train.steps=9")
    [call], status, _ = start(checkout, "tpu_vm.sh", "train", *words, name="drums", zone="z")
    assert status == 0
    assert "--worker=all" in call
    assert f"--config.data.path=data {' '.join(words)} >train.log" in call
    remote = call.partition("--command=")[2].rpartition(" --zone=")[0]
    assert subprocess.run(["bash", "-n", "-c", remote]).returncode == 0


@unix
def test_a_dry_run_asks_gcloud_for_nothing(checkout):
    calls, status, said = start(checkout, "tpu_vm.sh", "delete", dry="1", name="drums", zone="z")
    assert (calls, status) == ([], 0)
    assert said == "gcloud compute tpus tpu-vm delete drums --quiet --zone=z \n"


@unix
@pytest.mark.parametrize(
    ("script", "words", "given", "sentence"),
    [
        ("tpu_vm.sh", [], 2, "Say what to do"),
        ("tpu_vm.sh", ["make"], 2, "Say what to do"),
        ("release.sh", ["lcok"], 2, "There is no 'lcok' here"),
    ],
)
def test_an_unknown_word_is_status_2(script, words, given, sentence, checkout):
    calls, status, said = start(checkout, script, *words)
    assert (calls, status, said.count("\n")) == ([], given, 1)
    assert said.startswith(sentence)


@unix
def test_an_unknown_tpu_is_one_sentence(checkout):
    calls, status, said = start(checkout, "tpu_vm.sh", "create", accelerator="v9-8")
    assert (calls, status, said.count("\n")) == ([], 1, 1)
    assert "No system image is known for v9-8" in said


# Installing


@unix
@pytest.mark.parametrize(
    ("words", "settings", "expected"),
    [
        ("train cuda13", {}, "-e .[train] jax[cuda13]"),
        ("test", {"LOCKED": "1"}, "-e .[test] -c launch/locked-3.11.txt"),
    ],
)
def test_what_pip_is_asked_for(words, settings, expected, checkout):
    """Once; a changed lock is another installation."""
    python = checkout / ".venv/bin/python"
    lock = "launch/locked-3.11.txt"
    answer = f'case "$2" in *locked-*) echo {lock} ;; esac'
    text = f'#!/bin/bash\necho "python $*" >>calls\n{answer}\n'
    python.write_text(text)
    (checkout / "launch/try.sh").write_text(f"source launch/venv.sh\ninstall {words}\n")

    def pip():
        calls, status, said = start(checkout, "try.sh", **settings)
        assert status == 0, said
        return [call for call in calls if "pip install" in call]

    assert pip() == [f"python -m pip install -qq --disable-pip-version-check {expected}"]
    assert pip() == []
    (checkout / "launch/locked-3.11.txt").write_text("numpy==2.0\n")
    assert len(pip()) == ("LOCKED" in settings)


@pytest.mark.parametrize("version", ["3.11", "3.12"])
def test_locked_versions_are_those_of_pyproject(version):
    """Every package of the test extra is pinned, to a version that pyproject.toml allows."""
    requirements = pytest.importorskip("packaging.requirements", reason="packaging is not there")
    lines = (LAUNCH / f"locked-{version}.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pins = {name.lower().replace("_", "-"): pin for name, pin in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["pictures"], *extras["train"], *extras["test"]]:
        wanted = requirements.Requirement(text)
        if wanted.name == "drumjax" or (wanted.marker and not wanted.marker.evaluate()):
            continue
        assert wanted.specifier.contains(pins[wanted.name.lower().replace("_", "-")]), text


# Releasing


@unix
@pytest.mark.parametrize(
    ("answers", "status", "said"),
    [
        ({"pypi": {}}, 0, "2 of 2 versions audited by pypi"),
        ({"pypi": {"skip_reason": "not found"}, "osv": {}}, 0, "2 of 2 versions audited by osv"),
        ({"pypi": {"skip_reason": "not found"}}, 0, "not audited: launch/locked-3.11.txt"),
        ({}, 0, "0 of 2 versions audited by pypi"),
        ({"pypi": {"vulns": [{"id": "CVE-1"}]}}, 1, "b 2: CVE-1"),
    ],
)
def test_an_audit_of_nothing_is_none(answers, status, said, tmp_path):
    """pip-audit ends with 0 for versions that its service does not know: that is no audit."""
    text = (LAUNCH / "release.sh").read_text(encoding="utf-8")
    parts = [
        re.search(rf"^{name}\(\) {{.*?^}}$", text, re.M | re.S)[0] for name in ("audited", "audit")
    ]
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch/locked-3.11.txt").write_text("# two\na==1\nb==2\n")
    (tmp_path / "python").symlink_to(sys.executable)
    for service, answer in answers.items():
        rows = [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "version": "2", **answer}]
        (tmp_path / f"{service}.json").write_text(json.dumps({"dependencies": rows}))
    (tmp_path / "pip-audit").write_text(
        "#!/bin/bash\n"
        'while [ $# -gt 0 ]; do case "$1" in -s) from=$2.json ;; -o) to=$2 ;; esac; shift; done\n'
        'cp "$from" "$to"\n'
    )
    (tmp_path / "pip-audit").chmod(0o755)
    start = 'set -euo pipefail; work=.; tools=$PWD; not_audited=; stop() { echo "$*"; exit 1; }'
    script = "\n".join([start, *parts, "audit", 'echo "not audited:$not_audited"'])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == status
    assert said in done.stdout


# The image


def test_the_image_copies_what_it_may_see():
    """Every COPY names a file that is there and that Dockerfile.dockerignore lets through."""
    lines = (LAUNCH / "Dockerfile").read_text(encoding="utf-8").splitlines()
    seen = (LAUNCH / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.startswith("COPY "):
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists(), name
                assert f"!{name}" in seen
    assert seen[0] == "*"


def test_the_image_uses_its_arguments():
    text = (LAUNCH / "Dockerfile").read_text(encoding="utf-8")
    declared = set(re.findall(r"^ARG (\w+)=", text, re.M))
    body = text.partition("FROM ")[2]
    assert declared == {"accelerator", "extra"}
    assert all(re.search(rf"\$(\{{)?{name}\b|\[\${name}\]", body) for name in declared)
