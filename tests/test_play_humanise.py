"""MIDI parts and their performance, against exact fractions, hand-made bytes and NumPy loops."""

import struct
from fractions import Fraction

import mido
import numpy as np
import pytest

from drumjax.categories import CHOKES
from drumjax.errors import DataError
from drumjax.play import midi
from drumjax.play.humanise import perform, velocity_gain
from drumjax.play.midi import Hit, read_hits

RATE = 22050
KEYS = {36: "kick", 38: "snare", 42: "closed_hat", 46: "open_hat", 49: None}


def note(key, time=0, velocity=100, channel=9, kind="note_on"):
    return mido.Message(kind, note=key, velocity=velocity, channel=channel, time=time)


def tempo(microseconds, time=0):
    return mido.MetaMessage("set_tempo", tempo=microseconds, time=time)


def write(path, *tracks, ticks=480, kind=1):
    mido.MidiFile(type=kind, ticks_per_beat=ticks, tracks=[mido.MidiTrack(t) for t in tracks]).save(
        path
    )
    return path


def raw(path, events, division=96, tracks=1, kind=0):
    """A file of one track with these very bytes."""
    header = b"MThd" + struct.pack(">IHHH", 6, kind, tracks, division & 0xFFFF)
    path.write_bytes(header + b"MTrk" + struct.pack(">I", len(events)) + events)
    return path


END = b"\x00\xff\x2f\x00"
GOOD = b"\x00\x99\x24\x64\x30\x26\x50" + END


def test_a_part_with_changing_tempo_has_exact_times(tmp_path):
    """Oracle: exact fractions of seconds, summed tick by tick."""
    tempos = {0: 500_000, 700: 333_333, 1501: 612_345, 100_000: 250_001}
    ticks = [0, 1, 699, 700, 701, 1500, 1501, 2000, 99_999, 123_457]
    deltas = np.diff([0, *tempos]), np.diff([0, *ticks])
    path = write(
        tmp_path / "a.mid",
        [tempo(t, int(d)) for t, d in zip(tempos.values(), deltas[0], strict=True)],
        [note(36, int(d), 1 + i) for i, d in enumerate(deltas[1])],
    )

    def exact(tick):
        passed, now = Fraction(0), 500_000
        for at in range(tick):
            now = tempos.get(at, now)
            passed += Fraction(now, 480 * 1_000_000)
        return float(passed)

    want = [Hit(exact(tick), 36, 1 + i) for i, tick in enumerate(ticks)]
    assert read_hits(path) == want


def test_type_0_and_velocity_0(tmp_path):
    track = [
        tempo(1_000_000),
        note(36),
        note(36, 240, 0),
        note(38, 240, 7),
        note(38, 1, 64, 9, "note_off"),
    ]
    assert read_hits(write(tmp_path / "a.mid", track, kind=0)) == [
        Hit(0.0, 36, 100),
        Hit(1.0, 38, 7),
    ]


def test_running_status(tmp_path):
    """Oracle: bytes by hand; 96 ticks a beat at the default 120 beats a minute."""
    events = b"\x00\x99\x24\x64" + b"\x30\x26\x50" + b"\x30\x24\x00" + b"\x81\x40\x2a\x7f" + END
    want = [Hit(0.0, 36, 100), Hit(0.25, 38, 80), Hit((48 + 48 + 192) / 192, 42, 127)]
    assert read_hits(raw(tmp_path / "a.mid", events)) == want


@pytest.mark.parametrize(("frames", "seconds"), [(25, 100 / 1000), (29, 100 * 1001 / 30000 / 40)])
def test_smpte_time(tmp_path, frames, seconds):
    """Oracle: 40 ticks a frame, 25 or 30000/1001 frames a second; the tempo does not count."""
    events = b"\x00\xff\x51\x03\x01\x00\x00" + b"\x64\x99\x24\x64" + END
    hits = read_hits(raw(tmp_path / "a.mid", events, division=(-frames << 8) | 40))
    assert hits == [Hit(pytest.approx(seconds, rel=1e-12), 36, 100)]


def test_tracks_are_merged_by_time(tmp_path):
    path = write(tmp_path / "a.mid", [note(36, 480), note(36, 480)], [note(38), note(38, 720)])
    assert [hit.note for hit in read_hits(path)] == [38, 36, 38, 36]


def test_channel_10_alone_counts_where_it_has_notes(tmp_path):
    path = write(tmp_path / "a.mid", [note(40, channel=0)], [note(36), note(99)])
    assert [hit.note for hit in read_hits(path)] == [36, 99]


def test_a_clip_on_another_channel_counts_as_drums(tmp_path):
    path = write(tmp_path / "a.mid", [note(36, channel=0), note(81, 9, channel=0)])
    assert [hit.note for hit in read_hits(path)] == [36, 81]


@pytest.mark.parametrize(
    "tracks",
    [
        [[note(60, channel=0), note(90, channel=0)]],  # beyond the drum keys
        [[note(40, channel=0)], [note(50, channel=1)]],  # two parts
        [[mido.Message("program_change", program=33), note(40, channel=0)]],  # a bass
        [[note(36, velocity=0)]],  # no note begins
        [[]],
        [],
    ],
)
def test_a_file_without_drums_is_one_sentence(tmp_path, tracks):
    with pytest.raises(DataError, match=r"a\.mid holds no drums; put them on channel 10"):
        read_hits(write(tmp_path / "a.mid", *tracks))


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (b"", "holds no drums"),  # an empty track
        (b"\x00\x24\x64", "damaged"),  # running status without a status
        (b"\x00\x99\x24", "damaged"),  # cut short
        (b"\x00\x99\x24\xff" + END, "damaged"),  # a data byte above 127
        (b"\x00\xff\x59\x02\x40\x09" + END, "damaged"),  # a key signature that there is not
        (b"\x00\xff\x51\x01\x40" + END, "damaged"),  # a tempo of one byte
        (b"\x00\xff\x01\xff\xff\xff\x7f" + END, "damaged"),  # a text of 256 MiB
        (b"\x00\xf4\x00" + END, "damaged"),  # an undefined status
        (b"\xff" * 2_000_000, "damaged"),  # an erased disk
        (b"\xff" * 9000 + GOOD, "longer than 30 minutes"),  # a delta of 63,000 bits
    ],
    ids=range(10),
)
def test_a_damaged_file_is_one_sentence(tmp_path, events, says):
    with pytest.raises(DataError, match=says):
        read_hits(raw(tmp_path / "a.mid", events))


def test_a_delta_may_be_written_at_length(tmp_path):
    assert read_hits(raw(tmp_path / "a.mid", b"\x80" * 9000 + GOOD))[0] == Hit(0.0, 36, 100)


@pytest.mark.parametrize("division", [0, -25 << 8, (-77 << 8) | 40])
def test_a_division_that_is_none(tmp_path, division):
    with pytest.raises(DataError, match="damaged or incomplete"):
        read_hits(raw(tmp_path / "a.mid", GOOD, division=division))


def outcome(path):
    """What became of a file, in the sentence's first three words."""
    try:
        return "hits" if read_hits(path) else "nothing"
    except DataError as error:
        return " ".join(str(error).removeprefix(str(path)).split()[:3])


def test_any_byte_may_be_wrong(tmp_path):
    """1,000 files with random bytes changed or the end cut off: hits or one DataError."""
    rng = np.random.default_rng(0)
    part = [tempo(400_000), *(note(36 + i, 30) for i in range(20)), note(36, 9, 0)]
    good = write(tmp_path / "good.mid", part).read_bytes()
    path, outcomes = tmp_path / "bad.mid", set()
    for _ in range(1000):
        data = bytearray(good[: rng.integers(4, len(good) + 1)])
        for _ in range(rng.integers(0, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data)
        outcomes.add(outcome(path))
    assert {"hits", "is a damaged", "is no MIDI"} <= outcomes


def test_what_is_no_midi_file(tmp_path):
    text = tmp_path / "a.mid"
    text.write_text("kick snare kick snare\n")
    with pytest.raises(DataError, match="no MIDI file"):
        read_hits(text)
    text.write_bytes(b"")
    with pytest.raises(DataError, match="no MIDI file"):
        read_hits(text)
    with pytest.raises(DataError, match="not there"):
        read_hits(tmp_path / "none.mid")
    with pytest.raises(DataError, match="not there"):
        read_hits(tmp_path)
    with pytest.raises(DataError, match=r"cannot be opened \(File name too long\)"):
        read_hits(tmp_path / ("x" * 300))


def test_independent_patterns_are_refused(tmp_path):
    with pytest.raises(DataError, match="type 2"):
        read_hits(raw(tmp_path / "a.mid", GOOD, kind=2))


def test_absurd_lengths_are_refused(tmp_path, monkeypatch):
    half_an_hour = 30 * 60 * 960
    assert len(read_hits(write(tmp_path / "a.mid", [note(36, half_an_hour)]))) == 1
    with pytest.raises(DataError, match="longer than 30 minutes"):
        read_hits(write(tmp_path / "a.mid", [note(36, half_an_hour + 1)]))
    monkeypatch.setattr(midi, "MAX_HITS", 3)
    with pytest.raises(DataError, match="4 hits; cut it to 3"):
        read_hits(write(tmp_path / "a.mid", [note(36)] * 4))
    monkeypatch.setattr(midi, "MAX_BYTES", 20)
    with pytest.raises(DataError, match="larger than"):
        read_hits(tmp_path / "a.mid")


def ring(seconds=0.3):
    return np.full(round(seconds * RATE), 0.1, np.float32)


def test_hits_land_on_the_sample_with_their_velocity():
    """Oracle: a plain sum in NumPy; each hit has its own sound, named by its index."""
    rng = np.random.default_rng(0)
    hits = [Hit(t, 36, v) for t, v in [(0.0, 127), (0.100013, 64), (0.1001, 20), (1.7, 1)]]
    sounds = [0.2 * rng.standard_normal(500 * (i + 1)).astype(np.float32) for i in range(4)]
    mix = perform(hits, KEYS, lambda category, index: sounds[index], RATE)
    want = np.zeros(round(1.7 * RATE) + 2000)
    for hit, sound in zip(hits, sounds, strict=True):
        start = round(hit.time * RATE)
        want[start : start + len(sound)] += (hit.velocity / 127) ** 2 * sound
    assert mix.dtype == np.float32
    np.testing.assert_allclose(mix, want, atol=1e-6)


def test_the_velocity_curve_is_that_of_sfz():
    """Oracle: sfzformat.com, amp_veltrack: 20 log10((v / 127)²) dB; 64 lies at -11.90 dB."""
    assert velocity_gain(127) == 1.0
    assert 20 * np.log10(velocity_gain(64)) == pytest.approx(-11.905, abs=1e-3)


def test_a_take_is_asked_for_each_hit_that_plays():
    asked = []

    def take(category, index):
        asked.append((category, index))
        return ring(0.01)

    hits = [Hit(0.0, 36, 5), Hit(0.1, 49, 6), Hit(0.2, 12, 7), Hit(0.3, 46, 8)]
    perform(hits, KEYS, take, RATE)
    assert asked == [("kick", 0), ("open_hat", 3)]


def test_a_closed_hat_chokes_what_rings_of_the_open_one():
    """Oracle: 1 up to the closed hat, then a straight line to 0 in 8 ms, then nothing."""
    hits = [Hit(0.0, 46, 127), Hit(0.0, 36, 127), Hit(0.1, 42, 127)]
    sounds = [ring(), ring() * 0, ring(0.001) * 0]
    mix = perform(hits, KEYS, lambda category, index: sounds[index], RATE)
    stop, ramp = round(0.1 * RATE), round(0.008 * RATE)
    np.testing.assert_array_equal(mix[:stop], sounds[0][:stop])
    line = 0.1 * (1 - np.arange(1, ramp + 1) / ramp)
    np.testing.assert_allclose(mix[stop : stop + ramp], line, atol=1e-3)
    assert np.abs(np.diff(mix)).max() <= 0.1 / ramp * 1.02
    assert not mix[stop + ramp :].any()


@pytest.mark.parametrize(
    "hits",
    [
        [(0.0, 42), (0.1, 46)],  # the closed hat was first
        [(0.0, 46), (0.0, 42)],  # both at once
        [(0.0, 46), (0.31, 42)],  # the open hat has ended
        [(0.0, 46), (0.1, 46)],  # two open hats
        [(0.0, 36), (0.1, 42)],  # a kick is no hat
    ],
)
def test_nothing_else_is_choked(hits):
    hits = [Hit(time, key, 127) for time, key in hits]
    take = lambda category, index: ring()  # noqa: E731
    np.testing.assert_array_equal(
        perform(hits, KEYS, take, RATE), perform(hits, KEYS, take, RATE, choke={})
    )


def test_only_the_next_choking_hit_counts_and_hits_may_stand_in_any_order():
    hits = [Hit(0.2, 42, 127), Hit(0.0, 46, 127), Hit(0.1, 42, 127)]
    take = lambda category, index: ring() * (category == "open_hat")  # noqa: E731
    mix = perform(hits, KEYS, take, RATE, CHOKES)
    assert np.flatnonzero(mix)[-1] < round(0.108 * RATE)


def test_the_mix_is_peak_safe_and_scaled_as_a_whole():
    hits = [Hit(0.0, 36, 127)] * 5 + [Hit(0.05, 38, 127)]
    take = lambda category, index: ring(0.02) * 9  # noqa: E731
    mix = perform(hits, KEYS, take, RATE)
    assert np.abs(mix).max() == pytest.approx(10 ** (-0.1 / 20), abs=1e-6)
    assert mix[-1] == pytest.approx(mix[0] / 5, rel=1e-5)


def test_long_parts_keep_each_hit():
    hits = [Hit(0.25 * i, 36, 127) for i in range(400)]
    mix = perform(hits, KEYS, lambda category, index: ring(0.01), RATE)
    assert len(mix) == round(0.25 * 399 * RATE) + len(ring(0.01))
    assert np.flatnonzero(mix).size == 400 * len(ring(0.01))


def test_a_part_of_unknown_keys_is_one_sentence():
    with pytest.raises(DataError, match=r"keys \(12, 49\); use General MIDI"):
        perform([Hit(0.0, 49, 9), Hit(0.0, 12, 9)], KEYS, lambda *_: ring(), RATE)
