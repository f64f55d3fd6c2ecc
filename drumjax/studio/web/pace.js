/** Work that may wait a little, so that what is heard need not. */

/**
 * @param {() => void} work
 * @returns {() => void} asks for a run when the next frame is drawn; requests until then share it
 */
export function framed(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

/**
 * @param {() => void} work
 * @param {number} pause least milliseconds from one run to the next
 * @returns {() => void} asks for a run, soon; requests in between share one
 */
export function paced(work, pause) {
  let [timer, last] = [0, -Infinity];
  return () => {
    if (timer) return;
    const wait = Math.max(0, last + pause - performance.now());
    timer = setTimeout(() => {
      [timer, last] = [0, performance.now()];
      work();
    }, wait);
  };
}
