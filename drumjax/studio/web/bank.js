/** Keeps every pad's sound, and its takes for the beat, at hand before they are played. */

import { takesOf } from "./humanise.js";
import { specOf } from "./model.js";

const CALM = 250; // milliseconds without a change before it sets to work

/** Renders in the background, one sound at a time. */
export class Bank {
  #timer = 0; // runs while changes come
  #busy = false;
  #heard = []; // of each pad, its last sound
  #failed = new Set(); // specs that the server refused, as text

  /** @param {{store: object, sounds: object}} parts */
  constructor({ store, sounds }) {
    this.store = store;
    this.sounds = sounds;
  }

  /** Something may have changed. */
  follow() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.#work();
    }, CALM);
    this.#work();
  }

  /** What the server refused may be tried again. */
  retry() {
    this.#failed.clear();
    this.follow();
  }

  /**
   * A pad has a new sound: the beat plays it until the pad's next one is at hand.
   * @param {number} index of the pad
   * @param {object} sound
   */
  heard(index, sound) {
    this.#heard[index] = sound;
  }

  /**
   * A take of a pad, or the nearest thing that is at hand.
   * @param {number} index of the pad
   * @param {number} take
   */
  take(index, take) {
    const { pads, beat } = this.store.work;
    const takes = takesOf(pads[index], beat.humanise);
    const ready = this.sounds.kept(takes[take % takes.length]) ?? this.sounds.kept(takes[0]);
    if (ready) this.heard(index, ready);
    return this.#heard[index];
  }

  async #work() {
    if (this.#busy) return;
    this.#busy = true;
    for (let spec = this.#missing(); spec; spec = this.#missing()) {
      try {
        await this.sounds.get(spec, "bank");
      } catch {
        this.#failed.add(JSON.stringify(spec)); // it is told of when the pad is played
      }
    }
    this.#busy = false;
  }

  /** What is to be made next; while things change, nothing of the pad that may be moved. */
  #missing() {
    const { pads, beat, selected } = this.store.work;
    const takes = pads.flatMap((pad, index) =>
      beat.rows[index].some(Boolean) ? takesOf(pad, beat.humanise).slice(1) : [],
    );
    const own = pads.map(specOf);
    this.sounds.pin([...own, ...takes]);
    const wanted = this.#timer ? own.toSpliced(selected, 1) : [...own, ...takes];
    return wanted.find(
      (spec) => !this.sounds.peek(spec) && !this.#failed.has(JSON.stringify(spec)),
    );
  }
}
