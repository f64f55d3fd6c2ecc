"""`sample` and `bench` from their command lines, with networks that never trained."""

import json

import numpy as np
import pytest
import soundfile
from test_evals import write_run
from tiny import MEL, NAMES

from drumjax.commands import bench, sample
from drumjax.errors import CheckpointError, ConfigError, DataError


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    """Nothing is kept in the user's cache folder."""
    monkeypatch.setattr("drumjax.play.cache.use_cache", lambda: None)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for model in ("cwae", "mcnn"):
        write_run(folder / model, model, 1, (0.5,))
    return folder


@pytest.fixture
def made(runs, tmp_path):
    """Runs `sample` into a folder; returns {file name: bytes}."""

    def make(name, *options):
        networks = [f"--{model}={runs / model}" for model in ("cwae", "mcnn")]
        output = tmp_path / name
        assert sample.main([*networks, f"--output={output}", "--prior=normal", *options]) == 0
        return {path.name: path.read_bytes() for path in sorted(output.iterdir())}

    return make


def test_files_are_named_by_category_and_number(made, tmp_path):
    files = made("x", "--category=all", "--count=2", "--bits=24")
    wavs = [f"drumjax_{name}_{i:02d}.wav" for name in NAMES for i in (1, 2)]
    assert sorted(files) == sorted([*wavs, "drumjax_contact_sheet.png"])
    assert files["drumjax_contact_sheet.png"].startswith(b"\x89PNG")
    peaks = []
    for name in wavs:
        info = soundfile.info(tmp_path / "x" / name)
        assert (info.subtype, info.samplerate, info.frames) == ("PCM_24", 22050, MEL.num_samples)
        peaks.append(np.abs(soundfile.read(tmp_path / "x" / name)[0]).max())
    assert max(peaks) == pytest.approx(10 ** (-0.1 / 20), abs=1e-5)
    assert len({files[name] for name in wavs}) == len(wavs)


def test_a_seed_is_its_sounds(made):
    first, again, other = (
        made(n, "--count=2", f"--seed={s}") for n, s in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first == again
    sounds = [name for name in first if name.endswith(".wav")]
    assert all(first[name] != other[name] for name in sounds)


def test_a_longer_run_begins_with_the_shorter_one(made):
    few, many = (made(str(n), "--category=snare", f"--count={n}") for n in (2, 4))
    names = [f"drumjax_snare_{i:02d}.wav" for i in range(1, 5)]
    assert [name for name in many if name.endswith(".wav")] == names
    assert [few[name] for name in names[:2]] == [many[name] for name in names[:2]]


def test_one_category_has_the_sounds_it_has_among_all(made):
    alone, among = made("a", "--category=clap", "--count=1"), made("b", "--count=1")
    assert alone["drumjax_clap_01.wav"] == among["drumjax_clap_01.wav"]


def test_unknown_category_names_the_known_ones(made):
    with pytest.raises(ConfigError, match=r"'cowbell'; .*kick, snare, clap"):
        made("x", "--category=cowbell")


@pytest.mark.parametrize("option", ["--count=0", "--seed=-1", "--temperature=nan"])
def test_numbers_out_of_range_are_refused(made, option):
    with pytest.raises(ConfigError, match=f"{option} cannot be used; choose "):
        made("x", option)


def test_output_that_is_a_file_is_refused(made, tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(DataError, match="choose another --output"):
        made("x")


def test_networks_that_are_not_there_are_named(made, tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoints"):
        made("x", f"--mcnn={tmp_path / 'none'}")


def test_missing_flags_are_a_wrong_command_line(capsys):
    with pytest.raises(SystemExit) as caught:
        sample.main([])
    assert caught.value.code == 2
    assert "--cwae" in capsys.readouterr().err


# bench


def test_bench_times_a_step(tmp_path, capsys):
    (tmp_path / "mcnn.py").write_text(
        "import tiny\n\n\ndef get_config(variant):\n    return tiny.get_config('mcnn')\n"
    )
    file = tmp_path / "bench.json"
    options = ["--model=mcnn", "--variant=x", "--runs=1", "--batch=2", f"--json={file}"]
    assert bench.main([f"--configs={tmp_path}", *options]) == 0
    [row] = json.loads(file.read_text())["rows"]
    assert (row["model"], row["variant"], row["batch"]) == ("mcnn", "x", 22)  # 11 categories
    assert row["sounds_per_second"] == pytest.approx(22 / row["seconds"])
    assert row["gflop"] > 0
    assert 0 <= row["waited"] <= 1
    out = capsys.readouterr().out
    assert out.splitlines()[1].split()[:4] == ["mcnn:x", "1", "none", "22"]
    assert "GFLOP/s, which matrix products in float32 reach here" in out


def test_bench_scales_training_alone():
    with pytest.raises(ConfigError, match="--scaling goes with --train"):
        bench.main(["--studio", "--scaling"])


def test_bench_without_configs_says_where_they_belong(tmp_path):
    with pytest.raises(ConfigError, match="--configs"):
        bench.main([f"--configs={tmp_path}"])
