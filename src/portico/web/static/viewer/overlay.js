// What lies over the desktop while there is none: connecting, lost, ended.

import { make } from "./elements.js";
import { say } from "./texts.js";

export class Overlay {
  constructor(place) {
    this.title = make("h2", { className: "viewer-overlay-title" });
    this.text = make("p", { className: "viewer-overlay-text" });
    this.note = make("p", { className: "viewer-overlay-note", attributes: { "aria-hidden": "true" } });
    this.bar = make("div", { className: "viewer-overlay-bar", attributes: { "aria-hidden": "true" } });
    this.buttons = make("div", { className: "viewer-overlay-buttons" });
    this.card = make("div", { className: "viewer-overlay-card", attributes: { role: "status", "aria-live": "polite" } },
      this.title, this.text, this.bar, this.note, this.buttons);
    this.root = make("div", { className: "viewer-overlay" }, this.card);
    this.root.dataset.testid = "overlay";
    this.timer = null;
    place.append(this.root);
  }

  /** Show that we are on the way; after a while say that it takes longer. */
  connecting(desktop) {
    this.show("connecting", say("connecting", { desktop }), "");
    this.timer = setTimeout(() => (this.text.textContent = say("connecting.slow")), 8000);
  }

  /** Show that the connection was lost, why, and when we try again. */
  lost(text, buttons) {
    this.show("lost", say("lost.title"), text, buttons);
  }

  /** Show that the session is over and why. */
  ended(text, buttons) {
    this.show("ended", say("ended.title"), text, buttons);
    this.buttons.querySelector("button, a")?.focus();
  }

  /** Ask for a user name and a password; calls `done` with {username, password}. */
  ask(desktop, text, username, back, done) {
    this.show("asking", say("log_in.title", { desktop }), text);
    const name = field("username", say("log_in.username"), { value: username, autocomplete: "username", autocapitalize: "off", spellcheck: false });
    const password = field("password", say("log_in.password"), { type: "password", autocomplete: "current-password" });
    const form = make("form", { className: "viewer-form" }, name.label, password.label,
      make("div", { className: "viewer-overlay-buttons" },
        asButton({ id: "log-in", label: say("log_in.connect"), primary: true, submit: true }), asButton({ id: "back", label: say("back"), href: back })));
    form.dataset.testid = "log-in-form";
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      done({ username: name.input.value, password: password.input.value });
    });
    this.buttons.replaceChildren(form);
    (username ? password : name).input.focus();
  }

  /** Say how long it is until the next try. */
  countdown(seconds) {
    this.note.textContent = seconds > 0 ? say("lost.again", { seconds }) : say("lost.now");
  }

  hide() {
    clearTimeout(this.timer);
    this.root.hidden = true;
  }

  show(kind, title, text, buttons = []) {
    clearTimeout(this.timer);
    this.root.hidden = false;
    this.root.dataset.kind = kind;
    this.title.textContent = title;
    this.text.textContent = text;
    this.note.textContent = "";
    this.buttons.replaceChildren(...buttons.map(asButton));
  }
}

function field(id, text, properties) {
  const input = make("input", { id: `viewer-${id}`, className: "viewer-input", required: true, maxLength: 256, ...properties });
  input.dataset.testid = id;
  return { input, label: make("label", { className: "viewer-field" }, text, input) };
}

function asButton({ label, href, act, id, primary, submit }) {
  const className = primary ? "viewer-button viewer-button-primary" : "viewer-button";
  const element = href ? make("a", { className, href, textContent: label }) : make("button", { className, type: submit ? "submit" : "button", textContent: label, onclick: act ?? null });
  element.dataset.testid = id;
  return element;
}
