/** The status line: the connection, the last render's time, errors in the server's words. */

import { paced } from "./pace.js";

const LINKS = {
  connecting: "Connecting",
  connected: "Connected",
  lost: "The server is gone; reconnecting",
};

/** One line, read out politely. */
export class Status {
  #link = "connecting";
  #timer = 0;
  #words = "";
  #tell = paced(() => (this.took.textContent = this.#words), 100);

  /**
   * @param {HTMLElement} line holds a .text
   * @param {HTMLElement} took beside it, and not read out: what each sound took
   */
  constructor(line, took) {
    this.line = line;
    this.took = took;
    this.text = line.querySelector(".text");
  }

  /** @param {"connecting" | "connected" | "lost"} link */
  link(link) {
    this.#link = link;
    this.line.dataset.link = link;
    this.#say(link === "lost" ? "error" : "", LINKS[link]);
  }

  /** @param {{samples: Float32Array, buffer: AudioBuffer, milliseconds: number}} sound */
  rendered({ samples, buffer, milliseconds }) {
    const length = Math.round((1000 * samples.length) / buffer.sampleRate);
    this.#words = `${length} ms of sound in ${milliseconds.toFixed(0)} ms`;
    this.#tell();
  }

  /** @param {Error} error */
  error(error) {
    this.tell(error.message, "error");
  }

  /**
   * @param {string} sentence stays for a while
   * @param {"" | "error"} kind
   */
  tell(sentence, kind = "") {
    clearTimeout(this.#timer);
    this.#say(kind, sentence);
    this.#timer = setTimeout(() => this.link(this.#link), 8000);
  }

  #say(kind, sentence) {
    this.line.dataset.kind = kind;
    if (this.text.textContent !== sentence) this.text.textContent = sentence;
    this.line.title = sentence;
  }
}
