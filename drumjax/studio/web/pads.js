/** The pads: played, selected, locked, re-rolled, and given sounds of one's own. */

import { fitted, onResize } from "./canvas.js";
import { FIRST_NOTE, labelOf, padTitles, reseeded, specOf } from "./model.js";
import { paced } from "./pace.js";
import { hueOf, tint } from "./theme.js";
import { drawEnvelope } from "./waveform.js";

/** Keys of the pads, by their place on the keyboard. */
export const KEYS = [..."1234QWERASDFZXCV"].map((key) => (key > "9" ? `Key${key}` : `Digit${key}`));

const PACE = 60; // milliseconds between two drawings
const find = (id) => document.getElementById(id);

/** A grid of sixteen cells; arrow keys move between them. */
export class Pads {
  #cells = [];

  /**
   * @param {HTMLElement} box
   * @param {import("./store.js").Store} store
   * @param {{categories: string[], play: (index: number, velocity?: number) => void,
   *   take: (files: File[], index: number) => void, look: (spec: object) => object | undefined}} how
   *   play: also selects; take: one's own sounds; look: at a sound that is at hand
   */
  constructor(box, store, how) {
    this.store = store;
    this.how = how;
    this.#cells = store.work.pads.map((_, index) => this.#cell(index));
    box.append(...this.#cells.map((cell) => cell.box));
    box.addEventListener("keydown", (event) => this.#key(event));
    this.#nameKeys();
  }

  #cell(index) {
    const box = find("pad-cell").content.cloneNode(true).firstElementChild;
    const part = (name) => box.querySelector(name);
    const [main, roll, lock, canvas] = [".padkey", ".roll", ".lock", "canvas"].map(part);
    part(".key").textContent = KEYS[index].at(-1);
    part(".note").textContent = FIRST_NOTE + index;
    main.addEventListener("pointerdown", (event) => {
      if (event.button === 0) this.how.play(index, velocityAt(event, main));
    });
    main.addEventListener("click", (event) => {
      if (event.detail === 0) this.how.play(index); // Enter, Space, or a screen reader
    });
    roll.onclick = () => this.roll(index);
    lock.onclick = () => this.lock(index);
    this.#dropOn(box, index);
    onResize(canvas, () => this.#redraw(index));
    return { box, main, roll, lock, canvas };
  }

  #redraw(index) {
    if (this.#cells[index]) this.#cells[index].drawn = null;
    this.draw();
  }

  /** Draw the sounds that are at hand on their pads; what is drawn already stays. */
  draw = paced(() => {
    this.#cells.forEach((cell, index) => {
      const { canvas, box, drawn } = cell;
      const pad = this.store.work.pads[index];
      const sound = this.how.look(specOf(pad));
      if (box.hidden || !sound) return;
      const ink = tint(hueOf(pad.category, this.how.categories), 0.85);
      if (drawn?.sound === sound && drawn.ink === ink) return;
      cell.drawn = { sound, ink };
      const { draw, width, height } = fitted(canvas);
      const scale = width / Math.max(sound.samples.length, sound.buffer.sampleRate / 2);
      drawEnvelope(draw, sound.samples, 0, scale, height, ink);
    });
  }, PACE);

  #dropOn(box, index) {
    box.addEventListener("dragover", (event) => {
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      box.classList.add("over");
    });
    box.addEventListener("dragleave", () => box.classList.remove("over"));
    box.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      box.classList.remove("over");
      this.how.take([...event.dataTransfer.files], index);
    });
  }

  /** Show the letters of the player's own keyboard, where the browser tells. */
  async #nameKeys() {
    const layout = await navigator.keyboard?.getLayoutMap?.().catch(() => null);
    if (!layout?.size) return;
    this.#cells.forEach(({ main }, index) => {
      main.querySelector(".key").textContent = layout.get(KEYS[index]) ?? KEYS[index].at(-1);
    });
  }

  #key(event) {
    const index = this.#cells.findIndex(({ box }) => box.contains(document.activeElement));
    if (index < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const count = this.store.settings.eight ? 8 : 16;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -4, ArrowDown: 4 };
    const to = index + (steps[event.key] ?? NaN);
    if (to >= 0 && to < count) {
      event.preventDefault();
      this.store.select(to);
      this.#cells[to].main.focus();
    }
  }

  /** @param {number} index given a new seed, and played */
  roll(index) {
    this.store.select(index);
    this.store.editPad(reseeded(this.store.work.pads[index]), "", index);
  }

  /** @param {number} index locked, or unlocked */
  lock(index) {
    this.store.editPad({ locked: !this.store.work.pads[index].locked }, "", index);
  }

  /** New seeds for all that are shown and not locked. */
  rollUnlocked() {
    const count = this.store.settings.eight ? 8 : 16;
    const roll = (pad, index) => (pad.locked || index >= count ? pad : reseeded(pad));
    this.store.edit({ pads: this.store.work.pads.map(roll) });
  }

  /** @param {number} index lit for a moment: it plays */
  flash(index) {
    const { main } = this.#cells[index];
    main.classList.add("hit");
    setTimeout(() => main.classList.remove("hit"), 110);
  }

  /** Bring all cells to where their pads stand. */
  show() {
    const { pads, selected } = this.store.work;
    const names = padTitles(pads);
    this.#cells.forEach((cell, index) => {
      const pad = pads[index];
      const hue = hueOf(pad.category, this.how.categories);
      const hidden = this.store.settings.eight && index >= 8;
      const chosen = index === selected;
      const words = [names[index], labelOf(pad), `note ${FIRST_NOTE + index}`];
      if (pad.locked) words.push("locked");
      const state = [...words, tint(hue), hidden, chosen].join();
      if (cell.state === state) return;
      cell.state = state;
      const { box, main, roll, lock } = cell;
      box.hidden = hidden;
      box.style.setProperty("--tint", tint(hue));
      box.style.setProperty("--glow", tint(hue, 0.4));
      box.classList.toggle("selected", chosen);
      main.querySelector(".name").textContent = names[index];
      main.setAttribute("aria-pressed", chosen);
      main.setAttribute("aria-label", `Pad ${index + 1}: ${words.join(", ")}`);
      lock.setAttribute("aria-pressed", pad.locked);
      lock.setAttribute("aria-label", `Lock ${names[index]}`);
      lock.title = pad.locked ? "Unlock (L)" : "Lock (L)";
      roll.setAttribute("aria-label", `Re-roll ${names[index]}`);
      for (const button of [main, roll, lock]) button.tabIndex = chosen ? 0 : -1;
    });
  }
}

/** The lower a pad is hit, the softer it plays. */
function velocityAt(event, main) {
  const box = main.getBoundingClientRect();
  const down = (event.clientY - box.top) / box.height;
  return 1 - 0.9 * Math.max(0, Math.min(0.5, down - 0.5));
}
