// The socket to the gateway: entry with a ticket, then binary data for the display and small JSON messages beside it.

const ENTRY_MILLISECONDS = 40000;

/** Why there is no session: `code` is a name of the gateway's close codes, "signed_out", or "lost"; `told` what came with it. */
export class Closed extends Error {
  constructor(code, told = {}) {
    super(code);
    this.code = code;
    this.told = told;
  }
}

const CODES = {
  4001: "ticket.invalid",
  4002: "ticket.used",
  4003: "session.ended",
  4004: "desktop.unreachable",
  4005: "desktop.refused",
  4006: "closed.by_administrator",
  4007: "closed.elsewhere",
  4008: "broker.unreachable",
  4009: "draining",
  4010: "idle",
  4011: "time.up",
  4012: "desktop.changed",
  4013: "credentials.wanted",
  4014: "recording.failed",
  4015: "shadow.waiting",
  4016: "shadow.ended",
};

/** Return the name of a close event's reason. */
export function nameOf(event) {
  if (CODES[event.code]) return CODES[event.code];
  return event.code === 1000 ? "desktop.closed" : "lost";
}

/** The small messages beside the data of a session, and its end. */
export class Beside {
  constructor(socket) {
    this.socket = socket;
    this.ontext = () => {};
    this.onended = () => {};
    this.pings = new Map();
    this.pinged = 0;
    socket.addEventListener("close", (event) => this.onended(nameOf(event)));
  }

  get readyState() {
    return this.socket.readyState;
  }

  send(data) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(data);
  }

  close() {
    this.socket.close(1000);
  }

  /** Send a small message beside the data. */
  tell(fields) {
    this.send(JSON.stringify(fields));
  }

  /** Take a small message; returns its fields if it was one. */
  hear(text) {
    let fields;
    try {
      fields = JSON.parse(text);
    } catch {
      return null;
    }
    if (typeof fields.pong === "number") this.pings.get(fields.pong)?.();
    else this.ontext(fields);
    return fields;
  }

  /** Return the milliseconds to the gateway and back; never resolves if the connection dies. */
  ping() {
    this.pinged += 1;
    const number = this.pinged;
    const started = performance.now();
    this.tell({ ping: number });
    return new Promise((resolve) => {
      this.pings.clear(); // one at a time: an answer that is late is no answer
      this.pings.set(number, () => resolve(performance.now() - started));
    });
  }
}

/**
 * A WebSocket after entry, in the shape that noVNC takes (send, close, binaryType, onmessage, onopen, onclose, onerror,
 * protocol, readyState). Binary messages wait until somebody listens; text never reaches the display.
 */
export class Channel extends Beside {
  constructor(socket) {
    super(socket);
    this.binaryType = "arraybuffer";
    this.onopen = null;
    this.onclose = null;
    this.onerror = null;
    this.onbinary = () => {};
    this.listener = null;
    this.waiting = [];
    socket.onmessage = (event) => this.receive(event);
    socket.onclose = (event) => this.onclose?.(event);
    socket.onerror = (event) => this.onerror?.(event);
  }

  // noVNC looks for these on the object and its own class, not on what that extends.
  get protocol() {
    return this.socket.protocol;
  }

  get readyState() {
    return super.readyState;
  }

  send(data) {
    super.send(data);
  }

  close() {
    super.close();
  }

  get onmessage() {
    return this.listener;
  }

  set onmessage(listener) {
    this.listener = listener;
    while (this.waiting.length && this.listener) this.pass(this.waiting.shift());
  }

  receive(event) {
    if (typeof event.data === "string") this.hear(event.data);
    else if (this.listener) this.pass(event);
    else this.waiting.push(event);
  }

  pass(event) {
    this.listener(event);
    this.onbinary(event);
  }
}

/** Open the gateway's door with a ticket. Returns {channel, policy, files: a secret for /gw/files, if there are any}; rejects with Closed. */
export function enter(path, entry) {
  return new Promise((resolve, reject) => {
    const address = new URL(path, location.href);
    address.protocol = address.protocol === "http:" ? "ws:" : "wss:";
    const socket = new WebSocket(address);
    const timer = setTimeout(() => socket.close(), ENTRY_MILLISECONDS);
    let refusal = null;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify(entry));
    socket.onclose = (event) => {
      clearTimeout(timer);
      const name = nameOf(event);
      reject(new Closed(refusal ?? (name === "desktop.closed" ? "lost" : name)));
    };
    socket.onmessage = (event) => {
      const answer = JSON.parse(event.data);
      if (!answer.ok) {
        refusal = answer.error; // the close that follows says the same
        return;
      }
      clearTimeout(timer);
      resolve({ channel: new Channel(socket), policy: answer.policy ?? {}, files: answer.files });
    };
  });
}
