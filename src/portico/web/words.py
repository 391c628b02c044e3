"""Every state in a word, a tone (colour) and an icon (shape). Words are message ids: templates translate them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Word:
    """How a state is shown."""

    text: str
    tone: str  # ready | use | working | trouble | off
    icon: str


def N_(message: str) -> str:
    """Mark a text for translation."""
    return message


def NN_(one: str, many: str) -> tuple[str, str]:
    """Mark a text for one and for many; ngettext chooses when the number is known."""
    return one, many


READY, USE, WORKING, TROUBLE, OFF = "ready", "use", "working", "trouble", "off"

OFFER = {
    "ready": Word(N_("Ready"), READY, "circle-check"),
    "in use": Word(N_("In use"), USE, "circle-dot"),
    "stopped": Word(N_("Switched off"), OFF, "power"),
    "preparing": Word(N_("Being prepared"), WORKING, "hourglass"),
    "disconnected": Word(N_("Waiting for you"), USE, "circle-pause"),
    "unavailable": Word(N_("Not available"), TROUBLE, "circle-x"),
}
STAGE = {
    "ready": Word(N_("Ready"), READY, "circle-check"),
    "intent": Word(N_("Planned"), WORKING, "hourglass"),
    "creating": Word(N_("Being created"), WORKING, "hourglass"),
    "building": Word(N_("Building"), WORKING, "hourglass"),
    "preparing": Word(N_("Preparing"), WORKING, "hourglass"),
    "failed": Word(N_("Failed"), TROUBLE, "circle-x"),
    "deleting": Word(N_("Being deleted"), WORKING, "trash-2"),
    "gone": Word(N_("Gone"), OFF, "circle"),
    "quarantined": Word(N_("Quarantined"), TROUBLE, "shield"),
}
POWER = {
    "running": Word(N_("Running"), READY, "circle-play"),
    "stopped": Word(N_("Stopped"), OFF, "power"),
    "suspended": Word(N_("Suspended"), OFF, "circle-pause"),
    "starting": Word(N_("Starting"), WORKING, "loader"),
    "stopping": Word(N_("Stopping"), WORKING, "loader"),
    "shelved": Word(N_("Shelved"), OFF, "circle-pause"),
    "paused": Word(N_("Paused"), OFF, "circle-pause"),
    "error": Word(N_("Error"), TROUBLE, "circle-x"),
    "unknown": Word(N_("Unknown"), OFF, "circle-help"),
}
AGENT = {
    "not installed": Word(N_("Not installed"), OFF, "circle"),
    "waiting": Word(N_("Waiting"), WORKING, "hourglass"),
    "running": Word(N_("Running"), READY, "circle-check"),
    "unreachable": Word(N_("Unreachable"), TROUBLE, "unplug"),
    "pending reboot": Word(N_("Needs a reboot"), WORKING, "rotate-cw"),
}
SESSION = {
    "none": Word(N_("Nobody"), OFF, "circle"),
    "logged on": Word(N_("Logged on"), USE, "circle-user"),
    "disconnected": Word(N_("Disconnected"), USE, "circle-pause"),
    "locked": Word(N_("Locked"), USE, "lock"),
    "idle": Word(N_("Idle"), USE, "timer"),
    "unknown": Word(N_("Unknown"), OFF, "circle-help"),
}
STATUS = {
    "available": Word(N_("Available"), READY, "circle-check"),
    "unavailable": Word(N_("Unavailable"), OFF, "ban"),
    "duplicate": Word(N_("Duplicate"), TROUBLE, "copy"),
    "deleted": Word(N_("Deleted"), OFF, "circle"),
}
JOB = {
    "queued": Word(N_("Waiting"), OFF, "clock"),
    "running": Word(N_("Running"), WORKING, "loader"),
    "done": Word(N_("Done"), READY, "circle-check"),
    "failed": Word(N_("Failed"), TROUBLE, "circle-x"),
    "cancelled": Word(N_("Cancelled"), OFF, "ban"),
}
CENTER = {
    "new": Word(N_("Not scanned yet"), WORKING, "hourglass"),
    "online": Word(N_("Online"), READY, "circle-check"),
    "offline": Word(N_("Offline"), TROUBLE, "unplug"),
}
RECORDING = {
    "complete": Word(N_("Complete"), READY, "circle-check"),
    "cut off": Word(N_("Breaks off"), TROUBLE, "triangle-alert"),
    "expected": Word(N_("Not here yet"), WORKING, "hourglass"),
}
LEAK = {
    "open": Word(N_("Left over"), TROUBLE, "triangle-alert"),
    "kept": Word(N_("Kept"), OFF, "circle-check"),
    "removing": Word(N_("Being deleted"), WORKING, "trash-2"),
}
WAITING_AGENT = {
    "waiting": Word(N_("Waiting"), WORKING, "hourglass"),
    "admitted": Word(N_("Admitted"), READY, "circle-check"),
    "refused": Word(N_("Refused"), OFF, "ban"),
}
METADATA = {
    "": Word(N_("Unknown"), OFF, "circle-help"),
    "answers": Word(N_("Answers"), READY, "circle-check"),
    "no route": Word(N_("No route"), TROUBLE, "unplug"),
    "no gateway": Word(N_("No way through a gateway"), TROUBLE, "unplug"),
    "no answer": Word(N_("No answer"), TROUBLE, "circle-x"),
    "refused": Word(N_("No metadata"), TROUBLE, "circle-x"),
}
ASSIGNMENT = {
    "assigned": Word(N_("Assigned"), USE, "circle-user"),
    "connected": Word(N_("At work"), USE, "circle-dot"),
    "disconnected": Word(N_("Disconnected"), USE, "circle-pause"),
    "logged out": Word(N_("Logged out"), OFF, "log-out"),
    "releasing": Word(N_("Being taken back"), WORKING, "hourglass"),
    "released": Word(N_("Taken back"), OFF, "circle"),
}
LEVEL = {
    "info": Word(N_("Information"), OFF, "info"),
    "warning": Word(N_("Warning"), WORKING, "triangle-alert"),
    "error": Word(N_("Error"), TROUBLE, "circle-x"),
}
JOB_KINDS = {
    "center_scan": N_("Look for changes in a center"),
    "center_sweep": N_("Remove what machines that went by themselves have left in a center"),
    "directory_people": N_("Ask a directory about its people"),
    "center_leaks": N_("Look for what was left over in a center"),
    "leak_remove": N_("Delete what was left over in a center"),
    "pool_stats": N_("Count the desktops of a pool"),
    "pool_history_stats": N_("Note the counts of a pool"),
    "pool_refill": N_("Build what a pool lacks"),
    "pool_members": N_("Work out which desktops belong to a pool"),
    "desktop_build": N_("Make a desktop"),
    "desktop_delete": N_("Delete a desktop"),
    "desktop_power": N_("Change the power of a desktop"),
    "desktop_step": N_("Do what a pool wants done with a new desktop"),
    "assignment_timer": N_("Do what a plan says when its time has come"),
    "hand_over": N_("Get a desktop ready for its next user"),
    "agents_lost": N_("Look for agents that fell silent"),
    "purge": N_("Remove what is too old to keep"),
}
TIMERS = {
    "release": N_("It is taken back"),
    "log_out": N_("The person is logged out"),
    "lock": N_("The screen is locked"),
    "disconnect": N_("The person is disconnected"),
    "power:shutdown": N_("It is shut down"),
    "power:stop": N_("Its power is cut"),
    "power:suspend": N_("It is suspended"),
    "power:reboot": N_("It is rebooted"),
}
# Reasons that speak to the person who holds the desktop, as others are told of them.
TO_ADMINISTRATORS = {
    "release.by_user": N_("The person gave it back."),
    "release.after_disconnect": N_("The release plan takes it back %(minutes)s min after a disconnect."),
    "release.log_out_after_disconnect": N_("The release plan logs people out %(minutes)s min after a disconnect."),
    "release.after_log_out": N_("The release plan takes it back %(minutes)s min after log-out."),
    "release.never_connected": N_("The release plan takes back what is not opened within %(minutes)s min."),
    "release.max_duration": N_("The release plan takes it back after %(minutes)s min in any case."),
    "release.lock_after_idle": N_(
        "The release plan locks the screen after %(minutes)s min without keyboard and mouse."
    ),
    "release.disconnect_after_idle": N_(
        "The release plan disconnects people after %(minutes)s min without keyboard and mouse."
    ),
    "release.log_out_after_idle": N_(
        "The release plan logs people out after %(minutes)s min without keyboard and mouse."
    ),
    "assignment.ended": N_("The desktop is no longer this person's."),
}
CLIENT_KINDS = {"web": N_("Browser"), "api": N_("Program"), "connect": N_("Program")}
SYSTEM_WORDS = {
    "windows": N_("Windows"), "macos": N_("macOS"), "linux": N_("Linux"), "chromeos": N_("ChromeOS"), "android": N_("Android"),
    "ios": N_("iOS"),
}  # fmt: skip
IN_USE = Word(N_("In use"), USE, "circle-dot")
FREE = Word(N_("Ready"), READY, "circle-check")
MAINTENANCE = Word(N_("Maintenance"), OFF, "wrench")
ON = Word(N_("On"), READY, "circle-check")
OFF_WORD = Word(N_("Off"), OFF, "circle")
PAUSED = Word(N_("Stopped"), TROUBLE, "octagon-x")
BARRED = Word(N_("Kept out by the directory"), OFF, "ban")
DISABLED = Word(N_("Disabled"), OFF, "ban")
LOCKED = Word(N_("Locked out"), TROUBLE, "lock")
ACTIVE = Word(N_("Active"), READY, "circle-check")
ALIVE = Word(N_("Running"), READY, "circle-check")
SILENT = Word(N_("Silent"), TROUBLE, "unplug")
DRAINING = Word(N_("Draining"), WORKING, "hourglass")

AXES: Mapping[str, Mapping[str, Word]] = {
    "offer": OFFER, "stage": STAGE, "power": POWER, "agent": AGENT, "session": SESSION, "status": STATUS, "job": JOB,
    "center": CENTER, "level": LEVEL, "assignment": ASSIGNMENT, "leak": LEAK, "recording": RECORDING,
    "waiting agent": WAITING_AGENT, "metadata": METADATA,
}  # fmt: skip


def state_of(axis: str, value: Any) -> Word:
    """Return how a value of an axis is shown; for `desktop`, `pool`, `user`, `heartbeat` the value is the item itself."""
    if axis in ITEMS:
        return ITEMS[axis](value)
    text = str(value or "")
    return AXES[axis].get(text) or Word(text or "—", OFF, "circle")


def timer_word(action: str, argument: str = "") -> str:
    """Return what happens when a timer's time has come."""
    return TIMERS.get(f"{action}:{argument}") or TIMERS.get(action) or action.replace("_", " ")


def job_word(kind: str) -> str:
    """Return what a kind of job does; one of a newer broker shows its name."""
    return JOB_KINDS.get(kind) or kind.replace("_", " ")


def _desktop(item: Mapping[str, Any]) -> Word:
    """Sum a desktop's axes up to the one word that an administrator looks for first."""
    if item.get("stage", "ready") != "ready":
        return state_of("stage", item["stage"])
    if item.get("status", "available") not in ("available", "unavailable"):
        return state_of("status", item["status"])
    if item.get("power") == "error":
        return POWER["error"]
    if item.get("session") in ("logged on", "locked", "idle") or int(item.get("used_seats") or 0):
        return SESSION["disconnected"] if item.get("session") == "disconnected" else IN_USE
    if item.get("maintenance"):
        return MAINTENANCE
    if item.get("status") == "unavailable":
        return STATUS["unavailable"]
    return FREE if item.get("power") == "running" else state_of("power", item.get("power"))


def _pool(item: Mapping[str, Any]) -> Word:
    limits = (item.get("provisioning") or {}).get("limits") or {}
    if item.get("stopped_reason"):
        return PAUSED
    return ON if limits.get("enabled") and limits.get("stop_at") else OFF_WORD


def _user(item: Mapping[str, Any]) -> Word:
    if item.get("barred"):
        return BARRED
    if item.get("disabled"):
        return DISABLED
    return LOCKED if item.get("locked") or item.get("locked_until") else ACTIVE


def _heartbeat(item: Any) -> Word:
    if not isinstance(item, Mapping):  # a node of the overview, which lists those that did not stop
        item = {"alive": item.alive, "draining": item.draining}
    if item.get("stopped_at"):
        return OFF_WORD
    if not item.get("alive", True):
        return SILENT
    return DRAINING if item.get("draining") else ALIVE


ITEMS = {"desktop": _desktop, "pool": _pool, "user": _user, "heartbeat": _heartbeat}
