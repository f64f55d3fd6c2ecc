"""Kits in the samplers that they are for: every hit of sfizz and of Hydrogen against its file."""

import io
import os
import shutil
import subprocess
import tarfile
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from drumjax.categories import CATEGORIES
from drumjax.export.gm import assign_notes, choke_groups
from drumjax.export.hydrogen import write_hydrogen
from drumjax.export.kit import Pad, pad_files
from drumjax.export.profiles import find_profile
from drumjax.export.sfz import write_sfz

RATE = 22050
PROFILES = ["daw", "elektron"]  # 44.1 kHz, 24 bits, with metadata; 48 kHz, 16 bits, plain


def make_pads():
    """A pad a category: noise that dies away for 0.3 to 0.9 s, then zeros to the end."""
    rng, pads = np.random.default_rng(3), []
    for i, (name, note) in enumerate(zip(CATEGORIES, assign_notes(CATEGORIES), strict=True)):
        x = np.zeros(RATE, np.float32)
        n = int(RATE * (0.3 + 0.06 * i))
        noise = np.convolve(rng.standard_normal(n), np.hanning(7), "same")
        x[:n] = (
            noise * np.exp(-np.arange(n) / (0.2 * RATE)) * np.minimum(1, (n - np.arange(n)) / 99)
        )
        groups = choke_groups(name)
        pads.append(Pad(name, name, note, 0.9 * x / np.abs(x).max(), RATE, None, *groups))
    return pads


PADS = make_pads()
KEYS = {pad.category: pad.note for pad in PADS}


def written(profile):
    """category → the samples in its file, by libsndfile."""
    files = pad_files(PADS, profile)
    return {
        pad.category: soundfile.read(io.BytesIO(content))[0]
        for pad, (_, content) in zip(PADS, files, strict=True)
    }


def gain_of(heard, sound):
    """The gain at which a sound is heard, in the sense of least squares."""
    return np.dot(heard, sound) / np.dot(sound, sound)


# --- sfizz


def sfizz(folder, profile, block):
    """sfizz with the kit loaded, and its interpolation linear: exact where nothing is pitched."""
    pysfizz = pytest.importorskip("pysfizz", reason="needs sfizz: pip install pysfizz")
    synth = pysfizz.Synth(sample_rate=profile.sample_rate, block_size=block)
    assert synth.load_sfz_file(write_sfz(folder, PADS, "Test kit", profile))
    synth._synth.set_sample_quality(1)
    return synth


def hit(synth, category, velocity=127, seconds=1.2):
    """Both channels of a key held for 10 ms, [2, n]."""
    return synth.render_note(KEYS[category], velocity, 0.01, seconds)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("block", [2**16, 1024])
def test_sfizz_plays_each_sample_as_it_is_written(tmp_path, name, block):
    """sfizz plays one sample twice at the first edge of a block, and turns all down by 11.5 dB."""
    profile = find_profile(name)
    synth = sfizz(tmp_path, profile, block)
    assert synth.playable_keys == sorted(KEYS.values())  # it passes over files that it cannot find
    gains = []
    for category, sound in written(profile).items():
        left, right = hit(synth, category)
        np.testing.assert_array_equal(left, right)
        heard = np.r_[left[:block], left[block + 1 :]][: len(sound)]
        gains.append(gain_of(heard, sound))
        np.testing.assert_allclose(heard, gains[-1] * sound[: len(heard)], atol=2e-7)
    np.testing.assert_allclose(gains, 0.26569, atol=1e-5)


def test_velocity_sets_the_volume_in_sfizz(tmp_path):
    """SFZ v1, amp_veltrack=100: the gain is (velocity / 127)²."""
    synth = sfizz(tmp_path, find_profile("daw"), 2**16)
    loud = hit(synth, "snare")[0]
    for velocity in (1, 32, 64, 100):
        quiet = hit(synth, "snare", velocity)[0]
        np.testing.assert_allclose(quiet, loud * (velocity / 127) ** 2, atol=1e-6)


def pair(synth, first, second, block=1024, blocks=8):
    """What is heard when a second key follows a first, from the second key on."""
    synth._synth.note_on(0, KEYS[first], 127)
    for _ in range(blocks):
        synth._synth.render_block()
    synth._synth.note_on(0, KEYS[second], 127)
    heard = np.concatenate([synth._synth.render_block()[0] for _ in range(48)])
    synth._synth.all_sound_off()
    return heard


def test_a_closed_hat_cuts_the_open_one_off_in_sfizz(tmp_path):
    synth = sfizz(tmp_path, find_profile("daw"), 1024)
    alone = {name: hit(synth, name)[0][: 48 * 1024] for name in ("closed_hat", "open_hat", "tom")}
    faded = 1024  # samples, 23 ms
    rest = pair(synth, "open_hat", "closed_hat") - alone["closed_hat"]
    assert np.abs(rest[faded:]).max() < 1e-5
    for first, second in (("open_hat", "tom"), ("closed_hat", "open_hat")):
        rest = pair(synth, first, second) - alone[second]
        uncut = alone[first][8 * 1024 :]
        np.testing.assert_allclose(rest[: len(uncut)], uncut, atol=1e-5)
        assert np.abs(uncut[faded:]).max() > 0.05


# --- Hydrogen

TICKS = 48  # a beat
SONG_LAYER = {"ismodified": "false", "smode": "forward", "startframe": "0", "loopframe": "0"}


def h2cli(home, *arguments):
    """Run Hydrogen without a screen, a sound card or the user's settings; its words."""
    if shutil.which("h2cli") is None:
        pytest.skip("needs Hydrogen: apt-get install hydrogen")
    quiet = {"HOME": str(home), "QT_QPA_PLATFORM": "offscreen", "JACK_NO_START_SERVER": "1"}
    command = ["h2cli", *map(str, arguments)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        env=os.environ | quiet,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def element(tag, *children, **texts):
    """An element of text elements, then of others."""
    parent = ElementTree.Element(tag)
    for key, text in texts.items():
        ElementTree.SubElement(parent, key).text = str(text)
    parent.extend(children)
    return parent


def song(kit, hits):
    """A Hydrogen song at 60 beats a minute of (beat, instrument, velocity), from a drumkit.xml."""
    for node in kit.iter():
        node.tag = node.tag.partition("}")[2]
    for instrument in kit.iter("instrument"):
        ElementTree.SubElement(instrument, "drumkit").text = kit.findtext("name")
    notes = [
        element(
            "note",
            position=round(beat * TICKS),
            leadlag=0,
            velocity=velocity,
            pan=0,
            pitch=0,
            probability=1,
            key="C0",
            length=-1,
            instrument=instrument,
            note_off="false",
        )
        for beat, instrument, velocity in hits
    ]
    pattern = element(
        "pattern", element("noteList", *notes), name="p", size=16 * TICKS, denominator=4
    )
    root = element(
        "song",
        kit.find("componentList"),
        kit.find("instrumentList"),
        element("patternList", pattern),
        element("virtualPatternList"),
        element("patternSequence", element("group", patternID="p")),
        version="1.2.0",
        bpm=60,
        volume=0.5,
        metronomeVolume=0,
        name="test",
        author="",
        notes="",
        license="",
        loopEnabled="false",
        patternModeMode="true",
        mode="song",
        pan_law_type="RATIO_STRAIGHT_POLYGONAL",
        humanize_time=0,
        humanize_velocity=0,
        swing_factor=0,
    )
    ElementTree.indent(root)  # Hydrogen does not load a song on one line
    return ElementTree.tostring(root, "UTF-8", xml_declaration=True)


def rendered(tmp_path, profile, hits):
    """Hydrogen's left channel of hits on the installed kit, with the file that it validated."""
    kit = tmp_path / "kit.h2drumkit"
    write_hydrogen(kit, PADS, "Test kit", profile)
    assert f"[{kit}] is valid" in h2cli(tmp_path, "-c", kit)
    h2cli(tmp_path, "-i", kit)
    with tarfile.open(kit) as archive:
        document = ElementTree.parse(archive.extractfile("Test kit/drumkit.xml")).getroot()
    order = [pad.category for pad in PADS]
    hits = [(beat, order.index(category), velocity) for beat, category, velocity in hits]
    (tmp_path / "t.h2song").write_bytes(song(document, hits))
    out = tmp_path / "t.wav"
    flags = [
        "-d",
        "auto",
        "-s",
        tmp_path / "t.h2song",
        "-r",
        profile.sample_rate,
        "-b",
        24,
        "-o",
        out,
    ]
    h2cli(tmp_path, *flags)
    stereo, rate = soundfile.read(out)
    assert rate == profile.sample_rate
    np.testing.assert_array_equal(stereo[:, 0], stereo[:, 1])
    return stereo[:, 0]


@pytest.mark.parametrize("name", PROFILES)
def test_hydrogen_plays_each_sample_as_it_is_written(tmp_path, name):
    """Sample by sample, at the beat to the sample; velocity is the gain."""
    profile = find_profile(name)
    beats = [(i, category, 1 / (1 + i % 2)) for i, category in enumerate(CATEGORIES)]
    heard = rendered(tmp_path, profile, beats)
    sounds, gains = written(profile), []
    for beat, category, velocity in beats:
        at, sound = beat * profile.sample_rate, sounds[category]
        gains.append(gain_of(heard[at:][: len(sound)], sound) / velocity)
        np.testing.assert_allclose(
            heard[at:][: len(sound)], gains[-1] * velocity * sound, atol=2.0**-22
        )
    np.testing.assert_allclose(gains, 0.5, atol=1e-6)  # the song's volume


def test_hats_cut_each_other_off_in_hydrogen(tmp_path):
    hits = [(0, "open_hat", 1), (0.25, "closed_hat", 1), (2, "closed_hat", 1), (3, "open_hat", 1)]
    heard = rendered(tmp_path, find_profile("daw"), hits)
    together, alone, uncut = (heard[round(44100 * beat) :][:20000] for beat in (0.25, 2, 3.25))
    np.testing.assert_allclose(together[1000:], alone[1000:], atol=2.0**-22)
    assert np.abs(uncut[1000:]).max() > 0.05
