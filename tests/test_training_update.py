"""Learning rates, the plateau, one update by hand, sweeps, and what a config may change."""

import os
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import bursts, get_config

from drumjax.errors import ConfigError
from drumjax.models.objective import Loss, Objective
from drumjax.training.config import (
    apply_variant,
    check_config,
    check_same,
    check_workdir,
    claim_workdir,
    flatten,
)
from drumjax.training.plateau import MIN_SCALE, Plateau, observe
from drumjax.training.state import adam, create_state, trained
from drumjax.training.sweep import chunks, first_of_each, sweep
from drumjax.training.update import learning_rate, make_update

# Learning rate


def test_constant_rate_after_a_linear_warm_up():
    rate = learning_rate(0.1, "constant", 100, 4)
    np.testing.assert_allclose([rate(s) for s in range(6)], [0.025, 0.05, 0.075, 0.1, 0.1, 0.1])
    assert learning_rate(0.1, "constant", 100, 0)(0) == pytest.approx(0.1)


def test_cosine_rate_equals_optax():
    rate = learning_rate(0.3, "cosine", 60, 10)
    theirs = optax.cosine_decay_schedule(0.3, 50)
    for step in (10, 11, 30, 59, 60, 61):
        assert rate(step) == pytest.approx(float(theirs(step - 10)), abs=1e-7)
    assert rate(0) == pytest.approx(0.03)
    assert rate(60) == pytest.approx(0.0, abs=1e-8)


def test_unknown_schedule_is_refused():
    with pytest.raises(ConfigError, match=r"constant.*cosine"):
        learning_rate(0.1, "linear", 100, 0)


# Plateau: x0.5 after ten epochs without improvement


def run(losses, factor=0.5, patience=10):
    plateau = Plateau()
    scales = []
    for loss in losses:
        plateau = observe(plateau, loss, factor=factor, patience=patience)
        scales.append(plateau.scale)
    return scales


def test_ten_epochs_without_improvement_halve_the_rate():
    scales = run([1.0] * 22)  # the first is the best; the 11th and 21st are ten epochs on
    assert scales == [1.0] * 10 + [0.5] * 10 + [0.25] * 2


def test_each_improvement_starts_the_count_again():
    assert run([1.0] * 10 + [0.5] + [0.5] * 9) == [1.0] * 20
    assert run([1.0] * 10 + [0.5] + [0.5] * 10)[-1] == 0.5


def test_negative_losses_are_losses_like_others():
    falling = [-0.1 * i for i in range(30)]
    assert run(falling) == [1.0] * 30
    assert run([-3.0] * 11)[-1] == 0.5
    assert run([-3.0, *[-2.0] * 10])[-1] == 0.5  # rising is no improvement


def test_threshold_is_absolute():
    crawling = [1.0 - 0.5e-4 * i for i in range(3)]
    plateau = Plateau(best=1.0)
    for loss in crawling:
        plateau = observe(plateau, loss, factor=0.5, patience=100)
    assert plateau == Plateau(best=1.0, misses=3)
    assert observe(plateau, 0.9998, factor=0.5, patience=100) == Plateau(0.9998)
    assert observe(Plateau(-5.0, 2), -5.0002, factor=0.5, patience=9) == Plateau(-5.0002)


def test_factor_is_the_configs_and_the_scale_has_a_floor():
    assert run([1.0] * 4, factor=0.2, patience=1) == pytest.approx([1.0, 0.2, 0.04, 0.008])
    assert run([1.0] * 4, factor=1.0, patience=1) == [1.0] * 4
    assert run([1.0] * 50, patience=1)[-1] == MIN_SCALE


def test_noise_around_a_falling_loss_leaves_the_rate_alone():
    """The paper's validations: one an epoch, so that ten misses in a row are ten epochs."""
    rng = np.random.default_rng(0)
    losses = 1.0 - 0.002 * np.arange(500) + rng.normal(0, 0.002, 500)
    assert run(losses)[-1] == 1.0


# An update by hand


def toy(names):
    """Players that each pull their own parameter towards 3 and would pull the others too."""

    def function(variables, batch, key, axis_name):
        p = variables["params"]
        loss = sum((jnp.float32(3.0) - v) ** 2 for v in p.values()) + 0.0 * batch["x"].sum()
        return loss, ({}, {"loss": loss, "noise": jax.random.normal(key)})

    def init(key):
        params = {n: jnp.float32(i) for i, n in enumerate(names)}
        return {"params": params, "batch_stats": {}, "constants": {}}

    losses = {name: Loss(function, (name,)) for name in names}
    none = lambda *_: {}  # noqa: E731
    return Objective(init, none, losses, none, none, none, none)


def test_update_is_adam_times_rate_times_plateau():
    objective, optimiser = toy(["a"]), adam(0.9)
    update = make_update(objective, optimiser, learning_rate(0.1, "constant", 9, 0), 0)
    state = create_state(objective, optimiser, jax.random.key(0))
    theirs = optax.adam(0.1 * 0.5)
    value, memory = jnp.float32(0.0), theirs.init(jnp.float32(0.0))
    state = state._replace(lr_scale=jnp.float32(0.5))
    for step in range(3):
        state, metrics = update(state, {"x": jnp.zeros(1)})
        changed, memory = theirs.update(2 * (value - 3.0), memory)
        assert metrics["gradient_norm"] == pytest.approx(float(2 * (3.0 - value)), rel=1e-5)
        value = value + changed
        assert state.variables["params"]["a"] == pytest.approx(float(value), rel=1e-5)
        assert state.step == step + 1


def test_each_player_changes_its_own_part_after_the_one_before():
    objective, optimiser = toy(["a", "b"]), optax.identity()
    update = make_update(objective, optimiser, learning_rate(0.1, "constant", 9, 0), 0)
    state, metrics = update(
        create_state(objective, optimiser, jax.random.key(0)), {"x": jnp.zeros(1)}
    )
    params = state.variables["params"]
    assert params["a"] == pytest.approx(0.6)
    assert params["b"] == pytest.approx(1 + 0.1 * 2 * 2)
    assert metrics["a/loss"] == pytest.approx(9 + 4)
    assert metrics["b/loss"] == pytest.approx(2.4**2 + 4)  # sees the new a
    assert metrics["a/noise"] != metrics["b/noise"]


def test_randomness_is_a_function_of_seed_and_step():
    objective, optimiser = toy(["a"]), optax.identity()
    fresh = create_state(objective, optimiser, jax.random.key(0))

    def noise(seed, step):
        update = make_update(objective, optimiser, learning_rate(0.1, "constant", 9, 0), seed)
        state = fresh._replace(step=jnp.int32(step))
        return float(update(state, {"x": jnp.zeros(1)})[1]["noise"])

    assert noise(0, 4) == noise(0, 4)
    assert len({noise(0, 4), noise(0, 5), noise(1, 4)}) == 3


def test_fresh_state():
    objective = toy(["a", "b"])
    state = create_state(objective, adam(), jax.random.key(0))
    assert (state.step, state.lr_scale) == (0, 1.0)
    assert sorted(state.optimiser) == ["a", "b"]
    assert trained(state.variables, ("b",)) == {"b": 1.0}


# Sweeps


def test_sweep_covers_every_sound_once_in_order():
    source = bursts(3, 4, 0)
    values = sweep(lambda a, c: {"first": a[:, 0], "category": c}, source, size=3)
    np.testing.assert_array_equal(values["first"], source.audio[:, 0])
    np.testing.assert_array_equal(values["category"], source.category)


def test_chunks_have_one_size():
    parts = list(chunks(bursts(3, 4), 5))
    assert [(a.shape[0], c.shape[0], n) for a, c, n in parts] == [(5, 5, 5), (5, 5, 2)]


def test_first_of_each_category_are_spread_over_the_set():
    source = bursts(5, 1, 3)
    np.testing.assert_array_equal(first_of_each(source, 1), [0, 5, 6])
    np.testing.assert_array_equal(first_of_each(source, 2), [0, 4, 5, 6, 8])
    np.testing.assert_array_equal(first_of_each(source, 0), np.arange(9))


# Configs


def from_file(model, variant):
    """What configs/MODEL.py gives for a variant."""
    file = Path(__file__).parents[1] / "configs" / f"{model}.py"
    return runpy.run_path(str(file))["get_config"](variant)


def test_variant_sets_its_fields():
    bases = {"quick": {"train.steps": 7, "cwae.hidden": (5,)}}
    changes = {"twice": lambda config: {"train.steps": 2 * config.train.steps}}
    config = apply_variant(get_config(), "quick+twice", bases, changes)
    assert config.train.steps == 14
    assert config.cwae.hidden == (5,)


def test_unknown_variant_is_named_with_the_known_ones():
    with pytest.raises(
        ConfigError, match=r"cwae.py has no variant 'tniy'; choose one of tiny, small"
    ):
        apply_variant(get_config(), "tniy", {"tiny": {}, "small": {}}, {"vae": {}})


@pytest.mark.parametrize(
    ("model", "variant", "right"),
    [
        ("mcnn", "linear", "paper+linear"),
        ("frame_wae", "latents64", "base+latents64"),
        ("cwae", "random_sampler+small", "small+random_sampler"),
        ("cwae", "no_mmd+tiny+no_layering", "tiny+no_mmd+no_layering"),
        ("cwae", "small+tiny+no_mmd", "small+no_mmd"),
    ],
)
def test_a_chain_begins_with_its_one_base(model, variant, right):
    """Else it would be silently another experiment, such as batches of 4 in place of 44."""
    bases = "base, small, tiny" if model == "frame_wae" else "paper, small, tiny"
    told = f"configs/{model}.py:{variant} does not begin with one base ({bases}) and join changes"
    with pytest.raises(ConfigError) as caught:
        from_file(model, variant)
    assert str(caught.value).startswith(told)
    assert str(caught.value).endswith(f"; give configs/{model}.py:{right}.")
    assert from_file(model, right).model == model


def test_a_config_reaches_the_work_directory_whole_or_not_at_all(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    config = get_config().to_dict()
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ConfigError, match=r"cannot be written to \(No space .*--workdir"):
        claim_workdir(tmp_path / "run", config)
    assert list((tmp_path / "run").iterdir()) == []
    monkeypatch.undo()
    claim_workdir(tmp_path / "run", config)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["config.json"]
    check_workdir(tmp_path / "run", config)


def test_validations_may_change_unless_the_rate_follows_them():
    config = get_config().to_dict()
    often = {**config, "train": {**config["train"], "validate_every": 2}}
    with pytest.raises(ConfigError, match=r"train\.validate_every was 1000, now 2"):
        check_same(often, config, "runs/x")
    check_same(often, config, "runs/x", newest=False)  # of what the run began with
    free = [{**c, "train": {**c["train"], "plateau_factor": 1.0}} for c in (often, config)]
    check_same(*free, "runs/x")


@pytest.mark.parametrize("model", ["cwae", "frame_wae"])
def test_the_batch_that_older_runs_hold_is_not_compared(model):
    config = get_config(model).to_dict()
    assert "batch_size" not in config[model]
    old = {**config, model: {**config[model], "batch_size": 704}}
    check_same(config, old, "runs/x")
    with pytest.raises(ConfigError, match=rf"no field '{model}\.batch_size'"):
        check_config(old)


def test_flat_config_is_what_json_gives_back():
    flat = flatten({"a": {"b": (1, 2), "c": {"d": "x"}}, "e": 3.0})
    assert flat == {"a.b": [1, 2], "a.c.d": "x", "e": 3.0}


def test_run_may_go_on_for_longer_but_not_with_another_rate():
    config = get_config().to_dict()
    longer = {**config, "train": {**config["train"], "steps": 9, "checkpoint_every": 2}}
    check_same(longer, config, "runs/x")
    check_same(longer, {**config, "categories": ["kick", "snare"]}, "runs/x")  # a checkpoint's
    cosine = [{**c, "train": {**c["train"], "schedule": "cosine"}} for c in (longer, config)]
    with pytest.raises(ConfigError, match=r"train\.steps was 3, now 9"):
        check_same(*cosine, "runs/x")
    other = {**config, "seed": 4, "train": {**config["train"], "learning_rate": 0.5}}
    message = r"runs/x .*seed was 0, now 4; train.learning_rate was 0.001, now 0.5.*--workdir"
    with pytest.raises(ConfigError, match=message):
        check_same(other, config, "runs/x")
    with pytest.raises(ConfigError, match=r"mel\.extra was 1, now None"):
        check_same(config, {**config, "mel": {**config["mel"], "extra": 1}}, "runs/x")
