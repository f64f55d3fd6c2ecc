"""launch/: scripts of rented machines, the runners, the image; what cannot run here is linted."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])

unix = pytest.mark.skipif(not shutil.which("bash"), reason="these are bash scripts")


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


def real(checkout):
    """The stand-in for Python runs scripts, sees as many GPUs as the file gpus says, and writes
    the words of a module into the file words, one in each line.
    """
    (checkout / "configs").symlink_to(ROOT / "configs")
    (checkout / ".venv/bin/python").write_text(
        "#!/bin/bash\n"
        'echo "python $*" >>calls\n'
        'case "$1" in\n'
        f'  -) exec "{sys.executable}" "$@" ;;\n'
        "  -c) cat gpus ;;\n"
        "  -m) printf '%s\\n' \"$@\" >words ;;\n"
        "esac\n"
    )


def given_words(checkout, flag):
    """The values of a flag among the words that training got, in their order."""
    words = (checkout / "words").read_text().splitlines()
    return [word.partition("=")[2] for word in words if word.startswith(f"--{flag}=")]


@unix
@pytest.mark.parametrize(
    ("gpus", "config", "batches"),
    [
        (8, "configs/frame_wae.py:small", ["8"]),  # 4 sounds of each category as it stands there
        (6, "configs/frame_wae.py:small+no_noise", ["6"]),
        (3, "configs/cwae.py", ["66"]),
        (1, "configs/frame_wae.py:small", ["4"]),
        (8, "configs/none.py", []),  # the training says why
    ],
)
def test_all_gpus_share_each_batch(gpus, config, batches, checkout):
    real(checkout)
    (checkout / "gpus").write_text(f"{gpus}\n")
    (checkout / "kits").mkdir()
    _, status, said = start(checkout, "gpu.sh", data="kits", config=config)
    assert status == 0
    assert given_words(checkout, "config.data.per_category") == batches
    told = f"so that {gpus} devices share it" in said
    assert told == (batches not in ([], ["4"]))  # where it is not the config's
    assert "Traceback" not in said


@unix
def test_a_batch_that_was_given_or_begun_stays(checkout):
    real(checkout)
    (checkout / "gpus").write_text("8\n")
    (checkout / "kits").mkdir()
    start(checkout, "gpu.sh", "--config.data.per_category=24", data="kits")
    assert given_words(checkout, "config.data.per_category") == ["8", "24"]  # the last one counts
    (checkout / "begun").mkdir()
    (checkout / "begun/config.json").write_text('{"data": {"per_category": 4}}')
    (checkout / "begun/checkpoints/2.orbax-checkpoint-tmp").mkdir(parents=True)
    start(checkout, "gpu.sh", data="kits", workdir="begun")
    assert given_words(checkout, "config.data.per_category") == ["8"]  # it saved nothing whole
    (checkout / "begun/checkpoints/3").mkdir()
    start(checkout, "gpu.sh", data="kits", workdir="begun")
    assert given_words(checkout, "config.data.per_category") == ["4"]


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
    settings["SLURM_CPUS_PER_TASK"] = "8"
    calls, status, _ = start(checkout, "slurm.sbatch", "--config.seed=2", **settings)
    assert status == given
    assert calls[0] == (
        "srun --cpus-per-task=8 --kill-on-bad-exit=1 .venv/bin/python -m drumjax.train "
        "--config=configs/frame_wae.py --workdir=runs/slurm/frame_wae --config.data.path=kits "
        "--config.seed=2"
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


def remote(call):
    """The command that a host gets."""
    return call.partition("--command=")[2].rpartition(" --zone=")[0]


@unix
@pytest.mark.parametrize(
    ("kind", "size"), [("v5litepod-16", "16"), ("v2-8", "8"), ("v4-16", "8"), ("v5p-8", "4")]
)
def test_all_hosts_of_a_tpu_train_on_all_devices(kind, size, checkout):
    """What the hosts get is run here: words with blanks stay whole, the devices share a batch."""
    real(checkout)
    (checkout / "home").mkdir()
    (checkout / "home/drumjax").symlink_to(checkout)
    answer = f'[ "$4" != describe ] || echo {kind}\n'
    with (checkout / "bin/gcloud").open("a") as file:
        file.write(answer)
    words = ("--config.seed=2", "--config.data.path=my kits")
    [_, call], status, _ = start(checkout, "tpu_vm.sh", "train", *words, workdir="a b", zone="z")
    assert status == 0
    assert "ssh drumjax --worker=all" in call
    there = subprocess.run(["bash", "-c", f"{remote(call)}; wait"], cwd=checkout / "home")
    assert there.returncode == 0
    assert given_words(checkout, "config") == ["configs/frame_wae.py:small"]
    assert given_words(checkout, "workdir") == ["a b"]
    assert given_words(checkout, "config.data.path") == ["data", "my kits"]
    assert given_words(checkout, "config.data.per_category") == [size]


@unix
def test_stopping_what_does_not_train_says_so(checkout):
    [call], status, _ = start(checkout, "tpu_vm.sh", "stop", zone="z")
    assert (status, "--worker=all" in call) == (0, True)

    def on_host():
        command = ["bash", "-c", remote(call)]
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
        assert done.returncode == 0
        return done.stdout + done.stderr

    assert on_host() == "Nothing trains here.\n"
    (checkout / "drumjax").mkdir()
    with subprocess.Popen(["sleep", "60"]) as training:
        (checkout / "drumjax/train.pid").write_text(f"{training.pid}\n")
        assert on_host() == "It saves, then it stops.\n"
        assert training.wait() == -signal.SIGTERM
    assert on_host() == "Nothing trains here.\n"


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


# The runners


def test_ci_installs_what_the_tests_drive():
    """A test whose program is not there is skipped, and says so to nobody who does not ask."""
    script = (LAUNCH / "test.sh").read_text(encoding="utf-8")
    programs = set(re.findall(r"missing\+=\(([\w-]+)\)", script)) - {"chromium"}  # Chrome is there
    assert programs
    for name in ("tests.yml", "release.yml"):
        steps = (ROOT / ".github/workflows" / name).read_text(encoding="utf-8")
        [line] = [line for line in steps.splitlines() if "apt-get install" in line]
        assert programs | {"hydrogen"} <= set(line.split())


@unix
def test_a_program_that_is_not_to_be_had_keeps_no_other_away(tmp_path):
    """On Ubuntu, apt has no Chromium; the programs of the other tests are installed."""
    text = (LAUNCH / "test.sh").read_text(encoding="utf-8")
    install = re.search(r"^install_programs\(\) {.*?^}$", text, re.M | re.S)[0]
    for name, script in {
        "apt-get": 'echo "$*" >>calls; [[ "$*" != *chromium* ]]',
        "timeout": 'shift; exec "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    shell = [shutil.which("bash"), "-c", f"set -euo pipefail\n{install}\ninstall_programs"]
    env = {"PATH": str(tmp_path)}
    (tmp_path / "bash").symlink_to(shell[0])
    done = subprocess.run(shell, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [c.split()[-1] for c in calls[:2]] == ["puredata-core", "liblo-tools"]
    assert "chromium cannot be installed" in done.stdout
    assert "liblo-tools cannot" not in done.stdout


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
