/** The log-mel picture of what is heard. */

import { fitted } from "./canvas.js";
import { logMel } from "./fft.js";
import { isDark } from "./theme.js";

const MELS = 64;
const RANGE = 70; // dB below the loudest cell that are still seen

/** The picture's columns; kept, as a resize draws the same ones again. */
export function melOf(samples, sampleRate) {
  const hop = Math.max(32, Math.round(sampleRate / 240));
  const size = 2 ** Math.round(Math.log2(sampleRate / 24));
  return { columns: logMel(samples, { size, hop, mels: MELS, sampleRate }), hop, sampleRate };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{columns: Float32Array[], hop: number, sampleRate: number}} picture see `melOf`
 * @param {{start: number, axis: number, hue: number}} place in seconds, as the waveform's
 */
export function drawSpectrogram(canvas, { columns, hop, sampleRate }, { start, axis, hue }) {
  const { draw, width, height } = fitted(canvas);
  if (!width || !columns.length) return;
  const loudest = Math.max(...columns.map((column) => Math.max(...column)));
  const image = new ImageData(columns.length, MELS);
  const ramp = rampOf(hue);
  columns.forEach((column, x) => {
    column.forEach((level, mel) => {
      const shade = Math.max(0, Math.min(1, 1 + (level - loudest) / RANGE));
      const at = 4 * ((MELS - 1 - mel) * columns.length + x);
      image.data.set(ramp[Math.round(255 * shade)], at);
    });
  });
  const sheet = new OffscreenCanvas(columns.length, MELS);
  sheet.getContext("2d").putImageData(image, 0, 0);
  const pixels = width / axis;
  draw.imageSmoothingQuality = "high";
  const left = (start - hop / sampleRate / 2) * pixels;
  draw.drawImage(sheet, left, 0, (columns.length * hop * pixels) / sampleRate, height);
}

/** 256 colours from nothing to the loudest, through the hue. */
function rampOf(hue) {
  const sheet = new OffscreenCanvas(256, 1);
  const draw = sheet.getContext("2d");
  const gradient = draw.createLinearGradient(0, 0, 256, 0);
  const [low, high] = [towards(hue, 265), towards(hue, 60)];
  const stops = isDark()
    ? [
        `hsl(${low} 60% 8% / 0)`,
        `hsl(${low} 55% 26%)`,
        `hsl(${hue} 68% 56%)`,
        `hsl(${high} 95% 93%)`,
      ]
    : [
        `hsl(${hue} 60% 94% / 0)`,
        `hsl(${high} 55% 80%)`,
        `hsl(${hue} 62% 46%)`,
        `hsl(${low} 75% 15%)`,
      ];
  [0, 0.35, 0.72, 1].forEach((at, i) => gradient.addColorStop(at, stops[i]));
  draw.fillStyle = gradient;
  draw.fillRect(0, 0, 256, 1);
  const { data } = draw.getImageData(0, 0, 256, 1);
  return Array.from({ length: 256 }, (_, i) => data.slice(4 * i, 4 * i + 4));
}

/** A hue, turned a third of the way to another one, the shorter way round. */
function towards(hue, other) {
  return hue + (((other - hue + 540) % 360) - 180) / 3;
}
