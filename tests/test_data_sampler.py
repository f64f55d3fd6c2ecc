"""The sampler against its definition: balance, epochs, resume, processes."""

import numpy as np
import pytest

from drumjax.data.augment import AugmentConfig
from drumjax.data.sampler import Sampler
from drumjax.data.source import Source
from drumjax.errors import ConfigError, DataError

SAMPLES = 400


def source(counts, seed=0):
    """Decaying noise; sample 0 of sound i is i + 1, so that a batch tells its sounds."""
    category = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    n = len(category)
    noise = np.random.default_rng(1).standard_normal((n, SAMPLES))
    audio = (noise * 8000 * np.exp(-np.arange(SAMPLES) / 80)).clip(-32000, 32000).astype(np.int16)
    audio[:, 300:] = 0
    audio[:, 0] = np.arange(n) + 1
    names = tuple(f"{i}.wav" for i in range(n))
    categories = ("kick", "snare", "clap", "tom", "conga")[: len(counts)]
    length = np.full(n, 300, np.int32)
    return Source(audio, category.astype(np.int32), length, names, ("a",) * n, categories, 22050)


def drawn(batch):
    return batch["audio"][:, :, 0] - 1  # [c, n]


def test_every_batch_holds_as_many_of_each_category():
    data = source([7, 30, 12])
    for step in (0, 1, 17):
        batch = Sampler(data, per_category=5).batch(step)
        assert batch["audio"].shape == (3, 5, SAMPLES)
        assert batch["audio"].dtype == np.int16
        assert batch["category"].dtype == np.int32
        np.testing.assert_array_equal(batch["category"], np.repeat([[0], [1], [2]], 5, axis=1))
        np.testing.assert_array_equal(data.category[drawn(batch)], batch["category"])


def test_an_epoch_draws_each_sound_once():
    sampler = Sampler(source([12, 12]), per_category=4, seed=3)
    for epoch in range(3):
        steps = range(3 * epoch, 3 * epoch + 3)
        seen = np.concatenate([drawn(sampler.batch(s)) for s in steps], axis=1)
        for c in range(2):
            expected = np.flatnonzero(sampler.source.category == c)
            np.testing.assert_array_equal(np.sort(seen[c]), expected)


def test_an_epoch_that_ends_inside_a_batch_is_still_without_repeats():
    sampler = Sampler(source([10, 10]), per_category=4)
    walk = np.concatenate([drawn(sampler.batch(s)) for s in range(5)], axis=1)  # [2, 20]
    for c in range(2):
        assert len(set(walk[c, :10])) == len(set(walk[c, 10:])) == 10


def test_epochs_seeds_and_categories_differ_in_order():
    first = Sampler(source([40, 40]), per_category=40, seed=0)
    other = Sampler(source([40, 40]), per_category=40, seed=1)
    a, b, c = drawn(first.batch(0)), drawn(first.batch(1)), drawn(other.batch(0))
    assert (a != b).any(axis=1).all()
    assert (a != c).any(axis=1).all()


def test_a_step_does_not_depend_on_earlier_steps():
    data = source([7, 30, 12])
    run = Sampler(data, per_category=6)
    batches = [run.batch(step) for step in range(9)]
    resumed = Sampler(data, per_category=6).batch(8)
    np.testing.assert_array_equal(batches[8]["audio"], resumed["audio"])


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("config", [None, AugmentConfig(0.7, 0.2, 20.0, 6.0, 0.5)])
def test_processes_together_hold_the_single_process_batch(balanced, config):
    data = source([7, 30, 12])
    whole = Sampler(data, 8, seed=2, balanced=balanced, augment=config).batch(5)
    parts = [Sampler(data, 8, 2, p, 4, balanced, config).batch(5) for p in range(4)]
    for key in whole:
        joined = np.concatenate([part[key] for part in parts], axis=1)
        np.testing.assert_array_equal(joined, whole[key])


def test_a_small_category_repeats_evenly_and_says_so():
    sampler = Sampler(source([3, 20]), per_category=8)
    counts = np.bincount(drawn(sampler.batch(0))[0])
    assert sorted(counts[counts > 0]) == [2, 3, 3]
    (warning,) = sampler.warnings()
    assert "kick" in warning
    assert "3 sounds" in warning
    assert Sampler(source([8, 20]), per_category=8).warnings() == []


def test_a_single_sound_is_enough():
    batch = Sampler(source([1, 4]), per_category=4).batch(2)
    assert len(set(drawn(batch)[0])) == 1


def test_unbalanced_draws_from_one_pool():
    sampler = Sampler(source([5, 20]), per_category=5, balanced=False)
    assert sampler.steps_per_epoch == 5
    batches = [sampler.batch(step) for step in range(5)]
    assert batches[0]["audio"].shape == (1, 5, SAMPLES)
    assert batches[0]["category"].shape == (1, 5)
    seen = np.concatenate([drawn(b)[0] for b in batches])
    np.testing.assert_array_equal(np.sort(seen), np.arange(25))


def test_steps_per_epoch_rounds_up():
    assert Sampler(source([7, 30, 12]), per_category=8).steps_per_epoch == 3  # 49 / 24


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(DataError, match="clap"):
        Sampler(source([4, 4, 0]))
    Sampler(source([4, 4, 0]), balanced=False).batch(0)
    with pytest.raises(ConfigError, match="multiple of 3"):
        Sampler(source([4, 4]), per_category=64, process_count=3)
    with pytest.raises(ConfigError, match="process 2 of 2"):
        Sampler(source([4, 4]), process_index=2, process_count=2)


def test_describe_counts_categories():
    assert source([7, 30]).describe() == "37 sounds from 1 kits at 22050 Hz: kick 7, snare 30"
