/** A canvas that is as sharp as the screen. */

const boxes = new WeakMap(); // canvas -> its box, as last observed: reading it costs a layout

/**
 * Fit the canvas' pixels to its box.
 * @param {HTMLCanvasElement} canvas
 * @returns {{draw: CanvasRenderingContext2D, width: number, height: number}} in CSS pixels, cleared
 */
export function fitted(canvas) {
  const { width, height } = boxes.get(canvas) ?? canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const draw = canvas.getContext("2d");
  draw.setTransform(scale, 0, 0, scale, 0, 0);
  draw.clearRect(0, 0, width, height);
  return { draw, width, height };
}

/** Call back when the box of a canvas changes. */
export function onResize(canvas, callback) {
  new ResizeObserver(([{ contentRect }]) => {
    boxes.set(canvas, contentRect);
    callback();
  }).observe(canvas);
}
