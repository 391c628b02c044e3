// Keys that a browser keeps for itself or a phone does not have: a panel of combinations, and a row above the on-screen keyboard.

import { icon, make } from "./elements.js";
import { say } from "./texts.js";

const ROW = [["Esc", "Escape"], ["Tab", "Tab"], ["Ctrl", "Control"], ["Alt", "Alt"], ["←", "Left"], ["↑", "Up"], ["↓", "Down"], ["→", "Right"]];
const MODIFIERS = ["Control", "Alt"];
const PAD = "\u00a0".repeat(16); // something to delete, so that an on-screen keyboard's backspace is seen

/** Make the panel that sends combinations. */
export function keysPanel() {
  const closeButton = make("button", { type: "button", className: "viewer-tool", title: say("close"), attributes: { "aria-label": say("close") } }, icon("close"));
  const keys = make("div", { className: "viewer-keys" });
  const panel = make("section", { className: "viewer-panel", attributes: { "aria-label": say("keys.title") } },
    make("header", {}, make("h2", { textContent: say("keys.title") }), closeButton), keys);
  panel.dataset.testid = "keys-panel";
  const fill = (combinations) => keys.replaceChildren(...combinations.map(({ label, send }) =>
    make("button", { type: "button", className: "viewer-button", textContent: label, onclick: send })));
  return { panel, closeButton, fill };
}

/** The row of keys on a phone, with the hidden field that brings up its keyboard. */
export class KeyRow {
  constructor(place) {
    this.place = place;
    this.display = null;
    this.field = make("textarea", { className: "viewer-hidden-field", value: PAD, autocapitalize: "off", autocomplete: "off", spellcheck: false,
      attributes: { autocorrect: "off", "aria-label": say("toolbar.keyboard") } });
    this.field.addEventListener("input", () => this.typed());
    this.field.addEventListener("keydown", (event) => this.pressed(event));
    this.row = make("div", { className: "viewer-key-row", hidden: true, attributes: { role: "toolbar", "aria-label": say("toolbar.keyboard") } },
      ...ROW.map(([label, name]) => this.key(label, name)));
    this.row.dataset.testid = "key-row";
    place.append(this.field, this.row);
    window.visualViewport?.addEventListener("resize", () => this.stick());
    window.visualViewport?.addEventListener("scroll", () => this.stick());
  }

  key(label, name) {
    const button = make("button", { type: "button", className: "viewer-key", textContent: label });
    // A button that took the focus would fold the keyboard away.
    button.addEventListener("pointerdown", (event) => event.preventDefault());
    button.onclick = () => this.tap(button, name);
    return button;
  }

  attach(display) {
    this.display = display;
    display.onreleased = () => this.clearModifiers();
  }

  toggle() {
    this.row.hidden = !this.row.hidden;
    this.place.toggleAttribute("data-keys", !this.row.hidden);
    if (this.row.hidden) return this.field.blur();
    this.stick();
    return this.display?.canScale ? this.field.focus() : this.display?.focus();
  }

  tap(button, name) {
    if (!MODIFIERS.includes(name)) {
      this.display?.press([name]);
      this.clearModifiers();
      return;
    }
    const down = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(down));
    this.display?.hold(name, down);
  }

  clearModifiers() {
    for (const button of this.row.querySelectorAll("[aria-pressed]")) button.removeAttribute("aria-pressed");
  }

  /** Send what an on-screen keyboard changed in the field: letters at the end, or fewer of them. */
  typed() {
    const { value } = this.field;
    let same = 0;
    while (same < PAD.length && value[same] === PAD[same]) same += 1;
    for (let missing = same; missing < PAD.length; missing += 1) this.display?.press(["Backspace"]);
    if (value.length > same) this.display?.type(value.slice(same));
    this.field.value = PAD;
    this.clearModifiers();
  }

  pressed(event) {
    const name = { Enter: "Enter", ArrowLeft: "Left", ArrowRight: "Right", ArrowUp: "Up", ArrowDown: "Down", Tab: "Tab", Escape: "Escape" }[event.key];
    if (!name) return;
    event.preventDefault();
    this.display?.press([name]);
  }

  /** Keep the row above the on-screen keyboard, which covers the page without resizing it. */
  stick() {
    const view = window.visualViewport;
    const covered = view ? Math.max(0, window.innerHeight - view.height - view.offsetTop) : 0;
    this.place.style.setProperty("--viewer-bottom", `${covered}px`);
  }
}
