"""The formulas of a pod's cost, and the rows of fake devices and processes."""

import jax
import pytest
from tiny import get_config

from drumjax.benchmarks import pod, scaling
from drumjax.errors import TrainingError
from drumjax.nn.mmd import SCALES, mmd2_per_category

WORK = pod.Work(2e9, 1_000_000, 3, 16, 8, 7, 100)


def test_mmds_arithmetic_is_what_xla_counts():
    """XLA's count of value and gradient, whose additions of norms and masks the formula leaves."""
    z = jax.ShapeDtypeStruct((3, 64, 64), "float32")
    both = jax.value_and_grad(lambda z, p: mmd2_per_category(z, p, SCALES["imq7"]).mean())
    counted = jax.jit(both).lower(z, z).cost_analysis()["flops"]
    work = WORK._replace(per_category=64, latents=64)
    assert pod.mmd_flop(work, 64) == pytest.approx(counted, rel=0.5)


def test_bytes_by_hand():
    """Two chips: each is sent half of the codes, and sends P floats in two halves."""
    assert pod.gathered_bytes(WORK, 48, 2) == 48 * 8 * 4 / 2
    assert pod.reduced_bytes(WORK, 2) == 4 * 1_000_000
    assert pod.reduced_bytes(WORK, 1) == pod.gathered_bytes(WORK, 48, 1) == 0


def test_a_steps_parts_add_up_and_only_the_networks_are_shared():
    one, four = (pod.step_seconds(WORK, n, 1e12, 1e9) for n in (1, 4))
    assert one["total"] == pytest.approx(2e9 * 48 / 1e12 + pod.mmd_flop(WORK, 16) / 1e12)
    assert four["networks"] == pytest.approx(one["networks"] / 4)
    assert four["mmd"] == one["mmd"]
    text = pod.show(WORK, 2e12, 0.5, 1e9)
    assert "2.00 GFLOP a sound" in text
    assert "all-reduce of the gradients 8 MB" in text


def test_row_that_fails_says_why(monkeypatch):
    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
    with pytest.raises(TrainingError, match="A process of 1 with 1 devices failed: "):
        scaling.run_row({"mode": "none"}, 1, 1)


def test_table_of_rows():
    row = {"devices": 1, "processes": 1, "mode": "none", "seconds": 0.5, "stop_seconds": 0.001}
    rows = [{**row, "sounds_per_second": 8.0}, {**row, "devices": 2, "sounds_per_second": 6.0}]
    assert [line.split() for line in scaling.show(rows).splitlines()[1:3]] == [
        ["1", "1", "none", "500", "8.0", "100", "%", "1.00"],
        ["1", "2", "none", "500", "6.0", "75", "%", "1.00"],
    ]


@pytest.mark.slow
def test_a_row_of_two_processes():
    config = get_config().to_dict()
    config["data"]["per_category"] = 8
    given = {"model": "cwae", "config": config, "runs": 1, "mode": "jit"}
    row = scaling.run_row(given, 2, 2)
    assert (row["devices"], row["processes"], row["mode"]) == (2, 2, "jit")
    assert row["seconds"] > 0
