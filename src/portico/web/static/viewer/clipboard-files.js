// Files of a desktop that has them in its clipboard: what was copied there can be taken, what is sent is pasted there.

import { icon, make } from "./elements.js";
import { fileJob, fileRow, handOver } from "./file-jobs.js";
import { say } from "./texts.js";

export class ClipboardFiles {
  constructor() {
    this.files = null;
    this.jobs = new Map();
    this.may = {};
    this.closeButton = make("button", { type: "button", className: "viewer-tool", title: say("close"), attributes: { "aria-label": say("close") } }, icon("close"));
    this.heading = make("p", { className: "viewer-panel-note", textContent: say("files.copied") });
    this.list = make("ul", { className: "viewer-files-list" });
    this.list.dataset.testid = "files-list";
    this.rows = make("ul", { className: "viewer-files-jobs" });
    this.rows.dataset.testid = "files-jobs";
    this.note = make("p", { className: "viewer-panel-note", attributes: { role: "status" } });
    this.note.dataset.testid = "files-note";
    this.input = make("input", { type: "file", multiple: true, hidden: true, onchange: () => this.sendAll(this.input.files) });
    this.input.dataset.testid = "files-input";
    this.sendButton = make("button", { type: "button", className: "viewer-button", textContent: say("files.send"), onclick: () => this.input.click() });
    this.sendButton.dataset.testid = "files-send";
    this.panel = make("section", { className: "viewer-panel viewer-files", attributes: { "aria-label": say("files.title") } },
      make("header", {}, make("h2", { textContent: say("files.title") }), this.closeButton), this.heading, this.list, this.rows,
      make("div", { className: "viewer-panel-buttons" }, this.sendButton, this.input), this.note);
    this.panel.dataset.testid = "files-panel";
  }

  /** Whether files can be dropped now. */
  get takesFiles() {
    return Boolean(this.files && this.may.in);
  }

  /** Serve a session whose display carries files. Returns whether there is anything to do. */
  attach({ policy, display }) {
    this.detach();
    this.files = display.files ?? null;
    this.may = { in: policy.files_in === true && policy.view_only !== true, out: policy.files_out === true };
    this.sendButton.hidden = !this.may.in;
    if (!this.files) return false;
    this.files.onthere = (there) => this.fill(there);
    this.files.onserved = (file, bytes) => this.served(file, bytes);
    this.fill(this.files.there);
    return this.may.in || this.may.out;
  }

  detach() {
    this.files = null;
    this.jobs.clear();
    this.rows.replaceChildren();
    this.list.replaceChildren();
  }

  show() {
    this.fill(this.files?.there ?? []);
  }

  fill(there) {
    const files = this.may.out ? there.filter((file) => !file.isFolder) : [];
    this.list.replaceChildren(...files.map((file) => fileRow("file", file.name, file.size, () => this.take(file))));
    this.heading.hidden = this.list.hidden = !files.length;
    if (!this.jobs.size) this.note.textContent = files.length ? "" : say(this.may.out ? "files.copy" : "files.drop");
  }

  async take(file) {
    const job = fileJob(this.rows, file.name, file.size);
    const stop = new AbortController();
    job.oncancel = () => stop.abort();
    try {
      handOver(await this.files.take(file, (bytes) => job.progress(bytes), stop.signal), file.name);
      job.done(say("files.taken"));
    } catch (problem) {
      job.done(say(`files.error.${problem.message}`), true);
    }
  }

  /** Offer what was chosen or dropped; the person pastes it where it shall be. */
  sendAll(chosen) {
    if (!this.takesFiles) return;
    const files = [...chosen];
    for (const job of this.jobs.values()) if (!job.cancelled && job.bytes < job.total) job.row.remove();
    this.jobs.clear();
    try {
      this.files.offer(files);
    } catch {
      this.note.textContent = say("files.error.lost");
      return;
    }
    for (const file of files) {
      const job = fileJob(this.rows, file.name, file.size);
      Object.assign(job, { bytes: 0, total: file.size });
      job.oncancel = () => {
        job.row.remove();
        this.jobs.delete(file);
        this.files?.offer([...this.jobs.keys()]); // the others are still there to paste
      };
      this.jobs.set(file, job);
    }
    this.note.textContent = say("files.paste");
    this.input.value = "";
  }

  served(file, bytes) {
    const job = this.jobs.get(file);
    if (!job || job.bytes >= job.total) return;
    job.bytes = bytes;
    job.progress(bytes);
    if (bytes >= job.total) job.done(say("files.sent"));
  }
}
