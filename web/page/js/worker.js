/**
 * Restores one photo after the other, away from the page. Cancelling ends the worker.
 * @module
 */
import { giveBackClippedMean } from "./clipping.js";
import { ModelError, network } from "./network.js";
import { PhotoError, readPhoto, uprightPng } from "./pixels.js";
import { planFor } from "./plan.js";
import { restoreInBands } from "./tiling.js";

/**
 * @typedef {{file: File, wish: import("./plan.js").Wish, tile: number}} Job
 * @typedef {object} Restored
 * @property {Blob} png
 * @property {number} width
 * @property {number} height
 * @property {string} model
 * @property {string} by what computed
 * @property {string[]} notes what else there is to tell: levels that were found, what was lost
 */

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ done: await restore(data) });
  } catch (error) {
    self.postMessage(failure(error, data));
  }
};

/**
 * @param {Job} job
 * @returns {Promise<Restored>}
 */
async function restore({ file, wish, tile }) {
  self.postMessage({ progress: 0, text: "Reading" });
  const { pixels, orientation, quality, isDeep } = await readPhoto(file);
  const { width, height } = pixels;
  const isGray = hasEqualChannels(pixels);
  const isRead = wish.task === "jpeg" && wish.level === null && quality !== null;
  const plan = planFor(isRead ? { ...wish, level: quality } : wish, isGray);
  self.postMessage({ progress: 0, text: "Loading the model" });
  const { by, run } = await network(plan.model);
  self.postMessage({ progress: 0, text: "Restoring" });
  const { channels } = plan;
  const image = { width, height, channels, tile, overlap: Math.min(plan.overlap, Math.floor(tile / 2)) };
  const result = new ImageData(width, height);
  const seen = { sigma: 0, quality: 0, area: 0 };
  await restoreInBands(
    image,
    async (rows, columns) => {
      const size = { channels, width: columns.stop - columns.start, height: rows.stop - rows.start };
      const noisy = planesOf(pixels, rows.start, columns.start, size);
      const answer = await run(noisy, size, plan.levels);
      const { restored } = answer;
      if (answer.seen) {
        const area = size.width * size.height;
        seen.sigma += area * answer.seen.sigma;
        seen.quality += area * answer.seen.quality;
        seen.area += area;
      }
      if (!restored.every(Number.isFinite)) throw new Error("the network gave values that are not finite");
      giveBackClippedMean(restored, noisy, size, plan.lostSigma);
      return restored;
    },
    (top, count, band) => writeRows(result, pixels, { top, count, band, channels, isGray }),
    (done, all) => self.postMessage({ progress: done / all, text: `Part ${done} of ${all}` }),
  );
  self.postMessage({ progress: 1, text: "Writing" });
  const found = isRead ? [`JPEG quality ${quality}`] : [];
  if (seen.area && plan.levels.sigma < 0) found.push(`noise ${Math.max(0, seen.sigma / seen.area).toFixed(1)}`);
  if (seen.area && plan.levels.quality < 0) found.push(`JPEG quality ${Math.round(seen.quality / seen.area)}`);
  const notes = found.length > 0 ? [`found ${found.join(", ")}`] : [];
  if (isDeep) notes.push("8 of its 16 bits a channel are kept");
  const size = orientation > 4 ? { width: height, height: width } : { width, height };
  return { ...size, png: await uprightPng(result, orientation), model: plan.model, by, notes };
}

/** @param {ImageData} pixels */
function hasEqualChannels({ data }) {
  for (let i = 0; i < data.length; i += 4) if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return false;
  return true;
}

/**
 * A tile of an image as planes (channels, h, w) from 0 to 1.
 * @param {ImageData} pixels
 * @param {number} top
 * @param {number} left
 * @param {{channels: number, width: number, height: number}} size
 */
function planesOf(pixels, top, left, { channels, width, height }) {
  const planes = new Float32Array(channels * width * height);
  let i = 0;
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      const row = 4 * ((top + y) * pixels.width + left) + c;
      for (let x = 0; x < width; x++) planes[i++] = pixels.data[row + 4 * x] / 255;
    }
  }
  return planes;
}

/**
 * Finished rows into the result, clamped and rounded by its type; alpha as it was.
 * @param {ImageData} result
 * @param {ImageData} source
 * @param {{top: number, count: number, band: Float32Array, channels: number, isGray: boolean}} rows
 */
function writeRows(result, source, { top, count, band, channels, isGray }) {
  const plane = band.length / channels;
  const from = top * source.width;
  for (let i = 0; i < count * source.width; i++) {
    const to = 4 * (from + i);
    for (let c = 0; c < 3; c++) {
      let value = band[Math.min(c, channels - 1) * plane + i];
      if (isGray && channels === 3) value = (band[i] + band[plane + i] + band[2 * plane + i]) / 3;
      result.data[to + c] = 255 * value;
    }
    result.data[to + 3] = source.data[to + 3];
  }
}

/**
 * @param {unknown} error
 * @param {Job} job
 */
function failure(error, { file }) {
  if (error instanceof PhotoError || error instanceof ModelError) return { failed: error.message };
  const words = String(error);
  if (error instanceof RangeError || /memory|alloc|out of bounds/i.test(words)) return { outOfMemory: true };
  return { failed: `${file.name} could not be restored: ${words}` };
}
