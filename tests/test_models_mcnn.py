"""The MCNN: the paper's size, silence, the whole network rebuilt in NumPy, and eq. 13."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_nn_polyphase import scatter
from tiny import MCNN, MEL, NAMES, batch_of, bursts, get_config

from drumjax.audio.filters import keep_audible
from drumjax.audio.frames import stft
from drumjax.audio.mel import MelConfig, mel_filterbank, mel_spectrogram
from drumjax.audio.phase_losses import instantaneous_frequency_loss, weighted_phase_loss
from drumjax.errors import ConfigError
from drumjax.models import mcnn, model_config
from drumjax.models.objective import merge_categories, to_float

FLOOR = 1e-5

# The network alone, without the filter that follows it at generation.
BARE = dataclasses.replace(MCNN, keep_audible=False)


@pytest.fixture(scope="module")
def variables():
    """Fresh ones with head weights and softsign scalars that are all different."""
    made = jax.jit(lambda key: mcnn.init(MCNN, key))(jax.random.key(1))
    params = dict(made["params"]["mcnn"])
    params |= {"head_weights": jnp.array([0.8, -1.3]), "softsign_b": jnp.float32(-0.7)}
    params["softsign_a"] = jnp.float32(1.4)
    return {**made, "params": {"mcnn": params}}


@pytest.fixture(scope="module")
def source():
    return bursts(2, 2, 2)


@pytest.fixture(scope="module")
def heard(source, variables):
    """Sound before the mask and mask logits of all six sounds."""
    mel = mel_spectrogram(to_float(jnp.asarray(source.audio)), MEL)
    sound, logits = jax.jit(lambda m: mcnn.forward(MCNN, variables["params"]["mcnn"], m))(mel)
    return mel, np.asarray(sound, np.float64), np.asarray(logits, np.float64)


def by_hand(config, params, mel):
    """Eq. 6 and 7 by scatter loops: transposed convolutions, ELU between, heads, softsign."""
    waves = []
    for head in range(config.heads):
        x = np.asarray(mel, np.float64)
        for i in range(len(config.channels)):
            kernel = np.asarray(params[f"layer{i + 1}"]["kernel"][head], np.float64)
            x = scatter(x, kernel, (config.stride,), (6,), (config.stride - 1,))
            if config.elu_last or i < len(config.channels) - 1:
                x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        waves.append(x)  # [b, samples, 2]
    weights = np.asarray(params["head_weights"], np.float64)
    sound = sum(w * x[..., 0] for w, x in zip(weights, waves, strict=True))
    if config.softsign:
        a, b = (float(params[f"softsign_{k}"]) for k in "ab")
        sound = a * sound / (1 + np.abs(b * sound))
    n = config.mel.num_samples
    return sound[:, :n], sum(x[..., 1] for x in waves)[:, :n]


def mel_by_hand(x):
    """|STFT| F of [b, samples] in float64, Hann window, reflected edges."""
    x = np.pad(x, ((0, 0), (MEL.n_fft // 2,) * 2), mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(MEL.win_length) / MEL.win_length)
    starts = range(0, MEL.frames * MEL.hop_length, MEL.hop_length)
    frames = np.stack([x[:, s : s + MEL.n_fft] * window for s in starts], axis=1)
    return np.abs(np.fft.rfft(frames)) @ mel_filterbank(MEL).astype(np.float64)


# The paper's network


def test_parameter_count():
    params = jax.eval_shape(lambda: mcnn.init(mcnn.McnnConfig(), jax.random.key(0)))["params"]
    assert sum(int(np.prod(a.shape)) for a in jax.tree.leaves(params)) == 7_951_850


def test_output_is_cropped_to_the_sound():
    config = mcnn.McnnConfig()

    def run():
        made = mcnn.init(config, jax.random.key(0))["params"]["mcnn"]
        mel = jnp.zeros((2, 86, 512))
        return mcnn.Mcnn(config).apply({"params": made}, mel), mcnn.forward(config, made, mel)

    whole, cropped = jax.eval_shape(run)
    assert [a.shape for a in whole] == [(2, 86 * 256)] * 2
    assert [a.shape for a in cropped] == [(2, 22015)] * 2


def test_silence_stays_silence_bit_for_bit(variables):
    mel = jnp.zeros((1, MEL.frames, MEL.n_mels))
    sound, logits = mcnn.forward(MCNN, variables["params"]["mcnn"], mel)
    for x in (sound, logits, mcnn.generate(MCNN, variables, mel)):
        assert x.shape == (1, MEL.num_samples)
        assert not np.any(np.asarray(x))


def test_network_equals_the_one_made_by_hand(variables, heard):
    mel, sound, logits = heard
    expected = by_hand(MCNN, variables["params"]["mcnn"], mel[:1])
    assert np.abs(expected[0]).max() > 1e-3
    for ours, theirs in zip((sound, logits), expected, strict=True):
        np.testing.assert_allclose(ours[:1], theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_network_of_the_papers_stride_equals_the_one_made_by_hand(heard):
    config = dataclasses.replace(MCNN, stride=2, channels=(4, 3, 3, 2, 2, 2))
    params = jax.jit(lambda key: mcnn.init(config, key))(jax.random.key(2))["params"]["mcnn"]
    sound, logits = jax.jit(lambda m: mcnn.forward(config, params, m))(heard[0][:1])
    for ours, theirs in zip((sound, logits), by_hand(config, params, heard[0][:1]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_switches_of_the_last_layer_and_the_softsign(variables, heard):
    config = dataclasses.replace(MCNN, elu_last=True, softsign=False)
    params = variables["params"]["mcnn"]
    own = {k: v for k, v in params.items() if "softsign" not in k}
    sound, logits = mcnn.forward(config, own, heard[0][1:2])
    for ours, theirs in zip((sound, logits), by_hand(config, own, heard[0][1:2]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_fresh_sound_is_neither_faint_nor_huge(heard):
    """The initialisation keeps the level through the layers, to a few orders of magnitude."""
    assert 1e-4 < heard[1].std() < 1e2


# Masks and eq. 13


def test_generated_sound_is_exactly_zero_where_the_mask_is_off(variables, heard):
    mel, sound, logits = heard
    made = np.asarray(mcnn.generate(BARE, variables, mel))
    sure = np.abs(logits) > 1e-5
    on = logits > 0  # sigmoid above one half
    assert 0.02 < on.mean() < 0.98
    assert not np.any(made[sure & ~on])
    np.testing.assert_allclose(made[sure & on], sound[sure & on], rtol=1e-4, atol=1e-6)


def test_generation_filters_what_no_mel_sees_before_it_masks(variables, heard):
    """`keep_audible` has its own oracle in test_audio_filters."""
    mel, sound, logits = heard
    made = np.asarray(mcnn.generate(MCNN, variables, mel))
    expected = np.asarray(keep_audible(sound, MEL.sample_rate, MEL.top)) * (logits > 0)
    sure = np.abs(logits) > 1e-5
    np.testing.assert_allclose(made[sure], expected[sure], rtol=1e-4, atol=1e-5)
    assert not np.any(made[sure & (logits <= 0)])


def test_threshold_of_the_mask_counts(variables, heard):
    mel, _, logits = heard
    config = dataclasses.replace(MCNN, mask_threshold=0.9)
    made = np.asarray(mcnn.generate(config, variables, mel))
    assert not np.any(made[1 / (1 + np.exp(-logits)) < 0.899])


def test_loss_is_equation_13(variables, source):
    batch = batch_of(source, 2)
    total, (_, metrics) = jax.jit(lambda b: mcnn.loss(MCNN, variables, b, jax.random.key(0), None))(
        batch
    )

    audio = np.asarray(merge_categories(batch["audio"]), np.float64) / 32767
    target = mel_by_hand(audio)
    sound, logits = mcnn.forward(MCNN, variables["params"]["mcnn"], jnp.float32(target))
    sound, logits = np.asarray(sound, np.float64), np.asarray(logits, np.float64)
    estimate = mel_by_hand(sound / (1 + np.exp(-logits)))
    sc, sc_log, bce = [], [], []
    for x, t, e, m in zip(audio, target, estimate, logits, strict=True):
        sc.append(np.linalg.norm(t - e) / np.linalg.norm(t))
        logs = np.log(t + FLOOR), np.log(e + FLOOR)
        sc_log.append(np.abs(logs[0] - logs[1]).sum() / np.abs(logs[0]).sum())
        mask = np.arange(len(x)) <= np.flatnonzero(x)[-1]
        p = 1 / (1 + np.exp(-m))
        bce.append(-np.where(mask, np.log(p), np.log(1 - p)).mean())
    parts = np.mean(sc), np.mean(sc_log), np.mean(bce)
    for name, part in zip(("sc", "sc_log", "mask"), parts, strict=True):
        np.testing.assert_allclose(metrics[name], part, rtol=1e-4)
    np.testing.assert_allclose(total, 3 * parts[0] + 10 * parts[1] + parts[2], rtol=1e-4)
    np.testing.assert_allclose(metrics["loss"], total)


def test_without_a_mask_there_is_none_in_the_loss_nor_in_the_sound(variables, source, heard):
    mel, sound, _ = heard
    config = dataclasses.replace(BARE, mask="off")
    total, (_, metrics) = mcnn.loss(config, variables, batch_of(source, 2), jax.random.key(0), None)
    audio = np.asarray(merge_categories(batch_of(source, 2)["audio"]), np.float64) / 32767
    own, _ = mcnn.forward(config, variables["params"]["mcnn"], jnp.float32(mel_by_hand(audio)))
    pairs = list(zip(mel_by_hand(audio), mel_by_hand(np.asarray(own, np.float64)), strict=True))
    sc = np.mean([np.linalg.norm(t - e) / np.linalg.norm(t) for t, e in pairs])
    np.testing.assert_allclose(metrics["sc"], sc, rtol=1e-4)
    assert "mask" not in metrics
    np.testing.assert_allclose(total, 3 * metrics["sc"] + 10 * metrics["sc_log"], rtol=1e-6)
    np.testing.assert_allclose(mcnn.generate(config, variables, mel), sound, rtol=1e-4, atol=1e-5)
    values = mcnn.validate(config, variables, source.audio, source.category)
    values = {k: np.asarray(v) for k, v in values.items()}
    np.testing.assert_allclose(values["sc"], values["sc_soft"], rtol=1e-5)
    out = mcnn.summarise(config, values, source.category)
    assert out["loss"] == pytest.approx(3 * out["sc_soft"] + 10 * out["sc_log"])


def test_soft_mask_multiplies_at_generation_and_trains_as_ever(variables, source, heard):
    mel, sound, logits = heard
    config = dataclasses.replace(BARE, mask="soft")
    made = mcnn.generate(config, variables, mel)
    np.testing.assert_allclose(made, sound / (1 + np.exp(-logits)), rtol=1e-4, atol=1e-6)
    args = variables, batch_of(source, 2), jax.random.key(0), None
    assert mcnn.loss(config, *args)[0] == mcnn.loss(BARE, *args)[0]


def test_phase_losses_join_with_their_weights(variables, source):
    """The two have their own oracles in test_audio_phase_losses."""
    args = variables, batch_of(source, 2), jax.random.key(0), None
    config = dataclasses.replace(MCNN, frequency_weight=0.3, phase_weight=0.7)
    total, (_, metrics) = mcnn.loss(config, *args)
    audio = jnp.asarray(merge_categories(args[1]["audio"]), jnp.float32) / 32767
    sound, logits = mcnn.forward(MCNN, variables["params"]["mcnn"], mel_spectrogram(audio, MEL))
    a, b = (stft(x, 256, 256, 64) for x in (audio, sound * jax.nn.sigmoid(logits)))
    frequency = instantaneous_frequency_loss(a, b).mean()
    np.testing.assert_allclose(metrics["frequency"], frequency, rtol=1e-3)
    np.testing.assert_allclose(metrics["phase"], weighted_phase_loss(a, b).mean(), rtol=1e-3)
    plain = mcnn.loss(MCNN, *args)[0]
    added = 0.3 * metrics["frequency"] + 0.7 * metrics["phase"]
    np.testing.assert_allclose(total, plain + added, rtol=1e-5)
    gradient = jax.jit(
        jax.grad(lambda p: mcnn.loss(config, {**variables, "params": p}, *args[1:])[0])
    )
    leaves = jax.tree.leaves(gradient(variables["params"]))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    values = mcnn.validate(config, variables, source.audio, source.category)
    out = mcnn.summarise(config, {k: np.asarray(v) for k, v in values.items()}, source.category)
    terms = ("sc_soft", "sc_log", "mask", "frequency", "phase")
    weights = (3, 10, 1, 0.3, 0.7)
    assert out["loss"] == pytest.approx(
        sum(w * out[k] for w, k in zip(weights, terms, strict=True))
    )


@pytest.mark.parametrize("kind", ["hann", "linear", "nearest"])
def test_upsampling_is_played_as_plain_convolutions(heard, kind):
    """Composed kernels, whose oracle is in test_nn_upsampling, through the network made by hand."""
    config = dataclasses.replace(MCNN, upsampling=kind)
    made = jax.jit(lambda key: mcnn.init(config, key))(jax.random.key(2))
    plain, variables = mcnn.as_played(config, made)
    assert plain == MCNN
    params = variables["params"]["mcnn"]
    assert {k: jnp.shape(v["kernel"])[1] for k, v in params.items() if "layer" in k} == {
        f"layer{i}": 13 for i in (1, 2, 3)
    }
    sound, logits = jax.jit(lambda m: mcnn.forward(config, made["params"]["mcnn"], m))(heard[0][:1])
    for ours, theirs in zip((sound, logits), by_hand(MCNN, params, heard[0][:1]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(("width", "padding"), [(12, 5), (14, 6)])
def test_even_kernels_double_the_length_exactly(width, padding):
    config = dataclasses.replace(mcnn.McnnConfig(), width=width, padding=padding)
    assert config.output_padding == 0
    params = jax.eval_shape(lambda: mcnn.init(config, jax.random.key(0))["params"]["mcnn"])
    assert params["layer1"]["kernel"].shape == (8, width, 512, 128)
    mel = jnp.zeros((1, 86, 512))
    out = jax.eval_shape(lambda p: mcnn.Mcnn(config).apply({"params": p}, mel), params)
    assert [a.shape for a in out] == [(1, 86 * 256)] * 2


@pytest.mark.parametrize("mask", ["soft", "off"])
def test_masks_that_no_player_has_are_not_played(variables, mask):
    with pytest.raises(ConfigError, match=f"mcnn.mask={mask}; export one with mcnn.mask=binarised"):
        mcnn.as_played(dataclasses.replace(MCNN, mask=mask), variables)
    assert mcnn.as_played(MCNN, variables) == (MCNN, variables)


def test_weights_are_those_of_the_config(variables, source):
    batch = batch_of(source, 2)
    config = dataclasses.replace(MCNN, weights=(0.5, 0.25, 2.0))
    total, (_, m) = mcnn.loss(config, variables, batch, jax.random.key(0), None)
    expected = 0.5 * m["sc"] + 0.25 * m["sc_log"] + 2.0 * m["mask"]
    np.testing.assert_allclose(total, expected, rtol=1e-6)


def test_validation_values_and_their_summary(variables, source, heard):
    mel, sound, logits = heard
    run = jax.jit(lambda a, c: mcnn.validate(BARE, variables, a, c))
    values = {k: np.asarray(v) for k, v in run(source.audio, source.category).items()}
    target = mel_by_hand(source.audio / 32767)
    np.testing.assert_allclose(mel, target, rtol=1e-3, atol=1e-5)
    estimates = {"sc": sound * (logits > 0), "sc_soft": sound / (1 + np.exp(-logits))}
    for name, x in estimates.items():
        guess = mel_by_hand(x)
        ratios = [
            np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in zip(target, guess, strict=True)
        ]
        np.testing.assert_allclose(values[name], ratios, rtol=1e-3)
    out = mcnn.summarise(MCNN, values, source.category)
    assert out["sc"] == pytest.approx(values["sc"].mean())
    assert out["sc/clap"] == pytest.approx(values["sc"][4:].mean())
    means = {k: v.mean() for k, v in values.items()}
    expected = 3 * means["sc_soft"] + 10 * means["sc_log"] + means["mask"]
    assert out["loss"] == pytest.approx(expected, rel=1e-5)


def test_reconstruction_is_the_generated_sound_and_its_mel(variables, source):
    made = mcnn.reconstruct(MCNN, variables, source.audio[:2], source.category[:2])
    expected = mel_by_hand(np.asarray(made["audio"], np.float64))
    np.testing.assert_allclose(made["mel"], expected, rtol=1e-3, atol=1e-4)


# What a config may say


def test_hop_that_the_strides_do_not_make_is_refused():
    with pytest.raises(ConfigError, match=r"64 samples a frame, but the hop is 100"):
        dataclasses.replace(MCNN, mel=dataclasses.replace(MEL, hop_length=100))
    with pytest.raises(ConfigError, match=r"mcnn.channels"):
        mcnn.McnnConfig(MelConfig(), channels=(4, 2))


def test_last_layer_must_be_a_sound_and_its_mask():
    with pytest.raises(ConfigError, match="must be 2"):
        dataclasses.replace(MCNN, channels=(4, 3, 3))


def test_unknown_masks_and_upsamplings_are_refused():
    with pytest.raises(ConfigError, match="binarised, soft, off, not 'hard'"):
        dataclasses.replace(MCNN, mask="hard")
    with pytest.raises(ConfigError, match="transposed, hann, linear, nearest, not 'cubic'"):
        dataclasses.replace(MCNN, upsampling="cubic")


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("heads", 0, "heads must be at least 1, not 0"),
        ("channels", (-64, 3, 2), "each of channels must be at least 1"),
        ("channels", (), "channels is empty"),
        ("width", 0, "width must be at least 1"),
        ("stride", -4, "stride must be at least 1, not -4"),
        ("weights", (1.0, 2.0), "mcnn.weights must be three numbers"),
        ("weights", (1.0, 2.0, 3.0, 4.0), "mcnn.weights must be three numbers"),
        ("log_floor", 0.0, "log_floor must lie above 0"),
        ("log_floor", -1e-5, "log_floor must lie above 0"),
    ],
)
def test_values_that_no_network_can_be_built_from(field, value, named):
    with pytest.raises(ConfigError, match=named) as caught:
        dataclasses.replace(MCNN, **{field: value})
    assert str(caught.value).endswith(".")


def test_unknown_number_format_is_refused():
    with pytest.raises(ConfigError, match="bfloat16"):
        dataclasses.replace(MCNN, compute_dtype="float64")


def test_config_becomes_a_frozen_dataclass():
    made = model_config(get_config("mcnn").to_dict(), NAMES)
    assert (made.heads, made.channels, made.categories) == (2, (4, 3, 2), NAMES)


@pytest.mark.parametrize("lead", [(), (2,)])
@pytest.mark.parametrize("shape", [(13, 6), (12, 5), (14, 6)])
def test_both_forms_of_a_layer_agree(rng, lead, shape):
    """Values and gradients; a layer's input has an axis of heads but for the first one's."""
    width, padding = shape
    config = dataclasses.replace(MCNN, heads=2, width=width, padding=padding)
    x = rng.standard_normal((*lead, 3, 5, 4), dtype=np.float32)
    kernel = rng.standard_normal((2, width, 4, 3), dtype=np.float32)
    forms = mcnn.heads_of_products, mcnn.heads_of_convolutions
    pairs = [jax.vjp(lambda x, k, f=f: f(x, k, config), x, kernel) for f in forms]
    dy = np.cos(np.arange(pairs[0][0].size, dtype=np.float32)).reshape(pairs[0][0].shape)
    for ours, theirs in zip(*((y, *pull(dy)) for y, pull in pairs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=3e-5)
