"""Directories as services use them: opened with their secrets, asked through their gates."""

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from portico.domain.access import Actor, Level
from portico.domain.directories import LOCAL, DirectoryRecord
from portico.errors import DirectoryError, NotFound
from portico.ports.directory import DirectoryContext, Finding
from portico.services import driver_settings
from portico.services.broker import Broker
from portico.services.driver_settings import KindInfo
from portico.services.gates import Gate
from portico.services.guards import require
from portico.store import directories as store
from portico.store.records import adapter

T = TypeVar("T")

ANSWER_SECONDS = 15.0
PLACE = "directories.sealed_secrets:{}"
DESCRIPTION_PATH = "/login/saml/{}/metadata"


def kinds(broker: Broker) -> list[KindInfo]:
    """Return the kinds of directories that this broker has drivers for."""
    return driver_settings.kinds(broker.directory_drivers)


def by_redirect(broker: Broker, directory: DirectoryRecord) -> bool:
    """Tell whether people are sent there by their browser, so that it is never shown a name or a password by us."""
    return bool(getattr(broker.directory_drivers.get(directory.kind), "by_redirect", False))


def changes_passwords(broker: Broker, directory_id: str) -> bool:
    """Tell whether people of a directory, or local ones, change their password by the portal."""
    if directory_id == LOCAL:
        return True
    directory = broker.snapshots.get().directories.get(directory_id)
    driver = broker.directory_drivers.get(directory.kind) if directory is not None else None
    return bool(getattr(driver, "changes_passwords", False))


def own_url(broker: Broker, directory_id: str) -> str:
    """Return the address by which a provider knows a directory of ours: what we say of ourselves is found there."""
    return broker.config.public_url.rstrip("/") + DESCRIPTION_PATH.format(directory_id)


def gate_of(broker: Broker, directory: DirectoryRecord) -> Gate:
    """Return the gate before a directory. Raises DirectoryError when its kind or its settings cannot be used."""
    return broker.gates.find(
        directory.id, directory.version, lambda: Gate(_driver(broker, directory), directory.connections, directory.name)
    )


def answer_of(running: "Future[T]", seconds: float = ANSWER_SECONDS) -> T:
    """Wait for a directory's answer in a thread that others need too, so not for long. Raises DirectoryError.

    What still stands in the line then is not begun any more.
    """
    try:
        return running.result(seconds)
    except FutureTimeout as problem:
        running.cancel()
        raise DirectoryError("This directory does not answer in time. Try again.") from problem


def check(broker: Broker, actor: Actor, directory_id: str) -> tuple[Finding, ...]:
    """Try what log-ins need, step by step, on connections of its own. Raises NotFound, Denied, DirectoryError."""
    require(actor, "directories", Level.VIEW)
    directory = broker.snapshots.get(fresh=True).directories.get(directory_id)
    if directory is None or directory.tenant_id != actor.tenant_id:
        raise NotFound("There is no such directory.")
    return _checked(broker, directory)


def check_all(broker: Broker) -> list[tuple[str, tuple[Finding, ...]]]:
    """Check every active directory of every tenant, one after the other; trouble of one is a finding of its own."""
    found = []
    for directory in broker.snapshots.get(fresh=True).directories.values():
        if not directory.active:
            continue
        try:
            found.append((directory.name, _checked(broker, directory)))
        except DirectoryError as problem:
            found.append((directory.name, (Finding("connection", "missing", problem.sentence, detail=problem.detail),)))
    return found


def _checked(broker: Broker, directory: DirectoryRecord) -> tuple[Finding, ...]:
    driver = _driver(broker, directory)
    try:
        found: tuple[Finding, ...] = driver.check()
        return found
    finally:
        driver.close()


def _driver(broker: Broker, directory: DirectoryRecord) -> Any:
    driver = broker.directory_drivers.get(directory.kind)
    if driver is None:
        raise DirectoryError(f"This broker has no driver for directories of the kind “{directory.kind}”.")
    with broker.db.aside() as conn:
        sealed = store.sealed_secrets(conn, directory.id)
    secrets = driver_settings.opened(broker, PLACE.format(directory.id), sealed)
    try:
        settings = adapter(driver.Settings).validate_python({**directory.settings, **secrets})
        return driver(settings, DirectoryContext(broker.config.egress_allow, own_url(broker, directory.id)))
    except ValueError as problem:
        raise DirectoryError(
            f"The settings of the directory “{directory.name}” cannot be used.", type(problem).__name__
        ) from problem
