"""What the tests of the commands that play share: instruments on disk, sounds and drum parts."""

import dataclasses

import mido
import numpy as np
import soundfile
from instruments import networks, tiny_instrument
from tiny import CWAE, MCNN

from drumjax.play.controls import with_controls
from drumjax.play.instrument import build_instrument, save_instrument

DUSTIER = np.arange(12, dtype=np.float32).reshape(3, 4) / 10  # a control, [categories, latents]


def write_instruments(folder):
    """Those of the fixture `instruments`."""
    tiny = tiny_instrument()
    tiny = with_controls(tiny, {"controls/step/dusty": DUSTIER}, {"learnt": ["dusty"]})
    save_instrument(tiny, folder / "tiny.safetensors", "float32")
    save_instrument(tiny, folder / "mute.safetensors", "float32", encoder=False)
    hats = {**tiny.meta, "categories": ["closed_hat", "open_hat", "snare"]}
    hats = dataclasses.replace(tiny, meta=hats)
    save_instrument(hats, folder / "hats.safetensors", "float32", encoder=False)
    cwae, mcnn = networks(seed=1)
    other = build_instrument(CWAE, cwae, MCNN, mcnn, "other")
    save_instrument(other, folder / "other.safetensors", "float32")


def write_part(path, *notes):
    """A MIDI file of drum notes (ticks since the last, 480 in half a second; key; velocity)."""
    file = mido.MidiFile(ticks_per_beat=480)
    messages = (
        mido.Message("note_on", channel=9, note=note, velocity=velocity, time=time)
        for time, note, velocity in notes
    )
    file.tracks.append(mido.MidiTrack(messages))
    file.save(path)


def files(folder):
    """{path inside: bytes} of all files in a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def burst(samples=900, seed=0):
    """A decaying noise [samples]."""
    x = np.random.default_rng(seed).standard_normal(samples)
    return 0.9 * x * np.exp(-5 * np.arange(samples) / samples) / np.abs(x).max()


def pcm(path):
    """The samples of a 16-bit file."""
    return soundfile.read(path, dtype="int16")[0]
