"""What a program tells the broker of the device that it runs on: what anybody may know who sits before it, by the standard library."""

import os
import platform
import re
import secrets
import socket
import sys
import uuid
from pathlib import Path
from typing import Any

from portico import __version__

_SYSTEMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}
_DMI = Path("/sys/class/dmi/id")
_CARDS = Path("/sys/class/net")
_NONE = "00:00:00:00:00:00"
MAX_CARDS = 8


def describe(kept_in: Path) -> dict[str, Any]:
    """Return it; `kept_in` holds the name by which this device is known again, which is made at the first time."""
    return {
        "device": _name(kept_in / "device"),
        "name": socket.gethostname()[:100],
        "os": next((name for mark, name in _SYSTEMS.items() if sys.platform.startswith(mark)), ""),
        "os_version": _version()[:40],
        "maker": _line(_DMI / "sys_vendor"),
        "model": _line(_DMI / "product_name"),
        "macs": _macs(),
        "software": f"portico {__version__}",
    }


def _name(path: Path) -> str:
    """Return the device's own name. One that cannot be kept is another one at each time."""
    try:
        known = path.read_text("ascii").strip()
        if re.fullmatch(r"[A-Za-z0-9_-]{16,64}", known):
            return known
    except (OSError, ValueError):
        pass
    made = secrets.token_urlsafe(24)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(made + "\n")
    except OSError:
        return made
    return made


def _version() -> str:
    if sys.platform == "darwin":
        return platform.mac_ver()[0]
    if sys.platform == "win32":
        return platform.version()
    try:
        return platform.freedesktop_os_release().get("VERSION_ID", "")
    except OSError:
        return ""


def _line(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()[:100]
    except OSError:
        return ""


def _macs() -> list[str]:
    """Return the addresses of the network cards: those that are there, or the one that the system names."""
    found = [_line(card / "address").lower() for card in sorted(_CARDS.glob("*")) if (card / "device").exists()]
    cards = [one for one in found if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", one) and one != _NONE]
    if cards or _CARDS.exists():
        return cards[:MAX_CARDS]
    node = uuid.getnode()
    is_made_up = (
        node >> 40 & 1
    )  # where it could read none, it draws one with the bit of groups (RFC 9562, section 6.10)
    return [] if is_made_up else [":".join(f"{node >> shift & 0xFF:02x}" for shift in range(40, -1, -8))]
