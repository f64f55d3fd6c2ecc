"""What `benchmarks.plan` makes of XLA's counts, added up by hand; nothing is compiled."""

import importlib.util
from types import SimpleNamespace

import pytest

from drumjax.benchmarks import plan

PROGRAM = """HloModule jit_update
%inner { %a = f32[2] fusion(%b), backend_config={"estimated_cycles":"999999999"} }

ENTRY %main {
  %p = f32[2]{0} parameter(0)
  %c = f32[2] fusion(%p), metadata={op_name="jit(f)/jvp(N)/decoder/Conv_0/cond/branch_0_fun/dot"}, \
backend_config={"estimated_cycles":"1500000"}
  %d = f32[2] fusion(%c), metadata={op_name="jit(f)/transpose(jvp(N))/decoder/Conv_0/dot"}, \
backend_config={"estimated_cycles":"3000000"}
  %e = f32[2] fusion(%d), metadata={op_name="jit(f)/transpose(jvp(N))/decoder/Conv_0/dot"}, \
backend_config={"estimated_cycles":"4500000"}
  ROOT %g = f32[2] copy(%e), backend_config={"estimated_cycles":"150000"}
}
"""


def test_table_adds_up_what_xla_counts():
    """A peak of 197 TFLOP/s, 819 GB/s and 1.5 GHz: 10 and 20 ms; 9.15 M cycles are 6.1 ms."""
    counts = {"flops": 1.97e12, "bytes accessed": 16.38e9}
    made = SimpleNamespace(
        cost_analysis=lambda: counts,
        memory_analysis=lambda: SimpleNamespace(temp_size_in_bytes=2_500_000_000),
        as_text=lambda: PROGRAM,
    )
    head, total, *layers = plan.show(made).splitlines()
    assert "1.97 TFLOP, 10.0 ms" in head
    assert "16.4 GB moved, 20.0 ms: at most 50 % of the peak; 2.50 GB held" in head
    assert total == "XLA's cycles: 6.1 ms, of which"
    assert [line.split() for line in layers] == [
        ["5.0", "backward", "Conv_0/dot", "(fusion)"],
        ["1.0", "forward", "Conv_0/dot", "(fusion)"],
        ["0.1", "forward", "(copy)"],
    ]


def test_without_the_compiler_a_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in plan.ALONE:
        monkeypatch.setenv(name, "")  # put back afterwards
    assert plan.main([]) == 1
    assert capsys.readouterr().err.endswith("is not installed: pip install libtpu.\n")


@pytest.mark.parametrize("model", plan.FULL)
def test_every_model_has_a_variant_of_full_size(model):
    from drumjax.commands.bench import load_config

    assert "compute_dtype" in load_config(None, model, plan.FULL[model][0])[model]
