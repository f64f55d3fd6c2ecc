"""Sound files in and out: mono float32 in memory, one plain error for each way to be unusable."""

import re
from pathlib import Path

import numpy as np

from drumjax.errors import AudioDecodeError, DataError

AUDIO_SUFFIXES = (".wav", ".aif", ".aiff", ".flac", ".ogg", ".mp3")
MIN_RATE, MAX_RATE = 8_000, 192_000  # Hz
MAX_CHANNELS = 8
MAX_SECONDS = 60

# What libsndfile's log says of a file that lost its end: WAV and AIFF, then Ogg.
_CUT_SHORT = re.compile(
    r"(?:data|SSND) : (\d+) \(should be (\d+)\)"
    r"|Ogg ?: (?:File ended unexpectedly|Last page lacks|Junk after the last page)"
)
_STREAMED = 2**31 - 1  # recorders that cannot seek back leave a size of at least this

_WRITERS = {".wav": "WAV", ".aif": "AIFF", ".aiff": "AIFF", ".flac": "FLAC"}


def read_audio(path: str | Path) -> tuple[np.ndarray, int]:
    """Decode a WAV, AIFF, FLAC, OGG or MP3 file to (float32 [n], sample rate in Hz).

    Channels are averaged to mono. Integer files lie in [-1, 1]; float and lossy files that
    exceed 1 keep their values, because scaling is `envelope.peak_normalise`'s work.

    Raises:
      AudioDecodeError: the file cannot be decoded, is cut short or empty, holds NaN or infinite
        values, or has a rate, a number of channels or a length outside the limits above.
    """
    import soundfile

    if not Path(path).is_file():
        raise AudioDecodeError(f"{path} is not there; check the path.")
    try:
        with soundfile.SoundFile(path) as file:
            _check_header(path, file)
            samples = file.read(dtype="float32", always_2d=True)  # [n, channels]
            rate, expected = file.samplerate, file.frames
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: .raw has no header
        raise AudioDecodeError(
            f"{path} cannot be read as sound; convert it to WAV or remove it."
        ) from error
    if not len(samples):
        raise AudioDecodeError(f"{path} holds no samples; remove it.")
    if len(samples) < expected:
        raise AudioDecodeError(f"{path} is cut short; copy it again.")
    if not np.isfinite(samples).all():
        raise AudioDecodeError(f"{path} holds NaN or infinite values; render it again.")
    return samples.mean(axis=1, dtype=np.float32), rate


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
            path,
            _quantise(np.asarray(samples), bits),
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


def _quantise(samples: np.ndarray, bits: int) -> np.ndarray:
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


def _check_header(path: str | Path, file) -> None:
    """Refuse, before decoding, what the limits rule out or the header shows to be cut short."""
    if not MIN_RATE <= file.samplerate <= MAX_RATE:
        raise AudioDecodeError(
            f"{path} has a sample rate of {file.samplerate} Hz; {MIN_RATE} to {MAX_RATE} are read."
        )
    if file.channels > MAX_CHANNELS:
        raise AudioDecodeError(
            f"{path} has {file.channels} channels; at most {MAX_CHANNELS} are read."
        )
    if _is_cut_short(file.extra_info):
        raise AudioDecodeError(f"{path} is cut short; copy it again.")
    if file.frames > MAX_SECONDS * file.samplerate:
        raise AudioDecodeError(
            f"{path} lasts {file.frames / file.samplerate:.0f} s; cut it to {MAX_SECONDS} s."
        )


def _is_cut_short(log: str) -> bool:
    """Whether a sound lacks its end; WAV headers that are wrong by up to 1 % are let pass."""
    match = _CUT_SHORT.search(log)
    if match is None or match[1] is None:
        return match is not None
    declared, found = int(match[1]), int(match[2])
    return 1.01 * found < declared < _STREAMED
