"""What the tests of the evaluation share: subjects whose numbers are known beforehand."""

import numpy as np
from tiny import MEL, NAMES

from drumjax.audio.mel import mel_spectrogram
from drumjax.evals.subject import Subject


def of_kits(source, count=6):
    """The same sounds, of that many kits in turn."""
    return source._replace(kits=tuple(f"kit_{i % count}" for i in range(len(source.names))))


def to_float(source):
    return source.audio.astype(np.float32) / np.float32(32767)


def known_subject(source, gains=(0.5, 0.75, 1.0), encoder=True):
    """A code is (row, category, 0, 0): mels come back times a gain, sounds as silence or exactly.

    The inverter alone is silent; played sounds are the originals.
    """
    audio = to_float(source)
    mels = np.asarray(mel_spectrogram(audio, MEL))

    def encode(sound, weights):
        same = (sound[:, None] == audio[None]).all(-1)
        row = same.argmax(1)
        return np.stack([row, weights.argmax(1), 0 * row, 0 * row], axis=1).astype(np.float32)

    def decode(z, weights):
        gain = np.array(gains)[weights.argmax(1)]
        return (mels[z[:, 0].astype(int)] * gain[:, None, None]).astype(np.float32)

    def draw(category, count, seed):
        rng = np.random.default_rng([seed, category])
        rows = rng.choice(np.flatnonzero(source.category == category), count)
        return np.stack([rows, rows * 0 + category, 0 * rows, 0 * rows], 1).astype(np.float32)

    return Subject(
        name="known",
        mel=MEL,
        categories=NAMES,
        latents=4,
        decode=decode,
        invert=lambda mel: np.zeros((len(mel), MEL.num_samples), np.float32),
        render=lambda z, weights: audio[z[:, 0].astype(int)],
        draw=draw,
        encode=encode if encoder else None,
    )
