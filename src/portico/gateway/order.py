"""What a broker asks to be forwarded (wire.gateway, FORWARD), read and checked. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from portico.gateway.moments import unix_seconds

SAME, FILTERED, OPEN = "same_port", "random_filtered", "random_open"
MODES = (SAME, FILTERED, OPEN)
MAX_TARGETS = 8


class BadOrder(Exception):
    """The order cannot be read. Names the field."""


@dataclass(frozen=True, slots=True)
class Order:
    """One way to a desktop: for whom, whereto, on which of our ports, until when."""

    connection: str
    client: str  # the address that may come in; in mode OPEN the first that does
    host: str
    realm: str
    mode: str
    targets: tuple[tuple[str, int], ...]  # transport, port of the desktop
    fixed: bool  # the client can use no port but the desktop's
    ports: tuple[
        int, ...
    ]  # the ports that it had before we were started anew, in the order of the numbers of `targets`
    idle_seconds: int | None
    expires_at: float | None  # Unix seconds

    @property
    def numbers(self) -> tuple[int, ...]:
        """The desktop's port numbers, each once."""
        return tuple(dict.fromkeys(port for _, port in self.targets))


def parse_order(fields: Mapping[str, Any]) -> Order:
    """Read a FORWARD. Raises BadOrder."""
    mode = _text(fields, "mode")
    if mode not in MODES:
        raise BadOrder("mode")
    client = _address(fields, "client")
    targets = fields.get("targets")
    if not isinstance(targets, list) or not 0 < len(targets) <= MAX_TARGETS:
        raise BadOrder("targets")
    order = Order(
        connection=_text(fields, "connection"),
        client=client,
        host=_text(fields, "host"),
        realm=_text(fields, "realm", empty=True),
        mode=mode,
        targets=tuple(_target(item) for item in targets),
        fixed=fields.get("fixed") is True,
        ports=_ports(fields.get("ports") or []),
        idle_seconds=_seconds(fields.get("idle_seconds")),
        expires_at=_moment(fields.get("expires_at")),
    )
    if order.ports and len(order.ports) != len(order.numbers):
        raise BadOrder("ports")
    return order


def _text(fields: Mapping[str, Any], name: str, *, empty: bool = False) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > 200 or not (value or empty):
        raise BadOrder(name)
    return value


def _address(fields: Mapping[str, Any], name: str) -> str:
    try:
        return str(ip_address(_text(fields, name)))
    except ValueError as problem:
        raise BadOrder(name) from problem


def _target(item: object) -> tuple[str, int]:
    if not isinstance(item, list) or len(item) != 2 or item[0] not in ("tcp", "udp") or not _is_port(item[1]):
        raise BadOrder("targets")
    return str(item[0]), int(item[1])


def _ports(items: object) -> tuple[int, ...]:
    if not isinstance(items, list) or len(items) > MAX_TARGETS or not all(_is_port(item) for item in items):
        raise BadOrder("ports")
    return tuple(items)


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _seconds(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadOrder("idle_seconds")
    return value


def _moment(value: object) -> float | None:
    try:
        return unix_seconds(value)
    except ValueError as problem:
        raise BadOrder("expires_at") from problem
