/** WebMIDI, where there is one: notes play pads, controllers move the point. */

import { FIRST_NOTE, PADS } from "./model.js";

const ALPHAS = { 1: 0, 16: 0, 17: 1, 18: 2 }; // controller -> x, y, Fine

/**
 * What a message means.
 * @param {Uint8Array} data
 * @returns {{pad: number, velocity: number} | {alpha: number, value: number} | null}
 */
export function meaning([status, first, second]) {
  const kind = status & 0xf0;
  const pad = first - FIRST_NOTE;
  if (kind === 0x90 && second > 0 && pad >= 0 && pad < PADS) return { pad, velocity: second / 127 };
  if (kind !== 0xb0 || !(first in ALPHAS)) return null;
  const value = second === 64 ? 0 : Math.round((2000 * second) / 127 - 1000) / 1000;
  return { alpha: ALPHAS[first], value };
}

/** Whether this browser knows MIDI. */
export function hasMidi() {
  return "requestMIDIAccess" in navigator;
}

/**
 * Listen to all inputs, and to those that are plugged in later.
 * @param {(meaning: object, at: number) => void} onMessage at: the event's time in ms
 * @returns {Promise<string[]>} names of the inputs there are
 */
export async function listen(onMessage) {
  const access = await navigator.requestMIDIAccess();
  const hear = (event) => {
    const message = meaning(event.data);
    if (message) onMessage(message, event.timeStamp);
  };
  const attach = () => {
    for (const input of access.inputs.values()) input.onmidimessage = hear;
  };
  access.onstatechange = attach;
  attach();
  return [...access.inputs.values()].map((input) => input.name);
}
