/**
 * Restores photos in a worker; one at a time.
 * @module
 */

/** Largest side of a tile: as fast as larger ones, and small enough for the 4 GB of WebAssembly. */
const TILE = 512;
const SMALLEST_TILE = 128;

/** @type {Worker | undefined} */
let worker;
/** @type {((reason: Error) => void) | undefined} */
let abort;

/** The visitor cancelled. */
export class Cancelled extends Error {}

/**
 * A worker of a blob is under the page's own policy: it cannot connect elsewhere, whatever headers the server sends.
 */
function started() {
  const script = `import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`;
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  return new Worker(url, { type: "module" });
}

/** End what is being restored, if anything is. */
export function cancel() {
  worker?.terminate();
  worker = undefined;
  abort?.(new Cancelled());
}

/**
 * @param {File} file
 * @param {import("./plan.js").Wish} wish
 * @param {(share: number, text: string) => void} progress
 * @returns {Promise<import("./worker.js").Restored>}
 * @throws an Error with a sentence for the visitor, or Cancelled
 */
export async function restore(file, wish, progress) {
  for (let tile = TILE; tile >= SMALLEST_TILE; tile /= 2) {
    const message = await attempt({ file, wish, tile }, progress);
    if (message.done) return message.done;
    if (!message.outOfMemory) throw new Error(message.failed);
    worker?.terminate(); // the runtime keeps what it has taken; a new one starts empty
    worker = undefined;
  }
  throw new Error(`There is not enough memory for ${file.name}: close other tabs, or use vheatir restore.`);
}

/**
 * @param {import("./worker.js").Job} job
 * @param {(share: number, text: string) => void} progress
 * @returns {Promise<any>} the last message of the worker
 */
function attempt(job, progress) {
  return new Promise((resolve, reject) => {
    abort = reject;
    worker ??= started();
    worker.onmessage = ({ data }) => ("progress" in data ? progress(data.progress, data.text) : resolve(data));
    worker.onerror = (event) => {
      worker = undefined;
      const words = event.message || "its program could not be loaded; reload the page";
      resolve({ failed: `${job.file.name} could not be restored: ${words}` });
    };
    worker.postMessage(job);
  });
}
