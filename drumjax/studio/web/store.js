/** The session's state: changed in one place, undone, and kept in the browser. */

const KEY = "drumjax.session";
const MOST = 200; // steps back
const MERGE = 700; // milliseconds in which changes of one kind are one step

/** Holds {identity, work, settings}; never mutated, always replaced. */
export class Store {
  #past = [];
  #future = [];
  #last = { kind: "", at: 0 };
  #listeners = [];
  #saving = 0;

  /** @param {object} session */
  constructor(session) {
    this.session = session;
  }

  get work() {
    return this.session.work;
  }

  get settings() {
    return this.session.settings;
  }

  get pad() {
    return this.work.pads[this.work.selected];
  }

  /** @param {() => void} listener told of every change */
  subscribe(listener) {
    this.#listeners.push(listener);
  }

  /**
   * Change what undo covers.
   * @param {object} change fields of work
   * @param {string} kind changes of one kind in quick succession are undone together; "": alone
   */
  edit(change, kind = "") {
    const now = performance.now();
    const merged = kind && kind === this.#last.kind && now - this.#last.at < MERGE;
    if (!merged) this.#past.push(this.work);
    if (this.#past.length > MOST) this.#past.shift();
    this.#last = { kind, at: now };
    this.#future = [];
    this.#set({ ...this.session, work: { ...this.work, ...change } });
  }

  /**
   * Change a pad; the selected one, unless told otherwise.
   * @param {object} change fields of the pad
   * @param {string} kind see `edit`
   * @param {number} index
   */
  editPad(change, kind = "", index = this.work.selected) {
    const pads = this.work.pads.with(index, { ...this.work.pads[index], ...change });
    this.edit({ pads }, kind && `${kind} ${index}`);
  }

  /** @param {object} change fields of work.beat */
  editBeat(change, kind = "") {
    this.edit({ beat: { ...this.work.beat, ...change } }, kind);
  }

  /** @param {number} index the pad that the editor shows from now on */
  select(index) {
    if (index === this.work.selected) return;
    this.#last = { kind: "", at: 0 };
    this.#set({ ...this.session, work: { ...this.work, selected: index } });
  }

  /** @param {object} change fields of the settings, which undo leaves alone */
  set(change) {
    this.#set({ ...this.session, settings: { ...this.settings, ...change } });
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  undo() {
    this.#travel(this.#past, this.#future);
  }

  redo() {
    this.#travel(this.#future, this.#past);
  }

  #travel(from, to) {
    if (!from.length) return;
    to.push(this.work);
    this.#last = { kind: "", at: 0 };
    this.#set({ ...this.session, work: from.pop() });
  }

  #set(session) {
    this.session = session;
    for (const listener of this.#listeners) listener();
    clearTimeout(this.#saving);
    this.#saving = setTimeout(() => this.save(), 300);
  }

  /** Keep the session in the browser now, if it has changed. */
  save() {
    if (!this.#saving) return;
    clearTimeout(this.#saving);
    this.#saving = 0;
    try {
      localStorage.setItem(KEY, JSON.stringify(this.session));
    } catch {
      // private windows and full stores keep nothing
    }
  }
}

/**
 * The session kept in this browser, if it belongs to this instrument.
 * @param {object} fresh a new session of the instrument: what is missing comes from it
 * @returns {object}
 */
export function restored(fresh) {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "null");
    if (kept?.identity !== fresh.identity || !fits(kept, fresh)) return fresh;
    return { ...fresh, ...kept, settings: { ...fresh.settings, ...kept.settings } };
  } catch {
    return fresh;
  }
}

/** Whether a kept session has the form that this page writes. */
function fits(kept, fresh) {
  const { pads, beat, selected } = kept.work;
  const fields = Object.keys(fresh.work.pads[0]);
  return (
    pads.length === fresh.work.pads.length &&
    pads.every((pad) => fields.every((field) => field in pad)) &&
    beat.rows.length === pads.length &&
    beat.rows.every((row) => row.length === fresh.work.beat.rows[0].length) &&
    selected in pads
  );
}
