// The display of a terminal: xterm.js on an open channel.

import { FitAddon } from "/static/vendor/@xterm/addon-fit/lib/addon-fit.mjs";
import { Terminal } from "/static/vendor/@xterm/xterm/lib/xterm.mjs";
import { addStyle } from "./elements.js";

const CHUNK = 16 * 1024;
const MAX_SCREEN = 5000; // characters; a message to the gateway has 8 KiB
const SEQUENCES = { Escape: "\x1b", Tab: "\t", Enter: "\r", Backspace: "\x7f", Left: "\x1b[D", Up: "\x1b[A", Right: "\x1b[C", Down: "\x1b[B" };
const COMBINATIONS = [
  ["Ctrl + C", "\x03"],
  ["Ctrl + D", "\x04"],
  ["Ctrl + Z", "\x1a"],
  ["Ctrl + R", "\x12"],
  ["Ctrl + L", "\x0c"],
  ["Esc", "\x1b"],
  ["Tab", "\t"],
];
const DARK = { background: "#151412", foreground: "#eeebe5", cursor: "#b3a2fa", selectionBackground: "#4a4368" };
const LIGHT = {
  background: "#fdfcfa", foreground: "#1e1b17", cursor: "#5538b8", selectionBackground: "#d8d0f5",
  black: "#1e1b17", red: "#a8231b", green: "#12683b", yellow: "#7c4f00", blue: "#1a56ad", magenta: "#8a2a86", cyan: "#0b6575", white: "#5d574d",
  brightBlack: "#6b655b", brightRed: "#c0392b", brightGreen: "#1a7a48", brightYellow: "#8f5d00", brightBlue: "#2366c4",
  brightMagenta: "#a03a9b", brightCyan: "#137788", brightWhite: "#1e1b17",
};

/** Make a terminal in `place`; it knows its size before the gateway is asked. `joined`: it is somebody else's, and has its size. */
export async function prepareSsh(place, joined = false) {
  addStyle("/static/vendor/@xterm/xterm/css/xterm.css");
  await document.fonts.ready;
  const terminal = new Terminal({
    scrollback: 10000,
    cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    fontFamily: getComputedStyle(place).getPropertyValue("--viewer-mono") || "monospace",
    fontSize: 15,
    minimumContrastRatio: 4.5,
    screenReaderMode: false,
    theme: isLight(place) ? LIGHT : DARK,
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(place);
  fit.fit();
  return new SshDisplay(place, terminal, fit, joined);
}

function isLight(place) {
  return getComputedStyle(place).getPropertyValue("--viewer-scheme").trim() === "light";
}

class SshDisplay {
  constructor(place, terminal, fit, joined) {
    this.terminal = terminal;
    this.fit = joined ? { fit() {} } : fit;
    this.joined = joined;
    this.seen = 0; // bytes of the shell
    this.shown = false; // somebody else sees this terminal, and must know its size
    place.toggleAttribute("data-scroll", joined);
    this.held = new Set();
    this.canScale = false;
    this.channel = null;
    this.combinations = COMBINATIONS.map(([label, text]) => ({ label, send: () => this.send(text) }));
    this.observer = new ResizeObserver(() => this.fit.fit());
    this.observer.observe(place);
    this.scheme = matchMedia("(prefers-color-scheme: light)");
    this.repaint = () => (this.terminal.options.theme = isLight(place) ? LIGHT : DARK);
    this.scheme.addEventListener("change", this.repaint);
  }

  get size() {
    return { columns: this.terminal.cols, rows: this.terminal.rows };
  }

  /** Connect the terminal to an open channel. `hooks`: onFrame(), onClipboard(text), onExit(status). */
  attach(channel, policy, hooks) {
    this.channel = channel;
    let first = true;
    channel.onmessage = (event) => {
      const data = new Uint8Array(event.data);
      this.seen += data.length;
      this.terminal.write(data);
      if (first) requestAnimationFrame(() => hooks.onFrame());
      first = false;
    };
    channel.ontext = (fields) => {
      if (typeof fields.exit === "number") hooks.onExit(fields.exit);
      if (this.joined && Array.isArray(fields.size)) this.terminal.resize(...fields.size);
    };
    this.terminal.options.disableStdin = policy.view_only === true;
    this.terminal.onData((text) => this.send(this.modified(text)));
    this.terminal.onBinary((text) => channel.send(Uint8Array.from(text, (character) => character.charCodeAt(0))));
    if (!this.joined) this.terminal.onResize(({ cols, rows }) => this.tellSize(cols, rows));
    this.terminal.onSelectionChange(() => {
      if (this.terminal.hasSelection()) hooks.onClipboard(this.terminal.getSelection());
    });
    // Ctrl+C is the shell's; copying is Ctrl+Shift+C as in every terminal.
    this.terminal.attachCustomKeyEventHandler((event) => {
      if (event.type !== "keydown" || !event.ctrlKey || !event.shiftKey || event.code !== "KeyC") return true;
      event.preventDefault();
      hooks.onClipboard(this.terminal.getSelection());
      return false;
    });
    this.fit.fit();
    if (!this.joined) this.tellSize(this.terminal.cols, this.terminal.rows);
  }

  tellSize(columns, rows) {
    this.channel.tell({ resize: [columns, rows] });
    if (this.shown) this.channel.tell({ shadow: { size: [columns, rows] } });
  }

  /** Tell the gateway what is on the screen, for somebody who joins: the lines, and where the cursor is. */
  tellScreen() {
    const seen = this.seen;
    this.shown = true;
    this.terminal.write("", () => {
      const { cols, rows, buffer } = this.terminal;
      const { active } = buffer;
      const lines = Array.from({ length: rows }, (_, row) => active.getLine(active.baseY + row)?.translateToString(true) ?? "");
      const screen = `${lines.join("\r\n").slice(0, MAX_SCREEN)}\x1b[${active.cursorY + 1};${active.cursorX + 1}H`;
      this.channel.tell({ shadow: { screen, size: [cols, rows], seen } });
    });
  }

  focus() {
    this.terminal.focus();
  }

  setFit() {}

  paste(text) {
    this.terminal.paste(text);
  }

  hold(name, down) {
    if (down) this.held.add(name);
    else this.held.delete(name);
  }

  press(names) {
    for (const name of names) this.send(this.modified(SEQUENCES[name] ?? ""));
  }

  type(text) {
    this.send(this.modified(text.replace(/\n/g, "\r")));
  }

  close() {
    this.observer.disconnect();
    this.scheme.removeEventListener("change", this.repaint);
    this.terminal.dispose();
  }

  /** Apply the modifiers of the key row to what is typed next. */
  modified(text) {
    let result = text;
    if (this.held.has("Control") && text.length === 1) result = String.fromCharCode(text.toUpperCase().charCodeAt(0) & 31);
    if (this.held.has("Alt")) result = `\x1b${result}`;
    if (this.held.size) this.onreleased?.();
    this.held.clear();
    return result;
  }

  send(text) {
    const bytes = new TextEncoder().encode(text);
    for (let start = 0; start < bytes.length; start += CHUNK) this.channel?.send(bytes.subarray(start, start + CHUNK));
  }
}
