"""The studio's page in a real browser, against the real server: what is heard, seen and written."""

import io
import json
import re
import time
import zipfile
from pathlib import Path

import numpy as np
import soundfile
from studio_page import (
    SPY,
    STATE,
    STATUS,
    asked,
    changed,
    downloaded,
    drop,
    expected,
    focus,
    shown,
    shows,
    wav,
)

# What changes the sound


def test_a_drag_on_the_pad_gives_the_sound_of_that_point(page, studio):
    points = [page.place("#pad", across, 0.25) for across in (0.5, 0.6, 0.7, 0.75)]
    changed(page, lambda: page.drag(*points))
    x, y, fine = asked(page)["alphas"]
    assert abs(x - 0.5) < 0.02
    assert abs(y - 0.5) < 0.02
    assert fine == 0
    shows(page, expected(studio, category="kick", alphas=[x, y, 0]))
    latency = page.run("drumjax.latency()")
    assert 0 < len(latency) <= page.run("drumjax.renders")
    assert all(0 < milliseconds < 10_000 for milliseconds in latency)


def test_a_move_on_the_pad_does_not_wait_for_a_frame(page):
    page.run("""(() => {
        window.seen = [];
        const real = WebSocket.prototype.send;
        WebSocket.prototype.send = function (text) {
            seen.push([window.event?.type, JSON.parse(text).spec.alphas[0]]);
            return real.call(this, text);
        };
    })()""")
    page.mouse("Pressed", *page.place("#pad", 0.5, 0.25))
    page.until("drumjax.latency().length === 1", 10)
    for across in (0.6, 0.7, 0.75):
        page.mouse("Moved", *page.place("#pad", across, 0.25))
    page.mouse("Released", *page.place("#pad", 0.75, 0.25))
    page.until("Math.abs(seen.at(-1)[1] - 0.5) < 0.02", 10)
    kind, x = page.run("seen[1]")
    assert kind == "pointerrawupdate"
    assert abs(x - 0.2) < 0.02


def test_every_control_changes_sound_and_picture(page):
    page.click("#pad", 0.8, 0.3)
    sliders = page.run("[...document.querySelectorAll('.slider input')].map((e) => '#' + e.id)")
    assert len(sliders) >= 6
    actions = {
        "Fine": lambda: page.click("#fine", 0.5, 0.1),
        "range": lambda: page.click("#range label:nth-child(4)"),
        "seed": lambda: page.click("#seed-up"),
        "dice": lambda: page.click("#dice"),
        "mean": lambda: page.click("#mean"),
        "centre": lambda: page.click("#centre"),
        "category": lambda: (focus(page, "#category"), page.key("ArrowDown")),
        "blend": lambda: (focus(page, "#blend"), page.key("ArrowDown")),
        "share": lambda: page.click("#share", 0.8),
        **{s: lambda s=s: page.click(s, 0.4) for s in sliders},
        "reverse": lambda: page.click("#reverse"),
        "no shape": lambda: page.click("#reset-shape"),
        "no character": lambda: page.click("#reset-attributes"),
        "crop": lambda: page.drag(page.place(".handle.left"), page.place("#scope", 0.2)),
        "crop's end": lambda: page.drag(page.place(".handle.right"), page.place("#scope", 0.4)),
        "undo": lambda: page.click("#undo"),
        "redo": lambda: page.click("#redo"),
    }
    for name, act in actions.items():
        try:
            changed(page, act)
        except AssertionError as error:
            raise AssertionError(f"{name} changes nothing: {page.run(STATUS)}") from error


def test_undo_and_redo_restore_and_a_drag_is_one_step(page, studio):
    first = shown(page)
    second = changed(page, lambda: page.key("n"))
    changed(page, lambda: page.drag(*(page.place("#pad", x / 20) for x in range(4, 9))))
    pad = asked(page)
    third = expected(studio, category="kick", seed=pad["seed"], alphas=pad["alphas"])
    shows(page, third)
    for control, shift, sound in ((1, 0, second), (1, 0, first), (1, 1, second), (1, 1, third)):
        page.key("z", shift=shift, control=control)
        shows(page, sound)
    page.until("document.querySelector('#redo').ariaDisabled === 'true'")


def test_the_session_outlives_a_reload(page, studio):
    changed(page, lambda: page.click("#pad", 0.9, 0.9))
    alphas = asked(page)["alphas"]
    page.call("Page.reload")
    page.until("document.readyState === 'complete' && typeof drumjax === 'object'")
    page.run("drumjax.ready")
    shows(page, expected(studio, category="kick", alphas=alphas))


# The keyboard alone


def test_tab_reaches_every_control_and_each_has_a_name(page):
    page.run("document.activeElement.blur()")
    stops = []
    for _ in range(120):
        page.key("Tab")
        stop = page.run("document.activeElement.id || document.activeElement.className")
        if not stop:  # the page's end
            break
        stops.append(stop)
    visible = page.run(
        "[...document.querySelectorAll('button[id], select[id], input[id]')]"
        ".filter((e) => !['file', 'radio'].includes(e.type))"
        ".filter((e) => !e.disabled && (e.offsetParent || e.closest('.hidden')) "
        "&& !e.closest('[hidden], dialog')).map((e) => e.id)"
    )
    assert set(visible) <= set(stops)
    assert {"padkey", "cell quarter"} <= set(stops)
    order = [stops.index(s) for s in ("category", "pad-x", "pad-y", "fine", "crop-start", "tempo")]
    assert order == sorted(order)
    roles = ("button", "slider", "combobox", "checkbox", "radio", "spinbutton", "textbox")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    controls = [n for n in nodes if n.get("role", {}).get("value") in roles]
    assert len(controls) > 100
    assert [n for n in controls if not n["name"].get("value")] == []


def test_arrow_keys_move_the_point_finely_with_shift_and_home_it(page, studio):
    focus(page, "#pad-x")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowUp"):
        changed(page, lambda key=key: page.key(key))
    page.key("ArrowLeft", shift=True)
    assert asked(page)["alphas"] == [0.09, 0.15, 0]
    shows(page, expected(studio, category="kick", alphas=[0.09, 0.15, 0]))
    changed(page, lambda: page.key("Home"))
    assert asked(page)["alphas"] == [0, 0, 0]
    focus(page, "#fine")
    changed(page, lambda: page.key("ArrowUp"))
    assert asked(page)["alphas"][2] == 0.01
    changed(page, lambda: page.key("Delete"))
    assert asked(page)["alphas"][2] == 0


def test_keys_play_pads_seeds_and_locks(page, studio):
    changed(page, lambda: page.key("2"))
    shows(page, expected(studio, category="snare"))
    changed(page, lambda: page.key("]"))
    assert asked(page)["seed"] == 1
    shows(page, expected(studio, category="snare", seed=1))
    changed(page, lambda: page.key("m"))
    assert asked(page)["seed"] == 0
    page.key("l")
    assert asked(page)["locked"]
    page.key("?", shift=True)
    assert page.run("document.querySelector('#help-dialog').open")
    page.key("1")  # a dialog keeps its keys
    page.key("Escape")
    assert not page.run("document.querySelector('#help-dialog').open")
    assert asked(page)["category"] == "snare"
    focus(page, ".padcell.selected .padkey")
    changed(page, lambda: page.key("ArrowLeft"))
    assert asked(page)["category"] == "kick"
    focus(page, "#seed")
    page.key("2")  # typed, not played
    assert asked(page)["category"] == "kick"


def test_crop_by_keys_and_back(page):
    whole = shown(page)
    focus(page, "#crop-start")
    for _ in range(3):
        page.key("ArrowRight")
    page.until(f"drumjax.lastBuffer().length === {len(whole) - round(0.003 * 22050)}")
    page.key("Delete")
    shows(page, whole)


# Pads


def test_locked_pads_keep_their_sounds(page):
    page.key("l")
    before = page.run(STATE + ".pads") if asked(page) else None
    page.click("#reroll-all")
    asked(page)
    after = page.run(STATE + ".pads")
    assert after[0] == before[0]
    assert all(a["seed"] != b["seed"] for a, b in zip(after[1:], before[1:], strict=True))
    page.run("document.querySelector('.padcell:nth-child(3) .tools button').click()")
    asked(page)
    again = page.run(STATE + ".pads")
    assert [a != b for a, b in zip(again, after, strict=True)] == [i == 2 for i in range(16)]


def test_eight_pads(page):
    count = "[...document.querySelectorAll('.padkey')].filter((e) => e.offsetParent).length"
    assert page.run(count) == 16
    page.click("#eight")
    page.until(f"{count} === 8")
    page.key("a")  # the ninth pad's key
    assert asked(page)["category"] == "kick"


# Sounds of one's own


def test_a_dropped_file_is_encoded_and_varied(page, studio):
    changed(page, lambda: drop(page, ".padcell:nth-child(5)", "My Clap.wav", wav()))
    pad = asked(page)
    assert pad["category"] == "clap"
    assert len(pad["z"]) == 4
    shows(page, expected(studio, category="clap", z=pad["z"]))
    assert page.run("document.querySelector('.padcell:nth-child(5) .name').textContent") == (
        "My Clap"
    )
    changed(page, lambda: page.click("#amount", 0.6))
    pad = asked(page)
    assert 0.4 < pad["amount"] < 0.8
    spec = {key: pad[key] for key in ("category", "z", "seed", "amount")}
    shows(page, expected(studio, **spec))


def test_a_file_is_chosen_by_button_and_a_bad_one_is_told_of(page, tmp_path):
    (tmp_path / "own snare.wav").write_bytes(wav())
    (tmp_path / "words.wav").write_bytes(b"no sound")
    changed(page, lambda: page.files("#file", tmp_path / "own snare.wav"))
    assert asked(page)["category"] == "snare"
    page.files("#file", tmp_path / "words.wav")
    page.until(f"{STATUS}.includes('words.wav') && !{STATUS}.includes('Listening')")
    assert page.run("document.querySelector('#status').dataset.kind") == "error"
    assert page.errors.pop().startswith("Failed to load resource")  # the 400 itself


# What is played


def test_space_plays_and_so_does_every_change_unless_it_must_not(page):
    page.run(SPY)
    page.key(" ")
    page.until("calls.length === 1")
    assert page.run("calls[0].slice(0, 2)") == ["start", len(shown(page))]
    sound = changed(page, lambda: page.key("]"))
    page.until(f"calls.some(([name, n]) => name === 'start' && n === {len(sound)})")
    page.click("#autoplay")
    page.run("calls.length = 0")
    changed(page, lambda: page.key("]"))
    time.sleep(0.3)
    assert page.run("calls.filter(([name]) => name === 'start')") == []


# Files


def test_crop_and_download_yield_the_cropped_samples(page, studio):
    whole = len(shown(page))
    page.key("2")
    page.key("1")
    for handle, to in ((".handle.right", 0.3), (".handle.left", 0.1)):
        changed(page, lambda h=handle, t=to: page.drag(page.place(h), page.place("#scope", t)))
    shape = asked(page)["shape"]
    ends = [shape["trim_start"], shape["trim_start"] + shape["length"]]
    np.testing.assert_allclose(ends, [0.01, 0.03], atol=0.0005)  # the picture is 0.1 s wide
    sound = expected(studio, category="kick", shape=shape)
    shows(page, sound)
    kept = round(shape["length"] * 22050)
    assert kept - 1 <= len(sound) <= kept < whole  # a faded edge may end in a 0
    page.click("#download")
    samples, rate = soundfile.read(io.BytesIO(downloaded(page, "kick_01.wav")), dtype="float32")
    assert rate == 22050
    np.testing.assert_allclose(samples[: len(sound)], sound, atol=2**-15)
    assert not samples[len(sound) :].any()


def test_a_sound_and_a_kit_are_saved_to_the_library(page, studio):
    page.click("#save")
    page.until(f"{STATUS}.startsWith('Saved')")
    path = Path(page.run(STATUS).removeprefix("Saved "))
    assert path.parent == studio.library
    assert soundfile.info(path).samplerate == 22050
    page.click("#kit")
    page.run("document.querySelector('#kit-name').value = 'shelf'")
    page.click("#kit-save")
    page.until(f"{STATUS}.includes('shelf')")
    assert (studio.library / "shelf").is_dir()


def test_a_kit_is_a_zip_of_all_pads(page):
    page.key("n")
    page.click("#kit")
    page.click("#kit-download")
    with zipfile.ZipFile(io.BytesIO(downloaded(page, "my_kit.zip"))) as kit:
        assert kit.testzip() is None
        names = kit.namelist()
        recipe = json.loads(kit.read("my_kit/kit.json"))
    assert len([name for name in names if re.fullmatch(r"my_kit/[^/]+\.wav", name)]) == 16
    assert sum(name.endswith((".sfz", ".h2drumkit", "kit.json")) for name in names) == 3
    assert [sound["note"] for sound in recipe["sounds"]] == list(range(36, 52))


# The beat


def test_the_beat_schedules_hits_and_stops(page):
    page.click("#clear")
    focus(page, ".line:nth-child(2) .cell:nth-child(2)")
    label = "document.activeElement.getAttribute('aria-label')"
    page.key("ArrowRight")
    page.until(f"{label} === 'snare, step 2: off'")
    page.key("Enter")
    page.until(f"{label} === 'snare, step 2: normal'")
    page.key("Enter")
    page.until(f"{label} === 'snare, step 2: accent'")
    page.key("Enter")
    page.until(f"{label} === 'snare, step 2: off'")
    page.key("Enter")
    assert page.run("drumjax.hits") == 0
    page.key("p")
    page.until("drumjax.hits >= 2")  # a second round: the clock goes on
    assert page.run("document.querySelector('#run').getAttribute('aria-pressed')") == "true"
    page.key("p")
    hits = page.run("drumjax.hits")
    time.sleep(0.3)
    assert page.run("drumjax.hits") == hits
    assert page.run("document.querySelectorAll('.cell.now').length") == 0


# MIDI


def test_midi_notes_play_and_controllers_move(page):
    page.run("""navigator.requestMIDIAccess = async () => {
        window.input = { name: 'Mock' };
        return { inputs: new Map([['a', window.input]]) };
    }""")
    page.click("#midi")
    page.until(f"{STATUS} === 'MIDI from Mock'")
    send = "input.onmidimessage({{data: new Uint8Array({}), timeStamp: performance.now()}})"
    changed(page, lambda: page.run(send.format([0x99, 37, 100])))
    assert asked(page)["category"] == "snare"
    for controller, value in ((16, 127), (17, 0), (18, 64), (1, 127)):
        page.run(send.format([0xB0, controller, value]))
    assert asked(page)["alphas"] == [1, -1, 0]
    page.run(send.format([0x99, 90, 100]))
    page.run(send.format([0x89, 38, 0]))
    assert asked(page)["category"] == "snare"


# The server goes away


def test_the_page_finds_its_server_again(page):
    spy = """window.sockets = []; window.words = new Set();
        window.WebSocket = class extends WebSocket {
            constructor(...of) { super(...of); window.sockets.push(this); } };
        addEventListener('load', () => new MutationObserver(() => words.add(%s)).observe(
            document.querySelector('#status'), { subtree: true, childList: true }));"""
    script = page.call("Page.addScriptToEvaluateOnNewDocument", source=spy % STATUS)
    page.open(page.run("location.href"))
    page.run("drumjax.ready")
    page.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])
    page.run("sockets[0].close()")
    page.until("sockets.length === 2 && sockets[1].readyState === 1")
    assert page.run("[...words].filter((w) => w.includes('reconnecting')).length") == 1
    changed(page, lambda: page.click("#pad", 0.7, 0.7))


# What is drawn


def test_nothing_is_cut_off_or_scrolls_on_a_small_screen(page):
    page.size(1024, 640)
    page.until("innerWidth === 1024")
    assert page.run("document.documentElement.scrollHeight") == 640
    over = (
        "[...document.querySelectorAll('.panel')].filter((e) => e.scrollHeight > e.clientHeight "
        "|| e.scrollWidth > e.clientWidth).map((e) => e.className)"
    )
    assert page.run(over) == []
    page.size(390, 844)
    page.until("innerWidth === 390")
    assert page.run("document.documentElement.scrollWidth") == 390
    assert page.run(over) == []


def test_theme_is_the_systems_until_one_is_chosen(page):
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.run(ground)
    page.size(1280, 800, dark=False)
    light = page.run(ground)
    assert sum(map(int, re.findall(r"\d+", light))) > sum(map(int, re.findall(r"\d+", dark))) + 300
    for colour in (dark, light):
        page.click("#theme")
        page.until(f"{ground} === {colour!r}")
