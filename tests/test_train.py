"""The training loop from its command line: resume, refusals, interruption, and what it leaves."""

import contextlib
import json
import math
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile
from tiny import MEL, NAMES, bursts, state_maker

from drumjax import train
from drumjax.categories import CATEGORIES
from drumjax.lock import hold
from drumjax.models import batch_size, build_objective, model_config
from drumjax.models.cwae import encode
from drumjax.training.checkpoint import Checkpoints
from drumjax.training.plateau import validation_interval

# ml_collections loads a config file in Python's old way.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

CONFIGS = Path(__file__).parent
SPLITS = {"train": bursts(7, 9, 8), "validation": bursts(2, 2, 3, seed=1)}


@pytest.fixture(autouse=True, scope="module")
def noise():
    """Noise bursts in place of a prepared data set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "load_source", lambda path, split: SPLITS[split])
        yield


@pytest.fixture(autouse=True, scope="module")
def caching(compile_once):
    """Runs compile anew, as each process would; here all but the first find it on disk."""


def run(workdir, *options, model="cwae", config=None):
    config = config or f"{CONFIGS / 'tiny.py'}:{model}"
    return call(f"--config={config}", f"--workdir={workdir}", *options)


def call(*options):
    """The exit status of a command line."""
    return train.main(["train", *options])


def rows(workdir, split):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == split]


def saved(workdir, step):
    """Every array of a checkpoint as saved, by its path."""
    import orbax.checkpoint as ocp

    folder = Path(workdir).absolute() / "checkpoints" / str(step)
    with ocp.StandardCheckpointer() as reader:
        trees = {item: reader.restore(folder / item) for item in ("model", "train")}
    return {jax.tree_util.keystr(k): np.asarray(v) for k, v in jax.tree.leaves_with_path(trees)}


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """Six steps in one go."""
    workdir = tmp_path_factory.mktemp("runs") / "six"
    assert run(workdir, "--config.train.steps=6") == 0
    return workdir


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three steps."""
    workdir = tmp_path_factory.mktemp("runs") / "three"
    assert run(workdir) == 0
    return workdir


@pytest.fixture
def again(three, tmp_path):
    """A copy of the three steps, to do something to."""
    return shutil.copytree(three, tmp_path / "run")


def test_three_steps_and_three_more_are_six(six, again, capsys):
    assert run(again, "--config.train.steps=6") == 0
    assert "Going on from step 3." in capsys.readouterr().out
    ours, theirs = saved(again, 6), saved(six, 6)
    assert ours.keys() == theirs.keys()
    assert any("optimiser" in name for name in ours)
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)
    assert [row["step"] for row in rows(again, "train")] == [1, 2, 3, 4, 5, 6]
    kept = [{k: v for k, v in r.items() if k != "sounds_per_second"} for r in rows(six, "train")]
    for row, expected in zip(rows(again, "train"), kept, strict=True):
        assert {k: v for k, v in row.items() if k != "sounds_per_second"} == expected


def test_steps_changed_something(three, six):
    before, after = saved(three, 3), saved(six, 6)
    moved = [name for name in after if "params" in name and np.any(before[name] != after[name])]
    assert any("encoder" in name for name in moved)
    assert any("decoder" in name for name in moved)


def test_finished_run_has_nothing_to_do(again, capsys):
    before = (again / "metrics.jsonl").read_text()
    assert run(again) == 0
    assert (again / "metrics.jsonl").read_text() == before
    assert run(again, "--config.train.steps=2") == 0
    out = capsys.readouterr().out
    assert out.count("Nothing was left to do: this run has been trained for 3 steps.") == 2
    assert "Trained for" not in out


def test_metrics_of_both_splits(six):
    [last] = rows(six, "validation")
    assert last["step"] == 6
    assert {"loss", "mse", "sc", "mmd", "sc/kick", "sc/snare", "sc/clap"} <= last.keys()
    terms = {"loss", "mse", "mmd", "gradient_norm", "sounds_per_second"}
    assert all(terms <= row.keys() for row in rows(six, "train"))
    assert list((six / "events").iterdir())


def test_validation_leaves_a_picture_and_sounds(six):
    folder = six / "validation"
    assert (folder / "step_000006.png").read_bytes().startswith(b"\x89PNG")
    for name in ("kick", "snare", "clap"):
        for kind in ("original", "reconstruction"):
            sound, rate = soundfile.read(folder / f"{name}_{kind}.wav")
            assert (len(sound), rate) == (MEL.num_samples, MEL.sample_rate)
            assert np.abs(sound).max() == pytest.approx(10 ** (-0.1 / 20), abs=1e-3)


def test_checkpoint_holds_what_loading_needs(six):
    checkpoints = Checkpoints(six, read_only=True)
    kept = checkpoints.config(6)
    checkpoints.close()
    assert kept["config"]["categories"] == ["kick", "snare", "clap"]
    assert kept["config"]["cwae"]["latents"] == 4
    assert kept["host"]["plateau"] == {"best": np.inf, "misses": 0, "scale": 1.0}


def test_checkpoint_holds_the_plateau(tmp_path):
    assert run(tmp_path / "x", "--config.train.validate_every=3") == 0
    with contextlib.closing(Checkpoints(tmp_path / "x", read_only=True)) as checkpoints:
        kept = checkpoints.config(3)["host"]["plateau"]
    [row] = rows(tmp_path / "x", "validation")
    assert kept["best"] == pytest.approx(row["loss"], rel=1e-6)


def level(monkeypatch):
    """Validations that never improve."""
    monkeypatch.setattr(train, "validate", lambda *_: {"loss": 1.0})
    monkeypatch.setattr(train, "write_validation", lambda *_: None)


@pytest.mark.parametrize("every", [1, 3, 1000])
def test_plateau_counts_epochs_whenever_it_is_saved(tmp_path, monkeypatch, every):
    """An epoch is two steps: the first sets the best, two more bring the cut; also in two parts."""
    level(monkeypatch)
    options = ["--config.train.plateau_patience=2", "--config.train.validate_every=0"]
    options.append("--config.train.plateau_factor=0.5")
    for workdir, parts in ((tmp_path / "whole", [9]), (tmp_path / "parts", [5, 9])):
        for steps in parts:
            own = [f"--config.train.steps={steps}", f"--config.train.checkpoint_every={every}"]
            assert run(workdir, *options, *own) == 0
        rates = [row["learning_rate"] for row in rows(workdir, "train")]
        assert rates == pytest.approx([1e-3] * 6 + [5e-4] * 3)


@pytest.mark.parametrize(
    ("name", "steps"),
    [("cwae.py:paper", 38), ("mcnn.py:paper", 207), ("frame_wae.py:base", 50)],
)
def test_the_papers_configs_validate_once_an_epoch(name, steps):
    """26,400 sounds in batches of 704 or 128; without a plateau, every 50 steps at most."""
    argv = ["train", f"--config={CONFIGS.parent / 'configs' / name}", "--workdir=x"]
    config, _, _ = train.read_flags(argv)
    epoch = math.ceil(26_400 / batch_size(config, CATEGORIES))
    assert validation_interval(config["train"], epoch) == steps
    assert validation_interval({**config["train"], "validate_every": 7}, epoch) == 7


def test_plateau_lowers_the_rate_and_survives_a_restart(tmp_path, monkeypatch):
    """Validations that never improve: the second one, two steps on, divides the rate by four."""
    level(monkeypatch)
    options = ["--config.train.plateau_patience=1", "--config.train.plateau_factor=0.25"]
    options += ["--config.train.checkpoint_every=2", "--config.train.validate_every=2"]
    assert run(tmp_path / "x", *options, "--config.train.steps=4") == 0
    assert saved(tmp_path / "x", 2)["['train']['lr_scale']"] == 1.0
    assert saved(tmp_path / "x", 4)["['train']['lr_scale']"] == 0.25
    assert run(tmp_path / "x", *options, "--config.train.steps=6") == 0
    assert saved(tmp_path / "x", 6)["['train']['lr_scale']"] == 0.0625


def test_mcnn_trains_on_eight_devices_and_goes_on_there(tmp_path):
    options = ["--config.train.parallel=pmap", "--config.data.per_category=8"]
    assert run(tmp_path / "x", *options, "--config.train.steps=1", model="mcnn") == 0
    assert run(tmp_path / "x", *options, "--config.train.steps=2", model="mcnn") == 0
    assert [row["step"] for row in rows(tmp_path / "x", "train")] == [1, 2]
    assert {"sc", "sc_soft", "sc_log", "mask"} <= rows(tmp_path / "x", "validation")[-1].keys()


def test_diverging_run_stops_at_once_and_names_the_term(again, capsys):
    """Parameters so large that the next loss overflows float32."""
    import drumjax.training.config as settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "FREE", (*settings.FREE, "train.learning_rate"))
        options = ["--config.train.steps=9", "--config.train.learning_rate=1e30"]
        assert run(again, *options) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("drumjax train: Step 5: ")
    assert "loss" in error.split("is not a finite number")[0]
    assert "the checkpoint of step 3 is intact. Begin another --workdir" in error
    assert [row["step"] for row in rows(again, "train")] == [1, 2, 3, 4]
    assert not (again / "checkpoints" / "5").exists()
    assert (again / "checkpoints" / "3").is_dir()
    assert all(np.all(np.isfinite(v)) for v in saved(again, 3).values())


def press_at(step, monkeypatch):
    """Press Ctrl-C during a step."""
    check = train.check_finite

    def press(metrics, at, *rest):
        check(metrics, at, *rest)
        if at == step:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(train, "check_finite", press)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    check = train.check_finite
    workdir = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)
    press_at(2, monkeypatch)
    assert run(workdir, "--config.train.steps=50") == 130
    assert signal.getsignal(signal.SIGINT) is before
    error = capsys.readouterr().err
    assert "Stopping after this step" in error
    assert "The same command goes on from here." in error
    assert [row["step"] for row in rows(workdir, "train")] == [1, 2]
    monkeypatch.setattr(train, "check_finite", check)
    assert run(workdir, "--config.train.steps=3") == 0
    assert [row["step"] for row in rows(workdir, "train")] == [1, 2, 3]


def test_what_ctrl_c_saves_has_the_gaussians_of_its_weights(again, monkeypatch):
    """Means by NumPy; all of it as measured anew from the weights that were saved."""
    press_at(5, monkeypatch)
    assert run(again, "--config.train.steps=50") == 130
    config, make = state_maker("cwae")
    objective = build_objective(config, NAMES)
    with contextlib.closing(Checkpoints(again, read_only=True)) as checkpoints:
        assert checkpoints.latest_step() == 5
        state = checkpoints.restore(5, jax.eval_shape(make, jax.random.key(0)))
    kept = state.variables["constants"]["latents"]
    source = SPLITS["train"]
    codes = encode(model_config(config, NAMES), state.variables, source.audio, source.category)
    means = [np.mean(np.asarray(codes)[source.category == i], axis=0) for i in range(3)]
    np.testing.assert_allclose(kept["mean"], means, rtol=1e-4, atol=1e-5)
    fitted = train.calibrate(objective, state, source, 0).variables["constants"]["latents"]
    for name, value in fitted.items():
        np.testing.assert_allclose(kept[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_ctrl_c_measures_few_sounds(tmp_path, monkeypatch):
    counts, calibrate = [], train.calibrate
    monkeypatch.setattr(train, "calibrate", lambda *of: counts.append(of[-1]) or calibrate(*of))
    press_at(2, monkeypatch)
    assert run(tmp_path / "a", "--config.train.steps=9") == 130
    assert run(tmp_path / "b", "--config.train.steps=9", "--config.train.calibrate_sounds=5") == 130
    assert counts == [32, 5]


def test_ctrl_c_where_the_step_is_saved_measures_nothing_anew(tmp_path, monkeypatch):
    counts, calibrate = [], train.calibrate

    def press(*of):
        signal.raise_signal(signal.SIGINT)
        counts.append(of[-1])
        return calibrate(*of)

    monkeypatch.setattr(train, "calibrate", press)
    options = ["--config.train.steps=9", "--config.train.checkpoint_every=2"]
    assert run(tmp_path / "x", *options) == 130
    assert counts == [0]
    assert [f.name for f in (tmp_path / "x/checkpoints").iterdir()] == ["2"]


def test_second_ctrl_c_while_it_measures_ends_the_run_unharmed(again, capsys, monkeypatch):
    calibrate = train.calibrate
    press_at(5, monkeypatch)
    monkeypatch.setattr(train, "calibrate", lambda *_: signal.raise_signal(signal.SIGINT))
    assert run(again, "--config.train.steps=50") == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err
    assert [f.name for f in (again / "checkpoints").iterdir()] == ["3"]
    monkeypatch.setattr(train, "calibrate", calibrate)
    assert run(again, "--config.train.steps=4") == 0
    assert [row["step"] for row in rows(again, "train")] == [1, 2, 3, 4]


def test_ctrl_c_before_the_first_step_does_not_claim_to_have_saved(tmp_path, capsys, monkeypatch):
    def press(path, split):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(train, "load_source", press)
    assert run(tmp_path / "run") == 130
    assert "saved" not in capsys.readouterr().err


def test_second_ctrl_c_ends_at_once():
    with train.Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


# Refusals


def refused(capsys, *words):
    """The last line of stderr says these words."""
    error = capsys.readouterr().err.strip()
    assert "Traceback" not in error
    for word in words:
        assert word in error.splitlines()[-1], error


def test_unknown_variant_names_the_known_ones(tmp_path, capsys):
    config = f"{CONFIGS.parent / 'configs' / 'cwae.py'}:tniy"
    assert run(tmp_path / "x", config=config) == 1
    refused(capsys, "'tniy'", "paper", "small", "tiny")
    assert not (tmp_path / "x").exists()


def test_workdir_of_another_config_is_refused(again, capsys):
    before = saved(again, 3)
    options = ["--config.seed=5", "--config.cwae.beta=3.0", "--config.train.steps=9"]
    assert run(again, *options) == 1
    refused(capsys, "seed was 0, now 5", "cwae.beta was 10.0, now 3.0", "another --workdir")
    assert saved(again, 3).keys() == before.keys()
    assert not (again / "checkpoints" / "9").exists()


def test_a_run_keeps_its_config_when_the_file_beside_it_is_gone(again, capsys):
    """As after the advice to delete a config.json that cannot be read."""
    (again / "config.json").unlink()
    assert run(again, "--config.train.steps=4", "--config.seed=5") == 1
    refused(capsys, "seed was 0, now 5")
    assert run(again, "--config.train.steps=4") == 0


def test_a_run_that_is_already_running_is_left_alone(again, capsys):
    before = (again / "metrics.jsonl").read_text()
    with hold(again / ".lock", ""):
        assert run(again, "--config.train.steps=4") == 1
    refused(capsys, "A run is already using", "choose another --workdir")
    assert (again / "metrics.jsonl").read_text() == before


def test_data_of_other_categories_are_refused(again, capsys, monkeypatch):
    def other(path, split):
        return SPLITS[split]._replace(categories=("kick", "snare", "tom"))

    monkeypatch.setattr(train, "load_source", other)
    assert run(again, "--config.train.steps=9") == 1
    refused(capsys, "another data set, of 24 sounds", "--workdir")


@pytest.mark.parametrize("given", [[], ["--workdir=x"], [f"--config={CONFIGS / 'tiny.py'}"]])
def test_missing_flags_are_a_wrong_command_line(given, capsys):
    assert call(*given) == 2
    refused(capsys, "--config", "--workdir")


def test_unknown_flag_is_a_wrong_command_line(tmp_path, capsys):
    assert run(tmp_path / "x", "--wokdir=y") == 2
    refused(capsys, "wokdir")


def test_unknown_field_is_a_wrong_command_line(tmp_path, capsys):
    assert run(tmp_path / "x", "--config.train.step=3") == 2
    refused(capsys, "step")


def test_config_file_that_is_missing_is_a_plain_sentence(tmp_path, capsys):
    assert run(tmp_path / "x", config=tmp_path / "none.py") == 1
    refused(capsys, "config file", "--config")


def test_data_path_that_is_no_data_set_names_prepare(tmp_path, capsys, monkeypatch):
    from drumjax.data.source import load_source

    monkeypatch.setattr(train, "load_source", load_source)
    assert run(tmp_path / "x", f"--config.data.path={tmp_path / 'empty'}") == 1
    refused(capsys, "no prepared data set", "drumjax prepare")


def test_sounds_of_another_length_are_refused(tmp_path, capsys):
    assert run(tmp_path / "x", "--config.mel.num_samples=1300") == 1
    refused(capsys, "1279 samples at 22050 Hz", "1300 at 22050 Hz")


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("--config.model=cvae", "cwae, frame_wae, mcnn"),
        ("--config.model=mcnn", "mcnn"),
        ("--config.cwae.kernel=rbf", "imq7"),
        ("--config.train.schedule=linear", "cosine"),
        ("--config.train.parallel=pjit", "pmap"),
        ("--config.data.per_category=0", "per category"),
    ],
)
def test_config_that_cannot_be_used_is_one_sentence(tmp_path, capsys, option, word):
    assert run(tmp_path / "x", option) == 1
    refused(capsys, word)


def test_refused_config_does_not_claim_the_work_directory(tmp_path, capsys):
    assert run(tmp_path / "x", "--config.cwae.kernel=rbf") == 1
    assert run(tmp_path / "x", "--config.train.steps=0") == 1
    assert run(tmp_path / "x", "--config.train.steps=1") == 0, capsys.readouterr().err


DIVERGING = "--config.train.learning_rate=1e30"


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    """A run that ended before it saved anything."""
    workdir = tmp_path_factory.mktemp("runs") / "diverged"
    assert run(workdir, DIVERGING, "--config.train.steps=9") == 1
    return workdir


def test_a_number_that_is_none_is_told_with_the_newest_checkpoint(tmp_path, capsys, monkeypatch):
    check = train.check_finite
    at = 3

    def diverge(metrics, step, kept=0):
        check({**metrics, "loss": np.nan if step == at else 1.0}, step, kept)

    monkeypatch.setattr(train, "check_finite", diverge)
    options = ["--config.train.checkpoint_every=2", "--config.train.steps=9"]
    assert run(tmp_path / "x", *options) == 1
    refused(capsys, "the checkpoint of step 2 is intact. Begin another --workdir with a lower ")


def test_a_run_that_saved_nothing_gives_way_to_another(diverged, tmp_path, capsys):
    workdir = shutil.copytree(diverged, tmp_path / "x")
    assert run(workdir, DIVERGING, "--config.train.steps=9") == 1
    refused(capsys, "nothing was saved yet. Begin another --workdir with a lower ")
    assert json.loads((workdir / "config.json").read_text())["train"]["learning_rate"] == 1e30
    assert run(workdir, "--config.train.steps=1") == 0, capsys.readouterr().err
    assert json.loads((workdir / "config.json").read_text())["train"]["learning_rate"] == 1e-3
    assert [row["step"] for row in rows(workdir, "train")] == [1]
    assert run(workdir, DIVERGING, "--config.train.steps=2") == 1
    refused(capsys, "train.learning_rate was 0.001, now 1e+30")


def test_a_run_that_saved_nothing_yet_does_not_give_way(diverged, capsys, monkeypatch):
    """While it is at work, or where no lock tells whether it is."""
    before = (diverged / "config.json").read_text()
    with hold(diverged / ".lock", ""):
        assert run(diverged) == 1
    refused(capsys, "A run is already using")
    monkeypatch.setattr(train, "hold", lambda *_: None)
    assert run(diverged) == 1
    refused(capsys, "holds a run of another config", "another --workdir")
    assert (diverged / "config.json").read_text() == before


def test_a_run_older_than_the_derived_batch_goes_on(again):
    config = json.loads((again / "config.json").read_text())
    config["cwae"]["batch_size"] = 704
    (again / "config.json").write_text(json.dumps(config))
    assert run(again, "--config.train.steps=4") == 0
