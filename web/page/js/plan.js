/**
 * Which model restores a photo, and what it is told: the rules of `vheatir restore`.
 * @module
 */

/**
 * What the visitor asks for.
 * @typedef {object} Wish
 * @property {"photo" | "denoise" | "jpeg"} task
 * @property {number | null} level σ of the noise in 8-bit units, or JPEG quality; null: found by the network
 * @property {number} strength factor of the level
 */

/**
 * @typedef {object} Plan
 * @property {string} model
 * @property {number} channels that it takes
 * @property {Record<string, number>} levels its inputs beside the image
 * @property {number} overlap of neighbouring tiles in pixels
 * @property {number} lostSigma noise that white and black cut off, white being 1; 0 if that is not mended
 */

/** The levels that the networks were trained for. */
export const RANGES = { sigma: [0, 55], quality: [10, 95] };
const UNKNOWN = -1;
const NO_NOISE = 0;
const NO_COMPRESSION = 100;

const OVERLAP = 80;
const OVERLAP_OF_STRONG_NOISE = 112;
const OVERLAP_OF_PHOTOS = 112;
const STRONG_NOISE = 30;

/**
 * @param {Wish} wish
 * @param {boolean} isGray all three channels are equal
 * @returns {Plan}
 */
export function planFor({ task, level, strength }, isGray) {
  if (task === "photo" || level === null) {
    const sigma = task === "jpeg" ? NO_NOISE : UNKNOWN;
    const quality = task === "denoise" ? NO_COMPRESSION : UNKNOWN;
    const levels = { sigma, quality, strength };
    return { model: "photo", channels: 3, levels, overlap: OVERLAP_OF_PHOTOS, lostSigma: 0 };
  }
  const chosen = { model: `${task}-${isGray ? "gray" : "color"}`, channels: isGray ? 1 : 3 };
  if (task === "jpeg") {
    const lowest = RANGES.quality[0];
    const quality = NO_COMPRESSION - (NO_COMPRESSION - Math.max(level, lowest)) * strength;
    return { ...chosen, levels: { quality: Math.max(quality, lowest) }, overlap: OVERLAP, lostSigma: 0 };
  }
  const sigma = Math.min(level * strength, RANGES.sigma[1]);
  const overlap = sigma > STRONG_NOISE ? OVERLAP_OF_STRONG_NOISE : OVERLAP;
  return { ...chosen, levels: { sigma }, overlap, lostSigma: sigma / 255 };
}
