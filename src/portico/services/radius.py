"""RADIUS servers as services use them: opened with their secret, asked through a gate of their own, checked on demand."""

from collections.abc import Iterable, Mapping
from typing import Any

from portico.domain.access import Actor, Level
from portico.domain.directories import LOCAL
from portico.domain.second_factors import RadiusServers
from portico.errors import DirectoryError, Invalid, NotFound, PorticoError
from portico.ports.second_factor import FactorContext, Finding
from portico.services.broker import Broker
from portico.services.gates import Gate
from portico.services.guards import require
from portico.services.sessions import SignedIn
from portico.store import radius as store
from portico.store.records import body_of

KIND = "radius"
PLACE = "radius_servers.sealed_secret:{}"
WIDTH = 64  # people of one entry that may be asked on their phones at a time; more wait in line


def gate_of(broker: Broker, servers: RadiusServers) -> Gate:
    """Return the gate before RADIUS servers. Raises DirectoryError when their settings cannot be used."""
    return broker.gates.find(
        servers.id, servers.version, lambda: Gate(_driver(broker, servers), WIDTH, f"RADIUS {servers.name}")
    )


def name_of(broker: Broker, servers: RadiusServers, me: SignedIn) -> str:
    """Return the name by which the servers are asked about somebody; the login name where there is no other."""
    user = me.user
    if servers.send_name == "email" and user.email:
        return user.email
    directory = None if user.directory == LOCAL else broker.snapshots.get().directories.get(user.directory)
    if servers.send_name == "with_domain" and directory is not None and directory.domains:
        return f"{user.login_name}@{directory.domains[0]}"
    return user.login_name


def check(broker: Broker, actor: Actor, servers_id: str) -> tuple[Finding, ...]:
    """Try each of the servers. Raises NotFound, Denied, DirectoryError."""
    require(actor, "directories", Level.VIEW)
    servers = broker.snapshots.get(fresh=True).radius_servers.get(servers_id)
    if servers is None or servers.tenant_id != actor.tenant_id:
        raise NotFound("There are no such RADIUS servers.")
    return _checked(broker, servers)


def check_all(broker: Broker) -> list[tuple[str, tuple[Finding, ...]]]:
    """Check the RADIUS servers of every tenant; trouble of one is a finding of its own."""
    found = []
    for servers in broker.snapshots.get(fresh=True).radius_servers.values():
        try:
            found.append((servers.name, _checked(broker, servers)))
        except PorticoError as problem:
            found.append((servers.name, (Finding("connection", "missing", problem.sentence, detail=problem.detail),)))
    return found


def _checked(broker: Broker, servers: RadiusServers) -> tuple[Finding, ...]:
    driver = _driver(broker, servers)
    try:
        found: tuple[Finding, ...] = driver.check()
        return found
    finally:
        driver.close()


def made(driver: Any, values: Mapping[str, Any], secret: str, egress_allow: Iterable[str]) -> Any:
    """Build the driver from what an administrator has said. Raises Invalid naming the field."""
    settings = driver.Settings(
        servers=tuple(values["servers"]), secret=secret, timeout=values["timeout_seconds"],
        nas_identifier=values["nas_identifier"], message_authenticator=values["message_authenticator"],
    )  # fmt: skip
    return driver(settings, FactorContext(tuple(egress_allow)))


def _driver(broker: Broker, servers: RadiusServers) -> Any:
    driver = broker.factor_drivers.get(KIND)
    with broker.db.aside() as conn:
        sealed = store.sealed_secret(conn, servers.id)
    if driver is None or not sealed:
        raise DirectoryError("The server that checks codes cannot be asked by this broker.")
    try:
        secret = broker.vault.open(PLACE.format(servers.id), sealed)
        return made(driver, body_of(servers), secret, broker.config.egress_allow)
    except Invalid as problem:
        raise DirectoryError(
            "The settings of the server that checks codes cannot be used.", problem.sentence
        ) from problem
