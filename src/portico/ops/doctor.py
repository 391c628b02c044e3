"""`portico doctor`: look at this machine and its configuration, and explain every problem at once, each with its remedy."""

import argparse
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from urllib.parse import urlsplit

from portico.config import Config, load
from portico.errors import Invalid, PorticoError

DISK_WANTED = 1024**3  # bytes free where the state is
DATABASE_SECONDS = 5

# What desktops on this machine (a center of kind "local") are made of: program → Debian package.
PROGRAMS = {
    "Xtigervnc": "tigervnc-standalone-server",
    "vncpasswd": "tigervnc-tools",
    "openbox": "openbox",
    "xterm": "xterm",
    "tmux": "tmux",
    "sshd": "openssh-server",
}

# How a finding of a center's pre-flight is told here.
_CENTER_STATES = {"granted": "fine", "missing": "wrong"}

# Extra → a module that only this extra brings.
EXTRAS = {"broker": "sqlalchemy", "gateway": "picows"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `state` is "fine", "note" (works, but know it) or "wrong"; the remedy is a sentence."""

    name: str
    state: str
    remedy: str = ""


def main(argv: Sequence[str]) -> int:
    """Print what was found. Returns 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="portico doctor", description="Explain what is wrong with this installation.")
    parser.add_argument("--config", type=Path, help="another file than PORTICO_CONFIG or /etc/portico/portico.toml")
    findings = examine(parser.parse_args(argv).config)
    signs = {"fine": "✓", "note": "·", "wrong": "✗"}
    for finding in findings:
        print(f"{signs[finding.state]} {finding.name}{': ' if finding.remedy else ''}{finding.remedy}")
    wrong = sum(finding.state == "wrong" for finding in findings)
    print(f"\n{wrong} problem{'' if wrong == 1 else 's'} found." if wrong else "\nNothing is wrong.")
    return 1 if wrong else 0


def examine(path: Path | None = None) -> tuple[Finding, ...]:
    """Look at everything; a configuration that cannot be read does not stop the rest."""
    findings = [_python(), *_extras()]
    try:
        config = load(path)
        findings += [Finding("configuration", "fine"), *_addresses(config), *_disk(config.state), *_listeners(config)]
        database = _database(config.database_url)
        findings += [database, *(_elsewhere(config) if database.state == "fine" else ())]
    except Invalid as trouble:
        remedies = [f"{name}: {sentence}" for name, sentence in trouble.fields.items()] or [trouble.sentence]
        findings += [Finding("configuration", "wrong", remedy) for remedy in remedies]
    return (*findings, *_programs())


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 - a copied source tree runs on whatever it finds
        return Finding(f"Python {version}", "wrong", "broker and gateway need Python 3.11 or newer.")
    return Finding(f"Python {version}", "fine")


def _extras() -> Iterable[Finding]:
    for extra, module in EXTRAS.items():
        if find_spec(module):
            yield Finding(f"libraries of the {extra}", "fine")
        else:
            yield Finding(
                f"libraries of the {extra}", "note", f"pip install 'portico[{extra}]' to run it on this machine."
            )


def _addresses(config: Config) -> Iterable[Finding]:
    for name, url in (("public_url", config.public_url), ("broker_url", config.broker_url)):
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            yield Finding(name, "wrong", f"{url!r} is not an address of the form https://name:port.")
            continue
        try:
            socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
            yield Finding(name, "fine")
        except OSError as problem:
            yield Finding(name, "wrong", f"{parts.hostname} cannot be resolved here ({problem}).")


def _disk(state: Path) -> Iterable[Finding]:
    nearest = next(path for path in (state, *state.parents) if path.exists())
    if not os.access(nearest, os.W_OK):
        yield Finding(
            "state", "wrong", f"{nearest} cannot be written by this account; state = {str(state)!r} names it."
        )
        return
    free = shutil.disk_usage(nearest).free
    if free < DISK_WANTED:
        yield Finding("disk", "wrong", f"{free // 1024**2} MiB are free in {nearest}; logs and a database want 1 GiB.")
    else:
        yield Finding("disk", "fine")


def _listeners(config: Config) -> Iterable[Finding]:
    wanted = {"listen": config.listen, "gateway_listen": config.gateway_listen, "front_listen": config.front_listen}
    if config.rdgateway_listen:
        wanted["rdgateway_listen"] = config.rdgateway_listen
    seen: dict[str, str] = {}
    for name, address in wanted.items():
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            yield Finding(name, "wrong", f"{address!r} is not of the form address:port.")
        elif address in seen:
            yield Finding(name, "wrong", f"{address} is that of {seen[address]} too; each part needs its own.")
        else:
            yield _listener(name, host.strip("[]"), int(port))
        seen.setdefault(address, name)


def _listener(name: str, host: str, port: int) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            return Finding(
                name, "wrong", f"this account may not listen on port {port}; a service manager can hand it over."
            )
        except OSError as problem:
            return Finding(
                name, "note", f"{host}:{port} is in use, by Portico itself or by something else ({problem.strerror})."
            )
    return Finding(name, "fine")


def _database(url: str) -> Finding:
    if not find_spec("sqlalchemy"):
        return Finding("database", "note", "not looked at: the libraries of the broker are not here.")
    import sqlalchemy  # here and not above: the doctor also serves machines that have only a gateway

    try:
        parsed = sqlalchemy.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            file = Path(parsed.database or "")
            state = "fine" if file.exists() else "note"
            return Finding("database", state, "" if file.exists() else f"{file} is made at the first start.")
        timeout = {"connect_timeout": DATABASE_SECONDS} if parsed.get_backend_name() == "postgresql" else {}
        engine = sqlalchemy.create_engine(parsed, connect_args=timeout)
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as problem:
        words = str(problem).splitlines()[0]  # SQLAlchemy never puts the password there
        return Finding("database", "wrong", f"it does not answer: {words}")
    return Finding("database", "fine")


def _elsewhere(config: Config) -> Iterable[Finding]:
    """Run the pre-flight of every center and every directory."""
    # By name, as the table of commands does it: a machine with only a gateway has no broker to build.
    check: Callable[[Config], Sequence[Any]] = resolve_name("portico.wiring:check_all")
    try:
        checked = check(config)
    except Exception as problem:  # the doctor tells of whatever is wrong and goes on
        words = problem.sentence if isinstance(problem, PorticoError) else f"{type(problem).__name__}: {problem}"
        yield Finding("centers and directories", "wrong", f"they cannot be looked at: {words}")
        return
    for one in checked:
        for found in one.findings:
            remedy = " ".join(part for part in (found.remedy, f"({found.detail})" if found.detail else "") if part)
            yield Finding(f"{one.name}, {found.name}", _CENTER_STATES.get(found.state, "note"), remedy)


def _programs() -> Iterable[Finding]:
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program, path=path)]
    if missing:
        yield Finding("desktops on this machine", "note", f"to have any, install: {' '.join(missing)}.")
    else:
        yield Finding("desktops on this machine", "fine")
