/**
 * What the header of a JPEG file tells: how the camera was held, and the quality that it was saved with.
 * @module
 */

/** Quantisation table of luminance, ITU-T T.81, table K.1, in the order of a file: along the anti-diagonals. */
const LUMINANCE = [
  16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51,
  56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
];
const [START_OF_SCAN, TABLES, EXIF_SEGMENT, EXIF] = [0xda, 0xdb, 0xe1, 0x45786966];
/** Markers of frame headers; those between are of other segments. */
const isFrame = (/** @type {number} */ marker) => marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);

/**
 * The segments before the first scan; none of a file of another kind.
 * @param {DataView} view of the file
 * @returns {Generator<{marker: number, start: number, stop: number}>} place of what a segment holds
 */
function* segments(view) {
  if (view.getUint16(0) !== 0xffd8) return;
  for (let at = 2; view.getUint8(at) === 0xff; ) {
    const marker = view.getUint8(at + 1);
    if (marker === START_OF_SCAN) return;
    if (marker === 0xff) {
      at += 1; // a byte that fills up
      continue;
    }
    const stop = at + 2 + view.getUint16(at + 2);
    yield { marker, start: at + 4, stop };
    at = stop;
  }
}

/**
 * @template T
 * @param {Uint8Array} bytes of any file
 * @param {(view: DataView) => T} look
 * @param {T} otherwise what to tell of a file that ends too early, which the decoder will refuse
 */
function lookInto(bytes, look, otherwise) {
  try {
    return look(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return otherwise;
  }
}

/**
 * Return the EXIF orientation of a JPEG file, and set it to 1 in the bytes: browsers always turn what they decode.
 * @param {Uint8Array} bytes of any file
 */
export function takeOrientation(bytes) {
  return lookInto(bytes, (view) => {
    for (const { marker, start } of segments(view)) {
      if (marker === EXIF_SEGMENT && view.getUint32(start) === EXIF) return orientationIn(view, start + 6);
    }
    return 1;
  }, 1);
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

/**
 * The libjpeg quality whose luminance table is nearest to a JPEG file's, as vheatir/imageio/jpeg.py finds it.
 * @param {Uint8Array} bytes of any file
 * @returns {number | null} 1 to 100; null if there is no such table
 */
export function savedQuality(bytes) {
  return lookInto(bytes, (view) => {
    /** @type {Map<number, number[]>} */
    const tables = new Map();
    let first = -1; // table of the first component
    for (const { marker, start, stop } of segments(view)) {
      if (isFrame(marker)) first = view.getUint8(start + 8);
      if (marker !== TABLES) continue;
      for (let at = start; at < stop; ) {
        const wide = view.getUint8(at) > 15;
        const [place, id] = [at + 1, view.getUint8(at) & 15];
        tables.set(id, LUMINANCE.map((_, i) => (wide ? view.getUint16(place + 2 * i) : view.getUint8(place + i))));
        at = place + (wide ? 128 : 64);
      }
    }
    const table = tables.get(first);
    return table ? nearestQuality(table) : null;
  }, null);
}

/** @param {number[]} table */
function nearestQuality(table) {
  const distances = Array.from({ length: 100 }, (_, index) => {
    const quality = index + 1;
    const percent = quality < 50 ? Math.floor(5000 / quality) : 200 - 2 * quality;
    const step = (/** @type {number} */ value) => Math.min(Math.max(Math.floor((value * percent + 50) / 100), 1), 255);
    return LUMINANCE.reduce((sum, value, i) => sum + Math.abs(step(value) - Math.min(table[i], 255)), 0);
  });
  return 1 + distances.indexOf(Math.min(...distances));
}
