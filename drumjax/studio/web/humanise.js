/** Humanise: hits a little off in time and strength, and never twice the very same sound. */

import { specOf } from "./model.js";

const LATE = 0.014; // seconds around the step at 100 %
const FORCE = 0.16; // of the velocity around the step's at 100 %
const STRAY = 0.5; // standard deviations by which takes differ at 100 %

// Where the second and third take stand beside the first, along the pad's axes and Fine.
const ASIDE = [
  [0.7, -0.5, 0.5],
  [-0.6, 0.8, -0.4],
];

/**
 * What a pad plays in turn.
 * @param {object} pad
 * @param {number} percent 0: always the same sound
 * @returns {object[]} specs: the pad's own and two beside it
 */
export function takesOf(pad, percent) {
  const reach = (STRAY * Math.ceil(percent / 10)) / 10; // in tenths: each step is to be rendered
  if (!reach) return [specOf(pad)];
  const beside = ASIDE.map((aside) => {
    const alphas = pad.alphas.map((alpha, i) => near(alpha + (reach * aside[i]) / pad.range));
    return specOf({ ...pad, alphas });
  });
  return [specOf(pad), ...beside];
}

function near(alpha) {
  return Math.round(1000 * Math.max(-1, Math.min(1, alpha))) / 1000;
}

/**
 * How one hit strays.
 * @param {number} percent
 * @param {() => number} random 0..1
 * @returns {{late: number, force: number, take: number}} late: seconds; force: added to the
 *   velocity; take: which of `takesOf`
 */
export function stray(percent, random = Math.random) {
  const share = percent / 100;
  const bell = () => random() + random() - 1; // triangular, -1..1
  return {
    late: share * LATE * bell(),
    force: share * FORCE * bell(),
    take: percent ? Math.floor(3 * random()) : 0,
  };
}
