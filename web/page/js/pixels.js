/**
 * Image files to pixels, and pixels to upright PNG files.
 * @module
 */

import { savedQuality, takeOrientation } from "./jpeg.js";

const MEGAPIXELS = 100;

/** A file that cannot be restored, in a sentence for the visitor. */
export class PhotoError extends Error {}

/**
 * Read a file; a JPEG file as it is stored, so that its blocks lie on the grid of the tiles.
 * @param {File} file
 * @returns {Promise<{pixels: ImageData, orientation: number, quality: number | null, isDeep: boolean}>} pixels not yet
 *   turned; EXIF orientation, 1 to 8; the quality of a JPEG file; whether the file has 16 bits a channel
 */
export async function readPhoto(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const orientation = takeOrientation(bytes);
  if (await isAnimated(bytes, file.type)) {
    throw new PhotoError(`${file.name} is an animation: save one of its pictures as PNG first.`);
  }
  const bitmap = await createImageBitmap(new Blob([bytes]), { premultiplyAlpha: "none" }).catch(() => {
    throw new PhotoError(
      `${file.name} is not an image that this browser can read, or it is damaged: save it as PNG or JPEG first.`,
    );
  });
  const { width, height } = bitmap;
  if (width * height > MEGAPIXELS * 1e6) {
    const size = Math.round((width * height) / 1e6);
    throw new PhotoError(
      `${file.name} is too large: ${size} megapixels, and this page takes ${MEGAPIXELS}; use vheatir restore.`,
    );
  }
  const context = contextOf(new OffscreenCanvas(width, height));
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const isDeep = bytes[0] === 0x89 && bytes[24] === 16; // PNG's bit depth
  return { pixels: context.getImageData(0, 0, width, height), orientation, quality: savedQuality(bytes), isDeep };
}

/**
 * As far as the browser can tell.
 * @param {Uint8Array} bytes
 * @param {string} type of the file
 */
async function isAnimated(bytes, type) {
  const Decoder = /** @type {any} */ (globalThis).ImageDecoder;
  if (type === "image/jpeg" || !(await Decoder?.isTypeSupported(type).catch(() => false))) return false;
  const decoder = new Decoder({ data: bytes, type });
  const isMoving = await decoder.tracks.ready.then(() => decoder.tracks.selectedTrack.frameCount > 1, () => false);
  decoder.close();
  return isMoving;
}

/**
 * @param {ImageData} pixels
 * @param {number} orientation EXIF orientation, which the file will not need any more
 */
export async function uprightPng(pixels, orientation) {
  const { width, height } = pixels;
  const stored = new OffscreenCanvas(width, height);
  contextOf(stored).putImageData(pixels, 0, 0);
  if (orientation === 1) return stored.convertToBlob();
  const [w, h] = orientation > 4 ? [height, width] : [width, height];
  const turned = new OffscreenCanvas(w, h);
  const context = contextOf(turned);
  context.setTransform(...turn(orientation, w, h));
  context.drawImage(stored, 0, 0);
  return turned.convertToBlob();
}

/**
 * The matrix that an EXIF orientation stands for (EXIF 2.32, tag 0x0112).
 * @param {number} orientation
 * @param {number} w width of the turned image
 * @param {number} h its height
 * @returns {[number, number, number, number, number, number]}
 */
function turn(orientation, w, h) {
  switch (orientation) {
    case 2: return [-1, 0, 0, 1, w, 0];
    case 3: return [-1, 0, 0, -1, w, h];
    case 4: return [1, 0, 0, -1, 0, h];
    case 5: return [0, 1, 1, 0, 0, 0];
    case 6: return [0, 1, -1, 0, w, 0];
    case 7: return [0, -1, -1, 0, w, h];
    case 8: return [0, -1, 1, 0, 0, h];
    default: return [1, 0, 0, 1, 0, 0];
  }
}

/** @param {OffscreenCanvas} canvas */
function contextOf(canvas) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new RangeError("no memory for a canvas");
  return context;
}
