"""The parts of the studio's page, each by itself: its clock, its ears, its wire, its eyes."""

import re

import librosa
import numpy as np
import pytest
from studio_page import SPY, expected

from drumjax.benchmarks import chromium
from drumjax.studio import static


@pytest.fixture(scope="module")
def page(studio_server):
    """The page, whose modules are imported one by one."""
    if chromium.found() is None:
        pytest.skip("there is no Chromium")
    with chromium.chromium() as page:
        page.open(f"http://{studio_server.host}/")
        page.run("drumjax.ready")
        yield page


def test_steps_fall_where_tempo_and_swing_put_them(page):
    times = page.run("""(async () => {
        const { Sequencer } = await import('./sequencer.js');
        const hits = [];
        const rows = [Array(16).fill(0).with(0, 1).with(1, 2).with(3, 1)];
        const beat = { rows, tempo: 120, swing: 100, humanise: 0 };
        let now = 10;
        const clock = new Sequencer({ now: () => now, beat: () => beat, show() {}, cancel() {},
            hit: (row, take, when, velocity) => hits.push([when - 10.06, velocity]) });
        clock.start();
        while (now < 12) {
            now += 0.1;
            await new Promise((resolve) => setTimeout(resolve, 30));
            if (hits.length > 3) break;
        }
        clock.stop();
        return hits;
    })()""")
    # A step of 120 a minute is 1/8 s; in full swing, every second one is a third of it late.
    want = [[0, 0.72], [(1 + 1 / 3) / 8, 1], [(3 + 1 / 3) / 8, 0.72]]
    np.testing.assert_allclose(times[:3], want, atol=1e-9)


def test_humanised_takes_differ_a_little_and_stray_within_limits(page):
    takes, none, strays = page.run("""(async () => {
        const { stray, takesOf } = await import('./humanise.js');
        const { newPad } = await import('./model.js');
        const pad = { ...newPad('kick'), alphas: [0.9, 0, 0], range: 2 };
        return [takesOf(pad, 100), takesOf(pad, 0),
            Array.from({ length: 500 }, () => stray(50))];
    })()""")
    assert len(none) == 1
    assert takes[0] == none[0]
    alphas = np.array([take["alphas"] for take in takes])
    assert len({tuple(a) for a in alphas}) == 3
    assert np.abs(alphas).max() <= 1
    assert np.abs(2 * (alphas - alphas[0])).max() <= 0.5  # standard deviations
    late = np.array([s["late"] for s in strays])
    assert 0.002 < np.abs(late).max() <= 0.007
    assert {s["take"] for s in strays} == {0, 1, 2}


def test_a_closed_hat_chokes_open_ones_and_a_pad_itself(page):
    page.run(SPY)
    stops = page.run("""(async () => {
        const { Output } = await import('./audio.js');
        const output = new Output(22050);
        const sound = (n) => output.buffer(new Float32Array(n), 22050);
        const now = output.wake().currentTime;
        const play = (n, category, group, when) =>
            output.play(sound(n), { when: now + when, category, group });
        play(30001, 'open_hat', 'pad 1', 1);
        play(30002, 'kick', 'pad 2', 1);
        play(30003, 'open_hat', 'pad 3', 2);
        play(30004, 'closed_hat', 'pad 4', 2);
        play(30005, 'kick', 'pad 2', 3);
        return calls.filter(([name]) => name === 'stop').map(([, n, when]) => [n, when - now]);
    })()""")
    # What starts together rings together; a choked voice ends within 8 ms.
    assert [n for n, _ in stops] == [30001, 30002]
    np.testing.assert_allclose([when for _, when in stops], [2.008, 3.008], atol=1e-6)


def test_what_is_taken_back_ends_nothing(page):
    page.run(SPY)
    calls = page.run("""(async () => {
        const { Output } = await import('./audio.js');
        const output = new Output(22050);
        const context = output.wake();
        while (context.currentTime === 0) await new Promise((resolve) => setTimeout(resolve, 10));
        const sound = output.buffer(new Float32Array(44100), 22050);
        const how = { category: 'kick', group: 'pad 1' };
        output.play(sound, how);
        const began = calls.at(-1)[2];
        output.play(sound, { ...how, when: began + 1 });
        await new Promise((resolve) => setTimeout(resolve, 100));
        output.cancel();
        return calls.map(([name, , when]) => [name, when - began]);
    })()""")
    assert [name for name, _ in calls] == ["start", "stop", "start", "stop"]
    np.testing.assert_allclose([when for _, when in calls], [0, 1.008, 1, 2], atol=1e-6)


def test_of_a_channel_the_newest_request_wins_and_what_flew_is_sent_again(page, studio):
    lengths, links = page.run("""(async () => {
        const { SocketRenderer } = await import('./renderer.js');
        const links = [];
        const Real = window.WebSocket;
        let socket;
        window.WebSocket = class extends Real {
            constructor(...of) { super(...of); socket = this; }
        };
        const renderer = new SocketRenderer((link) => links.push(link));
        await renderer.render({ category: 'kick' }, 'a');
        const of = (seed, channel) => renderer.render({ category: 'kick', seed }, channel);
        const all = [of(1, 'a'), of(2, 'a'), of(3, 'a'), of(4, 'b')];
        socket.close();
        all.push(of(5, 'a'));
        const answers = await Promise.all(all);
        const wrong = await renderer.render({ category: 'gong' }, 'a').catch((e) => e.message);
        socket.close();
        window.WebSocket = Real;
        return [[...answers.map((a) => a && [...a.samples]), wrong], links];
    })()""")
    *answers, wrong = lengths
    assert answers[:3] == [None, None, None]
    for got, seed in zip(answers[3:], (4, 5), strict=True):
        np.testing.assert_allclose(got, expected(studio, category="kick", seed=seed), atol=1e-6)
    assert "gong" in wrong
    assert links[:2] == ["connecting", "connected"]
    assert links[2] == "lost"
    assert "connected" in links[3:]


# A bank of three pads over a server that answers at once; move() moves the first.
BANK = """
    const { Bank } = await import('./bank.js');
    const { Sounds } = await import('./sounds.js');
    const { newPad, specOf } = await import('./model.js');
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const asked = [];
    const render = async (spec) => {
        asked.push(spec);
        return { samples: new Float32Array(1), sampleRate: 22050 };
    };
    const sounds = new Sounds({ render }, { buffer: () => ({}) });
    const rows = [[1], [0], [0]];
    const pads = ['kick', 'snare', 'clap'].map((name) => newPad(name));
    const store = { work: { pads, beat: { rows, humanise: 30 }, selected: 0 } };
    const bank = new Bank({ store, sounds });
    const move = (alpha) => {
        const pad = { ...store.work.pads[0], alphas: [alpha, 0, 0] };
        store.work = { ...store.work, pads: store.work.pads.with(0, pad) };
        bank.follow();
        return specOf(pad);
    };
"""


def test_pads_keep_their_sounds_through_a_long_drag(page):
    others = page.run(f"""(async () => {{
        {BANK}
        bank.follow();
        while (asked.length < 5) await wait(5);
        await wait(50);
        for (let i = 1; i <= 600; i++) await sounds.get(move(i / 1000), 'main');
        return asked.map((spec) => spec.category).filter((category) => category !== 'kick');
    }})()""")
    assert others == ["snare", "clap"]  # once each


def test_while_a_hand_moves_a_pad_the_background_makes_the_others_sounds_alone(page):
    during, after = page.run(f"""(async () => {{
        {BANK}
        for (let i = 0; i < 20; i++) {{
            move(i / 20);
            await wait(20);
        }}
        const during = asked.splice(0);
        while (asked.length < 3) await wait(5);
        await wait(50);
        return [during, asked];
    }})()""")
    assert during == [{"category": "snare"}, {"category": "clap"}]
    assert [spec["category"] for spec in after] == ["kick"] * 3  # it and its two takes
    assert after[0]["alphas"] == [0.95, 0, 0]


def test_a_beat_plays_a_pad_that_is_being_moved(page):
    found = page.run(f"""(async () => {{
        {BANK}
        const sound = await sounds.get(move(0.1), 'main');
        bank.heard(0, sound);
        move(0.2); // its sound is yet to come
        const moved = [0, 1, 2].map((take) => bank.take(0, take) === sound);
        const newer = await sounds.get(move(0.3), 'main');
        const ready = bank.take(0, 0) === newer;
        move(0.4);
        return [...moved, ready, bank.take(0, 1) === newer];
    }})()""")
    assert found == [True] * 5


def test_a_refused_sound_is_asked_for_again_when_the_server_is_back(page):
    asked = page.run(f"""(async () => {{
        {BANK}
        sounds.renderer.render = async (spec) => {{
            asked.push(spec.category);
            throw new Error('no');
        }};
        bank.follow();
        await wait(400);
        bank.follow();
        await wait(400);
        const once = asked.splice(0);
        bank.retry();
        await wait(400);
        return [once, asked];
    }})()""")
    assert [sorted(times) for times in asked] == [["clap", "kick", "kick", "kick", "snare"]] * 2


def test_a_drag_silences_no_hit_of_the_beat(page):
    page.run("""(() => {
        window.starts = 0;
        const start = AudioBufferSourceNode.prototype.start;
        AudioBufferSourceNode.prototype.start = function (when) {
            if (when > this.context.currentTime) starts++; // of the beat; others start at once
            return start.call(this, when);
        };
        const send = WebSocket.prototype.send;
        window.held = null; // what the server is asked for while it is slow
        WebSocket.prototype.send = function (text) {
            if (held) held.push(() => send.call(this, text));
            else send.call(this, text);
        };
    })()""")
    page.click("#clear")
    page.click(".line:nth-child(1) .cell:nth-child(4)")
    page.click("#autoplay")
    page.until("drumjax.renders >= 18")  # sixteen pads, and takes of the first
    page.run("held = []")
    x, y = page.place("#pad")
    page.mouse("Pressed", x, y)
    page.mouse("Moved", x + 50, y)
    page.until("held.length > 0")
    page.key("p")
    page.until("drumjax.hits >= 2")
    page.key("p")
    page.mouse("Released", x, y)
    starts = page.run("starts")
    page.run("held.forEach((send) => send()), held = null, 0")
    assert starts == page.run("drumjax.hits")


def test_spectrum_and_filters_against_numpy_and_librosa(page):
    x = np.round(np.random.default_rng(0).standard_normal(700), 4)
    spectra, filters = page.run(f"""(async () => {{
        const {{ powers, melFilters }} = await import('./fft.js');
        const x = new Float32Array({x.tolist()});
        const rows = melFilters(40, 512, 22050, 0).map(({{ first, weights }}) =>
            [...Array(first).fill(0), ...weights]);
        return [powers(x, 300, -112, 512).map((bins) => [...bins]), rows];
    }})()""")
    frames = np.zeros((2, 512))
    frames[0, :400] = x[300:]  # ends within the frame
    frames[1, 112:] = x[:400]  # begins within it
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    np.testing.assert_allclose(
        spectra, np.abs(np.fft.rfft(frames * hann)) ** 2, rtol=1e-3, atol=0.01
    )
    got = np.array([np.pad(row, (0, 257 - len(row))) for row in filters])
    want = librosa.filters.mel(sr=22050, n_fft=512, n_mels=40, fmin=0)
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("count", [1, 6, 7])
def test_columns_of_the_picture_against_numpy(page, count):
    x = np.round(np.random.default_rng(1).standard_normal(100 * (count - 1)), 4)
    got = page.run(f"""(async () => {{
        const {{ logMel, melFilters }} = await import('./fft.js');
        const how = {{ size: 512, hop: 100, mels: 40, sampleRate: 22050 }};
        const columns = logMel(new Float32Array({x.tolist()}), how);
        const rows = melFilters(40, 512, 22050).map(({{ first, weights }}) =>
            [...Array(first).fill(0), ...weights]);
        return [columns.map((column) => [...column]), rows];
    }})()""")
    padded = np.pad(x, (256, 512))
    frames = np.stack([padded[100 * i : 100 * i + 512] for i in range(count)])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    filters = np.array([np.pad(row, (0, 257 - len(row))) for row in got[1]])
    mel = np.abs(np.fft.rfft(frames * hann)) ** 2 @ filters.T
    np.testing.assert_allclose(got[0], 10 * np.log10(mel + 1e-12), atol=0.01)


def luminance(colour):
    """WCAG 2.2's relative luminance of #rrggbb."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast(theme):
    assert contrast("#000000", "#ffffff") == 21
    style = (static.WEB / "style.css").read_text()
    pairs = dict(
        (name, colours)
        for name, *colours in re.findall(r"--([a-z-]+): light-dark\((#\w{6}), (#\w{6})\)", style)
    )
    colours = {name: pair[theme] for name, pair in pairs.items()}
    grounds = ("ground", "panel", "raised", "raised-hover", "well")
    text = [(ink, on) for ink in ("text", "muted") for on in grounds]
    text += [("accent", "ground"), ("accent", "panel"), ("bad", "ground"), ("on-accent", "accent")]
    low = {pair: contrast(*(colours[name] for name in pair)) for pair in text}
    assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}
    edges = [(ink, on) for ink in ("edge", "focus", "accent") for on in ("ground", "panel")]
    low = {pair: contrast(*(colours[name] for name in pair)) for pair in edges}
    assert {pair: ratio for pair, ratio in low.items() if ratio < 3} == {}


def test_the_page_names_nothing_outside():
    for path in static.WEB.iterdir():
        text = path.read_text()
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == [], path.name
        assert not re.search(r"\son\w+=|style=\"|<script(?![^>]*\bsrc=)", text), path.name
