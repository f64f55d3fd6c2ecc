"""Reads mutated sound files in a process of its own, which may crash, hang or eat memory alone.

    python tests/mutate_audio.py --count=1000000 --seconds=600     all kinds, and a summary
    python tests/mutate_audio.py --show=ogg:12345 > bad.ogg        one mutant again

A mutant is a function of its kind and number. A child process reads one after the other and notes
the number of the one in hand; where it dies, the next child goes on behind it.
"""

import argparse
import collections
import functools
import io
import itertools
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

KINDS = ("wav", "aiff", "flac", "ogg", "mp3")
CPU_SECONDS = 5.0  # that one small file may take
WALL_SECONDS = 120.0  # as long on a busy machine, or where a decoder waits for something
MEMORY = 2**29  # bytes, more than before the first file: far above what 60 s of these could hold
VARIANTS = {  # (container, subtype, channels, Hz, samples); all small, so that a mutation counts
    "wav": [
        ("WAV", "PCM_16", 1, 22050, 900),
        ("WAV", "PCM_24", 2, 44100, 500),
        ("WAV", "FLOAT", 1, 48000, 400),
        ("WAV", "MS_ADPCM", 1, 22050, 3000),
        ("WAV", "IMA_ADPCM", 2, 22050, 3000),
        ("WAV", "GSM610", 1, 8000, 3000),
        ("WAV", "ALAW", 1, 8000, 2000),
        ("WAVEX", "PCM_U8", 1, 22050, 1500),
        ("RF64", "DOUBLE", 1, 22050, 300),
    ],
    "aiff": [
        ("AIFF", "PCM_16", 1, 22050, 900),
        ("AIFF", "PCM_24", 2, 44100, 500),
        ("AIFF", "FLOAT", 1, 22050, 500),
        ("AIFF", "IMA_ADPCM", 1, 22050, 3000),
        ("AIFF", "GSM610", 1, 8000, 3000),
        ("AIFF", "DWVW_16", 1, 22050, 900),
    ],
    "flac": [
        ("FLAC", "PCM_16", 1, 22050, 2000),
        ("FLAC", "PCM_24", 2, 44100, 800),
        ("FLAC", "PCM_S8", 1, 22050, 9000),
    ],
    "ogg": [
        ("OGG", "VORBIS", 1, 22050, 3000),
        ("OGG", "VORBIS", 2, 44100, 3000),
        ("OGG", "OPUS", 1, 48000, 6000),
    ],
    "mp3": [
        ("MP3", "MPEG_LAYER_III", 1, 22050, 6000),
        ("MP3", "MPEG_LAYER_III", 2, 44100, 6000),
    ],
}
_SIZES = (0, 1, 2, 3, 7, 8, 15, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0xFFFFFF)
_SIZES += (0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 2**47, 2**63 - 1, 2**63, 2**64 - 1)
_MARKS = {"wav": b"fmt data fact LIST", "aiff": b"COMM SSND FVER", "ogg": b"OggS"}


@functools.cache
def originals(kind: str) -> list[bytes]:
    """Valid files of a kind: a decaying tone with noise."""
    made = []
    for container, subtype, channels, rate, samples in VARIANTS[kind]:
        rng, t = np.random.default_rng(0), np.arange(samples) / rate
        tone = 0.5 * np.sin(2 * np.pi * 440 * t) * np.exp(-30 * t)
        sound = tone[:, None] + rng.normal(0, 0.03, (samples, channels))
        buffer = io.BytesIO()
        soundfile.write(buffer, sound, rate, format=container, subtype=subtype)
        made.append(_steady(buffer.getvalue()))
    return made


def _steady(data: bytes) -> bytes:
    """Without what differs each time: the number of an Ogg stream, the time in a PEAK chunk."""
    if data.startswith(b"OggS"):
        out = bytearray(data)
        for at in _find_all(data, b"OggS"):
            out[at + 14 : at + 18] = bytes(4)
        return _with_checksums(bytes(out))
    if (at := data.find(b"PEAK")) > 0:
        return data[: at + 12] + bytes(4) + data[at + 16 :]
    return data


def mutant(kind: str, number: int) -> bytes:
    """The bytes of a mutant: one to three mutations of a valid file."""
    rng = np.random.default_rng((KINDS.index(kind), number))
    data = _choose(rng, originals(kind))
    for _ in range(rng.integers(1, 4)):
        data = _choose(rng, _MUTATIONS)(rng, data, kind)
    if kind in _CHECKED and rng.random() < 0.7:
        data = _CHECKED[kind](data)  # a part with a wrong checksum is never looked into
    return data


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """One to three mutations that suit any file."""
    for _ in range(rng.integers(1, 4)):
        data = _choose(rng, (_flip, _truncate, _cut_out, _insert, _set_length))(rng, data, "")
    return data


def _choose(rng, items):
    return items[rng.integers(len(items))]


def _place(rng, data: bytes) -> int:
    """A place in the file; every other one in its first 200 bytes, where headers are."""
    return int(rng.integers(max(1, min(len(data), 200) if rng.random() < 0.5 else len(data))))


def _flip(rng, data, kind):
    out = bytearray(data)
    for _ in range(int(2 ** rng.uniform(0, 5)) if out else 0):
        out[_place(rng, data)] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _truncate(rng, data, kind):
    return data[: _place(rng, data)]


def _splice(rng, data, kind):
    other = _choose(rng, originals(kind if rng.random() < 0.7 else _choose(rng, KINDS)))
    return data[: _place(rng, data)] + other[_place(rng, other) :]


def _cut_out(rng, data, kind):
    at = _place(rng, data)
    return data[:at] + data[at + int(2 ** rng.uniform(0, 10)) :]


def _insert(rng, data, kind):
    at, size = _place(rng, data), int(2 ** rng.uniform(0, 8))
    filled = bytes(size) if rng.random() < 0.3 else rng.bytes(size)
    return data[:at] + filled + data[at:]


def _set_length(rng, data, kind):
    """Write a size that nobody has somewhere, or behind a chunk's name."""
    marks = [m for name in _MARKS.get(kind, b"").split() for m in _find_all(data, name)]
    at = _choose(rng, marks) + 4 + 2 * int(rng.integers(12)) if marks else _place(rng, data)
    width, code = _choose(rng, [(1, "B"), (2, "H"), (4, "I"), (4, "I"), (8, "Q")])
    field = struct.pack(_choose(rng, "<>") + code, _choose(rng, _SIZES) % 256**width)
    return data[:at] + field + data[at + width :]


def _shuffle_chunks(rng, data, kind):
    """Swap, repeat or leave out parts of the file: chunks, pages, frames."""
    parts = _parts(data, kind)
    for _ in range(rng.integers(1, 4)):
        a, b = rng.integers(len(parts), size=2)
        what = rng.integers(3)
        if what == 0:
            parts[a], parts[b] = parts[b], parts[a]
        elif what == 1:
            parts.insert(int(a), parts[b])
        elif len(parts) > 1:
            del parts[a]
    return b"".join(parts)


_MUTATIONS = (_flip, _flip, _truncate, _splice, _cut_out, _insert, _set_length, _set_length)
_MUTATIONS += (_shuffle_chunks,)


def _parts(data: bytes, kind: str) -> list[bytes]:
    """A file cut where its chunks, blocks, pages or frames begin; [data] where it has none."""
    if kind in ("wav", "aiff"):
        order, starts, at = "<" if kind == "wav" else ">", [], 12
        while at + 8 <= len(data) and len(starts) < 50:
            starts.append(at)
            at += 8 + struct.unpack_from(order + "I", data, at + 4)[0]
            at += at % 2
    else:
        mark = {"flac": b"\xff\xf8", "ogg": b"OggS", "mp3": data[:2]}[kind]
        starts = _find_all(data, mark) if mark else []
    edges = sorted({0, *starts, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(edges)] or [data]


def _find_all(data: bytes, mark: bytes) -> list[int]:
    found, at = [], data.find(mark)
    while at >= 0 and len(found) < 100:
        found.append(at)
        at = data.find(mark, at + 1)
    return found


@functools.cache
def _table(polynomial: int, width: int) -> list[int]:
    """Of a checksum of as many bits whose highest one goes first."""
    table, top = [], 1 << (width - 1)
    for byte in range(256):
        value = byte << (width - 8)
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value & top else 0)
        table.append(value % (2 * top))
    return table


def _checksum(data: bytes | bytearray, polynomial: int, width: int) -> bytes:
    table, value, mask = _table(polynomial, width), 0, (1 << width) - 1
    for byte in data:
        value = ((value << 8) & mask) ^ table[(value >> (width - 8)) ^ byte]
    return value.to_bytes(width // 8, "big")


def _with_checksums(data: bytes) -> bytes:
    """An Ogg file whose pages, as far as they are whole, have right checksums (RFC 3533)."""
    out = bytearray(data)
    for at in _find_all(data, b"OggS"):
        if at + 27 > len(data) or at + 27 + data[at + 26] > len(data):
            continue
        end = at + 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])
        out[at + 22 : at + 26] = bytes(4)
        out[at + 22 : at + 26] = _checksum(out[at:end], 0x04C11DB7, 32)[::-1]
    return bytes(out)


def _with_frame_checksums(data: bytes) -> bytes:
    """A FLAC file whose frames have right checksums, of header and whole (RFC 9639, section 9)."""
    head, *frames = _parts(data, "flac")
    out = [head]
    for frame in frames:
        if len(frame) < 20:
            out.append(frame)
            continue
        size, rate = frame[2] >> 4, frame[2] & 15
        lead = f"{frame[4]:08b}".find("0")  # ones before it: how long the frame's number is
        end = 4 + max(1, lead) + {6: 1, 7: 2}.get(size, 0) + {12: 1, 13: 2, 14: 2}.get(rate, 0)
        frame = frame[:end] + _checksum(frame[:end], 0x07, 8) + frame[end + 1 :]
        out.append(frame[:-2] + _checksum(frame[:-2], 0x8005, 16))
    return b"".join(out)


_CHECKED = {"ogg": _with_checksums, "flac": _with_frame_checksums}


def read_one(path: Path, plant: str = "") -> str:
    """What became of a file: "read", the reason of the refusal, or what must not be."""
    from drumjax.audio.files import MAX_RATE, MAX_SECONDS, MIN_RATE, read_audio
    from drumjax.errors import AudioDecodeError

    try:
        _misbehave(plant)
        samples, rate = read_audio(path)
    except AudioDecodeError as error:
        one_line = str(error).endswith(".") and str(error).isprintable() and len(str(error)) < 300
        return error.reason if one_line else f"BAD sentence: {error!r}"
    except BaseException as error:
        return f"BAD error: {error!r}"
    good = samples.dtype == np.float32 and samples.ndim == 1 and np.isfinite(samples).all()
    good = good and MIN_RATE <= rate <= MAX_RATE and 0 < len(samples) <= MAX_SECONDS * rate
    return "read" if good else f"BAD sound: {samples.dtype} {samples.shape} at {rate} Hz"


def _misbehave(how: str) -> None:
    """As a decoder might: what tests plant in the place of a file."""
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "hang":
        signal.setitimer(signal.ITIMER_PROF, 0.2)  # sooner than CPU_SECONDS
        while True:
            pass
    elif how == "eat":
        bytearray(2 * MEMORY)


def child(kind: str, start: int, stop: int, folder: Path, plant: str = "") -> None:
    """Read the mutants [start, stop); prints a summary, and notes the one in hand in a file."""
    path = folder / f"mutant.{kind}"
    path.write_bytes(originals(kind)[0])
    assert read_one(path) == "read"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "linux":
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    found, bad, slowest = collections.Counter(), [], (0.0, -1)
    with open(folder / "in_hand", "wb", buffering=0) as in_hand:
        for number in range(start, stop):
            os.pwrite(in_hand.fileno(), b"%012d" % number, 0)
            path.write_bytes(mutant(kind, number))
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # ends the process if it rings
            signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
            began = time.process_time()
            what = read_one(path, plant if number == start + 1 else "")
            slowest = max(slowest, (time.process_time() - began, number))
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            found[what if not what.startswith("BAD") else "BAD"] += 1
            if what.startswith("BAD"):
                bad.append((number, what))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"found": found, "bad": bad, "slowest": slowest, "grown_kib": grown}))


def run(kind: str, start: int, stop: int, plant: str = "") -> dict:
    """Read the mutants [start, stop) of a kind in children; the second one may be a planted fault.

    Returns:
      read: how many files were read or refused; found: how many became what; bad: [(number, what)],
      crashes and hangs included; slowest: (CPU seconds, number); grown_kib: of resident memory.
    """
    total = {"read": 0, "found": collections.Counter(), "bad": [], "slowest": (0.0, -1)}
    total["grown_kib"] = 0
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk would be the brake
    with tempfile.TemporaryDirectory(prefix="drumjax_", dir=memory) as name:
        while start < stop:
            command = [sys.executable, __file__, "--child", f"--kind={kind}", f"--start={start}"]
            command += [f"--count={stop - start}", f"--folder={name}", f"--plant={plant}"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                said = json.loads(done.stdout.splitlines()[-1])
                total["read"] += stop - start
                total["found"] += collections.Counter(said["found"])
                total["bad"] += said["bad"]
                total["slowest"] = max(total["slowest"], tuple(said["slowest"]))
                total["grown_kib"] = max(total["grown_kib"], said["grown_kib"])
                break
            if done.returncode > 0 or not (note := Path(name, "in_hand")).exists():
                raise RuntimeError(done.stderr)  # of this file's own
            last = int(note.read_text())
            total["bad"].append((last, f"died of {signal.Signals(-done.returncode).name}"))
            total["read"] += last + 1 - start
            start, plant = last + 1, ""
    return total


def main() -> None:
    """Read the flags; see the module's words."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", action="store_true")
    parser.add_argument("--kind", default="")
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--plant", default="")
    parser.add_argument("--show", default="")
    flags = parser.parse_args()
    if flags.show:
        kind, number = flags.show.split(":")
        sys.stdout.buffer.write(mutant(kind, int(number)))
    elif flags.child:
        child(flags.kind, flags.start, flags.start + flags.count, flags.folder, flags.plant)
    else:
        _run_all(flags)


def _run_all(flags: argparse.Namespace) -> None:
    kinds, began, done, step = [flags.kind] if flags.kind else KINDS, time.monotonic(), 0, 2_000
    totals = {kind: collections.Counter() for kind in kinds}
    slowest, grown, start = (0.0, "", -1), 0, flags.start
    while done < flags.count and time.monotonic() - began < flags.seconds:
        step = min(step, -(-(flags.count - done) // len(kinds)))
        for kind in kinds:
            result = run(kind, start, start + step)
            done += result["read"]
            totals[kind] += result["found"]
            slowest = max(slowest, (result["slowest"][0], kind, result["slowest"][1]))
            grown = max(grown, result["grown_kib"])
            for number, what in result["bad"]:
                print(f"{kind}:{number} {what}", flush=True)
        start += step
    for kind, total in totals.items():
        print(kind, dict(total.most_common()))
    spent = time.monotonic() - began
    print(f"{done:,} files in {spent:.0f} s; slowest {slowest}; memory grew by {grown >> 10} MiB")


if __name__ == "__main__":
    main()
