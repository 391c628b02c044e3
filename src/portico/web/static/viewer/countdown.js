// The last minutes of a session, told over the desktop: its time is up soon, or nobody uses it.

import { make } from "./elements.js";
import { say } from "./texts.js";

const LAST_SECONDS = 300;

export class Countdown {
  constructor(place) {
    this.bar = make("p", { className: "viewer-countdown", hidden: true, attributes: { role: "status", "aria-live": "polite" } });
    this.bar.dataset.testid = "countdown";
    this.idleAt = null; // when the session ends for want of input, in milliseconds of performance.now()
    this.expiresAt = null; // when its time is up, in milliseconds of Date.now()
    place.append(this.bar);
  }

  /** Begin for a session under its policy. */
  start(policy) {
    this.stop();
    this.expiresAt = typeof policy.expires_at === "number" ? policy.expires_at * 1000 : null;
    this.timer = setInterval(() => this.show(), 1000);
    this.show();
  }

  /** Take the gateway's word that the session ends for want of input, or no more does. */
  idle(seconds) {
    this.idleAt = typeof seconds === "number" ? performance.now() + seconds * 1000 : null;
    this.show();
  }

  stop() {
    clearInterval(this.timer);
    this.idleAt = this.expiresAt = null;
    this.show();
  }

  show() {
    const idle = this.idleAt === null ? Infinity : (this.idleAt - performance.now()) / 1000;
    const left = this.expiresAt === null ? Infinity : (this.expiresAt - Date.now()) / 1000;
    const seconds = Math.max(0, Math.round(Math.min(idle, left)));
    this.bar.hidden = seconds > LAST_SECONDS;
    if (this.bar.hidden) return;
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    this.bar.textContent = say(idle <= left ? "countdown.idle" : "countdown.time", { time });
  }
}
