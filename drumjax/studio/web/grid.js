/** The beat's steps: buttons in rows, a row a pad, moved between with the arrow keys. */

import { STEPS, padTitles } from "./model.js";
import { hueOf, tint } from "./theme.js";

const WORDS = ["off", "normal", "accent"];

/** Rows of steps; eight of them are shown at a time. */
export class Grid {
  #lines = [];
  #focus = [0, 0];
  #stop = null; // the step that Tab reaches
  #now = -1;

  /**
   * @param {HTMLElement} box
   * @param {import("./store.js").Store} store
   * @param {string[]} categories
   */
  constructor(box, store, categories) {
    this.store = store;
    this.categories = categories;
    this.#lines = store.work.pads.map((_, row) => this.#line(row));
    box.append(...this.#lines.map((line) => line.box));
    box.addEventListener("keydown", (event) => this.#key(event));
  }

  #line(row) {
    const box = Object.assign(document.createElement("div"), { className: "line" });
    const label = Object.assign(document.createElement("span"), { className: "label" });
    const cells = Array.from({ length: STEPS }, (_, step) => {
      const cell = document.createElement("button");
      cell.className = step % 4 ? "cell" : "cell quarter";
      cell.onclick = () => this.#cycle(row, step);
      cell.onfocus = () => this.#mark(row, step);
      return cell;
    });
    box.append(label, ...cells);
    return { box, label, cells };
  }

  #cycle(row, step) {
    const { rows } = this.store.work.beat;
    const level = (rows[row][step] + 1) % WORDS.length;
    this.store.editBeat({ rows: rows.with(row, rows[row].with(step, level)) });
  }

  #mark(row, step) {
    this.#focus = [row, step];
    this.#tabs();
  }

  /** One step of the whole grid is reached with Tab. */
  #tabs() {
    const first = this.#first();
    const row = Math.max(first, Math.min(first + 7, this.#focus[0]));
    const stop = this.#lines[row].cells[this.#focus[1]];
    if (stop === this.#stop) return;
    this.#stop = stop;
    for (const { cells } of this.#lines) {
      for (const cell of cells) cell.tabIndex = cell === stop ? 0 : -1;
    }
  }

  #first() {
    const { bank, eight } = this.store.settings;
    return eight ? 0 : 8 * bank;
  }

  #key(event) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [row, step] = [this.#focus[0] + move[0], this.#focus[1] + move[1]];
    const first = this.#first();
    if (row >= first && row < first + 8) this.#lines[row].cells[step]?.focus();
  }

  /** @param {number} step that sounds now; -1: none */
  now(step) {
    for (const { cells } of this.#lines) {
      cells[this.#now]?.classList.remove("now");
      cells[step]?.classList.add("now");
    }
    this.#now = step;
  }

  /** Bring all steps to where the beat stands. */
  show() {
    const { pads, beat, selected } = this.store.work;
    const names = padTitles(pads);
    const first = this.#first();
    this.#lines.forEach((line, row) => {
      const hue = hueOf(pads[row].category, this.categories);
      const hidden = row < first || row >= first + 8;
      const state = [names[row], tint(hue), hidden, row === selected, beat.rows[row]].join();
      if (line.state === state) return;
      line.state = state;
      const { box, label, cells } = line;
      box.hidden = hidden;
      box.style.setProperty("--tint", tint(hue));
      label.textContent = names[row];
      label.classList.toggle("selected", row === selected);
      cells.forEach((cell, step) => {
        const level = beat.rows[row][step];
        cell.dataset.step = level;
        cell.setAttribute("aria-label", `${names[row]}, step ${step + 1}: ${WORDS[level]}`);
        cell.setAttribute("aria-pressed", level > 0);
      });
    });
    this.#tabs();
  }
}
