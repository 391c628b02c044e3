// The clipboard between this device and the desktop: a panel that always works, and on its own where the browser allows it.

import { icon, make } from "./elements.js";
import { say } from "./texts.js";

const PICTURE = "image/png";
const RICH = ["text/html", PICTURE];

export class Clipboard {
  constructor() {
    this.policy = {};
    this.display = null;
    this.last = null; // what both sides have, so that nothing goes back and forth
    this.help = make("p", { className: "viewer-panel-help", id: "viewer-clipboard-help" });
    this.text = make("textarea", { rows: 6, className: "viewer-text", spellcheck: false,
      attributes: { "aria-label": say("clipboard.text"), "aria-describedby": this.help.id } });
    this.text.dataset.testid = "clipboard-text";
    this.note = make("p", { className: "viewer-panel-note", attributes: { role: "status" } });
    this.sendButton = this.button("send", () => this.send());
    this.readButton = this.button("read", () => this.read());
    this.copyButton = this.button("copy", () => this.copy());
    this.closeButton = make("button", { type: "button", className: "viewer-tool", title: say("close"), attributes: { "aria-label": say("close") } }, icon("close"));
    this.panel = make("section", { className: "viewer-panel", attributes: { "aria-label": say("clipboard.title") } },
      make("header", {}, make("h2", { textContent: say("clipboard.title") }), this.closeButton),
      this.help, this.text, make("div", { className: "viewer-panel-buttons" }, this.sendButton, this.readButton, this.copyButton), this.note);
    this.panel.dataset.testid = "clipboard-panel";
    window.addEventListener("focus", () => this.sync());
  }

  button(id, act) {
    const button = make("button", { type: "button", className: "viewer-button", textContent: say(`clipboard.${id}`), onclick: act });
    button.dataset.testid = `clipboard-${id}`;
    return button;
  }

  /** Serve a display under its policy. */
  attach(display, policy) {
    this.display = display;
    this.policy = { in: policy.clipboard_in === true && policy.view_only !== true, out: policy.clipboard_out === true };
    this.sendButton.hidden = this.readButton.hidden = !this.policy.in;
    this.copyButton.hidden = !this.policy.out;
    this.help.textContent = say(this.policy.in && this.policy.out ? "clipboard.help" : this.policy.in ? "clipboard.help.in" : "clipboard.help.out");
    this.text.readOnly = !this.policy.in;
    this.sync();
  }

  /** Take what was copied on the desktop: its text, and where the desktop has more than that, everything by MIME type. */
  async copied(text, content = {}) {
    if (!this.policy.out || (text && text === this.last)) return;
    this.last = text;
    if (text) this.text.value = text;
    try {
      const rich = Object.entries(content).filter(([type]) => RICH.includes(type));
      if (!rich.length) return await navigator.clipboard.writeText(text);
      const blobs = [...(text ? [["text/plain", text]] : []), ...rich].map(([type, value]) => [type, new Blob([value], { type })]);
      await navigator.clipboard.write([new ClipboardItem(Object.fromEntries(blobs))]);
    } catch {
      // Not focused, or not allowed: the panel has it.
    }
  }

  /** Send this device's clipboard to the desktop if the browser lets us read it without asking. */
  async sync() {
    if (!this.policy.in || !this.display || !navigator.clipboard?.readText) return;
    try {
      const { state } = await navigator.permissions.query({ name: "clipboard-read" });
      if (state !== "granted") return;
      const text = await navigator.clipboard.readText();
      if (!text && this.display.put) return void (await this.syncPicture());
      if (!text || text === this.last) return;
      this.text.value = text;
      // A terminal has no clipboard of its own: pasting there would be typing.
      if (this.display.canScale) this.give(text);
    } catch {
      // The browser does not offer this; the panel does.
    }
  }

  /** Send a picture of this device's clipboard, which has no text. */
  async syncPicture() {
    for (const item of await navigator.clipboard.read()) {
      if (!item.types.includes(PICTURE)) continue;
      this.display?.put({ [PICTURE]: new Uint8Array(await (await item.getType(PICTURE)).arrayBuffer()) });
    }
  }

  give(text) {
    this.last = text;
    this.display?.paste(text);
  }

  send() {
    this.give(this.text.value);
    this.note.textContent = say("clipboard.sent");
  }

  async read() {
    try {
      this.text.value = await navigator.clipboard.readText();
      this.send();
    } catch {
      this.note.textContent = say("clipboard.denied");
    }
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.text.value);
      this.note.textContent = say("clipboard.copied");
    } catch {
      this.text.select();
      this.note.textContent = say("clipboard.denied");
    }
  }
}
