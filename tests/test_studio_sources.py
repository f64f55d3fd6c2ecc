"""POST /source: sounds of one's own that a browser sends, compared with the library."""

import json
import tempfile
import threading

import numpy as np
import pytest
import soundfile
import web_client
from playing import burst

from drumjax.play.source_sound import encode_source, read_source
from drumjax.studio.spec import read_spec, sound_of


@pytest.fixture
def own(tmp_path):
    """own.wav, a burst at 44.1 kHz."""
    soundfile.write(tmp_path / "own.wav", burst(1500), 44100)
    return tmp_path / "own.wav"


@pytest.mark.parametrize(
    ("name", "category", "how"),
    [
        ("Fat%20SNARE%20%C3%BC.wav", None, "by its name"),
        ("C:%5Csounds%5Csnare.WAV", None, "by its name"),
        ("own.wav", "clap", "as you say"),
        ("snare.wav", "kick", "as you say"),
        ("own.wav", None, "it comes back nearest as that; then "),
        ("..%2F..%2Fown.wav", None, "it comes back nearest as that; then "),
    ],
)
def test_a_sound_becomes_a_code(studio, own, name, category, how):
    """Oracle: `encode_source` of the same file."""
    headers = {"X_Name": name} | ({"X_Category": category} if category else {})
    status, _, body = studio.ask("POST", "/source", own.read_bytes(), **headers)
    told = json.loads(body)
    assert status == 200
    source = read_source(own, 22050, studio.player.samples)
    named = "snare" if how == "by its name" else None
    want = encode_source(studio.player, source.audio, category, named)
    assert told == {
        "z": [float(x) for x in want.z],
        "category": want.category,
        "how": want.how,
        "error": want.error,
        "seconds": source.seconds,
        "cut": source.cut,
    }
    assert told["how"].startswith(how)
    spec = {"category": told["category"], "z": told["z"]}
    sound = sound_of(studio.player.instrument, read_spec(spec, studio.player.instrument))
    np.testing.assert_array_equal(sound.z, want.z)


@pytest.mark.parametrize(
    ("name", "body", "headers", "status", "words"),
    [
        ("x.txt", b"", {}, 400, "files of .wav"),
        ("", b"", {}, 400, "files of .wav"),
        ("wav", b"", {}, 400, "files of .wav"),
        ("x%FF%00.wav", b"no sound", {}, 400, "cannot be read as sound"),
        ("x.mp3", b"", {}, 400, "'x.mp3' cannot be read as sound"),
        ("x.wav", b"RIFF", {"X_Category": "gong"}, 400, "knows no category 'gong'"),
        ("x.wav", b"", {"Content_Length": str(20 * 2**20 + 1)}, 413, "20 MiB at most"),
    ],
)
def test_sounds_that_cannot_be_used(studio, name, body, headers, status, words):
    got, sentence = studio.error("POST", "/source", body, X_Name=name, **headers)
    assert got == status
    assert words in sentence
    assert tempfile.gettempdir() not in sentence


def test_a_sound_that_would_take_much_memory_is_not_decoded(studio, tmp_path, monkeypatch):
    path = tmp_path / "x.flac"
    with soundfile.SoundFile(path, "w", 192000, 8, "PCM_16", format="FLAC") as file:
        for _ in range(14):  # seconds: 21.5 million samples, of which few bytes are left
            file.write(np.zeros((192000, 8), np.int16))
    monkeypatch.setattr("drumjax.studio.sources.read_source", None)
    status, sentence = studio.error("POST", "/source", path.read_bytes(), X_Name="my.flac")
    assert status == 400
    assert "'my.flac' holds more than 20 million samples; cut it" in sentence


def test_others_are_served_between_the_categories_that_are_tried(studio, own):
    """Each is a work of its own, and so is the code: tiny has three categories."""
    with studio.busy():
        done = studio.engine.done
        asked = threading.Thread(
            target=studio.ask,
            args=("POST", "/source", own.read_bytes()),
            kwargs={"X_Name": "x.wav"},
        )
        asked.start()
    asked.join(web_client.TIMEOUT)
    assert studio.engine.done - done == 1 + 3 + 1  # that which it was busy with is the first


def test_silence_is_called_by_its_own_name(studio, tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(1000), 44100)
    body = (tmp_path / "x.wav").read_bytes()
    status, sentence = studio.error("POST", "/source", body, X_Name="quiet.wav")
    assert (status, sentence) == (400, "'quiet.wav' is silent; choose a sound that can be heard.")
