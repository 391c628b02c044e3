"""`portico explain`: what somebody would get if they logged in now, or at another moment, from where; nothing is changed."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from portico.cli import logins
from portico.cli.api import Client
from portico.cli.running import guarded


def main(argv: Sequence[str]) -> int:
    """Run it and return the exit status."""
    given = _parser().parse_args(argv)
    return guarded(lambda: _run(logins.client(given), given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="portico explain", description=str(__doc__), allow_abbrev=False)
    parser.add_argument("user", help="login name, with its domain where people come from directories")
    parser.add_argument("--client", default="", metavar="ADDRESS", help="address of the device")
    parser.add_argument("--system", default="", help="windows, macos, linux, chromeos, android or ios")
    parser.add_argument("--name", default="", help="name of the device")
    parser.add_argument("--mac", default="", help="address of its network card")
    parser.add_argument("--os-version", default="", metavar="VERSION", help="version of its system")
    parser.add_argument("--maker", default="", help="its maker")
    parser.add_argument("--model", default="", help="its model")
    parser.add_argument("--software", default="", help="the browser or program, such as “Firefox 128”")
    parser.add_argument("--kind", choices=("web", "connect"), default="web", help="default: %(default)s")
    parser.add_argument("--entrance", default="", metavar="HOST", help="by which name of the portal they come")
    parser.add_argument("--at", default="", metavar="TIME", help="ISO 8601 with its zone; now when left out")
    parser.add_argument("-f", "--format", choices=("text", "json"), default="text", help="default: %(default)s")
    logins.options(parser)
    return parser


def _run(client: Client, given: argparse.Namespace) -> int:
    names = (
        "user", "client", "system", "kind", "entrance", "at", "name", "mac", "os_version", "maker", "model", "software",
    )  # fmt: skip
    found = client.get("explain", {name: value for name in names if (value := getattr(given, name))})
    text = json.dumps(found, indent=2, ensure_ascii=False) if given.format == "json" else "\n".join(_lines(found))
    sys.stdout.write(text + "\n")
    return 0


def _lines(found: Mapping[str, Any]) -> list[str]:
    lines = [f"{found['user']}, {found['at']}"]
    if found["refusal"]:
        lines += ["  would not get in:", *_chain(found["refusal"], 2)]
    if found["groups"]:
        lines += [f"  in the groups {', '.join(found['groups'])}"]
    if found["rule"]:
        lines += _chain(found["rule"], 1)
    lines += [
        f"  role {found['role']}, policy {found['policy']}, "
        + (f"at {found['location']}" if found["location"] else "at no location")
    ]
    lines += ["  is offered:" if found["offers"] else "  is offered nothing"]
    for offer in found["offers"]:
        way = f", by the gateway {offer['gateway']}" if offer["gateway"] else ""
        lines.append(f"    {offer['name']}: {offer['state']}{way}")
        for why in (offer["reason"], offer["obstacle"]):
            lines += _chain(why, 3) if why else []
    if found["refusals"]:
        lines += ["  is not offered:", *(line for reason in found["refusals"] for line in _chain(reason, 2))]
    return lines


def _chain(reason: Mapping[str, Any], depth: int) -> list[str]:
    lines = [f"{'  ' * depth}{reason['sentence']} ({reason['code']})"]
    for inner in reason["because"]:
        lines += _chain(inner, depth + 1)
    return lines
