/** The waveform: the sound before its shaping, pale; what is heard, in colour, over it. */

import { fitted } from "./canvas.js";
import { colour } from "./theme.js";

// Lengths of the time axis and the distance of its marks, in seconds.
const AXES = [
  [0.1, 0.02],
  [0.2, 0.05],
  [0.3, 0.1],
  [0.5, 0.1],
  [0.75, 0.15],
  [1, 0.2],
  [1.25, 0.25],
  [1.5, 0.5],
  [2, 0.5],
  [3, 1],
  [4, 1],
];

/**
 * Length of the time axis for a sound; it jumps seldom, so that a drag does not make it swim.
 * @param {number} seconds
 * @returns {number} seconds
 */
export function axisFor(seconds) {
  return AXES.find(([length]) => seconds <= length)?.[0] ?? seconds;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{raw: Float32Array, heard: Float32Array, start: number, sampleRate: number,
 *   axis: number, ink: string}} picture start: seconds at which `heard` is drawn; ink: its colour
 */
export function drawWaveform(canvas, { raw, heard, start, sampleRate, axis, ink }) {
  const { draw, width, height } = fitted(canvas);
  if (!width) return;
  drawGrid(draw, width, height, axis);
  const scale = width / (axis * sampleRate); // pixels a sample
  drawEnvelope(draw, raw, 0, scale, height, colour("ghost"));
  drawEnvelope(draw, heard, start * sampleRate * scale, scale, height, ink);
}

function drawGrid(draw, width, height, axis) {
  draw.fillStyle = colour("line");
  draw.fillRect(0, height / 2, width, 1);
  draw.font = "10px system-ui, sans-serif";
  const step = AXES.find(([length]) => length === axis)?.[1] ?? axis / 4;
  for (let time = step; time < axis - step / 2; time += step) {
    const x = Math.round((time / axis) * width);
    draw.fillStyle = colour("line");
    draw.fillRect(x, 0, 1, height);
    draw.fillStyle = colour("muted");
    draw.fillText(`${Math.round(1000 * time)} ms`, x + 4, height - 5);
  }
}

/**
 * Highest and lowest sample of each pixel column, filled from the middle.
 * @param {CanvasRenderingContext2D} draw
 * @param {Float32Array} samples
 * @param {number} left pixels
 * @param {number} scale pixels a sample
 * @param {number} height pixels
 * @param {string} ink
 */
export function drawEnvelope(draw, samples, left, scale, height, ink) {
  const middle = height / 2;
  const columns = Math.ceil(samples.length * scale);
  draw.fillStyle = ink;
  for (let column = 0; column < columns; column++) {
    const from = Math.floor(column / scale);
    const to = Math.max(from + 1, Math.min(samples.length, Math.floor((column + 1) / scale) + 1));
    let [low, high] = [0, 0];
    for (let i = from; i < to && i < samples.length; i++) {
      if (samples[i] < low) low = samples[i];
      if (samples[i] > high) high = samples[i];
    }
    const top = middle - high * (middle - 3);
    draw.fillRect(left + column, top, 1, Math.max(1, (high - low) * (middle - 3)));
  }
}
