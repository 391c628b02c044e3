// Fingers as a mouse: tap, hold for the other button, drag, and two fingers for the wheel.

const HOLD_MILLISECONDS = 600;
const STILL = 8; // pixels that a finger may tremble
const WHEEL_STEP = 16; // pixels of two fingers for a step of the wheel

/** Turn the touches of an element into calls of `mouse`: move(x, y), button(number, down), wheel(pixels); all in client coordinates. */
export function touchAsMouse(element, mouse) {
  let start = null; // where the one finger went down
  let held = false; // a button is down
  let two = null; // height of two fingers
  let timer = null;

  const point = (touches) => ({ x: touches[0].clientX, y: touches[0].clientY });
  const height = (touches) => (touches[0].clientY + touches[1].clientY) / 2;
  const letGo = () => {
    clearTimeout(timer);
    if (held) mouse.button(0, false);
    start = null;
    held = false;
  };

  const onstart = (event) => {
    event.preventDefault();
    if (event.touches.length === 1) {
      start = point(event.touches);
      mouse.move(start.x, start.y);
      timer = setTimeout(() => {
        start = null;
        mouse.button(2, true);
        mouse.button(2, false);
        navigator.vibrate?.(15);
      }, HOLD_MILLISECONDS);
    } else {
      letGo();
      two = event.touches.length === 2 ? height(event.touches) : null;
    }
  };
  const onmove = (event) => {
    event.preventDefault();
    if (two !== null && event.touches.length === 2) {
      const now = height(event.touches);
      if (Math.abs(now - two) >= WHEEL_STEP) {
        mouse.wheel(two - now);
        two = now;
      }
    } else if (start) {
      const now = point(event.touches);
      if (!held && Math.hypot(now.x - start.x, now.y - start.y) < STILL) return;
      clearTimeout(timer);
      if (!held) mouse.button(0, true);
      held = true;
      mouse.move(now.x, now.y);
    }
  };
  const onend = (event) => {
    event.preventDefault();
    if (event.touches.length < 2) two = null;
    if (start && !held && event.touches.length === 0) {
      mouse.button(0, true);
      mouse.button(0, false);
    }
    letGo();
  };
  element.addEventListener("touchstart", onstart, { passive: false });
  element.addEventListener("touchmove", onmove, { passive: false });
  element.addEventListener("touchend", onend, { passive: false });
  element.addEventListener("touchcancel", letGo);
}
