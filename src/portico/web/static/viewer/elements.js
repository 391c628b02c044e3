// Small helpers that make elements and icons without markup in strings.

const PATHS = {
  clipboard: "M9 4h6v3H9z M9 5.5H6V20h12V5.5h-3 M9 12h6 M9 15.5h4",
  keys: "M3 7h18v10H3z M6.5 10h0 M10 10h0 M13.5 10h0 M17 10h0 M8 14h8",
  keyboard: "M3 5h18v9H3z M7 9.5h0 M12 9.5h0 M17 9.5h0 M9 18l3 3 3-3",
  fit: "M4 5h16v14H4z M8 12h8 M8 12l2-2 M8 12l2 2 M16 12l-2-2 M16 12l-2 2",
  actual: "M4 5h16v14H4z M8.5 10v5 M15.5 10v5 M12 11h0 M12 14h0",
  full: "M4 9V4h5 M15 4h5v5 M20 15v5h-5 M9 20H4v-5",
  window: "M9 4v5H4 M20 9h-5V4 M15 20v-5h5 M4 15h5v5",
  disconnect: "M8 8V3 M16 8V3 M6 8h12v3a6 6 0 0 1-6 6 6 6 0 0 1-6-6z M12 17v4",
  log_out: "M10 4H5v16h5 M15 8l4 4-4 4 M19 12h-9",
  grip: "M9 7h0 M15 7h0 M9 12h0 M15 12h0 M9 17h0 M15 17h0",
  quality: "M5 19v-4 M12 19v-9 M19 19V5",
  close: "M6 6l12 12 M18 6L6 18",
  files: "M4 5h6l2 2h8v12H4z M9 13h6 M12 10v6",
  folder: "M3.5 6h6l2 2h9v11h-17z",
  file: "M7 3.5h7l4 4V20.5H7z M14 3.5v4h4",
  eye: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12z M12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
};

/** Make an element with properties, attributes (in `attributes`) and children. */
export function make(tag, properties = {}, ...children) {
  const { attributes = {}, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Make an icon; it is decoration, the button beside it carries the name. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("viewer-icon");
  for (const part of PATHS[name].split(/ (?=M)/)) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", part);
    svg.append(path);
  }
  return svg;
}

/** Add a style sheet to the page unless it is there. */
export function addStyle(address) {
  if (document.querySelector(`link[href^="${address}"]`)) return;
  document.head.append(make("link", { rel: "stylesheet", href: address }));
}
