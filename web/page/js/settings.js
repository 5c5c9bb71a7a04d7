/**
 * The form: what to remove, the level, the strength.
 * @module
 */
import { RANGES } from "./plan.js";

const find = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const [form, levels, auto, level, strength] = ["settings", "levels", "auto", "level", "strength"].map(find);
const TASKS = {
  denoise: { name: "Noise σ, of 255", range: RANGES.sigma, start: 25, found: "The network finds it" },
  jpeg: { name: "JPEG quality", range: RANGES.quality, start: 40, found: "Read from the file, or found by the network" },
};

/** @returns {"photo" | "denoise" | "jpeg"} */
const task = () => form.elements.task.value;

/**
 * What the form asks for now.
 * @returns {import("./plan.js").Wish}
 */
export function wish() {
  return { task: task(), level: task() === "photo" || auto.checked ? null : Number(level.value), strength: strength.value / 100 };
}

form.addEventListener("input", (/** @type {Event} */ event) => {
  const chosen = task();
  levels.hidden = chosen === "photo";
  if (chosen !== "photo" && /** @type {HTMLInputElement} */ (event.target).name === "task") {
    const { name, range, start, found } = TASKS[chosen];
    find("level-name").textContent = name;
    find("auto-how").textContent = found;
    [level.min, level.max, level.value] = [...range, start];
  }
  find("level-row").hidden = auto.checked;
  find("level-out").textContent = level.value;
  find("strength-out").textContent = `${strength.value} %`;
  strength.setAttribute("aria-valuetext", `${strength.value} %`);
});
form.reset(); // browsers keep what was chosen before a reload
