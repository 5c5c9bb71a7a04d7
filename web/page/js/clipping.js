/**
 * The mean that noise lost where black and white cut it off, given back as vheatir/inference/clipping.py does.
 * @module
 */

/** Side of the neighbourhood in which clipped pixels are counted. */
const SIDE = 7;
const FARTHEST = 3;
const NEWTON_STEPS = 4;

/**
 * Give back, in place, what the restored values lost.
 * @param {Float32Array} restored (channels, h, w), what a network made of `noisy`
 * @param {Float32Array} noisy (channels, h, w), clipped values are 0 or 1 exactly
 * @param {{channels: number, width: number, height: number}} size
 * @param {number} sigma standard deviation of the noise, white being 1
 */
export function giveBackClippedMean(restored, noisy, { channels, width, height }, sigma) {
  if (sigma <= 0) return;
  const area = width * height;
  for (let c = 0; c < channels; c++) {
    const values = restored.subarray(c * area, (c + 1) * area);
    const source = noisy.subarray(c * area, (c + 1) * area);
    const white = shareAround(source, (value) => value >= 1, width, height);
    const black = shareAround(source, (value) => value <= 0, width, height);
    for (let i = 0; i < area; i++) {
      const value = values[i];
      if (white?.[i]) values[i] += lostBelowWhite(value, white[i], sigma);
      if (black?.[i]) values[i] -= lostBelowWhite(1 - value, black[i], sigma);
    }
  }
}

/**
 * What a value near 1 has lost of its mean.
 * @param {number} mean
 * @param {number} seen share of clipped pixels around
 * @param {number} sigma
 */
function lostBelowWhite(mean, seen, sigma) {
  const far = (1 - mean) / sigma;
  if (far >= FARTHEST) return 0;
  const limit = (/** @type {number} */ t) => Math.min(Math.max(t, 0), FARTHEST);
  let distance = limit(far);
  for (let step = 0; step < NEWTON_STEPS; step++) {
    const share = distribution(distance);
    const density = Math.exp((-distance * distance) / 2) / Math.sqrt(2 * Math.PI);
    distance = limit(distance - (distance * share + density - far) / share);
  }
  const lost = Math.max(far - distance, 0) * sigma;
  return lost * Math.min(Math.max((2 * seen) / (1 - distribution(distance)) - 0.5, 0), 1);
}

/**
 * The normal distribution for t >= 0; Abramowitz and Stegun, 7.1.26, within 1e-7.
 * @param {number} t
 */
function distribution(t) {
  const x = t / Math.SQRT2;
  const s = 1 / (1 + 0.3275911 * x);
  const tail =
    s * (0.254829592 + s * (-0.284496736 + s * (1.421413741 + s * (-1.453152027 + s * 1.061405429))));
  return 1 - (tail * Math.exp(-x * x)) / 2;
}

/**
 * Share of pixels around each that `test` holds for, inside of the image; nothing if it holds for none.
 * @param {Float32Array} values
 * @param {(value: number) => boolean} test
 * @param {number} width
 * @param {number} height
 */
function shareAround(values, test, width, height) {
  if (!values.some(test)) return undefined;
  const half = (SIDE - 1) / 2;
  const rows = new Float32Array(values.length);
  const shares = new Float32Array(values.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const stop = Math.min(x + half, width - 1);
      for (let u = Math.max(x - half, 0); u <= stop; u++) rows[y * width + x] += test(values[y * width + u]) ? 1 : 0;
    }
  }
  for (let y = 0; y < height; y++) {
    const [top, bottom] = [Math.max(y - half, 0), Math.min(y + half, height - 1)];
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let v = top; v <= bottom; v++) sum += rows[v * width + x];
      const across = Math.min(x + half, width - 1) - Math.max(x - half, 0) + 1;
      shares[y * width + x] = sum / ((bottom - top + 1) * across);
    }
  }
  return shares;
}
