"""What the tests of the studio's page share: what it must play, and a look at what it does play."""

import base64
import io
import json
import time

import numpy as np
import soundfile
from playing import burst

from drumjax.play.recipe import render
from drumjax.studio.spec import read_spec, sound_of

STATE = "JSON.parse(localStorage.getItem(Object.keys(localStorage)[0])).work"
SHOWN = "JSON.stringify([...drumjax.lastBuffer()])"
PIXELS = "[...document.querySelectorAll('#wave, #mel')].map((c) => c.toDataURL()).join()"
STATUS = "document.querySelector('#status .text').textContent"

# Every start and stop of a voice, with its samples and its time.
SPY = """(() => {
    if (window.calls) return calls.splice(0);
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


def shown(page):
    """The sound that the page shows: [n]."""
    return np.array(json.loads(page.run(SHOWN)), np.float32)


def changed(page, act):
    """Does something that must change the sound and its pictures; returns the new sound."""
    before = [page.run(SHOWN), page.run(PIXELS)]
    act()
    page.until(f"{SHOWN} !== {json.dumps(before[0])}")
    page.until(f"{PIXELS} !== {json.dumps(before[1])}")
    return shown(page)


def asked(page):
    """The selected pad of the session that the browser keeps."""
    page.run("dispatchEvent(new Event('pagehide'))")
    work = page.run(STATE)
    return work["pads"][work["selected"]]


def pads(page):
    """All pads of the session that the browser keeps."""
    asked(page)
    return page.run(STATE)["pads"]


def shows(page, sound):
    """Waits until the page shows these samples."""
    end = time.monotonic() + 15
    while len(got := shown(page)) != len(sound) or np.abs(got - sound).max() > 1e-6:
        assert time.monotonic() < end, (len(got), len(sound), page.run(STATUS))
        time.sleep(0.02)


def focus(page, selector):
    page.run(f"document.querySelector({selector!r}).focus()")


def drop(page, selector, name, content):
    """Drops a file on an element."""
    data = base64.b64encode(content).decode()
    page.run(
        "(() => { const transfer = new DataTransfer(); const bytes = "
        f"Uint8Array.from(atob('{data}'), (c) => c.charCodeAt(0)); "
        f"transfer.items.add(new File([bytes], '{name}')); "
        f"document.querySelector('{selector}').dispatchEvent(new DragEvent('drop', "
        "{dataTransfer: transfer, bubbles: true, cancelable: true})); })()"
    )


def wav():
    file = io.BytesIO()
    soundfile.write(file, burst(), 22050, "PCM_16", format="WAV")
    return file.getvalue()


def downloaded(page, name):
    """The bytes of a file, when it has come whole."""
    path = page.downloads / name
    end = time.monotonic() + 15
    while not path.is_file():
        assert time.monotonic() < end, list(page.downloads.iterdir())
        time.sleep(0.02)
    return path.read_bytes()
