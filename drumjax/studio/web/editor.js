/** The selected pad's controls: category, blend, pad and Fine, range, seed, character, shape. */

import { SHAPE, dice, newPad, reseeded } from "./model.js";
import { bindNumber, bindSlider, makeSlider, percent, signed } from "./sliders.js";
import { hueOf } from "./theme.js";
import { XYPad } from "./xypad.js";

const RANGES = [0.5, 1, 2, 3];
const SHAPES = [
  {
    name: "pitch",
    label: "Pitch",
    min: -24,
    max: 24,
    step: 0.5,
    format: (v) => `${signed(v, 1)} st`,
  },
  {
    name: "decay",
    label: "Decay",
    min: 0.05,
    max: 2,
    step: 0.05,
    format: (v) => `× ${v.toFixed(2)}`,
  },
  {
    name: "fade",
    label: "Fade",
    min: 0,
    max: 0.5,
    step: 0.01,
    format: (v) => `${Math.round(1000 * v)} ms`,
  },
  {
    name: "gain",
    label: "Gain",
    min: -24,
    max: 12,
    step: 0.5,
    format: (v) => `${signed(v, 1)} dB`,
  },
];

const find = (id) => document.getElementById(id);

/** Shows the selected pad and changes it. */
export class Editor {
  /**
   * @param {import("./store.js").Store} store
   * @param {object} instrument as /instrument.json says
   * @param {(at: number) => void} onTouch told the time, in ms, of each move that changes a sound
   */
  constructor(store, instrument, onTouch) {
    this.store = store;
    this.instrument = instrument;
    this.onTouch = onTouch;
    this.#categories();
    this.#pad();
    this.#ranges();
    this.#seed();
    this.#character();
    this.#shapes();
  }

  #edit(change, kind, at = performance.now()) {
    this.onTouch(at);
    this.store.editPad(change, kind);
  }

  #categories() {
    const options = (first) =>
      [...first, ...this.instrument.categories].map(
        (name) => new Option(name.replace("_", " ") || "none", name),
      );
    this.category = find("category");
    this.category.append(...options([]));
    this.category.onchange = () => {
      const { seed, blend } = this.store.pad;
      const category = this.category.value;
      const { shape } = reseeded(this.store.pad, seed); // the crop was another sound's
      const alone = blend.with === category ? { with: "", share: 0 } : blend;
      this.#edit({ category, shape, blend: alone });
    };
    this.blend = find("blend");
    this.blend.append(...options([""]));
    this.blend.onchange = () => {
      const share = this.store.pad.blend.share || 0.5;
      this.#edit({ blend: { with: this.blend.value, share: this.blend.value ? share : 0 } });
    };
    this.share = bindSlider(find("share"), {
      format: percent,
      output: find("share-value"),
      onInput: (share, at) =>
        this.#edit({ blend: { ...this.store.pad.blend, share } }, "share", at),
    });
  }

  #pad() {
    const move = (x, y, at) => this.#edit({ alphas: [x, y, this.store.pad.alphas[2]] }, "pad", at);
    this.pad = new XYPad(find("pad"), () => this.store.pad.alphas, move);
    this.fine = bindSlider(find("fine"), {
      format: (value) => signed(value),
      output: find("fine-value"),
      onInput: (fine, at) =>
        this.#edit({ alphas: [...this.store.pad.alphas.slice(0, 2), fine] }, "fine", at),
    });
    find("centre").onclick = () => this.#edit({ alphas: [0, 0, 0] });
  }

  #ranges() {
    const choices = document.createElement("div");
    choices.className = "choices";
    this.ranges = RANGES.map((value) => {
      const input = Object.assign(document.createElement("input"), {
        type: "radio",
        name: "range",
        value,
        id: `range-${value}`,
      });
      input.onchange = () => this.#edit({ range: value });
      const label = document.createElement("label");
      const text = document.createElement("span");
      text.textContent = `${value === 0.5 ? "½" : value}`;
      input.setAttribute("aria-label", `${value} standard deviations`);
      label.append(input, text);
      choices.append(label);
      return input;
    });
    find("range").append(choices);
  }

  #seed() {
    this.seed = bindNumber(find("seed"), (seed) => this.reseed(seed));
    find("seed-down").onclick = () => this.reseed(this.store.pad.seed - 1);
    find("seed-up").onclick = () => this.reseed(this.store.pad.seed + 1);
    find("dice").onclick = () => this.reseed(dice());
    find("mean").onclick = () => this.reseed(0);
    find("remove").onclick = () => {
      const { category, locked } = this.store.pad;
      this.#edit({ ...newPad(category), locked });
      find("choose").focus(); // the button goes with the file
    };
    this.amount = bindSlider(find("amount"), {
      format: percent,
      output: find("amount-value"),
      onInput: (amount, at) => this.#edit({ amount }, "amount", at),
    });
  }

  /** @param {number} seed of the selected pad from now on; what is no seed changes nothing */
  reseed(seed) {
    const whole = Math.trunc(seed);
    if (!(whole >= 0 && whole < 2 ** 31)) return this.show();
    this.#edit(reseeded(this.store.pad, whole));
  }

  #character() {
    this.attributes = this.instrument.attributes.map((name) => ({
      name,
      ...makeSlider(find("attributes"), {
        id: `attribute-${name}`,
        label: name[0].toUpperCase() + name.slice(1).replaceAll("_", " "),
        min: -3,
        max: 3,
        step: 0.05,
        format: (value) => signed(value),
        onInput: (value, at) =>
          this.#edit({ attributes: { ...this.store.pad.attributes, [name]: value } }, name, at),
      }),
    }));
    find("reset-attributes").onclick = () => this.#edit({ attributes: {} });
  }

  #shapes() {
    this.shapes = SHAPES.map(({ name, ...how }) => ({
      name,
      ...makeSlider(find("shape"), {
        ...how,
        id: `shape-${name}`,
        neutral: SHAPE[name],
        onInput: (value, at) =>
          this.#edit({ shape: { ...this.store.pad.shape, [name]: value } }, name, at),
      }),
    }));
    const label = Object.assign(document.createElement("label"), { className: "inline check" });
    this.reverse = Object.assign(document.createElement("input"), {
      type: "checkbox",
      id: "reverse",
    });
    this.reverse.onchange = () =>
      this.#edit({ shape: { ...this.store.pad.shape, reverse: this.reverse.checked } });
    label.append(this.reverse, " Reverse");
    find("shape").append(label);
    find("reset-shape").onclick = () => this.#edit({ shape: SHAPE });
  }

  /** Bring all controls to where the selected pad stands. */
  show() {
    const { pad } = this.store;
    this.category.value = pad.category;
    this.blend.value = pad.blend.with;
    this.share.show(pad.blend.share);
    this.share.input.disabled = !pad.blend.with;
    this.pad.show(pad.alphas, hueOf(pad.category, this.instrument.categories));
    this.fine.show(pad.alphas[2]);
    for (const input of this.ranges) input.checked = Number(input.value) === pad.range;
    this.seed.show(pad.seed);
    find("seed-down").setAttribute("aria-disabled", pad.seed === 0);
    for (const { name, show } of this.attributes) show(pad.attributes[name] ?? 0);
    for (const { name, show } of this.shapes) show(pad.shape[name]);
    this.reverse.checked = pad.shape.reverse;
    find("file-name").textContent = find("file-name").title = pad.file;
    find("mean").textContent = pad.z ? "Original" : "Mean";
    find("own").hidden = !pad.z;
    this.amount.show(pad.amount);
  }
}
