"""Sound files: what is written comes back, and each unusable file gets its own sentence."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from drumjax.audio.files import AUDIO_SUFFIXES, read_audio, write_audio
from drumjax.errors import AudioDecodeError, DataError, DrumjaxError

RATE = 22050


def encode(path, samples):
    """Write by soundfile alone, in the usual encoding of the suffix."""
    container = {".aif": "AIFF", ".mp3": "MP3", ".ogg": "OGG"}.get(path.suffix)
    soundfile.write(path, samples, RATE, format=container)


@pytest.fixture
def tone():
    t = np.arange(RATE) / RATE
    return (0.5 * np.sin(2 * np.pi * 440 * t) * np.exp(-3 * t)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".aif", ".aiff", ".flac"])
@pytest.mark.parametrize("bits", [16, 24])
def test_integer_round_trip_is_within_half_a_step_then_exact(tmp_path, tone, suffix, bits):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_audio(first, tone, RATE, bits)
    decoded, rate = read_audio(first)
    assert (rate, decoded.dtype, decoded.shape) == (RATE, np.float32, tone.shape)
    np.testing.assert_allclose(decoded, tone, atol=0.51 / 2 ** (bits - 1))
    write_audio(second, decoded, rate, bits)
    np.testing.assert_array_equal(read_audio(second)[0], decoded)
    assert first.read_bytes() == second.read_bytes()
    assert soundfile.info(first).subtype == f"PCM_{bits}"


def test_written_integers_equal_numpy(tmp_path):
    x = np.array([0.0, 1.0, -1.0, 0.5, 1.4 / 32768, -1.6 / 32768])
    write_audio(tmp_path / "a.wav", x, RATE)
    integers, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    np.testing.assert_array_equal(integers, [0, 32767, -32768, 16384, 1, -2])


@pytest.mark.parametrize("suffix", AUDIO_SUFFIXES)
def test_every_suffix_reads_any_channels_as_their_mean(tmp_path, tone, suffix):
    path = tmp_path / f"a{suffix}"
    encode(path, np.stack([tone, 0.5 * tone], axis=1))
    decoded, rate = read_audio(path)
    assert rate == RATE
    assert decoded.shape == tone.shape
    assert np.linalg.norm(decoded - 0.75 * tone) < 0.05 * np.linalg.norm(tone)


@pytest.mark.parametrize("rate", [8000, 48000, 192000])
def test_reads_rates_up_to_its_limits(tmp_path, tone, rate):
    write_audio(tmp_path / "a.wav", tone, rate)
    assert read_audio(tmp_path / "a.wav")[1] == rate


def test_channels_that_cancel_give_the_louder_one(tmp_path, tone):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([0.99 * tone, -tone], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path)[0], -tone)
    soundfile.write(path, np.stack([tone, -0.7 * tone], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path)[0], 0.15 * tone, atol=1e-7)


def test_float_files_beyond_one_keep_their_values(tmp_path):
    x = np.array([0.0, 2.5, -1.5], np.float32)
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], x)


def bad_files(folder, tone):
    """One file for each sentence: name → (path, expected words)."""

    def write(name, data, rate=RATE, **keywords):
        soundfile.write(folder / name, data, rate, **keywords)

    (folder / "zero.wav").write_bytes(b"")
    (folder / "text.wav").write_text("This is a shopping list, not a snare.\n" * 20)
    (folder / "bytes.raw").write_bytes(b"\0" * 100)
    (folder / "folder.wav").mkdir()
    write("no_samples.wav", np.zeros(0, np.float32))
    write("nan.wav", np.array([0.0, np.nan, 0.5], np.float32), subtype="FLOAT")
    write("infinite.wav", np.array([0.0, -np.inf, 0.5], np.float32), subtype="FLOAT")
    write("nine.wav", np.zeros((10, 9), np.float32))
    write("slow.wav", tone, 4000)
    write("fast.wav", tone, 384000)
    write("long.wav", np.zeros(8000 * 60 + 1, np.float32), 8000)
    return {
        "zero.wav": "cannot be read",
        "text.wav": "cannot be read",
        "bytes.raw": "cannot be read",
        "folder.wav": "not there",
        "missing.wav": "not there",
        "no_samples.wav": "no samples",
        "nan.wav": "NaN or infinite",
        "infinite.wav": "NaN or infinite",
        "nine.wav": "9 channels; at most 8",
        "slow.wav": "4000 Hz; 8000 to 192000",
        "fast.wav": "384000 Hz; 8000 to 192000",
        "long.wav": "cut it to 60 s",
    }


REASONS = {
    "zero.wav": "unreadable",
    "text.wav": "unreadable",
    "bytes.raw": "unreadable",
    "folder.wav": "not there",
    "missing.wav": "not there",
    "no_samples.wav": "holds no samples",
    "nan.wav": "holds NaN or infinite values",
    "infinite.wav": "holds NaN or infinite values",
    "nine.wav": "more than 8 channels",
    "slow.wav": "sample rate not 8000 to 192000 Hz",
    "fast.wav": "sample rate not 8000 to 192000 Hz",
    "long.wav": "longer than 60 s",
}


def test_bad_files_get_one_sentence_with_their_path(tmp_path, tone):
    for name, words in bad_files(tmp_path, tone).items():
        with pytest.raises(AudioDecodeError, match=words) as caught:
            read_audio(tmp_path / name)
        assert caught.value.reason == REASONS[name]
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", AUDIO_SUFFIXES)
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path, rng, suffix, kept):
    path = tmp_path / f"a{suffix}"
    encode(path, 0.1 * rng.standard_normal(RATE))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(AudioDecodeError, match=r"cut short|cannot be read|no samples"):
        read_audio(path)


def test_a_path_that_the_system_refuses_is_named(tmp_path, monkeypatch):
    with pytest.raises(AudioDecodeError, match="cannot be opened") as caught:
        read_audio(tmp_path / f"{'a' * 300}.wav")
    assert caught.value.reason == "cannot be opened"

    def refuse(path, mode=""):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a.wav").write_text("text")
    for call in ("open", "is_file"):  # a file, then a folder that may be listed but not entered
        monkeypatch.setattr(Path, call, refuse)
        with pytest.raises(AudioDecodeError, match="Permission denied"):
            read_audio(tmp_path / "a.wav")


def test_an_ogg_file_ends_at_its_last_page_whatever_follows(tmp_path, rng):
    path = tmp_path / "a.ogg"
    encode(path, 0.1 * rng.standard_normal(RATE))
    data = path.read_bytes()
    samples, _ = read_audio(path)
    for junk in (b"TAG" + bytes(125), bytes(500), b"junk" * 5000):
        path.write_bytes(data + junk)
        np.testing.assert_array_equal(read_audio(path)[0], samples)
        path.write_bytes(data[: data.rindex(b"OggS")] + junk)  # whole pages, but not the last
        with pytest.raises(AudioDecodeError, match="cut short") as caught:
            read_audio(path)
        assert caught.value.reason == "cut short"


def test_names_that_are_no_utf8(tmp_path, tone):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/tom \xe9.wav"))
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    write_audio(path, tone, RATE)
    assert read_audio(path)[0].shape == tone.shape


def test_streamed_and_slightly_wrong_wav_headers_are_let_pass(tmp_path, tone):
    path = tmp_path / "a.wav"
    write_audio(path, tone, RATE)
    data = bytearray(path.read_bytes())
    assert data[36:40] == b"data"
    for size in (2**32 - 1, 2 * len(tone) + 6):
        data[40:44] = size.to_bytes(4, "little")
        path.write_bytes(data)
        assert len(read_audio(path)[0]) == len(tone)


@pytest.mark.parametrize(
    ("name", "samples", "bits", "message"),
    [
        ("a.wav", [0.0, 1.01], 16, "reach 1.01, which would clip"),
        ("a.wav", [0.0, np.nan], 16, "reach nan"),
        ("a.wav", [0.0, -np.inf], 24, "reach inf"),
        ("a.wav", [], 16, "One row"),
        ("a.wav", [[0.0], [0.1]], 16, "One row"),
        ("a.wav", [0.0], 8, "16 or 24 bits"),
        ("a.mp3", [0.0], 16, "choose one of .wav"),
        ("nowhere/a.wav", [0.0], 16, "cannot be written"),
    ],
)
def test_write_refuses_and_leaves_no_file(tmp_path, name, samples, bits, message):
    with pytest.raises(DataError, match=message):
        write_audio(tmp_path / name, np.array(samples), RATE, bits)
    assert not (tmp_path / name).exists()
    assert issubclass(DataError, DrumjaxError)
