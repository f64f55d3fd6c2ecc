"""The frame WAE: its loss recomputed in NumPy, the fit before it, and through the training loop."""

import dataclasses
import json
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_nn_mmd import double_loop
from tiny import FRAMES, MEL, NAMES, batch_of, bursts, get_config

from drumjax import train
from drumjax.audio.mel import mel_spectrogram
from drumjax.categories import CATEGORIES
from drumjax.errors import ConfigError, DataError
from drumjax.models import build_objective, check_batches, frame_wae, model_config
from drumjax.models.objective import merge_categories, split_categories
from drumjax.nn import compression, frame_nets
from drumjax.nn.mmd import SCALES
from drumjax.play.instrument import build_instrument, load_instrument, save_instrument
from drumjax.play.runtime import Player
from drumjax.training.checkpoint import Checkpoints
from drumjax.training.state import TrainState, adam
from drumjax.training.update import learning_rate, make_update

N, KEY = 4, 5
CONFIGS = Path(__file__).parents[1] / "configs"


@pytest.fixture(scope="module")
def source():
    return bursts(6, 6, 6)


def pairs(source, size=7):
    """The source as `fit` takes it."""
    starts = range(0, len(source.names), size)
    return ((source.audio[i : i + size], source.category[i : i + size]) for i in starts)


@pytest.fixture(scope="module")
def fitted(source):
    """Variables whose shortcut is measured and whose networks are fresh."""
    made = jax.jit(lambda key: frame_wae.init(FRAMES, key))(jax.random.key(3))
    constants = frame_wae.fit(FRAMES, pairs(source))
    shapes = [jax.tree.map(jnp.shape, c) for c in (constants, made["constants"])]
    assert shapes[0] == shapes[1]
    return {**made, "constants": constants}


def mels_of(source):
    return np.asarray(mel_spectrogram(jnp.float32(source.audio) / 32767, MEL), np.float64)


def compressed(mel):
    return (mel + 1e-6) ** FRAMES.power


def expanded(x):
    return np.maximum(np.maximum(x, 0) ** (1 / FRAMES.power) - 1e-6, 0)


def terms(x, made, scale):
    """The errors of one sound, from their definitions, in float64."""
    target, estimate = expanded(x), expanded(made)
    floor = FRAMES.log_floor
    return {
        "mse": ((x - made) ** 2).mean() / scale**2,
        "sc": np.linalg.norm(target - estimate) / np.linalg.norm(target),
        "log": np.abs(np.log(target + floor) - np.log(estimate + floor)).mean(),
    }


WEIGHTS = {"mse_weight": 0.7, "convergence_weight": 1.3, "log_weight": 0.4, "beta": 2.0}


def weighted(means):
    names = ("mse", "sc", "log", "mmd")
    return sum(w * means[k] for k, w in zip(names, WEIGHTS.values(), strict=True))


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_loss_is_its_terms(source, fitted, noise):
    """The networks are those of `nn.compression`; all that is made of their output is NumPy."""
    config = dataclasses.replace(FRAMES, noise=noise, **WEIGHTS)
    batch = batch_of(source, N)
    run = jax.jit(lambda b: frame_wae.loss(config, fitted, b, jax.random.key(KEY), None))
    total, (stats, metrics) = run(batch)
    flat = {k: merge_categories(jnp.asarray(v)) for k, v in batch.items()}
    labels = jax.nn.one_hot(flat["category"], 3)
    x = compressed(mels_of(source._replace(audio=np.asarray(flat["audio"]))))
    own, shortcut = fitted["params"], fitted["constants"]["shortcut"]
    args = jnp.asarray(x, jnp.float32), labels
    z = np.asarray(compression.encode(FRAMES.nets, own["encoder"], shortcut, *args))
    noise_key, prior_key = jax.random.split(jax.random.key(KEY))
    drawn = np.asarray(jax.random.normal(noise_key, (3, N, FRAMES.latents)))
    drawn = drawn.swapaxes(0, 1).reshape(z.shape)  # a category after the other -> as merged
    given = jnp.asarray(z + noise * drawn)
    made = compression.decode(FRAMES.nets, own["decoder"], shortcut, given, labels)
    each = [terms(*one, float(shortcut["scale"])) for one in zip(x, np.float64(made), strict=True)]
    means = {k: np.mean([row[k] for row in each]) for k in each[0]}
    prior = np.asarray(jax.random.normal(prior_key, (3, N, FRAMES.latents)))
    codes = np.asarray(split_categories(z, 3))
    distances = [double_loop(a, b, SCALES["imq7"]) for a, b in zip(codes, prior, strict=True)]
    means["mmd"] = np.mean(distances)
    assert set(metrics) == {*means, "loss"}
    for name, value in means.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(total, weighted(means), rtol=1e-3)
    np.testing.assert_allclose(metrics["loss"], total)
    assert stats == {}


def test_networks_of_zeros_are_the_principal_components(source, fitted):
    """Oracle: numpy.linalg.svd of the compressed mels about their categories' means."""
    still = {**fitted, "params": jax.tree.map(jnp.zeros_like, fitted["params"])}
    x = compressed(mels_of(source))
    overall = x.mean(0)
    means = np.stack([(x[source.category == i].sum(0) + 8 * overall) / 14 for i in range(3)])
    rest = (x - means[source.category]).reshape(18, -1)
    _, _, rows = np.linalg.svd(rest, full_matrices=False)
    rows = rows[: FRAMES.latents]
    expected = (rest @ rows.T @ rows).reshape(x.shape) + means[source.category]
    found = frame_wae.objective(FRAMES).reconstruct(still, source.audio, source.category)["mel"]
    expected = expanded(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())
    z = np.asarray(frame_wae.encode(FRAMES, still, source.audio, source.category))
    np.testing.assert_allclose((z**2).mean(0), 1.0, rtol=1e-3)


def test_training_set_is_measured_in_any_batches(source, fitted):
    whole = frame_wae.fit(FRAMES, pairs(source, 18))["shortcut"]
    for name, value in fitted["constants"]["shortcut"].items():
        np.testing.assert_allclose(whole[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_without_the_shortcut_the_networks_do_everything(source, fitted, tmp_path):
    """Codes are the encoder's alone; and there is an instrument of it."""
    config = dataclasses.replace(FRAMES, shortcut=False)
    constants = frame_wae.fit(config, pairs(source))
    assert not np.any(constants["shortcut"]["kernel"])
    for name in ("mean", "spread", "scale"):
        theirs = fitted["constants"]["shortcut"][name]
        np.testing.assert_array_equal(constants["shortcut"][name], theirs, err_msg=name)
    variables = {**fitted, "constants": constants}
    z = np.asarray(frame_wae.encode(config, variables, source.audio, source.category))
    assert np.isfinite(z).all()
    assert (z.std(0) > 0).all()
    x = jnp.asarray(compressed(mels_of(source)), jnp.float32)
    labels, shortcut = jax.nn.one_hot(source.category, 3), constants["shortcut"]
    rest = (x - shortcut["mean"][source.category]) / (3 * shortcut["scale"])
    own = frame_nets.encode(config.nets, fitted["params"]["encoder"], rest, labels)
    np.testing.assert_allclose(z, own, rtol=1e-3, atol=1e-4)
    path = tmp_path / "a.safetensors"
    save_instrument(build_instrument(config, variables, None, None), path)
    read = load_instrument(path, encoder=True)
    assert not np.any(read.tensors["shortcut/kernel"])
    player = Player(read)
    again = player.encode(source.audio[:2] / np.float32(32767), "kick")
    np.testing.assert_allclose(again, z[:2], rtol=0.02, atol=0.02 * np.abs(z).max())


def test_no_sounds_cannot_be_measured():
    with pytest.raises(DataError, match="no sounds to fit"):
        frame_wae.fit(FRAMES, iter(()))


def test_validation_values_and_their_summary(source, fitted):
    """Of a category without sounds, and of one with a single sound, there is no MMD."""
    rows = [0, 1, 2, 6]
    audio, category = source.audio[rows], source.category[rows]
    values = jax.jit(lambda a, c: frame_wae.validate(FRAMES, fitted, a, c))(audio, category)
    made = np.asarray(frame_wae.reconstruct(FRAMES, fitted, audio, category)["mel"], np.float64)
    x, scale = compressed(mels_of(source)[rows]), float(fitted["constants"]["shortcut"]["scale"])
    for i, one in enumerate(x):
        expected = terms(one, compressed(made[i]), scale)
        for name in ("sc", "log"):  # the mel holds no more what was below silence
            np.testing.assert_allclose(values[name][i], expected[name], rtol=2e-3, err_msg=name)
        assert values["mse"][i] >= 0.999 * expected["mse"]
    z = np.asarray(frame_wae.encode(FRAMES, fitted, audio, category))
    np.testing.assert_allclose(values["z"], z, rtol=1e-3, atol=1e-4)
    values = {k: np.asarray(v) for k, v in values.items()}
    config = dataclasses.replace(FRAMES, **WEIGHTS)
    out = frame_wae.summarise(config, values, category)
    prior = np.random.default_rng(0).standard_normal((3, FRAMES.latents), dtype=np.float32)
    means = {k: values[k].mean() for k in ("mse", "sc", "log")}
    means["mmd"] = double_loop(values["z"][:3], prior, SCALES["imq7"])
    for name, value in means.items():
        assert out[name] == pytest.approx(value, rel=1e-3, abs=1e-6), name
    assert out["loss"] == pytest.approx(weighted(means), rel=1e-3)
    assert out["sc/kick"] == pytest.approx(values["sc"][:3].mean())
    assert {k for k in out if "/" in k} == {"sc/kick", "sc/snare"}
    alone = frame_wae.summarise(config, {k: v[3:] for k, v in values.items()}, category[3:])
    assert alone["mmd"] == 0.0


def test_codes_are_fitted_category_by_category(source, fitted):
    """Of a category without sounds, the prior."""
    rows = np.arange(12)
    held = [(source.audio[:8], source.category[:8]), (source.audio[8:12], source.category[8:12])]
    constants = frame_wae.calibrate(FRAMES, fitted, held)
    z = np.asarray(frame_wae.encode(FRAMES, fitted, source.audio[rows], source.category[rows]))
    found = constants["latents"]
    for i in range(2):
        np.testing.assert_allclose(found["mean"][i], z[6 * i : 6 * i + 6].mean(0), atol=1e-4)
    np.testing.assert_array_equal(found["mean"][2], 0.0)
    np.testing.assert_array_equal(found["covariance"][2], np.eye(FRAMES.latents))
    assert constants["shortcut"] is fitted["constants"]["shortcut"]


def test_a_few_steps_lower_the_loss(source, fitted):
    """In one program, whose state after 25 steps still holds the shortcut that was measured."""
    config = dataclasses.replace(FRAMES, noise=0.0)
    objective, optimiser = frame_wae.objective(config), adam()
    rate = learning_rate(3e-3, "constant", 1, 0)
    update, batch = make_update(objective, optimiser, rate, 0), batch_of(source, N)
    moments = {"frame_wae": optimiser.init(fitted["params"])}
    start = TrainState(jnp.int32(0), fitted, moments, jnp.float32(1.0))
    run = jax.jit(lambda state: jax.lax.scan(lambda s, _: update(s, batch), state, None, 25))
    state, metrics = run(start)
    losses = np.asarray(metrics["loss"])
    assert losses[-1] < 0.9 * losses[0]
    after = jax.tree.leaves(state.variables["constants"])
    for ours, theirs in zip(after, jax.tree.leaves(fitted["constants"]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("rows", [1, 2])
def test_batches_that_no_mmd_can_be_computed_of_are_refused(source, fitted, rows):
    batch = {k: v[:, :rows] for k, v in batch_of(source, 2).items()}
    named = "two sounds a category"
    if rows == 2:
        batch, named = {k: v[:1] for k, v in batch.items()}, "data.balanced=True"
    with pytest.raises(ConfigError, match=named):
        jax.eval_shape(lambda b: frame_wae.loss(FRAMES, fitted, b, jax.random.key(0), None), batch)


# Configs


def from_file(variant):
    """What configs/frame_wae.py gives for a variant."""
    return runpy.run_path(str(CONFIGS / "frame_wae.py"))["get_config"](variant).to_dict()


@pytest.mark.parametrize("variant", ["base", "small", "tiny"])
def test_each_variant_is_a_network(variant):
    config = from_file(variant)
    objective = build_objective(config, CATEGORIES)
    made = jax.eval_shape(objective.init, jax.random.key(0))
    assert objective.losses["frame_wae"].trains == ("encoder", "decoder")
    assert set(made["params"]) == {"encoder", "decoder"}
    assert made["constants"]["shortcut"]["kernel"].shape == (128, 86, 512)
    assert made["constants"]["latents"]["covariance"].shape == (11, 128, 128)


def test_defaults_are_those_of_the_config():
    """But for the upper edge, which a config spells."""
    config = from_file("small")
    frozen, default = model_config(config, CATEGORIES), frame_wae.FrameWaeConfig()
    mel = dataclasses.replace(default.mel, f_max=11025.0)
    assert frozen == dataclasses.replace(default, mel=mel)
    assert (frozen.latents, frozen.width, frozen.wide, frozen.blocks) == (128, 320, 384, 2)
    assert model_config(config, NAMES).nets.categories == 3


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("kernel", "rbf", "imq7"),
        ("power", 0.0, "between 0.1 and 1"),
        ("power", float("nan"), "between 0.1 and 1"),
        ("power", 1.5, "between 0.1 and 1"),
        ("width", 0, "width must be at least 1, not 0"),
        ("blocks", 0, "blocks must be at least 1"),
        ("shortcut_sounds", 0, "shortcut_sounds must be at least 1"),
        ("log_floor", 0.0, "log_floor must lie above 0"),
        ("log_floor", 1e-50, "1e-30 or higher"),
        ("noise", -0.1, "noise must not lie below 0"),
    ],
)
def test_values_that_no_network_can_be_built_from(field, value, named):
    config = get_config("frame_wae").to_dict()
    config["frame_wae"][field] = value
    with pytest.raises(ConfigError, match=named) as caught:
        model_config(config, NAMES)
    assert str(caught.value).endswith(".")


def test_runs_that_hold_a_batch_size_are_still_read():
    """It was a field of every run's config until it was seen that nothing depended on it."""
    config = get_config("frame_wae").to_dict()
    older = {**config, "frame_wae": {**config["frame_wae"], "batch_size": 704}}
    assert model_config(older, NAMES) == model_config(config, NAMES)
    assert not hasattr(model_config(older, NAMES), "batch_size")


def test_unknown_field_is_named_with_the_known_ones():
    config = get_config("frame_wae").to_dict()
    config["frame_wae"]["channels"] = 3
    with pytest.raises(ConfigError, match=r"frame_wae has no field channels; .*shortcut_sounds"):
        model_config(config, NAMES)


@pytest.mark.parametrize(
    ("model", "changes", "named"),
    [
        ("frame_wae", {"balanced": False}, "data.balanced=True"),
        ("frame_wae", {"per_category": 1}, "raise data.per_category"),
        ("cwae", {"per_category": 1}, "raise data.per_category"),
    ],
)
def test_batches_of_such_a_config_are_refused_first(tmp_path, model, changes, named):
    """Before any sound is looked for, and before the work directory is claimed."""
    config = get_config(model).to_dict()
    config["data"] |= {"path": str(tmp_path / "nothing"), **changes}
    with pytest.raises(ConfigError, match=named):
        train.train(config, tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("frame_wae", {"per_category": 2}),
        ("cwae", {"balanced": False, "per_category": 2}),
        ("mcnn", {"balanced": False, "per_category": 1}),
    ],
)
def test_batches_that_the_losses_take_are_not(model, changes):
    config = get_config(model).to_dict()
    config["data"] |= changes
    check_batches(config)


# Through the training loop; that a run goes on where it stopped is tests/test_train.py's to show


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_two_steps_leave_what_a_run_leaves(monkeypatch, tmp_path):
    """And the data set's third category has no validation sound."""
    splits = {"train": bursts(7, 9, 8), "validation": bursts(2, 2, 0, seed=1)}
    splits["validation"] = splits["validation"]._replace(categories=NAMES)
    monkeypatch.setattr(train, "load_source", lambda path, split: splits[split])
    workdir = tmp_path / "run"
    flags = [f"--config={Path(__file__).parent / 'tiny.py'}:frame_wae", f"--workdir={workdir}"]
    flags += ["--config.train.steps=2", "--config.data.augment.probability=0.0"]
    assert train.main(["train", *flags]) == 0
    checkpoints = Checkpoints(workdir, read_only=True)
    config = checkpoints.config(2)["config"]
    like = jax.eval_shape(build_objective(config, NAMES).init, jax.random.key(0))
    found = checkpoints.restore_model(2, like)
    checkpoints.close()
    measured = frame_wae.fit(FRAMES, pairs(splits["train"]))["shortcut"]
    for name, value in found["constants"]["shortcut"].items():
        np.testing.assert_allclose(value, measured[name], rtol=1e-3, atol=1e-4, err_msg=name)
    assert np.all(np.any(found["constants"]["latents"]["mean"], axis=1))  # fitted, of each category
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["split"] == "train"] == [1, 2]
    [last] = [row for row in rows if row["split"] == "validation"]
    assert {"loss", "mse", "sc", "log", "mmd", "sc/kick", "sc/snare"} <= set(last)
    assert "sc/clap" not in last
    assert (workdir / "validation/step_000002.png").is_file()
