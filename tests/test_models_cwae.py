"""The CWAE: the paper's sizes, eq. 5 recomputed in NumPy, and the scaler."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_nn_mmd import double_loop
from tiny import CWAE, batch_of, bursts

from drumjax.audio.mel import Scaler, log_mel, mel_spectrogram, standardise, unstandardise
from drumjax.errors import ConfigError
from drumjax.models import cwae
from drumjax.models.objective import merge_categories, split_categories, to_float
from drumjax.nn.gaussian_posterior import kl_to_normal
from drumjax.nn.mmd import SCALES

N = 4
KEY = 5


@pytest.fixture(scope="module")
def source():
    return bursts(6, 6, 6)


def two_batches(source):
    """The source as `fit` takes it."""
    return [(source.audio[rows], source.category[rows]) for rows in (slice(10), slice(10, None))]


@pytest.fixture(scope="module")
def fitted(source):
    """Variables whose scaler is measured."""
    constants = cwae.fit(CWAE, two_batches(source))
    return {**jax.jit(lambda key: cwae.init(CWAE, key))(jax.random.key(3)), "constants": constants}


@jax.jit
def run_networks(variables, audio, category):
    """x, x^ and z in training mode."""
    x = cwae.network_input(CWAE, variables["constants"], audio)
    nets = {k: variables[k] for k in ("params", "batch_stats")}
    labels = cwae.one_hot(CWAE, category)
    (z, estimate), _ = cwae.Cwae(CWAE).apply(nets, x, labels, True, mutable=["batch_stats"])
    return x, estimate, z


@pytest.fixture(scope="module")
def outputs(source, fitted):
    """x, x^ and z of one batch in training mode: what eq. 5 is made of."""

    batch = batch_of(source, N)
    flat = [merge_categories(jnp.asarray(batch[k])) for k in ("audio", "category")]
    return [np.asarray(a, np.float64) for a in run_networks(fitted, *flat)], np.asarray(flat[1])


def shapes_of_the_chain():
    """Shapes at the paper's size: of the variables, the outputs and each convolution's output."""
    config = cwae.CwaeConfig()
    model = cwae.Cwae(config)
    x, category = jnp.zeros((2, 86, 512)), jnp.zeros((2, 11))

    def run(key):
        variables = model.init(key, x, category, train=True)
        wanted = lambda module, _: "Conv" in type(module).__name__  # noqa: E731
        out, seen = model.apply(variables, x, category, capture_intermediates=wanted)
        return variables, out, seen["intermediates"]

    return jax.eval_shape(run, jax.random.key(0))


@pytest.fixture(scope="module")
def chain():
    return shapes_of_the_chain()


# The paper's network


def test_sizes_of_the_chain(chain):
    _, (z, estimate), seen = chain

    def conv(half, name):
        return [v["__call__"][0].shape for k, v in sorted(seen[half].items()) if name in k]

    down, up = conv("encoder", "Conv"), conv("decoder", "ConvTranspose")
    assert down == [(2, 171, 43, 32), (2, 57, 22, 64), (2, 19, 11, 128)]
    assert up == [(2, 57, 22, 64), (2, 171, 43, 32), (2, 512, 86, 1)]
    assert z.shape == (2, 64)
    assert estimate.shape == (2, 86, 512)
    assert cwae.CwaeConfig().sizes == [(512, 86), (171, 43), (57, 22), (19, 11)]


def test_parameter_counts(chain):
    params = chain[0]["params"]

    def count(tree):
        return sum(int(np.prod(a.shape)) for a in jax.tree.leaves(tree))

    flat = 19 * 11 * 128
    encoder = 55 * (1 * 32 + 32 * 64 + 64 * 128) + 2 * 11 * (32 + 64 + 128)
    encoder += (flat + 1) * 1024 + (1024 + 1) * 512 + (512 + 1) * 64
    decoder = (64 + 11 + 1) * 512 + (512 + 1) * 1024 + (1024 + 1) * flat
    decoder += 55 * (128 * 64 + 64 * 32 + 32 * 1) + 1 + 2 * 11 * (64 + 32)
    assert count(params["encoder"]) == encoder
    assert count(params["decoder"]) == decoder


def test_decoder_depends_on_the_category(fitted):
    z = jnp.zeros((3, CWAE.latents))
    mels = np.asarray(cwae.decode(CWAE, fitted, z, jnp.eye(3)))
    assert mels.shape == (3, CWAE.mel.frames, CWAE.mel.n_mels)
    assert np.abs(mels[0] - mels[1]).max() > 1e-4


def test_bfloat16_stays_near_float32(source, fitted):
    half = dataclasses.replace(CWAE, compute_dtype="bfloat16")
    args = source.audio[:6], source.category[:6]
    z, other = (np.asarray(cwae.encode(c, fitted, *args)) for c in (CWAE, half))
    assert other.dtype == np.float32
    assert 0 < np.abs(z - other).max() < 0.05 * np.abs(z).max()


# Eq. 5


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("kernel", ["imq7", "imq1"])
def test_loss_is_equation_5(source, fitted, outputs, reduction, kernel):
    (x, estimate, z), category = outputs
    config = dataclasses.replace(CWAE, recon_reduction=reduction, kernel=kernel)
    batch = batch_of(source, N)
    total, (_, metrics) = jax.jit(
        lambda b: cwae.loss(config, fitted, b, jax.random.key(KEY), None)
    )(batch)

    prior = np.asarray(jax.random.normal(jax.random.key(KEY), (3, N, CWAE.latents)))
    each = [double_loop(z[category == i], prior[i], SCALES[kernel]) for i in range(3)]
    errors = [((a - b) ** 2).mean() for a, b in zip(x, estimate, strict=True)]
    first = sum(errors) if reduction == "sum" else sum(errors) / len(errors)
    np.testing.assert_allclose(total, first + 10.0 * np.mean(each), rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], total)
    np.testing.assert_allclose(metrics["mmd"], np.mean(each), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["mse"], np.mean(errors), rtol=1e-5)


@pytest.mark.parametrize(("convergence", "loudness"), [(0.7, 0.0), (0.0, 0.3), (0.7, 0.3)])
def test_weights_add_what_counts_the_loud(source, fitted, outputs, convergence, loudness):
    """Eq. 11 of the linear mels, and the squared log error weighted by the target's mel."""
    (x, estimate, _), _ = outputs
    batch = batch_of(source, N)
    weights = {"convergence_weight": convergence, "loudness_weight": loudness}
    config = dataclasses.replace(CWAE, recon_reduction="mean", **weights)
    total, (_, metrics) = jax.jit(
        lambda b: cwae.loss(config, fitted, b, jax.random.key(KEY), None)
    )(batch)

    scaler = {k: np.asarray(v, np.float64) for k, v in fitted["constants"]["scaler"].items()}
    logs, guesses = (a * scaler["std"] + scaler["mean"] for a in (x, estimate))
    sc, loud = [], []
    for log, guess in zip(logs, guesses, strict=True):
        mel, made = (np.maximum(np.exp(a) - CWAE.log_floor, 0.0) for a in (log, guess))
        sc.append(np.linalg.norm(mel - made) / np.linalg.norm(mel))
        loud.append((mel * (log - guess) ** 2).sum() / mel.sum())
    np.testing.assert_allclose(metrics["sc"], np.mean(sc), rtol=1e-4)
    np.testing.assert_allclose(metrics["loud"], np.mean(loud), rtol=1e-4)
    added = total - metrics["mse"] - 10.0 * metrics["mmd"]
    np.testing.assert_allclose(
        added, convergence * np.mean(sc) + loudness * np.mean(loud), rtol=1e-4
    )


def batch_by_chance(source, rows):
    """A batch of the unbalanced sampler: one row, whatever the categories."""
    return {"audio": source.audio[None, rows], "category": source.category[None, rows]}


@pytest.mark.parametrize("divergence", ["none", "mmd_global"])
def test_other_divergences_than_the_papers(source, fitted, outputs, divergence):
    (x, estimate, z), _ = outputs
    config = dataclasses.replace(CWAE, recon_reduction="mean", divergence=divergence)
    total, (_, metrics) = jax.jit(
        lambda b: cwae.loss(config, fitted, b, jax.random.key(KEY), None)
    )(batch_of(source, N))
    prior = np.asarray(jax.random.normal(jax.random.key(KEY), (3, N, CWAE.latents)))
    each = [double_loop(z[i::3], prior[i], SCALES["imq7"]) for i in range(3)]
    mse = ((x - estimate) ** 2).mean()
    np.testing.assert_allclose(metrics["mmd"], np.mean(each), rtol=1e-4, atol=1e-6)
    if divergence == "none":
        np.testing.assert_allclose(total, mse, rtol=1e-5)
        return
    pooled = double_loop(z, merge_categories(prior), SCALES["imq7"])  # z: sounds, then categories
    pooled_otherwise = double_loop(z, prior.reshape(-1, CWAE.latents), SCALES["imq7"])
    assert pooled == pytest.approx(pooled_otherwise, rel=1e-6)  # the cross term has all pairs
    np.testing.assert_allclose(metrics["mmd_global"], pooled, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(total, mse + 10.0 * pooled, rtol=1e-5)


@jax.jit
def mean_loss(variables, batch):
    """Of the paper's network, errors taken as means."""
    config = dataclasses.replace(CWAE, recon_reduction="mean")
    return cwae.loss(config, variables, batch, jax.random.key(KEY), None)


@pytest.mark.parametrize("rows", [[0, 1, 2, 6, 7, 12], [0, 1, 2, 3, 4, 5]])
def test_batch_by_chance_leaves_out_categories_of_fewer_than_two(source, fitted, rows):
    total, (_, metrics) = mean_loss(fitted, batch_by_chance(source, rows))
    x, estimate, z = run_networks(fitted, source.audio[rows], source.category[rows])
    z = np.asarray(z)
    prior = np.asarray(jax.random.normal(jax.random.key(KEY), (1, len(rows), CWAE.latents)))[0]
    each = []
    for i in range(3):
        own = np.flatnonzero(source.category[rows] == i)
        if len(own) > 1:
            each.append(double_loop(z[own], prior[own], SCALES["imq7"]))
    d_z = np.mean(each) if each else 0.0
    np.testing.assert_allclose(metrics["mmd"], d_z, rtol=1e-4, atol=2e-6)
    mse = float(((x - estimate) ** 2).mean())
    np.testing.assert_allclose(total, mse + 10.0 * d_z, rtol=1e-4)


def test_batches_that_no_mmd_can_be_computed_of_are_refused(source, fitted):
    for rows, named in (([0], "two sounds"), ([0, 6], "A batch of 2 categories")):
        batch = batch_by_chance(source, rows)
        if len(rows) == 2:
            batch = {k: v.swapaxes(0, 1) for k, v in batch.items()}
        with pytest.raises(ConfigError, match=named):
            jax.eval_shape(lambda b: cwae.loss(CWAE, fitted, b, jax.random.key(0), None), batch)


# The variational auto-encoder

VAE = dataclasses.replace(CWAE, recon_reduction="mean", divergence="kl", kl_weight=0.3)


@pytest.fixture(scope="module")
def vae(fitted):
    made = jax.jit(lambda key: cwae.init(VAE, key))(jax.random.key(4))
    return {**made, "constants": fitted["constants"]}


def test_loss_of_the_vae_is_equation_1(source, vae):
    total, (_, metrics) = jax.jit(lambda b: cwae.loss(VAE, vae, b, jax.random.key(KEY), None))(
        batch_of(source, N)
    )
    batch = {k: merge_categories(jnp.asarray(v)) for k, v in batch_of(source, N).items()}
    model, options = cwae.Cwae(VAE), {"mutable": ["batch_stats"]}
    _, own = jax.random.split(jax.random.key(KEY))
    noise = np.asarray(jax.random.normal(own, (3, N, VAE.latents))).swapaxes(0, 1).reshape(-1, 4)

    @jax.jit
    def by_parts(batch):
        x = cwae.network_input(VAE, vae["constants"], batch["audio"])
        nets = {k: vae[k] for k in ("params", "batch_stats")}
        labels = jax.nn.one_hot(batch["category"], 3)
        (mean, log_variance), _ = model.apply(nets, x, labels, True, method="posterior", **options)
        z = mean + jnp.exp(log_variance / 2) * noise
        estimate, _ = model.apply(nets, z, labels, True, method="decode", **options)
        return x, estimate, mean, log_variance

    x, estimate, mean, log_variance = by_parts(batch)
    mean, variance = np.asarray(mean, np.float64), np.exp(np.asarray(log_variance, np.float64))
    kl = 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum(-1).mean()
    mse = float(((x - estimate) ** 2).mean())
    np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-4)
    np.testing.assert_allclose(metrics["mse"], mse, rtol=1e-4)
    np.testing.assert_allclose(total, mse + 0.3 * kl, rtol=1e-4)


def test_kl_is_that_of_torch(rng):
    torch = pytest.importorskip("torch")
    mean, log_variance = rng.standard_normal((2, 5, 4)).astype(np.float32)
    normal = torch.distributions.Normal(torch.tensor(mean), torch.tensor(np.exp(log_variance / 2)))
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))
    np.testing.assert_allclose(kl_to_normal(mean, log_variance), expected.sum(-1), rtol=1e-5)


def test_code_of_the_vae_is_its_mean_everywhere_but_in_training(source, vae):
    args = source.audio[:5], source.category[:5]
    mean, log_variance = cwae.posterior(VAE, vae, *args)
    assert log_variance.shape == (5, VAE.latents)
    np.testing.assert_allclose(cwae.encode(VAE, vae, *args), mean, rtol=1e-5, atol=1e-6)
    values = jax.jit(lambda a, c: cwae.validate(VAE, vae, a, c))(*args)
    np.testing.assert_allclose(values["z"], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(values["kl"], kl_to_normal(mean, log_variance), rtol=1e-3)
    values = {k: np.asarray(v) for k, v in values.items()}
    out = cwae.summarise(VAE, values, source.category[:5])
    assert out["loss"] == pytest.approx(out["mse"] + 0.3 * values["kl"].mean())


def test_encoder_of_the_vae_has_the_tensors_of_the_others(fitted, vae):
    shapes = [jax.tree.map(jnp.shape, v["params"]) for v in (fitted, vae)]
    assert {k: v for k, v in shapes[1].items() if k != "log_variance"} == shapes[0]
    assert set(cwae.objective(VAE).losses["cwae"].trains) == set(shapes[1])


def test_categories_of_a_batch_are_told_apart_again(rng):
    x = rng.standard_normal((3, 4, 5))
    merged = merge_categories(x)
    np.testing.assert_array_equal(merged[:3], x[:, 0])  # the first sound of each category
    np.testing.assert_array_equal(split_categories(merged, 3), x)


def test_sixteen_bit_sound_is_scaled_to_one():
    x = jnp.array([-32767, 0, 32767], jnp.int16)
    np.testing.assert_array_equal(to_float(x), [-1.0, 0.0, 1.0])
    y = jnp.array([0.25])
    assert to_float(y) is y


# Scaler, validation, latent statistics


def test_training_set_is_standardised(source, fitted):
    x = np.asarray(cwae.network_input(CWAE, fitted["constants"], source.audio), np.float64)
    logs = np.asarray(log_mel(mel_spectrogram(to_float(jnp.asarray(source.audio)), CWAE.mel)))
    moves = logs.std(axis=0) > 1e-2
    assert moves.mean() > 0.9
    np.testing.assert_allclose(x.mean(axis=0)[moves], 0.0, atol=1e-3)
    np.testing.assert_allclose(x.std(axis=0)[moves], 1.0, atol=1e-3)


def test_one_mean_and_deviation_for_all_elements(source):
    config = dataclasses.replace(CWAE, scaling="global")
    scaler = cwae.fit(config, two_batches(source))["scaler"]
    logs = np.asarray(log_mel(mel_spectrogram(to_float(jnp.asarray(source.audio)), CWAE.mel)))
    for name, value in (("mean", logs.mean()), ("std", logs.std())):
        assert scaler[name].shape == (CWAE.mel.frames, CWAE.mel.n_mels)
        np.testing.assert_allclose(scaler[name], value, rtol=1e-4)


def test_standardisation_is_undone(source, fitted):
    target = mel_spectrogram(to_float(jnp.asarray(source.audio[:4])), CWAE.mel)
    x = cwae.network_input(CWAE, fitted["constants"], source.audio[:4])
    np.testing.assert_allclose(
        cwae.to_mel(CWAE, fitted["constants"], x), target, rtol=1e-3, atol=1e-6
    )
    scaler = Scaler(**fitted["constants"]["scaler"])
    np.testing.assert_allclose(standardise(unstandardise(x, scaler), scaler), x, atol=2e-3)


def test_decoded_mel_is_never_negative(fitted):
    low = jnp.full((1, CWAE.mel.frames, CWAE.mel.n_mels), -1e3)
    assert np.all(np.asarray(cwae.to_mel(CWAE, fitted["constants"], low)) == 0.0)


def test_validation_values_and_their_summary(source, fitted):
    values = jax.jit(lambda a, c: cwae.validate(CWAE, fitted, a, c))(source.audio, source.category)
    values = {k: np.asarray(v) for k, v in values.items()}
    z = cwae.encode(CWAE, fitted, source.audio, source.category)
    np.testing.assert_allclose(values["z"], z, rtol=1e-4, atol=1e-5)
    mel = cwae.reconstruct(CWAE, fitted, source.audio, source.category)["mel"]
    target = np.asarray(mel_spectrogram(to_float(jnp.asarray(source.audio)), CWAE.mel))
    ratios = [np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in zip(target, mel, strict=True)]
    np.testing.assert_allclose(values["sc"], ratios, rtol=1e-4)

    out = cwae.summarise(CWAE, values, source.category)
    assert out["sc"] == pytest.approx(np.mean(ratios), rel=1e-4)
    assert out["sc/snare"] == pytest.approx(np.mean(ratios[6:12]), rel=1e-4)
    a_sound = dataclasses.replace(CWAE, recon_reduction="mean")
    assert cwae.summarise(a_sound, values, source.category)["loss"] == pytest.approx(
        out["mse"] + 10 * out["mmd"]
    )
    summed = dataclasses.replace(CWAE, recon_reduction="sum", batch_size=40)
    assert cwae.summarise(summed, values, source.category)["loss"] == pytest.approx(
        out["mse"] + 10 / 40 * out["mmd"]
    )
    weighted = dataclasses.replace(a_sound, convergence_weight=0.5, loudness_weight=2.0, beta=1.0)
    other = cwae.summarise(weighted, values, source.category)
    expected = out["mse"] + 0.5 * out["sc"] + 2.0 * out["loud"] + out["mmd"]
    assert other["loss"] == pytest.approx(expected)
    free = cwae.summarise(dataclasses.replace(a_sound, divergence="none"), values, source.category)
    assert free["loss"] == pytest.approx(out["mse"])
    assert free["mmd"] == out["mmd"]
    pooled = dataclasses.replace(a_sound, divergence="mmd_global")
    pooled = cwae.summarise(pooled, values, source.category)
    assert pooled["loss"] == pytest.approx(out["mse"] + 10 * pooled["mmd_global"])
    draws = np.random.default_rng(0)
    each = [
        double_loop(
            values["z"][source.category == i],
            draws.standard_normal((6, 4), dtype=np.float32),
            SCALES["imq7"],
        )
        for i in range(3)
    ]
    assert out["mmd"] == pytest.approx(np.mean(each), rel=1e-3, abs=1e-6)


def test_summary_bears_a_category_without_or_with_one_sound():
    values = {"mse": np.ones(3), "sc": np.array([0.1, 0.2, 0.6]), "loud": np.ones(3)}
    values["z"] = np.zeros((3, 4), np.float32)
    out = cwae.summarise(CWAE, values, np.array([0, 0, 2]))
    assert "sc/snare" not in out
    assert out["sc/clap"] == pytest.approx(0.6)
    assert np.isfinite(out["loss"])


def test_latent_gaussians_are_measured(source, fitted):
    z = np.asarray(cwae.encode(CWAE, fitted, source.audio, source.category), np.float64)
    chunks = [(source.audio[i : i + 9], source.category[i : i + 9]) for i in (0, 9)]
    constants = cwae.calibrate(CWAE, fitted, chunks)
    assert constants["scaler"] is fitted["constants"]["scaler"]
    for i in range(3):
        own = z[source.category == i]
        full = np.cov(own.T)
        share = 6 / (2 * CWAE.latents)  # six sounds, four latents: keep three quarters
        expected = share * full + (1 - share) * np.diag(np.diag(full))
        np.testing.assert_allclose(
            constants["latents"]["mean"][i], own.mean(0), rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            constants["latents"]["covariance"][i], expected, rtol=1e-3, atol=1e-7
        )


def test_latent_gaussians_are_the_prior_until_they_are_measured(fitted):
    """What is drawn before the first calibration differs from sound to sound."""
    latents = fitted["constants"]["latents"]
    np.testing.assert_array_equal(latents["mean"], np.zeros((3, 4)))
    np.testing.assert_array_equal(latents["covariance"], [np.eye(4)] * 3)


def test_latent_gaussians_of_the_vae_are_those_of_drawn_codes(source, vae):
    """Oracle: the covariance of 20,000 codes a category, drawn from the posteriors with NumPy."""
    found = cwae.calibrate(VAE, vae, two_batches(source))["latents"]
    rng, draws = np.random.default_rng(0), 20_000
    mean, log_variance = cwae.posterior(VAE, vae, source.audio, source.category)
    for i in range(3):
        own = np.flatnonzero(source.category == i)
        rows = np.tile(own, draws // len(own) + 1)[:draws]
        noise = rng.standard_normal((draws, VAE.latents))
        codes = np.asarray(mean)[rows] + np.exp(np.asarray(log_variance)[rows] / 2) * noise
        drawn, apart = np.cov(codes.T), np.cov(np.asarray(mean)[own].T)
        # What `fit_gaussians` keeps of six sounds' means, whose spread is over five, not six.
        share = 6 / (2 * VAE.latents)
        kept = share * apart + (1 - share) * np.diag(np.diag(apart))
        expected = drawn + kept - apart * 5 / 6
        scale = np.sqrt(np.outer(np.diag(drawn), np.diag(drawn)))
        error = np.abs(found["covariance"][i] - expected) / scale
        assert error.max() < 5 * np.sqrt(2 / draws)
        assert np.diag(apart).sum() < 0.5 * np.diag(drawn).sum()
        np.testing.assert_allclose(found["mean"][i], np.asarray(mean)[own].mean(0), atol=1e-4)


def test_one_latent_has_a_variance(source):
    config = dataclasses.replace(CWAE, latents=1)
    variables = jax.jit(lambda key: cwae.init(config, key))(jax.random.key(0))
    latents = cwae.calibrate(config, variables, two_batches(source))["latents"]
    z = np.asarray(cwae.encode(config, variables, source.audio, source.category), np.float64)
    expected = [z[source.category == i].var(ddof=1) for i in range(3)]
    np.testing.assert_allclose(latents["covariance"][:, 0, 0], expected, rtol=1e-3)


def test_latent_gaussians_of_an_empty_category_are_the_prior(source, fitted):
    rows = source.category != 1
    constants = cwae.calibrate(CWAE, fitted, [(source.audio[rows], source.category[rows])])
    np.testing.assert_array_equal(constants["latents"]["mean"][1], np.zeros(4))
    np.testing.assert_array_equal(constants["latents"]["covariance"][1], np.eye(4))
