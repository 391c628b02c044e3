"""Tenants, and at which door people of each come in. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer of the deployment. `path` and `hosts` lead to a log-in page of its own: /t/acme, desktops.acme.example."""

    id: str
    name: str
    path: str = ""
    hosts: tuple[str, ...] = ()


def at_door(tenants: Iterable[Tenant], host: str, path: str = "") -> Tenant | None:
    """Return whose log-in page stands at a host name (without port) or below /t/; None for the common one."""
    wanted = host.casefold()
    for tenant in tenants:
        if path and tenant.path.casefold() == path.casefold():
            return tenant
        if not path and wanted in (name.casefold() for name in tenant.hosts):
            return tenant
    return None
