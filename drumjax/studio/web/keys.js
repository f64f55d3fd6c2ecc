/** Keys that work everywhere on the page. */

import { KEYS } from "./pads.js";

/**
 * @param {Record<string, () => void>} actions play, run, undo, redo, help, dice, previous, next,
 *   mean, lock
 * @param {(index: number) => void} playPad
 * @param {() => boolean} letters whether single keys act
 */
export function listen(actions, playPad, letters) {
  const named = {
    p: "run",
    n: "dice",
    m: "mean",
    l: "lock",
    "[": "previous",
    "]": "next",
    "?": "help",
  };
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || isTyping(event.target)) return;
    const action =
      shortcut(event) ?? (event.key === " " && !usesSpace(event.target) ? "play" : null);
    if (action) {
      event.preventDefault();
      if (action !== "play" || !event.repeat) actions[action]();
      return;
    }
    if (!letters() || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const pad = event.shiftKey ? -1 : KEYS.indexOf(event.code);
    if (event.target instanceof HTMLSelectElement) return; // letters choose there
    if (pad >= 0) playPad(pad);
    else if (named[event.key.toLowerCase()]) actions[named[event.key.toLowerCase()]]();
    else return;
    event.preventDefault();
  });
}

/** Ctrl+Z, Ctrl+Shift+Z, Ctrl+Y; ⌘ on a Mac. */
function shortcut(event) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return null;
  const key = event.key.toLowerCase();
  if (key === "z") return event.shiftKey ? "redo" : "undo";
  return key === "y" ? "redo" : null;
}

function isTyping(target) {
  return target instanceof HTMLInputElement && ["text", "number"].includes(target.type);
}

/** Buttons, boxes and menus mean something else by Space. */
function usesSpace(target) {
  return (
    target.closest("button, select, summary, input[type=checkbox], input[type=radio]") !== null
  );
}
