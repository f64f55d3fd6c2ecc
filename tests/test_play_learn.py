"""Controls learnt from a musician's own examples, and the command that learns them."""

import dataclasses
import os
from collections import Counter

import numpy as np
import pytest
from attribute_maps import random_map
from instruments import tiny_instrument
from one_shots import burst, write
from scipy.linalg import sqrtm
from scipy.stats import norm
from tiny import NAMES

from drumjax import __main__ as drumjax
from drumjax.commands import learn_control
from drumjax.errors import ConfigError, DataError
from drumjax.play import learn
from drumjax.play.controls import STEP, move, names, with_controls
from drumjax.play.instrument import encoder_path, load_instrument, save_instrument
from drumjax.play.runtime import Player
from drumjax.play.source_sound import read_source

RATE = 22050


def codes(w, category=0):
    """Whitened codes of one category."""
    return learn.Codes(np.asarray(w), np.full(len(w), category))


def test_a_direction_is_found_from_few_examples(rng):
    """Examples shifted by 3 along one of 20 axes: the left-out ones tell Φ(3 / √2) of the time."""
    examples = rng.standard_normal((40, 20)) + 3 * np.eye(20)[4]
    for against in (None, rng.standard_normal((40, 20))):
        assert learn.direction(examples, against)[4] > 0.95
        found = learn.separation(codes(examples), None if against is None else codes(against))
        assert found.auc == pytest.approx(norm.cdf(3 / np.sqrt(2)), abs=0.04)
        assert found.distance == pytest.approx(3, abs=0.3)


def test_a_control_goes_as_far_as_its_examples_lie():
    """Oracle: the distance of the means, at most 3; scipy's root of the blunted covariance."""
    pattern = np.array([[1.0, 0, 0, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0]])
    covariance = tiny_instrument().tensors["latents/covariance"][1].astype(np.float64)
    root = sqrtm(covariance + 0.01 * np.trace(covariance) / 4 * np.eye(4))
    for far, expected in ((2.0, 2.0), (9.0, 3.0)):
        shift = far * np.eye(4)[2]
        learnt = learn.learn(tiny_instrument(), codes(pattern + shift[None]), codes(pattern))
        assert learnt.distance == pytest.approx(expected)
        np.testing.assert_allclose(learnt.steps[1], expected * root[2], rtol=1e-4, atol=1e-5)


def test_the_error_of_an_auc_is_its_spread_over_draws(rng):
    """Oracle: the spread of the AUC of 300 sets of 15 and 25 normal numbers, 1 apart."""
    draws = rng.standard_normal((300, 15, 1)) + 1, rng.standard_normal((300, 1, 25))
    spread = np.mean(draws[0] > draws[1], axis=(1, 2)).std()
    assert learn._error(norm.cdf(1 / np.sqrt(2)), 15, 25) == pytest.approx(spread, rel=0.25)
    alone = norm.cdf(draws[0][..., 0]).mean(1).std()
    assert learn._error(norm.cdf(1 / np.sqrt(2)), 15, None) == pytest.approx(alone, rel=0.25)


def test_examples_that_are_the_others_teach_nothing(rng):
    same = codes(rng.standard_normal((6, 4)))
    with pytest.raises(ConfigError, match="Nothing was found that sets the examples apart"):
        learn.learn(tiny_instrument(), same, same)


def test_shrinking_helps_where_examples_are_few(rng):
    """Oracle: the plain difference of means, which chance turns further away."""
    better = []
    for _ in range(50):
        examples = rng.standard_normal((5, 64)) + 2.5 * np.eye(64)[0]
        plain = examples.mean(0) / np.linalg.norm(examples.mean(0))
        better.append(learn.direction(examples, None)[0] - plain[0])
    assert np.mean(better) > 0.03


@pytest.mark.parametrize("sounds", [3, 12])
@pytest.mark.parametrize("alone", [True, False])
def test_what_sets_nothing_apart_is_chance(rng, sounds, alone):
    """Noise lies no further along than other noise, as each sound is left out of learning."""
    found = [
        learn.separation(
            codes(rng.standard_normal((sounds, 20))),
            None if alone else codes(rng.standard_normal((sounds, 20))),
        )
        for _ in range(60)
    ]
    auc, _, distance = np.mean(found, axis=0)
    assert auc == pytest.approx(0.5, abs=0.1)
    assert distance == pytest.approx(0, abs=0.3)


@pytest.fixture(scope="module")
def holding():
    """An instrument with a map of two attributes, and the slopes of its blunted whitened codes."""
    attribute_map = random_map(np.random.default_rng(0), a=2)
    spread = {f"controls/attributes/{k}": np.ones((3, 2), np.float32) for k in ("mean", "std")}
    instrument = with_controls(
        tiny_instrument(), attribute_map.tensors() | spread, {"attributes": ["body", "decay"]}
    )
    whole = []
    for i, covariance in enumerate(instrument.tensors["latents/covariance"].astype(np.float64)):
        root = sqrtm(covariance + 0.01 * np.trace(covariance) / 4 * np.eye(4))
        slopes = attribute_map.jacobian(instrument.tensors["latents/mean"][[i]], np.eye(3)[[i]])
        whole.append((slopes[1][0] @ root, root))
    return instrument, whole


def test_holding_the_attributes_leaves_their_slopes_alone(holding, rng):
    instrument, whole = holding
    examples = rng.standard_normal((6, 4)) + 2
    learnt = learn.learn(instrument, codes(examples), None, hold=True)
    u = learn.direction(examples, None)
    left = []
    for step, (slopes, root) in zip(learnt.steps, whole, strict=True):
        own = step @ np.linalg.inv(root)
        np.testing.assert_allclose(slopes @ own, 0, atol=1e-4)
        assert np.linalg.norm(own) == pytest.approx(learnt.distance, rel=1e-4)
        left.append(np.linalg.norm(u - np.linalg.pinv(slopes) @ (slopes @ u)))
    assert learnt.held == pytest.approx(min(left))
    assert max(left) > min(left) + 0.05
    with pytest.raises(ConfigError, match="no attributes to hold"):
        learn.learn(tiny_instrument(), codes(examples), None, hold=True)


@pytest.mark.parametrize("alone", [True, False])
def test_a_held_control_is_judged_by_what_is_saved(holding, rng, alone):
    """Oracle: a loop that leaves out, learns, holds in the sound's category and projects."""
    instrument, whole = holding
    kinds = np.array([0, 1, 2, 0, 1])
    examples = learn.Codes(rng.standard_normal((5, 4)) + np.array([2.0, 1, 0, 1]), kinds)
    against = None if alone else learn.Codes(rng.standard_normal((4, 4)), kinds[:4])
    gaps = []
    for j in range(5):
        others = np.delete(examples.w, j, 0)
        for m in range(1 if alone else 4):
            rivals = None if alone else np.delete(against.w, m, 0)
            u = learn.direction(others, rivals)

            def place(sounds, i, u=u):
                slopes, _ = whole[sounds.category[i]]
                own = u - np.linalg.pinv(slopes) @ (slopes @ u)
                return sounds.w[i] @ own / np.linalg.norm(own)

            gaps.append(place(examples, j) - (0 if alone else place(against, m)))
    found = learn.learn(instrument, examples, against, hold=True).separation
    assert found.distance == pytest.approx(np.mean(gaps), rel=1e-4)
    auc = norm.cdf(gaps) if alone else np.array(gaps) > 0
    assert found.auc == pytest.approx(np.mean(auc), rel=1e-4)


def test_whitened_codes_are_each_categorys_own():
    instrument = tiny_instrument()
    z = instrument.tensors["latents/mean"][[2, 0]]
    found = learn.whitened(instrument, z, [2, 0])
    np.testing.assert_allclose(found.w, 0, atol=1e-6)
    np.testing.assert_array_equal(found.category, [2, 0])
    assert learn.whitened(instrument, z[:0], []).w.shape == (0, 4)


def test_flat_directions_are_not_blown_up():
    """Oracle: 1 / √(0.01 of the mean variance), the least spread that counts."""
    flat = np.diag([4.0, 4.0, 4.0, 0.0]).astype(np.float32)
    instrument = tiny_instrument()
    tensors = {"latents/covariance": np.stack([flat] * 3), "latents/mean": np.zeros((3, 4))}
    flat = dataclasses.replace(instrument, tensors={**instrument.tensors, **tensors})
    found = learn.whitened(flat, np.eye(4), [0] * 4).w
    np.testing.assert_allclose(np.diag(found), [1 / np.sqrt(4.03)] * 3 + [1 / np.sqrt(0.03)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An instrument with its encoder, and sounds: usable, and left out for every reason."""
    root = tmp_path_factory.mktemp("learn")
    save_instrument(tiny_instrument(), root / "my.safetensors", "float32")
    for i in range(3):
        write(root / "dusty" / f"Kick {i}.wav", burst(i))
        write(root / "dusty" / "Snares" / f"{i}.wav", burst(10 + i, 0.3))
        write(root / "clean" / f"clap {i}.wav", burst(20 + i, 0.3) ** 3)
    write(root / "dusty" / "snare short.wav", burst(8, 0.04))  # the instrument's are of 58 ms
    write(root / "dusty" / "Snares" / "take 2.wav", burst(10, 0.3))
    write(root / "dusty" / "snare quiet.wav", np.zeros(9000))
    bats = np.sin(2 * np.pi * 20_000 * np.arange(48_000) / 96_000)
    write(root / "dusty" / "snare for bats.wav", bats, 96_000)
    write(root / "dusty" / "snare click.wav", burst(5, 0.01))
    write(root / "dusty" / "gong.wav", burst(6))
    write(root / "dusty" / "conga.wav", burst(7))
    (root / "dusty" / "kick.wav").write_text("no sound")
    write(root / "clean" / "clap quiet.wav", np.zeros(9000))
    return root


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch):
    monkeypatch.setattr("drumjax.play.cache.use_cache", lambda: None)


def run(folder, *flags, name="dusty", examples="dusty"):
    return learn_control.main(
        [
            f"--instrument={folder}/my.safetensors",
            f"--name={name}",
            f"--examples={folder / examples}",
            *flags,
        ]
    )


def test_a_control_is_learnt_and_kept(folder, capsys):
    for output in ("one", "two"):
        flags = (f"--against={folder}/clean", f"--output={folder}/{output}.safetensors")
        assert run(folder, *flags) == 0
    said = capsys.readouterr().out
    assert "learnt from 3 kick, 4 snare (left out: " in said
    for reason in ("2 × silent", "1 × too short", "1 × unreadable", "the instrument lacks"):
        assert reason in said
    assert "1 × the same as another" in said
    assert "against 3 other sounds (left out: 1 × silent below 11025 Hz)." in said
    assert "a guess, from fewer than 10 sounds" in said
    one, two = (load_instrument(folder / f"{n}.safetensors", encoder=True) for n in ("one", "two"))
    assert names(one) == ("dusty",)
    np.testing.assert_array_equal(one.tensors[STEP + "dusty"], two.tensors[STEP + "dusty"])
    words = one.meta["controls"]["learnt"]["dusty"]
    assert words["categories"] == {"kick": 3, "snare": 4}
    assert 0 <= words["auc"] <= 1
    assert words["attributes_held"] is False
    assert f"moved by 1, it goes {words['distance']:.1f}." in said
    assert one.identity == tiny_instrument().identity
    z = np.zeros(4, np.float32)
    assert not np.array_equal(move(one, z, "clap", {"dusty": 1.0}), z)


def test_each_sound_is_encoded_in_its_own_category(folder):
    """Oracle: the player, one sound at a time."""
    player = Player(load_instrument(folder / "my.safetensors", encoder=True))
    heard = learn_control.listen(player, str(folder / "dusty"), None, "--examples")
    assert heard.categories == ["kick"] * 3 + ["snare"] * 4
    paths = [f"Kick {i}.wav" for i in range(3)] + [f"Snares/{i}.wav" for i in range(3)]
    for i, path in enumerate([*paths, "snare short.wav"]):
        audio = read_source(folder / "dusty" / path, RATE, player.samples).audio
        z = player.encode(audio, heard.categories[i])
        own = learn.whitened(player.instrument, z[None], [NAMES.index(heard.categories[i])])
        np.testing.assert_allclose(heard.codes.w[i], own.w[0], rtol=1e-3, atol=1e-3)


def test_many_sounds_are_encoded_in_portions(folder):
    for i in range(18):
        write(folder / "many" / f"kick {i}.wav", burst(100 + i))
    player = Player(load_instrument(folder / "my.safetensors", encoder=True))
    portions = []
    encode = player.encode
    player.encode = lambda x, category: portions.append(len(x)) or encode(x, category)
    heard = learn_control.listen(player, str(folder / "many"), None, "--examples")
    assert heard.codes.w.shape == (18, 4)
    assert portions == [8, 8, 8]


def test_another_control_joins_the_first_in_the_same_file(folder):
    flags = (f"--output={folder}/both.safetensors",)
    assert run(folder, "--category=clap", *flags) == 0
    again = [f"--instrument={folder}/both.safetensors", f"--examples={folder}/clean"]
    assert learn_control.main([*again, "--name=clean", "--overwrite"]) == 0
    both = load_instrument(folder / "both.safetensors", encoder=True)
    assert names(both) == ("clean", "dusty")
    assert both.meta["controls"]["learnt"]["dusty"]["categories"] == {"clap": 9}
    with pytest.raises(ConfigError, match="has a control 'clean' already"):
        learn_control.main([*again, "--name=clean", "--overwrite"])


def test_attributes_are_held_where_that_is_asked_for(folder, holding):
    save_instrument(holding[0], folder / "held.safetensors", "float32")
    flags = [f"--instrument={folder}/held.safetensors", "--name=dusty", "--hold_attributes"]
    sounds = [f"--examples={folder}/dusty", f"--output={folder}/held2.safetensors"]
    assert learn_control.main([*flags, *sounds]) == 0
    words = load_instrument(folder / "held2.safetensors").meta["controls"]["learnt"]["dusty"]
    assert words["attributes_held"] is True


def test_names_that_are_no_text_can_be_learnt_from(folder):
    """A file whose name's bytes are no UTF-8, and whose category --category says."""
    odd = folder / "odd"
    for i in range(3):
        write(odd / f"{i}.wav", burst(30 + i))
        (odd / f"{i}.wav").rename(os.fsdecode(os.fsencode(odd) + b"/gr\xf6\xdfe%d.wav" % i))
    assert run(folder, "--category=kick", f"--output={folder}/odd.safetensors", examples="odd") == 0


def test_the_verdict_tells_few_sounds_and_lost_length():
    def said(auc, sounds, held):
        heard = learn_control.Heard(codes(np.zeros((sounds, 4))), ["kick"] * sounds, Counter())
        found = learn.Separation(auc, 0.04, 4.2)
        return learn_control.report("x", heard, None, learn.Learnt(None, found, 3.0, held))

    assert "90% of the time, give or take 4% (clear; chance is 50%)" in said(0.9, 10, 1.0)
    assert "lie 4.2 standard deviations from the others along it; moved by 1, it goes 3.0" in said(
        0.9, 10, 1.0
    )
    assert "usable" in said(0.75, 10, 1.0)
    assert "vague" in said(0.6, 10, 1.0)
    assert "a guess" in said(0.99, 9, 1.0)
    assert "consider leaving out --hold_attributes" in said(0.9, 10, 0.49)
    assert "consider" not in said(0.9, 10, 0.5)


@pytest.mark.parametrize("part", ["theirs.safetensors", "theirs.encoder.safetensors"])
def test_no_file_is_written_over_unasked(folder, part):
    """Neither an instrument's encoder without --overwrite, nor a foreign file with it."""
    before = encoder_path(folder / "my.safetensors").read_bytes()
    (folder / part).write_bytes(before)
    with pytest.raises(ConfigError, match=f"{part} exists; choose another --output or add"):
        run(folder, f"--output={folder}/theirs.safetensors")
    assert (folder / part).read_bytes() == before
    (folder / part).write_bytes(b"a diary")
    with pytest.raises(ConfigError, match="is no instrument"):
        run(folder, f"--output={folder}/theirs.safetensors", "--overwrite")
    assert (folder / part).read_bytes() == b"a diary"
    (folder / part).unlink()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"name": "so dusty"}, "cannot name a control"),
        ({"name": "a1"}, "cannot name a control"),
        ({"examples": "nowhere"}, "--examples=.*is no folder"),
        ({"examples": "empty"}, "--examples=.*holds no files; name a folder of sounds"),
        ({"extra": ("--examples=",)}, "--examples= is empty"),
        ({"extra": ("--against=",)}, "--against= is empty"),
        ({"extra": ("--output=",)}, "--output= is empty"),
        ({"extra": ("--category=gong",)}, "no category 'gong'"),
        ({"output": "my.wav"}, "must be NAME.safetensors"),
        ({"output": "my.safetensors"}, "exists; choose another --output or add --overwrite"),
        ({"output": None}, "--output=NAME.safetensors"),
        ({"extra": ("--hold_attributes",)}, "no attributes to hold"),
    ],
)
def test_what_cannot_be_learnt_is_said(folder, flags, says):
    (folder / "empty").mkdir(exist_ok=True)
    output = flags.get("output", "new.safetensors")
    extra = (*([f"--output={folder}/{output}"] if output else []), *flags.get("extra", ()))
    with pytest.raises((ConfigError, DataError), match=says):
        run(
            folder,
            *extra,
            name=flags.get("name", "dusty"),
            examples=flags.get("examples", "dusty"),
        )


def test_sounds_against_themselves_write_no_control(folder, capsys):
    output = folder / "dead.safetensors"
    flags = [f"--instrument={folder}/my.safetensors", "--name=dead", f"--output={output}"]
    sounds = [f"--{side}={folder}/dusty" for side in ("examples", "against")]
    assert drumjax.main(["learn-control", *flags, *sounds]) == 1
    assert "Nothing was found that sets the examples apart" in capsys.readouterr().err
    assert not output.exists()


def test_too_few_sounds_are_counted(folder):
    few = folder / "few"
    for i in range(2):
        write(few / f"Kick {i}.wav", burst(i))
    write(few / "thing.wav", burst(4))
    with pytest.raises(DataError, match=r"2 usable sounds .* at least 3 \(left out: 1 × no cat"):
        run(folder, f"--output={folder}/new.safetensors", examples="few")
