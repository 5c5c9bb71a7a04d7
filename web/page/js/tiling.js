/**
 * Tiles of an image, cut and blended as vheatir/inference/tiling.py does, where the reasons stand.
 * @module
 */

/** Side of a JPEG block: tiles start at its multiples. */
const GRID = 8;

/**
 * One tile's extent along one axis; the weights of all tiles sum to 1 in each pixel.
 * @typedef {{start: number, stop: number, weight: Float32Array}} AxisTile
 */

/** @param {number} length */
const up = (length) => Math.ceil(length / GRID) * GRID;

/** @param {number} length */
const down = (length) => Math.floor(length / GRID) * GRID;

/**
 * From 0 to 1 over the middle half of an overlap; it and its mirror sum to 1.
 * @param {number} index pixel of the overlap
 * @param {number} length of the overlap
 */
function rise(index, length) {
  const position = (index + 0.5) / length;
  return Math.sin(Math.min(Math.max(2 * position - 0.5, 0), 1) * (Math.PI / 2)) ** 2;
}

/**
 * Cover an axis with as few tiles as possible.
 * @param {number} length pixels along the axis
 * @param {number} tile largest side of a tile
 * @param {number} overlap smallest overlap of neighbours, less than the tile
 * @returns {AxisTile[]}
 */
export function axisTiles(length, tile, overlap) {
  if (length <= tile) return [{ start: 0, stop: length, weight: new Float32Array(length).fill(1) }];
  const shared = up(overlap);
  const count = Math.ceil((length - shared) / (down(tile) - shared));
  const side = up(Math.ceil((length + (count - 1) * shared) / count));
  const last = up(length - side);
  const extents = Array.from({ length: count }, (_, index) => {
    const start = down((last * index) / (count - 1));
    return { start, stop: Math.min(start + side, length) };
  });
  const ramps = extents.map(({ start, stop }, index) => {
    const ramp = new Float64Array(stop - start).fill(1);
    const before = index > 0 ? extents[index - 1].stop - start : 0;
    const after = index + 1 < count ? stop - extents[index + 1].start : 0;
    for (let i = 0; i < before; i++) ramp[i] *= rise(i, before);
    for (let i = 0; i < after; i++) ramp[ramp.length - 1 - i] *= rise(i, after);
    return ramp;
  });
  const total = new Float64Array(length);
  ramps.forEach((ramp, index) => ramp.forEach((value, i) => (total[extents[index].start + i] += value)));
  return ramps.map((ramp, index) => {
    const { start, stop } = extents[index];
    return { start, stop, weight: Float32Array.from(ramp, (value, i) => value / total[start + i]) };
  });
}

/**
 * Restore an image piece by piece, holding no more than one band of tiles.
 * @param {object} image
 * @param {number} image.width
 * @param {number} image.height
 * @param {number} image.channels
 * @param {number} image.tile see axisTiles, like overlap
 * @param {number} image.overlap
 * @param {(rows: AxisTile, columns: AxisTile) => Promise<Float32Array>} restore gives a restored tile (channels, h, w)
 * @param {(top: number, count: number, rows: Float32Array) => void} write takes finished rows: `count` of them from
 *   `top` on, the first of each plane of a band (channels, height of the band, width)
 * @param {(done: number, all: number) => void} progress is told of every tile
 */
export async function restoreInBands({ width, height, channels, tile, overlap }, restore, write, progress) {
  const bands = axisTiles(height, tile, overlap);
  const columns = axisTiles(width, tile, overlap);
  /** Lower rows of the band before, which this one shares. */
  let carried = new Float32Array(0);
  for (const [index, rows] of bands.entries()) {
    const side = rows.stop - rows.start;
    const band = new Float32Array(channels * side * width);
    const shared = carried.length / (channels * width);
    for (let c = 0; c < channels; c++) {
      band.set(carried.subarray(c * shared * width, (c + 1) * shared * width), c * side * width);
    }
    for (const [place, column] of columns.entries()) {
      const restored = await restore(rows, column);
      addWeighted(band, restored, rows, column, { channels, width });
      progress(index * columns.length + place + 1, bands.length * columns.length);
    }
    const finished = (bands[index + 1]?.start ?? height) - rows.start;
    write(rows.start, finished, band);
    carried = new Float32Array(channels * (side - finished) * width);
    for (let c = 0; c < channels; c++) {
      const rest = band.subarray((c * side + finished) * width, (c + 1) * side * width);
      carried.set(rest, c * (side - finished) * width);
    }
  }
}

/**
 * @param {Float32Array} band (channels, height of the tile, width of the image)
 * @param {Float32Array} tile (channels, h, w)
 * @param {AxisTile} rows
 * @param {AxisTile} column
 * @param {{channels: number, width: number}} size
 */
function addWeighted(band, tile, rows, column, { channels, width }) {
  const h = rows.stop - rows.start;
  const w = column.stop - column.start;
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < h; y++) {
      const from = (c * h + y) * w;
      const to = (c * h + y) * width + column.start;
      for (let x = 0; x < w; x++) band[to + x] += tile[from + x] * rows.weight[y] * column.weight[x];
    }
  }
}
