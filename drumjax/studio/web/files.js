/** Sounds in and out: one's own to the server, WAVs and kits to the disk or the library. */

import { FIRST_NOTE, padNames, specOf } from "./model.js";

const LARGEST = 20 * 2 ** 20; // bytes that the server takes

/** A request to the server; its sentence where it refuses. */
async function ask(path, options) {
  const answer = await fetch(path, { method: "POST", ...options }).catch(() => {
    throw new Error("The server does not answer; see whether it still runs.");
  });
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({}));
  throw new Error(error ?? `The server answers ${answer.status}.`);
}

function asJson(values) {
  return { headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) };
}

/**
 * What a sound file is in the instrument's terms.
 * @param {File} file
 * @returns {Promise<{z: number[], category: string, how: string, cut: boolean}>}
 */
export async function encode(file) {
  if (file.size > LARGEST)
    throw new Error(`${file.name} is too large; choose one of 20 MiB or less.`);
  const headers = { "X-Name": encodeURIComponent(file.name) };
  return (await ask("source", { headers, body: file })).json();
}

/** What /wav and /save take for one pad. */
export function soundRequest({ pads }, index, profile) {
  return { spec: specOf(pads[index]), name: padNames(pads)[index], profile: profile || null };
}

/** What /kit and /save take: the first `count` pads. */
export function kitRequest({ pads }, count, { name, profile, formats }) {
  const names = padNames(pads);
  const chosen = pads.slice(0, count).map((pad, i) => {
    return { name: names[i], note: FIRST_NOTE + i, spec: specOf(pad) };
  });
  return { name, profile: profile || null, formats, pads: chosen };
}

/**
 * Have a file made and offer it to the user.
 * @param {"wav" | "kit"} kind
 * @param {object} request
 * @returns {Promise<string>} the file's name
 */
export async function download(kind, request) {
  const answer = await ask(kind, asJson(request));
  const named = /filename="?([^";]+)/.exec(answer.headers.get("Content-Disposition") ?? "");
  const name = named?.[1] ?? `${request.name}.${kind === "kit" ? "zip" : "wav"}`;
  const url = URL.createObjectURL(await answer.blob());
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  return name;
}

/**
 * Have a sound or a kit written into the server's library.
 * @param {object} request
 * @returns {Promise<string>} the path
 */
export async function save(request) {
  return (await (await ask("save", asJson(request))).json()).path;
}
