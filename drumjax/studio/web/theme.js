/** Dark, light or as the system wishes; and the style sheet's colours for canvases. */

const wish = matchMedia("(prefers-color-scheme: dark)");
const probe = document.createElement("span");
probe.hidden = true;

const read = new Map(); // theme and name -> colour

/** The colour of a custom property in the theme that shows: "rgb(…)". */
export function colour(name) {
  const key = `${isDark()} ${name}`;
  if (!read.has(key)) {
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = `var(--${name})`;
    read.set(key, getComputedStyle(probe).color);
  }
  return read.get(key);
}

/** The hue of a category: the wheel shared out among all of them. */
export function hueOf(category, categories) {
  const index = Math.max(0, categories.indexOf(category));
  return Math.round(18 + (360 * index) / Math.max(1, categories.length)) % 360;
}

/** A hue as it is shown in this theme. */
export function tint(hue, alpha = 1) {
  return isDark() ? `hsl(${hue} 70% 66% / ${alpha})` : `hsl(${hue} 65% 38% / ${alpha})`;
}

/** Whether the dark theme shows. */
export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : wish.matches;
}

/**
 * @param {string} theme "dark", "light", or "": as the system wishes
 * @returns {boolean} whether it is another one than before
 */
export function useTheme(theme) {
  if (theme === (document.documentElement.dataset.theme ?? "")) return false;
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  return true;
}

/** Call back when the system's wish changes. */
export function onSystemTheme(callback) {
  wish.addEventListener("change", callback);
}
