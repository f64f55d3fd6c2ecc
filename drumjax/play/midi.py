"""Drum hits out of a MIDI file."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from drumjax.errors import DataError

MAX_SECONDS = 30 * 60
MAX_HITS = 100_000
MAX_BYTES = 4 * 2**20

_DRUM_CHANNEL = 9  # channel 10 of General MIDI, counted from 0
_DRUM_KEYS = range(35, 82)  # General MIDI's percussion map
_TEMPO = 500_000  # microseconds a beat, until the file says otherwise
_MICROSECONDS = 1_000_000
_DROP_FRAME = 29  # how a MIDI file writes 30000/1001 frames a second
_LONGEST_RUN = 10_000  # bytes with the high bit set in a row: an erased disk, not a file


class Hit(NamedTuple):
    """One stroke of a drum part."""

    time: float  # seconds from the file's start
    note: int  # MIDI key, 0 to 127
    velocity: int  # 1 to 127


class _Note(NamedTuple):
    """A note-on at its place in the file."""

    tick: int
    channel: int
    note: int
    velocity: int


def read_hits(path: str | Path) -> list[Hit]:
    """The drum hits of a MIDI file of type 0 or 1, in the order of time.

    Drums are the notes on channel 10. A file without any there still holds a drum part if all its
    notes lie on one channel, within General MIDI's drum keys (35 to 81), and no program change
    gives that channel a melodic sound: the form in which many workstations export a drum clip.

    Times follow every change of tempo and are exact: whole microseconds × ticks are summed up, and
    divided once.

    Raises:
      DataError: the file is missing, damaged, no MIDI file, of type 2, longer than 30 minutes or
        100,000 hits, or holds no drums.
    """
    file = _parse(path)
    notes = _drums(path, file)
    if len(notes) > MAX_HITS:
        raise DataError(f"{path} holds {len(notes):,} hits; cut it to {MAX_HITS:,} at most.")
    return list(_timed(path, file, notes))


def _read(path: str | Path) -> bytes:
    """The file's bytes, if it is there and of a sensible size."""
    try:
        if not Path(path).is_file():
            raise DataError(f"{path} is not there; check the path.")
        if Path(path).stat().st_size > MAX_BYTES:
            raise DataError(
                f"{path} is larger than {MAX_BYTES // 2**20} MiB; export the drum part alone."
            )
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be opened ({error.strerror}); check its name and permissions."
        ) from error


def _parse(path: str | Path) -> Any:
    """The file as a mido.MidiFile of type 0 or 1 with a usable division of time."""
    data = _read(path)
    if data[:4] != b"MThd":
        raise DataError(f"{path} is no MIDI file; export the drum part as a standard MIDI file.")
    import mido

    try:
        if _has_run(data):  # mido would spend minutes on a number of that many digits
            raise ValueError("a run of bytes that no MIDI file holds")
        file = mido.MidiFile(file=io.BytesIO(data))
        if file.type not in (0, 1, 2) or not _division_is_usable(file.ticks_per_beat):
            raise ValueError("a header that no MIDI file has")
    except Exception as error:  # a damaged file makes mido raise whatever its parts raise
        raise DataError(f"{path} is a damaged or incomplete MIDI file; export it again.") from error
    if file.type == 2:
        raise DataError(
            f"{path} holds independent patterns (type 2); export it as a MIDI file of type 0 or 1."
        )
    return file


def _has_run(data: bytes) -> bool:
    """Whether _LONGEST_RUN bytes in a row have their high bit set."""
    high = data.translate(bytes(128) + b"\xff" * 128)
    return b"\xff" * _LONGEST_RUN in high


def _division_is_usable(division: int) -> bool:
    """Whether a header's division says how long a tick is: ticks a beat, or SMPTE frames."""
    frames, ticks = divmod(division, 256)
    return division > 0 or (-frames in (24, 25, _DROP_FRAME, 30) and ticks > 0)


def _events(file: Any) -> Iterator[tuple[int, Any]]:
    """(tick from the file's start, message) of all tracks, one track after the other."""
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            yield tick, message


def _drums(path: str | Path, file: Any) -> list[_Note]:
    """The notes that `read_hits` takes for drums, in the order of ticks."""
    notes = [
        _Note(tick, message.channel, message.note, message.velocity)
        for tick, message in _events(file)
        if message.type == "note_on" and message.velocity > 0
    ]
    drums = [note for note in notes if note.channel == _DRUM_CHANNEL]
    if not drums:
        channels = {note.channel for note in notes}
        melodic = {m.channel for _, m in _events(file) if m.type == "program_change"}
        in_range = all(note.note in _DRUM_KEYS for note in notes)
        drums = notes if len(channels) == 1 and in_range and not channels & melodic else []
    if not drums:
        raise DataError(
            f"{path} holds no drums; put them on channel 10, or export the drum part alone, with "
            f"keys from {_DRUM_KEYS[0]} to {_DRUM_KEYS[-1]}."
        )
    return sorted(drums, key=lambda note: note.tick)


def _timed(path: str | Path, file: Any, notes: list[_Note]) -> Iterator[Hit]:
    """The notes, sorted by ticks, with their times in seconds."""
    tempos, unit = _tempos(file)  # a time is a whole number / unit seconds
    elapsed = since = tempo = place = 0
    for note in notes:
        while place < len(tempos) and tempos[place][0] <= note.tick:
            elapsed += (tempos[place][0] - since) * tempo
            since, tempo = tempos[place]
            place += 1
        time = elapsed + (note.tick - since) * tempo
        if time > MAX_SECONDS * unit:
            raise DataError(f"{path} is longer than {MAX_SECONDS // 60} minutes; cut it.")
        yield Hit(time / unit, note.note, note.velocity)


def _tempos(file: Any) -> tuple[list[tuple[int, int]], int]:
    """[(tick, tempo from there on)], the first at tick 0, and tempo × ticks in one second.

    The tempo is in microseconds a beat. Where the file counts SMPTE frames it has none, and one
    constant takes its place.
    """
    if file.ticks_per_beat < 0:
        frames, ticks = divmod(file.ticks_per_beat, 256)
        if -frames == _DROP_FRAME:
            return [(0, 1001)], 30_000 * ticks
        return [(0, 1)], -frames * ticks
    changes = [(tick, m.tempo) for tick, m in _events(file) if m.type == "set_tempo"]
    changes.sort(key=lambda change: change[0])
    return [(0, _TEMPO), *changes], _MICROSECONDS * file.ticks_per_beat
