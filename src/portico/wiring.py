"""Builds the broker from its configuration by hand; the only module that sees everything."""

import fcntl
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import uvicorn

from portico import __version__, logs
from portico.config import Config
from portico.errors import Conflict
from portico.jobs.runner import Runner
from portico.services import centers, directories, gateways, hooks, radius, rotation, settling, setup
from portico.services.broker import Broker
from portico.services.centers import Checked
from portico.services.gates import Gates
from portico.services.keys import KeyRing
from portico.services.passwords import Hasher
from portico.services.setup import FirstRun
from portico.services.snapshot import SnapshotHolder
from portico.store import fleet, migrate
from portico.store.engine import Database
from portico.store.vault import Vault
from portico.web.app import create_app

log = logs.get(__name__)


def new_id() -> str:
    """Return a UUID of version 7 (RFC 9562, section 5.7): ids sort by time, so that indexes stay compact."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    value = milliseconds << 80 | 7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & ((1 << 62) - 1)
    return str(UUID(int=value))


def drivers(group: str) -> dict[str, Any]:
    """Load the drivers of an entry point group: name → class."""
    return {point.name: point.load() for point in entry_points(group=group)}


def build(config: Config, db: Database) -> Broker:
    """Build a broker on an open, migrated database."""
    db.learn_time()
    now = db.now()
    vault = Vault(config.state / "keys")
    return Broker(
        id=new_id(),
        config=config,
        db=db,
        vault=vault,
        keys=KeyRing(db, vault, now),
        cloud_drivers=drivers("portico.clouds"),
        directory_drivers=drivers("portico.directories"),
        factor_drivers=drivers("portico.factors"),
        displays={name: display() for name, display in drivers("portico.displays").items()},
        hasher=Hasher(),
        gates=Gates(),
        snapshots=SnapshotHolder(db),
        deployment_id=setup.deployment_id(db, new_id(), now),
        now=db.now,
        new_id=new_id,
    )


def run_broker(config: Config) -> int:
    """Run a broker until it is told to stop: migrations, first run, jobs, HTTPS."""
    logs.configure(config.log_format, config.log_level)
    config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    db = Database(config.database_url)
    try:
        with only_broker(config.state) if db.is_sqlite else nullcontext():
            return _serve(config, db)
    finally:
        db.dispose()


def _serve(config: Config, db: Database) -> int:
    migrate.upgrade(db)
    hooks.register()
    broker = build(config, db)
    settling.begin(broker)
    with db.write() as conn:
        fleet.add_broker(conn, broker.id, socket.gethostname(), __version__, broker.now())
    founded = setup.first_run(broker)
    if founded is not None:
        _show(broker, founded)
    certificate, key = _certificate(broker, "broker", config.listen)
    _certificate(broker, "front", config.front_listen)
    # uvicorn sends itself the signal again when it has shut down; without a handler that would be the end, here and now.
    signal.signal(signal.SIGTERM, _leave)
    runner = Runner(broker)
    runner.start(alone=db.is_sqlite)
    host, _, port = config.listen.rpartition(":")
    log.info("broker listens", address=config.listen, database=db.url.get_backend_name(), broker=broker.id)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(broker), host=host, port=int(port), ssl_certfile=str(certificate), ssl_keyfile=str(key),
            log_config=None, access_log=False, server_header=False, proxy_headers=False, timeout_graceful_shutdown=5,
        )
    )  # fmt: skip
    try:
        server.run()
    finally:
        runner.stop()
        with db.write() as conn:
            fleet.stop_broker(conn, broker.id, broker.now())
    return 0


def _leave(_signal: int, _frame: object) -> None:
    raise SystemExit(0)


@contextmanager
def only_broker(state: Path) -> Iterator[None]:
    """Hold the lock that says: on SQLite there is one broker. Raises Conflict when another holds it."""
    handle = os.open(state / "broker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        os.close(handle)
        raise Conflict(
            "Another broker uses this SQLite database. Two brokers need PostgreSQL or SQL Server."
        ) from problem
    try:
        yield
    finally:
        os.close(handle)


def _show(broker: Broker, founded: FirstRun) -> None:
    """Show the generated password once: in a file that only the owner reads, and on the terminal of who started us."""
    path = broker.config.state / "first-run.json"
    content = {
        "administrator": {"login": founded.login, "password": founded.password},
        "ca_fingerprint": broker.keys.ca_fingerprint,
        "gateway_token": gateways.issue_token(broker),
    }
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(content, file)
    if sys.stderr.isatty():
        print(f"\n  First start. Log in as {founded.login} with the password {founded.password}\n", file=sys.stderr)  # noqa: T201
    log.info("first start: the administrator's password is in a file", file=str(path))


def _certificate(broker: Broker, role: str, listen: str) -> tuple[Path, Path]:
    """Return the files of a server certificate of the deployment's CA, made anew when half a year old or for a new name."""
    directory = broker.config.state / role
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate, key, names_file = directory / "cert.pem", directory / "key.pem", directory / "names"
    public = urlsplit(broker.config.public_url).hostname or "localhost"
    names = tuple(dict.fromkeys((public, listen.rpartition(":")[0].strip("[]"), "localhost", "127.0.0.1")))
    fresh = names_file.exists() and names_file.read_text() == "\n".join(names)
    if not fresh or time.time() - certificate.stat().st_mtime > 180 * 86400:
        pem, secret = broker.keys.issue(role, names, broker.now())
        key.touch(mode=0o600)
        key.write_text(secret)
        certificate.write_text(pem + broker.keys.ca_pem)
        names_file.write_text("\n".join(names))
    return certificate, key


def check_all(config: Config) -> list[Checked]:
    """Check every center and directory of the deployment, for `portico doctor`. Nothing is migrated: an old schema has nothing to tell."""
    db = Database(config.database_url)
    try:
        if migrate.pending(db):
            return []
        broker = build(config, db)
        asked = [Checked(f"directory {name}", findings) for name, findings in directories.check_all(broker)]
        asked += [Checked(f"RADIUS {name}", findings) for name, findings in radius.check_all(broker)]
        return [*centers.check_all(broker), *asked]
    finally:
        db.dispose()


def db_command(config: Config, verb: str) -> int:
    """Do `portico db upgrade`, `check` or `rotate`; returns the exit status."""
    logs.configure(config.log_format, config.log_level)
    db = Database(config.database_url)
    try:
        if verb == "upgrade":
            migrate.upgrade(db)
        missing = migrate.pending(db)
        if verb == "rotate" and not missing:
            key, number = rotation.rotate(build(config, db))
            print(f"The vault seals with key {key} from now on; {number} values were sealed anew.")  # noqa: T201
    finally:
        db.dispose()  # which also brings a SQLite file up to date with its log
    print("The schema is current." if not missing else f"Migrations to apply: {', '.join(missing)}")  # noqa: T201
    return 1 if missing else 0
