"""Agents that know only their broker's address: which desktop one belongs to, and whether it may be admitted by itself.

What an agent says of itself is a claim. Evidence is the address that its request came from, which the cloud's port security
ties to one machine, or a join key that an administrator put into the image.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from portico.domain.model import Desktop, Reason, Stage, Status

_NOT_YET = (Stage.DELETING, Stage.GONE, Stage.FAILED)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a waiting agent says: its machine's UUID and addresses; `source` is where the request came from."""

    instance_id: str
    addresses: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A desktop whose machine has the claimed UUID. `agent_seen_at`: when its agent was last heard, None without one."""

    desktop: Desktop
    agent_seen_at: datetime | None
    expects_token: bool = False  # it was built with a one-time token that is neither used nor expired


@dataclass(frozen=True, slots=True)
class JoinKey:
    """A join key that is valid now: whose it is, and for which center (None: all of the tenant)."""

    id: str
    tenant_id: str
    center_id: str | None


@dataclass(frozen=True, slots=True)
class Admit:
    """The agent belongs to this desktop. `evidence`: "address" | "join key" | "administrator"."""

    desktop_id: str
    tenant_id: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Wait:
    """It stays waiting, and why; the desktop that it claims, where there is just one."""

    reason: Reason
    desktop: Desktop | None = None


def decide(claim: Claim, candidates: Sequence[Candidate], key: JoinKey | None, lost_before: datetime) -> Admit | Wait:
    """Return whether an agent is admitted without anybody's word. `lost_before`: who was last heard before it is lost."""
    if not claim.instance_id:
        return Wait(Reason("waiting.no_uuid"))
    found = [one for one in candidates if _is_there(one.desktop)]
    if not found:
        return Wait(Reason("waiting.no_machine", {"machine": claim.instance_id}))
    if len(found) > 1:
        return Wait(Reason("waiting.several", {"machine": claim.instance_id}))
    desktop = found[0].desktop
    seen_at = found[0].agent_seen_at
    if seen_at is not None and seen_at >= lost_before:
        return Wait(Reason("waiting.has_agent", {"desktop": desktop.name}), desktop)
    known = {_plain(address) for address in (desktop.address, desktop.public_address) if address}
    if _plain(claim.source) in known:
        return Admit(desktop.id, desktop.tenant_id, "address")
    # A key in an image is known to everybody who is root on one of its desktops: it admits where no agent has been, never
    # in place of one.
    opens = key is not None and key.tenant_id == desktop.tenant_id and key.center_id in (None, desktop.center_id)
    if opens and seen_at is None and not found[0].expects_token and known & {_plain(one) for one in claim.addresses}:
        return Admit(desktop.id, desktop.tenant_id, "join key")
    return Wait(Reason("waiting.address", {"desktop": desktop.name, "address": claim.source}), desktop)


def _is_there(desktop: Desktop) -> bool:
    return desktop.stage not in _NOT_YET and desktop.status not in (Status.DELETED, Status.DUPLICATE)


def _plain(address: str) -> str:
    """Return an address in one spelling, IPv4 in IPv6 as IPv4."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
