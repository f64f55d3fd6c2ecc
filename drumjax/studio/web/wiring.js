/** The page's own buttons, menus, keys and MIDI, tied to the parts that they work on. */

import { fillProfiles, wireHelp, wireKitDialog } from "./dialogs.js";
import { download, kitRequest, save, soundRequest } from "./files.js";
import { listen as listenToKeys } from "./keys.js";
import { hasMidi, listen as listenToMidi } from "./midi.js";
import { PADS, STEPS, dice, padTitles } from "./model.js";
import { framed } from "./pace.js";
import { bindNumber, bindSlider, percent } from "./sliders.js";
import { onSystemTheme, useTheme } from "./theme.js";

const THEMES = { "": "dark", dark: "light", light: "" };
const find = (id) => document.getElementById(id);

/** Ties everything together, and shows it for the first time. */
export function wire(parts) {
  const sliders = { ...wireBeat(parts), volume: wireVolume(parts) };
  wireSound(parts);
  wirePads(parts);
  wireKit(parts);
  wireBar(parts);
  wireKeys(parts);
  wireMidi(parts);
  const show = () => showAll(parts, sliders);
  const soon = framed(show);
  const { store, monitor, bank, picture } = parts;
  store.subscribe(({ moving, quiet }) => {
    monitor.follow(quiet);
    bank.follow();
    if (moving) soon(); // the sound waits for no frame
    else show(); // nor may a control show another pad's value when it is touched next
  });
  onSystemTheme(() => {
    show();
    picture.draw();
  });
  for (const kind of ["pointerup", "click"]) {
    addEventListener(kind, () => parts.output.wake(), true); // a touch's first sound waits for it
  }
  holdWhileDragged(store);
  addEventListener("pagehide", () => store.save());
  addEventListener("storage", (event) => store.adopt(event));
  show();
  monitor.follow();
  bank.follow();
}

/** While a pointer moves a control of the selected pad, hits select no other pad. */
function holdWhileDragged(store) {
  const down = new Set();
  const held = () => (store.held = down.size > 0);
  const moved = ":is(.control, .picture) input[type=range], .xypad, .handle";
  const onDown = ({ target, button, pointerId }) => {
    const holds = button === 0 && target.closest?.(moved);
    held(holds ? down.add(pointerId) : down.delete(pointerId));
  };
  addEventListener("pointerdown", onDown, true);
  for (const kind of ["pointerup", "pointercancel"]) {
    addEventListener(kind, ({ pointerId }) => held(down.delete(pointerId)), true);
  }
  addEventListener("blur", () => held(down.clear()));
}

function showAll({ store, editor, pads, grid, picture, output }, sliders) {
  const { settings, work } = store;
  if (useTheme(settings.theme)) picture.draw();
  output.volume = settings.volume;
  editor.show();
  pads.show();
  pads.draw();
  grid.show();
  picture.showCrop();
  find("name").textContent = padTitles(work.pads)[work.selected];
  find("undo").setAttribute("aria-disabled", !store.canUndo); // not disabled: that loses the focus
  find("redo").setAttribute("aria-disabled", !store.canRedo);
  find("autoplay").checked = settings.autoplay;
  const theme = `Theme: ${settings.theme || "system"}`;
  find("theme").setAttribute("aria-label", theme);
  find("theme").title = theme;
  find("eight").setAttribute("aria-pressed", settings.eight);
  find("bank").hidden = settings.eight;
  find("bank").textContent = settings.bank ? "Pads 9–16" : "Pads 1–8";
  sliders.tempo.show(work.beat.tempo);
  sliders.volume.show(settings.volume);
  sliders.swing.show(work.beat.swing);
  sliders.humanise.show(work.beat.humanise);
}

function wireBeat({ store, sequencer, output }) {
  const run = find("run");
  run.onclick = () => {
    output.wake();
    if (sequencer.running) sequencer.stop();
    else sequencer.start();
    run.setAttribute("aria-pressed", sequencer.running);
    run.querySelector("span").textContent = sequencer.running ? "Stop" : "Start";
  };
  const tempo = bindNumber(find("tempo"), (typed) => {
    const asked = Math.round(typed) || store.work.beat.tempo;
    store.editBeat({ tempo: Math.max(40, Math.min(240, asked)) });
  });
  find("clear").onclick = () => {
    store.editBeat({ rows: store.work.pads.map(() => Array(STEPS).fill(0)) });
  };
  find("bank").onclick = () => store.set({ bank: 1 - store.settings.bank });
  const slider = (name) =>
    bindSlider(find(name), {
      format: (value) => percent(value / 100),
      output: find(`${name}-value`),
      onInput: (value) => store.editBeat({ [name]: value }, name),
    });
  return { tempo, swing: slider("swing"), humanise: slider("humanise") };
}

function wireVolume({ store, fresh }) {
  return bindSlider(find("volume"), {
    neutral: 0,
    reset: fresh.settings.volume,
    format: percent,
    onInput: (volume) => store.set({ volume }, true),
  });
}

/** What is done with the selected pad's sound. */
function wireSound({ store, trigger, status, instrument }) {
  const profile = find("profile");
  fillProfiles(profile, instrument);
  const request = () => soundRequest(store.work, store.work.selected, profile.value);
  find("play").onclick = () => trigger.play(store.work.selected);
  find("autoplay").onchange = ({ target }) => store.set({ autoplay: target.checked });
  find("download").onclick = () =>
    attempt(status, async () => `Downloaded ${await download("wav", request())}`);
  find("save").onclick = () => attempt(status, async () => `Saved ${await save(request())}`);
  const file = find("file");
  find("choose").disabled = !instrument.encoder;
  find("choose").onclick = () => file.click();
  file.onchange = () => {
    trigger.takeAll([...file.files], store.work.selected);
    file.value = "";
  };
}

function wirePads({ store, pads, trigger }) {
  find("reroll-all").onclick = () => pads.rollUnlocked();
  find("eight").onclick = () => {
    store.set({ eight: !store.settings.eight });
    if (store.settings.eight && store.work.selected >= PADS / 2) store.select(0);
  };
  // A file that misses the pads goes to the selected one, and never replaces the page.
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    trigger.takeAll([...event.dataTransfer.files], store.work.selected);
  });
}

function wireKit({ store, status, instrument }) {
  const dialog = find("kit-dialog");
  wireKitDialog(dialog, instrument, (to, kit) => {
    const request = kitRequest(store.work, store.settings.eight ? PADS / 2 : PADS, kit);
    status.tell("Making the kit …");
    attempt(status, async () =>
      to === "library"
        ? `Saved ${await save(request)}`
        : `Downloaded ${await download("kit", request)}`,
    );
  });
  find("kit").onclick = () => dialog.showModal();
}

function wireBar({ store, fresh, instrument }) {
  find("instrument").textContent = instrument.name;
  find("undo").onclick = () => store.undo();
  find("redo").onclick = () => store.redo();
  find("theme").onclick = () => store.set({ theme: THEMES[store.settings.theme] });
  wireHelp(find("help-dialog"), store, () => store.edit(fresh.work));
  find("help").onclick = () => find("help-dialog").showModal();
}

function wireKeys({ store, editor, trigger, pads }) {
  const actions = {
    play: () => trigger.play(store.work.selected),
    run: () => find("run").click(),
    undo: () => store.undo(),
    redo: () => store.redo(),
    help: () => find("help-dialog").showModal(),
    dice: () => editor.reseed(dice()),
    previous: () => editor.reseed(store.pad.seed - 1),
    next: () => editor.reseed(store.pad.seed + 1),
    mean: () => editor.reseed(0),
    lock: () => pads.lock(store.work.selected),
  };
  const play = (index) => isShown(store, index) && trigger.play(index);
  listenToKeys(actions, play, () => store.settings.letters);
}

function isShown({ settings }, index) {
  return index < (settings.eight ? PADS / 2 : PADS);
}

function wireMidi({ store, status, trigger, monitor }) {
  const button = find("midi");
  button.hidden = !hasMidi();
  const hear = (message, at) => {
    if ("pad" in message) {
      if (isShown(store, message.pad)) trigger.play(message.pad, message.velocity);
      return;
    }
    monitor.touch(at);
    store.editPad({ alphas: store.pad.alphas.with(message.alpha, message.value) }, "midi");
  };
  button.onclick = () =>
    attempt(status, async () => {
      const inputs = await listenToMidi(hear);
      button.setAttribute("aria-pressed", true);
      button.disabled = true;
      return inputs.length ? `MIDI from ${inputs.join(", ")}` : "MIDI listens; plug in a keyboard";
    });
}

/** Do something that takes a while; tell how it ended. */
async function attempt(status, work) {
  try {
    status.tell(await work());
  } catch (error) {
    status.error(error);
  }
}
