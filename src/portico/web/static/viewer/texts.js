// What the viewer says. The page may hold translations in <script type="application/json" id="texts">, by the same keys;
// what is missing there is said in English. {name} stands for a value that is filled in.

export const DEFAULTS = {
  "connecting": "Connecting to {desktop}",
  "connecting.slow": "This takes longer than usual. It goes on by itself.",
  "connected": "Connected",
  "lost.title": "The connection was lost",
  "lost.text": "Your programs go on running. We connect you again as soon as we can.",
  "lost.draining": "The gateway is being restarted. Your programs go on running.",
  "lost.broker": "The service is not reachable at the moment. We try again until it is.",
  "lost.desktop": "The desktop does not answer yet. We try again until it does.",
  "lost.again": "Next try in {seconds} s",
  "lost.now": "Connecting…",
  "try_now": "Try now",
  "back": "Back to your desktops",
  "reconnect": "Connect again",
  "use_here": "Use it here",
  "ended.title": "The session has ended",
  "ended.session.ended": "The session on this desktop is over.",
  "ended.desktop.closed": "The desktop has closed the session.",
  "ended.exit": "The shell has ended with status {status}.",
  "ended.ticket.invalid": "This link to the desktop is no longer valid. Connect again to get a new one.",
  "ended.ticket.used": "This link to the desktop was used already. Connect again to get a new one.",
  "ended.desktop.unreachable": "The desktop does not answer.",
  "ended.desktop.refused": "The desktop did not accept the connection. Connect again, or restart the desktop if that does not help.",
  "ended.desktop.changed": "The desktop shows another certificate than the one it reported to us, so we did not connect. Tell your administrator.",
  "ended.closed.by_administrator": "An administrator has closed the session.",
  "ended.closed.elsewhere": "You have opened this desktop in another window or on another device.",
  "ended.broker.unreachable": "The service is not reachable at the moment.",
  "ended.draining": "The gateway was restarted.",
  "ended.signed_out": "You are no longer logged in. Log in again to go on; your programs are still running.",
  "ended.failed": "This browser could not show the desktop.",
  "log_in.title": "Log in to {desktop}",
  "log_in.text": "This desktop asks for its own user name and password. They go to the desktop and are not kept.",
  "log_in.refused": "The desktop did not accept this user name and password.",
  "log_in.username": "User name",
  "log_in.password": "Password",
  "log_in.connect": "Connect",
  "ended.idle": "The session was ended because nobody used it. Your programs go on running for as long as the plans of this desktop allow.",
  "ended.recording.failed": "The session must be recorded, which is not possible at the moment. Connect again in a while, or tell your administrator.",
  "recorded": "This session is recorded",
  "player.play": "Play",
  "player.pause": "Pause",
  "player.position": "Position",
  "player.speed": "Speed",
  "player.failed": "The recording could not be loaded.",
  "player.empty": "Nothing was shown in this session.",
  "ended.time.up": "The session has lasted as long as it may. Connect again to go on.",
  "countdown.idle": "Still there? Without input the session ends in {time}.",
  "countdown.time": "The session ends in {time}.",
  "toolbar": "Session",
  "toolbar.grip": "Session toolbar: drag it aside, or move it with Shift and the arrow keys",
  "toolbar.show": "Show the session toolbar (Ctrl + Alt + Shift)",
  "toolbar.clipboard": "Clipboard",
  "toolbar.keys": "Keys",
  "toolbar.keyboard": "On-screen keyboard",
  "toolbar.fit": "Fit to the window",
  "toolbar.actual": "Actual size",
  "toolbar.full_screen": "Full screen",
  "toolbar.window": "Leave full screen",
  "toolbar.disconnect": "Disconnect: programs go on running",
  "toolbar.log_out": "Log out of the desktop: programs are closed",
  "toolbar.log_out.short": "Log out",
  "toolbar.disconnect.short": "Disconnect",
  "quality.unknown": "Connection: not measured yet",
  "quality.good": "Connection: good, {ms} ms",
  "quality.fair": "Connection: fair, {ms} ms",
  "quality.poor": "Connection: slow, {ms} ms",
  "view_only": "View only",
  "clipboard.title": "Clipboard",
  "clipboard.help": "Text copied on the desktop appears here. Text that you write here can be pasted on the desktop.",
  "clipboard.help.in": "Text that you write here can be pasted on the desktop. Copying from the desktop is not allowed.",
  "clipboard.help.out": "Text copied on the desktop appears here. Pasting to the desktop is not allowed.",
  "clipboard.text": "Text",
  "clipboard.send": "Send to the desktop",
  "clipboard.copy": "Copy to this device",
  "clipboard.read": "Paste from this device",
  "clipboard.sent": "Sent. Paste it on the desktop.",
  "clipboard.copied": "Copied.",
  "clipboard.denied": "The browser does not allow this. Use the keyboard to copy or paste in the box.",
  "keys.title": "Send keys",
  "close": "Close",
};

const block = document.getElementById("texts");
let translated = {};
try {
  translated = block ? JSON.parse(block.textContent) : {};
} catch {
  translated = {};
}

/** Return the text of a key, with values filled in. */
export function say(key, values = {}) {
  const text = translated[key] || DEFAULTS[key] || key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}
