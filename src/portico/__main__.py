"""The commands of `portico`: an argument table and nothing else."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pkgutil import resolve_name
from typing import Any

from portico.cli.nouns import NOUNS
from portico.config import load
from portico.errors import Invalid, PorticoError


@dataclass(frozen=True, slots=True)
class Command:
    """One command: where its function is, how it is called, and which extra brings what it needs.

    `call` is "config" (function(config)), "argv" (function(remaining arguments)), "verb" (function(config, verb)) or
    "noun" (function(name, then remaining arguments)). A noun that is also a service is one when a verb follows.
    """

    target: str
    help: str
    call: str = "config"
    extra: str = ""
    verbs: tuple[str, ...] = ()


COMMANDS = {
    "broker": Command("portico.wiring:run_broker", "decide and manage: portal, console, REST, jobs", extra="broker"),
    "gateway": Command("portico.gateway.app:run_gateway", "carry sessions to desktops", extra="gateway"),
    "front": Command(
        "portico.gateway.forwarder:run_front", "hold the listener where no load balancer is", extra="gateway"
    ),
    "agent": Command("portico.agent.main:main", "report a desktop's sessions to the broker", call="argv"),
    "demo": Command(
        "portico.ops.demo:main", "run everything on this machine, for a first look", call="argv", extra="broker"
    ),
    "doctor": Command("portico.ops.doctor:main", "explain what is wrong with this installation", call="argv"),
    "db": Command(
        "portico.wiring:db_command",
        "care for the database and its sealed secrets",
        "verb",
        "broker",
        ("upgrade", "check", "rotate"),
    ),
    "login": Command("portico.cli.logins:login", "log in for further commands, and keep the token", call="argv"),
    "logout": Command("portico.cli.logins:logout", "end that log-in", call="argv"),
    "explain": Command("portico.cli.explain:main", "what somebody would get, and why", call="argv"),
    "tunnel": Command(
        "portico.connect.command:main", "one's own desktop on a port of this device", call="argv", extra="connect"
    ),
    "quickstart": Command(
        "portico.cli.quickstart:main",
        "from a clouds.yaml to a pool of desktops that people are offered",
        "argv",
        "broker",
    ),
}
CLI = "portico.cli.main:main"
COMMANDS |= {
    name: Command(CLI, f"list, show and change {plural.replace('-', ' ')}", call="noun")
    for name, plural in NOUNS.items()
    if name not in COMMANDS
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; 2 means that it could not even begin."""
    typed = list(sys.argv[1:] if argv is None else argv)
    if len(typed) > 1 and typed[0] in NOUNS and COMMANDS[typed[0]].call == "config" and not typed[1].startswith("-"):
        return int(_function(Command(CLI, ""))(typed))
    arguments, rest = _parser().parse_known_args(typed)
    command = COMMANDS[arguments.command]
    if rest and command.call not in ("argv", "noun"):
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        function = _function(command)
        if command.call in ("argv", "noun"):
            return int(function([arguments.command, *rest] if command.call == "noun" else rest) or 0)
        settings = load()
        resolve_name("portico.logs:configure")(settings.log_format, settings.log_level)
        return int(function(settings, *([arguments.verb] if command.call == "verb" else [])) or 0)
    except PorticoError as trouble:
        sys.stderr.write(f"portico: {trouble.sentence}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _function(command: Command) -> Callable[..., Any]:
    """Import a command's function only now: each extra brings the libraries of its own commands and of no other."""
    try:
        function: Callable[..., Any] = resolve_name(command.target)
    except ModuleNotFoundError as problem:
        if not command.extra or (problem.name or "").split(".")[0] == "portico":
            raise
        raise Invalid(
            f"{problem.name} is not installed: pip install 'portico[{command.extra}]' brings it."
        ) from problem
    return function


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="portico", description="A connection broker for OpenStack.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        # A command that reads its own arguments answers --help itself.
        sub = commands.add_parser(
            name, help=command.help, add_help=command.call not in ("argv", "noun"), allow_abbrev=False
        )
        if command.verbs:
            sub.add_argument("verb", choices=command.verbs)
    return parser


def _version() -> str:
    try:
        return f"portico {version('portico')}"
    except PackageNotFoundError:
        return "portico (not installed)"


if __name__ == "__main__":
    sys.exit(main())
