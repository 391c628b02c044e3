// Somebody asks to join this session, is in it, has left: the question, and the notice for as long as it lasts.

import { make } from "./elements.js";
import { say } from "./texts.js";

export class Joining {
  /** `answer(id, agrees)` tells the portal and returns whether it was heard; `stop(id)` ends a visit. */
  constructor(place, { answer, stop }) {
    this.answer = answer;
    this.stop = stop;
    this.asked = null;
    this.title = make("h2", { id: "viewer-join-title" });
    this.text = make("p", { id: "viewer-join-text" });
    this.left = make("span", { className: "viewer-join-left" });
    this.yes = this.button("join-yes", "viewer-button viewer-button-primary", say("join.allow"), () => this.reply(true));
    this.no = this.button("join-no", "viewer-button", say("join.decline"), () => this.reply(false));
    this.question = make("section", { className: "viewer-join-question", hidden: true, attributes: { role: "alertdialog", "aria-labelledby": "viewer-join-title", "aria-describedby": "viewer-join-text" } },
      this.title, this.text, make("div", { className: "viewer-join-buttons" }, this.yes, this.no, this.left));
    this.question.dataset.testid = "join-question";
    this.words = make("span", {});
    this.end = this.button("join-stop", "viewer-button", say("join.stop"), () => this.shown && this.stop(this.shown));
    this.notice = make("div", { className: "viewer-join-notice", hidden: true, attributes: { role: "status" } }, this.words, this.end);
    this.notice.dataset.testid = "join-notice";
    this.shown = null;
    place.append(this.question, this.notice);
  }

  button(id, className, text, act) {
    const button = make("button", { type: "button", className, textContent: text, onclick: act });
    button.dataset.testid = id;
    return button;
  }

  /** Take the gateway's word. */
  hear(fields) {
    if (fields.ask) this.ask(fields);
    else if (fields.on) this.show(fields.on, say(fields.mode === "control" ? "join.helps" : "join.watches", { who: fields.who }));
    else if (fields.off && fields.off === this.shown) this.show(null);
  }

  /** Say to somebody who joined whose session this is. */
  joined(user) {
    this.end.hidden = true;
    this.show("joined", say("join.joined", { user }));
  }

  ask({ ask, who, mode, seconds }) {
    this.asked = ask;
    this.title.textContent = say(mode === "control" ? "join.ask.control" : "join.ask.view", { who });
    this.text.textContent = say("join.ask.text");
    this.question.hidden = false;
    this.no.focus();
    const until = performance.now() + seconds * 1000;
    clearInterval(this.timer);
    const count = () => {
      const left = Math.ceil((until - performance.now()) / 1000);
      this.left.textContent = `${Math.max(0, left)} s`;
      if (left <= 0) this.close();
    };
    this.timer = setInterval(count, 1000);
    count();
  }

  async reply(agrees) {
    const asked = this.asked;
    this.yes.disabled = this.no.disabled = true;
    const heard = asked && (await this.answer(asked, agrees));
    this.yes.disabled = this.no.disabled = false;
    if (heard) this.close();
    else this.text.textContent = say("join.failed");
  }

  close() {
    clearInterval(this.timer);
    this.asked = null;
    this.question.hidden = true;
  }

  show(id, text = "") {
    this.shown = id;
    this.words.textContent = text;
    this.notice.hidden = !id;
  }
}
