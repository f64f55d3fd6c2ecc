/** Sliders: a range input, its fill, its value in words, and a way back to its neutral value. */

/**
 * @typedef {object} Slider
 * @property {(value: number) => void} show
 * @property {HTMLInputElement} input
 */

/**
 * Bring a range input to life.
 * @param {HTMLInputElement} input
 * @param {{neutral?: number, reset?: number, format?: (value: number) => string,
 *   output?: HTMLElement, onInput: (value: number, at: number) => void}} how neutral: where the
 *   fill starts; reset: where a double click, Delete or Backspace leads; at: the event's time in ms
 * @returns {Slider}
 */
export function bindSlider(input, how) {
  const { neutral = 0, reset = neutral, format = String, output, onInput } = how;
  let shown = NaN;
  const show = (value) => {
    if (value === shown && Number(input.value) === value) return;
    shown = value;
    if (Number(input.value) !== value) input.value = value;
    fill(input, neutral, value);
    const words = format(value);
    input.setAttribute("aria-valuetext", words);
    if (output) output.textContent = words;
  };
  const set = (value, at) => {
    show(value);
    onInput(value, at);
  };
  input.addEventListener("input", (event) => set(Number(input.value), event.timeStamp));
  input.addEventListener("dblclick", (event) => set(reset, event.timeStamp));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Delete" || event.key === "Backspace") set(reset, event.timeStamp);
  });
  return { show, input };
}

/**
 * Bring a number's input to life; what is being typed is not written over.
 * @param {HTMLInputElement} input
 * @param {(value: number) => void} onChange NaN: what was typed is no number
 * @returns {{show: (value: number) => void}}
 */
export function bindNumber(input, onChange) {
  let typing = false;
  input.addEventListener("input", () => (typing = true));
  input.addEventListener("blur", () => (typing = false));
  input.addEventListener("change", () => {
    typing = false;
    onChange(input.valueAsNumber);
  });
  return {
    show(value) {
      if (!typing && input.value !== String(value)) input.value = value;
    },
  };
}

function fill(input, neutral, value) {
  const share = (x) => (100 * (x - Number(input.min))) / (Number(input.max) - Number(input.min));
  const [a, b] = [share(neutral), share(value)].sort((x, y) => x - y);
  input.style.setProperty("--from", `${a}%`);
  input.style.setProperty("--to", `${b}%`);
}

/**
 * A labelled slider of its own.
 * @param {HTMLElement} parent
 * @param {{id: string, label: string, min: number, max: number, step: number}} of
 *   and all that `bindSlider` takes
 * @returns {Slider}
 */
export function makeSlider(parent, { id, label, min, max, step, ...how }) {
  const row = document.createElement("div");
  row.className = "slider";
  const name = document.createElement("label");
  name.htmlFor = id;
  name.textContent = label;
  const input = Object.assign(document.createElement("input"), {
    type: "range",
    id,
    min,
    max,
    step,
  });
  const output = document.createElement("span");
  output.className = "value";
  output.setAttribute("aria-hidden", "true"); // the input itself says its value
  row.append(name, input, output);
  parent.append(row);
  return bindSlider(input, { ...how, output });
}

/** 0.4 → "40 %" */
export function percent(value) {
  return `${Math.round(100 * value)} %`;
}

/** 0.4 → "+0.40" */
export function signed(value, digits = 2) {
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(digits)}`;
}
