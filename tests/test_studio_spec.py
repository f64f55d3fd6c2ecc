"""Requests of the studio: what a client may ask for, and the sound that it then gets."""

import numpy as np
import pytest
from instruments import tiny_instrument

from drumjax.audio.levels import sounding
from drumjax.errors import ConfigError
from drumjax.play import controls
from drumjax.play.gaussian import moments
from drumjax.play.kit import draw
from drumjax.play.recipe import render
from drumjax.play.runtime import Player
from drumjax.studio.spec import Spec, control_names, read_spec, sound_of


@pytest.fixture(scope="module")
def instrument(instruments):
    from drumjax.play.instrument import load_instrument

    return load_instrument(instruments / "full.safetensors")


def code(instrument, mode="audible", **values):
    values = {"category": instrument.categories[0], **values}
    return sound_of(instrument, read_spec(values, instrument), mode=mode).z


def test_seed_0_is_the_mean_and_others_are_the_draws_of_sample(instrument):
    mean, _ = moments(instrument, 0)
    np.testing.assert_allclose(code(instrument), mean, rtol=1e-6)
    drawn = controls.draw_codes(instrument, 0, 1, 5)[0]
    np.testing.assert_array_equal(code(instrument, seed=5), drawn)


@pytest.mark.parametrize("mode", ["audible", "paper_category", "paper"])
def test_with_seed_0_the_pad_is_the_papers_inverse_pca(instrument, mode):
    got = code(instrument, mode, alphas=[0.5, -0.25, 1.0], range=2)
    want = controls.from_alphas(instrument, np.array([0.5, -0.25, 1.0]), 0, mode, 2.0)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_the_pad_moves_a_sound_from_where_it_starts(instrument):
    start = code(instrument, seed=3)
    moved = code(instrument, seed=3, alphas=[1.0], range=0.5)
    want = controls.move(instrument, start, 0, {"a1": 0.5})
    np.testing.assert_allclose(moved, want, rtol=1e-5, atol=1e-6)


def test_attributes_move_as_controls_do(instrument):
    name = control_names(instrument)[0]
    got = code(instrument, seed=3, attributes={name: 1.5})
    want = controls.move(instrument, code(instrument, seed=3), 0, {name: 1.5})
    np.testing.assert_array_equal(got, want)
    assert not np.array_equal(got, code(instrument, seed=3))


def test_an_own_sound_stays_itself_until_it_is_varied(instrument):
    z = [0.5] * instrument.latents
    same = np.full(instrument.latents, 0.5, np.float32)
    for values in ({}, {"seed": 4}, {"amount": 0.5}):
        np.testing.assert_array_equal(code(instrument, z=z, **values), same)
    varied = code(instrument, z=z, seed=4, amount=0.5)
    np.testing.assert_array_equal(varied, controls.vary_codes(instrument, same, 0, 0.5, 1, 4)[0])


def test_a_hybrid_is_that_of_sample(instrument):
    a, b = instrument.categories[:2]
    spec = read_spec({"category": {a: 3, b: 1}, "seed": 2}, instrument)
    assert spec.category == {a: 0.75, b: 0.25}
    sound = sound_of(instrument, spec)
    np.testing.assert_array_equal(sound.z, draw(instrument, {a: 0.75, b: 0.25}, 1, 2)[0])


def test_a_sound_tells_how_it_came_to_be_in_jsons_types(instrument):
    import json

    z = [0.5] * instrument.latents
    name = control_names(instrument)[0]
    values = {"category": instrument.categories[0], "seed": 4, "amount": 0.5, "z": z}
    values |= {"alphas": [0.1, 0, 0], "attributes": {name: 1}, "shape": {"pitch": -3}}
    sound = sound_of(instrument, read_spec(values, instrument))
    assert json.loads(json.dumps(sound.origin))["seed"] == 4
    assert sound.shape.pitch == -3


def test_a_length_crops_the_sound_and_shorter_ones_stay(instrument):
    """Oracle: the first samples, without the ramp of 2 ms, of what is rendered without it."""
    player, first = Player(instrument), instrument.categories[0]
    seconds = 0.01

    def made(shape):
        spec = read_spec({"category": first, "seed": 1, "shape": shape}, instrument)
        return render(player, sound_of(instrument, spec), player.sample_rate)

    whole, cut = made({}), made({"length": seconds})
    n = round(seconds * player.sample_rate)
    assert len(cut) == n < sounding(whole)
    np.testing.assert_allclose(cut[:-44], whole[: n - 44], rtol=1e-6)
    np.testing.assert_array_equal(made({"length": 60}), whole)


WRONG = [
    (None, "table"),
    ([], "table"),
    ("kick", "table"),
    ({}, "category"),
    ({"category": "no such"}, "choose one of"),
    ({"category": {}}, "category"),
    ({"category": {"FIRST": 0}}, "share of"),
    ({"category": {"FIRST": "1"}}, "share of"),
    ({"category": {"FIRST": True}}, "share of"),
    ({"seed": -1}, "seed"),
    ({"seed": 0.5}, "seed"),
    ({"seed": 2**31}, "seed"),
    ({"seed": 10**400}, "seed"),
    ({"seed": float("nan")}, "seed"),
    ({"seed": float("inf")}, "seed"),
    ({"seed": True}, "seed"),
    ({"seed": "1"}, "seed"),
    ({"alphas": 0.5}, "alphas"),
    ({"alphas": [0, 0, 0, 0]}, "alphas"),
    ({"alphas": [1.01]}, "alpha"),
    ({"alphas": [float("nan")]}, "alpha"),
    ({"alphas": [None]}, "alpha"),
    ({"range": 5}, "range"),
    ({"range": -1}, "range"),
    ({"attributes": []}, "attributes"),
    ({"attributes": {"no such": 1}}, "no attribute"),
    ({"attributes": {"a1": 1}}, "no attribute"),
    ({"z": [1]}, "code"),
    ({"z": "code"}, "code"),
    ({"z": "FAR"}, "code"),
    ({"amount": 1.5}, "amount"),
    ({"shape": 1}, "shape"),
    ({"shape": {"pitch": 99}}, "pitch"),
    ({"shape": {"length": -0.1}}, "length"),
    ({"shape": {"length": "all"}}, "length"),
    ({"shape": {"speed": 1}}, "speed"),
    ({"extra": 1}, "extra"),
]


@pytest.mark.parametrize(("values", "says"), WRONG)
def test_what_cannot_be_used_is_refused_in_words(instrument, values, says):
    first = instrument.categories[0]
    if isinstance(values, dict):
        values = {"category": first, **values} if values else {}
        if isinstance(values.get("category"), dict):
            values["category"] = {
                first if name == "FIRST" else name: v for name, v in values["category"].items()
            }
        if values.get("z") == "FAR":
            values["z"] = [0.0] * (instrument.latents - 1) + [1e9]
    with pytest.raises(ConfigError, match=says):
        read_spec(values, instrument)


@pytest.mark.parametrize(
    "shape",
    [
        ["x" * 10] * 9999,
        {"x" * 9999: 1},
        dict.fromkeys(map(str, range(999))),
        {"pitch": "x" * 9999},
    ],
)
def test_a_wrong_shape_is_not_echoed_whole(instrument, shape):
    with pytest.raises(ConfigError) as refused:
        read_spec({"category": instrument.categories[0], "shape": shape}, instrument)
    assert len(str(refused.value)) < 200


def test_without_controls_the_mean_still_sounds():
    bare = tiny_instrument()
    spec = Spec(bare.categories[0])
    assert sound_of(bare, spec).z.shape == (bare.latents,)
    with pytest.raises(ConfigError, match="no axes"):
        sound_of(bare, Spec(bare.categories[0], alphas=(0.5,)))
