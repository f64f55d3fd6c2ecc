/** The session's state: changed in one place, undone, and kept in the browser. */

const keyOf = ({ identity }) => `drumjax.session.${identity}`; // each instrument has its own
const MOST = 200; // steps back
const MERGE = 700; // milliseconds in which changes of one kind are one step

/** Holds {identity, work, settings}; never mutated, always replaced. */
export class Store {
  #past = [];
  #future = [];
  #last = { kind: "", at: 0 };
  #listeners = [];
  #saving = 0;
  /** Whether a pointer holds a control of the selected pad. */
  held = false;

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

  /**
   * @param {(how: {moving: boolean, quiet: boolean}) => void} listener told of changes; moving: one
   *   of many in a drag; quiet: of another page
   */
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
    if (!merged) this.#remember();
    this.#future = [];
    this.#last = { kind, at: now };
    this.#set({ ...this.session, work: { ...this.work, ...change } }, kind !== "");
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

  /** @param {number} index the pad that the editor shows from now on, unless a hand holds it */
  select(index) {
    if (index === this.work.selected || this.held) return;
    this.#last = { kind: "", at: 0 };
    this.#set({ ...this.session, work: { ...this.work, selected: index } });
  }

  /**
   * @param {object} change fields of the settings, which undo leaves alone
   * @param {boolean} moving one of many in a drag
   */
  set(change, moving = false) {
    this.#set({ ...this.session, settings: { ...this.settings, ...change } }, moving);
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
    const work = from.pop();
    this.#set({ ...this.session, work: { ...work, selected: this.#concerned(work) } });
  }

  /**
   * The pad that a step of undo changes, if it is one and is shown, and no hand holds another; or
   * else the selected one.
   */
  #concerned({ pads }) {
    if (this.held) return this.work.selected;
    const changed = [...pads.keys()].filter((index) => pads[index] !== this.work.pads[index]);
    const shown = this.settings.eight ? pads.length / 2 : pads.length;
    return changed.length === 1 && changed[0] < shown ? changed[0] : this.work.selected;
  }

  #set(session, moving = false) {
    this.#tell(session, { moving, quiet: false });
    clearTimeout(this.#saving);
    this.#saving = setTimeout(() => this.save(), 300);
  }

  #tell(session, how) {
    this.session = session;
    for (const listener of this.#listeners) listener(how);
  }

  /**
   * Another page of this browser has kept its session: this one shows it, too, rather than write
   * its own over it. The selection is each page's own.
   * @param {StorageEvent} event
   */
  adopt({ key, newValue }) {
    if (key !== keyOf(this.session) || !newValue) return;
    clearTimeout(this.#saving);
    this.#saving = 0;
    const { work, ...rest } = JSON.parse(newValue);
    const pads = work.pads.map((pad, index) => kept(this.work.pads[index], pad));
    const beat = kept(this.work.beat, work.beat);
    const isNew = beat !== this.work.beat || pads.some((pad, i) => pad !== this.work.pads[i]);
    if (isNew) this.#remember();
    const shown = rest.settings.eight ? pads.length / 2 : pads.length;
    const selected = this.work.selected < shown ? this.work.selected : 0;
    const ours = isNew ? { ...this.work, pads, beat } : this.work;
    this.#tell({ ...rest, work: { ...ours, selected } }, { moving: false, quiet: true });
  }

  /** The work as it stands becomes a step of undo. */
  #remember() {
    this.#past.push(this.work);
    if (this.#past.length > MOST) this.#past.shift();
    this.#future = [];
    this.#last = { kind: "", at: 0 };
  }

  /** Keep the session in the browser now, if it has changed. */
  save() {
    if (!this.#saving) return;
    clearTimeout(this.#saving);
    this.#saving = 0;
    try {
      localStorage.setItem(keyOf(this.session), JSON.stringify(this.session));
    } catch {
      // private windows and full stores keep nothing
    }
  }
}

/**
 * The session kept in this browser, if it belongs to this instrument.
 * @param {object} fresh a new session of the instrument: what is missing comes from it
 * @param {string[]} attributes that the instrument knows; controls may be learnt and left again
 * @returns {object}
 */
export function restored(fresh, attributes) {
  try {
    const kept = JSON.parse(localStorage.getItem(keyOf(fresh)) ?? "null");
    if (kept?.identity !== fresh.identity || !fits(kept, fresh)) return fresh;
    const known = ([name]) => attributes.includes(name);
    const pads = kept.work.pads.map((pad) => ({
      ...pad,
      attributes: Object.fromEntries(Object.entries(pad.attributes).filter(known)),
    }));
    const settings = { ...fresh.settings, ...kept.settings };
    return { ...fresh, ...kept, work: { ...kept.work, pads }, settings };
  } catch {
    return fresh;
  }
}

/** The old value where the new one says the same, so that what is the same is known by being it. */
function kept(old, value) {
  return JSON.stringify(old) === JSON.stringify(value) ? old : value;
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
