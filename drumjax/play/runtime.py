"""The player: an instrument's codes become sounds, by jitted pure functions without flax."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.audio import phase
from drumjax.audio.filters import keep_audible
from drumjax.errors import ConfigError, InstrumentError
from drumjax.play import finish, heads, networks
from drumjax.play import refine as refining
from drumjax.play.gaussian import category_weights
from drumjax.play.instrument import Instrument, load_instrument
from drumjax.play.plan import Plan

FARTHEST = 1e4  # of a latent from 0: a hundred times what any category draws
BATCHES = (1, 8, 64)  # a batch is filled up to the next of these, so that few programs are compiled


class Player:
    """Plays one instrument. Everything is compiled once for each batch size and length used."""

    def __init__(self, instrument: Instrument):
        """Lay the weights out as they are used."""
        self.instrument = instrument
        self.plan = Plan.of(instrument.meta)
        self.samples = instrument.mel.num_samples
        self.sample_rate = instrument.sample_rate
        self.categories = instrument.categories
        self._decoder = jax.device_put(networks.lay_out_decoder(self.plan, instrument.tensors))
        self._inverter: Any = None  # the phase needs no weights
        if not self.plan.rounds:
            self._inverter = jax.device_put(heads.lay_out_mcnn(self.plan, instrument.tensors))
        self._encoder: Any = None

    def weights(self, category: Any, count: int) -> np.ndarray:
        """Category weights [count, k] of a name, an index, weights [k], a list or weights [b, k].

        Raises:
          ConfigError: an unknown name or index, weights that do not sum to 1, or not `count` rows.
        """
        one = np.ndim(category) == 0 or (np.ndim(category) == 1 and not _is_name(category[0]))
        rows = [category] if one else category
        if not one and len(rows) != count:
            raise ConfigError(f"There are {len(rows)} categories for {count} codes z.")
        if isinstance(rows, np.ndarray):
            return _checked_rows(rows.astype(np.float32), len(self.categories))
        weights = np.stack([category_weights(self.instrument, row) for row in rows])
        return np.tile(weights, (count, 1) if one else (1, 1)).astype(np.float32)

    def _codes(self, z: Any) -> np.ndarray:
        z = np.asarray(z, np.float32)
        wrong = z.shape[-1:] != (self.instrument.latents,) or z.ndim > 2 or not z.size
        if wrong or not np.max(np.abs(z)) <= FARTHEST:
            raise ConfigError(
                f"A code z must hold {self.instrument.latents} numbers within ±{FARTHEST:,.0f}, "
                f"not an array of {list(z.shape)} that reaches {np.max(np.abs(z), initial=0):g}."
            )
        return z

    def decode(self, z: Any, category: Any) -> np.ndarray:
        """Code z [d] or [b, d] -> linear mel [frames, mels] or [b, frames, mels].

        Raises:
          ConfigError: as `render`.
        """
        return self._in_buckets(self._decode_bucket, z, category)

    def render(self, z: Any, category: Any, full: bool = False) -> np.ndarray:
        """Code z -> finished sound.

        Args:
          z: [d] or [b, d], finite.
          category: a name, an index, weights [k] that sum to 1, or a list or rows of these.
          full: do not end sounds at their predicted end: longer ones, with what the networks
            put after it.

        Returns:
          float32 [samples] or [b, samples], the peak at -0.1 dBFS, zeros after the sound's end.
          The same call gives the same bytes on one machine; batches of other sizes agree within
          rounding.

        Raises:
          ConfigError: an unknown category, or a code of the wrong size.
        """
        return self._in_buckets(functools.partial(self._render_bucket, full=full), z, category)

    def _in_buckets(self, run: Any, z: Any, category: Any) -> np.ndarray:
        z = self._codes(z)
        rows = np.atleast_2d(z)
        made = _buckets(run, rows, self.weights(category, len(rows)))
        return made if z.ndim == 2 else made[0]

    def _decode_bucket(self, z: np.ndarray, weights: np.ndarray) -> np.ndarray:
        mel, _ = _decode(self.plan, self._decoder, z, weights)
        return np.asarray(mel)

    def _render_bucket(self, z: np.ndarray, weights: np.ndarray, full: bool) -> np.ndarray:
        mel, ends = _decode(self.plan, self._decoder, z, weights)
        frames = self.plan.frames
        if full:
            ends = np.full(len(z), frames, np.int32)
        else:
            frames = self.plan.length(int(np.max(ends)))
        return np.asarray(_vocode(self.plan, self._inverter, mel, ends, frames))

    def invert(self, mel: Any) -> np.ndarray:
        """What the inverter alone makes of mels: no end, no mask, no fade, no gain.

        Args:
          mel: linear, [frames, mels] or [b, frames, mels], of whole sounds.

        Returns:
          float32 [samples] or [b, samples].

        Raises:
          ConfigError: the mels have another shape than the instrument's, or are not finite.
        """
        mel = np.asarray(mel, np.float32)
        shape = (self.plan.frames, self.plan.mel.n_mels)
        if mel.shape[-2:] != shape or mel.ndim > 3 or not (mel.size and np.isfinite(mel).all()):
            raise ConfigError(f"A mel to invert must be {shape[0]} finite frames of {shape[1]}.")
        rows = mel.reshape(-1, *shape)
        blank = np.zeros((len(rows), 1), np.float32)
        made = _buckets(lambda m, _: np.asarray(_raw(self.plan, self._inverter, m)), rows, blank)
        return made if mel.ndim == 3 else made[0]

    def encode(self, audio: Any, category: Any, refine: int = 0) -> np.ndarray:
        """Find the codes of sounds.

        Args:
          audio: [samples] or [b, samples] at the instrument's rate.
          category: as for `render`.
          refine: gradient steps through the decoder that mend the encoder's guess; some tens of
            milliseconds each. `refine.STEPS` are enough.

        Returns:
          z [d] or [b, d].

        Raises:
          InstrumentError: the encoder's file is not beside the instrument.
          ConfigError: an unknown category, or a sound of the wrong length.
        """
        audio = np.asarray(audio, np.float32)
        wrong = audio.shape[-1:] != (self.samples,) or audio.ndim > 2 or not audio.size
        if wrong or not np.isfinite(audio).all():
            raise ConfigError(f"A sound to encode must be {self.samples} finite samples long.")
        if self._encoder is None:
            self._encoder = jax.device_put(self._load_encoder())
        rows = np.atleast_2d(audio)
        run = functools.partial(self._encode_bucket, steps=refine)
        z = _buckets(run, rows, self.weights(category, len(rows)))
        return z if audio.ndim == 2 else z[0]

    def _encode_bucket(self, audio: np.ndarray, weights: np.ndarray, steps: int) -> np.ndarray:
        z = _encode(self.plan, self._encoder, audio, weights)
        if steps:
            z = refining.refine(self.plan, self._decoder, audio, z, weights, steps)
        return np.asarray(z)

    def _load_encoder(self) -> Any:
        instrument = self.instrument
        if not instrument.has_encoder:
            if instrument.path is None:
                raise InstrumentError("This instrument was made without an encoder.")
            instrument = load_instrument(instrument.path, encoder=True)
        return networks.lay_out_encoder(self.plan, instrument.tensors)

    def warm_up(self, batches: Sequence[int] = (1,), lengths: Sequence[int] | None = None) -> None:
        """Compile (or fetch from the cache) these batch sizes at these lengths, all by default."""
        k = len(self.categories)
        for b in batches:
            z = np.zeros((b, self.instrument.latents), np.float32)
            mel, ends = _decode(self.plan, self._decoder, z, np.full((b, k), 1 / k, np.float32))
            for frames in self.plan.lengths if lengths is None else lengths:
                _vocode(self.plan, self._inverter, mel, ends, frames).block_until_ready()


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or np.ndim(value) > 0


def _checked_rows(weights: np.ndarray, k: int) -> np.ndarray:
    """Weights [b, k], each row of which sums to 1."""
    good = weights.ndim == 2 and weights.shape[1] == k and np.min(weights, initial=0) >= 0
    if not (good and np.allclose(weights.sum(1), 1, atol=1e-3)):
        raise ConfigError(f"Category weights must be rows of {k} numbers that sum to 1.")
    return weights


def _buckets(run: Any, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Run rows [b, ...] and weights [b, k] in batches of the sizes of `BATCHES`."""
    made, start = [], 0
    while start < len(rows):
        left = len(rows) - start
        size = next((b for b in BATCHES if b >= left), BATCHES[-1])
        n = min(size, left)
        pick = np.minimum(np.arange(start, start + size), start + n - 1)
        made.append(run(rows[pick], weights[pick])[:n])
        start += n
    return np.concatenate(made)


def _vocode_frames(plan: Plan, w: Any, mel: jax.Array, ends: jax.Array, frames: int) -> jax.Array:
    """The first `frames` of linear mels [b, frames, mels], ends [b] -> sounds [b, samples]."""
    alive = jnp.arange(frames)[None] < ends[:, None]
    # What comes after a sound's end must not reach back into it: batches differ in `frames`.
    mel = mel[:, :frames] * alive[..., None] if plan.rounds else mel[:, :frames]
    return finish.finish(plan, *_invert(plan, w, mel), ends)


def _invert(plan: Plan, w: Any, mel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Linear mel [b, frames, mels] -> (sound, logits of its mask), each [b, samples]."""
    if not plan.rounds:
        return heads.run_heads(plan, w, mel)
    sound = phase.invert(mel, plan.mel, plan.rounds)
    return sound, jnp.ones_like(sound)


def _invert_raw(plan: Plan, w: Any, mel: jax.Array) -> jax.Array:
    """Linear mel [b, frames, mels] -> what the inverter makes of it, to the last sample."""
    sound = _invert(plan, w, mel)[0][:, : plan.mel.num_samples]
    if plan.keep_audible:
        return keep_audible(sound, plan.mel.sample_rate, plan.mel.top)
    return sound


_decode = jax.jit(networks.decode, static_argnums=0)
_vocode = jax.jit(_vocode_frames, static_argnums=(0, 4))
_raw = jax.jit(_invert_raw, static_argnums=0)
_encode = jax.jit(networks.encode, static_argnums=0)
