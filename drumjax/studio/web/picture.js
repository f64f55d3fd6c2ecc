/** Waveform and log-mel picture on one time axis, with the crop's handles over both. */

import { onResize } from "./canvas.js";
import { paced } from "./pace.js";
import { drawSpectrogram, melOf } from "./spectrogram.js";
import { tint } from "./theme.js";
import { axisFor, drawWaveform } from "./waveform.js";

const PACE = 80; // milliseconds between two spectra
const LEAST = 0.005; // seconds that a crop leaves

/** Shows a sound, and lets it be cropped. */
export class Picture {
  #sound = null; // {raw, heard, start, sampleRate, hue}
  #mel = null; // columns of the sound, once they are made

  /**
   * @param {() => object} shape the selected pad's, as it stands
   * @param {(start: number, length: number, at: number) => void} onCrop seconds taken off the
   *   start, and seconds kept behind it; 0: all
   */
  constructor(shape, onCrop) {
    const find = (id) => document.getElementById(id);
    this.shape = shape;
    this.onCrop = onCrop;
    this.wave = find("wave");
    this.mel = find("mel");
    this.box = find("scope");
    this.inputs = [find("crop-start"), find("crop-end")];
    this.handles = this.inputs.map((input) => input.closest(".handle"));
    this.shades = [...document.querySelectorAll("#crop .shade")];
    this.handles.forEach((handle, side) => this.#bind(handle, side));
    for (const canvas of [this.wave, this.mel]) onResize(canvas, () => this.draw());
  }

  /**
   * @param {{raw: Float32Array, heard: Float32Array, start: number, sampleRate: number,
   *   hue: number}} sound raw: before its shaping; start: seconds that the shaping took off
   */
  show(sound) {
    const fresh = sound.heard !== this.#sound?.heard;
    this.#sound = sound;
    if (fresh) this.#mel = null;
    this.draw();
  }

  /** Move the handles alone, while the sound is being made. */
  showCrop() {
    if (this.#sound) this.#place();
  }

  /** Draw anew what is shown: another size, another theme. */
  draw() {
    if (!this.#sound) return;
    const { raw, heard, start, sampleRate, hue } = this.#sound;
    drawWaveform(this.wave, { raw, heard, start, sampleRate, axis: this.axis, ink: tint(hue) });
    this.#place();
    this.#drawMel();
  }

  /** The spectrum takes longer than all else: in a drag, it follows at its own pace. */
  #drawMel = paced(() => {
    const { heard, start, sampleRate, hue } = this.#sound;
    this.#mel ??= melOf(heard, sampleRate);
    drawSpectrogram(this.mel, this.#mel, { start, axis: this.axis, hue });
  }, PACE);

  /** Seconds of the sound before its shaping. */
  get length() {
    return this.#sound ? this.#sound.raw.length / this.#sound.sampleRate : 0;
  }

  /** Seconds that the picture is wide. */
  get axis() {
    const { heard, start, sampleRate } = this.#sound;
    return axisFor(Math.max(this.length, start + heard.length / sampleRate));
  }

  /** Where the handles stand, in seconds: within the sound, however short it has become. */
  #edges() {
    const { trim_start, length } = this.shape();
    const start = Math.min(trim_start, Math.max(0, this.length - LEAST));
    const end = length ? Math.min(this.length, trim_start + length) : this.length;
    return [start, Math.max(start + LEAST, end)];
  }

  #place() {
    const edges = this.#edges();
    const [left, right] = edges.map((edge) => Math.min(100, (100 * edge) / this.axis));
    this.handles[0].style.left = `${left}%`;
    this.handles[1].style.left = `${right}%`;
    this.shades[0].style.width = `${left}%`;
    this.shades[1].style.width = `${100 - right}%`;
    this.inputs.forEach((input, side) => {
      input.max = Math.ceil(1000 * this.length);
      input.value = Math.round(1000 * edges[side]);
      input.setAttribute("aria-valuetext", `${Math.round(1000 * edges[side])} ms`);
    });
  }

  #bind(handle, side) {
    const at = (event) => {
      const box = this.box.getBoundingClientRect();
      return ((event.clientX - box.left) / box.width) * this.axis;
    };
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      this.inputs[side].focus({ preventScroll: true });
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId)) this.#set(side, at(event), event.timeStamp);
    });
    handle.addEventListener("dblclick", (event) => {
      this.#set(side, side ? this.length : 0, event.timeStamp);
    });
    this.inputs[side].addEventListener("input", (event) => {
      this.#set(side, Number(this.inputs[side].value) / 1000, event.timeStamp);
    });
    this.inputs[side].addEventListener("keydown", (event) => {
      if (event.key !== "Delete" && event.key !== "Backspace") return;
      this.#set(side, side ? this.length : 0, event.timeStamp);
    });
  }

  /** One handle to a time in seconds; the other one stays, and something remains between them. */
  #set(side, time, stamp) {
    if (!this.#sound) return;
    const edges = this.#edges();
    edges[side] = side
      ? Math.max(edges[0] + LEAST, Math.min(this.length, time))
      : Math.min(edges[1] - LEAST, Math.max(0, time));
    const [start, end] = edges.map((edge) => Math.round(10000 * edge) / 10000);
    const whole = edges[1] >= this.length - 1e-6;
    this.onCrop(start, whole ? 0 : Math.round(10000 * (end - start)) / 10000, stamp);
  }
}
