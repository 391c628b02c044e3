// Words over the picture, faint and everywhere: who is there, at which desktop, when. It deters; it cannot hold anybody back.

import { make } from "./elements.js";

const WIDTH = 420;
const HEIGHT = 220;

export class Watermark {
  constructor(place) {
    this.place = place;
    this.text = "";
    this.layer = null;
    // Taken away or changed by hand it comes back.
    this.observer = new MutationObserver(() => this.text && !this.stands() && this.draw());
    setInterval(() => this.text.includes("{TIME}") && this.draw(), 30_000);
  }

  start(policy) {
    this.text = policy.watermark || "";
    this.draw();
  }

  stands() {
    return this.layer?.isConnected && this.layer.className === "viewer-watermark" && this.layer.getAttribute("style") === this.style;
  }

  draw() {
    this.observer.disconnect();
    this.layer?.remove();
    this.layer = null;
    if (!this.text) return;
    this.layer = make("div", { className: "viewer-watermark", attributes: { "aria-hidden": "true" } });
    this.layer.style.backgroundImage = `url(${this.tile()})`;
    this.style = this.layer.getAttribute("style");
    this.place.append(this.layer);
    this.observer.observe(this.place, { childList: true, subtree: true, attributes: true, attributeFilter: ["style", "class", "hidden"] });
  }

  tile() {
    const canvas = make("canvas", { width: WIDTH * devicePixelRatio, height: HEIGHT * devicePixelRatio });
    const pen = canvas.getContext("2d");
    pen.scale(devicePixelRatio, devicePixelRatio);
    pen.translate(WIDTH / 2, HEIGHT / 2);
    pen.rotate(-Math.PI / 9);
    pen.font = "600 15px system-ui, sans-serif";
    pen.textAlign = "center";
    // Light and dark together show on any ground.
    const words = this.text.replaceAll("{TIME}", new Date().toLocaleString());
    pen.fillStyle = "rgb(255 255 255 / 16%)";
    pen.fillText(words, 1, 1, WIDTH - 20);
    pen.fillStyle = "rgb(0 0 0 / 16%)";
    pen.fillText(words, 0, 0, WIDTH - 20);
    return canvas.toDataURL();
  }
}
