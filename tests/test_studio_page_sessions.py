"""What the studio's page keeps: sessions of instruments and tabs, and sounds of one's own."""

import json

import numpy as np
from studio_page import (
    SHOWN,
    SPY,
    STATUS,
    asked,
    changed,
    drop,
    expected,
    pads,
    shows,
    wav,
)

# Other instruments, other tabs


def test_each_instrument_has_its_own_session(page):
    kept = page.run("""(async () => {
        const { Store, restored } = await import('./store.js');
        const { newSession } = await import('./model.js');
        const fresh = (identity) => newSession({ categories: ['kick', 'snare'], identity });
        const mine = new Store(restored(fresh('one'), ['dusty', 'punch']));
        mine.editPad({ seed: 7, attributes: { dusty: 1, punch: 2 } });
        mine.save();
        const other = new Store(restored(fresh('two'), []));
        other.editPad({ seed: 8 });
        other.save();
        const of = (identity, names) => restored(fresh(identity), names).work.pads[0];
        return [of('one', ['punch']), of('two', []).seed, of('three', []).seed];
    })()""")
    assert kept[0]["seed"] == 7
    assert kept[0]["attributes"] == {"punch": 2}  # a control that is not there any more
    assert kept[1:] == [8, 0]


def test_what_another_tab_does_is_taken_over_in_silence_and_undone(page):
    page.click("#seed-up")
    page.until("drumjax.renders >= 17")
    asked(page)
    before = page.run(SHOWN)
    page.run("new Promise((resolve) => setTimeout(resolve, 300))")  # it has been played
    page.run(SPY)
    page.run("""(() => {
        const key = Object.keys(localStorage)[0];
        const session = JSON.parse(localStorage.getItem(key));
        session.work.pads[0].seed = 77;
        const newValue = JSON.stringify(session);
        dispatchEvent(new StorageEvent('storage', { key, newValue }));
    })()""")
    page.until(f"{SHOWN} !== {json.dumps(before)}")
    page.until("document.querySelector('#seed').value === '77'")
    assert page.run("calls") == []
    page.key("z", control=True)
    assert asked(page)["seed"] == 1


def test_undo_knows_what_other_tabs_changed_and_what_they_did_not(page):
    steps = page.run("""(async () => {
        const { Store } = await import('./store.js');
        const { newSession } = await import('./model.js');
        const fresh = newSession({ categories: ['kick', 'snare'], identity: 'one' });
        const store = new Store(fresh);
        const other = new Store(fresh);
        const key = 'drumjax.session.one';
        const tell = () => store.adopt({ key, newValue: JSON.stringify(other.session) });
        store.editPad({ seed: 5 });
        store.undo();
        other.set({ volume: 0.1 });
        other.select(3);
        tell();
        const same = [store.canUndo, store.canRedo, store.work.selected, store.settings.volume];
        for (let i = 1; i <= 300; i++) {
            other.editPad({ seed: i }, '', 4);
            tell();
        }
        let steps = 0;
        for (; store.canUndo; steps++) store.undo();
        const last = store.work.selected;
        store.select(12);
        other.set({ eight: true });
        tell();
        return [...same, steps, last, store.work.selected];
    })()""")
    assert steps == [False, True, 0, 0.1, 200, 4, 0]


def test_the_page_starts_over_when_the_server_has_come_back_as_another(page):
    page.run("""(() => {
        window.here = true;
        window.sockets = [];
        const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function (text) { sockets.push(this); send.call(this, text); };
        const real = window.fetch;
        window.fetch = async (...of) => {
            const answer = await (await real(...of)).json();
            return new Response(JSON.stringify({ ...answer, axes: 'another' }));
        };
    })()""")
    page.key("n")
    page.until("sockets.length > 0")
    page.run("sockets[0].close()")
    page.until("window.here === undefined && typeof drumjax === 'object'")
    page.run("drumjax.ready")


# Sounds of one's own


def test_the_newest_file_stays_on_a_pad_and_more_files_go_to_the_next_ones(page):
    page.run("""(() => {
        const real = window.fetch;
        window.fetch = async (...of) => {
            const answer = await real(...of);
            if (of[1]?.headers?.['x-name']?.includes('old')) {
                await new Promise((resolve) => setTimeout(resolve, 600));
            }
            return answer;
        };
    })()""")
    drop(page, ".padcell:nth-child(6)", "old too.wav", wav())
    drop(page, ".padcell:nth-child(6)", "no sound.wav", b"words")
    page.until(f"{STATUS}.includes('no sound.wav')")
    page.until(f"{STATUS}.includes('old too.wav is on pad 6')")  # nothing newer came there
    assert page.errors.pop().startswith("Failed to load resource")
    drop(page, ".padcell:nth-child(5)", "old.wav", wav())
    drop(page, ".padcell:nth-child(5)", "new.wav", wav())
    page.until(f"{STATUS}.includes('new.wav is on pad 5')")
    page.run("new Promise((resolve) => setTimeout(resolve, 800))")
    assert pads(page)[4]["file"] == "new.wav"
    data = np.frombuffer(wav(), np.uint8).tolist()
    page.run(f"""(() => {{
        const transfer = new DataTransfer();
        for (const name of ['a.wav', 'bad.wav', 'c.wav']) {{
            const bytes = name === 'bad.wav' ? [1, 2, 3] : {data};
            transfer.items.add(new File([new Uint8Array(bytes)], name));
        }}
        document.querySelector('.padcell:nth-child(15)').dispatchEvent(new DragEvent('drop', {{
            dataTransfer: transfer, bubbles: true, cancelable: true }}));
    }})()""")
    page.until(f"{STATUS}.includes('1 of the files found no pad')")
    assert page.run(f"{STATUS}.includes('bad.wav')")
    assert [pad["file"] for pad in pads(page)[13:]] == ["", "a.wav", ""]
    assert page.errors.pop().startswith("Failed to load resource")  # the 400 itself


def test_an_own_sound_is_taken_off_its_pad(page, studio):
    changed(page, lambda: drop(page, ".padcell:nth-child(2)", "my clap.wav", wav()))
    category = asked(page)["category"]
    changed(page, lambda: page.click("#remove"))
    assert asked(page)["z"] is None
    shows(page, expected(studio, category=category))
    page.until("document.querySelector('#own').offsetParent === null")
    assert page.run("document.activeElement.id") == "choose"


def test_one_crop_suits_sounds_of_other_lengths(page, studio):
    changed(page, lambda: page.drag(page.place(".handle.right"), page.place("#scope", 0.3)))
    length = asked(page)["shape"]["length"]
    for across in (0.1, 0.5, 0.9):
        changed(page, lambda across=across: page.click("#pad", across, 0.9))
        pad = asked(page)
        assert pad["shape"]["length"] == length
        shape = {"length": length}
        shows(page, expected(studio, category="kick", alphas=pad["alphas"], shape=shape))
