// The display of a terminal: xterm.js on an open channel.

import { FitAddon } from "/static/vendor/@xterm/addon-fit/lib/addon-fit.mjs";
import { Terminal } from "/static/vendor/@xterm/xterm/lib/xterm.mjs";
import { addStyle } from "./elements.js";

const CHUNK = 16 * 1024;
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

/** Make a terminal in `place`; it knows its size before the gateway is asked. */
export async function prepareSsh(place) {
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
  return new SshDisplay(place, terminal, fit);
}

function isLight(place) {
  return getComputedStyle(place).getPropertyValue("--viewer-scheme").trim() === "light";
}

class SshDisplay {
  constructor(place, terminal, fit) {
    this.terminal = terminal;
    this.fit = fit;
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
      this.terminal.write(new Uint8Array(event.data));
      if (first) requestAnimationFrame(() => hooks.onFrame());
      first = false;
    };
    channel.ontext = (fields) => {
      if (typeof fields.exit === "number") hooks.onExit(fields.exit);
    };
    this.terminal.options.disableStdin = policy.view_only === true;
    this.terminal.onData((text) => this.send(this.modified(text)));
    this.terminal.onBinary((text) => channel.send(Uint8Array.from(text, (character) => character.charCodeAt(0))));
    this.terminal.onResize(({ cols, rows }) => channel.tell({ resize: [cols, rows] }));
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
    channel.tell({ resize: [this.terminal.cols, this.terminal.rows] });
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
