/** The beat's clock: looks ahead on the audio clock, so that no delay of the page is heard. */

import { stray } from "./humanise.js";
import { STEPS } from "./model.js";

const AHEAD = 0.12; // seconds that are scheduled in advance
const AHEAD_HIDDEN = 1.5; // of a page that is not seen: browsers wake it once a second
const EVERY = 25; // milliseconds between looks
const LATE = 0.03; // seconds after which a hit is better left out
const LEVELS = [0, 0.72, 1]; // velocity of a normal hit and of an accent

/** Sixteen steps, round and round. */
export class Sequencer {
  #timer = 0;
  #step = 0;
  #next = 0; // time of that step on the audio clock, without swing
  #queue = []; // [time, step] that are yet to be shown
  /** Hits scheduled so far. */
  hits = 0;

  /**
   * @param {{now: () => number, beat: () => object,
   *   hit: (row: number, take: number, when: number, velocity: number) => void,
   *   cancel: () => void, show: (step: number) => void}} how now: the audio clock in seconds;
   *   cancel: take back what is yet to sound; show: -1 at the end
   */
  constructor(how) {
    this.how = how;
  }

  get running() {
    return this.#timer !== 0;
  }

  /** Start from the first step. */
  start() {
    if (this.running) return;
    this.#step = 0;
    this.#next = this.how.now() + 0.06;
    this.#timer = setInterval(() => this.#look(), EVERY);
    this.#look();
    this.#follow();
  }

  /** Schedule nothing more, and take back what was scheduled. */
  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#queue = [];
    this.how.cancel();
    this.how.show(-1);
  }

  #look() {
    const now = this.how.now();
    if (this.#next < now - 1) this.#next = now; // the page slept
    this.#queue = this.#queue.slice(-STEPS); // hidden pages show nothing
    while (this.#next < now + (document.hidden ? AHEAD_HIDDEN : AHEAD)) {
      const { tempo, swing } = this.how.beat();
      const length = 60 / tempo / 4;
      const late = this.#step % 2 ? (length * swing) / 300 : 0; // 100 %: triplets
      this.#schedule(this.#step, this.#next + late);
      this.#next += length;
      this.#step = (this.#step + 1) % STEPS;
    }
  }

  #schedule(step, time) {
    const { rows, humanise } = this.how.beat();
    this.#queue.push([time, step]);
    if (time < this.how.now() - LATE) return;
    rows.forEach((row, index) => {
      if (!row[step]) return;
      const { late, force, take } = stray(humanise);
      const velocity = Math.max(0.1, Math.min(1, LEVELS[row[step]] + force));
      this.how.hit(index, take, Math.max(0, time + late), velocity);
      this.hits++;
    });
  }

  /** Show the steps when they are heard. */
  #follow() {
    if (!this.running) return;
    let shown = -1;
    while (this.#queue.length && this.#queue[0][0] <= this.how.now())
      shown = this.#queue.shift()[1];
    if (shown >= 0) this.how.show(shown);
    requestAnimationFrame(() => this.#follow());
  }
}
