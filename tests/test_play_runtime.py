"""The player makes what the linen networks make, in every shape that it is asked in."""

import dataclasses
import functools
import itertools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from instruments import networks, tiny_instrument

from drumjax.audio.levels import CEILING
from drumjax.errors import ConfigError, InstrumentError
from drumjax.models import cwae, mcnn
from drumjax.play import heads
from drumjax.play.finish import FADE, fade_out, finish
from drumjax.play.instrument import build_instrument, load_instrument, save_instrument
from drumjax.play.networks import SHORTEST, predicted_end
from drumjax.play.plan import Plan
from drumjax.play.runtime import Player

K = len(tiny.NAMES)
# Each form that a layer of the heads can take: one correlation a head, and folds of 2 to 8 steps.
WIDE = dataclasses.replace(tiny.MCNN, channels=(33, 16, 8, 4, 2, 2), stride=2)
ODD = dataclasses.replace(tiny.MCNN, channels=(6, 5, 2), width=12, padding=5, elu_last=True)
PLAIN = dataclasses.replace(tiny.MCNN, channels=(3, 32, 2), padding=3, softsign=False)


@pytest.fixture(scope="module")
def player():
    return Player(tiny_instrument())


@pytest.fixture(scope="module")
def codes():
    return np.random.default_rng(3).normal(0, 1.5, (9, tiny.CWAE.latents)).astype(np.float32)


def relative(found, expected):
    return np.max(np.abs(found - expected)) / np.max(np.abs(expected))


@functools.cache
def runs(config, plan):
    """The player's heads and the linen MCNN, compiled once for each shape."""
    ours = jax.jit(functools.partial(heads.run_heads, plan))
    return ours, jax.jit(functools.partial(mcnn.forward, config))


def rows(category):
    return np.eye(K, dtype=np.float32)[category]


@pytest.mark.parametrize("category", range(K))
def test_decode_is_the_linen_decoder(player, codes, category):
    variables, _ = networks()
    weights = np.tile(rows(category), (len(codes), 1))
    expected = cwae.decode(tiny.CWAE, variables, jnp.asarray(codes), jnp.asarray(weights))
    assert relative(player.decode(codes, category), np.asarray(expected)) < 1e-5


def test_mixed_categories_are_the_linen_decoders(player, codes):
    variables, _ = networks()
    weights = np.random.default_rng(1).dirichlet(np.ones(K), len(codes)).astype(np.float32)
    expected = np.asarray(cwae.decode(tiny.CWAE, variables, jnp.asarray(codes), weights))
    assert relative(player.decode(codes, weights), expected) < 1e-5
    assert relative(player.decode(codes[4], weights[4]), expected[4]) < 1e-5


def test_encode_is_the_linen_encoder(player):
    variables, _ = networks()
    audio = tiny.bursts(2, 2, 2).audio / np.float32(32767)
    category = np.array([0, 0, 1, 1, 2, 2])
    expected = cwae.encode(tiny.CWAE, variables, jnp.asarray(audio), jnp.asarray(category))
    assert relative(player.encode(audio, rows(category)), np.asarray(expected)) < 1e-5
    assert relative(player.encode(audio[3], "snare"), np.asarray(expected)[3]) < 1e-5


def test_a_network_of_one_layer_plays_as_the_linen_one(codes, tmp_path):
    """Its decoder has no norm, and so no statistics of one."""
    config = dataclasses.replace(tiny.CWAE, channels=(8,))
    variables, vocoder = networks(config)
    assert "decoder" not in variables["batch_stats"]
    made = build_instrument(config, variables, tiny.MCNN, vocoder)
    save_instrument(made, tmp_path / "a.safetensors", "float32")
    player = Player(load_instrument(tmp_path / "a.safetensors", encoder=True))
    weights = np.tile(rows(1), (len(codes), 1))
    expected = cwae.decode(config, variables, jnp.asarray(codes), weights)
    assert relative(player.decode(codes, "snare"), np.asarray(expected)) < 1e-5
    audio, category = tiny.bursts(1, 1, 1).audio / np.float32(32767), np.arange(3)
    expected = cwae.encode(config, variables, jnp.asarray(audio), category)
    assert relative(player.encode(audio, rows(category)), np.asarray(expected)) < 1e-5


@pytest.mark.parametrize("config", [tiny.MCNN, WIDE, ODD, PLAIN], ids=["tiny", "wide", "odd", "no"])
def test_heads_are_the_linen_mcnn(config):
    _, variables = networks(mcnn_config=config)
    if not config.elu_last:
        variables["params"]["mcnn"]["head_weights"] = np.array([0.7, -1.3], np.float32)
    instrument = build_instrument(tiny.CWAE, networks()[0], config, variables)
    plan = Plan.of(instrument.meta)
    weights = heads.lay_out_mcnn(plan, instrument.tensors)
    mel = np.random.default_rng(0).exponential(1.0, (2, tiny.MEL.frames, tiny.MEL.n_mels))
    ours, linen = runs(config, plan)
    found = ours(weights, mel.astype(np.float32))
    expected = linen(variables["params"]["mcnn"], mel.astype(np.float32))
    for one, other in zip(found, expected, strict=True):
        assert relative(np.asarray(one)[:, : tiny.MEL.num_samples], np.asarray(other)) < 1e-5


@pytest.mark.parametrize("config", [tiny.MCNN, WIDE], ids=["tiny", "wide"])
def test_fewer_frames_change_nothing_before_the_end(config):
    """Oracle: the linen network on the whole spectrogram."""
    _, variables = networks(mcnn_config=config)
    player = Player(build_instrument(tiny.CWAE, networks()[0], config, variables))
    mel = np.random.default_rng(0).exponential(1.0, (1, tiny.MEL.frames, tiny.MEL.n_mels))
    mel = mel.astype(np.float32)
    ours, linen = runs(config, player.plan)
    expected = linen(variables["params"]["mcnn"], mel)
    for end in (4, 11, tiny.MEL.frames):
        length = player.plan.length(end)
        sound, logits = ours(player._inverter, mel[:, :length])
        n = min(end * tiny.MEL.hop_length, tiny.MEL.num_samples)
        assert relative(sound[:, :n], np.asarray(expected[0])[:, :n]) < 1e-5
        assert relative(logits[:, :n], np.asarray(expected[1])[:, :n]) < 1e-5
    assert player.plan.length(4) < tiny.MEL.frames


def test_the_papers_network_looks_six_frames_ahead():
    """Oracle: by hand, 3 + 3/2 + 3/4 + ... over eight layers that each look 3 steps ahead."""
    plan = dataclasses.replace(Player(tiny_instrument()).plan, head_stride=2, head_padding=6)
    plan = dataclasses.replace(plan, width=13, head_channels=(128, 64, 32, 16, 8, 4, 2, 2))
    assert plan.reach == 6


def test_single_and_batched_agree(player, codes):
    together = player.render(codes, "snare")
    assert together.shape == (9, tiny.MEL.num_samples)
    for z, sound in zip(codes, together, strict=True):
        assert np.max(np.abs(player.render(z, "snare") - sound)) < 1e-4
    named = player.render(codes[:3], ["kick", "snare", "clap"])
    for z, name, sound in zip(codes, tiny.NAMES, named, strict=False):
        assert np.max(np.abs(player.render(z, name) - sound)) < 1e-4
    assert np.max(np.abs(player.render(codes[:3], np.eye(3)) - named)) == 0
    assert np.max(np.abs(player.render(codes, 1) - together)) == 0


def test_more_sounds_than_the_largest_batch(player):
    codes = np.random.default_rng(5).normal(0, 1, (70, tiny.CWAE.latents))
    sounds = player.render(codes, "kick")
    assert sounds.shape[0] == 70
    assert np.max(np.abs(sounds[[0, 63, 64, 69]] - player.render(codes[[0, 63, 64, 69]], 0))) < 1e-4


def test_the_same_code_gives_the_same_bytes(player, codes):
    again = Player(tiny_instrument())
    assert player.render(codes[0], "clap").tobytes() == again.render(codes[0], "clap").tobytes()


def test_wild_codes_stay_finite_and_below_full_scale(player):
    rng = np.random.default_rng(0)
    instrument = tiny_instrument()
    louder = {"scaler/std": instrument.tensors["scaler/std"] * 1e4}  # as if codes lay far outside
    loud = Player(dataclasses.replace(instrument, tensors={**instrument.tensors, **louder}))
    for codes in (rng.uniform(-10, 10, (192, 4)), rng.uniform(-1e4, 1e4, (64, 4))):
        for one, category in itertools.product((player, loud), range(K)):
            sounds = one.render(codes, category)
            assert np.isfinite(sounds).all()
            assert np.max(np.abs(sounds)) <= CEILING + 1e-6


def test_a_sound_ends_in_zeros_where_its_end_is_predicted(player, codes):
    mel = player.decode(codes, "kick")
    ends = np.asarray(predicted_end(jnp.asarray(mel))) * tiny.MEL.hop_length
    assert ends.min() < tiny.MEL.num_samples  # or the test shows nothing
    for sound, end in zip(player.render(codes, "kick"), ends, strict=True):
        assert not sound[end:].any()


def test_full_computes_every_frame(player, codes):
    """Oracle: the linen networks, finished by the same function; see the finish's own tests."""
    cwae_variables, mcnn_variables = networks()
    mel = cwae.decode(tiny.CWAE, cwae_variables, jnp.asarray(codes), jnp.asarray(rows([0] * 9)))
    sound, logits = runs(tiny.MCNN, player.plan)[1](mcnn_variables["params"]["mcnn"], mel)
    expected = finish(player.plan, sound, logits, jnp.full(9, tiny.MEL.frames))
    clear = np.abs(np.asarray(logits)) > 1e-5  # nearer to the threshold, rounding decides
    assert clear.mean() > 0.5
    found = player.render(codes, "kick", full=True)
    assert relative(found * clear, np.asarray(expected) * clear) < 1e-4


def test_a_natural_sound_is_the_linen_networks_up_to_its_end(player, codes):
    variables, mcnn_variables = networks()
    mel = cwae.decode(tiny.CWAE, variables, jnp.asarray(codes), jnp.asarray(rows([1] * 9)))
    ends = jnp.minimum(predicted_end(mel), tiny.MEL.frames - player.plan.reach)
    assert len(set(np.asarray(ends).tolist())) > 2
    sound, logits = runs(tiny.MCNN, player.plan)[1](mcnn_variables["params"]["mcnn"], mel)
    expected = np.asarray(finish(player.plan, sound, logits, ends))
    for z, one in zip(codes, expected, strict=True):
        assert relative(player.render(z, "snare"), one) < 1e-4


def test_predicted_end_counts_to_the_last_frame_within_60_db():
    mel = np.full((3, 12, 2), 1e-5, np.float32)
    mel[0, 0], mel[0, 6] = 1.0, 1.1e-3
    mel[1, 0], mel[1, 6], mel[1, 5] = 1.0, 0.9e-3, 2e-3
    mel[2] = 0.0
    assert predicted_end(jnp.asarray(mel)).tolist() == [7, 6, SHORTEST]


@pytest.fixture(scope="module")
def long_plan(player):
    """The tiny plan with room for more than one fade."""
    mel = dataclasses.replace(tiny.MEL, num_samples=6000)
    return dataclasses.replace(player.plan, mel=mel)


def test_finish_takes_dc_away_fades_and_holds_the_peak(long_plan):
    n, hop = 6000, tiny.MEL.hop_length
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 440 / 22050 * np.arange(n)) * np.exp(-np.arange(n) / 900)
    raw = np.stack([3.0 * tone + 0.4, 0.3 * tone, 1e-4 * tone, 0 * tone]) + 0.0
    raw[0] += 0.05 * rng.standard_normal(n)
    logits = np.full((4, n), 2.0)
    logits[1, 2000:2100] = logits[1, 3000:] = -2.0
    ends = jnp.asarray([50, 90, 90, 90])
    made = np.asarray(finish(long_plan, jnp.asarray(raw), jnp.asarray(logits), ends))
    assert made.shape == (4, n)
    np.testing.assert_allclose(np.abs(made[:2]).max(1), CEILING, rtol=1e-5)
    np.testing.assert_allclose(np.abs(made[2]).max(), 4e-4, rtol=0.1)  # 12 dB up, no more
    assert not made[3].any()
    assert np.abs(made.mean(1)).max() < 1e-6
    assert not made[0, 50 * hop :].any()
    assert np.abs(made[0, 50 * hop - 16 : 50 * hop]).max() < 1e-3
    assert made[1, 2000:2100].all()  # a mask that flickers cuts no hole
    assert made[1, 2900:2990].any()
    assert not made[1, 3000:].any()
    # The tone itself is untouched but for its gain: it lies amid the audible band.
    inside = slice(500, 1900)
    gain = np.dot(made[1, inside], tone[inside]) / np.dot(tone[inside], tone[inside])
    assert relative(made[1, inside], gain * tone[inside]) < 0.02


def test_residue_at_half_the_rate_ends_without_a_click(long_plan):
    """A burst at 11,025 Hz that stops at the end is what a trained MCNN leaves behind."""
    n = 6000
    raw = np.zeros((1, n))
    raw[0, : 64 * 64] = 0.5 * (-1.0) ** np.arange(64 * 64)
    tone = np.sin(2 * np.pi * 440 / 22050 * np.arange(n)) * np.exp(-np.arange(n) / 600)
    sound, logits = jnp.asarray(raw + 0.5 * tone), jnp.ones((1, n))
    made = np.asarray(finish(long_plan, sound, logits, jnp.asarray([64])))[0]
    assert np.abs(made[64 * 64 - 1000 :]).max() < 0.02 * np.abs(made).max()


def test_fade_out_is_smooth():
    """Oracle: a raised cosine, which the cubic smooth step follows within 1 %."""
    window = np.asarray(fade_out(jnp.asarray([5000, 100, 0]), 5500))
    np.testing.assert_array_equal(window[0, : 5000 - FADE], 1.0)
    expected = np.hanning(2 * FADE + 1)[FADE : 2 * FADE]
    np.testing.assert_allclose(window[0, 5000 - FADE : 5000], expected, atol=0.011)
    assert np.abs(np.diff(window[0])).max() < 1.51 / FADE
    assert not window[0, 5000:].any()
    assert window[1, :75].all()
    assert not window[1, 100:].any()
    assert not window[2].any()


@pytest.mark.parametrize(
    ("z", "category", "words"),
    [
        (np.zeros(4), "cymbal", "choose one of kick, snare, clap"),
        (np.zeros(4), 3, "numbered 0 to 2, not 3: kick"),
        (np.zeros(4), [0.5, 0.2, 0.1], "sum to 1"),
        (np.zeros(4), [np.nan, 0.5, 0.5], "sum to 1"),
        (np.zeros(4), [0.5, 0.5], "3 numbers.* sum to 1"),
        (np.zeros((2, 4)), ["kick"], "1 categories for 2 codes"),
        (np.zeros(5), "kick", "must hold 4 numbers within"),
        (np.full(4, np.nan), "kick", "must hold 4 numbers within"),
        (np.full(4, 1e6), "kick", "reaches 1e"),
        (np.zeros(4), [2.0, -1.0, 0.0], "sum to 1"),
        (np.zeros((1, 4)), [[2.0, -1.0, 0.0]], "sum to 1"),
        (np.zeros((1, 4)), np.array([[2.0, -1.0, 0.0]]), "sum to 1"),
        (np.zeros((1, 1, 4)), "kick", "must hold 4 numbers within"),
        (np.zeros((0, 4)), "kick", "must hold 4 numbers within"),
    ],
)
def test_what_cannot_be_played(player, z, category, words):
    with pytest.raises(ConfigError, match=words):
        player.render(z, category)


def test_what_cannot_be_encoded(player, tmp_path):
    with pytest.raises(ConfigError, match="1279 finite samples"):
        player.encode(np.zeros(100), "kick")
    save_instrument(tiny_instrument(), tmp_path / "a.safetensors", encoder=False)
    alone = Player(load_instrument(tmp_path / "a.safetensors"))
    with pytest.raises(InstrumentError, match="export-instrument"):
        alone.encode(np.zeros(1279), "kick")


def test_the_encoder_is_fetched_from_beside_the_instrument(tmp_path):
    save_instrument(tiny_instrument(), tmp_path / "a.safetensors", "float32")
    audio = tiny.bursts(1).audio[0] / np.float32(32767)
    found = Player(load_instrument(tmp_path / "a.safetensors")).encode(audio, "kick")
    expected = Player(tiny_instrument()).encode(audio, "kick")
    np.testing.assert_array_equal(found, expected)


def test_warm_up_compiles_every_length(monkeypatch):
    """After it, a render compiles nothing more."""
    from drumjax.play import runtime

    for program in (runtime._decode, runtime._vocode):
        program.clear_cache()
    player = Player(tiny_instrument())
    player.warm_up((1,))
    before = runtime._decode._cache_size() + runtime._vocode._cache_size()
    for seed in range(12):
        player.render(np.random.default_rng(seed).normal(0, 2, 4), seed % K)
    assert runtime._decode._cache_size() + runtime._vocode._cache_size() == before


def test_playing_imports_no_training_library():
    """Every module of play/ and export/, with all that they import when they are imported."""
    code = (
        "import sys, pkgutil, importlib, drumjax.play, drumjax.export\n"
        "for room in (drumjax.play, drumjax.export):\n"
        "    for found in pkgutil.iter_modules(room.__path__, room.__name__ + '.'):\n"
        "        importlib.import_module(found.name)\n"
        "print(*{n.split('.')[0] for n in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "jax" in loaded
    heavy = {"flax", "optax", "orbax", "tensorflow_datasets", "matplotlib", "librosa", "scipy"}
    assert not loaded & heavy


def test_the_cache_is_kept_where_it_is_asked_for(tmp_path, monkeypatch):
    from drumjax.play import cache

    monkeypatch.setenv("DRUMJAX_CACHE", str(tmp_path / "x"))
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = {name: getattr(jax.config, name) for name in names}
    try:
        cache.use_cache()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "x")
        assert (tmp_path / "x").is_dir()
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("DRUMJAX_CACHE", str(tmp_path / "file" / "below"))
        cache.use_cache()  # cannot be made: nothing changes, nothing is raised
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "x")
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
