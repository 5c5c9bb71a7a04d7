/**
 * The networks in onnxruntime-web: by WebGPU where there is one that computes the same, else by WebAssembly.
 * @module
 */

const HERE = new URL("..", import.meta.url);
/** Largest difference to WebAssembly that is let through, white being 1. */
const TOLERANCE = 0.5 / 255;
const MOST_THREADS = 8;

/** @type {Map<string, Promise<Network>>} */
const loaded = new Map();

/** A model that could not be fetched. */
export class ModelError extends Error {}

/**
 * @typedef {object} Network
 * @property {string} by what computes: "WebGPU", or "WebAssembly" with the number of threads
 * @property {(planes: Float32Array, size: {channels: number, width: number, height: number},
 *   levels: Record<string, number>) => Promise<Answer>} run restores a tile (channels, h, w)
 * @typedef {object} Answer
 * @property {Float32Array} restored not clamped
 * @property {{sigma: number, quality: number}} [seen] the levels that the photo model estimates
 */

/**
 * @param {string} model
 * @returns {Promise<Network>}
 */
export function network(model) {
  let promise = loaded.get(model);
  if (!promise) {
    promise = load(model);
    promise.catch(() => loaded.delete(model));
    loaded.set(model, promise);
  }
  return promise;
}

/** @param {string} model */
async function load(model) {
  const files = await Promise.all([bytes(`${model}.onnx`), bytes(`${model}.safetensors`)]);
  const runtime = await import(/** @type {any} */ (`${HERE}ort/ort.wasm.min.mjs`));
  prepare(runtime.env);
  const threads = runtime.env.wasm.numThreads;
  const by = `WebAssembly, ${threads} thread${threads === 1 ? "" : "s"}`;
  const wasm = { by, run: runner(runtime, await session(runtime, model, files, "wasm")) };
  return (await byWebGpu(model, files, wasm)) ?? wasm;
}

/**
 * Untested on real graphics cards, so it has to show first that it computes the same.
 * @param {string} model
 * @param {Uint8Array[]} files
 * @param {Network} wasm
 * @returns {Promise<Network | undefined>}
 */
async function byWebGpu(model, files, wasm) {
  try {
    if (!(await /** @type {any} */ (navigator).gpu?.requestAdapter())) return undefined;
    const runtime = await import(/** @type {any} */ (`${HERE}ort/ort.webgpu.min.mjs`));
    prepare(runtime.env);
    const made = await session(runtime, model, files, "webgpu");
    const gpu = { by: "WebGPU", run: runner(runtime, made) };
    const size = { channels: model.endsWith("gray") ? 1 : 3, width: 64, height: 64 };
    const sample = Float32Array.from({ length: size.channels * 64 * 64 }, (_, i) => ((i * 7919) % 256) / 255);
    const { image, ...levels } = Object.fromEntries(made.inputNames.map((/** @type {string} */ name) => [name, 20]));
    if ("strength" in levels) levels.strength = 1;
    const [expected, result] = [await wasm.run(sample, size, levels), await gpu.run(sample, size, levels)];
    return expected.restored.every((value, i) => Math.abs(value - result.restored[i]) < TOLERANCE) ? gpu : undefined;
  } catch (error) {
    console.info("WebGPU is not used:", error);
    return undefined;
  }
}

/** @param {any} env of a runtime */
function prepare(env) {
  env.wasm.wasmPaths = `${HERE}ort/`;
  env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
}

/**
 * @param {any} runtime
 * @param {string} model
 * @param {Uint8Array[]} files graph and weights
 * @param {string} provider
 */
function session(runtime, model, [graph, weights], provider) {
  const externalData = [{ path: `${model}.safetensors`, data: weights }];
  return runtime.InferenceSession.create(graph, { executionProviders: [provider], externalData });
}

/**
 * @param {any} runtime
 * @param {any} made a session
 * @returns {Network["run"]}
 */
function runner(runtime, made) {
  return async (planes, { channels, width, height }, levels) => {
    /** @type {Record<string, any>} */
    const inputs = { image: new runtime.Tensor("float32", planes, [1, channels, height, width]) };
    for (const [name, value] of Object.entries(levels)) {
      inputs[name] = new runtime.Tensor("float32", Float32Array.of(value), [1]);
    }
    const { restored, estimated_sigma: sigma, estimated_quality: quality } = await made.run(inputs);
    return { restored: restored.data, seen: sigma && { sigma: sigma.data[0], quality: quality.data[0] } };
  };
}

/** @param {string} name of a file of the models */
async function bytes(name) {
  const answer = await fetch(new URL(`models/${name}`, HERE)).catch(() => undefined);
  if (!answer?.ok) throw new ModelError(`The model ${name} could not be loaded: try again when you are online.`);
  return new Uint8Array(await answer.arrayBuffer());
}
