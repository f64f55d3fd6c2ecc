"""launch/quickstart.sh: its steps, in order, what is not done again, and how it is interrupted."""

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


def start(checkout, *words):
    """(what ran, with what status, what it said)"""
    (checkout / "calls").unlink(missing_ok=True)
    command = ["bash", str(checkout / "launch/quickstart.sh"), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=os.sep)
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
