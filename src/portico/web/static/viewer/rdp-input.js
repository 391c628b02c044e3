// Keys, mouse and touch of the browser as input of an RDP session.

import { Backend } from "/static/vendor/@devolutions/iron-remote-desktop-rdp/iron-remote-desktop-rdp.js";
import { SCANCODES } from "./scancodes.js";
import { touchAsMouse } from "./touch.js";

const { DeviceEvent, InputTransaction } = Backend;
const LOCKS = ["ScrollLock", "NumLock", "CapsLock", "KanaMode"];

export class RdpInput {
  constructor(canvas) {
    this.canvas = canvas;
    this.session = null;
    this.locks = "";
    const on = (name, act, options) => canvas.addEventListener(name, act, options);
    on("keydown", (event) => this.key(event, true));
    on("keyup", (event) => this.key(event, false));
    on("mousemove", (event) => this.move(event.clientX, event.clientY));
    on("mousedown", (event) => this.pressed(event, true));
    // Outside of the canvas too, or a drag that ends there would never end on the desktop.
    this.released = (event) => event.target !== canvas && event.buttons === 0 && this.session?.releaseAllInputs();
    addEventListener("mouseup", this.released);
    on("mouseup", (event) => this.pressed(event, false));
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => this.wheel(event), { passive: false });
    on("blur", () => this.session?.releaseAllInputs());
    on("focus", () => (this.locks = ""));
    touchAsMouse(canvas, {
      move: (x, y) => this.move(x, y),
      button: (number, down) => this.button(number, down),
      wheel: (pixels) => this.send(DeviceEvent.wheelRotations(true, -pixels, 0)),
    });
  }

  /** Serve a session, or none when `session` is null. */
  attach(session) {
    this.session = session;
  }

  send(...events) {
    if (!this.session) {
      for (const event of events) event.free();
      return;
    }
    const transaction = new InputTransaction();
    for (const event of events) transaction.addEvent(event);
    this.session.applyInputs(transaction);
  }

  key(event, down) {
    event.preventDefault();
    this.synchronize(event);
    const code = SCANCODES.get(event.code);
    if (code !== undefined) this.send(down ? DeviceEvent.keyPressed(code) : DeviceEvent.keyReleased(code));
    else if (down && [...event.key].length === 1) this.type(event.key);
  }

  /** Tell the desktop which locks are on, whenever that has changed. */
  synchronize(event) {
    const states = LOCKS.map((name) => event.getModifierState(name));
    if (states.join() === this.locks) return;
    this.locks = states.join();
    this.session?.synchronizeLockKeys(...states);
  }

  /** Press keys (by code) together and let them go in the opposite order. */
  press(codes) {
    for (const code of codes) this.send(DeviceEvent.keyPressed(SCANCODES.get(code)));
    for (const code of [...codes].reverse()) this.send(DeviceEvent.keyReleased(SCANCODES.get(code)));
  }

  hold(code, down) {
    const make = down ? DeviceEvent.keyPressed : DeviceEvent.keyReleased;
    this.send(make(SCANCODES.get(code)));
  }

  /** Type characters as such, whatever the layout. */
  type(text) {
    for (const character of text) this.send(DeviceEvent.unicodePressed(character), DeviceEvent.unicodeReleased(character));
  }

  move(clientX, clientY) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    // The picture lies in the middle of the element, as large as fits.
    const scale = Math.min(width / this.canvas.width, height / this.canvas.height);
    const place = (offset, room, pixels) =>
      Math.max(0, Math.min(pixels - 1, Math.round((offset - (room - pixels * scale) / 2) / scale)));
    this.send(DeviceEvent.mouseMove(place(clientX - left, width, this.canvas.width), place(clientY - top, height, this.canvas.height)));
  }

  pressed(event, down) {
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.move(event.clientX, event.clientY);
    this.button(event.button, down);
  }

  button(number, down) {
    this.send(down ? DeviceEvent.mouseButtonPressed(number) : DeviceEvent.mouseButtonReleased(number));
  }

  wheel(event) {
    event.preventDefault();
    const vertical = event.deltaY !== 0;
    this.send(DeviceEvent.wheelRotations(vertical, -(vertical ? event.deltaY : event.deltaX), event.deltaMode));
  }

  close() {
    removeEventListener("mouseup", this.released);
    this.session = null;
  }
}
