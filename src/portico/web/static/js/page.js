// What every page gains from a script. Without it all of them work: forms post, links lead, <details> open.
import { keepMenus } from "./menus.js";
import { showTimes } from "./times.js";
import { listen } from "./live.js";
import { openPalette } from "./palette.js";

function copyButtons(root) {
  for (const button of root.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
}

function afterSeconds(root) {
  for (const late of root.querySelectorAll("[data-after][hidden]:not([data-counting])")) {
    late.dataset.counting = "";
    setTimeout(() => { late.hidden = false; }, Number(late.dataset.after) * 1000);
  }
}

function autoOpen() {
  const form = document.querySelector("form[data-auto-open]");
  if (!form) return;
  history.replaceState(null, "", "/"); // A reload or a step back stays here.
  const timer = setTimeout(() => form.requestSubmit(), Number(form.dataset.autoOpen) * 1000);
  const stay = () => { clearTimeout(timer); form.remove(); };
  form.querySelector("a").addEventListener("click", (event) => { event.preventDefault(); stay(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") stay(); }, { once: true });
}

// One dialog asks before what cannot be taken back; the button itself posts afterwards.
function askFirst(event) {
  const button = event.target.closest("button[data-confirm]");
  if (!button || button.dataset.sure) return;
  event.preventDefault();
  const dialog = document.createElement("dialog");
  const text = document.createElement("p");
  text.textContent = button.dataset.confirm;
  text.id = "confirm-text";
  dialog.setAttribute("aria-labelledby", "confirm-text");
  const row = document.createElement("p");
  row.className = "row row-end";
  const cancel = document.createElement("button");
  cancel.className = "button";
  cancel.textContent = document.body.dataset.cancel || "Cancel";
  const sure = document.createElement("button");
  sure.className = "button danger solid";
  sure.textContent = button.textContent.trim();
  row.append(cancel, sure);
  dialog.append(text, row);
  dialog.className = "stack";
  document.body.append(dialog);
  cancel.addEventListener("click", () => dialog.close());
  sure.addEventListener("click", () => { button.dataset.sure = "1"; dialog.close(); button.click(); });
  dialog.addEventListener("close", () => { dialog.remove(); if (!button.dataset.sure) button.focus(); });
  dialog.showModal();
}

// What was typed and not saved is announced before it is lost.
function guardForms() {
  let changed = false;
  document.addEventListener("input", (event) => { if (event.target.closest("form[data-guard]")) changed = true; });
  document.addEventListener("submit", () => { changed = false; });
  window.addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });
}

function rows(event) {
  const row = event.target.closest("tr[data-href]");
  if (!row || event.target.closest("a, button, input, label, summary") || String(getSelection())) return;
  if (event.ctrlKey || event.metaKey || event.button === 1) window.open(row.dataset.href, "_blank", "noopener");
  else location.assign(row.dataset.href);
}

function selection() {
  const form = document.querySelector("form[data-bulk]");
  if (!form) return;
  const boxes = () => [...form.querySelectorAll("input[name=id]")];
  const all = form.querySelector("input[data-all]");
  const update = () => {
    const chosen = boxes().filter((box) => box.checked).length;
    form.toggleAttribute("data-chosen", chosen > 0);
    for (const number of form.querySelectorAll("[data-chosen-count]")) number.textContent = String(chosen);
    if (all) { all.checked = chosen > 0 && chosen === boxes().length; all.indeterminate = chosen > 0 && !all.checked; }
  };
  form.setAttribute("data-scripted", "");
  if (all) all.hidden = false;
  form.addEventListener("change", (event) => {
    if (event.target === all) for (const box of boxes()) box.checked = all.checked;
    update();
  });
  document.addEventListener("htmx:after:swap", update);
  update();
}

function dress(root) {
  copyButtons(root);
  afterSeconds(root);
  showTimes(root);
}

document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) navigator.clipboard?.writeText(copy.dataset.copy);
  askFirst(event);
  rows(event);
});
// A press that only changes the form (a line more, other menus) comes back to the same place.
function keepPlace() {
  const key = `place ${location.pathname}`;
  document.addEventListener("submit", (event) => {
    if (event.submitter?.name === "intent") sessionStorage.setItem(key, String(scrollY));
  });
  const place = sessionStorage.getItem(key);
  sessionStorage.removeItem(key);
  if (place) scrollTo(0, Number(place));
}

document.addEventListener("change", (event) => {
  const presses = event.target.closest("[data-presses]");
  if (presses) presses.form.querySelector(`button[value="${presses.dataset.presses}"]`)?.click();
  if (event.target.closest("[data-submit-on-change]")) event.target.form.requestSubmit();
});
document.addEventListener("htmx:after:swap", () => dress(document));
document.querySelector("[aria-invalid=true]")?.focus();

dress(document);
keepMenus();
autoOpen();
guardForms();
keepPlace();
selection();
listen();
openPalette();
