/** What is heard: one AudioContext, voices with velocity, and hats that choke each other. */

const FADE = 0.008; // seconds in which a choked voice ends

// A hit of the key silences what still rings of the values.
const CHOKES = { closed_hat: ["open_hat"] };

/** The loudspeaker's side of the studio. */
export class Output {
  #context = null;
  #master = null;
  #voices = new Set(); // {source, gain, group, start}
  #volume = 0.8;

  /** @param {number} sampleRate the instrument's, in Hz */
  constructor(sampleRate) {
    this.sampleRate = sampleRate;
  }

  /**
   * Wake the context; browsers allow it from the first gesture on. Of a finger, that is its lift.
   * @returns {AudioContext}
   */
  wake() {
    if (!this.#context) this.#open();
    if (this.#context.state !== "running") this.#context.resume();
    return this.#context;
  }

  /** At the instrument's own rate, so that the browser's resampler brings it to the device. */
  #open() {
    const wishes = { latencyHint: "interactive", sampleRate: this.sampleRate };
    try {
      this.#context = new AudioContext(wishes);
    } catch {
      this.#context = new AudioContext({ latencyHint: "interactive" });
    }
    this.#master = this.#context.createGain();
    this.#master.connect(this.#context.destination);
    this.volume = this.#volume;
  }

  /** Seconds on the context's clock; 0 before the first gesture. */
  get time() {
    return this.#context?.currentTime ?? 0;
  }

  /** Loudness, 0..1, as the slider stands. */
  set volume(value) {
    this.#volume = value;
    if (this.#master) this.#master.gain.value = value ** 2;
  }

  /**
   * @param {Float32Array} samples
   * @param {number} sampleRate in Hz
   * @returns {AudioBuffer}
   */
  buffer(samples, sampleRate) {
    const length = Math.max(1, samples.length);
    const buffer = new AudioBuffer({ length, sampleRate, numberOfChannels: 1 });
    buffer.copyToChannel(samples, 0);
    return buffer;
  }

  /**
   * Play a sound.
   * @param {AudioBuffer} buffer
   * @param {{when?: number, velocity?: number, group: string, category: string}} how
   *   when: on the context's clock; velocity: 0..1, its square is the gain; group: a new voice of
   *   it ends the last one; category: for choking
   */
  play(buffer, { when = 0, velocity = 1, group, category }) {
    const context = this.wake();
    const start = Math.max(when, context.currentTime);
    const source = new AudioBufferSourceNode(context, { buffer });
    const gain = new GainNode(context, { gain: velocity ** 2 });
    source.connect(gain).connect(this.#master);
    for (const voice of this.#voices) {
      const same = voice.group === group;
      if (same && voice.start === start) this.#drop(voice); // as while the clock stands still
      const cut = same || CHOKES[category]?.includes(voice.category);
      if (cut && voice.start < start && !voice.ends) this.#end(voice, start);
    }
    const voice = { source, gain, group, category, start };
    this.#voices.add(voice);
    source.onended = () => this.#voices.delete(voice);
    source.start(start);
  }

  /** Take back what is yet to come, and the ends that it would have made of what sounds. */
  cancel() {
    const now = this.time;
    for (const voice of this.#voices) {
      if (voice.start > now) this.#drop(voice);
      else if (voice.ends > now) this.#goOn(voice, now);
    }
  }

  #goOn(voice, now) {
    voice.ends = 0;
    voice.gain.gain.cancelScheduledValues(now);
    voice.source.stop(voice.start + voice.source.buffer.duration);
  }

  /** Make it as if a voice had never been. */
  #drop(voice) {
    this.#voices.delete(voice);
    voice.source.disconnect();
  }

  #end(voice, when) {
    const { source, gain } = voice;
    voice.ends = when;
    gain.gain.setValueAtTime(gain.gain.value, when);
    gain.gain.linearRampToValueAtTime(0, when + FADE);
    source.stop(when + FADE);
  }
}
