// Times are written in UTC by the server; a person who chose no zone sees those of this device.
const STEPS = [["year", 31536000], ["month", 2592000], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function relative(moment, language) {
  const seconds = (moment - Date.now()) / 1000;
  const [unit, size] = STEPS.find(([, span]) => Math.abs(seconds) >= span) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

export function showTimes(root) {
  const { lang, dataset } = document.documentElement;
  const zone = dataset.zone || undefined;
  const full = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "medium", timeZone: zone });
  for (const time of root.querySelectorAll("time[data-time]")) {
    const moment = new Date(time.dateTime);
    time.title = `${full.format(moment)} ${full.resolvedOptions().timeZone}`;
    time.textContent = time.dataset.time === "exact" ? full.format(moment) : relative(moment, lang);
  }
}

setInterval(() => showTimes(document), 30000);
