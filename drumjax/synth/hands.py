"""Sounds of hands and grains: clap, snap and shaker."""

import jax
import jax.numpy as jnp

from drumjax.synth import blocks
from drumjax.synth.blocks import Clock, Values

MAX_BURSTS = 5


def clap(clock: Clock, p: Values, key: jax.Array) -> jax.Array:
    """Three to five bursts of noise, then a diffuse tail that starts with the last one, [n]."""
    keys = jax.random.split(key, 6)
    count = jnp.round(p["bursts"])
    order = jnp.arange(MAX_BURSTS, dtype=jnp.float32)
    jitter = p["jitter"] * jax.random.uniform(keys[0], (MAX_BURSTS,), minval=-1.0)
    starts = p["spacing"] * jnp.where(order == 0, 0.0, order + jitter)  # [b]
    sounding = order < count
    strengths = 1 - 0.7 * p["unevenness"] * jax.random.uniform(keys[4], (MAX_BURSTS,))
    strengths = jnp.where(sounding, strengths, 0.0)
    since = clock.time[None, :] - starts[:, None]  # [b, n]
    hits = strengths[:, None] * blocks.decay(since, p["burst_decay"][None, None])
    last = jnp.max(jnp.where(sounding, starts, 0.0))
    tail = blocks.decay(clock.time - last, p["decay"])
    envelope = jnp.max(hits, 0) + 0.5 * p["tail"] ** 2 * tail
    spread = jnp.exp2(p["width"])
    palm = blocks.band_noise(clock, keys[1], p["centre"] / spread, p["centre"] * spread)
    air = blocks.band_noise(clock, keys[2], 3000.0, 14000.0)
    signal = blocks.saturate((palm + p["air"] ** 2 * air) * envelope, p["drive"])
    response = blocks.low_pass(clock, p["low_pass"])
    response = response * (1 + p["room"] * blocks.room(clock, keys[3], p["decay"]))
    return blocks.finish(clock, p, keys[5], signal, response, last + p["decay"])


def snap(clock: Clock, p: Values, key: jax.Array) -> jax.Array:
    """A finger on the palm: one short and one weaker burst, two resonances, a small room, [n]."""
    keys = jax.random.split(key, 3)
    noise = blocks.band_noise(clock, keys[0], 500.0, 12000.0, order=1)
    envelope = blocks.decay(clock.time - p["gap"], p["decay"])
    envelope = envelope + 0.8 * p["second"] * blocks.decay(clock.time, 0.5 * p["decay"])
    envelope = envelope + 0.1 * blocks.decay(clock.time, 0.01)
    quality = 1.5 + 8 * p["resonance"]
    tone = blocks.band_pass(clock, p["centre"], quality)
    tone = tone + 0.5 * blocks.band_pass(clock, p["centre"] * p["ratio"], quality)
    tone = tone + 0.6 * p["body"] * blocks.band_pass(clock, 0.4 * p["centre"], 2.0)
    response = (tone + 0.6 * p["click"]) * blocks.low_pass(clock, p["low_pass"])
    space = blocks.room(clock, keys[1], p["room_decay"], 9000.0)
    response = response * (1 + p["room"] * space)
    return blocks.finish(clock, p, keys[2], noise * envelope, response, p["gap"] + p["room_decay"])


def shaker(clock: Clock, p: Values, key: jax.Array) -> jax.Array:
    """Grains that swell and die away, once or twice, through a resonant shell, [n]."""
    keys = jax.random.split(key, 4)
    chance = jnp.minimum(p["density"] / clock.sample_rate, 1.0)
    struck = jax.random.uniform(keys[0], (clock.num_samples,)) < chance
    grains = jax.random.normal(keys[1], (clock.num_samples,)) * (struck | (clock.time < 0.001))
    second = p["second"] ** 2
    envelope = _swell(clock.time, p) + second * _swell(clock.time - p["gap"], p)
    shell = blocks.band_pass(clock, p["centre"], 1.0 / p["width"])
    shell = shell + 0.3 * p["body"] * blocks.band_pass(clock, 0.45 * p["centre"], 3.0)
    response = shell * blocks.low_pass(clock, p["low_pass"])
    response = response * (1 + p["room"] * blocks.room(clock, keys[2], 0.25, 9000.0))
    response = response * blocks.high_pass(clock, 1500.0)
    seconds = p["attack"] + p["decay"] + jnp.minimum(2 * second, 1.0) * p["gap"]
    return blocks.finish(clock, p, keys[3], grains * envelope, response, seconds)


def _swell(time: jax.Array, p: Values) -> jax.Array:
    rise = jnp.clip(time / p["attack"], 0.0, 1.0)
    return (0.03 + 0.97 * rise) * blocks.decay(jnp.where(time < 0, -1.0, time), p["decay"])
