"""Which gateway leads a person to a desktop, and under which address they meet it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from portico.domain.model import Reason
from portico.wire.networks import may_reach, networks

FEWEST, ENTRANCE, ALL = "fewest", "entrance", "all"
BALANCES = (FEWEST, ENTRANCE, ALL)


@dataclass(frozen=True, slots=True)
class GatewayGroup:
    """Gateways that stand in for one another. It belongs to the deployment; a plan may name it."""

    id: str
    name: str
    balance: str = FEWEST  # fewest sessions | entrance: where the person came in | all: a balancer before them chooses
    public_url: str = ""  # of "all": where that balancer is; empty: the portal's own address
    may_reach: tuple[str, ...] = ()  # networks of desktops, CIDR; none: all
    version: int = 1


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is in service. `origin` is its own, empty where it is met under the portal's; `sessions` is its load."""

    id: str
    realm: str
    group_id: str | None
    origin: str
    sessions: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be reached, for whom: a desktop's address in its realm; the group that the plan names; the origin that the person came in by."""

    realm: str
    host: str
    group_id: str | None = None
    entrance: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """The gateway to go through: met under `origin` (empty: the portal's); `pinned`: no other one will do."""

    gateway: Gateway
    origin: str
    pinned: bool


def choose(gateways: Iterable[Gateway], groups: Mapping[str, GatewayGroup], wish: Wish) -> Path | Reason:
    """Return the path to a desktop, or why there is none: realm, group and reach decide who may, the group's balance who does."""
    here = [one for one in gateways if one.realm == wish.realm]
    if not here:
        return Reason("gateway.none")
    named = [one for one in here if wish.group_id is None or one.group_id == wish.group_id]
    if not named:
        group = groups.get(wish.group_id or "")
        return Reason("gateway.none_in_group", {"group": group.name if group else ""})
    able = [one for one in named if reaches(_group(groups, one), wish.host)]
    if not able:
        return Reason("gateway.none_reaches", {"address": wish.host})
    entered = [one for one in able if wish.entrance and one.origin == wish.entrance]
    near = [one for one in entered if _group(groups, one).balance == ENTRANCE]
    chosen = min(near or able, key=lambda one: (one.sessions, one.id))
    group = _group(groups, chosen)
    if group.balance == ALL:
        return Path(chosen, group.public_url, pinned=False)
    return Path(chosen, chosen.origin, pinned=bool(chosen.origin))


def reaches(group: GatewayGroup, host: str) -> bool:
    """Tell whether the gateways of a group may connect to an address."""
    return may_reach(host, networks(group.may_reach))


def _group(groups: Mapping[str, GatewayGroup], gateway: Gateway) -> GatewayGroup:
    return groups.get(gateway.group_id or "") or GatewayGroup("", "")
