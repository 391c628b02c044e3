// Files of a terminal's desktop: a panel beside it, over a socket of its own (gateway.transfers says what is spoken).

import { icon, make } from "./elements.js";
import { fileJob, fileRow, handOver } from "./file-jobs.js";
import { say } from "./texts.js";

const PIECE = 64 * 1024;
const WINDOW = 1 << 20;
const KNOWN = ["exists", "missing", "denied", "too_big", "not_a_file", "forbidden", "busy", "cancelled"];

/** One socket: questions with a number, answers to it, and data between. */
class Line {
  constructor(address, secret, onEnd) {
    this.number = 0;
    this.waiting = new Map();
    this.socket = new WebSocket(Object.assign(address, { protocol: "wss:" }));
    this.socket.binaryType = "arraybuffer";
    this.hello = new Promise((resolve, reject) => {
      this.socket.onopen = () => this.socket.send(JSON.stringify({ session: secret }));
      this.socket.onmessage = (event) => {
        const fields = JSON.parse(event.data);
        if (!fields.ok) return reject(new Error(fields.error));
        this.socket.onmessage = (next) => this.hear(next);
        resolve(fields);
      };
      this.socket.onclose = () => {
        reject(new Error("lost"));
        for (const hear of this.waiting.values()) hear({ error: "lost" });
        this.waiting.clear();
        onEnd();
      };
    });
    this.hello.catch(() => {});
  }

  hear(event) {
    if (typeof event.data === "string") {
      const fields = JSON.parse(event.data);
      this.waiting.get(fields.id)?.(fields);
    } else {
      const number = new DataView(event.data).getUint32(0);
      this.waiting.get(number)?.({ data: new Uint8Array(event.data, 4) });
    }
  }

  /** Ask, and hear every answer to it; returns its number. */
  begin(fields, hear) {
    this.number += 1;
    this.waiting.set(this.number, hear);
    this.tell(this.number, fields);
    return this.number;
  }

  tell(number, fields) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ id: number, ...fields }));
  }

  send(number, data) {
    const message = new Uint8Array(4 + data.length);
    new DataView(message.buffer).setUint32(0, number);
    message.set(data, 4);
    this.socket.send(message);
  }

  end(number) {
    this.waiting.delete(number);
  }

  /** Ask what has one answer. Throws an Error with its code. */
  ask(fields) {
    return new Promise((resolve, reject) => {
      const number = this.begin(fields, (answer) => {
        this.end(number);
        if (answer.error) reject(new Error(answer.error));
        else resolve(answer);
      });
    });
  }

  close() {
    this.socket.close();
  }
}

export class Files {
  constructor() {
    this.line = null;
    this.secret = null;
    this.path = "";
    this.may = {};
    this.closeButton = make("button", { type: "button", className: "viewer-tool", title: say("close"), attributes: { "aria-label": say("close") } }, icon("close"));
    this.where = make("code", { className: "viewer-files-path" });
    this.where.dataset.testid = "files-path";
    this.list = make("ul", { className: "viewer-files-list" });
    this.list.dataset.testid = "files-list";
    this.jobs = make("ul", { className: "viewer-files-jobs" });
    this.jobs.dataset.testid = "files-jobs";
    this.note = make("p", { className: "viewer-panel-note", attributes: { role: "status" } });
    this.note.dataset.testid = "files-note";
    this.input = make("input", { type: "file", multiple: true, hidden: true, onchange: () => this.sendAll(this.input.files) });
    this.input.dataset.testid = "files-input";
    this.upButton = this.button("up", () => this.open(this.path.replace(/\/[^/]*$/, "") || "/"));
    this.sendButton = this.button("send", () => this.input.click());
    this.folderButton = this.button("folder", () => this.makeFolder());
    this.panel = make("section", { className: "viewer-panel viewer-files", attributes: { "aria-label": say("files.title") } },
      make("header", {}, make("h2", { textContent: say("files.title") }), this.closeButton),
      make("div", { className: "viewer-files-where" }, this.upButton, this.where), this.list, this.jobs,
      make("div", { className: "viewer-panel-buttons" }, this.sendButton, this.folderButton, this.input), this.note);
    this.panel.dataset.testid = "files-panel";
  }

  button(id, act) {
    const button = make("button", { type: "button", className: "viewer-button", textContent: say(`files.${id}`), onclick: act });
    button.dataset.testid = `files-${id}`;
    return button;
  }

  /** Whether files can be dropped now. */
  get takesFiles() {
    return Boolean(this.secret);
  }

  /** Serve a session that came in by a gateway's door; without a secret it has no files. Returns whether it has. */
  attach({ secret, policy, door }) {
    this.detach();
    this.address = new URL("/gw/files", new URL(door ?? "/", location.href));
    this.secret = secret ?? null;
    this.may = { in: policy.files_in === true && policy.view_only !== true, out: policy.files_out === true };
    this.sendButton.hidden = this.folderButton.hidden = !this.may.in;
    return Boolean(this.secret) && (this.may.in || this.may.out);
  }

  detach() {
    this.line?.close();
    this.line = null;
    this.jobs.replaceChildren();
  }

  /** Show the folder that was shown last, or the person's own. */
  async show() {
    if (!this.secret) return;
    try {
      if (!this.line) {
        this.line = new Line(this.address, this.secret, () => (this.line = null));
        const hello = await this.line.hello;
        this.most = hello.most;
        this.path ||= hello.home;
      }
      await this.open(this.path);
    } catch (problem) {
      this.say(problem);
    }
  }

  async open(path) {
    try {
      const found = await this.line.ask({ list: path });
      this.path = found.path;
      this.where.textContent = found.path;
      this.upButton.disabled = found.path === "/";
      const order = (entry) => (entry.kind === "dir" ? "0" : "1") + entry.name.toLocaleLowerCase();
      const rows = found.entries.filter((entry) => !entry.name.startsWith(".")).sort((one, two) => order(one).localeCompare(order(two)));
      this.list.replaceChildren(...rows.map((entry) => this.row(entry)));
      this.note.textContent = rows.length ? (found.more ? say("files.more") : "") : say("files.empty");
    } catch (problem) {
      this.say(problem);
    }
  }

  row(entry) {
    const path = `${this.path === "/" ? "" : this.path}/${entry.name}`;
    const isFolder = entry.kind === "dir";
    if (isFolder) return fileRow("folder", entry.name, null, () => this.open(path));
    const takes = entry.kind === "file" && this.may.out;
    const row = fileRow("file", entry.name, entry.size, takes ? () => this.take(path, entry) : null);
    if (takes) row.firstChild.title = say("files.take", { name: entry.name });
    return row;
  }

  async makeFolder() {
    const name = prompt(say("files.folder.name"))?.trim();
    if (!name || name.includes("/")) return;
    try {
      await this.line.ask({ mkdir: `${this.path === "/" ? "" : this.path}/${name}` });
      await this.open(this.path);
    } catch (problem) {
      this.say(problem);
    }
  }

  /** Send what was chosen or dropped, one after the other. */
  async sendAll(files) {
    if (!this.may.in) return;
    await (this.line ? null : this.show());
    for (const file of [...files]) await this.send(file, false);
    this.input.value = "";
    if (this.line) await this.open(this.path);
  }

  async send(file, overwrite) {
    const path = `${this.path === "/" ? "" : this.path}/${file.name}`;
    const job = fileJob(this.jobs, file.name, file.size);
    try {
      await this.put(path, file, overwrite, job);
      job.done(say("files.sent"));
    } catch (problem) {
      if (problem.message === "exists") {
        job.row.remove();
        if (confirm(say("files.overwrite", { name: file.name }))) await this.send(file, true);
        return;
      }
      job.done(reason(problem), true);
    }
  }

  put(path, file, overwrite, job) {
    return new Promise((resolve, reject) => {
      let sent = 0, got = 0, busy = false;
      const line = this.line;
      const push = async () => {
        if (busy) return;
        busy = true;
        while (sent < file.size && sent - got < WINDOW && !job.cancelled) {
          const piece = new Uint8Array(await file.slice(sent, sent + PIECE).arrayBuffer());
          line.send(number, piece);
          sent += piece.length;
        }
        busy = false;
      };
      const number = line.begin({ put: path, size: file.size, overwrite }, (answer) => {
        if (answer.error || answer.done) line.end(number);
        if (answer.error) return reject(new Error(answer.error));
        if (answer.done) return resolve();
        if (answer.got) job.progress((got = answer.got));
        push().catch(reject);
      });
      job.oncancel = () => line.tell(number, { cancel: true });
    });
  }

  async take(path, entry) {
    const job = fileJob(this.jobs, entry.name, entry.size);
    try {
      const blob = await this.get(path, job);
      handOver(blob, entry.name);
      job.done(say("files.taken"));
    } catch (problem) {
      job.done(reason(problem), true);
    }
  }

  get(path, job) {
    return new Promise((resolve, reject) => {
      const parts = [];
      let got = 0;
      const line = this.line;
      const number = line.begin({ get: path }, (answer) => {
        if (answer.data) {
          parts.push(answer.data);
          got += answer.data.length;
          line.tell(number, { got });
          job.progress(got);
          return;
        }
        if (answer.error || answer.done) line.end(number);
        if (answer.error) reject(new Error(answer.error));
        else if (answer.done) resolve(new Blob(parts));
      });
      job.oncancel = () => line.tell(number, { cancel: true });
    });
  }

  say(problem) {
    this.note.textContent = reason(problem);
  }
}

function reason(problem) {
  return say(KNOWN.includes(problem.message) ? `files.error.${problem.message}` : problem.message === "lost" ? "files.error.lost" : "files.error.failed");
}
