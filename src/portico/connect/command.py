"""`portico tunnel`: one's own desktop on a port of this device, for any client that speaks TCP, through the portal's own address.

The way is bound to whoever is logged in, not to an address, and ends with the command. With a command behind `--` that one is run, with
{HOST} and {PORT} filled in, and its end is ours.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from portico.cli import logins
from portico.cli.api import Client
from portico.cli.running import guarded
from portico.connect.tunnel import Refused, Tunnel
from portico.errors import Conflict, Invalid, NotFound, Unavailable

READY_SECONDS = 600.0
POLL_SECONDS = 1.0
FINAL = ("session.ended", "ticket.invalid", "ticket.used", "closed.by_administrator", "time.up", "desktop.refused")


def main(argv: Sequence[str]) -> int:
    """Run it and return the exit status."""
    typed = list(argv)
    command: list[str] = []
    if "--" in typed:
        at = typed.index("--")
        typed, command = typed[:at], typed[at + 1 :]
    given = _parser().parse_args(typed)
    return guarded(lambda: _run(logins.client(given), given, command))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="portico tunnel", description=str(__doc__).partition("\n\n")[0], allow_abbrev=False,
        epilog="Example: portico tunnel desk-01 --protocol ssh -- ssh -p {PORT} desk@{HOST}",
    )  # fmt: skip
    parser.add_argument("desktop", help="what the portal calls it; the beginning of its name will do")
    parser.add_argument("--protocol", default="", help="vnc, ssh, rdp, …; the plan's first when left out")
    parser.add_argument(
        "--listen", default="127.0.0.1:0", metavar="ADDRESS:PORT", help="default: %(default)s, any free port"
    )
    parser.add_argument("--password", action="store_true", help="show a one-time password, where the desktop has those")
    logins.options(parser)
    return parser


def _run(client: Client, given: argparse.Namespace, command: list[str]) -> int:
    host, _, number = given.listen.rpartition(":")
    if not host or not number.isdigit() or int(number) > 65535:
        raise Invalid("Give --listen as ADDRESS:PORT, such as 127.0.0.1:5900.")
    offer = _offer(client, given.desktop)
    body = {"offer": offer["id"], "client": {"kind": "connect", "way": "tunnel"}}
    connection = client.call("POST", "connections", body | ({"protocol": given.protocol} if given.protocol else {}))
    path = f"connections/{quote(connection['id'])}"
    try:
        connection = _await(client, path)
        way = client.call("POST", f"{path}/tunnel", {})
        if given.password:
            _show(client.call("POST", f"{path}/password", {}))
        return asyncio.run(_serve(client, way, (host, int(number)), command, connection["desktop_name"]))
    finally:
        with contextlib.suppress(Unavailable, NotFound):
            client.call("DELETE", path)


def _offer(client: Client, name: str) -> dict[str, Any]:
    offers = client.get("offers")["offers"]
    exact = [offer for offer in offers if offer["name"].lower() == name.lower()]
    found = exact or [offer for offer in offers if offer["name"].lower().startswith(name.lower())]
    if len(found) == 1:
        return dict(found[0])
    names = ", ".join(sorted(offer["name"] for offer in found or offers)) or "nothing"
    raise NotFound(f"{name} is {'several of your desktops' if found else 'none of your desktops'}: {names}.")


def _await(client: Client, path: str) -> dict[str, Any]:
    until = time.monotonic() + READY_SECONDS
    told = ""
    while time.monotonic() < until:
        seen: dict[str, Any] = client.get(path)
        if seen["state"] in ("ready", "open"):
            return seen
        reason = (seen.get("reason") or {}).get("sentence", "")
        if seen["state"] == "failed":
            raise Conflict(reason or "The desktop cannot be opened.")
        if reason and reason != told:
            sys.stderr.write(f"{reason}\n")
            told = reason
        time.sleep(POLL_SECONDS)
    raise Unavailable("The desktop is still not ready. Try again later.")


def _show(log_in: dict[str, str]) -> None:
    sys.stderr.write(f"User name: {log_in['username']}\nPassword, good for two minutes: {log_in['password']}\n")


async def _serve(client: Client, way: dict[str, str], listen: tuple[str, int], command: list[str], desktop: str) -> int:
    over: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def refused(refusal: Refused) -> None:
        sys.stderr.write(f"portico: {refusal}\n")
        if refusal.code in FINAL and not over.done():
            over.set_result(1)

    parts = urlsplit(client.url)
    origin = f"{parts.scheme}://{parts.netloc}"
    url = way["url"] if way["url"].startswith("https://") else origin + way["url"]
    tunnel = Tunnel("wss" + url.removeprefix("https"), origin, way["ticket"], client.trust, refused)
    try:
        await tunnel.listen(*listen)
    except OSError as problem:
        raise Conflict(f"Cannot listen on {listen[0]}:{listen[1]}: {problem.strerror}.") from problem

    def stop() -> None:
        if not over.done():
            over.set_result(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        if not command:
            sys.stdout.write(f"{listen[0]}:{tunnel.port}\n")
            sys.stdout.flush()
            sys.stderr.write(f"{desktop} is there until you end this (Ctrl-C).\n")
            return await over
        filled = [word.replace("{HOST}", listen[0]).replace("{PORT}", str(tunnel.port)) for word in command]
        return await _child(filled, over)
    finally:
        tunnel.close()


async def _child(command: list[str], over: "asyncio.Future[int]") -> int:
    try:
        process = await asyncio.create_subprocess_exec(*command)
    except OSError as problem:
        raise Invalid(f"Cannot run {command[0]}: {problem.strerror}.") from problem
    ended = asyncio.ensure_future(process.wait())
    await asyncio.wait({ended, over}, return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await ended
    return process.returncode or 0
