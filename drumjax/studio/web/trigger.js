/** Hits: of pads by hand, key or MIDI, and of the beat. */

import { encode } from "./files.js";
import { sourced, specOf } from "./model.js";

/** Plays pads. */
export class Trigger {
  /** Told the index of each pad that is played by hand. */
  onPlay = () => {};

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
    this.store.select(index);
    this.onPlay(index);
    const pad = this.store.work.pads[index];
    try {
      const spec = specOf(pad);
      const sound = this.sounds.kept(spec) ?? (await this.sounds.get(spec, `pad ${index}`));
      if (sound) this.#sound(pad, index, sound, { velocity });
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
   * Put a sound of one's own on a pad.
   * @param {File} file
   * @param {number} index
   */
  async take(file, index) {
    this.status.tell(`Listening to ${file.name} …`);
    try {
      const source = await encode(file);
      this.store.select(index);
      this.store.editPad(sourced(this.store.work.pads[index], source, file.name), "", index);
      const cut = source.cut ? "; its end was cut off" : "";
      const kind = source.category.replaceAll("_", " ");
      this.status.tell(`${file.name} is on pad ${index + 1} as a ${kind} (${source.how})${cut}.`);
    } catch (error) {
      this.status.error(error);
    }
  }
}
