"""What a directory costs the broker, and what a dead one costs the people of another."""

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from tests.bench.load import get, run
from tests.bench.machine import cpu_seconds, serving, table
from tests.brokers import actor, make_broker

from doubles.slapd import Slapd
from portico.directories.open_ldap import OpenLdap, OpenLdapSettings
from portico.domain.model import Client
from portico.ports.directory import DirectoryContext, TypedName
from portico.services import configure, login
from portico.services.broker import Broker

BINDS = 400
HELLOS = 4_000
GOAL = 30  # hello-worlds of the broker's own CPU around a bind
ROUNDS, A_ROUND = 20, 5
ISOLATION = 1.5  # of the median of a control run in between
CROWD, AT_ONCE = 200, 20


def hello_ms() -> float:
    """Return the CPU milliseconds of a hello-world of the same server."""
    with serving("hello") as (pid, port):
        run(port, [get("/")] * 200, 200)
        began = cpu_seconds(pid)
        run(port, [get("/")] * HELLOS, 200)
        return (cpu_seconds(pid) - began) / HELLOS * 1000


def bind_ms(server: Slapd, **settings: Any) -> float:
    """Return the CPU milliseconds of finding somebody, trying the password and reading the groups; the server's are its own."""
    driver = OpenLdap(OpenLdapSettings(**{**server.settings, **settings}), DirectoryContext(("127.0.0.0/8",)))
    name, password = TypedName("alice", "alice"), server.password("alice")
    driver.authenticate(name, password)
    began = process_time()
    for _ in range(BINDS):
        driver.authenticate(name, password)
    spent = process_time() - began
    driver.close()
    return spent / BINDS * 1000


@contextmanager
def silent() -> Iterator[int]:
    """Listen, accept, and say nothing: the worst that a server can do."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        yield listener.getsockname()[1]


def _broker(server: Slapd, port: int) -> Broker:
    broker = make_broker(Path(tempfile.mkdtemp(prefix="portico-bench-")))
    broker = replace(broker, config=replace(broker.config, egress_allow=("127.0.0.0/8",)))
    common: dict[str, Any] = {"kind": "ldap", "default_role_id": "role-user", "connections": AT_ONCE}
    dead = {**server.settings, "servers": f"ldaps://localhost:{port}", "timeout": 60}
    for name, settings in (("alive", server.settings), ("dead", dead)):
        fields = {"name": name, "domains": [f"{name}.test"], "settings": settings, **common}
        configure.create_item(broker, actor(broker), "directories", fields)
    broker.snapshots.get(fresh=True)
    return broker


def _log_in(broker: Broker, number: int) -> float:
    began = perf_counter()
    found = login.login(broker, "alice@alive.test", "Passw0rd-alice", Client(f"10.1.{number % 250}.1"))
    if isinstance(found, login.Refused):
        raise RuntimeError(f"the log-in was refused: {found.reason}")
    return perf_counter() - began


def isolation(control: Broker, beside: Broker) -> tuple[float, float]:
    """Return the median log-in in milliseconds at a broker of its own, and at one where many wait for a directory that hangs.

    The two take turns, since other work on the machine changes what a millisecond is worth.
    """
    hang = [login.attempt(beside, f"p{at}@dead.test", "x", Client(f"10.2.0.{at}")) for at in range(AT_ONCE * 2)]
    begun = [login.begin(beside, one) for one in hang]
    took: dict[str, list[float]] = {"control": [], "beside": []}
    for turn in range(ROUNDS):
        for name, broker in (("control", control), ("beside", beside)):
            took[name] += [_log_in(broker, turn) for _ in range(A_ROUND)]
    if any(one.outcome.done() for one in begun):
        raise RuntimeError("the directory that hangs has answered")
    return median(took["control"]) * 1000, median(took["beside"]) * 1000


def crowd(broker: Broker) -> tuple[float, int]:
    """Let all come at once to a directory that serves some at a time; returns the seconds of it all, and how many came in."""
    began = perf_counter()
    tries = [
        login.attempt(broker, "alice@alive.test", "Passw0rd-alice", Client(f"10.3.{at % 250}.1")) for at in range(CROWD)
    ]
    begun: list[login.Begun] = []
    for one in tries:
        begun.append(login.begin(broker, one))
    found = [one.outcome.result(120) for one in begun]
    return perf_counter() - began, sum(isinstance(one, login.LoggedIn) for one in found)


def report() -> str:
    """Measure everything and return the tables."""
    server = Slapd()
    server.start()
    try:
        hello = hello_ms()
        rows: list[list[object]] = []
        for what, settings in (
            ("groups off", {"groups": "off"}),
            ("nested groups, what groups are in remembered for a minute", {"groups": "nested"}),
            ("nested groups, read level by level each time", {"groups": "nested", "group_memory": 0}),
        ):
            spent = bind_ms(server, **settings)
            rows.append([f"search and bind, {what}", spent, spent / hello, GOAL])
        with silent() as port:
            broker = _broker(server, port)
            alone, beside = isolation(_broker(server, port), broker)
            seconds, came = crowd(broker)
        waits = [
            ["median log-in, ms", f"{alone:.1f}"], [f"… while {AT_ONCE * 2} wait for one that hangs, ms", f"{beside:.1f}"],
            [f"ratio (goal {ISOLATION})", f"{beside / alone:.2f}"], [f"{CROWD} at once, {AT_ONCE} at a time: came in", came],
            ["… seconds for all of them", f"{seconds:.1f}"],
        ]  # fmt: skip
    finally:
        server.wipe()
    title = "Finding somebody, trying the password, reading groups (OpenLDAP beside us, connections kept)"
    costs = table(title, ("what", "broker CPU ms", "hello-worlds", "goal"), rows)
    return f"{costs}\n{table('Log-ins beside a directory that hangs, and a crowd', ('what', 'measured'), waits)}\n"


if __name__ == "__main__":
    began = time.monotonic()
    print(report())
    print(f"{time.monotonic() - began:.0f} s, {threading.active_count()} threads at the end")
