// Puts the page and what it needs of the packages into vheatir/page/, which `vheatir web` serves: `npm run build`.
import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";

const MODELS = ["photo", "denoise-color", "denoise-gray", "jpeg-color", "jpeg-gray"];
/** Fetched at first need, and kept for later: most visitors have no WebGPU, or no use for it. */
const LATER = /webgpu|asyncify/;

const here = (path) => new URL(path, import.meta.url);
const page = here("../vheatir/page/");
rmSync(page, { recursive: true, force: true });
cpSync(here("page/"), page, { recursive: true });

const packages = here("node_modules/");
const runtime = ["ort.wasm.min", "ort-wasm-simd-threaded", "ort.webgpu.min", "ort-wasm-simd-threaded.asyncify"];
for (const name of runtime.flatMap((name) => (name.startsWith("ort.") ? [`${name}.mjs`] : [`${name}.mjs`, `${name}.wasm`]))) {
  cpSync(new URL(`onnxruntime-web/dist/${name}`, packages), new URL(`ort/${name}`, page));
}
cpSync(new URL("img-comparison-slider/dist/index.js", packages), new URL("js/img-comparison-slider.js", page));

// The service worker keeps every file for later, and repeats the policy of the page in headers.
const files = readdirSync(page, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name !== "sw.js" && !LATER.test(entry.name))
  .map((entry) => `${entry.parentPath}/${entry.name}`.replaceAll("//", "/").slice(page.pathname.length))
  .sort();
const models = MODELS.flatMap((name) => [`models/${name}.onnx`, `models/${name}.safetensors`]);
const [, policy] = readFileSync(new URL("index.html", page), "utf8").match(/Content-Security-Policy"\s+content="([^"]+)"/);
const worker = readFileSync(new URL("sw.js", page), "utf8");
writeFileSync(
  new URL("sw.js", page),
  worker.replace('["FILES"]', JSON.stringify([...files, ...models])).replace('"POLICY"', JSON.stringify(policy)),
);
