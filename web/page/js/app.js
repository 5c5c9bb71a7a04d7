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
 * @property {"waiting" | "working" | "done" | "failed" | "cancelled"} state
 * @property {string} words what became of it
 * @property {number} share that is done, 0 to 1
 * @property {Blob} [png]
 * @property {string} [after] url of the latest result
 * @property {string} [told] words about it
 * @property {HTMLButtonElement} button in the queue
 */

const JPEG_QUALITY = 0.95;
const TITLE = document.title;
const SHORT = { waiting: "Waiting", working: "", done: "Done", failed: "Failed", cancelled: "Cancelled" };
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
    photo.button.title = file.name;
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
  find("queue").scrollLeft = added[0].button.offsetLeft - find("queue").offsetLeft - 6;
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

/**
 * Keep the earlier result, if there is one.
 * @param {Photo} photo
 * @returns {Partial<Photo>}
 */
const cancelled = ({ after, told }) => (after ? { state: "done", words: told } : { state: "cancelled", words: "Cancelled" });

/** @param {Photo} photo */
async function restoreOne(photo) {
  const start = performance.now();
  change(photo, { state: "working", words: "Starting", share: 0 });
  try {
    const { png, width, height, model, by, notes } = await restore(photo.file, wish(), (share, text) => {
      const left = (performance.now() - start) / 1000 * (1 / share - 1);
      change(photo, { share, words: share > 0 && share < 1 ? `${text}, about ${duration(left)} left` : text });
    });
    if (photo.after) URL.revokeObjectURL(photo.after);
    const time = duration((performance.now() - start) / 1000);
    find("by").textContent = by;
    const words = [`Restored ${width} × ${height} pixels in ${time}, model ${model}`, ...notes].join("; ");
    change(photo, { state: "done", share: 1, png, after: URL.createObjectURL(png), words, told: words });
  } catch (error) {
    if (error instanceof Cancelled) change(photo, cancelled(photo));
    else change(photo, { state: "failed", words: /** @type {Error} */ (error).message });
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
  const percent = `${Math.round(100 * photo.share)} %`;
  photo.button.querySelector("small")?.replaceChildren(SHORT[photo.state] || percent);
  photo.button.classList.toggle("bad", photo.state === "failed");
  document.title = photo.state === "working" ? `${percent} - ${TITLE}` : TITLE;
  find("all").hidden = photos.filter(({ after }) => after).length < 2;
  find("cancel-all").hidden = photos.filter(isUnfinished).length < 2;
}

/** @param {Photo} photo */
const isUnfinished = ({ state }) => state === "waiting" || state === "working";

/** @param {Photo} photo */
function showProgress({ state, words, share }) {
  showWords(words, { isBad: state === "failed", isLoud: state !== "working" }); // not every part is read aloud
  if (share > 0) find("progress").value = share;
  else find("progress").removeAttribute("value"); // it moves, and says nothing
  find("progress").hidden = state !== "working";
  find("cancel").hidden = !isUnfinished({ state });
}

/**
 * What belongs to no photo.
 * @param {string} words
 */
function say(words) {
  showWords(words, { isBad: true, isLoud: true });
  if (!current) find("progress").hidden = find("cancel").hidden = true;
}

/**
 * @param {string} words
 * @param {{isBad: boolean, isLoud: boolean}} how isLoud: screen readers read it out
 */
function showWords(words, { isBad, isLoud }) {
  find("status").hidden = false;
  find("status").classList.toggle("bad", isBad);
  find("words").setAttribute("aria-live", isLoud ? "polite" : "off");
  find("words").textContent = words;
}

/** @param {Photo} photo */
function select(photo) {
  current = photo;
  for (const { button } of photos) button.setAttribute("aria-current", String(button === photo.button));
  showProgress(photo);
  find("actions").hidden = photo.state !== "done";
  find("again").disabled = isUnfinished(photo);
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
  /** @type {Blob | null} */
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
  if (!blob) throw new Error("no memory for a canvas");
  save(URL.createObjectURL(blob), `${stem(photo)}.jpg`);
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
find("cancel").addEventListener("click", () => {
  if (current?.state === "working") cancel();
  else if (current) change(current, cancelled(current));
});
find("cancel-all").addEventListener("click", () => {
  for (const photo of photos) if (photo.state === "waiting") change(photo, cancelled(photo));
  cancel();
});
find("jpeg").addEventListener("click", () => {
  if (current) saveJpeg(current).catch(() => say("It cannot be written as JPEG, for want of memory: download PNG."));
});
find("all").addEventListener("click", () => {
  for (const photo of photos) if (photo.after) save(photo.after, `${stem(photo)}.png`);
});
find("files").addEventListener("change", (/** @type {Event} */ event) => {
  const input = /** @type {HTMLInputElement} */ (event.target);
  add(input.files ?? []);
  input.value = "";
});
addEventListener("paste", (event) => {
  const files = event.clipboardData?.files ?? [];
  if (files.length > 0) add(files);
  else say("There is no photo on the clipboard.");
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  find("drop").classList.add("over");
});
addEventListener("dragleave", () => find("drop").classList.remove("over"));
addEventListener("drop", async (event) => {
  event.preventDefault();
  find("drop").classList.remove("over");
  const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry());
  const files = entries.some((entry) => entry?.isDirectory) ? await filesOf(entries) : event.dataTransfer?.files ?? [];
  if (files.length > 0) add(files);
  else say("There is no photo in what was dropped: drop image files, or folders of them.");
});

/**
 * @param {(FileSystemEntry | null)[]} entries files, and folders, of which the images are taken
 * @returns {Promise<File[]>}
 */
async function filesOf(entries) {
  const files = await Promise.all(entries.map(async (/** @type {any} */ entry) => {
    if (entry?.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
    const inside = entry ? await filesOf(await entriesIn(entry.createReader())) : [];
    return inside.filter(({ type }) => type.startsWith("image/"));
  }));
  return files.flat();
}

/**
 * @param {FileSystemDirectoryReader} reader gives some at a time, and none at the end
 * @returns {Promise<FileSystemEntry[]>}
 */
async function entriesIn(reader) {
  /** @type {FileSystemEntry[]} */
  const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  return some.length > 0 ? [...some, ...(await entriesIn(reader))] : [];
}

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
