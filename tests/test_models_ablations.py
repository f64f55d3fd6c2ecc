"""Ablations: MMDs of unequal counts, joined variants, eight devices as one, export, the table."""

import dataclasses
import functools
import json
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from test_nn_mmd import double_loop
from test_training_parallel import PEAK, PER_CATEGORY, SHALLOW, assert_close, changes
from tiny import FRAMES, MCNN, batch_of, bursts

from drumjax.audio.mel import log_mel, mel_spectrogram
from drumjax.benchmarks import ablations as command
from drumjax.categories import CATEGORIES
from drumjax.errors import ConfigError
from drumjax.evals import ablations
from drumjax.models import build_objective, cwae, frame_wae, mcnn
from drumjax.models.objective import to_float
from drumjax.nn.latent_gaussians import fit_gaussians
from drumjax.nn.mmd import SCALES, mmd2, mmd2_by_label, mmd2_mean, mmd2_per_category, mmd2_pooled
from drumjax.play.heads import lay_out_mcnn, run_heads
from drumjax.play.instrument import build_instrument
from drumjax.play.meta import check_meta, check_tensors
from drumjax.play.plan import Plan
from drumjax.training.config import check_same, flatten
from drumjax.training.parallel import parallelise
from drumjax.training.state import TrainState, create_state
from drumjax.training.update import learning_rate, make_update


def pairs(source):
    """The source as `fit` takes it."""
    return [(source.audio, source.category)]


def get_config(model, variant):
    """What configs/MODEL.py gives for a variant."""
    file = Path(__file__).parents[1] / "configs" / f"{model}.py"
    return runpy.run_path(str(file))["get_config"](variant)


def filled(shapes):
    """Variables of random numbers: nothing is compiled. Statistics are near those of N(0, 1)."""
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        spread = 0.1 * rng.standard_normal(leaf.shape).astype(np.float32)
        name = jax.tree_util.keystr(path)
        return 1.0 + spread if name.endswith(("['var']", "['gamma']")) else 2.0 * spread

    return jax.tree.map_with_path(fill, shapes)


# MMDs


@pytest.mark.parametrize("counts", [(5, 3, 2), (7, 1, 2), (0, 10, 0), (1, 1, 1)])
def test_mmd_of_unequal_counts_is_that_of_each_category_alone(rng, counts):
    category = rng.permutation(np.repeat(np.arange(3), counts))
    z, prior = rng.normal(0.3, 1.2, (2, len(category), 4)).astype(np.float32)
    values, found = jax.jit(mmd2_by_label)(z, prior, jax.nn.one_hot(category, 3))
    np.testing.assert_array_equal(found, counts)
    owns = [np.flatnonzero(category == i) for i in range(3)]
    each = [double_loop(z[o], prior[o], SCALES["imq7"]) if len(o) > 1 else 0.0 for o in owns]
    np.testing.assert_allclose(values, each, rtol=1e-4, atol=5e-6)
    mean = jax.jit(mmd2_mean)(z[None], prior[None], jax.nn.one_hot(category, 3))
    several = [e for e, o in zip(each, owns, strict=True) if len(o) > 1]
    np.testing.assert_allclose(mean, np.mean(several or 0), rtol=1e-4, atol=5e-6)


def test_gradient_of_lone_codes_is_zero_and_that_of_the_others_their_own(rng):
    category = np.array([0, 0, 1, 0, 2, 2])
    z, prior = rng.standard_normal((2, 6, 4)).astype(np.float32)
    labels = jax.nn.one_hot(category, 3)
    run = jax.jit(jax.grad(lambda z: mmd2_by_label(z, prior, labels)[0].sum()))
    gradient = np.asarray(run(z))
    assert np.isfinite(gradient).all()
    assert not gradient[2].any()
    for i in (0, 2):
        own = category == i
        run = jax.jit(jax.grad(lambda z, p: mmd2(z, p)))
        alone = run(z[own], prior[own])
        np.testing.assert_allclose(gradient[own], alone, atol=1e-5)


def test_equal_counts_are_the_papers_case(rng):
    z, prior = rng.standard_normal((2, 3, 5, 4)).astype(np.float32)
    labels = jax.nn.one_hot(np.repeat(np.arange(3), 5), 3)
    pooled = mmd2_mean(z.reshape(1, 15, 4), prior.reshape(1, 15, 4), labels)
    np.testing.assert_allclose(pooled, mmd2_mean(z, prior, None), atol=5e-6)


def test_mmd_of_unequal_counts_has_no_bias(rng):
    """The mean of 400 draws under the null, whose counts change, is 0 within three errors."""
    z, prior = rng.standard_normal((2, 400, 12, 4)).astype(np.float32)
    labels = jax.nn.one_hot(rng.integers(0, 3, (400, 12)), 3)
    values, counts = map(np.asarray, jax.jit(jax.vmap(mmd2_by_label))(z, prior, labels))
    values = values[counts > 1]
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))


def test_pooled_codes_may_hide_what_the_categories_show(rng):
    """Two halves of a Gaussian: together they are N(0, I), each alone is not."""
    z, prior = rng.standard_normal((2, 200, 1)).astype(np.float32)
    z = np.sort(z, axis=0).reshape(2, 100, 1)
    pooled, each = (
        mmd2_pooled(z, prior.reshape(z.shape)),
        mmd2_per_category(z, prior.reshape(z.shape)),
    )
    expected = double_loop(z.reshape(-1, 1)[::10], prior[::10], SCALES["imq7"])
    few = mmd2_pooled(z[:, ::10], prior.reshape(z.shape)[:, ::10])
    np.testing.assert_allclose(few, expected, rtol=1e-3, atol=1e-5)
    assert np.all(np.asarray(each) > 10 * abs(float(pooled)))


def test_gaussians_of_categories_without_codes_are_the_prior(rng):
    z = rng.standard_normal((7, 2)).astype(np.float32)
    mean, covariance = fit_gaussians(z, np.array([0, 0, 0, 0, 0, 0, 2]), 3)
    np.testing.assert_allclose(covariance[0], np.cov(z[:6].T), rtol=1e-5)
    np.testing.assert_allclose(mean[2], z[6])
    assert not mean[1].any()
    np.testing.assert_array_equal(covariance[1:], [np.eye(2)] * 2)


# One device, pmap over eight, a jit sharded over eight

NARROW = dataclasses.replace(SHALLOW, channels=(2,))
CASES = {
    "global": (dataclasses.replace(NARROW, divergence="mmd_global"), True),
    "vae": (dataclasses.replace(NARROW, divergence="kl"), True),
    "by chance": (NARROW, False),
}


@pytest.fixture(scope="module", params=CASES)
def updates(request):
    """As in test_training_parallel: one step of plain gradient descent in each mode."""
    config, balanced = CASES[request.param]
    batch = batch_of(bursts(PER_CATEGORY, PER_CATEGORY, PER_CATEGORY), PER_CATEGORY)
    if not balanced:  # counts 19, 10 and 11, in no order
        order = np.random.default_rng(0).permutation(48)[:40]
        batch = {k: v.reshape(1, 48, *v.shape[2:])[:, order] for k, v in batch.items()}
    constants = cwae.fit(config, pairs(bursts(4, 4, 4, seed=1)))
    objective, plain = cwae.objective(config), optax.identity()
    rate = learning_rate(PEAK, "constant", 10, 0)
    build = functools.partial(make_update, objective, plain, rate, 7)
    like = jax.eval_shape(lambda key: create_state(objective, plain, key), jax.random.key(0))
    variables = {**filled(like.variables), "constants": jax.tree.map(np.asarray, constants)}
    host = TrainState(np.int32(0), variables, like.optimiser, np.float32(1.0))
    results = {}
    for mode in ("none", "pmap", "jit"):
        fresh = jax.tree.map(jnp.asarray, host)
        results[mode] = (host, *jax.device_get(parallelise(build, mode)(fresh, batch)))
    return results


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_eight_devices_make_the_update_of_one(updates, mode):
    assert_close(changes(updates[mode]), changes(updates["none"]), 1e-3)
    ours, theirs = updates[mode][2], updates["none"][2]
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-5, abs=2e-6), name


def test_the_update_moves_every_part(updates):
    for tree in changes(updates["none"]).values():
        assert any(np.any(leaf) for leaf in jax.tree.leaves(tree))


# Configs


# {field: value} of what a row changes of the config :small.
CHANGES = {
    ("cwae", "base"): {},
    ("cwae", "no_mmd"): {"cwae.divergence": "none"},
    ("cwae", "global_mmd"): {"cwae.divergence": "mmd_global"},
    ("cwae", "recon_sum"): {"cwae.recon_reduction": "sum"},
    ("cwae", "no_standardisation"): {"cwae.scaling": "global"},
    ("cwae", "no_layering"): {"data.augment.layer": 0.0},
    ("cwae", "random_sampler"): {
        "data.augment.layer": 0.0,
        "data.balanced": False,
        "data.per_category": 44,
    },
    ("cwae", "vae"): {"cwae.divergence": "kl"},
    ("frame_wae", "base"): {},
    ("frame_wae", "latents64"): {"frame_wae.latents": 64},
    ("frame_wae", "no_shortcut"): {"frame_wae.shortcut": False},
    ("frame_wae", "square_root"): {"frame_wae.power": 0.5},
    ("frame_wae", "log_like"): {"frame_wae.power": 0.1},
    ("frame_wae", "no_augmentation"): {"data.augment.probability": 0.0},
    ("frame_wae", "no_noise"): {"frame_wae.noise": 0.0},
    ("mcnn", "base"): {},
    ("mcnn", "soft_mask"): {"mcnn.mask": "soft"},
    ("mcnn", "no_mask"): {"mcnn.mask": "off"},
    ("mcnn", "phase"): {"mcnn.frequency_weight": 1.0, "mcnn.phase_weight": 1.0},
    ("mcnn", "k12"): {"mcnn.width": 12, "mcnn.padding": 5},
    ("mcnn", "k14"): {"mcnn.width": 14},  # padded as k = 13
    ("mcnn", "hann"): {"mcnn.upsampling": "hann"},
    ("mcnn", "linear"): {"mcnn.upsampling": "linear"},
    ("mcnn", "nearest"): {"mcnn.upsampling": "nearest"},
}


def test_each_row_is_looked_at():
    assert [(row.model, row.name) for row in ablations.ROWS] == list(CHANGES)


@pytest.mark.parametrize(("model", "name"), CHANGES)
def test_each_row_is_a_network_and_changes_what_it_says(model, name):
    row = ablations.find_row(model, name)
    config, base = (
        get_config(model, v).to_dict() for v in (ablations.variant(row, "small"), "small")
    )
    assert build_objective(config, CATEGORIES).losses.keys() == {model}
    new, old = flatten(config), flatten(base)
    assert new.keys() == old.keys()
    assert {k: v for k, v in new.items() if v != old[k]} == CHANGES[model, name]


def test_variants_are_applied_from_left_to_right():
    config = get_config("cwae", "small+no_layering+random_sampler+recon_sum")
    assert (config.data.per_category, config.data.balanced) == (44, False)
    assert config.data.augment.layer == 0
    assert config.cwae.recon_reduction == "sum"
    assert get_config("cwae", "small+recon_sum+recon_mean").cwae.recon_reduction == "mean"
    assert get_config("cwae", "paper+random_sampler").data.per_category == 704


def test_unknown_part_of_a_variant_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"mcnn.py has no variant 'k15'; choose one of paper, "):
        get_config("mcnn", "small+k15")


def test_a_run_older_than_a_field_goes_on():
    config = get_config("cwae", "small").to_dict()
    old = {**config, "cwae": {k: v for k, v in config["cwae"].items() if k != "divergence"}}
    check_same(config, old, "runs/x")
    other = get_config("cwae", "small+no_mmd").to_dict()
    with pytest.raises(ConfigError, match="divergence was 'mmd', now 'none'"):
        check_same(other, old, "runs/x")


# From the networks to an instrument


SOURCE = bursts(3, 3, 3)


@functools.cache
def untrained(part, config):
    """Variables of a model, with a measured scaler."""
    made = filled(jax.eval_shape(functools.partial(part.init, config), jax.random.key(0)))
    return {**made, "constants": part.fit(config, pairs(SOURCE))}


def test_instrument_of_a_vae_is_that_of_its_means():
    config = dataclasses.replace(tiny.CWAE, divergence="kl")
    own, vocoder = untrained(cwae, config), untrained(mcnn, MCNN)
    params = {k: v for k, v in own["params"].items() if k != "log_variance"}
    assert params.keys() == {"encoder", "decoder"}
    bare = build_instrument(tiny.CWAE, {**own, "params": params}, MCNN, vocoder)
    instrument = build_instrument(config, own, MCNN, vocoder)
    assert instrument.meta == bare.meta
    assert instrument.tensors.keys() == bare.tensors.keys()
    for name, value in bare.tensors.items():
        np.testing.assert_array_equal(instrument.tensors[name], value)


@pytest.mark.parametrize("change", [{"width": 12, "padding": 4}, {"upsampling": "linear"}])
def test_instrument_of_an_ablation_plays_as_its_network(change):
    config = dataclasses.replace(MCNN, **change)
    vocoder = untrained(mcnn, config)
    played = mcnn.as_played(config, vocoder)
    instrument = build_instrument(tiny.CWAE, untrained(cwae, tiny.CWAE), *played)
    check_meta({**instrument.meta, "precision": "float32"})
    check_tensors(instrument.meta, instrument.tensors, ("mcnn/",))
    plan = Plan.of(instrument.meta)
    weights = lay_out_mcnn(plan, instrument.tensors)
    mel = np.random.default_rng(0).random((2, MCNN.mel.frames, MCNN.mel.n_mels), np.float32)
    ours = jax.jit(lambda m: run_heads(plan, weights, m))(mel)
    theirs = jax.jit(lambda m: mcnn.forward(config, vocoder["params"]["mcnn"], m))(mel)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a[:, : b.shape[1]], b, rtol=1e-3, atol=1e-4 * np.abs(b).max())


# The table


def rows_of_the_log(path, values):
    lines = [{"step": i + 1, "split": "train", "mmd": v} for i, v in enumerate(values)]
    lines.insert(3, {"step": 3, "split": "validation", "mmd": 1e9})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_steadiness_is_of_the_last_third(tmp_path):
    values = [100.0] * 6 + [1.0, 2.0, 6.0]
    log = rows_of_the_log(tmp_path / "metrics.jsonl", values)
    assert ablations.steadiness(log) == pytest.approx(np.std([1.0, 2.0, 6.0]))


@pytest.mark.parametrize(
    ("model", "c"), [(cwae, dataclasses.replace(SHALLOW, scaling="global")), (frame_wae, FRAMES)]
)
def test_waes_are_measured_in_units_that_do_not_depend_on_the_scaling(model, c, tmp_path):
    source, own = SOURCE, untrained(model, c)
    log = rows_of_the_log(tmp_path / "metrics.jsonl", [0.1, 0.2, 0.3])
    found = ablations.measure_wae(c, own, source, log)
    target = mel_spectrogram(to_float(jnp.asarray(source.audio)), c.mel)
    run = jax.jit(lambda a, i: model.reconstruct(c, own, a, i)["mel"])
    mel = run(source.audio, source.category)
    logs = [np.asarray(log_mel(jnp.asarray(m), 1e-3)) for m in (target, mel)]
    assert np.mean(np.asarray(mel) > 0) > 0.5  # or the logs would not say what the network made
    assert found["mse"][0] == pytest.approx(((logs[0] - logs[1]) ** 2).mean(), rel=1e-3)
    sc = [np.linalg.norm(t - e) / np.linalg.norm(t) for t, e in zip(target, mel, strict=True)]
    assert found["sc"][0] == pytest.approx(np.mean(sc), rel=1e-3)
    assert found["null_q95"] > 0


@pytest.mark.parametrize("mask", ["binarised", "off"])
def test_mcnn_is_measured_as_it_generates(mask):
    config, source = dataclasses.replace(MCNN, mask=mask), SOURCE
    vocoder = untrained(mcnn, config)
    found = ablations.measure_mcnn(config, vocoder, source)
    target = mel_spectrogram(to_float(jnp.asarray(source.audio)), config.mel)
    sound = jax.jit(lambda m: mcnn.generate(config, vocoder, m))(target)
    made = np.asarray(mel_spectrogram(sound, config.mel))
    sc = [np.linalg.norm(t - e) / np.linalg.norm(t) for t, e in zip(target, made, strict=True)]
    assert found["sc"][0] == pytest.approx(np.mean(sc), rel=1e-3)
    run = jax.jit(lambda m: mcnn.forward(config, vocoder["params"]["mcnn"], m)[1])
    logits = np.asarray(run(target))
    if mask == "off":
        assert found["mask"] is found["overlap"] is None
        assert found["zeros"] < 1
        return
    on, wanted = logits > 0, np.arange(1279)[None] < source.length[:, None]
    overlap = [(a & b).sum() / (a | b).sum() for a, b in zip(on, wanted, strict=True)]
    assert found["overlap"][0] == pytest.approx(np.mean(overlap), rel=1e-2)


def test_table_shows_the_rows_that_are_done(tmp_path, capsys):
    mcnn_row = {
        "sc": [0.5, 0.4, 0.61],
        "sc_log": [0.1, 0.05, 0.2],
        "mask": None,
        "overlap": None,
        "checkerboard": [float("nan")] * 3,
        "zeros": 0.25,
        "tail_dbfs": -61.2,
    }
    cwae_row = {"mse": [1.25, 1.0, 1.5], "sc": [0.9, 0.8, 1.0], "mmd2": 0.02, "null_q95": 0.01}
    cwae_row |= {"mmd_ratio": 2.04, "steadiness": 0.3}
    about = {"steps": 3, "sounds": 7, "kits": 2}
    for place, found in (
        ("mcnn/no_mask", mcnn_row),
        ("cwae/vae", cwae_row),
        ("cwae/base", cwae_row),
    ):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / command.RESULT).write_text(json.dumps({**about, **found}))
    folders = [str(tmp_path / p) for p in ("mcnn/no_mask", "cwae/vae", "cwae/base", "cwae/no_mmd")]
    assert command.main(["table", *folders]) == 0
    text = capsys.readouterr().out
    assert "CWAE, 3 steps each; 7 held-out sounds of 2 kits" in text
    cells = [line.split(" | ")[1:] for line in text.splitlines() if line.startswith("| as the ")]
    assert cells == [
        ["1.250 [1.000, 1.500]", "0.900 [0.800, 1.000]", "0.0200", "0.0100", "2.0", "0.3000 |"]
    ]
    assert text.index("as the paper") < text.index("a variational")
    assert "no MMD" not in text
    last = text.splitlines()[-1]
    assert last.endswith(
        "| 0.500 [0.400, 0.610] | 0.100 [0.050, 0.200] "
        "| – | – | – | 25 % exact zeros, else -61 dBFS |"
    )
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {8}


def test_list_names_every_row_and_what_it_trains(capsys):
    assert command.main(["list", "--base=tiny"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(ablations.ROWS)
    assert ["cwae", "random_sampler", "tiny+no_layering+random_sampler", "random_sampler"] in lines
    assert ["mcnn", "soft_mask", "tiny+soft_mask", "base"] in lines


def test_a_missing_run_is_one_sentence(tmp_path, capsys, monkeypatch):
    source = bursts(2, 2, 2)
    monkeypatch.setattr("drumjax.data.source.load_source", lambda *_: source)
    flags = [f"--{k}={tmp_path / k}" for k in ("workdir", "data", "output")]
    assert command.main(["measure", "cwae", "base", *flags]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "output").exists()
