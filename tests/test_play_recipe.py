"""Recipes, kits, and a user's own sounds on their way into the encoder."""

import json

import numpy as np
import pytest
import soundfile
from instruments import tiny_instrument

from drumjax.categories import CATEGORIES
from drumjax.data import normalise as training
from drumjax.errors import AudioDecodeError, ConfigError, DataError, InstrumentError
from drumjax.play import kit
from drumjax.play.controls import draw_codes
from drumjax.play.recipe import (
    Output,
    Recipe,
    Sound,
    check_instrument,
    decimal,
    describe,
    mixture,
    read,
    render,
)
from drumjax.play.runtime import Player
from drumjax.play.shape import Shape
from drumjax.play.source_sound import named_category, read_source

KNOWN = ("kick", "snare", "clap")
Z = np.float32([0.1, -2.5e-8, 3.0, 1 / 3])


def recipe(*sounds):
    sounds = sounds or (
        Sound("kick_01", "kick", Z, Shape(pitch=-3.0, reverse=True), 36, {"seed": 3}),
        Sound("h 2", {"kick": 0.7, "snare": 0.3}, -Z),
    )
    about = describe(tiny_instrument())
    return Recipe(about, sounds, Output(48000, 24, True), {"name": "x"})


def changed(path, value):
    """The document of `recipe`, with another value at a path such as sounds/0/z."""
    document = recipe().to_dict()
    *way, last = [int(p) if p.isdigit() else p for p in path.split("/")]
    place = document
    for step in way:
        place = place[step]
    place[last] = value
    return document


# Documents


def test_a_document_comes_back_equal():
    for text in (recipe().to_json(), recipe().to_dict(), recipe().to_json().encode()):
        back = read(text, "x")
        assert back.to_dict() == recipe().to_dict()
        assert back.sounds[0].z.tobytes() == Z.tobytes()
        assert back.sounds[0].shape == Shape(pitch=-3.0, reverse=True)
        assert back.output == Output(48000, 24, True)


def test_every_float32_comes_back_bit_for_bit(rng):
    bits = rng.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    values = np.concatenate([bits[np.isfinite(bits)], rng.standard_normal(5000).astype("f4")])
    text = json.dumps([decimal(x) for x in values])
    np.testing.assert_array_equal(np.float32(json.loads(text)), values)
    assert decimal(np.float32(0.1)) == 0.1  # not 0.10000000149011612


def test_a_code_takes_one_line():
    lines = recipe().to_json().splitlines()
    assert next(line.strip() for line in lines if '"z"' in line) == (
        '"z": [0.1, -2.5e-08, 3.0, 0.33333334]'
    )


def test_one_sound_alone_keeps_what_its_file_needs():
    whole = recipe()
    alone = whole.alone(whole.sounds[1])
    assert alone.sounds == whole.sounds[1:]
    assert (alone.instrument, alone.output, alone.extra) == (whole.instrument, whole.output, {})


@pytest.mark.parametrize("text", ["", "{", "nonsense", b"\xff\xfe", "[" * 100_000, "[]", "{}", "3"])
def test_what_is_no_recipe_is_one_sentence(text):
    with pytest.raises(DataError, match=r"^my\.json is no (drumjax )?recipe[^\n]*\.$"):
        read(text, "my.json")


def test_a_newer_schema_asks_for_an_update():
    with pytest.raises(DataError, match="newer drumjax; update"):
        read(changed("schema", 2), "x")


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("schema", "1", "schema"),
        ("schema", 0, "schema"),
        ("instrument", "tiny", "must be tables"),
        ("extra", [], "must be tables"),
        ("sounds", [], "holds no sounds"),
        ("sounds", {}, "holds no sounds"),
        ("sounds/0", 3, "a sound is 3, not a table"),
        ("output", 3, "output and extra must be tables"),
        ("output", {"\x1b[2J": 3}, r"no '\\x1b\[2J', but sample_rate"),
        ("sounds/0/shape", {"\x1b[2J": 3}, r"no '\\x1b\[2J'"),
        ("sounds/0/shape", {"pitch": "\x1b"}, r"'\\x1b'"),
        ("sounds/0/z", {}, r"code of kick_01 is \{\}, not a list"),
        ("sounds/0/z", {"1": 2}, "not a list"),
        ("sounds/0/z", [], r"code of kick_01 is \[\], not a list"),
        ("sounds/0/z", ["x" * 999], r"holds 'x{56}\.\.\., not a number"),
        ("sounds/1/name", "kick_01", "two sounds"),
        ("sounds/1/name", "KICK 01", "two sounds"),
        ("sounds/0/name", "../../etc/x", "cannot be called"),
        ("sounds/0/name", "a/b", "cannot be called"),
        ("sounds/0/name", "", "cannot be called"),
        ("sounds/0/name", 3, "cannot be called"),
        ("sounds/0/name", "x" * 49, "cannot be called"),
        ("sounds/0/z", [1e30, 0, 0, 0], "1e\\+30"),
        ("sounds/0/z", [10**400, 0, 0, 0], "not a number within"),
        ("sounds/0/z", [True, 0, 0, 0], "True"),
        ("sounds/0/z", ["1", 0, 0, 0], "'1'"),
        ("sounds/0/z", None, "code of kick_01 is None, not a list"),
        ("sounds/0/note", 128, "note 128"),
        ("sounds/0/note", 3.5, "note 3.5"),
        ("sounds/0/category", 3, "neither"),
        ("sounds/0/category", {"kick": -1}, "neither"),
        ("sounds/0/category", {"kick": 0.4, "snare": 0.3}, "do not sum to 1"),
        ("sounds/0/category", {}, "do not sum to 1"),
        ("sounds/0/shape", {"pitch": 30}, "pitch"),
        ("sounds/0/shape", {"size": 30}, "size"),
        ("sounds/0/shape", {"gain": 10**400}, "too large"),
        ("sounds/0/shape", 3, "shape"),
        ("sounds/0/origin", 3, "origin"),
        ("output/sample_rate", 96000, "96000"),
        ("output/sample_rate", 22050.0, "22050.0"),
        ("output/bits", 8, "8"),
        ("output/plain", "no", "plain"),
        ("output", {"volume": 3}, "no 'volume', but sample_rate, bits, plain"),
    ],
)
def test_a_damaged_recipe_is_one_sentence(path, value, says):
    with pytest.raises(DataError, match=rf"^x is a damaged recipe \([^\n]*{says}[^\n]*\)[^\n]*\.$"):
        read(changed(path, value), "x")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("place", ["sounds/0/origin", "extra", "instrument"])
def test_numbers_that_are_none_are_refused_wherever_they_stand(number, place):
    text = json.dumps(changed(place, {"a": ["here"]})).replace('"here"', number)
    with pytest.raises(DataError, match="is no number"):
        read(text, "x")


def test_any_byte_may_be_wrong():
    """Read as a recipe that can be written again, or refused in one sentence."""
    rng, text = np.random.default_rng(0), recipe().to_json().encode()
    read_again, refusals = 0, []
    for _ in range(500):
        damaged = bytearray(text)
        damaged[rng.integers(len(text))] = rng.integers(32, 128)
        try:
            whole = check_instrument(read(bytes(damaged), "x"), tiny_instrument(), "x", True)
            assert read(whole.to_json(), "x").to_dict() == whole.to_dict()
            read_again += 1
        except (DataError, InstrumentError) as error:
            refusals.append(str(error))
    assert min(read_again, len(refusals)) > 20
    assert not any("\n" in sentence for sentence in refusals)


@pytest.mark.parametrize("key", ["instrument", "sounds", "output"])
def test_what_is_lacking_is_named(key):
    document = recipe().to_dict()
    del document[key]
    with pytest.raises(DataError, match=f"lacks '{key}'"):
        read(document, "x")


def test_another_instrument_is_refused_or_adopted():
    own = tiny_instrument()
    assert check_instrument(recipe(), own, "x", False).to_dict() == recipe().to_dict()
    foreign = read(changed("instrument", {"identity": "0", "name": "big", "file": "b.s"}), "x")
    with pytest.raises(InstrumentError, match=r"made with the instrument 'big' \('b\.s', id"):
        check_instrument(foreign, own, "x", False)
    assert check_instrument(foreign, own, "x", True).instrument == describe(own)


@pytest.mark.parametrize(
    ("sound", "says"),
    [
        (Sound("a", "tom", Z), "'tom', which .*; it knows kick, snare, clap"),
        (Sound("a", {"kick": 0.5, "tom": 0.5}, Z), "'tom'"),
        (Sound("a", "kick", Z[:3]), "a code of 3 numbers, where the instrument takes 4"),
    ],
)
def test_sounds_that_an_instrument_cannot_play(sound, says):
    with pytest.raises(DataError, match=says):
        check_instrument(recipe(sound), tiny_instrument(), "x", False)


def test_weights_of_names_and_hybrids():
    np.testing.assert_array_equal(Sound("a", "snare", Z).weights(KNOWN), [0, 1, 0])
    hybrid = Sound("a", {"clap": 0.25, "kick": 0.75}, Z)
    np.testing.assert_array_equal(hybrid.weights(KNOWN), [0.75, 0, 0.25])
    assert hybrid.label == "kick+clap"  # whatever order JSON gives them


@pytest.mark.parametrize(
    ("shares", "category"),
    [
        ({"kick": 7, "snare": 3}, {"kick": 0.7, "snare": 0.3}),
        ({"kick": 5.0}, "kick"),
        ({"kick": 1e-40, "snare": 1e6}, "snare"),
        ({"kick": 1e-40, "snare": 1.0, "clap": 1.0}, {"snare": 0.5, "clap": 0.5}),
    ],
)
def test_shares_become_a_category_that_can_be_read_back(shares, category):
    assert mixture(shares) == category
    whole = recipe(Sound("a", mixture(shares), Z))
    assert read(whole.to_json(), "x").sounds[0].category == category


def test_a_shape_that_leaves_nothing_names_the_sound():
    with pytest.raises(ConfigError, match=r"^h 2: trim_start and trim_end leave nothing .*less\.$"):
        render(Player(tiny_instrument()), Sound("h 2", "kick", Z, Shape(trim_end=9.0)), 22050)


# Kits


@pytest.mark.parametrize("category", ["snare", {"kick": 0.25, "clap": 0.75}])
def test_codes_have_the_mean_and_covariance_of_their_gaussian(category):
    """A hybrid's are the weighted means of its categories'."""
    instrument = tiny_instrument()
    weights = Sound("a", category, Z).weights(KNOWN)
    mean = weights @ instrument.tensors["latents/mean"]
    covariance = np.einsum("k,kde->de", weights, instrument.tensors["latents/covariance"])
    n = 4000
    z = kit.draw(instrument, category, n, seed=3).astype(np.float64)
    variances = np.diag(covariance)
    assert np.all(np.abs(z.mean(0) - mean) < 4 * np.sqrt(variances / n))
    error = np.sqrt((variances[:, None] * variances[None, :] + covariance**2) / n)
    assert np.all(np.abs(np.cov(z.T) - covariance) < 4 * error)
    cold = kit.draw(instrument, category, 5, 3, temperature=0.5)
    np.testing.assert_allclose(cold - mean, 0.5 * (z[:5] - mean), atol=1e-5)


def test_a_longer_draw_begins_with_the_shorter_one():
    for category in ("kick", {"kick": 0.5, "snare": 0.5}):
        long, short = (kit.draw(tiny_instrument(), category, n, seed=7) for n in (9, 4))
        np.testing.assert_array_equal(long[:4], short)
        assert len(np.unique(long, axis=0)) == 9


def test_a_hybrid_of_the_normal_prior_draws_as_its_strongest_category():
    drawn = kit.draw(tiny_instrument(), {"kick": 0.4, "clap": 0.6}, 3, 7, "normal")
    np.testing.assert_array_equal(drawn, draw_codes(tiny_instrument(), "clap", 3, 7, "normal"))


def test_sixteen_pads_with_one_of_each_category_at_least():
    eleven = kit.default_pads(CATEGORIES)
    assert len(eleven) == 16
    assert [n for n in eleven if n.startswith(("kick", "tom"))] == [
        "kick_01",
        "kick_02",
        "tom_01",
        "tom_02",
        "tom_03",
    ]
    assert list(kit.default_pads(KNOWN).values()) == [*["kick"] * 6, *["snare"] * 6, *["clap"] * 4]
    assert len(kit.default_pads([f"c{i}" for i in range(20)])) == 20


def test_pads_of_a_list_and_of_a_table(tmp_path):
    assert kit.read_pads("snare, kick,snare", KNOWN) == {
        "snare_01": "snare",
        "kick_01": "kick",
        "snare_02": "snare",
    }
    table = tmp_path / "pads.toml"
    table.write_text(
        '[pads]\nboom = "kick"\nghost = {snare = 3, clap = 1}\nsolo = {clap = 2}\n'
        "faint = {kick = 1e-40, clap = 1e6}\n"
    )
    assert kit.read_pads(str(table), KNOWN) == {
        "boom": "kick",
        "ghost": {"snare": 0.75, "clap": 0.25},
        "solo": "clap",
        "faint": "clap",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write \\[pads\\]"),
        ("[pads]\n", "0 pads"),
        ("[pads", "cannot be read"),
        ('[pads]\nboom = "tom"', "'tom' .* knows kick, snare, clap"),
        ("[pads]\nboom = {tom = 1}", "'tom'"),
        ("[pads]\nboom = {}", "without a name"),
        ("[pads]\nboom = {kick = -1}", "shares"),
        ("[pads]\nboom = {kick = nan}", "shares"),
        ("[pads]\nboom = 3", "shares"),
        ('[pads]\n"a/b" = "kick"', "cannot be called 'a/b'"),
        ('[pads]\n"a b" = "kick"\nA_b = "kick"', "alike"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, says):
    (tmp_path / "pads.toml").write_text(text)
    with pytest.raises((ConfigError, DataError), match=says):
        kit.read_pads(str(tmp_path / "pads.toml"), KNOWN)
    with pytest.raises(DataError, match="cannot be read"):
        kit.read_pads(str(tmp_path / "none.toml"), KNOWN)


def test_the_nth_pad_of_a_category_is_its_nth_code():
    pads = kit.make(tiny_instrument(), kit.numbered(["kick", "snare", "kick"]), seed=5)
    kicks, snares = (draw_codes(tiny_instrument(), c, 2, 5) for c in ("kick", "snare"))
    for sound, z in zip(pads, (kicks[0], snares[0], kicks[1]), strict=True):
        np.testing.assert_array_equal(sound.z, z)


def test_a_new_seed_changes_the_named_pads_alone():
    instrument = tiny_instrument()
    before = kit.make(instrument, kit.numbered(["kick", "snare", "kick"]), 5)
    after = kit.reroll(instrument, before, {"kick_02": 6})
    assert after[:2] == before[:2]
    np.testing.assert_array_equal(after[2].z, draw_codes(instrument, "kick", 2, 6)[1])
    assert after[2].origin["seed"] == 6


def test_a_lock_means_a_pad_or_a_category():
    pads = kit.make(tiny_instrument(), kit.numbered(["kick", "snare", "kick"]), 5)
    assert kit.chosen(pads, "lock", "kick, snare_01") == {"kick_01", "kick_02", "snare_01"}
    assert kit.chosen(pads, "lock", "kick_02") == {"kick_02"}
    with pytest.raises(ConfigError, match="no pad ''"):
        kit.chosen(pads, "lock", "kick,")
    with pytest.raises(ConfigError, match=r"--lock=ride: .*'ride'; it has kick_01, snare_01, kick"):
        kit.chosen(pads, "lock", "ride")


# A user's own sound


def one_shot(rate, seconds, channels=1, seed=0):
    """A decaying noise with silence before and after, and a constant offset."""
    rng = np.random.default_rng(seed)
    n = round(rate * seconds)
    x = rng.standard_normal((n, channels)) * np.exp(-6 * np.arange(n) / n)[:, None]
    silence = np.zeros((round(0.05 * rate), channels))
    return 0.01 + 0.5 * np.concatenate([silence, x / np.abs(x).max(), silence])


@pytest.mark.parametrize(("rate", "seconds"), [(22050, 0.3), (44100, 0.9), (48000, 1.7)])
def test_a_sound_is_prepared_as_the_training_sounds_were(tmp_path, rate, seconds):
    """Oracle: `data.normalise`, which rounds to 16 bits besides."""
    soundfile.write(tmp_path / "a.wav", one_shot(rate, seconds), rate, "FLOAT")
    source = read_source(tmp_path / "a.wav", training.SAMPLE_RATE, training.NUM_SAMPLES)
    x = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    expected = training.pad(training.normalise(x, rate, cut_long=True)) / training.FULL_SCALE
    assert source.audio.shape == (training.NUM_SAMPLES,)
    assert source.audio.dtype == np.float32
    np.testing.assert_allclose(source.audio, expected, atol=1e-4)
    assert source.cut == (seconds > 1)
    assert source.seconds == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.zeros(4410), "is silent"),
        (np.full(4410, 1e-4), "is silent"),
        (np.full(4410, 0.5), "is silent"),  # nothing but an offset
        (np.sin(2 * np.pi * 18_000 / 44_100 * np.arange(44_100)), "lies above 11025 Hz"),
    ],
)
def test_what_cannot_be_heard_is_refused(tmp_path, samples, says):
    soundfile.write(tmp_path / "a.wav", samples, 44100, "FLOAT")
    with pytest.raises(DataError, match=f"a.wav {says}.*choose"):
        read_source(tmp_path / "a.wav", 22050, 22015)


@pytest.mark.parametrize("content", [b"", b"hello", b"RIFF1234WAVEfmt "])
def test_what_is_no_sound_is_refused(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioDecodeError, match=r"a\.wav"):
        read_source(tmp_path / "a.wav", 22050, 22015)


@pytest.mark.parametrize(
    ("path", "category"),
    [
        ("/home/me/My Snare 3.wav", "snare"),
        ("/home/me/Claps/01.wav", "clap"),
        ("claps/kick.wav", "kick"),
        ("/kicks/me/01.wav", None),  # a folder far above says nothing
        ("crash.wav", "other"),
    ],
)
def test_a_name_says_a_category(path, category):
    assert named_category(path) == category


def test_numbers_that_are_not_finite_are_never_written(monkeypatch):
    player = Player(tiny_instrument())
    monkeypatch.setattr(player, "render", lambda z, category: np.float32([0.5, np.nan]))
    with pytest.raises(DataError, match="not finite of kick_01; choose another seed"):
        render(player, recipe().sounds[0], 22050)
