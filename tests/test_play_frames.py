"""Instruments of a frame WAE, and those whose sound is made from a phase gradient."""

import dataclasses
import hashlib
import json

import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from instruments import (
    frame_networks,
    networks,
    tiny_frame_instrument,
    tiny_instrument,
    tiny_phase_instrument,
)
from safetensors.numpy import load_file, save_file
from test_evals import write_run
from test_play_instrument import header_of, rewrite, spoilt

from drumjax.__main__ import main
from drumjax.audio import phase
from drumjax.audio.filters import keep_audible
from drumjax.audio.levels import CEILING
from drumjax.errors import ConfigError, InstrumentError
from drumjax.evals.load import load_pair
from drumjax.models import frame_wae, mcnn
from drumjax.play import instrument as module
from drumjax.play.instrument import (
    Instrument,
    build_instrument,
    encoder_path,
    load_instrument,
    save_instrument,
)
from drumjax.play.networks import predicted_end
from drumjax.play.plan import Plan
from drumjax.play.runtime import Player

MAKERS = {
    "frames+phase": tiny_frame_instrument,
    "frames+mcnn": lambda: tiny_frame_instrument(mcnn_too=True),
    "cwae+phase": tiny_phase_instrument,
}
K, D, SAMPLES = len(tiny.NAMES), tiny.FRAMES.latents, tiny.MEL.num_samples


@pytest.fixture(scope="module", params=MAKERS)
def made(request):
    return MAKERS[request.param]()


@pytest.fixture(scope="module")
def players():
    return {name: Player(make()) for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def codes():
    return np.random.default_rng(3).normal(0, 1.0, (9, D)).astype(np.float32)


def relative(found, expected):
    return np.max(np.abs(found - expected)) / np.max(np.abs(expected))


# The file


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_every_number_comes_back(made, tmp_path, precision, monkeypatch):
    monkeypatch.setattr(module, "_SMALL", 100)
    files = save_instrument(made, tmp_path / "a.safetensors", precision)
    assert files == [tmp_path / "a.safetensors", encoder_path(tmp_path / "a.safetensors")]
    read = load_instrument(files[0], encoder=True)
    assert set(read.tensors) == set(made.tensors)
    halves = {n for n, v in read.tensors.items() if v.dtype == np.float16}
    assert bool(halves) == (precision == "float16")
    for name, value in made.tensors.items():
        assert read.tensors[name].shape == value.shape, name
        rough = {"rtol": 2**-10, "atol": 1e-7} if name in halves else {"rtol": 0}
        np.testing.assert_allclose(read.tensors[name], value, err_msg=name, **rough)
    assert {k: v for k, v in read.meta.items() if k not in ("part", "precision")} == made.meta
    assert (read.latents, read.categories, read.mel) == (D, tiny.NAMES, tiny.MEL)


def test_a_file_plays_as_what_it_was_made_of(tmp_path, codes, players):
    save_instrument(tiny_frame_instrument(), tmp_path / "a.safetensors", "float32")
    loaded, player = Player(load_instrument(tmp_path / "a.safetensors")), players["frames+phase"]
    np.testing.assert_array_equal(loaded.render(codes, "kick"), player.render(codes, "kick"))
    audio = tiny.bursts(1).audio[0] / np.float32(32767)
    np.testing.assert_array_equal(loaded.encode(audio, 1), player.encode(audio, 1))


def test_an_encoder_of_another_instrument_is_refused(tmp_path):
    """The shortcut counts as sound: the same networks with another one are another instrument."""
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    made = tiny_frame_instrument()
    other = {**made.tensors, "shortcut/spread": made.tensors["shortcut/spread"] * 1.01}
    save_instrument(made, first)
    save_instrument(dataclasses.replace(made, tensors=other), second)
    encoder_path(second).replace(encoder_path(first))
    with pytest.raises(InstrumentError, match="belongs to another instrument"):
        load_instrument(first, encoder=True)


def test_rounds_decide_the_sound_and_the_identity():
    made = tiny_frame_instrument()
    other = Instrument(made.tensors, {**made.meta, "phase": {"rounds": 3}})
    assert other.identity != made.identity
    assert Instrument(made.tensors, {**made.meta, "name": "b"}).identity == made.identity


def identity_of_schema_1(instrument):
    """As drumjax computed it when every instrument had a CWAE and an MCNN."""
    parts = {k: instrument.meta[k] for k in ("categories", "cwae", "mcnn", "mel")}
    total = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for name in sorted(instrument.tensors):
        if name.startswith(("decoder/", "mcnn/", "scaler/")):
            array = instrument.tensors[name]
            total.update(f"{name} {array.dtype} {array.shape}".encode())
            total.update(hashlib.sha256(np.ascontiguousarray(array).data).digest())
    return total.hexdigest()


def test_a_file_of_schema_1_plays_as_ever(tmp_path):
    """Recipes name its identity, and its encoder does."""
    path = tmp_path / "a.safetensors"
    save_instrument(tiny_instrument(), path, "float32")
    for file in (path, encoder_path(path)):
        save_file(load_file(file), file, {**header_of(file), "schema": "1"})
    read = load_instrument(path, encoder=True)
    assert header_of(path)["schema"] == "1"
    assert read.identity == identity_of_schema_1(read) == tiny_instrument().identity


@pytest.fixture
def path(tmp_path):
    save_instrument(tiny_frame_instrument(), tmp_path / "a.safetensors", "float32")
    return tmp_path / "a.safetensors"


CWAE, MCNN = (tiny_instrument().meta[k] for k in ("cwae", "mcnn"))


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("cwae", CWAE, "the models"),
        ("mcnn", MCNN, "the inverters"),
        ("frame_wae", None, "the models"),
        ("phase", None, "the inverters"),
        ("frame_wae", 5, "no table"),
        ("frame_wae", [1], "no table"),
        ("phase", 16, "no table"),
        ("frame_wae.latents", 0, "frame_wae.latents is 0"),
        ("frame_wae.width", 10**9, "frame_wae.width"),
        ("frame_wae.wide", "12", "frame_wae.wide"),
        ("frame_wae.hidden", 16.0, "frame_wae.hidden"),
        ("frame_wae.seed", True, "frame_wae.seed"),
        ("frame_wae.condition", None, "frame_wae.condition"),
        ("frame_wae.narrow", -1, "frame_wae.narrow"),
        ("frame_wae.blocks", 65, "frame_wae.blocks is 65"),
        ("frame_wae.blocks", 2, "decoder/block1/taps has the shape"),
        ("frame_wae.latents", 5, "has the shape"),
        ("frame_wae.power", 0.05, "frame_wae.power"),
        ("frame_wae.power", float("nan"), "not finite"),
        ("frame_wae.power", "cube root", "frame_wae.power"),
        ("frame_wae.power", None, "frame_wae.power"),
        ("phase.rounds", 0, "phase.rounds is 0"),
        ("phase.rounds", 10**6, "phase.rounds"),
        ("phase.rounds", 2.5, "phase.rounds"),
        ("mel.hop_length", 129, "gaps between its windows"),
        ("provenance", {"frame_wae": "long"}, "provenance of the frame_wae"),
        ("provenance", {"frame_wae": {"data": 3}}, "provenance of the frame_wae"),
    ],
)
def test_metadata_from_strangers(path, place, value, words):
    meta = json.loads(header_of(path)["meta"])
    rewrite(path, meta=json.dumps(spoilt(meta, place, value)))
    with pytest.raises(InstrumentError, match="no instrument that this drumjax can play") as caught:
        load_instrument(path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "name", ["shortcut/kernel", "shortcut/scale", "decoder/position", "decoder/block0/gain"]
)
def test_each_part_must_be_there(path, name):
    tensors = load_file(path)
    rewrite(path, {n: v for n, v in tensors.items() if n != name})
    with pytest.raises(InstrumentError, match=f"{name} is missing"):
        load_instrument(path)
    rewrite(path, {**tensors, name: np.ones((2, 2), np.float32)})
    with pytest.raises(InstrumentError, match=rf"{name} has the shape \(2, 2\)"):
        load_instrument(path)


def test_what_no_player_could_read_is_not_written(tmp_path):
    made = tiny_frame_instrument()
    for change in ({"cwae": CWAE}, {"mcnn": MCNN}, {"phase": {"rounds": 0}}):
        with pytest.raises(InstrumentError, match="cannot be written"):
            save_instrument(
                Instrument(made.tensors, {**made.meta, **change}), tmp_path / "a.safetensors"
            )
    assert not list(tmp_path.iterdir())


# The player


@pytest.mark.parametrize("name", ["frames+phase", "frames+mcnn"])
def test_decode_is_the_models(players, codes, name):
    weights = np.random.default_rng(1).dirichlet(np.ones(K), len(codes)).astype(np.float32)
    expected = frame_wae.decode(tiny.FRAMES, frame_networks(), jnp.asarray(codes), weights)
    expected = np.asarray(expected)
    assert relative(players[name].decode(codes, weights), expected) < 1e-5
    assert relative(players[name].decode(codes[4], weights[4]), expected[4]) < 1e-5


def test_encode_is_the_models(players):
    sounds = tiny.bursts(2, 2, 2, seed=5)
    expected = frame_wae.encode(tiny.FRAMES, frame_networks(), sounds.audio, sounds.category)
    audio = sounds.audio / np.float32(32767)
    found = players["frames+phase"].encode(audio, np.eye(K)[sounds.category])
    assert relative(found, np.asarray(expected)) < 1e-5


def test_render_is_the_phase_of_the_mel_up_to_its_end(players, codes):
    """Oracle: the frames before the predicted end, silence after them, all of it inverted."""
    from drumjax.play.finish import finish

    player = players["frames+phase"]
    mel = player.decode(codes, "snare")
    ends = np.asarray(predicted_end(jnp.asarray(mel)))
    alive = np.arange(tiny.MEL.frames)[None] < ends[:, None]
    sound = phase.invert(jnp.asarray(mel * alive[..., None]), tiny.MEL, module.ROUNDS)
    expected = finish(player.plan, sound, jnp.ones_like(sound), jnp.asarray(ends))
    found = player.render(codes, "snare")
    assert np.max(np.abs(found - np.asarray(expected))) < 1e-3


@pytest.mark.parametrize("name", ["frames+phase", "cwae+phase"])
def test_alone_as_among_longer_ones(players, name):
    """Lengths differ, and so do the programs that make them."""
    player = players[name]
    z = np.random.default_rng(0).normal(0, 2, (40, D)).astype(np.float32)
    ends = np.asarray(predicted_end(jnp.asarray(player.decode(z, "kick"))))
    order = np.argsort(ends)
    pick = order[[0, len(z) // 4, len(z) // 2, -1]]
    lengths = {player.plan.length(int(e)) for e in ends[pick]}
    assert len(lengths) > 1, ends  # or the test shows nothing
    together = player.render(z[pick], "kick")
    for code, sound in zip(z[pick], together, strict=True):
        assert np.max(np.abs(player.render(code, "kick") - sound)) < 1e-4


@pytest.mark.parametrize("name", list(MAKERS))
def test_codes_from_afar_make_finite_sounds_that_end(players, name):
    player, rng = players[name], np.random.default_rng(0)
    for reach, count in ((10, 64), (1e4, 8)):
        z = rng.uniform(-reach, reach, (count, D)).astype(np.float32)
        ends = np.asarray(predicted_end(jnp.asarray(player.decode(z, "clap"))))
        sounds = player.render(z, "clap")
        assert sounds.shape == (count, SAMPLES)
        assert np.isfinite(sounds).all()
        assert np.abs(sounds).max() <= CEILING + 1e-6
        for sound, end in zip(sounds, ends, strict=True):
            assert not sound[end * tiny.MEL.hop_length :].any()
    loud = np.abs(player.render(rng.normal(0, 1, (8, D)), "kick")).max(1)
    if "phase" in name:  # the random MCNN is too quiet for the 12 dB that it may be raised by
        np.testing.assert_allclose(loud, 0.98855, atol=1e-5)


def test_no_dc_is_left(players, codes):
    for player in players.values():
        sounds = player.render(codes, "kick")
        assert np.abs(sounds.mean(1)).max() < 1e-5


def test_full_renders_to_the_last_frame(players, codes):
    player = players["frames+phase"]
    whole = player.render(codes, "kick", full=True)
    ends = np.asarray(predicted_end(jnp.asarray(player.decode(codes, "kick"))))
    assert ends.min() < tiny.MEL.frames
    short = int(ends.argmin())
    assert whole[short, ends.min() * tiny.MEL.hop_length :].any()


def test_invert_is_the_inverter_alone(players):
    mel = np.random.default_rng(0).exponential(0.1, (3, tiny.MEL.frames, tiny.MEL.n_mels))
    mel = mel.astype(np.float32)
    found = players["frames+phase"].invert(mel)
    assert relative(found, np.asarray(phase.invert(jnp.asarray(mel), tiny.MEL, 16))) < 1e-3
    found = players["frames+mcnn"].invert(mel)
    sound, _ = mcnn.forward(tiny.MCNN, networks()[1]["params"]["mcnn"], jnp.asarray(mel))
    expected = np.asarray(keep_audible(sound, tiny.MEL.sample_rate, tiny.MEL.top))
    assert relative(found, expected) < 1e-4
    assert relative(players["frames+mcnn"].invert(mel[1]), expected[1]) < 1e-4
    assert found.shape == (3, SAMPLES)


@pytest.mark.parametrize(
    "mel",
    [
        np.zeros((3, 4)),
        np.zeros((1, 1, 20, 32)),
        np.full((20, 32), np.nan),
        np.zeros((0, 20, 32)),
        1,
    ],
)
def test_what_cannot_be_inverted(players, mel):
    with pytest.raises(ConfigError, match="must be 20 finite frames of 32"):
        players["frames+phase"].invert(mel)


@pytest.mark.parametrize(
    ("window", "hop", "reach"), [(1024, 256, 2), (2048, 256, 6), (512, 256, 0), (600, 256, 1)]
)
def test_frames_that_the_phase_needs_after_the_end(window, hop, reach):
    """Oracle: test_audio_phase, where so many frames of silence are enough."""
    meta = json.loads(json.dumps(tiny_frame_instrument().meta))
    meta["mel"] |= {"n_fft": 2048, "win_length": window, "hop_length": hop, "num_samples": 22015}
    plan = Plan.of(meta)
    assert plan.reach == reach
    assert plan.latest_end == plan.frames == 86
    assert plan.length(50) >= 50 + reach


def test_no_sound_alone_is_as_long_as_all(players):
    """Programs of fewer frames are what makes short sounds cheap."""
    assert players["frames+phase"].plan.length(4) < tiny.MEL.frames


def test_refused_at_the_building():
    other = dataclasses.replace(tiny.MCNN, mel=dataclasses.replace(tiny.MEL, n_mels=16))
    with pytest.raises(InstrumentError, match="different mel settings"):
        build_instrument(tiny.FRAMES, frame_networks(), other, networks()[1])
    broken = {**frame_networks()["constants"]["shortcut"], "spread": np.full(D, np.nan)}
    constants = {**frame_networks()["constants"], "shortcut": broken}
    with pytest.raises(InstrumentError, match="shortcut/spread holds numbers"):
        build_instrument(tiny.FRAMES, {**frame_networks(), "constants": constants})


# The commands


@pytest.mark.parametrize(("name", "words"), [
    ("frames+phase", ["frame WAE     2 blocks, channels 12 and 8", "phase gradient, 16 rounds"]),
    ("frames+mcnn", ["frame WAE", "MCNN          2 heads"]),
    ("cwae+phase", ["CWAE          channels 2-3-4", "phase gradient, 4 rounds"]),
])  # fmt: skip
def test_info_tells_what_is_inside(tmp_path, capsys, name, words):
    made = MAKERS[name]()
    about = {"steps": 7, "data": {"sounds": 24}}
    provenance = {k: about for k in ("cwae", "frame_wae", "mcnn") if k in made.meta}
    made = dataclasses.replace(made, meta={**made.meta, "provenance": provenance})
    save_instrument(made, tmp_path / "a.safetensors")
    assert main(["info", str(tmp_path / "a.safetensors")]) == 0
    text = capsys.readouterr().out.replace(":", " ")
    for word in words:
        assert word in text, text
    assert text.count("7 steps on 24 sounds") == len(provenance)
    assert ("MCNN" in text) == ("mcnn" in name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for model in ("frame_wae", "mcnn"):
        write_run(folder / model, model, 1, (0.5,))
    return folder


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setattr("drumjax.play.cache.use_cache", lambda: None)


def test_a_run_alone_and_with_an_mcnn_comes_back(runs):
    model, nothing = load_pair(runs / "frame_wae", None)
    assert nothing is None
    assert isinstance(model.config, frame_wae.FrameWaeConfig)
    assert model.about["config"]["model"] == "frame_wae"
    again, vocoder = load_pair(runs / "frame_wae", runs / "mcnn")
    assert again.config == model.config
    assert vocoder is not None
    assert isinstance(vocoder.config, mcnn.McnnConfig)


@pytest.mark.parametrize("with_mcnn", [False, True])
def test_a_run_is_sampled_and_exported(runs, tmp_path, capsys, with_mcnn):
    given = [f"--cwae={runs / 'frame_wae'}"] + [f"--mcnn={runs / 'mcnn'}"] * with_mcnn
    out = tmp_path / "x"
    flags = ["--category=snare", "--count=2", "--no_sheet", f"--output={out}"]
    assert main(["sample", *given, *flags]) == 0
    assert sorted(p.name for p in out.glob("*.wav")) == [f"drumjax_snare_0{i}.wav" for i in (1, 2)]
    file = tmp_path / "a.safetensors"
    assert main(["export-instrument", *given, f"--output={file}", "--no_controls"]) == 0
    read = load_instrument(file, encoder=True)
    assert set(read.meta["provenance"]) >= {"frame_wae", *["mcnn"] * with_mcnn}
    assert ("phase" in read.meta) != with_mcnn
    capsys.readouterr()
    assert main(["info", str(file)]) == 0
    assert "frame WAE run" in capsys.readouterr().out


@pytest.mark.parametrize("given", [["--mcnn=x"], ["--instrument=a", "--cwae=b"]])
def test_what_plays_is_said_once(tmp_path, capsys, given):
    with pytest.raises(SystemExit) as caught:
        main(["sample", *given, f"--output={tmp_path / 'x'}"])
    assert caught.value.code == 2
    assert "give --instrument, or --cwae" in capsys.readouterr().err


def test_bench_says_what_it_cannot_race(path, capsys):
    flags = ["--play", f"--instrument={path}", "--rivals=none", "--no_start"]
    assert main(["bench", *flags]) == 1
    assert "is no CWAE with an MCNN" in capsys.readouterr().err
