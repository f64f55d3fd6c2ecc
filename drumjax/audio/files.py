"""Sound files in and out: mono float32 in memory, one plain error for each way to be unusable."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from drumjax.errors import AudioDecodeError, DataError

AUDIO_SUFFIXES = (".wav", ".aif", ".aiff", ".flac", ".ogg", ".mp3")
MIN_RATE, MAX_RATE = 8_000, 192_000  # Hz
MAX_CHANNELS = 8
MAX_SECONDS = 60
MAX_BYTES = 2**30  # a minute of 8 channels of 64 bits at 192 kHz takes 704 MiB

# What libsndfile's log says of a WAV or AIFF file that lost its end.
_CUT_SHORT = re.compile(r"(?:data|SSND) : (\d+) \(should be (\d+)\)")
_STREAMED = 2**31 - 1  # recorders that cannot seek back leave a size of at least this
_UNTOLD = 2**63 - 1  # frames of a FLAC file whose writer could not seek back

_FAINT = 0.1  # of the louder channel's level, -20 dB: a mean below that is no mix of the channels

_WRITERS = {".wav": "WAV", ".aif": "AIFF", ".aiff": "AIFF", ".flac": "FLAC"}


def read_audio(path: str | Path) -> tuple[np.ndarray, int]:
    """Decode a WAV, AIFF, FLAC, OGG or MP3 file to (float32 [n], sample rate in Hz).

    Channels are averaged to mono; where they cancel, so that the mean lies more than 20 dB below
    the louder channel, that channel is taken alone. Integer files lie in [-1, 1]; float and lossy
    files that exceed 1 keep their values, because scaling is `envelope.peak_normalise`'s work.

    Raises:
      AudioDecodeError: the file cannot be opened or decoded, is cut short or empty, holds NaN or
        infinite values, or has a rate, a number of channels or a length outside the limits above.
    """
    import soundfile

    try:
        if not Path(path).is_file():
            raise AudioDecodeError(f"{path} is not there; check the path.", "not there")
        Path(path).open("rb").close()  # libsndfile would not say why it cannot
        _check_size(path)
        with soundfile.SoundFile(native(path)) as file:
            _check_header(path, file)
            rate, expected = file.samplerate, file.frames
            samples = _decode(file)  # [n, channels]
    except OSError as error:
        raise AudioDecodeError(
            f"{path} cannot be opened ({error.strerror}); check its name and permissions.",
            "cannot be opened",
        ) from error
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: .raw has no header
        raise AudioDecodeError(
            f"{path} cannot be read as sound; convert it to WAV or remove it."
        ) from error
    if not len(samples):
        raise AudioDecodeError(f"{path} holds no samples; remove it.", "holds no samples")
    if len(samples) > MAX_SECONDS * rate:
        raise _too_long(path, f"more than {MAX_SECONDS}")
    if len(samples) < expected != _UNTOLD:
        raise AudioDecodeError(f"{path} is cut short; copy it again.", "cut short")
    if not np.isfinite(samples).all():
        raise AudioDecodeError(
            f"{path} holds NaN or infinite values; render it again.", "holds NaN or infinite values"
        )
    return _mono(samples), rate


def write_audio(path: str | Path, samples: np.ndarray, sample_rate: int, bits: int = 16) -> None:
    """Write [n] samples in [-1, 1] as WAV, AIFF or FLAC, chosen by the suffix, with 16 or 24 bits.

    The same samples give the same bytes, and what `read_audio` decoded from a file of as many
    bits is written back exactly (+1, which integers lack, becomes the largest one below).

    Raises:
      DataError: samples are not finite, exceed 1, are not one row of at least one sample, or the
        suffix, the bits or the place to write to cannot be used.
    """
    import soundfile

    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise DataError(f"{path} cannot be written; choose one of {', '.join(_WRITERS)}.")
    try:
        soundfile.write(
            native(path),
            quantise(np.asarray(samples), bits),
            sample_rate,
            subtype=f"PCM_{bits}",
            format=_WRITERS[path.suffix.lower()],
        )
    except (OSError, soundfile.SoundFileError) as error:
        raise DataError(f"{path} cannot be written: {error}") from error


def make_folder(path: str) -> Path:
    """Make the folder of an --output, with its parents; one that exists is used as it is.

    Raises:
      DataError: it cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be made ({error.strerror}); choose another --output."
        ) from error
    return folder


def native(path: str | Path) -> Any:
    """A path as soundfile takes it: bytes on POSIX, where names need not be UTF-8."""
    return os.fsencode(path) if os.name == "posix" else path


def _mono(samples: np.ndarray) -> np.ndarray:
    """The mean of [n, channels], or the louder channel where the channels cancel: [n]."""
    mean = samples.mean(axis=1, dtype=np.float32)
    levels = [_level(channel) for channel in samples.T]  # one by one, which takes less memory
    if _level(mean) < _FAINT * max(levels):
        return samples[:, np.argmax(levels)].copy()
    return mean


def _level(samples: np.ndarray) -> float:
    """Root mean square of [n]."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def quantise(samples: np.ndarray, bits: int) -> np.ndarray:
    """Samples as integers: int16 [n], or 24 bits in the upper part of int32 [n]."""
    if bits not in (16, 24):
        raise DataError(f"Sound files have 16 or 24 bits here, not {bits}.")
    if samples.ndim != 1 or not samples.size:
        raise DataError(f"One row of samples can be written, not an array of {samples.shape}.")
    peak = np.max(np.abs(samples))
    if not peak <= 1.0:  # NaN, too, fails this
        raise DataError(f"Samples reach {peak:g}, which would clip; normalise them to 1 first.")
    full = 2 ** (bits - 1)
    integers = np.clip(np.rint(samples.astype(np.float64) * full), -full, full - 1)
    return integers.astype(np.int16) if bits == 16 else integers.astype(np.int32) << 8


def _check_size(path: str | Path) -> None:
    """Refuse, before libsndfile looks for an end, a file larger than any sound of that length."""
    if Path(path).stat().st_size > MAX_BYTES:
        raise AudioDecodeError(
            f"{path} is larger than {MAX_BYTES // 2**20} MiB; cut it to {MAX_SECONDS} s.",
            f"larger than {MAX_BYTES // 2**20} MiB",
        )


def _check_header(path: str | Path, file) -> None:
    """Refuse, before decoding, what the limits rule out or the header shows to be cut short."""
    if not MIN_RATE <= file.samplerate <= MAX_RATE:
        raise AudioDecodeError(
            f"{path} has a sample rate of {file.samplerate} Hz; {MIN_RATE} to {MAX_RATE} are read.",
            f"sample rate not {MIN_RATE} to {MAX_RATE} Hz",
        )
    if file.channels > MAX_CHANNELS:
        raise AudioDecodeError(
            f"{path} has {file.channels} channels; at most {MAX_CHANNELS} are read.",
            f"more than {MAX_CHANNELS} channels",
        )
    if MAX_SECONDS * file.samplerate < file.frames != _UNTOLD:
        raise _too_long(path, f"{file.frames / file.samplerate:.0f}")
    if _is_cut_short(file.extra_info) or (file.format == "OGG" and not _has_last_page(path)):
        raise AudioDecodeError(f"{path} is cut short; copy it again.", "cut short")


def _too_long(path: str | Path, seconds: str) -> AudioDecodeError:
    return AudioDecodeError(
        f"{path} lasts {seconds} s; cut it to {MAX_SECONDS} s.", f"longer than {MAX_SECONDS} s"
    )


def _decode(file) -> np.ndarray:
    """The samples, float32 [n, channels], or one more than the limit of those that are too long."""
    # soundfile seeks to where it has read to, which AIFF's DWVW and such a FLAC file cannot do.
    file.seekable = lambda: False
    most = MAX_SECONDS * file.samplerate + 1
    return file.read(min(file.frames, most), dtype="float32", always_2d=True)


def _is_cut_short(log: str) -> bool:
    """Whether WAV or AIFF lacks its end; headers that are wrong by up to 1 % are let pass."""
    match = _CUT_SHORT.search(log)
    if match is None:
        return False
    declared, found = int(match[1]), int(match[2])
    return 1.01 * found < declared < _STREAMED


def _has_last_page(path: str | Path) -> bool:
    """Whether an Ogg file's pages end with one that says so; what follows them does not count.

    RFC 3533, section 6: byte 5 of a page holds flags, byte 26 the number of lengths that follow.
    """
    start, ends = 0, False
    with Path(path).open("rb") as file:
        while len(head := file.read(27)) == 27 and head.startswith(b"OggS"):
            ends = bool(head[5] & 4)
            start += 27 + head[26] + sum(file.read(head[26]))
            file.seek(start)
    return ends and start <= Path(path).stat().st_size
