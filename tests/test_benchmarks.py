"""`bench --play`: rivals that are the same network, honest timing, and a table of it all."""

import io
import json
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import soundfile
from instruments import networks as tiny_networks
from instruments import tiny_instrument
from tiny import CWAE, MCNN, MEL, NAMES

from drumjax.benchmarks import griffin_lim, machine, networks, play, start, table, timing
from drumjax.benchmarks.linen_networks import linen_networks
from drumjax.benchmarks.rival_linen import package_apply, plain_apply, reference
from drumjax.commands import bench
from drumjax.errors import ConfigError, DataError, InstrumentError
from drumjax.models import cwae, mcnn
from drumjax.play.instrument import save_instrument


@pytest.fixture(scope="module")
def linen():
    return linen_networks(tiny_instrument())


@pytest.fixture(scope="module")
def played():
    """Codes, every category and one mixture, and the models' own mel, sound and mask logits."""
    z, weights = networks.codes(np.random.default_rng(3), CWAE.latents, len(NAMES), 4)
    weights[3] = [0.2, 0.5, 0.3]
    cwae_variables, mcnn_variables = tiny_networks()

    def run(z, weights):
        mel = cwae.decode(CWAE, cwae_variables, z, weights)
        sound = mcnn.generate(MCNN, mcnn_variables, mel)
        return mel, sound, mcnn.forward(MCNN, mcnn_variables["params"]["mcnn"], mel)[1]

    return z, weights, *(np.asarray(a) for a in jax.jit(run)(z, weights))


def assert_same(render, played):
    """Within the tolerance of the trained models, batched and alone; there must be sound."""
    z, weights, _, sound, logits = played
    assert np.mean(sound != 0) > 0.1
    made = render(z, weights)
    assert made.dtype == np.float32
    assert networks.relative_error(made, sound, logits) < 1e-4
    alone = render(z[3:], weights[3:])
    assert networks.relative_error(alone, sound[3:], logits[3:]) < 1e-4


# The same network


def test_the_reference_is_the_models_before_export(linen, played):
    z, weights, *expected = played
    for a, b in zip(reference(linen)(z, weights)[:3], expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


def test_the_packages_modules_are_the_models(linen, played):
    assert_same(package_apply(linen), played)


@pytest.mark.parametrize("vmapped", [False, True])
def test_plain_linen_is_the_models(linen, played, vmapped):
    assert_same(plain_apply(linen, vmapped), played)


@pytest.mark.parametrize("threads", [1, 2])
def test_torch_is_the_models(played, threads):
    torch = pytest.importorskip("torch", reason="torch is not installed (extra bench)")
    from drumjax.benchmarks.rival_torch import torch_apply

    before = torch.get_num_threads()
    try:
        assert_same(torch_apply(tiny_instrument(), threads), played)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_onnx_runtime_is_the_models(played):
    pytest.importorskip("onnx", reason="onnx is not installed (extra bench)")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra bench)")
    from drumjax.benchmarks.rival_onnx import onnx_apply

    assert_same(onnx_apply(tiny_instrument(), 1), played)


def test_the_onnx_model_is_valid():
    onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra bench)")
    from drumjax.benchmarks.rival_onnx import build_model

    model = onnx.load_model_from_string(build_model(tiny_instrument()))
    onnx.checker.check_model(model, full_check=True)
    assert [x.name for x in model.graph.input] == ["z", "weights"]
    assert len(model.graph.output) == 2


def test_griffin_lim_inverts(played):
    pytest.importorskip("librosa", reason="librosa is not installed (extra bench)")
    t = np.arange(MEL.num_samples) / MEL.sample_rate
    tone = np.sin(2 * np.pi * 1000 * t).astype(np.float32)
    from drumjax.audio.mel import mel_spectrogram

    mel = np.asarray(mel_spectrogram(tone[None], MEL))[0]
    for call in griffin_lim.inversions(mel, MEL).values():
        spectrum = np.abs(np.fft.rfft(call(), MEL.num_samples))
        peak = np.argmax(spectrum) * MEL.sample_rate / MEL.num_samples
        assert peak == pytest.approx(1000, abs=60)  # half a filter


def test_relative_error_leaves_out_undecided_samples():
    x, reference = np.ones((1, 4)), np.array([[1.0, 1.0, 1.0, 3.0]])
    assert networks.relative_error(x, reference, np.array([[1.0, -1, 1, 1e-6]])) == 0
    error = networks.relative_error(x, reference, np.array([[1.0, -1, 1, 1]]))
    assert error == pytest.approx(2 / np.sqrt(12))
    assert np.isnan(networks.relative_error(x * np.nan, reference, np.ones((1, 4))))


def test_a_random_instrument_is_no_trivial_one():
    instrument = networks.random_instrument(CWAE, MCNN)
    assert instrument.categories == NAMES
    z, weights = networks.draw_codes(instrument, 6)
    mel, sound, _, _ = reference(linen_networks(instrument))(z, weights)
    assert np.std(mel[0] - mel[3]) > 0.01 * np.std(mel)  # codes of one category
    assert np.all(np.abs(sound).max(axis=1) > 0)
    level = mel.mean(axis=(0, 2))
    fall = networks.FALL ** (MEL.hop_length * 19 / MEL.sample_rate / networks.NATURAL)
    assert level[-1] / level[0] == pytest.approx(fall, rel=0.5)
    scale = instrument.tensors["decoder/norm0/scale"]
    assert np.ptp(scale, axis=0).min() > 0  # categories differ


def test_codes_come_from_each_categorys_gaussian():
    instrument = tiny_instrument()
    z, weights = networks.draw_codes(instrument, 9000)
    for i in range(len(NAMES)):
        own = z[weights[:, i] == 1].astype(np.float64)
        mean, covariance = (instrument.tensors[f"latents/{k}"][i] for k in ("mean", "covariance"))
        variances = np.diag(covariance)
        assert np.all(np.abs(own.mean(0) - mean) < 4 * np.sqrt(variances / len(own)))
        error = np.sqrt((np.outer(variances, variances) + covariance**2) / len(own))
        assert np.all(np.abs(np.cov(own.T) - covariance) < 4 * error)


# Arithmetic and timing


def test_the_papers_networks_take_their_arithmetic():
    """MCNN and decoder layer by layer, from the shapes that the paper and DESIGN print."""
    meta = {
        "categories": list(range(11)),
        "mel": {"num_samples": 22015, "hop_length": 256, "n_mels": 512},
        "cwae": {
            **{"channels": [32, 64, 128], "hidden": [1024, 512], "latents": 64},
            **{"kernel": [11, 5], "stride": [3, 2]},
        },
        "mcnn": {"channels": [128, 64, 32, 16, 8, 4, 2, 2], "heads": 8, "width": 13, "stride": 2},
    }
    first = 86 * 512 * 128
    rest = 86 * (2 * 128 * 64 + 4 * 64 * 32 + 8 * 32 * 16 + 16 * 16 * 8)
    last = 86 * (32 * 8 * 4 + 64 * 4 * 2 + 128 * 2 * 2)
    counts = machine.flop_per_sound(meta)
    assert counts["mcnn"] == 2 * 8 * 13 * (first + rest + last)
    assert counts["decoder/dense"] == 2 * (75 * 512 + 512 * 1024 + 1024 * 19 * 11 * 128)
    convs = 19 * 11 * 128 * 64 + 57 * 22 * 64 * 32 + 171 * 43 * 32
    assert counts["decoder/conv"] == 2 * 55 * convs
    assert counts["total"] == pytest.approx(2.31e9, rel=0.01)


@pytest.mark.parametrize("n", [1, 2, 99, 100, 101])
def test_percentiles_are_numpys(n):
    seconds = np.random.default_rng(n).exponential(size=n)
    result = timing.timing_of(list(seconds))
    expected = np.percentile(seconds, (50, 99), method="inverted_cdf")
    assert (result.p50, result.p99) == tuple(expected)
    assert (result.best, result.n) == (seconds.min(), n)


def test_contenders_take_turns(monkeypatch):
    monkeypatch.setattr(timing, "PAUSE", 0)
    calls = []
    result = timing.race({name: lambda name=name: calls.append(name) for name in "ab"}, 15)
    assert {name: t.n for name, t in result.items()} == {"a": 15, "b": 15}
    assert "".join(calls) == 11 * "a" + 11 * "b" + 6 * "a" + 6 * "b"  # one of each turn untimed


def test_a_slow_contender_runs_less_often(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: None)

    def wait(seconds):
        now[0] += seconds

    times = {"slow": 9.0, "middling": 1.5, "quick": 0.01}
    calls = {name: lambda s=s: wait(s) for name, s in times.items()}
    result = timing.race(calls, 30, seconds=10.0)
    assert {name: t.n for name, t in result.items()} == {"slow": 3, "middling": 7, "quick": 30}
    assert result["slow"].p50 == pytest.approx(9.0)


def test_a_matmul_of_known_time_has_a_rate():
    """Oracle: a product of n x n matrices takes n³ multiplications and as many additions."""
    assert machine.gemm_rate(0.5) == pytest.approx(4 * machine.GEMM**3)


def test_what_is_timed_ends_in_wav_bytes():
    sounds = np.array([[0.5, -2.0], [0.25, 0.5]], np.float32)
    loud, quiet = (soundfile.read(io.BytesIO(b))[0] for b in play.to_wav(sounds, 22050))
    np.testing.assert_allclose(loud, sounds[0] * play.CEILING / 2, atol=1e-4)
    np.testing.assert_allclose(quiet, sounds[1], atol=1e-4)


def test_natural_lengths_are_counted_to_the_last_sound():
    made = np.zeros((3, 100))
    made[0, :40], made[1, 9] = 1.0, 1.0
    player = SimpleNamespace(render=lambda z, w: made, sample_rate=10)
    setting = SimpleNamespace(player=player, z=None, weights=None)
    assert play._natural_seconds(setting) == pytest.approx((4.0 + 1.0 + 0.0) / 3)


def test_a_player_that_differs_from_the_model_is_not_timed(monkeypatch):
    monkeypatch.setattr(play.Player, "render", lambda self, z, w, full=False: np.zeros((1, 1279)))
    with pytest.raises(InstrumentError, match=r"differs from the model's by 1\.0e\+00"):
        play.bench_play(tiny_instrument(), 1, [], lambda line: None)


# Who takes part


def test_only_equal_rivals_are_timed(monkeypatch):
    def missing():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    def broken():
        raise RuntimeError("no compiler\nand more")

    makes = {
        "equal": lambda: lambda z, w: np.ones((1, 4)),
        "close": lambda: lambda z, w: np.full((1, 4), 1 + 5e-5),
        "wrong": lambda: lambda z, w: np.full((1, 4), 1 + 2e-4),
        "nan": lambda: lambda z, w: np.full((1, 4), np.nan),
        "missing": missing,
        "also missing": missing,
        "broken": broken,
    }
    entries = [play.Entry(name, make, name != "close") for name, make in makes.items()]

    setting = SimpleNamespace(
        player=SimpleNamespace(render=lambda z, w, full=False: None),
        say=lambda line: None,
        **dict.fromkeys(("z", "weights"), np.zeros((1, 1))),
        **dict.fromkeys(("sound", "logits"), np.ones((1, 4))),  # the model's answer
    )
    monkeypatch.setattr(play, "_own_error", lambda setting: 0.0)
    field = play._line_up(setting, entries)
    own = ["player, whole second", "player, natural length"]
    assert list(field.ready) == [*own, "equal", "close"]
    assert field.batches == [*own, "equal"]
    assert field.missing == ["torch"]
    failed = {row["contender"]: row["failed"] for row in field.failed}
    assert list(failed) == ["wrong", "nan", "broken"]
    assert "2.0e-04" in failed["wrong"]
    assert failed["broken"] == "RuntimeError: no compiler"


# Start


SCRIPT = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
memory = b"x" * 60_000_000
folder.mkdir()
(folder / "a.wav").write_bytes(os.environ["DRUMJAX_CACHE"].encode())
time.sleep(0.3)
"""


def test_a_start_is_timed_to_the_first_file(tmp_path):
    output = tmp_path / "out"
    row = start.run_once([sys.executable, "-c", SCRIPT, str(output)], output, tmp_path / "cache")
    assert (output / "a.wav").read_bytes() == str(tmp_path / "cache").encode()
    assert 0 < row["first_wav_s"] < row["exit_s"] - 0.2
    assert row["peak_mb"] is None or 60 < row["peak_mb"] < 100  # this process has more


@pytest.mark.parametrize(
    ("script", "said"), [("raise SystemExit('No such drum.')", "No such drum."), ("", "status 0")]
)
def test_a_start_without_a_file_says_why(tmp_path, script, said):
    row = start.run_once([sys.executable, "-c", script], tmp_path / "out", tmp_path)
    assert row == {"failed": said}


def test_the_median_of_the_warm_starts_counts():
    taken = [{"first_wav_s": s, "exit_s": 2 * s, "peak_mb": None} for s in (3.0, 1.0, 2.0)]
    expected = {"cache": "warm", "first_wav_s": 2.0, "exit_s": 4.0, "peak_mb": None, "runs": 3}
    assert start._median("warm", taken) == expected
    assert start._median("warm", [*taken, {"failed": "no"}]) == {"cache": "warm", "failed": "no"}


# The command


def test_bench_play_prints_what_it_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(timing, "PAUSE", 0)
    monkeypatch.setattr(play, "BATCHES", (8,))
    monkeypatch.setattr(machine, "GEMM", 64)
    [file] = save_instrument(tiny_instrument(), tmp_path / "tiny.safetensors", encoder=False)
    flags = [f"--instrument={file}", "--runs=2", "--no-start", "--rivals=linen"]
    assert bench.main(["--play", *flags, f"--json={tmp_path / 'b.json'}"]) == 0
    result = json.loads((tmp_path / "b.json").read_text())
    out, err = capsys.readouterr()
    assert "batches of 8" in err
    rows = {(row["contender"], row["batch"]): row for row in result["rows"]}
    both = ("player, whole second", "player, natural length", "linen, plain")
    assert {(name, b) for name in both for b in (1, 8)} <= set(rows)
    for (name, batch), row in rows.items():
        assert name in out
        assert row["sounds_per_second"] == pytest.approx(1e3 * batch / row["p50_ms"])
        assert 0 < row["best_ms"] <= row["p50_ms"] <= row["p99_ms"]
        assert row["error"] is None or row["error"] < 1e-4
    assert rows["linen, plain", 1]["runs"] == 2
    assert rows["player, mel alone", 1]["error"] < 1e-4
    assert rows["player, whole second", 1]["error"] < 1e-4
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["packages"]["jax"] == jax.__version__
    limit = result["limit"]
    assert limit["ms"] == pytest.approx(limit["gflop"]["total"] / limit["gflop_per_second"] * 1e3)
    own = rows["player, whole second", 1]["p50_ms"]
    assert result["ratios"]["the limit"] == pytest.approx(own / limit["ms"])
    assert "start" not in result
    assert result["missing"] == []


def test_the_table_names_failures_starts_and_what_is_missing():
    row = {"contender": "player", "batch": 1, "p50_ms": 12.34, "p99_ms": 20.0, "runs": 5}
    result = {
        "machine": {
            **{"cpu": "Z80", "cores": 2, "load": 0.25, "system": "CP/M"},
            "packages": {"jax": "1.0"},
        },
        "instrument": "tiny",
        "rows": [
            {**row, "sounds_per_second": 81.0, "error": None},
            {**row, "contender": "linen", "sounds_per_second": 81.0, "error": 2e-7},
            {"contender": "torch", "failed": "no compiler"},
        ],
        "limit": {"gflop": {"total": 2.0}, "gflop_per_second": 200.0, "ms": 10.0},
        "ratios": {"the limit": 1.234},
        "natural_seconds": 0.46,
        "start": [
            {"cache": "empty", "failed": "No."},
            {"cache": "warm", "first_wav_s": 1.5, "exit_s": 2.0, "peak_mb": 321.0, "runs": 3},
        ],
        "missing": ["onnxruntime"],
    }
    text = table.show(result)
    lines = text.splitlines()
    assert lines[0] == "Z80, 2 cores, load 0.2 before the run, CP/M; jax 1.0"
    assert lines[4].split() == ["player", "12.3", "20.0", "81.0", "5"]
    assert lines[5].split() == ["linen", "12.3", "20.0", "81.0", "5", "2e-07"]
    assert len({len(line) for line in lines[3:6]}) == 2  # columns meet; no spaces at the ends
    assert "torch: no compiler" in lines
    assert "start, empty cache: No." in lines
    assert "first WAV after 1.50 s, end after 2.00 s, 321 MB at most" in text
    assert "1.23 × the limit" in text
    assert lines[-1] == "onnxruntime is not installed: pip install 'drumjax[bench]'"


@pytest.mark.parametrize(
    ("flags", "kind", "says"),
    [
        (["--rivals=linen,cubase"], ConfigError, r"'cubase'; choose of linen, .*onnx"),
        (["--runs=0"], ConfigError, "--runs"),
        (["--json=/nowhere/at/all.json"], DataError, "choose another --json"),
        (["--instrument=nowhere.safetensors"], InstrumentError, "nowhere"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(flags, kind, says):
    with pytest.raises(kind, match=says):
        bench.main(["--play", *flags])


def test_without_flax_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "flax", None)
    with pytest.raises(ConfigError, match=r"flax: pip install 'drumjax\[bench\]'"):
        bench.main(["--play"])


def test_train_and_play_are_two_runs(capsys):
    with pytest.raises(SystemExit) as stop:
        bench.main(["--play", "--train"])
    assert stop.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_the_studio_is_timed_whatever_its_categories(instruments, monkeypatch, capsys):
    """Three categories; few and short drags and flood. Lost answers count as the whole wait."""
    from drumjax.benchmarks import chromium, studio
    from drumjax.commands.bench import main

    for name, value in {"DRAGS": 2, "FLOOD_SECONDS": 1.5, "FLOOD_RATE": 2000}.items():
        monkeypatch.setattr(studio, name, value)
    monkeypatch.setattr(chromium, "found", lambda: None)
    assert main(["--studio", "--runs=20", f"--instrument={instruments / 'full.safetensors'}"]) == 0
    said = capsys.readouterr().out
    assert "(20 messages)" in said
    assert "(2 drags)" in said
    assert "there is no Chromium" in said
    assert "of them lost)" in said


def test_a_late_answer_is_not_the_next_ones(monkeypatch):
    """A server that answers the first request after the client's patience has ended."""
    import socket
    import threading
    import time

    from drumjax.benchmarks import studio
    from drumjax.studio.osc_messages import encode

    monkeypatch.setattr(studio, "PATIENCE", 0.2)
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    door.bind(("127.0.0.1", 0))

    def answer():
        for wait, reply in ((0, "/drumjax/categories"), (0.3, None), (0, None)):
            _, client = door.recvfrom(8192)
            time.sleep(wait)
            door.sendto(encode(reply or "/drumjax/sample", "a", "b", 1.0), client)

    threading.Thread(target=answer, daemon=True).start()
    with door, studio.Client(door.getsockname()[1]) as client:
        assert client.known == 3
        assert client.time(0, 0, 0) == 0.2
        assert client.time(0, 0, 1) < 0.2


def test_a_checkpoint_is_timed_in_its_parts(tmp_path, caplog):
    """Nothing is logged besides; an empty folder holds the checkpoints afterwards."""
    from tiny import get_config

    from drumjax.benchmarks import saving
    from drumjax.training.checkpoint import Checkpoints

    found = saving.time_checkpoints(get_config("mcnn").to_dict(), 2, tmp_path)
    assert 0 < found["save"] <= found["written"]
    assert 0 < found["verify"] < found["restore"]
    assert found["megabytes"] > 0.01
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.latest_step() == 2
    assert caplog.messages == []
