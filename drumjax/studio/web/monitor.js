/** What is heard and seen of the selected pad. */

import { rawSpecOf, specOf } from "./model.js";
import { hueOf } from "./theme.js";

const PAUSE = 90; // milliseconds between two sounds of one drag, so that each can be heard

/** Follows the store: asks for the selected pad's sound, shows it, plays it. */
export class Monitor {
  #asked = ""; // the spec last asked for, as text
  #known = []; // each pad's, when the store was last looked at
  #number = 0; // of the last request
  #shown = 0; // number of the request whose sound is the pad's
  #pictured = 0; // number of the request that is drawn
  #selected = -1;
  #since = 0; // time of the move that the next request answers
  #played = 0;
  #later = 0;
  /** Milliseconds from a move to its AudioBuffer, one of each request. */
  latency = [];
  /** The sound that is shown. */
  sound = null;
  #drawn = () => {};
  /** Resolves when the first sound is shown. */
  first = new Promise((resolve) => (this.#drawn = resolve));

  /**
   * @param {{store: object, sounds: object, bank: object, output: object, picture: object,
   *   status: object, categories: string[]}} parts
   */
  constructor(parts) {
    Object.assign(this, parts);
    this.#known = this.#texts();
  }

  /** @param {number} at time in ms of a move that changes the sound */
  touch(at) {
    this.#since = at;
  }

  /**
   * Look at the store: if the pad's sound is another one, ask for it. The newest request wins.
   * @param {boolean} quiet show it, but do not play it
   */
  follow(quiet = false) {
    const { pad, work } = this.store;
    const before = this.#known[work.selected];
    this.#known = this.#texts();
    const key = this.#known[work.selected];
    const since = this.#since;
    this.#since = 0;
    if (key === this.#asked && work.selected === this.#selected) return;
    this.#asked = key;
    this.#selected = work.selected;
    this.#make({
      pad,
      index: work.selected,
      number: ++this.#number,
      since,
      audible: key !== before && !quiet,
    });
  }

  #texts() {
    return this.store.work.pads.map((pad) => JSON.stringify(specOf(pad)));
  }

  async #make({ pad, index, number, since, audible }) {
    try {
      const sound = await this.sounds.get(specOf(pad), "main");
      if (!sound) return;
      if (since) this.latency.push(performance.now() - since);
      if (number < this.#shown || index !== this.store.work.selected) return;
      this.#shown = number;
      this.sound = sound;
      this.bank.heard(index, sound);
      if (audible && this.store.settings.autoplay) this.#audition(pad, sound);
      this.status.rendered(sound);
      await this.#show({ pad, index, number, sound });
    } catch (error) {
      if (number >= this.#shown) this.status.error(error);
      await this.#show({ pad, index, number, sound: null }).catch(() => {});
    }
  }

  /** The picture comes after the sound: the raw one may have to be made for it. */
  async #show({ pad, index, number, sound }) {
    const raw = await this.sounds.get(rawSpecOf(pad), "view");
    if (!raw || number < this.#pictured || index !== this.store.work.selected) return;
    this.#pictured = number;
    this.picture.show({
      raw: raw.samples,
      heard: sound ? sound.samples : new Float32Array(0),
      start: pad.shape.trim_start,
      sampleRate: raw.buffer.sampleRate,
      hue: hueOf(pad.category, this.categories),
    });
    this.#drawn();
  }

  #audition(pad, sound) {
    clearTimeout(this.#later);
    const wait = this.#played + PAUSE - performance.now();
    if (wait > 0) {
      this.#later = setTimeout(() => this.#audition(pad, sound), wait);
      return;
    }
    this.#played = performance.now();
    this.output.play(sound.buffer, { group: "monitor", category: pad.category });
  }
}
