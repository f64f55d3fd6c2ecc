"""The embeddings: what they are blind to, what they see, and on what they depend."""

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import MEL, NAMES, bursts

from drumjax.audio.mel import mel_spectrogram
from drumjax.errors import DataError
from drumjax.evals.classifier import train_classifier
from drumjax.evals.embedding import FINEST, FLOOR, log_mel_statistics, reduced_log_mel

BANDS = 8


def as_float(source):
    return source.audio.astype(np.float32) / 32767


@pytest.fixture(scope="module")
def source():
    return bursts(20, 15, 30)


@pytest.fixture(scope="module")
def statistics(source):
    return log_mel_statistics(MEL, source.audio)


@pytest.fixture(scope="module")
def classifier(source):
    return train_classifier(source, 0, MEL, steps=30)


def test_reduced_log_mels_average_the_linear_mel(source):
    sound = as_float(source)[:3]
    mel = np.asarray(mel_spectrogram(jnp.asarray(sound), MEL))  # [3, 20, 32]
    coarse = mel.reshape(3, MEL.frames, BANDS, -1).mean(axis=-1)
    level = coarse / coarse.max(axis=(1, 2), keepdims=True)
    expected = np.maximum(20 * np.log10(np.maximum(level, 1e-9)), FLOOR)
    np.testing.assert_allclose(reduced_log_mel(sound, MEL, BANDS), expected, atol=1e-3)


def test_more_bands_than_there_are_give_those_there_are(source):
    assert reduced_log_mel(source.audio[:1], MEL, 64).shape == (1, MEL.frames, MEL.n_mels)


def test_chunks_do_not_show(source):
    many = np.concatenate([source.audio, source.audio])  # two chunks
    made = reduced_log_mel(many, MEL, BANDS)
    assert len(made) == 2 * len(source.audio)
    np.testing.assert_array_equal(made[: len(source.audio)], made[len(source.audio) :])
    assert reduced_log_mel(many[:0], MEL, BANDS).shape == (0, MEL.frames, BANDS)


def test_the_reference_is_white(source, statistics):
    features = statistics.function(source.audio)
    assert 40 <= features.shape[1] <= 48
    covariance = np.cov(features, rowvar=False)
    spread = np.diag(covariance)
    np.testing.assert_allclose(features.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(covariance - np.diag(spread), 0.0, atol=1e-2)
    assert np.all((np.abs(spread - 1) < 1e-2) | (spread < 1))
    assert (np.abs(spread - 1) < 1e-2).sum() > 20


@pytest.mark.parametrize("which", ["statistics", "classifier"])
def test_loudness_and_the_type_of_the_samples_do_not_matter(which, source, request):
    fitted = request.getfixturevalue(which)
    embed = fitted.function if which == "statistics" else fitted.embed
    loud = embed(source.audio)
    assert loud.dtype == np.float32
    np.testing.assert_allclose(embed(as_float(source)), loud, atol=1e-3)
    np.testing.assert_allclose(embed(0.1 * as_float(source)), loud, atol=1e-2)


def test_a_constant_feature_is_zero_for_the_reference_and_far_for_who_departs(source):
    """Sounds that end in the first half; one that goes on."""
    sound = as_float(source)
    sound[:, MEL.num_samples // 2 :] = 0.0
    embed = log_mel_statistics(MEL, sound).function
    known = embed(sound)
    assert np.all(np.isfinite(known))
    longer = sound.copy()
    longer[:, -200:] = 0.1
    departed = np.linalg.norm(embed(longer), axis=1)
    # At least the last span of time rises from the floor by tens of dB, measured in FINEST.
    assert departed.min() > 10 / FINEST
    assert departed.min() > 2 * np.linalg.norm(known, axis=1).max()


def test_silence_has_features(statistics, classifier):
    silence = np.zeros((2, MEL.num_samples), np.float32)
    assert np.isfinite(statistics.function(silence)).all()
    assert np.isfinite(classifier.probabilities(silence)).all()


def test_the_digest_is_that_of_the_reference(source, statistics):
    assert log_mel_statistics(MEL, source.audio).digest == statistics.digest
    assert log_mel_statistics(MEL, source.audio[1:]).digest != statistics.digest
    assert len(statistics.digest) == 64


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        (np.zeros((2, 100), np.float32), r"\[n, 1279\], not \[2, 100\]"),
        (np.full((2, MEL.num_samples), np.nan, np.float32), "not finite"),
    ],
)
def test_sounds_that_cannot_be_embedded_are_refused(statistics, sound, said):
    with pytest.raises(DataError, match=said):
        statistics.function(sound)


def test_one_sound_is_no_reference(source):
    with pytest.raises(DataError, match="at least 2"):
        log_mel_statistics(MEL, source.audio[:1])


def test_the_classifier_knows_sounds_that_it_never_heard(classifier):
    """Chance is 1/3; the categories differ in colour and decay."""
    unheard = bursts(20, 20, 20, seed=9)
    heard = classifier.predict(unheard.audio)
    assert heard.dtype == np.int32
    assert np.mean(heard == unheard.category) > 0.85


def test_probabilities_are_some(classifier, source):
    chances = classifier.probabilities(source.audio)
    assert chances.shape == (65, len(NAMES))
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(chances.argmax(axis=1), classifier.predict(source.audio))
    np.testing.assert_allclose(classifier.probabilities(source.audio[:1]), chances[:1], atol=1e-5)


def test_the_features_are_what_the_last_layer_sees(classifier, source):
    features = classifier.embedding.function(source.audio)
    layer = classifier.params["Dense_1"]
    logits = features @ layer["kernel"] + layer["bias"][None]
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = weights / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.probabilities(source.audio), expected, atol=1e-5)
    assert classifier.embedding.digest == classifier.digest


def test_a_seed_gives_one_network(source):
    one, same, other = (train_classifier(source, seed, MEL, steps=2) for seed in (3, 3, 4))
    assert one.digest == same.digest != other.digest
    np.testing.assert_array_equal(one.embed(source.audio[:5]), same.embed(source.audio[:5]))


def test_a_category_may_have_one_sound_or_none(source):
    """A category without sounds is never predicted, not even with no training to speak of."""
    few = np.flatnonzero(source.category != 1)
    one = np.append(few, np.flatnonzero(source.category == 1)[0])
    for rows, known in ((few, [True, False, True]), (one, [True, True, True])):
        part = source._replace(audio=source.audio[rows], category=source.category[rows])
        made = train_classifier(part, 0, MEL, steps=2)
        assert made.known.tolist() == known
        assert set(made.predict(source.audio)) <= set(np.flatnonzero(known))
        assert np.isfinite(made.probabilities(source.audio)).all()


def test_one_category_is_nothing_to_tell_apart(source):
    alone = source._replace(category=np.zeros_like(source.category))
    with pytest.raises(DataError, match="at least 2 categories"):
        train_classifier(alone, 0, MEL)
