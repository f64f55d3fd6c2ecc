"""Loading and judging networks, with networks that never trained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import CWAE, MCNN, MEL, NAMES, bursts, state_maker

from drumjax.audio.mel import mel_spectrogram
from drumjax.errors import CheckpointError
from drumjax.evals.load import load_network, load_pair
from drumjax.evals.pictures import CEILING, draw_contact_sheet, to_ceiling
from drumjax.evals.reconstruction import Network, as_markdown, evaluate_chain
from drumjax.models import cwae, mcnn
from drumjax.models.objective import to_float
from drumjax.training.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def source():
    return bursts(3, 6, 0)._replace(categories=NAMES)


@pytest.fixture(scope="module")
def encoder():
    variables = jax.jit(lambda key: cwae.init(CWAE, key))(jax.random.key(0))
    constants = cwae.fit(CWAE, [bursts(4, 4, 4, seed=1).audio])
    factor = np.random.default_rng(0).standard_normal((3, 4, 4))
    covariance = factor @ factor.transpose(0, 2, 1)
    mean = np.arange(12.0).reshape(3, 4)
    constants["latents"] = {"mean": jnp.float32(mean), "covariance": jnp.float32(covariance)}
    return Network(CWAE, {**variables, "constants": constants})


@pytest.fixture(scope="module")
def vocoder():
    return Network(MCNN, jax.jit(lambda key: mcnn.init(MCNN, key))(jax.random.key(1)))


# Pictures


def test_peak_is_a_tenth_of_a_decibel_below_full_scale(rng):
    x = rng.standard_normal(50)
    y = to_ceiling(x)
    assert y.dtype == np.float32
    assert 20 * np.log10(np.abs(y).max()) == pytest.approx(-0.1, abs=1e-5)
    np.testing.assert_allclose(y, x * (CEILING / np.abs(x).max()), rtol=1e-6)
    assert not to_ceiling(np.zeros(5)).any()


def test_contact_sheet_shows_categories_of_unequal_size_and_silence(tmp_path, source):
    sounds = np.asarray(to_float(source.audio))
    takes = {"kick": sounds[:3], "snare": np.zeros((1, MEL.num_samples), np.float32)}
    sizes = []
    for name, columns in (("wide", 3), ("narrow", 1)):
        file = tmp_path / f"{name}.png"
        draw_contact_sheet(file, takes, MEL, columns)
        data = file.read_bytes()
        assert data.startswith(b"\x89PNG")
        sizes.append(int.from_bytes(data[16:20], "big"))  # width of the PNG in pixels
    assert sizes[0] > 1.5 * sizes[1]


# The table


def test_table_holds_the_means_of_the_sounds(encoder, vocoder, source):
    target = np.asarray(mel_spectrogram(to_float(jnp.asarray(source.audio)), MEL))
    through = jax.jit(lambda a, c: cwae.reconstruct(CWAE, encoder.variables, a, c)["mel"])
    spoken = jax.jit(lambda m: mel_spectrogram(mcnn.generate(MCNN, vocoder.variables, m), MEL))
    estimate = through(source.audio, source.category)
    made = {"cwae": estimate, "mcnn": spoken(target), "chain": spoken(estimate)}
    table = evaluate_chain(encoder, vocoder, source)
    for stage, guess in made.items():
        each = [
            np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in zip(target, guess, strict=True)
        ]
        kick, snare = np.mean(each[:3]), np.mean(each[3:])
        assert list(table[stage]) == ["kick", "snare", "categories", "sounds"]  # no clap was given
        assert table[stage]["kick"] == pytest.approx(kick, rel=1e-3)
        assert table[stage]["snare"] == pytest.approx(snare, rel=1e-3)
        assert table[stage]["categories"] == pytest.approx((kick + snare) / 2, rel=1e-3)
        assert table[stage]["sounds"] == pytest.approx(np.mean(each), rel=1e-3)


def test_table_for_people(source):
    row = {"kick": 0.25, "snare": 0.5, "categories": 0.375, "sounds": 0.4166}
    text = as_markdown({stage: row for stage in ("cwae", "mcnn", "chain")}, source).splitlines()
    assert text[2] == "| kick | 3 | 2 | 0.250 | 0.250 | 0.250 |"
    assert text[-1] == "| **mean of sounds** | 9 | 2 | 0.417 | 0.417 | 0.417 |"


# From disk


def write_run(workdir, model, seed, losses, **options):
    """Checkpoints of networks that never trained, one for each loss, each with its own weights."""
    config, make = state_maker(model, **options)
    checkpoints = Checkpoints(workdir)
    states = []
    for step, loss in enumerate(losses, 1):
        states.append(make(jax.random.key(100 * seed + step))._replace(step=jnp.int32(step)))
        checkpoints.save(states[-1], config, {}, loss)
    checkpoints.close()
    return states


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Work directories: of each model, and of an MCNN on another analysis."""
    folder = tmp_path_factory.mktemp("runs")
    states = {name: write_run(folder / name, name, 1, (0.3, 0.9)) for name in ("cwae", "mcnn")}
    write_run(folder / "other", "mcnn", 2, (0.5,), n_mels=16)
    return folder, states


@pytest.mark.parametrize(("which", "index"), [("best", 0), ("latest", 1)])
def test_network_comes_back_from_disk(runs, which, index):
    folder, states = runs
    network = load_network(folder / "cwae", "cwae", which)
    assert network.config.categories == NAMES
    assert network.config.latents == 4
    expected = states["cwae"][index].variables
    pairs = zip(jax.tree.leaves(network.variables), jax.tree.leaves(expected), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


def test_pair_comes_back_from_disk(runs):
    first, second = load_pair(runs[0] / "cwae", runs[0] / "mcnn")
    assert isinstance(first.config, cwae.CwaeConfig)
    assert isinstance(second.config, mcnn.McnnConfig)
    assert first.config.mel == second.config.mel


def test_exchanged_directories_are_told(runs):
    with pytest.raises(CheckpointError, match=r"holds a mcnn, not a cwae; .*--mcnn"):
        load_pair(runs[0] / "mcnn", runs[0] / "cwae")


def test_networks_of_different_analyses_are_refused(runs):
    with pytest.raises(CheckpointError, match="different mel settings"):
        load_pair(runs[0] / "cwae", runs[0] / "other")


def test_directories_without_a_checkpoint_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere holds no checkpoints"):
        load_network(tmp_path / "nowhere", "cwae")
    (tmp_path / "new" / "checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="no complete checkpoint yet"):
        load_network(tmp_path / "new", "cwae")
