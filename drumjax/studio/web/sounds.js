/** Rendered sounds, kept for as long as there is room: the same spec is not rendered twice. */

const MOST = 256; // sounds kept; one of a second takes about 90 kB

/** @typedef {{samples: Float32Array, buffer: AudioBuffer, milliseconds: number}} Sound */

/** Turns specs into AudioBuffers through a renderer. */
export class Sounds {
  #kept = new Map(); // spec as text -> Sound, the oldest first
  #pinned = new Set(); // specs as text
  rendered = 0; // answers so far
  onKept = () => {}; // called when a sound has come in

  /**
   * @param {{render: Function}} renderer
   * @param {{buffer: Function}} output makes AudioBuffers
   */
  constructor(renderer, output) {
    this.renderer = renderer;
    this.output = output;
  }

  /**
   * A sound that is at hand, or undefined.
   * @param {object} spec
   * @returns {Sound | undefined}
   */
  kept(spec) {
    const key = JSON.stringify(spec);
    const sound = this.#kept.get(key);
    if (sound) {
      this.#kept.delete(key);
      this.#kept.set(key, sound);
    }
    return sound;
  }

  /** A sound that is at hand, or undefined; a look does not count as a use. */
  peek(spec) {
    return this.#kept.get(JSON.stringify(spec));
  }

  /**
   * The sound of a spec, rendered where it is not at hand.
   * @param {object} spec
   * @param {string} channel
   * @returns {Promise<Sound | null>} null: superseded by a newer one of that channel
   */
  async get(spec, channel) {
    const kept = this.kept(spec);
    if (kept) return kept;
    const start = performance.now();
    const rendered = await this.renderer.render(spec, channel);
    if (!rendered) return null;
    const buffer = this.output.buffer(rendered.samples, rendered.sampleRate);
    const milliseconds = performance.now() - start;
    const sound = { samples: rendered.samples, buffer, milliseconds };
    this.rendered++;
    this.#keep(JSON.stringify(spec), sound);
    return sound;
  }

  /**
   * Sounds that stay, however many others come in, until this is called again.
   * @param {object[]} specs fewer than there is room for
   */
  pin(specs) {
    this.#pinned = new Set(specs.map((spec) => JSON.stringify(spec)));
  }

  #keep(key, sound) {
    this.#kept.set(key, sound);
    if (this.#kept.size > MOST) {
      this.#kept.delete([...this.#kept.keys()].find((old) => !this.#pinned.has(old)));
    }
    this.onKept();
  }
}
