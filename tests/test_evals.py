"""Loading networks, and judging subjects whose numbers are known beforehand."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from judging import known_subject, of_kits
from judging import to_float as to_float_np
from tiny import MEL, NAMES, bursts, state_maker

from drumjax.errors import CheckpointError
from drumjax.evals.embedding import Embedding, log_mel_statistics
from drumjax.evals.generation import (
    Ears,
    Made,
    generate,
    judge,
    largest_mix,
    orderings,
    same_mix,
)
from drumjax.evals.load import load_network, load_pair
from drumjax.evals.pictures import CEILING, draw_contact_sheet, to_ceiling
from drumjax.evals.reconstruction import chained, reconstruct
from drumjax.evals.tables import interval
from drumjax.models import cwae, mcnn
from drumjax.models.objective import to_float
from drumjax.training.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def source():
    return bursts(3, 6, 0)._replace(categories=NAMES)


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
    network = load_network(folder / "cwae", ("cwae",), which)
    assert network.config.categories == NAMES
    assert network.config.latents == 4
    expected = states["cwae"][index].variables
    pairs = zip(jax.tree.leaves(network.variables), jax.tree.leaves(expected), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


def test_pair_comes_back_from_disk(runs):
    first, second = load_pair(runs[0] / "cwae", runs[0] / "mcnn")
    assert second is not None
    assert isinstance(first.config, cwae.CwaeConfig)
    assert isinstance(second.config, mcnn.McnnConfig)
    assert first.config.mel == second.config.mel


def test_exchanged_directories_are_told(runs):
    with pytest.raises(CheckpointError, match=r"holds a mcnn, not a cwae or frame_wae; .*--mcnn"):
        load_pair(runs[0] / "mcnn", runs[0] / "cwae")


def test_networks_of_different_analyses_are_refused(runs):
    with pytest.raises(CheckpointError, match="different mel settings"):
        load_pair(runs[0] / "cwae", runs[0] / "other")


def test_directories_without_a_checkpoint_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere holds no checkpoints"):
        load_network(tmp_path / "nowhere", ("cwae",))
    (tmp_path / "new" / "checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="no complete checkpoint yet"):
        load_network(tmp_path / "new", ("cwae",))


# What comes back


@pytest.fixture(scope="module")
def heard(source):
    ticks = []
    made = reconstruct(known_subject(source), source, ticks.append)
    assert sum(ticks) == len(source.names)
    return made


def test_silence_scores_one_and_the_sound_itself_nothing(heard, source):
    for stage, score in (("inverter", 1.0), ("chain", 1.0), ("rendered", 0.0)):
        row = heard.table[stage]["sc"]
        assert row["sounds"]["mean"] == pytest.approx(score, abs=1e-5)
        assert (row["sounds"]["sounds"], row["sounds"]["kits"]) == (len(source.names), 2)
    np.testing.assert_allclose(heard.sounds["rendered"], to_float_np(source), atol=1e-6)


def test_a_gain_is_the_error_of_the_mel(heard, source):
    """Half of the mel is at SC 0.5, three quarters at 0.25; gain-matched, both at 0."""
    row = heard.table["bottleneck"]["sc"]
    assert row["categories"]["kick"]["mean"] == pytest.approx(0.5, abs=1e-5)
    assert row["categories"]["snare"]["mean"] == pytest.approx(0.25, abs=1e-5)
    assert (row["categories"]["snare"]["sounds"], row["categories"]["snare"]["kits"]) == (6, 2)
    assert "clap" not in row["categories"]  # none was given
    assert row["macro"] == pytest.approx((0.5 + 0.25) / 2, abs=1e-5)
    assert row["sounds"]["mean"] == pytest.approx((3 * 0.5 + 6 * 0.25) / 9, abs=1e-5)
    assert heard.table["bottleneck"]["sc_gain"]["sounds"]["mean"] == pytest.approx(0, abs=1e-3)


def test_tails_are_told(heard):
    """The bursts end in exact zeros; so do their copies, and silence."""
    for stage in ("original", "inverter", "rendered"):
        assert heard.table[stage]["ends_in_zeros"]["sounds"]["mean"] == 1.0
    excess = heard.table["rendered"]["checkerboard_excess"]["sounds"]
    assert excess["mean"] is None or excess["mean"] == pytest.approx(0, abs=1e-6)


def test_without_an_encoder_the_inverter_alone_is_judged(source):
    made = reconstruct(known_subject(source, encoder=False), source, lambda _: None)
    assert set(made.table) == {"original", "inverter"}
    assert made.codes is None


# New sounds


def test_a_mix_has_the_shares_of_another():
    like = np.repeat([0, 1, 2], [1, 4, 2])
    category = np.repeat([0, 1, 2], [10, 10, 10])
    times = largest_mix(category, like)
    assert times == 2.5  # 10 of category 1, where the other set has 4
    rows = same_mix(category, like, times)
    np.testing.assert_array_equal(np.bincount(category[rows]), [2, 10, 5])
    assert len(set(rows.tolist())) == len(rows)
    few = same_mix(category, like, 0.1)  # at least one of each
    np.testing.assert_array_equal(np.bincount(category[few]), [1, 1, 1])


def test_a_mix_does_without_categories_that_one_side_lacks():
    like, category = np.repeat([0, 2], [2, 2]), np.repeat([0, 1], [4, 4])
    rows = same_mix(category, like, largest_mix(category, like))
    assert set(category[rows]) == {0}


class Deaf(NamedTuple):
    """Hears a kick in everything."""

    seed: int = 0

    def predict(self, sound):
        return np.zeros(len(sound), np.int32)


@pytest.fixture(scope="module")
def judged():
    """A generator that gives back its training sounds, and one that gives back two of them."""
    train, held = of_kits(bursts(40, 40, 40, seed=3)), of_kits(bursts(12, 12, 12, seed=4))
    ears = Ears([log_mel_statistics(MEL, train.audio)], [Deaf()])
    subject, options = known_subject(train), (0, 1, 2)
    good = generate(subject, options, 40, 0, lambda _: None)
    first = np.array([np.flatnonzero(train.category == c)[0] for c in good.category])
    poor = good._replace(sound=to_float_np(train)[first])
    rendered, chain = to_float_np(held), functools.partial(chained, subject)
    make = functools.partial(
        judge, held_out=held, train=train, ears=ears, rendered=rendered, chain=chain, seed=0
    )
    return [make(made, tick=lambda _: None) for made in (good, poor)]


def sets_of(table):
    return table["distances"]["log-mel statistics"]["sets"]


def test_copies_are_found(judged):
    assert judged[0]["copies"]["generated"]["mean"] == 1.0
    assert judged[0]["copies"]["held_out"]["mean"] < 0.1
    assert judged[0]["copies"]["control"]["mean"] == 1.0  # this chain loses nothing


def test_a_chain_that_loses_something_hides_copies_and_the_other_test_finds_them():
    """Noise that moves sounds as far as they are apart: no near copies, but nearer to their own."""
    train, held = bursts(20, 20, 20, 0, seed=3), bursts(30, 12, 12, 9, seed=4)
    train, held = (x._replace(categories=(*NAMES, "tom")) for x in (train, held))
    rng = np.random.default_rng(0)

    def blurred(source):
        sound = to_float_np(source)
        return (sound + 0.6 * rng.standard_normal(sound.shape)).astype(np.float32)

    made = Made(blurred(train), train.category, np.zeros((60, 4), np.float32))

    def direction(sound):
        return sound / np.linalg.norm(sound, axis=1, keepdims=True)

    ears = Ears([Embedding("samples", "", direction)], [Deaf()])
    copies = judge(made, held, train, ears, None, blurred, 0, lambda _: None)["copies"]
    assert copies["control"]["mean"] < 0.5
    assert copies["generated"]["mean"] < 0.5
    assert copies["control"]["n"] == copies["among"] == 20 + 12 + 12  # as many of both, no toms
    assert copies["nearer_control"]["mean"] > 0.8
    assert copies["nearer"]["low"] > 0.7
    others = made._replace(sound=blurred(bursts(20, 20, 20, seed=5)))
    fresh = judge(others, held, train, ears, None, blurred, 0, lambda _: None)["copies"]
    assert fresh["nearer"]["low"] < 0.5 < fresh["nearer"]["high"]


def test_collapse_is_caught_by_recall_and_coverage_and_not_by_precision(judged):
    good, poor = (sets_of(table)["generated"] for table in judged)
    assert poor["recall"] < 0.2 < good["recall"]
    assert poor["coverage"] < 0.7 * good["coverage"]
    assert poor["precision"] > 0.8
    variety = [table["diversity"]["vendi"]["generated"] for table in judged]
    assert variety[1] < 0.5 * variety[0]


def test_noise_is_farther_than_the_floor(judged):
    table = judged[0]
    sets = sets_of(table)
    assert sets["noisy"]["kad"]["mean"] > sets["training"]["kad"]["high"]
    assert table["orderings"]["noise_told"] == {"log-mel statistics": True}
    assert table["orderings"]["as_real"] == {"log-mel statistics": True}
    assert sets["noisy"]["sounds"] == sets["training"]["sounds"] == sets["generated"]["sounds"]


def test_a_listener_that_hears_kicks_is_right_about_kicks(judged):
    table = judged[0]["categories"]
    ear = table["ears"]["classifier, seed 0"]
    assert ear["generated"]["categories"]["kick"]["mean"] == 1.0
    assert ear["generated"]["categories"]["snare"]["mean"] == 0.0
    assert ear["generated"]["macro"]["mean"] == pytest.approx(1 / 3)
    assert table["ratio"]["mean"] == pytest.approx(1.0)
    assert table["ratio"]["groups"] == 6
    np.testing.assert_array_equal(table["confusion"]["generated"], [[40, 0, 0]] * 3)
    nearest = table["ears"]["nearest training sound in log-mel statistics"]
    assert nearest["generated"]["macro"]["mean"] == 1.0  # they are training sounds


def distance(kad, half):
    return {"kad": {"mean": kad, "low": kad - half, "high": kad + half}}


def test_embeddings_contradict_each_other_only_beyond_the_floor():
    def table(generated, reconstructed):
        return {
            "sets": {
                "training": distance(0.0, 5.0),
                "noisy": distance(90.0, 9.0),
                "reconstructed": distance(reconstructed, 5.0),
                "generated": distance(generated, 5.0),
            }
        }

    near = orderings({"a": table(20.0, 23.0), "b": table(23.0, 20.0)})
    assert near["order"]["a"] != near["order"]["b"]
    assert near["agree"]
    assert near["as_real"] == {"a": False, "b": False}
    assert orderings({"a": table(20.0, 40.0), "b": table(40.0, 20.0)})["agree"] is False


def test_embeddings_that_tell_nothing_apart_do_not_agree():
    sets = {name: distance(0.0, 5.0) for name in ("training", "noisy", "generated")}
    found = orderings({"a": {"sets": sets}, "b": {"sets": sets}})
    assert found["agree"] is None
    assert found["noise_told"] == {"a": False, "b": False}
    sets["training"]["kad"] |= {"low": None, "high": None}  # of four kits
    assert orderings({"a": {"sets": sets}})["order"] == {}


def test_paired_sounds_have_no_interval_and_no_shares(judged):
    row = sets_of(judged[0])["reconstructed"]
    assert row["paired"]
    assert row["kad"]["low"] is None
    assert "recall" not in row
    others = sets_of(judged[0])["generated"]
    assert others["kad"]["low"] is not None
    assert others["fad_infinity"] is None  # 36 sounds, 48 numbers


def test_below_five_kits_there_is_no_interval():
    few, enough = (interval(np.arange(8.0), np.arange(8) % n) for n in (4, 5))
    assert few == {"mean": 3.5, "low": None, "high": None, "sounds": 8, "kits": 4}
    assert enough["low"] < 3.5 < enough["high"]
