"""Sound files from strangers: 2,500 mutants, and what headers may claim; see mutate_audio.py."""

import io
import os
import struct
import subprocess
import sys
import tracemalloc

import mutate_audio
import numpy as np
import pytest
import soundfile

from drumjax.audio.files import read_audio
from drumjax.errors import AudioDecodeError

RATE = 22050


@pytest.mark.parametrize("kind", mutate_audio.KINDS)
def test_mutants_are_read_or_refused_and_nothing_else(kind):
    result = mutate_audio.run(kind, 0, 500)
    assert result["bad"] == []
    assert result["read"] == sum(result["found"].values()) == 500
    assert result["found"]["read"] >= 20  # neither all the same
    assert result["found"]["unreadable"] >= 20
    assert result["grown_kib"] < 2**16


@pytest.mark.parametrize(
    ("fault", "told"), [("crash", "SIGSEGV"), ("hang", "SIGPROF"), ("eat", "MemoryError")]
)
def test_a_crash_a_hang_and_an_allocation_would_be_told(fault, told):
    if fault == "eat" and sys.platform != "linux":
        pytest.skip("memory is limited on Linux alone")
    result = mutate_audio.run("wav", 7, 10, fault)
    ((number, what),) = result["bad"]
    assert (number, result["read"]) == (8, 3)
    assert told in what


def test_a_mutant_is_the_same_each_time():
    made = [mutate_audio.mutant(kind, 5) for kind in mutate_audio.KINDS]
    mutate_audio.originals.cache_clear()
    assert made == [mutate_audio.mutant(kind, 5) for kind in mutate_audio.KINDS]
    assert len(set(made)) == len(made)


def test_checksums_are_those_that_the_encoders_wrote():
    for kind, mend in mutate_audio._CHECKED.items():
        for data in mutate_audio.originals(kind):
            broken = bytearray(data)
            broken[-1 if kind == "flac" else 22] ^= 255  # of the last frame, of the first page
            assert mend(bytes(broken)) == data


def header(rate=44100, channels=2, data=2000):
    """Of a WAV file of 16 bits."""
    about = struct.pack("<HHIIHH", 1, channels, rate, 2 * rate * channels % 2**32, 2 * channels, 16)
    chunks = b"fmt " + struct.pack("<I", 16) + about + b"data" + struct.pack("<I", data)
    return b"RIFF" + struct.pack("<I", min(36 + data, 2**32 - 1)) + b"WAVE" + chunks


def flac_total(data, total):
    """A FLAC file that claims another number of samples (RFC 9639, section 8.2)."""
    word = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    return data[:18] + word.to_bytes(8, "big") + data[26:]


def encoded(samples, container, subtype="PCM_16", rate=RATE):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


CLAIMS = {  # name: (content, size on disk with zeros behind it, the reason of the refusal)
    "hour.wav": (header(8000, 1, 8000 * 7200), 44 + 8000 * 7200, "longer than 60 s"),
    "ten_hours.flac": (flac_total(mutate_audio.originals("flac")[0], 36000 * RATE), 0, "longer"),
    "most.flac": (flac_total(mutate_audio.originals("flac")[0], 2**36 - 1), 0, "longer than 60 s"),
    "ten_hours.wav": (header(44100, 2, 2**32 - 2), 36000 * 44100 * 4, "larger than 1024 MiB"),
    "large.ogg": (mutate_audio.originals("ogg")[0], 2**30 + 1, "larger than 1024 MiB"),
    "large.mp3": (b"", 2**33, "larger than 1024 MiB"),
    "64.wav": (header(44100, 64), 44 + 12800, "more than 8 channels"),
    "1_hz.wav": (header(1, 1), 2044, "sample rate not 8000 to 192000 Hz"),
    "10_mhz.wav": (header(10_000_000, 1), 2044, "sample rate not 8000 to 192000 Hz"),
    "0_hz.wav": (header(0, 1), 2044, "unreadable"),
    "claims.wav": (header(44100, 1, 2**31 - 2), 0, "cut short"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_policy_refuses_before_anything_is_decoded(tmp_path, monkeypatch, name):
    content, size, reason = CLAIMS[name]
    path = tmp_path / name
    path.write_bytes(content)
    if size:
        os.truncate(path, size)  # sparse: takes no room
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("decoded"))
    tracemalloc.start()
    with pytest.raises(AudioDecodeError) as caught:
        read_audio(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.reason.startswith(reason)
    assert str(path) in str(caught.value)
    assert peak < 2**20


def test_a_large_ogg_file_is_walked_and_not_loaded(tmp_path):
    path = tmp_path / "a.ogg"
    path.write_bytes(mutate_audio.originals("ogg")[0])
    samples, _ = read_audio(path)
    os.truncate(path, 2**27)  # zeros behind it
    tracemalloc.start()
    np.testing.assert_array_equal(read_audio(path)[0], samples)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_a_small_file_of_a_minute_takes_less_than_twice_what_it_decodes_to(tmp_path):
    """60 s of 8 silent channels at 48 kHz are 40 kB of FLAC, and 92 MB of float32."""
    path, second = tmp_path / "a.flac", np.zeros((48000, 8), np.int16)
    with soundfile.SoundFile(path, "w", 48000, 8, "PCM_16", format="FLAC") as file:
        for _ in range(60):
            file.write(second)
    assert path.stat().st_size < 100_000
    count = "import resource, sys; from drumjax.audio.files import read_audio; import soundfile\n"
    count += "use = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
    count += "before = use(); n = len(read_audio(sys.argv[1])[0]); print(n, use() - before)"
    done = subprocess.run([sys.executable, "-c", count, path], capture_output=True, text=True)
    frames, grown = map(int, done.stdout.split())
    assert frames == 60 * 48000
    assert grown * (1 if sys.platform == "darwin" else 1024) < 2 * frames * 8 * 4


def test_flac_of_untold_length_is_read_up_to_the_limit(tmp_path):
    """As an encoder writes it that cannot seek back to the header, into a pipe."""
    rng = np.random.default_rng(0)
    sound = np.round(3000 * rng.standard_normal(5000)) / 32768
    path = tmp_path / "a.flac"
    path.write_bytes(flac_total(encoded(sound, "FLAC"), 0))
    np.testing.assert_array_equal(read_audio(path)[0], sound.astype(np.float32))
    path.write_bytes(flac_total(encoded(np.zeros(480_000), "FLAC", rate=8000), 0))
    assert read_audio(path)[0].shape == (480_000,)
    path.write_bytes(flac_total(encoded(np.zeros(480_001), "FLAC", rate=8000), 0))
    with pytest.raises(AudioDecodeError, match="lasts more than 60 s; cut it to 60 s"):
        read_audio(path)


def test_aiff_codecs_that_cannot_seek_are_read(tmp_path):
    rng = np.random.default_rng(0)
    sound = np.round(3000 * rng.standard_normal(500)) / 32768
    (tmp_path / "a.aif").write_bytes(encoded(sound, "AIFF", "DWVW_16"))
    np.testing.assert_array_equal(read_audio(tmp_path / "a.aif")[0], sound.astype(np.float32))
