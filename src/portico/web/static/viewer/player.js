// A recording, shown as its session was: the same displays, fed by the clock instead of by a gateway.
//
// Reads of <main id="viewer">: data-content-url (the frames or the asciicast), data-format, data-protocol.
// Stages for whoever watches: html[data-player="loading|ready|playing|paused|ended|failed"], data-position in seconds.

import { addStyle, make } from "./elements.js";
import { say } from "./texts.js";

addStyle("/static/viewer/viewer.css");
addStyle("/static/viewer/player.css");

const page = document.getElementById("viewer");
const { contentUrl, format, protocol } = page.dataset;
const SPEEDS = [1, 2, 4, 8];
const STEP = 10; // seconds that an arrow key goes
const A_TURN = 200; // frames before the page is painted again

/** What IronRDP and noVNC take for a socket: it hands out what was recorded, and drops what is said to it. */
class Replayed extends EventTarget {
  constructor() {
    super();
    this.binaryType = "arraybuffer";
    this.readyState = WebSocket.OPEN;
    this.bufferedAmount = 0;
    this.protocol = "";
    this.onopen = this.onclose = this.onerror = null;
    this.onbinary = () => {};
    this.listener = null;
    this.waiting = [];
  }

  get onmessage() {
    return this.listener;
  }

  set onmessage(listener) {
    this.listener = listener;
    while (this.waiting.length && this.listener) this.listener(this.waiting.shift());
  }

  send() {}

  close() {
    this.readyState = WebSocket.CLOSED;
  }

  give(data) {
    if (this.readyState !== WebSocket.OPEN) return;
    const event = new MessageEvent("message", { data: data.slice().buffer });
    if (this.listener) this.listener(event);
    else if (this.onmessage === null && protocol === "vnc") this.waiting.push(event);
    this.dispatchEvent(event);
    this.onbinary(event);
  }
}

/** Displays by protocol: each is opened anew to go back, and takes one recorded piece at a time. */
const OPENERS = {
  async vnc(place) {
    const { openVnc } = await import("./vnc.js");
    const socket = new Replayed();
    const display = openVnc(place, socket, { view_only: true }, { onFrame() {}, onClipboard() {}, onFailed() {} });
    return { take: (_, data) => socket.give(data), close: () => display.close() };
  },

  async rdp(place) {
    const { replayRdp } = await import("./rdp.js");
    const socket = new Replayed();
    const display = await replayRdp(place, socket);
    return { take: (_, data) => socket.give(data), close: () => display.close() };
  },

  async ssh(place, head) {
    addStyle("/static/vendor/@xterm/xterm/css/xterm.css");
    const { Terminal } = await import("/static/vendor/@xterm/xterm/lib/xterm.mjs");
    await document.fonts.ready;
    const terminal = new Terminal({
      cols: head.width || 80,
      rows: head.height || 24,
      disableStdin: true,
      scrollback: 10000,
      fontFamily: getComputedStyle(page).getPropertyValue("--viewer-mono") || "monospace",
      fontSize: 15,
      theme: { background: "#151412", foreground: "#eeebe5" },
    });
    terminal.open(place);
    const take = (kind, text) => {
      if (kind === "o") terminal.write(text);
      else if (kind === "r") terminal.resize(...text.split("x").map((part) => Math.max(2, Math.min(1000, Number(part) || 80))));
    };
    return { take, close: () => terminal.dispose() };
  },
};

/** Read FRAMEs (wire/recordings) as they arrive. */
function frameReader(found) {
  let rest = new Uint8Array();
  return (chunk) => {
    const data = new Uint8Array(rest.length + chunk.length);
    data.set(rest);
    data.set(chunk, rest.length);
    const view = new DataView(data.buffer);
    let at = 0;
    while (data.length - at >= 13) {
      const size = view.getUint32(at + 9);
      if (data.length - at - 13 < size) break;
      if (view.getUint8(at + 8) === 0) found({ at: view.getFloat64(at), kind: "o", data: data.slice(at + 13, at + 13 + size) });
      at += 13 + size;
    }
    rest = data.slice(at);
  };
}

/** Read the lines of an asciicast. */
function castReader(found, onHead) {
  const decoder = new TextDecoder();
  let rest = "";
  let head = true;
  return (chunk) => {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const parsed = JSON.parse(line);
      if (head) onHead(parsed);
      else found({ at: parsed[0], kind: parsed[1], data: parsed[2] });
      head = false;
    }
  };
}

class Player {
  constructor() {
    this.frames = [];
    this.next = 0;
    this.position = 0;
    this.speed = 1;
    this.playing = false;
    this.loaded = false;
    this.head = {};
    this.shown = null;
    this.turn = 0; // a newer seek ends an older one
    this.stage = make("div", { className: "viewer-stage player-stage" });
    this.toggle = make("button", { className: "player-button", type: "button", onclick: () => this.play(!this.playing) });
    this.time = make("span", { className: "player-time" });
    this.bar = make("input", { type: "range", min: 0, max: 0, step: "any", value: 0, className: "player-bar", attributes: { "aria-label": say("player.position") } });
    this.speeds = make("select", { className: "player-speed", attributes: { "aria-label": say("player.speed") } }, ...SPEEDS.map((speed) => make("option", { value: speed, textContent: `${speed}×` })));
    this.note = make("p", { className: "player-note", attributes: { role: "status" } });
    this.bar.oninput = () => this.seek(Number(this.bar.value));
    this.speeds.onchange = () => (this.speed = Number(this.speeds.value));
    page.append(this.stage, this.note, make("div", { className: "player-controls" }, page.querySelector(".player-back"), this.toggle, this.bar, this.time, this.speeds));
    window.addEventListener("keydown", (event) => this.key(event));
    this.paint();
  }

  get length() {
    return this.frames.at(-1)?.at ?? 0;
  }

  async load() {
    mark("loading");
    const found = (frame) => this.frames.push(frame);
    const read = format === "asciicast" ? castReader(found, (head) => (this.head = head)) : frameReader(found);
    try {
      const answer = await fetch(contentUrl, { headers: { Accept: "application/octet-stream" } });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      const pieces = answer.body.getReader();
      for (let piece = await pieces.read(); !piece.done; piece = await pieces.read()) {
        read(piece.value);
        this.paint();
      }
    } catch (problem) {
      console.error(problem);
      this.note.textContent = say("player.failed");
      mark("failed");
      return;
    }
    this.loaded = true;
    if (!this.frames.length) {
      this.note.textContent = say("player.empty");
      mark("failed");
      return;
    }
    await this.reopen();
    mark("ready");
    this.play(true);
  }

  async reopen() {
    this.shown?.close();
    this.stage.replaceChildren();
    this.next = 0;
    this.shown = await OPENERS[protocol](this.stage, this.head);
  }

  play(on) {
    if (on && this.next >= this.frames.length && this.loaded) {
      this.seek(0).then(() => this.play(true));
      return;
    }
    this.playing = on;
    mark(on ? "playing" : "paused");
    this.paint();
    if (on) this.tick(performance.now());
  }

  tick(before) {
    if (!this.playing) return;
    requestAnimationFrame((now) => {
      if (!this.playing) return;
      this.position = Math.min(this.length, this.position + ((now - before) / 1000) * this.speed);
      this.give();
      if (this.next >= this.frames.length) {
        this.playing = false;
        mark("ended");
        this.paint();
        return;
      }
      this.paint();
      this.tick(now);
    });
  }

  /** Show all that was there until now; returns whether nothing of it is left. */
  give(most = Infinity) {
    let given = 0;
    while (this.next < this.frames.length && this.frames[this.next].at <= this.position && given < most) {
      const frame = this.frames[this.next];
      this.next += 1;
      given += 1;
      this.shown.take(frame.kind, frame.data);
    }
    return given < most;
  }

  /** Go to a time. The streams have no key frames, so going back begins anew, at full speed. */
  async seek(seconds) {
    const turn = (this.turn += 1);
    const wanted = Math.max(0, Math.min(this.length, seconds));
    const wasPlaying = this.playing;
    this.playing = false;
    if (wanted < this.position || this.next >= this.frames.length) await this.reopen();
    if (turn !== this.turn) return;
    this.position = wanted;
    while (!this.give(A_TURN)) {
      await new Promise((resolve) => setTimeout(resolve));
      if (turn !== this.turn) return;
    }
    this.paint();
    if (wasPlaying) this.play(true);
    else mark("paused");
  }

  key(event) {
    if (event.target.closest?.("select")) return;
    const acts = {
      " ": () => this.play(!this.playing),
      ArrowLeft: () => this.seek(this.position - STEP),
      ArrowRight: () => this.seek(this.position + STEP),
      Home: () => this.seek(0),
      End: () => this.seek(this.length),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  paint() {
    document.documentElement.dataset.position = this.position.toFixed(1);
    this.toggle.textContent = this.playing ? "❚❚" : "▶";
    this.toggle.setAttribute("aria-label", say(this.playing ? "player.pause" : "player.play"));
    this.time.textContent = `${clock(this.position)} / ${clock(this.length)}`;
    this.bar.max = this.length;
    this.bar.value = this.position;
    this.bar.setAttribute("aria-valuetext", clock(this.position));
  }
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
}

function mark(name) {
  document.documentElement.dataset.player = name;
}

new Player().load();
