// What panels of files share: rows that show how far a file is, sizes in words, and handing a file to the browser.

import { icon, make } from "./elements.js";
import { say } from "./texts.js";

/** A row of `list` for a file on its way. Set `oncancel`; call progress(bytes) and done(words, failed). */
export function fileJob(list, name, total) {
  const bar = make("progress", { max: Math.max(1, total), value: 0 });
  const state = make("span", { className: "viewer-files-size", textContent: size(total) });
  const cancel = make("button", { type: "button", className: "viewer-tool", title: say("files.cancel"), attributes: { "aria-label": say("files.cancel") } }, icon("close"));
  const row = make("li", {}, make("span", { className: "viewer-files-name", textContent: name }), bar, state, cancel);
  const job = {
    row,
    cancelled: false,
    oncancel: () => {},
    progress: (bytes) => (bar.value = bytes),
    done: (text, failed = false) => {
      bar.remove();
      state.textContent = text;
      row.toggleAttribute("data-failed", failed);
      cancel.onclick = () => row.remove();
    },
  };
  cancel.onclick = () => {
    job.cancelled = true;
    job.oncancel();
  };
  list.append(row);
  return job;
}

/** A line of a list of files. `act` takes it; null: it cannot be taken. */
export function fileRow(picture, name, bytes, act) {
  const button = make("button", { type: "button", className: "viewer-files-entry", onclick: act, disabled: !act },
    icon(picture), make("span", { className: "viewer-files-name", textContent: name }),
    make("span", { className: "viewer-files-size", textContent: bytes === null ? "" : size(bytes) }));
  return make("li", {}, button);
}

export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes, unit = 0;
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** Give a file to the person, as a download of the browser. */
export function handOver(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
