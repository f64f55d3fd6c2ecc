"""What the tests of the studio's page share: what it must play, and a look at what it does play."""

import numpy as np

from drumjax.play.recipe import render
from drumjax.studio.spec import read_spec, sound_of

# Every start and stop of a voice, with its samples and its time.
SPY = """(() => {
    window.calls = [];
    for (const name of ['start', 'stop']) {
        const real = AudioBufferSourceNode.prototype[name];
        AudioBufferSourceNode.prototype[name] = function (when) {
            calls.push([name, Math.round(this.buffer.duration * 22050), when]);
            return real.call(this, when);
        };
    }
})()"""


def expected(studio, **spec):
    """What the library alone makes of a spec: [n], without the zeros at its end."""
    instrument = studio.player.instrument
    sound = sound_of(instrument, read_spec(spec, instrument))
    return np.trim_zeros(render(studio.player, sound, 22050), "b")
