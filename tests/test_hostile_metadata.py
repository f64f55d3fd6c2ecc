"""Metadata, recipes, configs and MIDI from strangers: what is wrong is said in one sentence."""

import copy
import io
import json
import os
import struct
import tracemalloc

import mutate_audio
import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from instruments import tiny_frame_instrument, tiny_instrument, tiny_phase_instrument
from safetensors.numpy import save

from drumjax.errors import ConfigError, DataError, DrumjaxError, InstrumentError
from drumjax.export.wav import read_recipe, wav_bytes
from drumjax.play import recipe
from drumjax.play.instrument import is_ours, load_instrument
from drumjax.play.meta import MODES, check_meta, check_plain, check_tensors, expected_tensors
from drumjax.play.midi import read_hits
from drumjax.training.config import check_config, check_workdir

MANY = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
NUMBERS = [
    0,
    -1,
    1,
    2**31,
    2**63,
    10**300,
    10**4000,
    1e-300,
    1e308,
    0.5,
    float("nan"),
    float("inf"),
]
SCALARS = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.integers() | st.floats()
SCALARS |= st.text(max_size=20) | st.sampled_from(["x" * 100_000, "\0", "a\nb", "\ud800", ""])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
DEPTHS = (31, 40, 500, 900, 950, 980, 990, 1_000, 1_100, 100_000)


def places(document, here=()):
    """The path of each value inside a document, tables and lists included."""
    if isinstance(document, dict | list):
        items = document.items() if isinstance(document, dict) else enumerate(document[:3])
        for key, value in items:
            yield (*here, key)
            yield from places(value, (*here, key))


@st.composite
def edited(draw, document):
    """A copy of which one to three values are replaced, left out, or joined by an unknown one."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(sorted(places(document), key=repr) or [("a",)]))
        room = document
        for key in way:
            room = room[key]
        what = draw(st.integers(0, 5))
        if what == 0 and last in (room if isinstance(room, dict) else range(len(room))):
            del room[last]
        elif what == 1 and isinstance(room, dict):
            room[draw(st.text(max_size=200))] = draw(VALUES)
        else:
            room[last] = draw(VALUES)
        if not isinstance(document, dict) or not document:
            break
    return document


def deep(levels):
    """A list in a list in a list, without recursion."""
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def says_one_thing(error, start=""):
    """One line that can be printed and read; `check_meta`'s is a part of the loader's sentence."""
    assert str(error).isprintable()
    assert 5 < len(str(error)) < 1_500
    assert str(error).startswith(start)


INSTRUMENTS = {"cwae": tiny_instrument, "frames": tiny_frame_instrument}
INSTRUMENTS |= {"phase": tiny_phase_instrument}


def meta_of(name):
    controls = {"attributes": ["punch"], "learnt": ["dry"], "predicted": {"kick": {"punch": 0.5}}}
    modes = {mode: {"explains": 0.5, "reaches": 0.1} for mode in MODES}
    controls["audible_share"] = {"kick": modes}
    return {**INSTRUMENTS[name]().meta, "precision": "float16", "controls": controls}


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_instruments_metadata_are_refused_or_can_be_played_by(name):
    instrument = INSTRUMENTS[name]()
    good = meta_of(name)
    check_meta(good)

    @MANY
    @given(edited(good))
    def check(meta):
        try:
            check_meta(meta)
            assert json.dumps(meta, allow_nan=False)  # no number in it is none
            assert len(list(expected_tensors(meta))) < 10_000
            check_tensors(meta, instrument.tensors, ("decoder/", "latents/", "controls/"))
        except (ValueError, ConfigError) as error:
            says_one_thing(error)

    check()


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_long_numbers_make_no_long_sentences(name):
    for *way, last in places(meta_of(name)):
        meta = copy.deepcopy(meta_of(name))
        room = meta
        for key in way:
            room = room[key]
        room[last] = 10**4000
        try:
            check_meta(meta)
        except (ValueError, ConfigError) as error:
            says_one_thing(error)


def test_large_mels_are_refused_or_pass_without_being_made():
    """Their filters would take 0.1 GB for each step of making them."""
    meta = copy.deepcopy(meta_of("phase"))
    meta["mel"] |= {"n_fft": 65_536, "win_length": 65_536, "hop_length": 8_192, "n_mels": 500}
    tracemalloc.start()
    try:
        check_meta(meta)
        with pytest.raises(ValueError, match="has the shape"):
            check_tensors(meta, tiny_phase_instrument().tensors, ("decoder/",))
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_no_instrument_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.safetensors")
    assert not is_ours(tmp_path / "a.safetensors")
    with pytest.raises(InstrumentError, match="There is no instrument"):
        load_instrument(tmp_path / "a.safetensors")


def test_a_schema_of_many_digits_makes_no_long_sentence(tmp_path):
    header = {"format": "drumjax-instrument", "schema": "9" * 4_000, "meta": "{}"}
    (tmp_path / "a.safetensors").write_bytes(save({"a": np.zeros(1)}, header))
    with pytest.raises(InstrumentError, match="newer drumjax") as caught:
        load_instrument(tmp_path / "a.safetensors")
    says_one_thing(caught.value)


@pytest.mark.parametrize("levels", DEPTHS)
def test_what_is_nested_deeply_is_refused(levels, tmp_path):
    value = deep(levels)
    with pytest.raises(ValueError, match="nested too deeply"):
        check_plain({"origin": value})
    with pytest.raises(ValueError, match="nested too deeply"):
        check_meta({**meta_of("cwae"), "provenance": {"notes": value}})
    text = json.dumps(recipe_of()).replace('"origin": {}', f'"origin": {{"a": {nested(levels)}}}')
    with pytest.raises(DataError, match="nested too deeply") as caught:
        recipe.read(text, "a.json")
    says_one_thing(caught.value)
    (tmp_path / "config.json").write_text(f'{{"model": "cwae", "a": {nested(levels)}}}')
    with pytest.raises(ConfigError) as caught:
        check_workdir(tmp_path, config_of("cwae"))
    says_one_thing(caught.value)
    with pytest.raises(ConfigError, match="no field 'a'"):
        check_config({**config_of("cwae"), "a": value})
    document = read_recipe(wav_of(tmp_path, text.encode()))  # how deep JSON is read, Python decides
    if document is not None:
        with pytest.raises(DataError, match="nested too deeply"):
            recipe.read(document, "a.wav")


def nested(levels):
    return "[" * levels + "1" + "]" * levels


def test_plain_values_pass():
    check_plain({"a": [1, 10**400, 0.5, None, True, "x", deep(29)], "b": {}})
    for bad in (float("nan"), float("-inf"), [{"a": [float("inf")]}]):
        with pytest.raises(ValueError, match="not finite"):
            check_plain(bad)


def recipe_of():
    """A recipe of two sounds for the tiny instrument."""
    sounds = [
        recipe.Sound("kick_01", "kick", np.arange(4, dtype=np.float32)),
        recipe.Sound("mixed", {"kick": 0.25, "snare": 0.75}, np.zeros(4, np.float32), note=38),
    ]
    about = recipe.describe(tiny_instrument())
    return recipe.Recipe(about, tuple(sounds), extra={"name": "kit"}).to_dict()


@MANY
@given(edited(recipe_of()), st.booleans())
@example({**recipe_of(), "sounds": recipe_of()["sounds"] * 2}, False)
@example({**recipe_of(), "schema": 2}, False)
def test_recipes_are_refused_or_read(document, as_text):
    document = json.dumps(document) if as_text else document
    try:
        read = recipe.read(document, "a.json")
        again = recipe.read(read.to_json(), "a.json")
        assert again.to_dict() == read.to_dict()
        recipe.check_instrument(read, tiny_instrument(), "a.json", any_one=False)
    except DrumjaxError as error:
        says_one_thing(error, "a.json")


def test_names_that_collide_are_found_in_a_large_recipe():
    """Which took 16 million comparisons once, and grew with the square."""
    sound = recipe_of()["sounds"][0]
    sounds = [{**sound, "name": f"a{i}"} for i in range(4_000)] * 2
    with pytest.raises(DataError, match="two sounds would be written to drumjax_a0"):
        recipe.read({**recipe_of(), "sounds": sounds}, "a.json")


def config_of(model):
    return tiny.get_config(model).to_dict()


@pytest.mark.parametrize("model", ["cwae", "frame_wae", "mcnn"])
def test_configs_are_refused_or_pass(model):
    good = config_of(model)
    check_config(good)

    @MANY
    @given(edited(good))
    def check(config):
        try:
            check_config(config)
        except ConfigError as error:
            says_one_thing(error)
        else:
            json.dumps(config, allow_nan=False)

    check()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("train.learning_rate", float("nan"), "train.learning_rate is nan"),
        ("train.learning_rate", float("inf"), "train.learning_rate is inf"),
        ("train.learning_rate", "fast", "train.learning_rate is 'fast'; give a value like 0.001"),
        ("train.beta1", 1.0, "train.beta1 is 1.0; choose 0 to 0.9999"),
        ("train.steps", 1.5, "train.steps is 1.5; give a value like 110000"),
        ("train.steps", True, "train.steps is True"),
        ("train.remat", 1, "train.remat is 1; give a value like False"),
        ("seed", -1, "seed is -1; choose 0 to"),
        ("seed", 10**30, "seed is 10000"),
        ("data.augment.layer", 2.0, "data.augment.layer is 2.0; choose 0 to 1"),
        ("cwae.hidden", [], "cwae.hidden is \\[\\]; give 1 to 64 values"),
        ("cwae.hidden", [16, "x"], "cwae.hidden is 'x'"),
        ("data.path", "a\0b", "data.path is"),
        ("mel.f_max", float("nan"), "mel.f_max is nan"),
    ],
)
def test_each_field_says_what_it_takes(field, value, words):
    config = config_of("cwae")
    *way, last = field.split(".")
    room = config
    for key in way:
        room = room[key]
    room[last] = value
    with pytest.raises(ConfigError, match=words):
        check_config(config)
    del room[last]
    with pytest.raises(ConfigError, match=f"lacks {field}"):
        check_config(config)


@MANY
@given(VALUES | edited(config_of("cwae")))
@example({**config_of("cwae"), "model": ["cwae"]})
@example([1, 2])
@example({"x" * 100_000: 1})
def test_a_work_directorys_config_is_refused_or_the_same(tmp_path_factory, saved):
    folder = tmp_path_factory.getbasetemp() / "workdir"
    folder.mkdir(exist_ok=True)
    good = config_of("cwae")
    (folder / "config.json").write_text(json.dumps(saved))
    try:
        check_workdir(folder, good)
    except ConfigError as error:
        says_one_thing(error, str(folder))


def test_a_work_directorys_config_is_no_gigabyte(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config_of("cwae")) + " " * 2**20)
    with pytest.raises(ConfigError, match="cannot be read"):
        check_workdir(tmp_path, config_of("cwae"))


def wav_of(folder, comment):
    """A WAV file that holds a comment."""
    data = bytearray(wav_bytes(np.zeros(8), 22050, recipe={}))
    at = data.index(b"ICMT")
    (folder / "a.wav").write_bytes(
        data[: data.index(b"LIST")]
        + b"LIST"
        + struct.pack("<I", 12 + len(comment))
        + b"INFOICMT"
        + struct.pack("<I", len(comment))
        + comment
        + data[at + 12 :]
    )
    return folder / "a.wav"


def test_damaged_wav_files_hold_a_recipe_or_none(tmp_path):
    data = wav_bytes(np.zeros(50), 22050, note=36, title="a", recipe=recipe_of())
    found, path = [], tmp_path / "a.wav"
    for number in range(1_000):
        path.write_bytes(mutate_audio.damaged(np.random.default_rng(number), data))
        document = read_recipe(path)
        assert document is None or isinstance(document, dict)
        found.append(document is not None)
        if document is not None:
            try:
                recipe.read(document, "a.wav")
            except DataError as error:
                says_one_thing(error)
    assert 30 < sum(found) < 950


def test_a_wav_file_of_a_million_chunks_is_given_up(tmp_path, monkeypatch):
    path, recipes = tmp_path / "a.wav", wav_bytes(np.zeros(8), 22050, recipe={"a": 1})
    path.write_bytes(recipes[:12] + b"junk\0\0\0\0" * 250 + recipes[12:])
    assert read_recipe(path) == {"a": 1}
    path.write_bytes(recipes[:12] + b"junk\0\0\0\0" * 1_000_000 + recipes[12:])
    monkeypatch.setattr("drumjax.export.wav.struct.unpack", counted := Counted(struct.unpack))
    assert read_recipe(path) is None
    assert counted.calls <= 256


class Counted:
    """Calls through, and counts."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


def midi_file():
    import mido

    file = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=400_000)])
    for note in (36, 38, 42, 46):
        track += [mido.Message("note_on", channel=9, note=note, velocity=90, time=120)]
        track += [mido.Message("note_off", channel=9, note=note, time=120)]
    file.tracks += [track, mido.MidiTrack([mido.MetaMessage("track_name", name="x" * 40)])]
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def test_damaged_midi_files_are_refused_or_hold_hits(tmp_path):
    data, path, found = midi_file(), tmp_path / "a.mid", []
    for number in range(1_000):
        path.write_bytes(mutate_audio.damaged(np.random.default_rng(number), data))
        try:
            hits = read_hits(path)
        except DataError as error:
            says_one_thing(error)
            continue
        found.append(len(hits))
        assert all(0 <= h.note < 128 and 0 < h.velocity < 128 and h.time >= 0 for h in hits)
        assert [h.time for h in hits] == sorted(h.time for h in hits)
    assert 30 < len(found) < 950
