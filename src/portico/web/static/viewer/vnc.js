// The display of a graphical desktop: noVNC on an open channel.

import RFB from "/static/vendor/@novnc/novnc/core/rfb.js";
import keysyms from "/static/vendor/@novnc/novnc/core/input/keysymdef.js";

const KEYS = {
  Escape: [0xff1b, "Escape"],
  Tab: [0xff09, "Tab"],
  Enter: [0xff0d, "Enter"],
  Backspace: [0xff08, "Backspace"],
  Delete: [0xffff, "Delete"],
  Left: [0xff51, "ArrowLeft"],
  Up: [0xff52, "ArrowUp"],
  Right: [0xff53, "ArrowRight"],
  Down: [0xff54, "ArrowDown"],
  Control: [0xffe3, "ControlLeft"],
  Alt: [0xffe9, "AltLeft"],
  Super: [0xffeb, "MetaLeft"],
  Print: [0xff61, "PrintScreen"],
  F4: [0xffc1, "F4"],
  T: [0x74, "KeyT"],
};

const COMBINATIONS = [
  ["Ctrl + Alt + Del", ["Control", "Alt", "Delete"]],
  ["Esc", ["Escape"]],
  ["Tab", ["Tab"]],
  ["Ctrl + Alt + T", ["Control", "Alt", "T"]],
  ["Alt + Tab", ["Alt", "Tab"]],
  ["Alt + F4", ["Alt", "F4"]],
  ["Super", ["Super"]],
  ["Print", ["Print"]],
];

/** Show a desktop in `place`. `hooks`: onFrame(), onClipboard(text), onFailed(); `joined`: it is somebody else's, whose window it follows. Returns the display. */
export function openVnc(place, channel, policy, hooks, joined = false) {
  const rfb = new RFB(place, channel, { shared: true });
  rfb.viewOnly = policy.view_only === true;
  rfb.background = "transparent";
  rfb.focusOnClick = true;
  rfb.addEventListener("connect", () => {
    // The first message after ServerInit is the first picture.
    channel.onbinary = () => {
      channel.onbinary = () => {};
      requestAnimationFrame(() => hooks.onFrame());
    };
  });
  rfb.addEventListener("clipboard", (event) => hooks.onClipboard(event.detail.text));
  rfb.addEventListener("securityfailure", () => hooks.onFailed());
  rfb.addEventListener("disconnect", (event) => {
    if (!event.detail.clean && channel.readyState === WebSocket.OPEN) hooks.onFailed();
  });
  const held = new Set();
  const display = new VncDisplay(rfb, held, joined);
  display.setFit(true);
  return display;
}

class VncDisplay {
  constructor(rfb, held, joined) {
    this.joined = joined;
    this.rfb = rfb;
    this.held = held;
    this.canScale = true;
    this.combinations = COMBINATIONS.map(([label, keys]) => ({ label, send: () => this.press(keys) }));
  }

  focus() {
    this.rfb.focus({ preventScroll: true });
  }

  /** Let the desktop follow the window, or show its pixels as they are. */
  setFit(fit) {
    this.rfb.scaleViewport = fit;
    this.rfb.resizeSession = fit && !this.joined;
    this.rfb.clipViewport = !fit;
    this.rfb.dragViewport = !fit && matchMedia("(pointer: coarse)").matches;
  }

  paste(text) {
    this.rfb.clipboardPasteFrom(text);
  }

  /** Hold a modifier key down or let it go. */
  hold(name, down) {
    if (down) this.held.add(name);
    else this.held.delete(name);
    this.rfb.sendKey(...KEYS[name], down);
  }

  /** Press keys together, then let go of the modifiers that were held for them. */
  press(names) {
    for (const name of names) this.rfb.sendKey(...KEYS[name], true);
    for (const name of [...names].reverse()) this.rfb.sendKey(...KEYS[name], false);
    this.release();
  }

  /** Type text of an on-screen keyboard. */
  type(text) {
    for (const character of text) {
      if (character === "\n") this.rfb.sendKey(...KEYS.Enter);
      else this.rfb.sendKey(keysyms.lookup(character.codePointAt(0)), null);
    }
    this.release();
  }

  release() {
    for (const name of [...this.held]) this.hold(name, false);
  }

  close() {
    this.rfb.disconnect();
  }
}
