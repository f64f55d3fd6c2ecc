"""Our WAV files: sound equal to soundfile's, chunks by a reader of the test's own, recipes back."""

import io
import json
import os
import struct

import numpy as np
import pytest
import soundfile

from drumjax import __version__
from drumjax.atomic import write_file, write_files
from drumjax.audio.files import read_audio, write_audio
from drumjax.errors import DataError
from drumjax.export.wav import read_recipe, wav_bytes, write_wav

RATE = 22050
RECIPE = {"z": [0.1, -2.5e-7], "category": "große Trommel", "seed": 7, "from": "tom \udce9.wav"}
METADATA = {"note": 36, "title": "Große Trommel", "category": "kick", "recipe": RECIPE}


def chunks(data):
    """[(name, content)] of a RIFF file or of what a LIST holds after its type."""
    found, at = [], 12 if data[:4] == b"RIFF" else 4
    if data[:4] == b"RIFF":
        assert data[8:12] == b"WAVE"
        assert int.from_bytes(data[4:8], "little") == len(data) - 8
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        assert len(found[-1][1]) == size
        at += 8 + size + size % 2
    assert at == len(data)
    return found


@pytest.fixture
def sound(rng):
    return rng.uniform(-1, 1, 2001).astype(np.float32)  # an odd number, which 24 bits must pad


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("bits", [16, 24])
def test_integers_equal_those_of_write_audio(tmp_path, sound, bits, plain):
    sound[:4] = [1.0, -1.0, 1.5 / 2**15, -2.5 / 2**15]
    write_audio(tmp_path / "theirs.wav", sound, RATE, bits)
    write_wav(tmp_path / "ours.wav", sound, RATE, bits, plain=plain, **METADATA)
    decoded, rate = read_audio(tmp_path / "ours.wav")
    assert rate == RATE
    np.testing.assert_array_equal(decoded, read_audio(tmp_path / "theirs.wav")[0])
    info = soundfile.info(tmp_path / "ours.wav")
    assert (info.subtype, info.channels, info.frames) == (f"PCM_{bits}", 1, len(sound))


def test_float_comes_back_as_it_was(sound):
    data = wav_bytes(sound, RATE, 32, **METADATA)
    decoded, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    np.testing.assert_array_equal(decoded, sound)
    assert dict(chunks(data))[b"fact"] == len(sound).to_bytes(4, "little")


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_plain_files_hold_format_and_data_alone(sound, bits):
    names = [name for name, _ in chunks(wav_bytes(sound, RATE, bits, plain=True, **METADATA))]
    assert names == [b"fmt ", *([b"fact"] if bits == 32 else []), b"data"]


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_metadata_follows_the_sound(sound, bits):
    data = wav_bytes(sound, 44100, bits, **METADATA)
    found = chunks(data)
    names = [name for name, _ in found]
    assert names[names.index(b"data") :] == [b"data", b"smpl", b"inst", b"LIST"]
    content = dict(found)
    tag, channels, rate, bytes_per_s, block, width = struct.unpack_from("<HHIIHH", content[b"fmt "])
    assert (tag, channels, rate) == (3 if bits == 32 else 1, 1, 44100)
    assert (bytes_per_s, block, width) == (44100 * bits // 8, bits // 8, bits)
    period, unity, loops = (struct.unpack("<9I", content[b"smpl"])[i] for i in (2, 3, 7))
    assert (period, unity, loops) == (22676, 36, 0)
    assert list(content[b"inst"]) == [36, 0, 0, 0, 127, 1, 127]
    assert content[b"LIST"][:4] == b"INFO"
    texts = {name: text.rstrip(b"\0").decode() for name, text in chunks(content[b"LIST"])}
    assert json.loads(texts.pop(b"ICMT")) == RECIPE
    assert texts == {b"INAM": "Große Trommel", b"IGNR": "kick", b"ISFT": f"drumjax {__version__}"}


def test_libsndfile_sees_the_metadata(tmp_path, sound):
    write_wav(tmp_path / "a.wav", sound, RATE, **METADATA)
    with soundfile.SoundFile(tmp_path / "a.wav") as file:
        seen, log = file.copy_metadata(), file.extra_info
    assert (seen["title"], seen["genre"], seen["software"]) == (
        "Große Trommel",
        "kick",
        f"drumjax {__version__}",
    )
    assert json.loads(seen["comment"]) == RECIPE
    assert "Midi Note    : 36" in log


def test_what_is_not_given_is_not_written(sound):
    found = dict(chunks(wav_bytes(sound, RATE)))
    assert list(found) == [b"fmt ", b"data", b"LIST"]
    assert [name for name, _ in chunks(found[b"LIST"])] == [b"ISFT"]


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_the_same_sound_gives_the_same_bytes(sound, bits):
    turned = dict(reversed(RECIPE.items()))
    first = wav_bytes(sound, RATE, bits, recipe=RECIPE)
    assert first == wav_bytes(sound.copy(), RATE, bits, recipe=turned)
    assert first == wav_bytes(sound.astype(np.float64), RATE, bits, recipe=RECIPE)


@pytest.mark.parametrize("bits", [16, 24, 32])
@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([0.0, 1.01], "reach 1.01, which would clip"),
        ([0.0, np.nan], "reach nan"),
        ([-np.inf], "reach inf"),
        ([], "One row"),
        ([[0.0], [0.1]], "One row"),
    ],
)
def test_what_no_file_should_hold_is_refused(tmp_path, samples, message, bits):
    with pytest.raises(DataError, match=message):
        write_wav(tmp_path / "a.wav", np.array(samples), RATE, bits)
    assert list(tmp_path.iterdir()) == []


def test_other_bits_are_refused(sound):
    with pytest.raises(DataError, match="16, 24 or 32"):
        wav_bytes(sound, RATE, 8)


# --- recipes


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_a_recipe_comes_back(tmp_path, sound, bits):
    write_wav(tmp_path / "a.wav", sound, RATE, bits, **METADATA)
    assert read_recipe(tmp_path / "a.wav") == RECIPE


def test_files_without_a_recipe(tmp_path, sound):
    path = tmp_path / "a.wav"
    write_wav(path, sound, RATE, note=36, title="no recipe")
    assert read_recipe(path) is None
    write_wav(path, sound, RATE, plain=True, **METADATA)
    assert read_recipe(path) is None
    write_audio(path, sound, RATE)
    assert read_recipe(path) is None
    write_audio(tmp_path / "a.flac", sound, RATE)
    assert read_recipe(tmp_path / "a.flac") is None


@pytest.mark.parametrize("comment", ["tuned by hand", "[1, 2]", "[" * 100_000, '{"z": ', "\xff"])
def test_comments_of_other_programs_are_no_recipes(tmp_path, sound, comment):
    path = tmp_path / "a.wav"
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        file.comment = comment
        file.write(sound)
    assert read_recipe(path) is None


def test_a_recipe_is_found_before_the_sound_too(tmp_path, sound):
    """libsndfile writes its comment before the samples."""
    with soundfile.SoundFile(tmp_path / "a.wav", "w", RATE, 1) as file:
        file.comment = json.dumps(RECIPE)
        file.write(sound)
    assert read_recipe(tmp_path / "a.wav") == RECIPE


def test_what_follows_zeros_is_not_looked_at(tmp_path, sound):
    """A file of zeros, as a crash leaves one, would be read eight bytes at a time."""
    data, path = wav_bytes(sound, RATE, **METADATA), tmp_path / "a.wav"
    path.write_bytes(data[:12] + bytes(8) + data[12:])
    assert read_recipe(path) is None


@pytest.mark.parametrize(("padding", "found"), [(0, True), (2**20, False)])
def test_a_list_too_long_for_ours_is_passed_over(tmp_path, sound, padding, found):
    data = wav_bytes(sound, RATE, **METADATA)
    at = data.rindex(b"LIST")
    content = data[at + 8 :] + b"IOTH" + struct.pack("<I", padding) + bytes(padding)
    (tmp_path / "a.wav").write_bytes(
        data[:at] + b"LIST" + struct.pack("<I", len(content)) + content
    )
    assert read_recipe(tmp_path / "a.wav") == (RECIPE if found else None)


def test_damaged_files_have_a_recipe_or_none(tmp_path, sound, rng):
    data, path = wav_bytes(sound[:50], RATE, **METADATA), tmp_path / "a.wav"
    for end in range(len(data)):
        path.write_bytes(data[:end])
        assert read_recipe(path) in (None, RECIPE)
    for _ in range(300):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 5):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        assert isinstance(read_recipe(path), dict | None)
    path.write_bytes(data + b"\1junk")
    assert read_recipe(path) == RECIPE
    path.write_bytes(b"")
    assert read_recipe(path) is None


@pytest.mark.parametrize("name", ["missing.wav", "a\0b.wav", "."])
def test_a_recipe_of_nothing_is_one_sentence(tmp_path, name):
    with pytest.raises(DataError, match="cannot be opened") as caught:
        read_recipe(f"{tmp_path}/{name}")
    assert "\n" not in str(caught.value)


# --- atomic


def test_files_are_replaced_whole(tmp_path, sound):
    path = tmp_path / "a.wav"
    write_file(path, b"old")
    write_wav(path, sound, RATE)
    assert path.read_bytes() == wav_bytes(sound, RATE)
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "a.wav").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DataError, match="No space left on device"):
        write_file(tmp_path / "a.wav", b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("name", ["nowhere/a.wav", "file/a.wav", "folder", "a\0b", "x" * 300, ""])
def test_places_that_cannot_be_written_to(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"file")
    with pytest.raises(DataError, match="cannot be written") as caught:
        write_file(f"{tmp_path}/{name}", b"new")
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


def test_files_appear_together_or_not_at_all(tmp_path):
    def files(fails):
        yield "a.wav", b"new"
        assert not (tmp_path / "f/g/b.wav").exists()
        yield "b.wav", b"new"
        if fails:
            raise DataError("No more.")

    with pytest.raises(DataError, match="No more"):
        write_files(tmp_path / "f/g", files(fails=True))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "f").mkdir()
    (tmp_path / "f/c.wav").write_bytes(b"old")
    write_files(tmp_path / "f/g", files(fails=False))
    write_files(tmp_path / "f", [("c.wav", b"new")])
    found = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in tmp_path.rglob("*.*")}
    assert found == dict.fromkeys(("f/g/a.wav", "f/g/b.wav", "f/c.wav"), b"new")


@pytest.mark.parametrize("name", ["file", "a\0b", "x" * 300])
def test_folders_that_cannot_be_written_to(tmp_path, name):
    (tmp_path / "file").write_bytes(b"file")
    with pytest.raises(DataError, match="cannot be written to"):
        write_files(f"{tmp_path}/{name}", [("a.wav", b"new")])
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="devices are files on POSIX alone")
def test_a_device_is_written_to_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_file(tmp_path / "pipe", b"sound")
    assert os.read(reader, 9) == b"sound"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_stays_one(tmp_path):
    target, link = tmp_path / "target.bin", tmp_path / "link.bin"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_file(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_links_that_go_round_are_replaced(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_group_of_files_keeps_links_and_stops_before_a_folder(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_files(tmp_path, [("link", b"new"), ("plain", b"x")])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="folder is a folder"):
        write_files(tmp_path, [("plain", b"y"), ("folder", b"z")])
    assert (tmp_path / "plain").read_bytes() == b"x"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "link", "plain", "target"]
