"""Drums with a skin: kick, tom, snare, conga and bongo."""

import jax
import jax.numpy as jnp

from drumjax.synth import blocks
from drumjax.synth.blocks import Clock, Values

# Zeros of the Bessel functions J_mn over that of J_01: the partials of an ideal round membrane.
MEMBRANE = (1.0, 1.593, 2.136, 2.296, 2.653, 2.918, 3.156, 3.501, 3.600, 3.652)


def _skin(clock: Clock, p: Values, cycles, level, damping) -> jax.Array:
    """Membrane partials at `level` and falling; more `damping` shortens the high ones, [n]."""
    ratios = jnp.asarray(MEMBRANE)
    levels = jnp.where(ratios == 1.0, 1.0, level * ratios**-1.0)
    seconds = p["decay"] * ratios ** -(0.5 + 2.5 * damping)
    return blocks.modes(clock, cycles, p["pitch"], ratios, levels, seconds)


def _strike(clock: Clock, key, centre, seconds) -> jax.Array:
    """A short burst of noise around `centre` Hz: the beater, stick or hand on the skin, [n]."""
    noise = blocks.band_noise(clock, key, 0.5 * centre, 2 * centre, order=1)
    return noise * blocks.decay(clock.time, seconds)


def _ending(clock: Clock, p: Values, key, signal, seconds) -> jax.Array:
    """Saturate, add a little room, take off the top, end, [n]."""
    room_key, hiss_key = jax.random.split(key)
    space = 1.0 + p["room"] * blocks.room(clock, room_key, 0.6)
    response = space * blocks.low_pass(clock, p["low_pass"])
    return blocks.finish(clock, p, hiss_key, blocks.saturate(signal, p["drive"]), response, seconds)


def kick(clock: Clock, p: Values, key: jax.Array) -> jax.Array:
    """Swept sine with hold, click, beater noise and, for acoustic ones, membrane partials, [n]."""
    keys = jax.random.split(key, 3)
    cycles = blocks.swept_cycles(clock.time, p["pitch"], p["sweep"], p["sweep_time"])
    held = jnp.maximum(clock.time - p["hold"], 0.0)
    body = blocks.sine(cycles) * blocks.decay(held, p["decay"])
    skin = _skin(clock, {**p, "decay": 0.4 * p["decay"]}, cycles, 1.0, 0.3)
    click = _strike(clock, keys[0], p["click_centre"], 0.012)
    noise = blocks.band_noise(clock, keys[1], 150.0, 9000.0, order=1)
    noise = noise * blocks.decay(clock.time, 0.3 * p["decay"])
    signal = body + 0.4 * p["skin"] * skin + 2.0 * p["click"] ** 3 * click
    signal = signal + 0.4 * p["noise"] ** 3 * noise
    return _ending(clock, p, keys[2], signal, p["hold"] + p["decay"])


def tom(clock: Clock, p: Values, key: jax.Array) -> jax.Array:
    """Swept membrane partials with stick and skin noise, [n]."""
    keys = jax.random.split(key, 3)
    cycles = blocks.swept_cycles(clock.time, p["pitch"], p["sweep"], p["sweep_time"])
    body = _skin(clock, p, cycles, 0.8 * p["partials"], p["damping"])
    strike = _strike(clock, keys[0], p["strike_centre"], 0.03)
    noise = blocks.band_noise(clock, keys[1], 200.0, 6000.0, order=1)
    noise = noise * blocks.decay(clock.time, 0.5 * p["decay"])
    signal = body + (0.05 + 1.5 * p["strike"] ** 2) * strike + 0.5 * p["noise"] ** 3 * noise
    return _ending(clock, p, keys[2], signal, p["decay"])


def snare(clock: Clock, p: Values, key: jax.Array) -> jax.Array:
    """Two-to-ten-mode body under the noise of the wires, [n]."""
    keys = jax.random.split(key, 4)
    cycles = blocks.swept_cycles(clock.time, p["pitch"], p["sweep"], 0.012)
    body = _skin(clock, {**p, "decay": p["body_decay"]}, cycles, p["partials"], 0.3)
    bright = blocks.band_noise(clock, keys[0], p["wires_low"], p["wires_high"])
    dark = blocks.band_noise(clock, keys[3], 0.7 * p["wires_low"], 0.4 * p["wires_high"])
    wires = 0.7 * bright * blocks.decay(clock.time, 0.5 * p["wires_decay"])
    wires = wires + 0.3 * dark * blocks.decay(clock.time, p["wires_decay"])
    strike = _strike(clock, keys[1], 3000.0, 0.02)
    signal = (1 - 0.9 * p["wires"]) * body + 0.9 * p["wires"] ** 2 * wires
    signal = signal + (0.1 + p["strike"] ** 2) * strike
    heard = jnp.maximum(p["wires_decay"] * jnp.minimum(3 * p["wires"], 1.0), p["body_decay"])
    return _ending(clock, p, keys[2], signal, heard)


def hand_drum(clock: Clock, p: Values, key: jax.Array) -> jax.Array:
    """Conga or bongo, from the open tone (slap 0) to the slap (slap 1), [n]."""
    keys = jax.random.split(key, 3)
    slap = p["slap"] ** 4
    p = {**p, "decay": p["decay"] * (1 - 0.6 * slap)}
    cycles = blocks.swept_cycles(clock.time, p["pitch"], p["bend"], 0.02)
    open_tone = _skin(clock, p, cycles, 0.6 * p["partials"] ** 2, 0.2 + 0.8 * p["damping"])
    ratios = jnp.asarray(MEMBRANE) * 1.9
    seconds = 0.5 * p["decay"] * ratios**-0.5
    ring = blocks.modes(clock, cycles, p["pitch"], ratios, ratios**0.2, seconds)
    hand = _strike(clock, keys[0], p["noise_centre"], 0.05)
    shell = blocks.band_noise(clock, keys[1], 80.0, 400.0) * blocks.decay(clock.time, 0.08)
    signal = (1 - 0.8 * slap) * open_tone + 0.2 * slap * ring
    signal = signal + (0.03 + 0.5 * p["noise"] ** 3) * hand + 0.2 * p["shell"] ** 2 * shell
    return _ending(clock, p, keys[2], signal, p["decay"])
