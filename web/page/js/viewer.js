/**
 * Before and after in one place: the divider of img-comparison-slider, fitted or 1:1, moved by hand in 1:1.
 * @module
 */

const STEP = 60;
/** What a key does to the divider, in percent. */
const KEYS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };
/** Small photos are shown larger, up to so many times. */
const ENLARGED = 3;

const find = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const viewer = find("viewer");
const slider = find("slider");
const images = [find("before"), find("after")];
const zoom = find("zoom");

let isOneToOne = false;
/** Place of the photo's upper left corner in the slider, in 1:1. */
let place = { x: 0, y: 0 };
/** How often something was shown: what was decoded too late is not. */
let turn = 0;

/**
 * Show a photo that is not restored yet.
 * @param {string} url
 */
export function showWaiting(url) {
  turn += 1;
  viewer.hidden = false;
  slider.hidden = true;
  for (const tag of viewer.querySelectorAll(".tag")) tag.hidden = true;
  find("waiting").src = url;
  find("waiting").hidden = false;
}

/**
 * Show a photo and its restored version.
 * @param {string} before
 * @param {string} after
 */
export async function showPair(before, after) {
  const mine = (turn += 1);
  images[0].src = before;
  images[1].src = after;
  await Promise.all(images.map((image) => image.decode().catch(() => undefined)));
  if (mine !== turn) return;
  viewer.hidden = false;
  slider.hidden = false;
  for (const tag of viewer.querySelectorAll(".tag")) tag.hidden = false;
  find("waiting").hidden = true;
  setZoom(false);
  slider.value = 50;
  tellPlace();
}

/**
 * @param {boolean} on
 * @param {{x: number, y: number}} [point] of the slider, in shares, that is to stay in the middle
 */
function setZoom(on, point = { x: 0.5, y: 0.5 }) {
  isOneToOne = on;
  zoom.setAttribute("aria-pressed", String(on));
  zoom.textContent = on ? "Fit to the window" : "Zoom to 1:1";
  slider.handle = String(on);
  slider.classList.toggle("moves", on);
  const [width, height] = size();
  place = { x: viewer.clientWidth / 2 - point.x * width, y: viewer.clientHeight / 2 - point.y * height };
  lay();
}

/** Width and height of the photo on the screen. */
function size() {
  const { naturalWidth, naturalHeight } = images[1];
  const fitting = Math.min(viewer.clientWidth / naturalWidth, viewer.clientHeight / naturalHeight);
  const scale = isOneToOne ? 1 / devicePixelRatio : Math.min(fitting, ENLARGED / devicePixelRatio);
  return [naturalWidth * scale, naturalHeight * scale];
}

function lay() {
  const [width, height] = size();
  const [w, h] = [Math.min(width, viewer.clientWidth), Math.min(height, viewer.clientHeight)];
  place = { x: Math.min(Math.max(place.x, w - width), 0), y: Math.min(Math.max(place.y, h - height), 0) };
  Object.assign(slider.style, { width: `${w}px`, height: `${h}px` });
  for (const image of images) {
    Object.assign(image.style, { width: `${width}px`, height: `${height}px` });
    image.style.transform = `translate(${place.x}px, ${place.y}px)`;
    image.style.imageRendering = isOneToOne ? "pixelated" : "auto";
  }
  for (const pane of slider.querySelectorAll(".pane")) Object.assign(pane.style, { width: `${w}px`, height: `${h}px` });
}

/**
 * @param {number} x
 * @param {number} y
 */
function move(x, y) {
  place = { x: place.x + x, y: place.y + y };
  lay();
}

function tellPlace() {
  slider.setAttribute("aria-valuenow", String(Math.round(slider.value)));
  slider.setAttribute("aria-valuetext", `${Math.round(slider.value)} % before`);
}

slider.addEventListener("slide", tellPlace);
find("waiting").addEventListener("error", () => (viewer.hidden = true)); // what is no image is told in words alone
zoom.addEventListener("click", () => setZoom(!isOneToOne));
new ResizeObserver(() => !viewer.hidden && lay()).observe(viewer);

slider.addEventListener("dblclick", (/** @type {MouseEvent} */ event) => {
  const box = slider.getBoundingClientRect();
  setZoom(!isOneToOne, { x: (event.clientX - box.x) / box.width, y: (event.clientY - box.y) / box.height });
});

slider.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
  if (!isOneToOne || /** @type {Element} */ (event.target).closest(".knob") || isOnKnob(event)) return;
  slider.setPointerCapture(event.pointerId);
  const drag = (/** @type {PointerEvent} */ moved) => move(moved.movementX, moved.movementY);
  slider.addEventListener("pointermove", drag);
  slider.addEventListener("lostpointercapture", () => slider.removeEventListener("pointermove", drag), { once: true });
});

/** @param {PointerEvent} event */
function isOnKnob(event) {
  const box = slider.querySelector(".knob").getBoundingClientRect();
  return event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
}

slider.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  const steps = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
  const step = event.shiftKey && isOneToOne && steps[/** @type {keyof typeof steps} */ (event.key)];
  const share = KEYS[/** @type {keyof typeof KEYS} */ (event.key)];
  if (event.ctrlKey || event.altKey || event.metaKey || !share) return;
  event.preventDefault();
  if (step) return move(step[0], step[1]);
  slider.value = Math.min(Math.max(slider.value + share, 0), 100);
  tellPlace();
});
