"""From the networks' raw sound to one that plays: filtered, gated, no DC, no clipping."""

import math

import jax
import jax.numpy as jnp

from drumjax.audio.filters import keep_audible
from drumjax.audio.levels import CEILING
from drumjax.play.plan import Plan

FADE = 1024  # samples before a sound's end, 46 ms at 22,050 Hz
MOST_GAIN = 4.0  # 12 dB: near silence stays quiet


def finish(plan: Plan, sound: jax.Array, logits: jax.Array, ends: jax.Array) -> jax.Array:
    """Finish raw sounds.

    In this order: end the sound where it is predicted to end, or where the mask does if that is
    earlier, with a fade; keep what is audible; fade again, as the filter rings; take the mean away
    where there is sound; bring the peak to -0.1 dBFS, as the training sounds' peaks are all alike.

    Differs from the paper: it multiplies by the binarised mask, sample by sample. The mask is
    taught to be on until the last sample and off after it, so that its last sample is all it says;
    where a trained one flickers before that, it would cut clicks into the sound. The fade before
    the filter keeps the residue at 0 Hz and at half the sample rate, which the mel does not see,
    from ending in a click that no filter takes away.

    Args:
      plan: of the instrument.
      sound, logits: [b, any length], see `heads.run_heads`.
      ends: the sounds' lengths in frames [b].

    Returns:
      [b, samples]; finite if the networks' sound is.
    """
    n = plan.mel.num_samples
    pad = ((0, 0), (0, max(0, n - sound.shape[1])))
    sound, logits = (jnp.pad(a, pad)[:, :n] for a in (sound, logits))
    level = math.log(plan.mask_threshold / (1.0 - plan.mask_threshold))  # of the logits
    last = jnp.max(jnp.where(logits > level, jnp.arange(1, n + 1)[None], 0), axis=-1)
    window = fade_out(jnp.minimum(ends * plan.mel.hop_length, last), n)
    if plan.keep_audible:
        sound = keep_audible(sound * window, plan.mel.sample_rate, plan.mel.top)
    sound = sound * window
    mean = sound.sum(-1, keepdims=True) / jnp.maximum(window.sum(-1, keepdims=True), 1.0)
    sound = sound - window * mean
    loudest = jnp.abs(sound).max(-1, keepdims=True)
    return sound * jnp.minimum(MOST_GAIN, CEILING / jnp.maximum(loudest, 1e-9))


def fade_out(ends: jax.Array, samples: int) -> jax.Array:
    """Windows [b, samples]: 1, the cubic smooth step over `FADE` before each end [b], then 0.

    The fade of a very short sound is a quarter of it.
    """
    length = jnp.clip(ends / 4, 1, FADE)[:, None]
    left = jnp.clip((ends[:, None] - jnp.arange(samples)[None]) / length, 0.0, 1.0)
    return left * left * (3.0 - 2.0 * left)
