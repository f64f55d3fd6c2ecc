/** What a session holds: pads, a beat, and the spec that each pad asks the server for. */

export const PADS = 16;
export const STEPS = 16;
export const FIRST_NOTE = 36; // MIDI note of the first pad
const MORE = ["kick", "snare", "closed_hat", "tom", "tom"]; // who gets a second pad first
const SEEDS = 99999; // dice stay below, so that a seed can be read and typed

export const SHAPE = {
  trim_start: 0,
  length: 0, // seconds kept behind it; 0: all
  reverse: false,
  pitch: 0,
  decay: 1,
  fade: 0,
  gain: 0,
};

// A beat to start from: [category, steps]; 1 = normal, 2 = accent.
const BEAT = [
  ["kick", "2..1..1...2....."],
  ["snare", "....2.......2..1"],
  ["closed_hat", "1.1.1.1.1.1.1..."],
  ["open_hat", "..............1."],
];

/**
 * A pad as it is when nothing has been done to it: a category's sound.
 * @param {string} category
 * @param {number} seed 0: the category's mean
 * @returns {object}
 */
export function newPad(category, seed = 0) {
  return {
    category,
    blend: { with: "", share: 0 },
    seed,
    alphas: [0, 0, 0],
    range: 1,
    attributes: {},
    z: null,
    file: "",
    amount: 0,
    shape: SHAPE,
    locked: false,
  };
}

/**
 * What the server is asked for: the pad's fields without those that stand at their defaults.
 * @param {object} pad
 * @returns {object}
 */
export function specOf(pad) {
  const spec = { category: categoryOf(pad) };
  if (pad.seed) spec.seed = pad.seed;
  if (pad.alphas.some((alpha) => alpha !== 0)) {
    spec.alphas = pad.alphas;
    spec.range = pad.range;
  }
  const attributes = Object.entries(pad.attributes).filter(([, value]) => value !== 0);
  if (attributes.length) spec.attributes = Object.fromEntries(attributes);
  if (pad.z) Object.assign(spec, { z: pad.z, amount: pad.amount });
  const shape = Object.entries(pad.shape).filter(([name, value]) => value !== SHAPE[name]);
  if (shape.length) spec.shape = Object.fromEntries(shape);
  return spec;
}

/**
 * The same sound without its shape: what the crop handles stand on.
 * @param {object} pad
 * @returns {object}
 */
export function rawSpecOf(pad) {
  return specOf({ ...pad, shape: SHAPE });
}

function categoryOf({ category, blend }) {
  const share = Math.round(100 * blend.share) / 100;
  if (!blend.with || blend.with === category || share <= 0) return category;
  if (share >= 1) return blend.with;
  return { [category]: Math.round(100 * (1 - share)) / 100, [blend.with]: share };
}

/** A seed to roll: 1..99999. */
export function dice() {
  return 1 + Math.floor(Math.random() * SEEDS);
}

/**
 * The pad with another sound of its kind. A crop belongs to the old one and is given up; an own
 * sound's variation goes some way, so that something is to be heard.
 * @param {object} pad
 * @param {number} seed
 * @returns {object}
 */
export function reseeded(pad, seed = dice()) {
  const shape = { ...pad.shape, trim_start: 0, length: 0 };
  return { ...pad, seed, shape, amount: pad.z && seed && !pad.amount ? 0.3 : pad.amount };
}

/**
 * The pad playing one's own sound, as the server encoded it.
 * @param {object} pad
 * @param {{z: number[], category: string}} source
 * @param {string} file its name
 * @returns {object}
 */
export function sourced(pad, source, file) {
  return { ...newPad(source.category, 1), z: source.z, file, locked: pad.locked };
}

/**
 * A kit to start from: one pad of each category, then more of those that a beat needs most.
 * @param {string[]} categories
 * @returns {object[]} 16 pads
 */
export function defaultPads(categories) {
  const order = [...categories, ...MORE.filter((name) => categories.includes(name))];
  for (let i = 0; order.length < PADS; i++) order.push(categories[i % categories.length]);
  const seen = {};
  return order.slice(0, PADS).map((category) => {
    seen[category] = (seen[category] ?? -1) + 1;
    return newPad(category, seen[category]);
  });
}

/**
 * Names of the pads, by category and number: kick_01, kick_02, snare_01; own sounds by their file.
 * @param {object[]} pads
 * @returns {string[]}
 */
export function padNames(pads) {
  const seen = {};
  return pads.map((pad) => {
    const word = pad.file ? wordOf(pad.file) : wordOf(labelOf(pad));
    seen[word] = (seen[word] ?? 0) + 1;
    return `${word}_${String(seen[word]).padStart(2, "0")}`;
  });
}

/**
 * The pads' names for the eye: kick, kick 2, closed hat.
 * @param {object[]} pads
 * @returns {string[]}
 */
export function padTitles(pads) {
  const seen = {};
  return pads.map((pad) => {
    const title = pad.file
      ? pad.file.replace(/\.[a-z0-9]+$/i, "")
      : labelOf(pad).replaceAll("_", " ");
    seen[title] = (seen[title] ?? 0) + 1;
    return seen[title] > 1 ? `${title} ${seen[title]}` : title;
  });
}

/** A pad's category in words; of two, both. */
export function labelOf(pad) {
  const category = categoryOf(pad);
  return typeof category === "string" ? category : Object.keys(category).join(" + ");
}

function wordOf(text) {
  const word = text
    .replace(/\.[a-z0-9]+$/i, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_");
  return word.replace(/^_+|_+$/g, "").slice(0, 24) || "sound";
}

/**
 * The beat to start from: for each pad sixteen steps of 0 (off), 1 (normal) or 2 (accent).
 * @param {object[]} pads
 * @returns {object}
 */
export function defaultBeat(pads) {
  const rows = pads.map(() => Array(STEPS).fill(0));
  for (const [category, steps] of BEAT) {
    const row = rows[pads.findIndex((pad) => pad.category === category)];
    if (row) [...steps].forEach((step, i) => (row[i] = Number(step) || 0));
  }
  return { rows, tempo: 112, swing: 20, humanise: 30 };
}

/**
 * A session as it starts.
 * @param {{categories: string[], identity: string}} instrument
 * @returns {object} work: what undo covers; settings: what it does not
 */
export function newSession(instrument) {
  const pads = defaultPads(instrument.categories);
  return {
    identity: instrument.identity,
    work: { pads, beat: defaultBeat(pads), selected: 0 },
    settings: {
      volume: 0.8,
      autoplay: true,
      eight: matchMedia("(max-width: 519px)").matches,
      bank: 0,
      letters: true,
      theme: "",
    },
  };
}
