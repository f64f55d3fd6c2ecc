/** A short-time spectrum of our own: radix-2 FFT, Slaney's mel filters, decibels. */

/** Tables of one size (a power of 2): a Hann window, cosines, sines, the reversed bits' order. */
class Transform {
  constructor(size) {
    this.size = size;
    const bits = Math.log2(size);
    this.order = Uint32Array.from({ length: size }, (_, i) => reversed(i, bits));
    this.cos = Float32Array.from({ length: size / 2 }, (_, i) =>
      Math.cos((2 * Math.PI * i) / size),
    );
    this.hann = Float32Array.from(
      { length: size },
      (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size),
    );
    this.sin = Float32Array.from({ length: size / 2 }, (_, i) =>
      Math.sin((2 * Math.PI * i) / size),
    );
  }

  /** In place, on arrays that are in bit-reversed order already. */
  run(re, im) {
    for (let half = 1; half < this.size; half *= 2) {
      const stride = this.size / (2 * half);
      for (let start = 0; start < this.size; start += 2 * half) {
        for (let k = 0; k < half; k++) this.#butterfly(re, im, start + k, half, k * stride);
      }
    }
  }

  #butterfly(re, im, a, half, turn) {
    const b = a + half;
    const c = this.cos[turn];
    const s = this.sin[turn];
    const x = re[b] * c + im[b] * s;
    const y = im[b] * c - re[b] * s;
    re[b] = re[a] - x;
    im[b] = im[a] - y;
    re[a] += x;
    im[a] += y;
  }
}

function reversed(value, bits) {
  let result = 0;
  for (let i = 0; i < bits; i++) result |= ((value >> i) & 1) << (bits - 1 - i);
  return result;
}

const transforms = new Map();

/**
 * Power spectrum of a Hann-windowed frame.
 * @param {Float32Array} samples
 * @param {number} start of the frame; what lies outside of the samples is 0
 * @param {number} size of the frame, a power of 2
 * @returns {Float32Array} size / 2 + 1 bins
 */
export function power(samples, start, size) {
  if (!transforms.has(size)) transforms.set(size, new Transform(size));
  const transform = transforms.get(size);
  const re = new Float32Array(size);
  const im = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const from = transform.order[i];
    re[i] = (samples[start + from] ?? 0) * transform.hann[from];
  }
  transform.run(re, im);
  return Float32Array.from({ length: size / 2 + 1 }, (_, i) => re[i] ** 2 + im[i] ** 2);
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

/**
 * Log-mel picture of a sound.
 * @param {Float32Array} samples
 * @param {{size: number, hop: number, mels: number, sampleRate: number}} how
 * @returns {Float32Array[]} one column a frame, centred at hop · i: decibels
 */
export function logMel(samples, { size, hop, mels, sampleRate }) {
  const filters = melFilters(mels, size, sampleRate);
  const frames = Math.ceil(samples.length / hop) + 1;
  return Array.from({ length: frames }, (_, i) => {
    const bins = power(samples, i * hop - size / 2, size);
    return Float32Array.from(filters, ({ first, weights }) => {
      let sum = 0;
      for (let j = 0; j < weights.length; j++) sum += weights[j] * bins[first + j];
      return 10 * Math.log10(sum + 1e-12);
    });
  });
}
