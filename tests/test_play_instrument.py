"""The instrument file: it comes back as it went in, and nothing else passes for it."""

import dataclasses
import json

import numpy as np
import pytest
import tiny
from instruments import networks, tiny_instrument
from safetensors.numpy import load_file, save_file

from drumjax.errors import ConfigError, DataError, InstrumentError
from drumjax.play import instrument as module
from drumjax.play.instrument import (
    Instrument,
    build_instrument,
    encoder_path,
    load_instrument,
    save_instrument,
)


@pytest.fixture
def path(tmp_path):
    save_instrument(tiny_instrument(), tmp_path / "a.safetensors", "float32")
    return tmp_path / "a.safetensors"


def header_of(path):
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata())


def test_every_number_comes_back(path):
    made, read = tiny_instrument(), load_instrument(path, encoder=True)
    assert set(read.tensors) == set(made.tensors)
    for name, value in made.tensors.items():
        np.testing.assert_array_equal(read.tensors[name], value)
    assert read.categories == tiny.NAMES
    assert read.mel == tiny.MEL
    assert (read.latents, read.sample_rate) == (4, 22050)
    assert not any(name.startswith("encoder/") for name in load_instrument(path).tensors)


def test_the_norms_statistics_are_folded():
    """Oracle: the definition of batch norm at rest, gamma (x - mean) / sqrt(var + eps) + beta."""
    variables, _ = networks()
    name = "ConditionalBatchNorm_0"
    own, norm = (variables[k]["decoder"][name] for k in ("params", "batch_stats"))
    x = np.linspace(-2, 2, own["gamma"].shape[1])
    mean, var = norm["BatchNorm_0"]["mean"], norm["BatchNorm_0"]["var"]
    expected = own["gamma"] * ((x - mean) / np.sqrt(var + 1e-5))[None] + own["beta"]
    tensors = tiny_instrument().tensors
    found = x[None] * tensors["decoder/norm0/scale"] + tensors["decoder/norm0/shift"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_half_precision_rounds_large_kernels_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SMALL", 100)
    save_instrument(tiny_instrument(), tmp_path / "h.safetensors", "float16")
    read = load_instrument(tmp_path / "h.safetensors")
    halves = {n for n, v in read.tensors.items() if v.dtype == np.float16}
    assert halves
    assert all(n.endswith("/kernel") and read.tensors[n].size > 100 for n in halves)
    for name in halves:
        exact = tiny_instrument().tensors[name]
        np.testing.assert_allclose(read.tensors[name], exact, rtol=2**-10, atol=1e-7)


def test_the_identity_is_that_of_the_sound(path):
    """Controls and words may change; a weight may not."""
    read = load_instrument(path)
    words = Instrument({**read.tensors, "controls/x": np.ones(2)}, {**read.meta, "name": "b"})
    assert words.identity == read.identity == load_instrument(path, encoder=True).identity
    weights = {**read.tensors, "mcnn/head_weights": read.tensors["mcnn/head_weights"] * 1.01}
    assert Instrument(weights, read.meta).identity != read.identity


@pytest.mark.parametrize("at", [0, 3, 9, 200, -3, -200, -2000])
def test_a_flipped_bit_is_seen(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
    with pytest.raises(InstrumentError, match=r"a\.safetensors"):
        load_instrument(path)


@pytest.mark.parametrize("keep", [0, 1, 8, 100, 0.5, 0.99])
def test_a_truncated_file_is_seen(path, keep):
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    with pytest.raises(InstrumentError, match="copy or export it again"):
        load_instrument(path)


def test_what_is_no_instrument(tmp_path, path):
    cases = {
        "missing.safetensors": (None, "There is no instrument"),
        "text.safetensors": (b"kick snare clap", "is no instrument"),
    }
    for name, (content, words) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InstrumentError, match=words):
            load_instrument(tmp_path / name)
    save_file({"w": np.ones(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(InstrumentError, match="no drumjax instrument"):
        load_instrument(tmp_path / "foreign.safetensors")
    with pytest.raises(InstrumentError, match="give the instrument beside it"):
        load_instrument(encoder_path(path))
    with pytest.raises(InstrumentError, match="There is no instrument"):
        load_instrument(tmp_path)


def rewrite(path, tensors=None, **header):
    """The file anew with other tensors or header entries, its SHA-256 made right."""
    found = {**header_of(path), **header}
    tensors = tensors or load_file(path)
    found["sha256"] = module._digest(tensors, json.loads(found["meta"]))
    save_file(tensors, path, found)


def test_a_newer_schema(path):
    rewrite(path, schema="99")
    with pytest.raises(InstrumentError, match=r"schema 99.*install a newer drumjax"):
        load_instrument(path)


def test_tensors_that_do_not_fit_the_metadata(path):
    tensors = load_file(path)
    rewrite(path, {n: v for n, v in tensors.items() if n != "scaler/std"})
    with pytest.raises(InstrumentError, match="scaler/std is missing"):
        load_instrument(path)
    rewrite(path, {**tensors, "decoder/dense1/bias": np.ones(5, np.float32)})
    with pytest.raises(InstrumentError, match=r"decoder/dense1/bias has the shape \(5,\)"):
        load_instrument(path)
    rewrite(path, tensors, meta=json.dumps({"part": "player", "name": "x"}))
    with pytest.raises(InstrumentError, match="no usable made_by"):
        load_instrument(path)


@pytest.mark.parametrize(
    "name", ["mcnn/head_weights", "mcnn/layer1/kernel", "latents/mean", "decoder/norm0/shift"]
)
def test_each_part_is_checked(path, name):
    tensors = load_file(path)
    rewrite(path, {**tensors, name: tensors[name][:-1]})
    with pytest.raises(InstrumentError, match=f"{name} has the shape"):
        load_instrument(path)


def test_the_encoders_tensors_are_checked(path):
    second = encoder_path(path)
    rewrite(second, {**load_file(second), "encoder/dense0/bias": np.ones(3, np.float32)})
    load_instrument(path)
    with pytest.raises(InstrumentError, match="encoder/dense0/bias has the shape"):
        load_instrument(path, encoder=True)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.float32(np.nan), "not finite"),
        (np.float16(np.inf), "not finite"),
        (1.0, "is of float64"),
    ],
)
def test_numbers_that_cannot_be_played(path, value, words):
    rewrite(path, {**load_file(path), "latents/mean": np.full((3, 4), value)})
    with pytest.raises(InstrumentError, match=f"latents/mean .*{words}"):
        load_instrument(path)


def spoilt(meta, place, value):
    """The metadata with the entry at a dotted place changed, or taken out if value is None."""
    meta = json.loads(json.dumps(meta))
    *parents, last = place.split(".")
    table = meta
    for key in parents:
        table = table[key]
    if value is None:
        del table[last]
    else:
        table[last] = value
    return meta


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("mel.num_samples", 20_000_000),
        ("mel.num_samples", 1279.5),
        ("mel.num_samples", "1279"),
        ("mel.sample_rate", True),
        ("mel.hop_length", 0),
        ("mel.hop_length", 128),
        ("mel.f_max", float("nan")),
        ("mel.scale", "bark"),
        ("mel.more", 1),
        ("mel", None),
        ("cwae.stride", [0, 2]),
        ("cwae.stride", [3]),
        ("cwae.padding", [5, 2, 1]),
        ("cwae.channels", []),
        ("cwae.hidden", "8"),
        ("cwae.latents", -4),
        ("cwae.log_floor", "small"),
        ("cwae.log_floor", 0),
        ("mcnn.stride", 0),
        ("mcnn.stride", 200),
        ("mcnn.padding", 10**6),
        ("mcnn.channels", [4, 3, 3]),
        ("mcnn.mask_threshold", 1.0),
        ("mcnn.mask_threshold", "half"),
        ("mcnn.elu_last", 0),
        ("mcnn", None),
        ("categories", "abc"),
        ("categories", []),
        ("categories", ["kick"] * 3),
        ("categories", ["../../x", "a", "b"]),
        ("categories", ["a\x1b[31m", "b", "c"]),
        ("categories", ["all", "b", "c"]),
        ("name", None),
        ("name", ["x"]),
        ("name", "\x1b[31mx"),
        ("provenance", "mine"),
        ("provenance", {"cwae": "long"}),
        ("provenance", {"credits": 5}),
        ("controls", ["a1"]),
        ("controls", {"predicted": 3}),
        ("controls", {"predicted": {"kick": {}}, "attributes": ["x"]}),
        ("controls", {"audible_share": 3}),
        ("controls", {"audible_share": {"kick": {"paper": 1}}}),
        ("controls", {"attributes": 5}),
        ("controls", {"attributes": ["a b"]}),
        ("controls", {"learnt": ["dusty"]}),
        ("controls", {"audible_share": {}}),
        ("controls", {"attributes": ["brightness"]}),
    ],
)
def test_metadata_from_strangers(path, place, value):
    """The SHA-256 is right; the words are not: one sentence, and no program is ever compiled."""
    meta = json.loads(header_of(path)["meta"])
    rewrite(path, meta=json.dumps(spoilt(meta, place, value)))
    with pytest.raises(InstrumentError, match="no instrument that this drumjax can play"):
        load_instrument(path)


@pytest.mark.parametrize("meta", ["[1]", "7", "null", "[" * 100_000])
def test_metadata_that_are_no_table(path, meta):
    header = {**header_of(path), "meta": meta}
    save_file(load_file(path), path, header)
    with pytest.raises(InstrumentError):
        load_instrument(path)


def controls_of(spread=(3, 2), middle=5, bias=6):
    """The words and tensors of two audible axes and of a map for one attribute."""
    axes = {m: (k, (*k, 2, 4)) for m, k in (("audible", (3,)), ("paper_category", (3,)))}
    shapes = {"paper/directions": (2, 4), "paper/spread": (2,)}
    shapes |= {f"{m}/directions": full for m, (_, full) in axes.items()}
    shapes |= {f"{m}/spread": (3, 2) for m in axes} | {"audible/spread": spread}
    shapes |= {"attributes/mean": (3, 1), "attributes/std": (3, 1)}
    shapes |= {"map/centre": (4,), "map/scale": (4,)}
    shapes |= {"map/layer0/kernel": (2, 7, 5), "map/layer0/bias": (2, 1, 5)}
    shapes |= {"map/layer1/kernel": (2, middle, 6), "map/layer1/bias": (2, 1, bias)}
    shapes |= {"map/layer2/kernel": (2, 6, 1), "map/layer2/bias": (2, 1, 1)}
    words = {"audible_share": {}, "attributes": ["x"]}
    return words, {f"controls/{n}": np.ones(s, np.float32) for n, s in shapes.items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"spread": (3, 1)}, "audible/spread has the shape"),
        ({"middle": 4}, "layer1 does not fit"),
        ({"bias": 5}, "layer1 does not fit"),
    ],
)
def test_controls_go_together(path, change, words):
    about, tensors = controls_of(**change)
    meta = {**json.loads(header_of(path)["meta"]), "controls": about}
    rewrite(path, {**load_file(path), **tensors}, meta=json.dumps(meta))
    if words is None:
        assert load_instrument(path).meta["controls"] == about
        return
    with pytest.raises(InstrumentError, match=words):
        load_instrument(path)


@pytest.mark.parametrize("name", ["a\tb", "x" * 201])
def test_a_name_that_could_not_be_read_again_is_not_written(tmp_path, name):
    made = dataclasses.replace(tiny_instrument(), meta={**tiny_instrument().meta, "name": name})
    with pytest.raises(InstrumentError, match="cannot be written"):
        save_instrument(made, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_no_system_takes():
    with pytest.raises(InstrumentError, match="is no instrument"):
        load_instrument("x" * 300 + ".safetensors")


def test_an_encoder_that_is_missing_or_anothers(path):
    other = build_instrument(tiny.CWAE, networks(seed=5)[0], tiny.MCNN, networks(seed=5)[1])
    save_instrument(other, path.with_name("b.safetensors"), "float32")
    encoder_path(path.with_name("b.safetensors")).replace(encoder_path(path))
    with pytest.raises(InstrumentError, match="belongs to another instrument"):
        load_instrument(path, encoder=True)
    encoder_path(path).unlink()
    with pytest.raises(InstrumentError, match=r"a\.encoder\.safetensors, which is not there"):
        load_instrument(path, encoder=True)


def test_refused_at_the_building(tmp_path):
    cwae_variables, mcnn_variables = networks()
    cwae_variables["constants"]["scaler"]["std"][0, 0] = np.nan
    with pytest.raises(InstrumentError, match="scaler/std holds numbers that are not finite"):
        build_instrument(tiny.CWAE, cwae_variables, tiny.MCNN, mcnn_variables)
    other = dataclasses.replace(tiny.MCNN, mel=dataclasses.replace(tiny.MEL, n_mels=16))
    with pytest.raises(InstrumentError, match="different mel settings"):
        build_instrument(tiny.CWAE, cwae_variables, other, mcnn_variables)
    with pytest.raises(InstrumentError, match=r"must end in \.safetensors"):
        save_instrument(tiny_instrument(), tmp_path / "a.bin")
    with pytest.raises(ConfigError, match="float16 or float32"):
        save_instrument(tiny_instrument(), tmp_path / "a.safetensors", "int8")


def test_codes_that_are_all_the_same_make_no_instrument():
    """One category may be flat, as that of sounds which are alike; all of them may not."""
    cwae_variables, mcnn_variables = networks()
    covariance = cwae_variables["constants"]["latents"]["covariance"]
    covariance[:2] = 0.0
    build_instrument(tiny.CWAE, cwae_variables, tiny.MCNN, mcnn_variables)
    covariance[:] = 0.0
    with pytest.raises(InstrumentError, match=r"never measured, or every code is the same.*train"):
        build_instrument(tiny.CWAE, cwae_variables, tiny.MCNN, mcnn_variables)


def test_numbers_too_large_for_half_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SMALL", 100)
    tensors = {k: v * 1e6 for k, v in tiny_instrument().tensors.items()}
    with pytest.raises(InstrumentError, match="does not fit into float16"):
        save_instrument(Instrument(tensors, tiny_instrument().meta), tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_keeps_what_was_there(path):
    before = path.read_bytes()
    with pytest.raises(DataError, match="cannot be written"):
        save_instrument(tiny_instrument(), path / "below_a_file.safetensors")
    assert path.read_bytes() == before
