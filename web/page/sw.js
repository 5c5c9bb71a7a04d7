/**
 * Keeps the page for use offline, and adds the headers that isolate it: threads need them, and the policy forbids
 * connections elsewhere. The build fills in the two constants.
 */
const FILES = ["FILES"];
const POLICY = "POLICY";
const CACHE = "vheatir";
const HEADERS = {
  "Content-Security-Policy": POLICY,
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
};

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(CACHE).then((cache) => Promise.all(["./", ...FILES].map((file) => keep(cache, file)))));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && event.request.url.startsWith(self.registration.scope)) {
    event.respondWith(answer(event.request));
  }
});

/**
 * A file that is missing, the model of a task for one, is no reason to have none offline.
 * @param {Cache} cache
 * @param {string} file
 */
async function keep(cache, file) {
  await cache.add(new Request(file, { cache: "no-cache" })).catch(() => undefined);
}

/**
 * The newest file; without a network the one that was kept.
 * @param {Request} request
 */
async function answer(request) {
  const cache = await caches.open(CACHE);
  let response;
  try {
    response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
  } catch {
    response = await cache.match(request, { ignoreSearch: true });
  }
  if (!response) return Response.error();
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
