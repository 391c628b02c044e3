// The viewer's page: <main id="viewer"> becomes the desktop.
//
// Reads of <main id="viewer">: data-connection, data-protocol ("vnc" | "rdp" | "ssh"), data-desktop (its name), data-ticket-url
// (POST → JSON {ticket, url}), data-portal-url, data-csrf; and if there: data-disconnect-url, data-log-out-url (POST).
// Texts come from <script type="application/json" id="texts">; keys and English texts stand in texts.js.
// Stages for whoever watches: html[data-viewer="connecting|connected|asking|lost|ended"], performance mark "portico:first-frame".

import { Closed, enter } from "./channel.js";
import { Clipboard } from "./clipboard.js";
import { ClipboardFiles } from "./clipboard-files.js";
import { Countdown } from "./countdown.js";
import { addStyle, make } from "./elements.js";
import { Files } from "./files.js";
import { Joining } from "./joining.js";
import { KeyRow, keysPanel } from "./keyboard.js";
import { Overlay } from "./overlay.js";
import { say } from "./texts.js";
import { Toolbar } from "./toolbar.js";
import { Watermark } from "./watermark.js";

addStyle("/static/viewer/viewer.css");

const page = document.getElementById("viewer");
const { protocol, ticketUrl, portalUrl = "/", disconnectUrl, logOutUrl, csrf = "", connection = "", joined = "", user = "" } = page.dataset;
const desktop = page.dataset.desktop || document.title;

const WAITS = [1, 2, 4, 8, 15]; // seconds between tries
const MAX_TICKETS = 3; // tickets refused in a row, then we stop and ask
const PING_MILLISECONDS = 5000;
const LOST = { "draining": "lost.draining", "broker.unreachable": "lost.broker", "desktop.unreachable": "lost.desktop", "shadow.waiting": "lost.shadow" };
const RETRIED = ["lost", "draining", "broker.unreachable", "desktop.unreachable", "ticket.invalid", "ticket.used", "shadow.waiting"];

let display = null;
let channel = null;
let tries = 0;
let ticketsRefused = 0;
let exitStatus = null;
let retry = null;
let leaving = false;
let logIn = null; // what the person typed for this desktop; kept for as long as the page lives, for reconnects

const stage = make("div", { className: "viewer-stage" });
page.append(stage);
const overlay = new Overlay(page);
const countdown = new Countdown(page);
const watermark = new Watermark(page);
const clipboard = new Clipboard();
const files = protocol === "rdp" ? new ClipboardFiles() : new Files();
const joining = new Joining(page, {
  answer: (id, agrees) => answerShadow(id, agrees),
  stop: (id) => channel?.tell({ shadow: { stop: id } }),
});
const keyRow = new KeyRow(page);
const keys = keysPanel();
const toolbar = new Toolbar(page, {
  focusDesktop: () => display?.focus(),
  fullScreen: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()),
  disconnect: () => leave(disconnectUrl),
  logOut: logOutUrl ? () => leave(logOutUrl) : null,
  setFit: (fit) => display?.setFit(fit),
  showFiles: () => files.show(),
  keyboard: matchMedia("(pointer: coarse)").matches ? () => keyRow.toggle() : null,
});
toolbar.addPanel("clipboard", clipboard.panel, toolbar.clipboard);
toolbar.addPanel("files", files.panel, toolbar.files);
toolbar.addPanel("keys", keys.panel, toolbar.keys);
clipboard.closeButton.onclick = () => toolbar.closePanels();
keys.closeButton.onclick = () => toolbar.closePanels();
files.closeButton.onclick = () => toolbar.closePanels();
page.addEventListener("dragover", (event) => files.takesFiles && event.preventDefault());
page.addEventListener("drop", (event) => {
  if (!files.takesFiles || !event.dataTransfer?.files.length) return;
  event.preventDefault();
  if (files.panel.hidden) toolbar.toggle("files");
  files.sendAll(event.dataTransfer.files);
});

function mark(name) {
  document.documentElement.dataset.viewer = name;
}

/** Ask the portal for a ticket. Throws Closed. */
async function ticket() {
  let answer;
  try {
    answer = await fetch(ticketUrl, { method: "POST", headers: { "X-CSRF-Token": csrf, Accept: "application/json" }, signal: AbortSignal.timeout(15000) });
  } catch {
    throw new Closed("lost");
  }
  const isJson = (answer.headers.get("Content-Type") ?? "").includes("json");
  if (answer.status === 401 || answer.status === 403 || (answer.ok && !isJson)) throw new Closed("signed_out");
  if (answer.status === 404 || answer.status === 410) throw new Closed("session.ended");
  if (!answer.ok) throw new Closed(answer.status === 503 ? "broker.unreachable" : "lost");
  return answer.json();
}

/** Connect once, from ticket to first picture. `before`, what is shown until then, goes when the new session stands. */
async function connect(before = null) {
  if (!before) clear();
  exitStatus = null;
  try {
    const entered = await (protocol === "rdp" ? enterByRdp() : enterByChannel());
    channel = entered.channel;
    channel.onended = (reason) => over(reason);
    before?.();
    start(entered.open, entered.policy, entered.files, entered.door);
  } catch (problem) {
    before?.();
    if (!(problem instanceof Closed)) console.error(problem);
    over(problem instanceof Closed ? problem.code : "failed", problem.told);
  }
}

/** Enter with a channel of ours, on which the display is opened then. */
async function enterByChannel() {
  const module = protocol === "ssh" ? await import("./ssh.js") : await import("./vnc.js");
  const prepared = protocol === "ssh" ? await module.prepareSsh(stage, Boolean(joined)) : null;
  display = prepared;
  const given = await ticket();
  const entered = await enter(given.url, { ticket: given.ticket, ...prepared?.size });
  const open = (hooks) => {
    if (!prepared) return module.openVnc(stage, entered.channel, entered.policy, hooks, Boolean(joined));
    prepared.attach(entered.channel, entered.policy, hooks);
    return prepared;
  };
  return { ...entered, open, door: given.url };
}

/** Enter with RDP's own client, which opens its channel itself. */
async function enterByRdp() {
  const { enterRdp } = await import("./rdp.js");
  const entered = await enterRdp(stage, await ticket(), logIn, Boolean(joined));
  const open = (hooks) => {
    entered.display.attach(entered.channel, entered.policy, hooks);
    return entered.display;
  };
  return { ...entered, open };
}

/** `open` shows the desktop and returns its display; `door` is where its gateway stands. */
function start(open, policy, secret, door) {
  display = open({
    onFrame: () => up(),
    onClipboard: (text, content) => clipboard.copied(text, content),
    onExit: (status) => (exitStatus = status),
    onEnded: () => over("desktop.closed"),
    onFailed: () => over("failed"),
    onSize: () => renew(),
  });
  const hear = channel.ontext;
  channel.ontext = (fields) => {
    if ("idle_in" in fields) countdown.idle(fields.idle_in);
    else if (fields.shadow) hearShadow(fields.shadow);
    else hear(fields);
  };
  if (joined) joining.joined(user);
  countdown.start(policy);
  watermark.start(policy);
  clipboard.attach(display, policy);
  keyRow.attach(display);
  keys.fill(display.combinations);
  const hasFiles = files.attach({ secret, policy, door, display });
  toolbar.allow({
    files: hasFiles,
    clipboard: policy.clipboard_out === true || (policy.clipboard_in === true && policy.view_only !== true),
    scale: display.canScale,
    viewOnly: policy.view_only === true,
    recorded: policy.recorded === true,
  });
}

/** Take the gateway's word about somebody who joins this session. */
function hearShadow(fields) {
  if (fields.restart) {
    renew();
  } else if (fields.screen) display?.tellScreen?.();
  else joining.hear(fields);
}

async function answerShadow(id, agrees) {
  try {
    const body = new URLSearchParams({ answer: agrees ? "yes" : "no" });
    const answer = await fetch(`/connections/${connection}/shadows/${id}`, { method: "POST", body, headers: { "X-CSRF-Token": csrf, Accept: "application/json" }, signal: AbortSignal.timeout(15000) });
    return answer.ok || answer.status === 404 || answer.status === 409;
  } catch {
    return false;
  }
}

/** The first picture is there. */
function up() {
  tries = 0;
  ticketsRefused = 0;
  if (!performance.getEntriesByName("portico:first-frame").length) performance.mark("portico:first-frame");
  mark("connected");
  overlay.hide();
  toolbar.enabled(true);
  toolbar.setFit(toolbar.fit);
  display.focus();
  measure(channel);
}

async function measure(measured) {
  while (measured === channel && measured.readyState === WebSocket.OPEN) {
    toolbar.measured(await measured.ping());
    await new Promise((resolve) => setTimeout(resolve, PING_MILLISECONDS));
  }
}

/** The connection is over: try again or say why not. */
function over(reason, told = {}) {
  if (leaving) return;
  clear();
  toolbar.enabled(false);
  toolbar.measured(null);
  if (reason === "credentials.wanted" || (reason === "desktop.refused" && logIn)) return ask(reason, told.username);
  if (reason.startsWith("ticket.")) ticketsRefused += 1;
  if (RETRIED.includes(reason) && ticketsRefused < MAX_TICKETS) lost(reason);
  else ended(reason);
}

function lost(reason) {
  mark("lost");
  overlay.lost(say(LOST[reason] ?? "lost.text"), [
    { id: "try-now", label: say("try_now"), primary: true, act: () => again() },
    { id: "back", label: say("back"), href: portalUrl },
  ]);
  let seconds = WAITS[Math.min(tries, WAITS.length - 1)];
  tries += 1;
  overlay.countdown(seconds);
  // A little chance keeps a thousand viewers from knocking in the same instant.
  retry = setInterval(() => {
    seconds -= 1;
    overlay.countdown(seconds);
    if (seconds <= 0) again();
  }, 1000 + Math.random() * 300);
}

/** Ask for the desktop's own user name and password, and connect with them. */
function ask(reason, username = logIn?.username ?? "") {
  mark("asking");
  const text = say(reason === "desktop.refused" ? "log_in.refused" : "log_in.text");
  overlay.ask(desktop, text, username, portalUrl, (typed) => {
    logIn = typed;
    begin();
  });
}

function again() {
  clearInterval(retry);
  retry = null;
  overlay.countdown(0);
  connect();
}

/** Open the session anew while it still stands, so that it is nowhere thought to have been left. */
function renew() {
  mark("connecting");
  const [oldDisplay, oldChannel] = [display, channel];
  if (oldChannel) oldChannel.onended = () => {};
  connect(() => {
    oldDisplay?.close();
    oldChannel?.close();
  });
}

function ended(reason) {
  mark("ended");
  const key = reason === "desktop.closed" && exitStatus !== null ? "ended.exit" : `ended.${reason}`;
  const buttons = [{ id: "back", label: say("back"), href: portalUrl, primary: true }];
  if (!["session.ended", "signed_out", "shadow.ended"].includes(reason)) {
    const label = say(reason === "closed.elsewhere" ? "use_here" : "reconnect");
    buttons.push({ id: "reconnect", label, act: () => begin() });
  }
  overlay.ended(say(key, { status: exitStatus }), buttons);
}

/** Forget the display and the channel, if there are any. */
function clear() {
  clearInterval(retry);
  countdown.stop();
  files.detach();
  joining.show(null);
  const [oldDisplay, oldChannel] = [display, channel];
  display = channel = null;
  if (oldChannel) oldChannel.onended = () => {};
  oldDisplay?.close();
  oldChannel?.close();
  stage.replaceChildren();
}

/** Leave for the portal, telling it first how. */
async function leave(address) {
  leaving = true;
  let next = portalUrl;
  try {
    if (address) {
      const answer = await fetch(address, { method: "POST", headers: { "X-CSRF-Token": csrf }, signal: AbortSignal.timeout(15000) });
      if (answer.redirected) next = answer.url;
    }
  } catch {
    // The portal will say so itself.
  }
  mark("ended");
  clear();
  location.assign(next);
}

function begin() {
  tries = ticketsRefused = 0;
  mark("connecting");
  overlay.connecting(desktop);
  connect();
}

window.addEventListener("online", () => retry && again());
window.addEventListener("pagehide", () => channel?.close());
document.addEventListener("visibilitychange", () => !document.hidden && retry && again());
begin();
