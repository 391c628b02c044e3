"""The device that a request comes from: what its browser or program says of it, read with care and believed for little.

A browser is known again by a cookie that names it and gives nothing; a program sends a name of its own.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from ua_parser import parse

from portico.domain.model import Client
from portico.errors import Invalid
from portico.web.caller import client_of

COOKIE = "__Host-portico-device"
COOKIE_SECONDS = 400 * 86_400  # as long as browsers keep any
# What a browser may tell besides its user agent, once it is asked (User-Agent Client Hints).
HINTS = "Sec-CH-UA-Platform-Version, Sec-CH-UA-Model"
MAX_MACS = 8
_DEVICE = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_SYSTEMS = {
    "Windows": "windows", "Mac OS X": "macos", "Linux": "linux", "Ubuntu": "linux", "Debian": "linux", "Fedora": "linux",
    "Chrome OS": "chromeos", "Android": "android", "iOS": "ios",
}  # fmt: skip
_WINDOWS_11 = 13  # the platform version from which on Windows calls itself 11
_SAID = ("name", "os", "os_version", "maker", "model", "software")
_LONGEST = {"os": 40, "os_version": 40}  # of characters; the others: 100


def browser(request: Request) -> Client:
    """Return the browser that a request comes from."""
    seen, device = client_of(request, "web"), request.cookies.get(COOKIE, "")
    if not _DEVICE.fullmatch(device):
        device = secrets.token_urlsafe(24)  # it is told once somebody has logged in there
    return replace(seen, device=device, **_read(seen.user_agent, request.headers))


def program(request: Request, body: Mapping[str, Any], kind: str = "api") -> Client:
    """Return the program that a request comes from, with what stands in the body's "client". Raises Invalid naming the field."""
    seen, said = client_of(request, kind), body.get("client")
    return seen if said is None else told(seen, said)


def told(client: Client, said: Any) -> Client:
    """Return a device with what its program says of it. Raises Invalid naming the field."""
    if not isinstance(said, dict):
        raise Invalid("The device is not understood.", {"client": "Give an object."})
    texts: dict[str, Any] = {name: _text(said, name, _LONGEST.get(name, 100)) for name in _SAID}
    device, macs = _text(said, "device", 64), said.get("macs", [])
    if device and not _DEVICE.fullmatch(device):
        raise Invalid(
            "The device is not understood.",
            {"client.device": "Give 16 to 64 letters, digits, hyphens and underscores."},
        )
    if not isinstance(macs, list) or len(macs) > MAX_MACS or not all(_MAC.fullmatch(str(one)) for one in macs):
        raise Invalid(
            "The device is not understood.",
            {"client.macs": f"Give at most {MAX_MACS}, written like 52:54:00:12:34:56."},
        )
    return replace(client, device=device, macs=tuple(macs), **texts)


def remember(answer: Response, client: Client) -> None:
    """Give a browser the name by which it will be known again. Lax, so that it is there when a provider sends the browser back."""
    answer.set_cookie(
        COOKIE, client.device, max_age=COOKIE_SECONDS, secure=True, httponly=True, samesite="lax", path="/"
    )


def ask_for_hints(answer: Response) -> None:
    """Ask the browser to say more of its device from now on."""
    answer.headers["Accept-CH"] = HINTS


def _read(agent: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what a user agent and the hints tell."""
    found = parse(agent)
    system, browser, device = found.os, found.user_agent, found.device
    version = ".".join(part for part in (system.major, system.minor, system.patch) if part) if system else ""
    os = _SYSTEMS.get(system.family, "") if system else ""
    hinted = _hint(headers, "sec-ch-ua-platform-version")
    if hinted and os:
        version = _windows(hinted) if os == "windows" else hinted
    software = f"{browser.family} {browser.major or ''}".strip() if browser else ""
    return {
        "os": os,
        "os_version": _printable(version, 40),
        "maker": _printable((device.brand or "") if device else "", 100),
        "model": _hint(headers, "sec-ch-ua-model") or _printable((device.model or "") if device else "", 100),
        "software": _printable(software, 100),
    }


def _windows(platform_version: str) -> str:
    major = platform_version.partition(".")[0]
    return "11" if major.isdecimal() and int(major) >= _WINDOWS_11 else "10"


def _hint(headers: Mapping[str, str], name: str) -> str:
    """Return a hint, which is a string of structured fields (RFC 8941, section 3.3.3)."""
    return _printable(headers.get(name, "").strip().strip('"'), 40)


def _printable(text: str, longest: int) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:longest]


def _text(said: Mapping[str, Any], name: str, longest: int) -> str:
    value = said.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise Invalid(
            "The device is not understood.", {f"client.{name}": f"Give a text of at most {longest} characters."}
        )
    return _printable(value, longest)
