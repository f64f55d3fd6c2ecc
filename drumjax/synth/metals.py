"""Drums of metal: closed and open hat, tambourine."""

import jax
import jax.numpy as jnp

from drumjax.synth import blocks
from drumjax.synth.blocks import Clock, Values

# Six inharmonic oscillators over the lowest one, after the hat circuit of the TR-808.
HAT_RATIOS = (1.0, 1.483, 1.800, 2.546, 2.630, 3.897)
JINGLES = 24
HITS = 8


def hat(clock: Clock, p: Values, key: jax.Array) -> jax.Array:
    """Six square oscillators and noise, both high-passed, with a sharp and a slow decay, [n]."""
    keys = jax.random.split(key, 5)
    pitches = p["pitch"] * jnp.asarray(HAT_RATIOS) ** p["spread"]
    starts = jax.random.uniform(keys[0], (len(HAT_RATIOS),))
    metal = jnp.sum(jax.vmap(lambda f, s: blocks.square(clock, f, s))(pitches, starts), 0)
    noise = blocks.band_noise(clock, keys[1], 0.4 * p["centre"], 1.8 * p["centre"], order=1)
    cut = blocks.high_pass(clock, p["high_pass"]) ** 3
    knock = blocks.sine(p["knock_pitch"] * clock.time) * blocks.decay(clock.time, 0.08)
    metal = 0.4 * metal
    slow = blocks.decay(clock.time, p["decay"])
    sharp = blocks.decay(clock.time, 0.3 * p["decay"])
    strike = blocks.band_noise(clock, keys[2], 2000.0, 10000.0) * blocks.decay(clock.time, 0.015)
    signal = (1 - p["noise"]) * metal + p["noise"] * noise
    signal = blocks.filtered(clock, signal, cut) * (slow + 3 * p["splash"] ** 2 * sharp)
    signal = signal + 2 * p["strike"] ** 2 * strike + 1.2 * p["knock"] ** 3 * knock
    signal = blocks.saturate(signal, p["drive"])
    response = 1 + p["room"] * blocks.room(clock, keys[3], 0.6, 8000.0)
    response = response * blocks.low_pass(clock, p["low_pass"])
    return blocks.finish(clock, p, keys[4], signal, response, 1.3 * p["decay"])


def tambourine(clock: Clock, p: Values, key: jax.Array) -> jax.Array:
    """Jingles (many high partials) struck by a cluster of hits, over a skin, [n]."""
    keys = jax.random.split(key, 7)
    places = jax.random.uniform(keys[0], (JINGLES,))
    pitches = p["pitch"] * p["spread"] ** places  # [m]
    audible = pitches < 0.49 * clock.sample_rate
    seconds = p["ring"] * jax.random.uniform(keys[1], (JINGLES,), minval=0.4)
    hits = jax.random.uniform(keys[2], (HITS,)) ** 2 * p["rattle"]
    hits = hits.at[0].set(0.0)
    strengths = jax.random.uniform(keys[3], (JINGLES, HITS)) ** (1 + 3 * p["scatter"])
    strengths = strengths * jnp.exp(-hits / p["rattle"])[None, :] * audible[:, None]
    since = clock.time[None, :] - hits[:, None]  # [h, n]
    per_jingle = jax.vmap(lambda s, t: s @ blocks.decay(since, t))(strengths, seconds)  # [m, n]
    tones = blocks.sine(pitches[:, None] * clock.time[None, :] + places[:, None])
    ringing = jnp.sum(per_jingle * tones, 0)
    hiss = blocks.band_noise(clock, keys[4], p["pitch"], 2.2 * p["pitch"])
    hiss = hiss * jnp.mean(per_jingle, 0)
    skin = blocks.sine(p["skin_pitch"] * clock.time) * blocks.decay(clock.time, 0.09)
    signal = ringing + 5 * p["noise"] ** 2 * hiss + 3 * p["skin"] ** 2 * skin
    response = blocks.low_pass(clock, p["low_pass"])
    response = response * (1 + p["room"] * blocks.room(clock, keys[5], 0.3, 8000.0))
    return blocks.finish(clock, p, keys[6], signal, response, p["ring"] + p["rattle"])
