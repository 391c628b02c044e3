"""Which broker, and as whom: options, variables, and what `portico login` has stored for its user alone."""

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portico.cli.api import Address, Client, pinned
from portico.cli.device import describe
from portico.cli.running import guarded
from portico.errors import Invalid

DEFAULT_URL = "https://localhost:8443"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what tells the broker apart."""
    group = parser.add_argument_group("broker")
    group.add_argument(
        "--url", help=f"address of the broker (PORTICO_URL, or what was logged in to last, or {DEFAULT_URL})"
    )
    group.add_argument("--ca", type=Path, metavar="FILE", help="CA of the broker in PEM form (PORTICO_CA)")


def stored_at() -> Path:
    """Return the file of stored log-ins: below XDG_CONFIG_HOME, readable by its user alone."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "portico" / "login.json"


def client(chosen: argparse.Namespace) -> Client:
    """Return a client with the token of PORTICO_TOKEN or of the last log-in there."""
    stored = _read()
    url = (chosen.url or os.environ.get("PORTICO_URL") or stored.get("last") or DEFAULT_URL).rstrip("/")
    login = stored.get("logins", {}).get(url, {})
    token = os.environ.get("PORTICO_TOKEN") or login.get("token", "")
    return Client(Address(url, _ca(chosen) or login.get("ca_pem", "")), token)


def _ca(chosen: argparse.Namespace) -> str:
    path = chosen.ca or (Path(os.environ["PORTICO_CA"]) if os.environ.get("PORTICO_CA") else None)
    try:
        return path.read_text("utf-8") if path else ""
    except (OSError, UnicodeDecodeError) as problem:
        raise Invalid(f"The CA cannot be read from {path}.", detail=str(problem)) from problem


def login(argv: Sequence[str]) -> int:
    """Log in and store the token; returns the exit status."""
    return guarded(lambda: _login(argv))


def logout(argv: Sequence[str]) -> int:
    """End the stored log-in, there and here; returns the exit status."""
    return guarded(lambda: _logout(argv))


def _login(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="portico login", description="Log in, and keep the token for further commands."
    )
    options(parser)
    parser.add_argument("--username", help="asked for when left out")
    parser.add_argument("--device", action="store_true", help="log in by a browser, on this device or another one")
    parser.add_argument("--domain", default="", help="directory of the user, where there are several")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="read the password from a file; asked for otherwise"
    )
    parser.add_argument(
        "--ca-fingerprint", default=os.environ.get("PORTICO_CA_FINGERPRINT", ""), metavar="SHA256",
        help="trust the deployment's own CA with this fingerprint, and no other (PORTICO_CA_FINGERPRINT)",
    )  # fmt: skip
    chosen = parser.parse_args(argv)
    stored = _read()
    url = (chosen.url or os.environ.get("PORTICO_URL") or stored.get("last") or DEFAULT_URL).rstrip("/")
    ca = _ca(chosen) or (pinned(url, chosen.ca_fingerprint) if chosen.ca_fingerprint else "")
    ca = ca or stored.get("logins", {}).get(url, {}).get("ca_pem", "")
    device = describe(stored_at().parent)
    if chosen.device:
        answer = _by_device(Client(Address(url, ca)), device)
        return _keep(stored, url, ca, answer)
    name = chosen.username or _ask("User name: ")
    body = {"username": name, "password": _password(chosen.password_file), "client": device} | (
        {"domain": chosen.domain} if chosen.domain else {}
    )
    broker = Client(Address(url, ca))
    answer = broker.call("POST", "login", body)
    while "token" not in answer:
        if answer.get("code"):
            sys.stderr.write(f"{answer['message']}\n" if answer.get("message") else "")
            answer = broker.call("POST", "login/code", {"login": answer["login"], "code": _ask("Code: ")})
            continue
        if answer.get("waiting"):
            sys.stderr.write("Your log-in is being checked. If your phone asks, confirm it there.\n")
        else:
            sys.stderr.write(f"Your directory is slow. You are number {answer['position']} in the line.\n")
        time.sleep(float(answer["retry_after"]))
        answer = broker.call("POST", "login/waiting", {"login": answer["login"]})
    return _keep(stored, url, ca, answer)


def _by_device(broker: Client, device: Mapping[str, Any]) -> Mapping[str, Any]:
    """Let somebody say yes in a browser, and wait for it."""
    begun = broker.call("POST", "login/device", {"name": f"portico on {device['name']}", "client": device})
    sys.stderr.write(f"Open {begun['verification_uri']} in a browser and type {begun['user_code']}\n")
    answer: Mapping[str, Any] = {}
    while "token" not in answer:
        time.sleep(float(begun["interval"]))
        answer = broker.call("POST", "login/device/token", {"device_code": begun["device_code"]})
    return answer


def _keep(stored: Mapping[str, Any], url: str, ca: str, answer: Mapping[str, Any]) -> int:
    logins = {**stored.get("logins", {}), url: {"token": answer["token"], "ca_pem": ca}}
    _write({"last": url, "logins": logins})
    sys.stdout.write(f"Logged in to {url} as {answer['user']['login_name']} until {answer['expires_at']}.\n")
    return 0


def _logout(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="portico logout", description="End the log-in, and forget its token.")
    options(parser)
    chosen = parser.parse_args(argv)
    stored = _read()
    here = client(chosen)
    if here.url in stored.get("logins", {}):
        logins = {url: one for url, one in stored["logins"].items() if url != here.url}
        _write({"last": stored.get("last", ""), "logins": logins})
        here.call("POST", "logout")
    return 0


def _ask(question: str) -> str:
    if not sys.stdin.isatty():
        raise Invalid("There is nobody to ask for the user name. Give it with --username.")
    return input(question)


def _password(path: Path | None) -> str:
    if path is not None:
        try:
            return path.read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as problem:
            raise Invalid(f"The password cannot be read from {path}.", detail=str(problem)) from problem
    if not sys.stdin.isatty():
        raise Invalid("There is nobody to ask for the password. Give it with --password-file.")
    return getpass.getpass("Password: ")


def _read() -> dict[str, Any]:
    try:
        found = json.loads(stored_at().read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        raise Invalid(f"{stored_at()} cannot be read. Delete it and log in again.", detail=str(problem)) from problem
    return found if isinstance(found, dict) else {}


def _write(stored: Mapping[str, Any]) -> None:
    path = stored_at()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}")
    # Born with its rights: at no time can others read the token.
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(stored, file)
    aside.replace(path)
