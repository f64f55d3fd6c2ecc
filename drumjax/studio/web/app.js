/** The studio's page: puts its parts together. */

import { Output } from "./audio.js";
import { Bank } from "./bank.js";
import { Editor } from "./editor.js";
import { Grid } from "./grid.js";
import { PADS, newSession } from "./model.js";
import { Monitor } from "./monitor.js";
import { Pads } from "./pads.js";
import { Picture } from "./picture.js";
import { SocketRenderer } from "./renderer.js";
import { Sequencer } from "./sequencer.js";
import { Sounds } from "./sounds.js";
import { Status } from "./status.js";
import { Store, restored } from "./store.js";
import { Trigger } from "./trigger.js";
import { wire } from "./wiring.js";

const find = (id) => document.getElementById(id);

async function start() {
  const status = new Status(find("status"), find("took"));
  let check = async () => {};
  const renderer = new SocketRenderer((link) => {
    status.link(link);
    if (link === "connected") check().catch((error) => status.error(error));
  });
  const instrument = await patiently(() => renderer.instrument(), status);
  check = async () => {
    const now = await renderer.instrument();
    if (JSON.stringify(now) !== JSON.stringify(instrument)) location.reload(); // it is another one
    bank.retry();
  };
  const { categories } = instrument;
  const fresh = newSession(instrument);
  const store = new Store(restored(fresh, instrument.attributes));
  const output = new Output(instrument.sample_rate);
  const sounds = new Sounds(renderer, output);
  const bank = new Bank({ store, sounds });
  const crop = (trim_start, length, at) => {
    monitor.touch(at);
    store.editPad({ shape: { ...store.pad.shape, trim_start, length } }, "crop");
  };
  const picture = new Picture(() => store.pad.shape, crop);
  const monitor = new Monitor({ store, sounds, bank, output, picture, status, categories });
  const editor = new Editor(store, instrument, (at) => monitor.touch(at));
  const trigger = new Trigger({ store, sounds, bank, output, status });
  const pads = new Pads(find("pads"), store, {
    categories,
    play: (index, velocity) => trigger.play(index, velocity),
    take: (files, index) => trigger.takeAll(files, index),
    look: (spec) => sounds.peek(spec),
  });
  sounds.onKept = () => pads.draw();
  trigger.onPlay = (index) => pads.flash(index);
  const grid = new Grid(find("grid"), store, categories);
  const sequencer = new Sequencer({
    now: () => output.time,
    beat: () => shownBeat(store),
    hit: (...hit) => trigger.hit(...hit),
    cancel: () => output.cancel(),
    show: (step) => grid.now(step),
  });
  const parts = { store, status, editor, monitor, trigger, pads, grid, sequencer, output, picture };
  wire({ ...parts, bank, instrument, fresh });
  return { monitor, sounds, sequencer };
}

/** The beat of the pads that are shown. */
function shownBeat({ work, settings }) {
  const rows = work.beat.rows.slice(0, settings.eight ? PADS / 2 : PADS);
  return { ...work.beat, rows };
}

/** Try until the server answers. */
async function patiently(ask, status) {
  for (;;) {
    try {
      return await ask();
    } catch {
      status.link("lost");
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

const started = start();
started.catch((error) => {
  document.querySelector(".desk").textContent = `This page cannot start here: ${error.message}`;
});
let parts = null;

/**
 * For tests and measurements alone; the page itself does not use it. `ready` resolves when the
 * first sound is shown.
 */
window.drumjax = Object.freeze({
  ready: started.then(async (made) => {
    parts = made;
    await made.monitor.first;
    return true;
  }),
  /** Samples of the sound that is shown. */
  lastBuffer: () => parts?.monitor.sound?.buffer.getChannelData(0) ?? new Float32Array(0),
  /** Sounds that the server has rendered for this page. */
  get renders() {
    return parts?.sounds.rendered ?? 0;
  },
  /** Hits that the beat has scheduled. */
  get hits() {
    return parts?.sequencer.hits ?? 0;
  },
  /** Milliseconds from each move to its AudioBuffer. */
  latency: () => [...(parts?.monitor.latency ?? [])],
});
