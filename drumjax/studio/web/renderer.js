/** Where sounds come from: one interface, today the server's WebSocket. */

const SILENCE = 30000; // milliseconds without an answer after which the connection is given up
const BACKOFF = [250, 500, 1000, 2000, 4000]; // milliseconds between attempts to reconnect

/**
 * @typedef {{samples: Float32Array, sampleRate: number}} Rendered
 * @typedef {"connecting" | "connected" | "lost"} Link
 */

/** Renders over a WebSocket: one request in flight a channel, and the newest one waiting. */
export class SocketRenderer {
  #socket = null;
  #attempt = 0;
  #id = 0;
  #channels = new Map(); // name -> {flying, waiting}
  #flying = new Map(); // id -> channel
  #watch = 0;

  /** @param {(link: Link) => void} onLink told whenever the connection changes */
  constructor(onLink = () => {}) {
    this.onLink = onLink;
    this.#connect();
  }

  /**
   * What the instrument is: name, categories, attributes, sample_rate, ...
   * @returns {Promise<object>}
   */
  async instrument() {
    const answer = await fetch("instrument.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(`The server answers ${answer.status} about its instrument.`);
    return answer.json();
  }

  /**
   * Render a sound. Requests of one channel overtake: only the newest one waits.
   * @param {object} spec what to render
   * @param {string} channel
   * @returns {Promise<Rendered | null>} null: a newer request took this one's place
   */
  render(spec, channel) {
    return new Promise((resolve, reject) => {
      const lane = this.#lane(channel);
      lane.waiting?.resolve(null);
      lane.waiting = { spec, resolve, reject };
      this.#send(channel);
    });
  }

  #lane(channel) {
    if (!this.#channels.has(channel)) this.#channels.set(channel, { flying: null, waiting: null });
    return this.#channels.get(channel);
  }

  #send(channel) {
    const lane = this.#lane(channel);
    if (lane.flying || !lane.waiting || this.#socket?.readyState !== WebSocket.OPEN) return;
    lane.flying = { ...lane.waiting, id: ++this.#id };
    lane.waiting = null;
    this.#flying.set(lane.flying.id, channel);
    this.#socket.send(JSON.stringify({ id: lane.flying.id, channel, spec: lane.flying.spec }));
    this.#expect();
  }

  #settle(id, finish) {
    const channel = this.#flying.get(id);
    if (channel === undefined) return; // stale
    this.#flying.delete(id);
    const lane = this.#lane(channel);
    const done = lane.flying;
    lane.flying = null;
    this.#send(channel);
    this.#expect();
    finish(done);
  }

  /** A connection may be dead without anybody's word: a cable, a sleep, another network. */
  #expect() {
    clearTimeout(this.#watch);
    if (this.#flying.size) this.#watch = setTimeout(() => this.#giveUp(), SILENCE);
  }

  #giveUp() {
    this.#socket.onclose = this.#socket.onmessage = null; // closing may take as long again
    this.#socket.close();
    this.#reconnect();
  }

  #receive(data) {
    if (typeof data === "string") {
      const { id, error } = JSON.parse(data);
      this.#settle(id, (request) => request.reject(new Error(error)));
      return;
    }
    const head = new DataView(data);
    const samples = new Float32Array(data, 8); // browsers run on little-endian machines alone
    const rendered = { sampleRate: head.getUint32(4, true), samples };
    this.#settle(head.getUint32(0, true), (request) => request.resolve(rendered));
  }

  #connect() {
    this.onLink(this.#attempt ? "lost" : "connecting");
    const address = new URL("ws", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = (message) => this.#receive(message.data);
    socket.onopen = () => {
      this.#attempt = 0;
      this.onLink("connected");
      for (const channel of this.#channels.keys()) this.#send(channel);
    };
    socket.onclose = () => this.#reconnect();
  }

  /** What was in flight waits again, unless something newer does; then try anew, ever slower. */
  #reconnect() {
    this.#flying.clear();
    clearTimeout(this.#watch);
    for (const lane of this.#channels.values()) {
      if (lane.flying && lane.waiting) lane.flying.resolve(null);
      else if (lane.flying) lane.waiting = lane.flying;
      lane.flying = null;
    }
    this.onLink("lost");
    const pause = BACKOFF[Math.min(this.#attempt++, BACKOFF.length - 1)];
    setTimeout(() => this.#connect(), pause);
  }
}
