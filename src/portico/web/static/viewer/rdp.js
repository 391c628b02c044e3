// The display of an RDP desktop: IronRDP, compiled for the browser, on a canvas of ours.

import * as ironrdp from "/static/vendor/@devolutions/iron-remote-desktop-rdp/iron-remote-desktop-rdp.js";
import { Beside, Closed, nameOf } from "./channel.js";
import { make } from "./elements.js";
import { keyboardLayout } from "./layout.js";
import { RdpFiles } from "./rdp-files.js";
import { RdpInput } from "./rdp-input.js";

const { ClipboardData, DesktopSize, SessionBuilder } = ironrdp.Backend;
const NAMES = {
  Escape: "Escape", Tab: "Tab", Enter: "Enter", Backspace: "Backspace", Delete: "Delete", Left: "ArrowLeft", Right: "ArrowRight", Up: "ArrowUp",
  Down: "ArrowDown", Control: "ControlLeft", Alt: "AltLeft", Shift: "ShiftLeft", Super: "MetaLeft", Print: "PrintScreen", F4: "F4", T: "KeyT", L: "KeyL",
};
const COMBINATIONS = [
  ["Ctrl + Alt + Del", ["Control", "Alt", "Delete"]],
  ["Esc", ["Escape"]],
  ["Tab", ["Tab"]],
  ["Ctrl + Shift + Esc", ["Control", "Shift", "Escape"]],
  ["Alt + Tab", ["Alt", "Tab"]],
  ["Alt + F4", ["Alt", "F4"]],
  ["Super", ["Super"]],
  ["Super + L", ["Super", "L"]],
  ["Print", ["Print"]],
];
const SETTLE_MILLISECONDS = 400; // a window that is being pulled
const FOLLOW_MILLISECONDS = 2500; // after that a desktop that did not take the new size will not
const TEXT = "text/plain";

let started = null;
let follows = true; // whether this desktop takes sizes at all, as far as we have seen

function start() {
  started ??= ironrdp.init("ERROR");
  return started;
}

/** Return the size that a desktop shall have in `place`; widths that are no multiple of four come out slanted on some desktops. */
export function sizeIn(place) {
  const bound = (value) => Math.max(200, Math.min(8192, Math.round(value)));
  return { width: bound(place.clientWidth) & ~3, height: bound(place.clientHeight) };
}

/**
 * Open a desktop in `place` by the gateway's address and ticket, with a log-in {username, password} if the person typed one.
 * `joined`: it is somebody else's, whose window it follows. Returns {channel, policy, display}; rejects with Closed.
 */
export async function enterRdp(place, given, logIn = null, joined = false) {
  await start();
  const address = new URL(given.url, location.href);
  address.protocol = address.protocol === "http:" ? "ws:" : "wss:";
  const layout = await keyboardLayout();
  if (layout) address.searchParams.set("layout", `0x${layout.toString(16)}`);
  const display = new RdpDisplay(place, joined);
  const door = captured(address, logIn);
  try {
    await display.connect(address, given.ticket);
    return { channel: door.channel, policy: await door.policy, display };
  } catch (problem) {
    console.warn("RDP:", problem?.backtrace?.() ?? problem);
    display.close();
    door.giveUp();
    throw await door.refusal;
  } finally {
    door.release();
  }
}

/** Show a recording in `place`: `socket` stands for the gateway, hands out what was recorded and takes nothing. */
export async function replayRdp(place, socket) {
  await start();
  const Original = window.WebSocket;
  const display = new RdpDisplay(place, true); // a recorded desktop follows no window
  let opened;
  const open = new Promise((resolve) => (opened = resolve));
  window.WebSocket = function Recorded() {
    window.WebSocket = Original;
    setTimeout(() => {
      socket.dispatchEvent(new Event("open"));
      opened();
    });
    return socket;
  };
  Object.assign(window.WebSocket, { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 });
  const connected = display.connect(new URL("/gw/rdp", location.href), "recorded");
  connected.then(
    () => {
      display.attach(socket, { view_only: true }, { onFrame() {}, onClipboard() {}, onEnded() {}, onFailed() {}, onSize() {} });
      display.setFit(true);
    },
    (problem) => console.warn("RDP:", problem?.backtrace?.() ?? problem),
  );
  await open; // before that it hears nothing
  return display;
}

/**
 * IronRDP opens its socket itself and takes every message for RDP. This hands us the socket as it is made, sends what must go ahead,
 * keeps the gateway's text messages from it, and takes the class away again.
 */
function captured(address, logIn) {
  const Original = window.WebSocket;
  const door = { channel: null, release: () => (window.WebSocket = Original) };
  let told, refused;
  door.policy = new Promise((resolve) => (told = resolve));
  door.refusal = new Promise((resolve) => (refused = resolve));
  // The socket's end says more than IronRDP does, if it comes.
  door.giveUp = () => setTimeout(() => refused(new Closed(door.channel ? "failed" : "lost")), door.channel ? 2000 : 0);
  window.WebSocket = class extends Original {
    constructor(url, protocols) {
      super(url, protocols);
      if (new URL(url).pathname !== address.pathname) return;
      door.release();
      door.channel = new Beside(this);
      let refusal = null;
      if (logIn) this.addEventListener("open", () => this.send(JSON.stringify({ log_in: logIn })));
      this.addEventListener("message", (event) => {
        if (typeof event.data !== "string") return;
        event.stopImmediatePropagation();
        const fields = door.channel.hear(event.data);
        if (fields?.ok) told(fields.policy ?? {});
        if (fields?.error) refusal = new Closed(fields.error, fields);
      });
      this.addEventListener("close", (event) => refused(refusal ?? new Closed(event.code === 1000 ? "lost" : nameOf(event))));
    }
  };
  return door;
}

class RdpDisplay {
  constructor(place, fixed = false) {
    this.fixed = fixed; // it follows no window of ours
    this.place = place;
    this.canvas = make("canvas", { className: "viewer-rdp", tabIndex: 0 });
    this.held = new Set();
    this.canScale = true;
    this.combinations = COMBINATIONS.map(([label, keys]) => ({ label, send: () => this.press(keys) }));
    this.input = new RdpInput(this.canvas);
    this.files = fixed ? null : new RdpFiles();
    this.session = null;
    this.hooks = null;
    this.copied = null;
    this.early = false; // the first picture came before somebody asked for it
    this.fit = true;
    place.append(this.canvas);
  }

  async connect(address, ticket) {
    const size = sizeIn(this.place);
    const builder = new SessionBuilder()
      .proxyAddress(address.href)
      .authToken(ticket)
      .destination("desktop:3389") // the ticket decides
      .serverDomain("")
      .username("portico") // the gateway logs in
      .password("portico")
      .desktopSize(new DesktopSize(size.width, size.height))
      .renderCanvas(this.canvas)
      .setCursorStyleCallbackContext(this)
      .setCursorStyleCallback((...cursor) => this.showCursor(...cursor))
      .remoteClipboardChangedCallback((data) => this.take(data))
      .forceClipboardUpdateCallback(() => this.offer())
      .canvasResizedCallback(() => {})
      .extension(ironrdp.displayControl(true))
      .extension(ironrdp.enableCredssp(false));
    for (const extension of this.files?.extensions() ?? []) builder.extension(extension);
    this.watchFirstPicture(size);
    this.session = await builder.connect();
    this.input.attach(this.session);
    if (this.files) this.files.session = this.session;
  }

  /** Begin to show it. `hooks`: onFrame(), onClipboard(text, content), onEnded(), onFailed(), onSize(). */
  attach(channel, policy, hooks) {
    this.hooks = hooks;
    this.canvas.inert = policy.view_only === true;
    if (this.early) hooks.onFrame();
    this.session.run().then(
      () => hooks.onEnded(),
      (problem) => {
        // Where the socket ended, its end says why; else IronRDP could not read the desktop.
        setTimeout(() => channel.readyState === WebSocket.OPEN && hooks.onFailed(), 1000);
        console.warn("RDP:", problem?.backtrace?.() ?? problem);
      },
    );
    this.observer = new ResizeObserver(() => this.follow());
    this.observer.observe(this.place);
  }

  /** Notice when the first picture is painted: IronRDP says nothing of it. */
  watchFirstPicture(size) {
    const context = this.canvas.getContext("2d");
    const paint = context.putImageData;
    context.putImageData = (...picture) => {
      delete context.putImageData;
      paint.apply(context, picture);
      if (this.canvas.width !== size.width || this.canvas.height !== size.height) follows = false;
      this.early = true;
      this.hooks?.onFrame();
    };
  }

  showCursor(kind, url, x, y) {
    this.canvas.style.cursor = kind === "url" ? `url("${url}") ${x} ${y}, default` : kind === "none" ? "none" : "default";
  }

  focus() {
    this.canvas.focus({ preventScroll: true });
  }

  setFit(fit) {
    this.fit = fit;
    this.canvas.toggleAttribute("data-fit", fit);
    this.place.toggleAttribute("data-scroll", !fit);
    this.follow();
  }

  /** Let the desktop have the window's size; where it does not follow, ask for the connection anew. */
  follow() {
    clearTimeout(this.waiting);
    const wanted = sizeIn(this.place);
    const fits = () => this.canvas.width === wanted.width && this.canvas.height === wanted.height;
    if (!follows || !this.fit || this.fixed || fits() || document.hidden) return;
    this.waiting = setTimeout(() => {
      this.session?.resize(wanted.width, wanted.height, 100);
      this.waiting = setTimeout(() => fits() || this.hooks?.onSize(), FOLLOW_MILLISECONDS);
    }, SETTLE_MILLISECONDS);
  }

  /** Put something into the desktop's clipboard: text, or blobs by MIME type. */
  paste(text) {
    this.put({ [TEXT]: text });
  }

  put(content) {
    const data = new ClipboardData();
    for (const [type, value] of Object.entries(content)) {
      if (typeof value === "string") data.addText(type, value);
      else data.addBinary(type, value);
    }
    this.copied = content;
    this.session?.onClipboardPaste(data).catch(() => {}); // refused by policy: nothing is sent
  }

  /** Say again what this side's clipboard holds: the desktop asks for it when its own channel opens. */
  offer() {
    setTimeout(() => this.put(this.copied ?? {}));
  }

  /** Take what was copied on the desktop. */
  take(data) {
    const content = Object.fromEntries(data.items().map((item) => [item.mimeType(), item.value()]));
    this.hooks?.onClipboard(content[TEXT] ?? "", content);
  }

  hold(name, down) {
    if (down) this.held.add(name);
    else this.held.delete(name);
    this.input.hold(NAMES[name], down);
  }

  press(names) {
    this.input.press(names.map((name) => NAMES[name]));
    this.release();
  }

  type(text) {
    for (const part of text.split(/(\n)/)) {
      if (part === "\n") this.input.press(["Enter"]);
      else this.input.type(part);
    }
    this.release();
  }

  release() {
    for (const name of [...this.held]) this.hold(name, false);
  }

  close() {
    clearTimeout(this.waiting);
    this.observer?.disconnect();
    this.input.close();
    this.files?.close();
    try {
      this.session?.shutdown();
    } catch {
      // It ended by itself.
    }
    this.session = null;
    this.canvas.remove();
  }
}
