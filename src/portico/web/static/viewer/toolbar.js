// The pill at the top edge: it hides itself, can be dragged aside, and is reached from the keyboard with Ctrl + Alt + Shift.

import { icon, make } from "./elements.js";
import { say } from "./texts.js";

const HIDE_MILLISECONDS = 3000;
const STEP = 24;

export class Toolbar {
  /** `actions`: focusDesktop, fullScreen, disconnect, logOut (or null), setFit, keyboard (or null). */
  constructor(place, actions) {
    this.actions = actions;
    this.place = place;
    this.panels = new Map();
    this.fit = true;
    this.grip = make("button", { type: "button", className: "viewer-tool viewer-grip", title: say("toolbar.grip"),
      attributes: { "aria-label": say("toolbar.grip") } }, icon("grip"));
    this.quality = make("span", { className: "viewer-quality", attributes: { role: "img" } }, icon("quality"), make("span", { className: "viewer-quality-text" }));
    this.viewOnly = make("span", { className: "viewer-badge", hidden: true }, icon("eye"), say("view_only"));
    this.recorded = make("span", { className: "viewer-badge viewer-recorded", hidden: true, title: say("recorded"), attributes: { role: "img", "aria-label": say("recorded") } });
    this.root = make("div", { className: "viewer-toolbar", attributes: { role: "toolbar", "aria-label": say("toolbar") } }, this.grip, this.viewOnly, this.recorded);
    this.root.dataset.testid = "toolbar";
    this.tab = make("button", { type: "button", className: "viewer-tab", title: say("toolbar.show"), attributes: { "aria-label": say("toolbar.show") },
      onclick: () => this.reveal(true) });
    this.tab.dataset.testid = "toolbar-show";
    this.build();
    place.append(this.tab, this.root);
    this.listen();
    this.measured(null);
    this.enabled(false);
  }

  build() {
    const { actions } = this;
    this.clipboard = this.tool("clipboard", "clipboard", () => this.toggle("clipboard"));
    this.files = this.tool("files", "files", () => this.toggle("files"));
    this.keys = this.tool("keys", "keys", () => this.toggle("keys"));
    if (actions.keyboard) this.keyboard = this.tool("keyboard", "keyboard", () => actions.keyboard());
    this.scale = this.tool("scale", "actual", () => this.setFit(!this.fit));
    if (document.fullscreenEnabled) this.full = this.tool("full-screen", "full", () => actions.fullScreen());
    this.root.append(this.quality, make("span", { className: "viewer-gap" }));
    this.disconnect = this.tool("disconnect", "disconnect", () => actions.disconnect(), "toolbar.disconnect", "toolbar.disconnect.short");
    if (actions.logOut) this.tool("log-out", "log_out", () => actions.logOut(), "toolbar.log_out", "toolbar.log_out.short");
    this.setFit(true);
    this.relabelFullScreen();
  }

  tool(id, picture, act, text = `toolbar.${id.replace("-", "_")}`, short = null) {
    const button = make("button", { type: "button", className: "viewer-tool", onclick: act }, icon(picture));
    if (short) button.append(make("span", { className: "viewer-tool-text", textContent: say(short) }));
    button.dataset.testid = `toolbar-${id}`;
    name(button, say(text));
    this.root.append(button);
    return button;
  }

  /** Allow what needs a living session. */
  enabled(on) {
    for (const button of [this.clipboard, this.files, this.keys, this.keyboard, this.scale]) if (button) button.disabled = !on;
    if (!on) this.closePanels(false);
    this.reveal(false);
  }

  /** Fit the buttons to what this session can and may. */
  allow({ clipboard, files, scale, viewOnly, recorded }) {
    this.clipboard.hidden = !clipboard;
    this.files.hidden = !files;
    this.scale.hidden = !scale;
    this.keys.hidden = viewOnly;
    if (this.keyboard) this.keyboard.hidden = viewOnly;
    this.viewOnly.hidden = !viewOnly;
    this.recorded.hidden = !recorded;
    document.documentElement.toggleAttribute("data-recorded", recorded);
  }

  /** Add a panel that the button of the same id opens. */
  addPanel(id, panel, button) {
    panel.hidden = true;
    panel.id = `viewer-panel-${id}`;
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-controls", panel.id);
    this.panels.set(id, { panel, button });
    this.root.after(panel);
    panel.addEventListener("keydown", (event) => event.key === "Escape" && this.leave(event));
  }

  toggle(id) {
    const { panel } = this.panels.get(id);
    const opens = panel.hidden;
    this.closePanels(false);
    if (!opens) return this.actions.focusDesktop();
    panel.hidden = false;
    this.panels.get(id).button.setAttribute("aria-expanded", "true");
    this.placePanels();
    panel.querySelector("textarea, .viewer-keys button, .viewer-button")?.focus();
    if (id === "files") this.actions.showFiles();
    return undefined;
  }

  closePanels(focus = true) {
    for (const { panel, button } of this.panels.values()) {
      panel.hidden = true;
      button.setAttribute("aria-expanded", "false");
    }
    if (focus) this.actions.focusDesktop();
  }

  setFit(fit) {
    this.fit = fit;
    this.scale.replaceChildren(icon(fit ? "actual" : "fit"));
    name(this.scale, say(fit ? "toolbar.actual" : "toolbar.fit"));
    this.actions.setFit(fit);
  }

  /** Show the round-trip time, or that it is not known. */
  measured(milliseconds) {
    const level = milliseconds === null ? "unknown" : milliseconds < 80 ? "good" : milliseconds < 200 ? "fair" : "poor";
    this.quality.dataset.level = level;
    name(this.quality, say(`quality.${level}`, { ms: Math.round(milliseconds ?? 0) }));
    this.quality.lastChild.textContent = milliseconds === null ? "–" : `${Math.round(milliseconds)} ms`;
  }

  /** Show the pill; it hides again when it is no longer used. */
  reveal(focus) {
    this.root.dataset.shown = "true";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.hideIfIdle(), HIDE_MILLISECONDS);
    if (focus) this.root.querySelector("button:not(:disabled):not([hidden]):not(.viewer-grip)")?.focus();
  }

  hideIfIdle() {
    const used = this.root.matches(":hover, :focus-within") || [...this.panels.values()].some(({ panel }) => !panel.hidden);
    if (used) this.timer = setTimeout(() => this.hideIfIdle(), HIDE_MILLISECONDS);
    else this.root.dataset.shown = "false";
  }

  leave(event) {
    event.preventDefault();
    event.stopPropagation();
    this.closePanels(true);
  }

  listen() {
    window.addEventListener("pointermove", (event) => event.clientY < 6 && this.reveal(false));
    window.addEventListener("resize", () => this.moveTo(this.left()));
    document.addEventListener("fullscreenchange", () => this.relabelFullScreen());
    // Captured, for the desktop's canvas takes every key that reaches it.
    window.addEventListener("keydown", (event) => {
      if (event.ctrlKey && event.altKey && event.shiftKey && ["Control", "Alt", "Shift"].includes(event.key)) this.reveal(true);
    }, true);
    this.root.addEventListener("keydown", (event) => this.walk(event));
    this.grip.addEventListener("pointerdown", (event) => this.drag(event));
    this.grip.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
      if (!step || !event.shiftKey) return;
      event.stopPropagation();
      this.moveTo(this.left() + step);
    });
  }

  /** Move among the buttons with the arrow keys, as toolbars do; Escape goes back to the desktop. */
  walk(event) {
    if (event.key === "Escape") return this.leave(event);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return undefined;
    const buttons = [...this.root.querySelectorAll("button:not(:disabled):not([hidden])")];
    buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length]?.focus();
    return undefined;
  }

  drag(event) {
    const offset = event.clientX - this.left();
    const follow = (move) => this.moveTo(move.clientX - offset);
    this.grip.setPointerCapture(event.pointerId);
    this.grip.addEventListener("pointermove", follow);
    this.grip.addEventListener("lostpointercapture", () => this.grip.removeEventListener("pointermove", follow), { once: true });
  }

  left() {
    return this.root.getBoundingClientRect().left;
  }

  moveTo(left) {
    const room = document.documentElement.clientWidth - this.root.offsetWidth;
    const kept = Math.max(4, Math.min(left, room - 4));
    this.root.style.setProperty("--viewer-left", `${kept}px`);
    this.root.dataset.moved = "true";
    this.placePanels();
  }

  placePanels() {
    const { left, bottom } = this.root.getBoundingClientRect();
    for (const { panel } of this.panels.values()) {
      const room = document.documentElement.clientWidth - panel.offsetWidth - 8;
      panel.style.setProperty("--viewer-left", `${Math.max(8, Math.min(left, room))}px`);
      panel.style.setProperty("--viewer-top", `${bottom + 8}px`);
    }
  }

  relabelFullScreen() {
    if (!this.full) return;
    const on = Boolean(document.fullscreenElement);
    this.full.replaceChildren(icon(on ? "window" : "full"));
    name(this.full, say(on ? "toolbar.window" : "toolbar.full_screen"));
  }
}

function name(element, text) {
  element.title = text;
  element.setAttribute("aria-label", text);
}
