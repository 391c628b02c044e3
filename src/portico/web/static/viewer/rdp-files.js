// Files in RDP's clipboard, [MS-RDPECLIP] 2.2.5.3: what the desktop copied can be taken, what is offered here is pasted there.

import * as ironrdp from "/static/vendor/@devolutions/iron-remote-desktop-rdp/iron-remote-desktop-rdp.js";

const SIZE = 1; // of a request for a file's contents; else a range of it is wanted
const PIECE = 256 * 1024;
const SILENT_MILLISECONDS = 30_000; // without an answer of the desktop, its file will not come any more

export class RdpFiles {
  constructor() {
    this.offered = [];
    this.there = [];
    this.lock = undefined;
    this.taking = new Map();
    this.number = 0;
    this.session = null;
    this.onthere = () => {};
    this.onserved = () => {};
  }

  /** What the client is built with, so that it speaks of files at all. */
  extensions() {
    return [
      ironrdp.filesAvailableCallback((files, lock) => this.heard(files, lock)),
      ironrdp.fileContentsRequestCallback((request) => this.serve(request)),
      ironrdp.fileContentsResponseCallback((answer) => this.took(answer)),
      ironrdp.lockCallback(() => {}),
      ironrdp.unlockCallback(() => {}),
      ironrdp.locksExpiredCallback((locks) => this.expired(locks)),
    ];
  }

  heard(files, lock) {
    this.lock = lock;
    this.there = files.map((file, index) => ({ index, name: lastPart(file.name), size: Number(file.size), isFolder: file.isDirectory === true }));
    this.onthere(this.there);
  }

  /** Offer files (File[]) in the desktop's clipboard, in place of what was offered before. Throws where there is no such channel. */
  offer(files) {
    this.offered = [...files];
    const told = this.offered.map((file) => ({ name: file.name, size: file.size, lastModified: file.lastModified, isDirectory: false }));
    this.session.invokeExtension(ironrdp.initiateFileCopy(told));
  }

  async serve({ streamId, index, flags, position, size }) {
    const file = this.offered[index];
    try {
      if (!file) throw new Error("nothing is offered there");
      if (flags & SIZE) {
        const length = new Uint8Array(8);
        new DataView(length.buffer).setBigUint64(0, BigInt(file.size), true);
        this.submit(streamId, length);
      } else {
        const from = Number(position);
        const data = new Uint8Array(await file.slice(from, from + size).arrayBuffer());
        this.submit(streamId, data);
        this.onserved(file, from + data.length);
      }
    } catch (problem) {
      console.warn("file:", problem);
      this.submit(streamId, null);
    }
  }

  submit(streamId, data) {
    this.session?.invokeExtension(ironrdp.submitFileContents({ stream_id: streamId, is_error: !data, data: data ?? new Uint8Array() }));
  }

  /** Take a file of the desktop's clipboard. `progress(bytes)`. Returns a Blob; rejects with an Error whose message is a code. */
  take(file, progress, signal) {
    return new Promise((resolve, reject) => {
      this.number = (this.number % 0x7fffffff) + 1;
      const way = { number: this.number, file, lock: this.lock, parts: [], got: 0, size: null, progress, timer: 0 };
      way.end = (outcome) => {
        clearTimeout(way.timer);
        this.taking.delete(way.number);
        if (outcome instanceof Blob) resolve(outcome);
        else reject(new Error(outcome));
      };
      signal.addEventListener("abort", () => way.end("cancelled"));
      this.taking.set(way.number, way);
      this.request(way, SIZE, 0, 8);
    });
  }

  request(way, flags, position, size) {
    clearTimeout(way.timer);
    way.timer = setTimeout(() => way.end("failed"), SILENT_MILLISECONDS);
    const wanted = { stream_id: way.number, file_index: way.file.index, flags, position, size, clip_data_id: way.lock };
    try {
      this.session.invokeExtension(ironrdp.requestFileContents(wanted));
    } catch {
      way.end("lost");
    }
  }

  took({ streamId, isError, data }) {
    const way = this.taking.get(streamId);
    if (!way) return;
    if (isError) return way.end("failed");
    if (way.size === null) {
      if (data.length < 8) return way.end("failed");
      way.size = Number(new DataView(data.buffer, data.byteOffset).getBigUint64(0, true));
    } else {
      if (!data.length) return way.end("failed");
      way.parts.push(data);
      way.got += data.length;
      way.progress(Math.min(way.got, way.size));
    }
    if (way.got >= way.size) way.end(new Blob(way.parts));
    else this.request(way, SIZE << 1, way.got, Math.min(PIECE, way.size - way.got));
  }

  expired(locks) {
    for (const way of [...this.taking.values()]) if ([...locks].includes(way.lock)) way.end("missing");
  }

  close() {
    this.session = null;
    for (const way of [...this.taking.values()]) way.end("lost");
  }
}

/** A name without the folders before it: what another machine calls a file must lead nowhere here. */
function lastPart(name) {
  return name.split(/[/\\]/).filter((part) => part && part !== "." && part !== "..").pop() ?? "file";
}
