"""launch/: the steps of the scripts, in order, what is not done again, how they are interrupted."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = """#!/bin/bash
# Writes down what it is asked for, and leaves what the step would.
echo "$*" >>calls
case "$3" in
  prepare) mkdir -p runs/quickstart/data ;;
  train) exit "$(cat status 2>/dev/null || echo 0)" ;;
  export-instrument) touch runs/quickstart/trained.safetensors ;;
  sample)
    folder="${@: -1}"
    folder="${folder#--output=}"
    mkdir -p "$folder"
    touch "$folder"/drumjax_{1..44}.wav "$folder"/drumjax_contact_sheet.png ;;
esac
"""
ABLATIONS = """#!/bin/bash
# The same of launch/ablations.sh; trainings end with the status in the file of that name.
echo "$*" >>calls
case "$2 $3" in
  "drumjax.train "*) exit "$(cat status 2>/dev/null || echo 0)" ;;
  *" list")
    base="${4#--base=}"
    echo "cwae base $base base"
    echo "cwae no_mmd $base+no_mmd no_mmd"
    echo "mcnn base $base base"
    echo "mcnn soft_mask $base+soft_mask base" ;;
  *" measure")
    folder="${@: -1}"
    folder="${folder#--output=}"
    mkdir -p "$folder"
    echo {} >"$folder/ablation.json" ;;
  *" table") echo "| a table |" ;;
esac
"""

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="these are bash scripts")


@pytest.fixture
def checkout(tmp_path):
    """A copy with everything installed, and a Python that only writes down its arguments."""
    shutil.copytree(ROOT / "launch", tmp_path / "launch")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for extra in ("pictures", "train"):
        shutil.copy(ROOT / "pyproject.toml", tmp_path / f".venv/installed-{extra}.toml")
    (tmp_path / ".venv/bin/python").write_text(PYTHON)
    (tmp_path / ".venv/bin/python").chmod(0o755)
    return tmp_path


def start(checkout, *words, script="quickstart", **settings):
    """(what ran, with what status, what it said)"""
    (checkout / "calls").unlink(missing_ok=True)
    command, env = ["bash", str(checkout / f"launch/{script}.sh"), *words], os.environ | settings
    done = subprocess.run(command, capture_output=True, text=True, cwd=os.sep, env=env)
    calls = (checkout / "calls").read_text() if (checkout / "calls").exists() else ""
    steps = [line.removeprefix("-m drumjax ") for line in calls.splitlines()]
    return steps, done.returncode, done.stdout + done.stderr


def test_it_plays_the_factory_instrument_first(checkout):
    steps, status, said = start(checkout)
    assert (status, steps) == (0, ["sample --category=all --count=4 --seed=1 --output=out/factory"])
    assert f"{checkout}/out/factory/*.wav" in said
    assert "bash launch/quickstart.sh train" in said


def test_training_is_done_once(checkout):
    steps, status, _ = start(checkout, "train")
    assert status == 0
    names = ["prepare", "train", "export-instrument", "sample"]
    assert [step.split()[0] for step in steps] == names
    assert "--config=configs/frame_wae.py:tiny" in steps[1]
    assert "--mcnn" not in steps[2]
    assert "--instrument=runs/quickstart/trained.safetensors" in steps[3]
    steps, status, said = start(checkout, "train")  # the training itself sees that it is done
    assert (status, [step.split()[0] for step in steps]) == (0, ["train"])
    assert f"{checkout}/out/trained/*.wav" in said


def test_sounds_that_are_not_all_there_are_made_again(checkout):
    start(checkout, "train")
    (checkout / "out/trained/drumjax_7.wav").unlink()
    assert start(checkout, "train")[0][-1].startswith("sample ")


@pytest.mark.parametrize("given", [130, 1])
def test_a_step_that_stops_ends_it_and_it_goes_on_from_there(checkout, given):
    (checkout / "status").write_text(str(given))
    steps, status, said = start(checkout, "train")
    assert (status, [step.split()[0] for step in steps]) == (given, ["prepare", "train"])
    assert ("run the same command again: bash launch/quickstart.sh train" in said) == (given == 130)
    (checkout / "status").unlink()
    steps, status, _ = start(checkout, "train")
    names = ["train", "export-instrument", "sample"]
    assert (status, [step.split()[0] for step in steps]) == (0, names)


def test_an_unknown_word_is_status_2(checkout):
    steps, status, said = start(checkout, "trian")
    assert (steps, status) == ([], 2)
    assert "There is no 'trian' here" in said


# Ablations


@pytest.fixture
def ablations(checkout):
    """Runs launch/ablations.sh with settings: (what was trained or measured, status, words)."""
    (checkout / ".venv/bin/python").write_text(ABLATIONS)
    (checkout / "kits").mkdir()

    def run(**settings):
        settings = {"data": "kits", "runs": "out", **settings}
        steps, status, said = start(checkout, script="ablations", **settings)
        steps = [s.removeprefix("-m drumjax.").removeprefix("benchmarks.ablations ") for s in steps]
        return [s for s in steps if not s.startswith(("list", "table"))], status, said

    return run


def test_ablations_train_and_measure_each_row(ablations, checkout):
    """A row that shares another's training is measured there, and not trained."""
    steps, status, said = ablations(cwae_steps="7", mcnn_steps="9")
    assert status == 0
    rows = [" ".join(s.split()[:3]) for s in steps if s.startswith("measure")]
    expected = ["cwae base", "cwae no_mmd", "mcnn base", "mcnn soft_mask"]
    assert rows == [f"measure {row}" for row in expected]
    trained = [s.split() for s in steps if s.startswith("train")]
    variants = ["cwae.py:small", "cwae.py:small+no_mmd", "mcnn.py:small"]
    assert [t[1] for t in trained] == [f"--config=configs/{v}" for v in variants]
    assert [t[2] for t in trained] == [
        f"--workdir=out/small-{n}" for n in ("7/cwae/base", "7/cwae/no_mmd", "9/mcnn/base")
    ]
    budgets = [next(f for f in t if "train.steps" in f) for t in trained]
    assert budgets == [f"--config.train.steps={n}" for n in (7, 7, 9)]
    assert "--workdir=out/small-9/mcnn/base" in steps[-1]
    assert "--output=out/small-9/mcnn/soft_mask" in steps[-1]
    assert "4 rows, 4 of them to do" in said
    [table] = (checkout / "out").glob("*.md")
    assert table.read_text() == "| a table |\n"
    assert str(table.relative_to(checkout)) in said


def test_ablations_that_are_done_are_skipped(ablations, checkout):
    ablations()
    (checkout / "out/small-300/cwae/no_mmd/ablation.json").unlink()
    steps, status, said = ablations()
    assert (status, [s.split()[0] for s in steps]) == (0, ["train", "measure"])
    assert "measure cwae no_mmd" in steps[1]
    assert "4 rows, 1 of them to do" in said
    steps, status, said = ablations()
    assert (status, steps) == (0, [])
    assert "| a table |" in said


def test_ablations_of_another_budget_are_others(ablations):
    ablations()
    steps, _, _ = ablations(cwae_steps="5")
    assert [s.split()[1:3] for s in steps if s.startswith("measure")] == [
        ["cwae", "base"],
        ["cwae", "no_mmd"],
    ]


def test_only_picks_rows_by_name(ablations):
    """A row whose training is another's brings that one along."""
    steps, status, said = ablations(only="no_mmd soft_mask")
    assert status == 0
    assert "2 rows, 2 of them to do" in said
    assert [s.split()[:3] for s in steps if s.startswith("measure")] == [
        ["measure", "cwae", "no_mmd"],
        ["measure", "mcnn", "soft_mask"],
    ]
    assert "--config=configs/mcnn.py:small " in steps[2]
    assert "--workdir=out/small-500/mcnn/base" in steps[2]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"only": "no_mdd"}, "No row is called no_mdd; see: "),
        ({"only": "no_mmd no_mdd"}, "No row is called no_mdd; see: "),
        ({"data": "none"}, "There is no data set none; make one with: "),
    ],
)
def test_what_ablations_do_not_know_is_one_sentence(ablations, settings, words):
    steps, status, said = ablations(**settings)
    assert (steps, status) == ([], 1)
    assert said.startswith(words)
    assert said.count("\n") == 1


@pytest.mark.parametrize("given", [130, 1])
def test_a_training_that_stops_ends_the_ablations(ablations, checkout, given):
    (checkout / "status").write_text(str(given))
    steps, status, said = ablations()
    assert (status, [s.split()[0] for s in steps]) == (given, ["train"])
    assert ("run the same command again" in said) == (given == 130)
    (checkout / "status").unlink()
    assert "4 rows, 4 of them to do" in ablations()[2]
