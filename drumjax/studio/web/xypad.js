/** The pad: α₁ to the right, α₂ upwards; a pointer drags the point, arrow keys move it. */

import { fitted, onResize } from "./canvas.js";
import { colour, tint } from "./theme.js";

const STEP = 0.05; // a press of an arrow key; a fifth of it with Shift

/** A group of two range inputs under a canvas. */
export class XYPad {
  #point = [0, 0, 0]; // as it is drawn
  #hue = 0;
  #trail = []; // where the drag has been
  #held = false;

  /**
   * @param {HTMLElement} group holds a canvas and two range inputs, x and y
   * @param {() => number[]} point x, y, fine, as they stand
   * @param {(x: number, y: number, at: number) => void} onMove at: the event's time in ms
   */
  constructor(group, point, onMove) {
    this.group = group;
    this.point = point;
    this.canvas = group.querySelector("canvas");
    this.inputs = [...group.querySelectorAll("input")];
    this.onMove = onMove;
    group.addEventListener("pointerdown", (event) => this.#grab(event));
    const moves = "onpointerrawupdate" in window ? "pointerrawupdate" : "pointermove";
    group.addEventListener(moves, (event) => this.#drag(event)); // raw: waits for no frame
    group.addEventListener("lostpointercapture", () => (this.#held = false));
    group.addEventListener("dblclick", (event) => this.#move(0, 0, event.timeStamp));
    group.addEventListener("keydown", (event) => this.#key(event));
    for (const input of this.inputs) {
      input.addEventListener("input", (event) => this.#typed(event.timeStamp));
    }
    onResize(this.canvas, () => this.draw());
  }

  /**
   * @param {number[]} alphas x, y, fine
   * @param {number} hue
   */
  show(alphas, hue) {
    if (!this.#held) this.#trail = [];
    else if (this.#point.some((alpha, i) => alpha !== alphas[i])) {
      this.#trail = [...this.#trail.slice(-80), this.#point];
    }
    this.#point = alphas;
    this.#hue = hue;
    this.inputs.forEach((input, i) => {
      input.value = alphas[i];
      input.setAttribute("aria-valuetext", alphas[i].toFixed(2));
    });
    this.draw();
  }

  #grab(event) {
    if (event.button !== 0 || this.#held) return; // a second finger moves nothing
    event.preventDefault();
    this.#trail = [];
    this.#held = true;
    this.group.setPointerCapture(event.pointerId);
    this.inputs[0].focus({ preventScroll: true });
    this.#drag(event);
    this.draw(); // without the trail, if the point stays where it is
  }

  #drag(event) {
    if (!this.group.hasPointerCapture(event.pointerId)) return;
    const box = this.canvas.getBoundingClientRect();
    const x = (2 * (event.clientX - box.left)) / box.width - 1;
    const y = 1 - (2 * (event.clientY - box.top)) / box.height;
    this.#move(x, y, event.timeStamp);
  }

  #key(event) {
    const step = event.shiftKey ? STEP / 5 : STEP;
    const [x, y] = this.point();
    const moves = {
      ArrowLeft: [x - step, y],
      ArrowRight: [x + step, y],
      ArrowUp: [x, y + step],
      ArrowDown: [x, y - step],
      Home: [0, 0],
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#move(...move, event.timeStamp);
  }

  /** A range input was set by other means: a screen reader, a pen. */
  #typed(at) {
    this.#move(...this.inputs.map((input) => Number(input.value)), at);
  }

  #move(x, y, at) {
    const clip = (value) => Math.round(1000 * Math.max(-1, Math.min(1, value))) / 1000;
    const [right, up] = [clip(x), clip(y)];
    const [across, high] = this.point();
    if (right === across && up === high) return;
    this.onMove(right, up, at);
  }

  /** Grid, trail, and the point with a ring that shows Fine. */
  draw() {
    const { draw, width, height } = fitted(this.canvas);
    if (!width) return;
    const place = ([x, y]) => [((x + 1) / 2) * width, ((1 - y) / 2) * height];
    this.#grid(draw, width, height);
    draw.strokeStyle = tint(this.#hue, 0.35);
    draw.lineWidth = 2;
    draw.beginPath();
    for (const point of [...this.#trail, this.#point]) draw.lineTo(...place(point));
    draw.stroke();
    this.#dot(draw, ...place(this.#point), width, height);
  }

  #grid(draw, width, height) {
    const glow = draw.createRadialGradient(
      width / 2,
      height / 2,
      0,
      width / 2,
      height / 2,
      width * 0.7,
    );
    glow.addColorStop(0, tint(this.#hue, 0.16));
    glow.addColorStop(1, tint(this.#hue, 0));
    draw.fillStyle = glow;
    draw.fillRect(0, 0, width, height);
    for (let i = 1; i < 8; i++) {
      draw.fillStyle = colour(i === 4 ? "edge" : "line");
      draw.fillRect(Math.round((i * width) / 8), 0, 1, height);
      draw.fillRect(0, Math.round((i * height) / 8), width, 1);
    }
    draw.font = "11px system-ui, sans-serif";
    draw.fillStyle = colour("muted");
    draw.fillText("α₁", width - 18, height / 2 - 6);
    draw.fillText("α₂", width / 2 + 6, 14);
  }

  #dot(draw, x, y, width, height) {
    draw.strokeStyle = tint(this.#hue, 0.3);
    draw.lineWidth = 1;
    draw.beginPath();
    draw.moveTo(x, 0);
    draw.lineTo(x, height);
    draw.moveTo(0, y);
    draw.lineTo(width, y);
    draw.stroke();
    draw.lineWidth = 3;
    draw.strokeStyle = tint(this.#hue, 0.3);
    draw.beginPath();
    draw.arc(x, y, 15, 0, 2 * Math.PI);
    draw.stroke();
    draw.strokeStyle = tint(this.#hue);
    draw.beginPath();
    const turn = Math.PI * this.#point[2];
    draw.arc(x, y, 15, -Math.PI / 2 + Math.min(0, turn), -Math.PI / 2 + Math.max(0, turn));
    draw.stroke();
    draw.fillStyle = tint(this.#hue);
    draw.beginPath();
    draw.arc(x, y, 7, 0, 2 * Math.PI);
    draw.fill();
  }
}
