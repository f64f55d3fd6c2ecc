/** Hits: of pads by hand, key or MIDI, and of the beat. */

import { encode } from "./files.js";
import { sourced, specOf } from "./model.js";

const LATE = 1000; // milliseconds after which a hit is not played any more

/** Plays pads. */
export class Trigger {
  /** Told the index of each pad that is played by hand. */
  onPlay = () => {};
  #given = 0; // files so far
  #landed = []; // of each pad, the number of the file that it got

  /**
   * @param {{store: object, sounds: object, bank: object, output: object, status: object}} parts
   */
  constructor(parts) {
    Object.assign(this, parts);
  }

  /**
   * Play a pad and show it in the editor.
   * @param {number} index
   * @param {number} velocity 0..1
   */
  async play(index, velocity = 1) {
    this.output.wake();
    const pad = this.store.work.pads[index];
    const spec = specOf(pad);
    const ready = this.sounds.kept(spec);
    if (ready) this.#sound(pad, index, ready, { velocity }); // before anything is drawn
    this.store.select(index);
    this.onPlay(index);
    if (ready) return;
    const hit = performance.now();
    try {
      const sound = await this.sounds.get(spec, `pad ${index}`);
      const late = performance.now() - hit > LATE; // the server was away
      if (sound && !late) this.#sound(pad, index, sound, { velocity });
    } catch (error) {
      this.status.error(error);
    }
  }

  /**
   * A hit of the beat.
   * @param {number} index
   * @param {number} take
   * @param {number} when on the audio clock
   * @param {number} velocity 0..1
   */
  hit(index, take, when, velocity) {
    const sound = this.bank.take(index, take);
    if (sound) this.#sound(this.store.work.pads[index], index, sound, { when, velocity });
  }

  #sound({ category }, index, { buffer }, how) {
    this.output.play(buffer, { ...how, category, group: `pad ${index}` });
  }

  /**
   * Put sounds of one's own on a pad and those behind it.
   * @param {File[]} files
   * @param {number} index of the first one's pad
   */
  async takeAll(files, index) {
    const { work, settings } = this.store;
    const room = work.pads.length / (settings.eight ? 2 : 1) - index;
    const wrong = [];
    for (const [i, file] of files.slice(0, room).entries()) {
      await this.#take(file, index + i).catch((error) => {
        this.status.error(error);
        wrong.push(error.message);
      });
    }
    const left = files.length - room;
    if (left > 0) wrong.push(`The last ${left} of the files found no pad.`);
    if (wrong.length) this.status.error(new Error(wrong.join(" ")));
  }

  async #take(file, index) {
    this.status.tell(`Listening to ${file.name} …`);
    const number = ++this.#given;
    const source = await encode(file);
    if (number < (this.#landed[index] ?? 0)) return; // a newer one is there
    this.#landed[index] = number;
    this.store.select(index);
    this.store.editPad(sourced(this.store.work.pads[index], source, file.name), "", index);
    const cut = source.cut ? "; its end was cut off" : "";
    const kind = source.category.replaceAll("_", " ");
    this.status.tell(`${file.name} is on pad ${index + 1} as a ${kind} (${source.how})${cut}.`);
  }
}
