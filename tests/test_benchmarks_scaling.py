"""The formulas of a pod's cost, and the rows of fake devices and processes."""

import itertools
import re
import time

import jax
import pytest
from tiny import get_config

from drumjax.benchmarks import machine, pod, scaling, training
from drumjax.errors import TrainingError
from drumjax.nn.mmd import SCALES, mmd2_per_category
from drumjax.training.state import adam

WORK = pod.Work(2e9, 1_000_000, 3, 16, 8, 7, 100)
PAPER = pod.Work(3.72e9, 57_100_000, 11, 64, 64, 7, 110_000)
CHIP = pod.Chip(peak=2e12, share=0.5, memory=1e11, link=1e9)


@pytest.mark.parametrize(("n", "latents", "scales"), [(64, 64, 7), (128, 32, 1), (32, 128, 7)])
def test_mmds_arithmetic_is_what_xla_counts(n, latents, scales):
    """XLA's count of value and gradient, whose sums of norms and masks the formula leaves out."""
    z = jax.ShapeDtypeStruct((3, n, latents), "float32")
    widths = SCALES["imq7"][:scales]
    both = jax.value_and_grad(lambda z, p: mmd2_per_category(z, p, widths).mean())
    counted = jax.jit(both).lower(z, z).cost_analysis()["flops"]
    work = WORK._replace(per_category=n, latents=latents, scales=scales)
    assert pod.mmd_flop(work) == pytest.approx(counted, rel=0.1)


def test_bytes_by_hand():
    """Two chips: each sends half of the codes and of their gradient, and P floats in two halves."""
    assert pod.gathered_bytes(WORK, 2) == 2 * 48 * 8 * 4 / 2
    assert pod.reduced_bytes(WORK, 2) == 4 * 1_000_000
    assert pod.reduced_bytes(WORK, 1) == pod.gathered_bytes(WORK, 1) == 0


def test_adam_moves_what_its_state_holds():
    """It reads parameters, gradients and its state; it writes parameters and its state."""
    state = jax.eval_shape(adam().init, {"w": jax.ShapeDtypeStruct((1000,), "float32")})
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state) if leaf.ndim)
    assert 3 * 4000 + 2 * held == 1000 * pod.ADAM


def test_a_steps_parts_add_up_and_only_the_networks_are_shared():
    one, four = (pod.step_seconds(WORK, n, CHIP) for n in (1, 4))
    products, kernels, pairs = 12 * 8, 21 * 7, 3 * 16**2
    assert one["networks"] == pytest.approx(2e9 * 48 / 1e12)
    assert one["mmd"] == pytest.approx(
        pairs * ((6 * products + kernels) / 2e12 + pod.PAIR_MOVED / 1e11)
    )
    assert one["adam"] == pytest.approx(28e6 / 1e11)
    assert one["total"] == pytest.approx(one["networks"] + one["mmd"] + one["adam"])
    assert four["networks"] == pytest.approx(one["networks"] / 4)
    assert (four["mmd"], four["adam"]) == (one["mmd"], one["adam"])
    assert pod.step_seconds(WORK._replace(scales=0), 1, CHIP)["mmd"] == 0


def test_where_the_mmd_stops_scaling():
    """The numbers of chips that are printed, put into the formulas."""
    chip = pod.Chip(peak=197e12, share=0.08, memory=819e9, link=1e11)
    text = pod.show(PAPER, chip)
    tenth, whole, late, even = (int(n) for n in re.findall(r"at (\d+)", text)[-4:])
    networks = pod.step_seconds(PAPER, 1, chip)["networks"]

    def grown(chips):
        return PAPER._replace(per_category=64 * chips)

    for chips, share in ((tenth, 0.1), (whole, 1)):
        mmd = pod.step_seconds(grown(chips), chips, chip)["mmd"]
        assert mmd == pytest.approx(share * networks, rel=0.05)
    gather = pod.step_seconds(grown(late), late, chip)["gather"]
    assert gather == pytest.approx(0.1 * networks, rel=0.01)
    sent = pod.gathered_bytes(grown(even), even)
    assert sent == pytest.approx(pod.reduced_bytes(PAPER, even), rel=0.01)
    rows = [line.split() for line in text.splitlines()[2:8]]
    assert [row[0] for row in rows] == ["1", "4", "8", "16", "32", "64"]
    assert "chip at" not in pod.show(PAPER._replace(scales=0), chip)
    assert "\n8 " not in pod.show(PAPER._replace(per_category=4), chip)


def test_a_pool_is_one_row_of_a_batch():
    config = get_config("mcnn")
    config.data.update(balanced=False, per_category=16)
    work = pod.measure_work(config)
    assert (work.batch, work.pairs) == (16, 0)
    assert work.per_sound > 0


@pytest.mark.parametrize("model", ["cwae", "frame_wae", "mcnn"])
def test_pod_finds_each_models_full_size_anywhere(model, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pod, "measure_work", lambda config: PAPER._replace(steps=config.seed + 7))
    assert pod.main([f"--model={model}"]) == 0
    assert "704 sounds a step, 57.1 M parameters, 7 steps" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--variant=nonsense", "--configs=/nope"])
def test_pod_refuses_in_one_sentence(flag, capsys):
    assert pod.main([flag]) == 1
    err = capsys.readouterr().err
    assert err.startswith("drumjax.benchmarks.pod: ")
    assert err.count("\n") == 1


def test_pods_chip_has_figures_above_0():
    with pytest.raises(SystemExit, match="2"):
        pod.main(["--link=0"])


ROW = {
    **{"devices": 1, "device": "cpu", "dtype": "float32", "mode": "none", "batch": 88},
    **{"seconds": 0.5, "sounds_per_second": 8.0, "gflop": 20.0, "gflop_per_second": 40.0},
    **{"peak_gflop_per_second": 400.0, "input_seconds": 0.002, "waited": 0.25},
    **{"stop_seconds": 0.001, "processes": 1},
}


def test_row_that_fails_says_why(monkeypatch):
    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
    with pytest.raises(TrainingError, match="A process of 1 with 1 devices failed: "):
        scaling.run_row({"mode": "none"}, 1, 1)


def test_row_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(scaling, "LIMIT", 0.01)
    with pytest.raises(TrainingError, match=r"took longer than 0\.01 s; give fewer --runs"):
        scaling.run_row({"mode": "none"}, 1, 1)


def test_table_of_rows():
    rows = [ROW, {**ROW, "devices": 4, "processes": 2, "sounds_per_second": 6.0}]
    text = scaling.show(rows)
    assert [" ".join(line.split()) for line in text.splitlines()[1:3]] == [
        "1 1 none 500 8.0 40 10 % 2.0 25.0 % 100 % 1.00",
        "2 2 none 500 6.0 40 10 % 2.0 25.0 % 75 % 1.00",
    ]
    assert scaling.FAKE in text
    assert scaling.FAKE not in scaling.show([{**ROW, "device": "NVIDIA H100"}])


def test_gpus_are_rows_where_there_are_several(monkeypatch):
    """Four of them: no row of eight, and each process sees its own."""
    asked = []
    monkeypatch.setattr(scaling, "count_gpus", lambda: 4)
    monkeypatch.setattr(scaling, "run_row", lambda g, *row: asked.append((g["mode"], *row)) or ROW)
    assert len(scaling.bench_scaling({}, 1, lambda line: None)) == len(asked) == 9
    assert asked[0] == ("none", 1, 1, True)
    assert asked[-1] == ("jit", 1, 4, True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6,7")
    assert scaling.visible(2, 0, True) == {"CUDA_VISIBLE_DEVICES": "3,5"}
    assert scaling.visible(1, 3, True) == {"CUDA_VISIBLE_DEVICES": "7"}
    assert scaling.visible(2, 0, False)["JAX_NUM_CPU_DEVICES"] == "2"


def test_no_gpus_here_or_none_that_jax_can_open(monkeypatch):
    monkeypatch.setattr(scaling, "ASK", "print('noise'); print('gpu 8')")
    assert scaling.count_gpus() == 8
    monkeypatch.setattr(scaling, "ASK", "print('gpu 1')")
    assert scaling.count_gpus() == 0
    monkeypatch.setattr(scaling, "ASK", "raise SystemExit(1)")
    assert scaling.count_gpus() == 0


@pytest.mark.slow
def test_a_row_of_two_processes():
    config = get_config().to_dict()
    config["data"]["per_category"] = 8
    row = scaling.run_row({"config": config, "runs": 1, "mode": "jit"}, 2, 2)
    assert (row["devices"], row["processes"], row["mode"]) == (4, 2, "jit")
    assert row["seconds"] > 0


# bench --train


def test_a_slow_sampler_is_waited_for(monkeypatch):
    """The sampler is made to take 50 ms, far more than a step of such a network."""
    config = get_config("mcnn").to_dict()
    batch = training.Sampler.batch

    def slow(self, step):
        time.sleep(0.05)
        return batch(self, step)

    monkeypatch.setattr(training.Sampler, "batch", slow)
    row = training.time_training(config, "none", 3)
    assert row["input_seconds"] >= 0.05
    assert 0.2 < row["waited"] <= 1
    assert (row["mode"], row["devices"]) == ("none", 1)


def test_the_share_of_the_peak_is_of_the_devices_that_take_part(monkeypatch):
    asked = []
    monkeypatch.setattr(training, "peak_rate", lambda *which: asked.append(which) or 2e9)
    config = get_config("mcnn").to_dict()
    config["data"]["per_category"] = 8
    row = training.time_training(config, "pmap", 1)
    assert asked == [("float32", 8)]
    assert (row["devices"], row["peak_gflop_per_second"]) == (8, 2.0)
    assert row["gflop_per_second"] == pytest.approx(row["gflop"] / row["seconds"])
    share = 100 * row["gflop_per_second"] / 2
    assert training.cells(row)[3] == f"{share:.0f} %"


def test_the_work_of_a_step_does_not_depend_on_how_memory_is_saved(monkeypatch):
    """XLA counts a loop's body once, and what is computed again as work."""
    monkeypatch.setattr(training, "peak_rate", lambda *_: 1e9)
    found = []
    for accumulate, remat in ((1, False), (4, True)):
        config = get_config("mcnn").to_dict()
        config["train"] |= {"accumulate": accumulate, "remat": remat}
        config["data"]["per_category"] = 8
        found.append(training.time_training(config, "none", 1)["gflop"])
    assert found[0] == found[1] > 0


@pytest.mark.parametrize("devices", [1, 2])
def test_the_peak_counts_what_all_devices_multiply(monkeypatch, devices):
    """Oracle: by a clock that ticks half a second, n^3 multiplications and additions on each."""
    monkeypatch.setattr(machine, "GEMM", 64)
    ticks = itertools.count(0, 0.5)
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(ticks))
    assert machine.peak_rate("float32", devices) == 4 * 64**3 * devices
