"""What the tests of the commands that play share: instruments on disk, sounds and drum parts."""

import dataclasses

import mido
import numpy as np
import soundfile
from attribute_maps import random_map
from instruments import networks, tiny_instrument
from tiny import CWAE, MCNN

from drumjax.play.controls import with_controls
from drumjax.play.descriptors import ATTRIBUTES
from drumjax.play.instrument import build_instrument, save_instrument

DUSTIER = np.arange(12, dtype=np.float32).reshape(3, 4) / 10  # a control, [categories, latents]


def write_instruments(folder):
    """Those of the fixture `instruments`."""
    tiny = tiny_instrument()
    tiny = with_controls(tiny, {"controls/step/dusty": DUSTIER}, {"learnt": ["dusty"]})
    save_instrument(tiny, folder / "tiny.safetensors", "float32")
    save_instrument(with_all_controls(tiny), folder / "full.safetensors", "float32")
    save_instrument(tiny, folder / "mute.safetensors", "float32", encoder=False)
    hats = {**tiny.meta, "categories": ["closed_hat", "open_hat", "snare"]}
    hats = dataclasses.replace(tiny, meta=hats)
    save_instrument(hats, folder / "hats.safetensors", "float32", encoder=False)
    cwae, mcnn = networks(seed=1)
    other = build_instrument(CWAE, cwae, MCNN, mcnn, "other")
    save_instrument(other, folder / "other.safetensors", "float32")


def with_all_controls(instrument):
    """An instrument with three axes of each kind and all attributes, in directions at random."""
    rng = np.random.default_rng(0)
    k, d = len(instrument.categories), instrument.latents
    tensors = random_map(rng, d, k, len(ATTRIBUTES)).tensors()
    for mode, rows in (("paper", ()), ("paper_category", (k,)), ("audible", (k,))):
        turned = np.linalg.qr(rng.standard_normal((*rows, d, d)))[0]
        tensors[f"controls/{mode}/directions"] = turned[..., :3, :]
        tensors[f"controls/{mode}/spread"] = rng.uniform(0.5, 1.0, (*rows, 3))
    for key in ("mean", "std"):
        tensors[f"controls/attributes/{key}"] = rng.uniform(0.5, 1.0, (k, len(ATTRIBUTES)))
    tensors = {name: np.asarray(value, np.float32) for name, value in tensors.items()}
    return with_controls(instrument, tensors, {"attributes": list(ATTRIBUTES)})


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
