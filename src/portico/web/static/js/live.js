// Pages follow what happens. One tab of a browser holds the stream (a Web Lock chooses it) and tells the others.
const CHANNEL = "portico-live";
const QUIET_MILLISECONDS = 400;

function refresh(part, topics) {
  const wanted = (part.dataset.live || "").split(" ");
  if (topics.length && !topics.some((topic) => wanted.includes(topic))) return;
  clearTimeout(part.liveTimer);
  part.liveTimer = setTimeout(() => {
    // A row never moves under the pointer, nor a menu or a box away from the keyboard.
    const busy = part.matches(":hover") && part.hasAttribute("data-still");
    const inside = part.querySelector("details[open], input:checked, input:focus, button:focus, dialog[open]");
    if (busy || inside) { part.dataset.stale = ""; return; }
    delete part.dataset.stale;
    window.htmx?.trigger(part, "portico-changed");
  }, QUIET_MILLISECONDS);
}

function tell(topics) {
  for (const part of document.querySelectorAll("[data-live]")) refresh(part, topics);
}

function hold(channel) {
  return new Promise(() => {
    const stream = new EventSource("/live");
    let wasLost = false;
    stream.addEventListener("error", () => { wasLost = true; });
    stream.addEventListener("open", () => {
      if (wasLost) { tell([]); channel.postMessage([]); } // What was missed meanwhile is asked for.
      wasLost = false;
    });
    stream.addEventListener("changed", (event) => {
      const topics = JSON.parse(event.data).topics;
      tell(topics);
      channel.postMessage(topics);
    });
    stream.addEventListener("ended", () => { stream.close(); location.reload(); });
  });
}

export function listen() {
  if (!document.querySelector("[data-live]")) return;
  const channel = new BroadcastChannel(CHANNEL);
  channel.addEventListener("message", (event) => tell(event.data));
  for (const part of document.querySelectorAll("[data-live]")) {
    part.addEventListener("mouseleave", () => { if ("stale" in part.dataset) refresh(part, []); });
    part.addEventListener("focusout", () => { if ("stale" in part.dataset) refresh(part, []); });
  }
  if (navigator.locks) navigator.locks.request(CHANNEL, () => hold(channel));
  else hold(channel);
}
