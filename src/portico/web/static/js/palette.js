// The command palette: Ctrl-K or the search button; the server finds, arrows choose, Enter goes.
const PAUSE_MILLISECONDS = 120;

export function openPalette() {
  const dialog = document.getElementById("palette");
  if (!dialog) return;
  const input = dialog.querySelector("input");
  const list = dialog.querySelector("[role=listbox]");
  let timer;
  let round = 0;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const choose = (at) => {
    const all = options();
    for (const [index, option] of all.entries()) option.setAttribute("aria-selected", String(index === at));
    input.setAttribute("aria-activedescendant", all[at]?.id ?? "");
    all[at]?.scrollIntoView({ block: "nearest" });
  };
  const chosen = () => options().findIndex((option) => option.getAttribute("aria-selected") === "true");
  const find = async () => {
    const mine = ++round;
    const answer = await fetch(`/admin/palette?fragment=results&q=${encodeURIComponent(input.value)}`);
    if (!answer.ok || mine !== round) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    list.replaceChildren(...found.body.children);
    for (const [index, link] of [...list.querySelectorAll("a")].entries()) {
      Object.assign(link, { id: `hit-${index}`, role: "option", tabIndex: -1 });
      link.parentElement.role = "presentation";
    }
    choose(0);
  };
  const open = (event) => { event?.preventDefault(); if (!dialog.open) { dialog.showModal(); input.select(); find(); } };

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") open(event);
  });
  for (const opener of document.querySelectorAll("[data-palette]")) opener.addEventListener("click", open);
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(find, PAUSE_MILLISECONDS); });
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const total = options().length;
    if (step && total) { event.preventDefault(); choose((chosen() + step + total) % total); }
    if (event.key === "Enter") { event.preventDefault(); options()[chosen()]?.click(); }
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}
