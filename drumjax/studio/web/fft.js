/** A short-time spectrum of our own: radix-2 FFT, Slaney's mel filters, decibels. */

/** Tables of one size (a power of 2): a Hann window, turns stage by stage, the bits' order. */
class Transform {
  constructor(size) {
    this.size = size;
    const bits = Math.log2(size);
    const turn = (2 * Math.PI) / size;
    this.order = Uint32Array.from({ length: size }, (_, i) => reversed(i, bits));
    this.hann = Float32Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos(turn * i));
    this.cos = new Float32Array(size); // those of a stage of `half` butterflies begin at `half`
    this.sin = new Float32Array(size);
    for (let half = 1; half < size; half *= 2) {
      for (let k = 0; k < half; k++) {
        this.cos[half + k] = Math.cos((Math.PI * k) / half);
        this.sin[half + k] = Math.sin((Math.PI * k) / half);
      }
    }
    this.re = new Float32Array(size);
    this.im = new Float32Array(size);
  }

  /** Two windowed frames as one complex signal, in bit-reversed order. */
  load(samples, first, second) {
    const { size, order, hann, re, im } = this;
    for (let i = 0; i < size; i++) {
      const from = order[i];
      const [a, b] = [first + from, second + from];
      re[i] = a >= 0 && a < samples.length ? samples[a] * hann[from] : 0;
      im[i] = b >= 0 && b < samples.length ? samples[b] * hann[from] : 0;
    }
  }

  run() {
    const { size, cos, sin, re, im } = this;
    for (let half = 1; half < size; half *= 2) {
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const a = start + k;
          const b = a + half;
          const c = cos[half + k];
          const s = sin[half + k];
          const x = re[b] * c + im[b] * s;
          const y = im[b] * c - re[b] * s;
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
  }

  /** Power of either frame: they are the spectrum's Hermitian and anti-Hermitian parts. */
  powers() {
    const { size, re, im } = this;
    const pair = [new Float32Array(size / 2 + 1), new Float32Array(size / 2 + 1)];
    for (let k = 0; k <= size / 2; k++) {
      const mirror = (size - k) % size;
      pair[0][k] = ((re[k] + re[mirror]) ** 2 + (im[k] - im[mirror]) ** 2) / 4;
      pair[1][k] = ((re[k] - re[mirror]) ** 2 + (im[k] + im[mirror]) ** 2) / 4;
    }
    return pair;
  }
}

function reversed(value, bits) {
  let result = 0;
  for (let i = 0; i < bits; i++) result |= ((value >> i) & 1) << (bits - 1 - i);
  return result;
}

const transforms = new Map();

/**
 * Power spectra of two Hann-windowed frames, by one transform.
 * @param {Float32Array} samples
 * @param {number} first start of a frame; what lies outside of the samples is 0
 * @param {number} second start of the other
 * @param {number} size of the frames, a power of 2
 * @returns {Float32Array[]} size / 2 + 1 bins of either
 */
export function powers(samples, first, second, size) {
  if (!transforms.has(size)) transforms.set(size, new Transform(size));
  const transform = transforms.get(size);
  transform.load(samples, first, second);
  transform.run();
  return transform.powers();
}

/** Slaney's mel scale: linear up to 1 kHz, logarithmic above. */
function mel(hertz) {
  return hertz < 1000 ? (3 * hertz) / 200 : 15 + (27 * Math.log(hertz / 1000)) / Math.log(6.4);
}

function hertz(mels) {
  return mels < 15 ? (200 * mels) / 3 : 1000 * Math.exp((Math.log(6.4) * (mels - 15)) / 27);
}

/**
 * Triangular filters, equally spaced in mels, each of area 1.
 * @returns {{first: number, weights: Float32Array}[]} count filters over the bins
 */
export function melFilters(count, size, sampleRate, lowest = 30) {
  const [low, high] = [mel(lowest), mel(sampleRate / 2)];
  const edge = (i) => hertz(low + ((high - low) * i) / (count + 1));
  const bin = sampleRate / size;
  return Array.from({ length: count }, (_, i) => {
    const [a, b, c] = [edge(i), edge(i + 1), edge(i + 2)];
    const first = Math.max(0, Math.floor(a / bin));
    const last = Math.min(size / 2, Math.ceil(c / bin));
    const weights = Float32Array.from({ length: last - first + 1 }, (_, j) => {
      const f = (first + j) * bin;
      return Math.max(0, Math.min((f - a) / (b - a), (c - f) / (c - b))) * (2 / (c - a));
    });
    if (!weights.some((w) => w > 0)) weights[Math.round(b / bin) - first] = 2 / (c - a);
    return { first, weights };
  });
}

const filterBanks = new Map();

/** `melFilters`, made once. */
function filtersOf(...how) {
  const key = how.join();
  if (!filterBanks.has(key)) filterBanks.set(key, melFilters(...how));
  return filterBanks.get(key);
}

/**
 * Log-mel picture of a sound.
 * @param {Float32Array} samples
 * @param {{size: number, hop: number, mels: number, sampleRate: number}} how
 * @returns {Float32Array[]} one column a frame, centred at hop · i: decibels
 */
export function logMel(samples, { size, hop, mels, sampleRate }) {
  const filters = filtersOf(mels, size, sampleRate);
  const frames = Math.ceil(samples.length / hop) + 1;
  const columns = [];
  for (let i = 0; i < frames; i += 2) {
    const start = i * hop - size / 2;
    const pair = powers(samples, start, start + hop, size);
    columns.push(...pair.map((bins) => inMels(bins, filters)));
  }
  return columns.slice(0, frames);
}

function inMels(bins, filters) {
  return Float32Array.from(filters, ({ first, weights }) => {
    let sum = 0;
    for (let j = 0; j < weights.length; j++) sum += weights[j] * bins[first + j];
    return 10 * Math.log10(sum + 1e-12);
  });
}
