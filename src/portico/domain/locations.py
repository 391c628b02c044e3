"""Locations: ordered, named sets of clients, and the way from there to desktops. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from portico.domain import rules
from portico.domain.model import Client, Rule

# The first that a user agent names, of those that name another one as well before those that do not.
SYSTEMS = (
    ("Android", "android"), ("CrOS", "chromeos"), ("iPhone", "ios"), ("iPad", "ios"), ("Windows", "windows"), ("Macintosh", "macos"),
    ("Linux", "linux"),
)  # fmt: skip
ATTRIBUTES: Mapping[str, Callable[[Client], tuple[str, ...]]] = {
    "address": lambda client: (client.address,),
    "kind": lambda client: (client.kind,),
    "os": lambda client: (system_of(client),),
    "os_version": lambda client: (client.os_version,),
    "maker": lambda client: (client.maker,),
    "model": lambda client: (client.model,),
    "mac": lambda client: client.macs,
    "software": lambda client: (client.software,),
    "name": lambda client: (client.name,),
    "user_agent": lambda client: (client.user_agent,),
    "entrance": lambda client: (client.entrance,),
}
ADDRESSES = frozenset({"address"})


@dataclass(frozen=True, slots=True)
class Location:
    """Where clients are that meet the conditions. `gateway_group_id`: they are led through that group; `direct`: clients of a device need no gateway."""

    id: str
    tenant_id: str
    name: str
    position: int = 100  # lower ones are looked at first
    join: str = "and"  # whether all conditions must hold, or any one
    conditions: tuple[Rule, ...] = ()  # none: every client
    gateway_group_id: str | None = None
    direct: bool = False
    version: int = 1


def locate(client: Client, locations: Iterable[Location]) -> Location | None:
    """Return the first location whose conditions a client meets, None for a client that is nowhere in particular."""
    ordered = sorted(locations, key=lambda one: (one.position, one.name.casefold(), one.id))
    return next((location for location in ordered if holds(client, location)), None)


def holds(client: Client, location: Location) -> bool:
    """Tell whether a client is at a location; a broken condition holds for nobody."""
    tests = [rules.compile_line(line, ATTRIBUTES, ADDRESSES) for line in location.conditions]
    join = any if location.join == "or" else all
    return not tests or join(test(client) for test in tests)


def check(location: Location) -> dict[str, str]:
    """Return what is wrong with a location: field path → sentence."""
    found = rules.check(location.join, location.conditions, ATTRIBUTES, ADDRESSES)
    return {path if path == "join" else f"conditions.{path}".rstrip("."): text for path, text in found.items()}


def system_of(client: Client) -> str:
    """Return the system of a client's device: what it says itself, or what its browser lets guess."""
    return client.os or next((system for mark, system in SYSTEMS if mark in client.user_agent), "")
