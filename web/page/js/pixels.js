/**
 * Image files to pixels, and pixels to upright PNG files.
 * @module
 */

const MEGAPIXELS = 100;

/** A file that cannot be restored, in a sentence for the visitor. */
export class PhotoError extends Error {}

/**
 * Read a file; a JPEG file as it is stored, so that its blocks lie on the grid of the tiles.
 * @param {File} file
 * @returns {Promise<{pixels: ImageData, orientation: number}>} pixels not yet turned; EXIF orientation, 1 to 8
 */
export async function readPhoto(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const orientation = takeOrientation(bytes);
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
  return { pixels: context.getImageData(0, 0, width, height), orientation };
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

/**
 * Return the EXIF orientation of a JPEG file, and set it to 1 in the bytes: browsers always turn what they decode.
 * @param {Uint8Array} bytes of any file
 */
export function takeOrientation(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (view.getUint16(0) !== 0xffd8) return 1;
    for (let at = 2; view.getUint8(at) === 0xff; at += 2 + view.getUint16(at + 2)) {
      const marker = view.getUint8(at + 1);
      if (marker === 0xda) return 1;
      if (marker === 0xe1 && view.getUint32(at + 4) === 0x45786966) return orientationIn(view, at + 10); // "Exif"
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a file that ends too early, which the decoder will tell
  }
  return 1;
}

/**
 * @param {DataView} view
 * @param {number} start of the TIFF structure
 */
function orientationIn(view, start) {
  const little = view.getUint16(start) === 0x4949;
  const directory = start + view.getUint32(start + 4, little);
  for (let entry = 0; entry < view.getUint16(directory, little); entry++) {
    const at = directory + 2 + 12 * entry;
    if (view.getUint16(at, little) !== 0x0112) continue;
    const orientation = view.getUint16(at + 8, little);
    if (orientation < 1 || orientation > 8) return 1;
    view.setUint16(at + 8, 1, little);
    return orientation;
  }
  return 1;
}
