/**
 * The page: photos come in, are restored one after the other, shown and saved.
 * @module
 */
import { Cancelled, cancel, restore } from "./engine.js";
import { wish } from "./settings.js";
import { showPair, showWaiting } from "./viewer.js";

/**
 * @typedef {object} Photo
 * @property {File} file
 * @property {string} url of the file
 * @property {"waiting" | "working" | "done" | "failed"} state
 * @property {string} words what became of it
 * @property {number} share that is done, 0 to 1
 * @property {Blob} [png]
 * @property {string} [after] url of the result
 * @property {HTMLButtonElement} button in the queue
 */

const JPEG_QUALITY = 0.95;
const find = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

/** @type {Photo[]} */
const photos = [];
/** @type {Photo | undefined} */
let current;
let isWorking = false;

/** @param {Iterable<File>} files */
function add(files) {
  const added = [...files].map((file) => {
    const url = URL.createObjectURL(file);
    /** @type {Photo} */
    const photo = { file, url, state: "waiting", words: "Waiting", share: 0, button: document.createElement("button") };
    photo.button.type = "button";
    photo.button.innerHTML = '<img alt=""><span></span><small></small>';
    const image = /** @type {HTMLImageElement} */ (photo.button.firstChild);
    image.src = url;
    image.addEventListener("error", () => (image.style.visibility = "hidden")); // no sign of a broken image
    photo.button.querySelector("span")?.replaceChildren(file.name);
    photo.button.addEventListener("click", () => select(photo));
    const item = document.createElement("li");
    item.append(photo.button);
    find("queue").append(item);
    tell(photo);
    return photo;
  });
  photos.push(...added);
  if (added.length === 0) return;
  find("drop").classList.add("small");
  if (!isWorking) select(added[0]);
  work();
}

/** Restore what is waiting. */
async function work() {
  if (isWorking) return;
  isWorking = true;
  for (let photo = next(); photo; photo = next()) await restoreOne(photo);
  isWorking = false;
}

const next = () => photos.find(({ state }) => state === "waiting");

/** @param {Photo} photo */
async function restoreOne(photo) {
  const start = performance.now();
  change(photo, { state: "working", words: "Starting", share: 0 });
  try {
    const { png, width, height, model, by, found } = await restore(photo.file, wish(), (share, text) => {
      const left = (performance.now() - start) / 1000 * (1 / share - 1);
      change(photo, { share, words: share > 0 && share < 1 ? `${text}, about ${duration(left)} left` : text });
    });
    if (photo.after) URL.revokeObjectURL(photo.after);
    const time = duration((performance.now() - start) / 1000);
    find("by").textContent = by;
    change(photo, {
      state: "done", share: 1, png, after: URL.createObjectURL(png),
      words: `Restored ${width} × ${height} pixels in ${time}, model ${model}${found && `; found ${found}`}`,
    });
  } catch (error) {
    const words = error instanceof Cancelled ? "Cancelled" : /** @type {Error} */ (error).message;
    change(photo, { state: "failed", words });
  }
}

/** @param {number} seconds */
function duration(seconds) {
  return seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;
}

/**
 * @param {Photo} photo
 * @param {Partial<Photo>} news
 */
function change(photo, news) {
  const isNewState = "state" in news;
  Object.assign(photo, news);
  tell(photo);
  if (photo !== current) return;
  if (isNewState) select(photo);
  else showProgress(photo);
}

/** @param {Photo} photo */
function tell(photo) {
  const short = { waiting: "Waiting", working: `${Math.round(100 * photo.share)} %`, done: "Done", failed: "Failed" };
  const word = photo.words === "Cancelled" ? "Cancelled" : short[photo.state];
  photo.button.querySelector("small")?.replaceChildren(word);
  photo.button.classList.toggle("bad", word === "Failed");
  find("all").hidden = photos.filter(({ state }) => state === "done").length < 2;
}

/** @param {Photo} photo */
function showProgress({ state, words, share }) {
  find("status").hidden = false;
  find("status").classList.toggle("bad", state === "failed" && words !== "Cancelled");
  find("words").setAttribute("aria-live", state === "working" ? "off" : "polite"); // not every part is read aloud
  find("words").textContent = words;
  if (share > 0) find("progress").value = share;
  else find("progress").removeAttribute("value"); // it moves, and says nothing
  find("progress").hidden = find("cancel").hidden = state !== "working";
}

/** @param {Photo} photo */
function select(photo) {
  current = photo;
  for (const { button } of photos) button.setAttribute("aria-current", String(button === photo.button));
  showProgress(photo);
  find("actions").hidden = photo.state !== "done";
  find("again").disabled = photo.state === "waiting" || photo.state === "working";
  if (photo.state === "done" && photo.after) {
    find("png").href = photo.after;
    find("png").download = `${stem(photo)}.png`;
    showPair(photo.url, photo.after);
  } else {
    showWaiting(photo.url);
  }
}

/** @param {Photo} photo */
const stem = ({ file }) => `${file.name.replace(/\.[^.]*$/, "")}-restored`;

/** @param {Photo} photo */
async function saveJpeg(photo) {
  const bitmap = await createImageBitmap(/** @type {Blob} */ (photo.png));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = "#fff"; // JPEG has no transparency
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  canvas.toBlob((blob) => blob && save(URL.createObjectURL(blob), `${stem(photo)}.jpg`), "image/jpeg", JPEG_QUALITY);
}

/**
 * @param {string} href
 * @param {string} download name of the file
 */
function save(href, download) {
  Object.assign(document.createElement("a"), { href, download }).click();
}

find("settings").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  if (!current) return;
  change(current, { state: "waiting", words: "Waiting" });
  work();
});
find("cancel").addEventListener("click", cancel);
find("jpeg").addEventListener("click", () => current && saveJpeg(current));
find("all").addEventListener("click", () => {
  for (const photo of photos) if (photo.after) save(photo.after, `${stem(photo)}.png`);
});
find("files").addEventListener("change", (/** @type {Event} */ event) => {
  const input = /** @type {HTMLInputElement} */ (event.target);
  add(input.files ?? []);
  input.value = "";
});
addEventListener("paste", (event) => add(event.clipboardData?.files ?? []));
addEventListener("dragover", (event) => {
  event.preventDefault();
  find("drop").classList.add("over");
});
addEventListener("dragleave", () => find("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").classList.remove("over");
  add(event.dataTransfer?.files ?? []);
});

/** Offline use; and, on servers that do not isolate the page, one reload with the headers that threads need. */
async function keepOffline() {
  if (!navigator.serviceWorker) return;
  await navigator.serviceWorker.register("sw.js");
  await navigator.serviceWorker.ready;
  document.documentElement.dataset.offline = "ready";
  if (crossOriginIsolated || photos.length > 0 || sessionStorage.getItem("reloaded")) return;
  sessionStorage.setItem("reloaded", "yes");
  location.reload();
}
keepOffline().catch((error) => console.info("Not kept for offline use:", error));
