"""What a restricted role is not told about the things that it handles: the names of others that they belong to as well."""

from collections.abc import Mapping
from typing import Any

from portico.domain.access import NARROWED_AREAS, Reach
from portico.domain.model import PoolRule
from portico.services.writing import Write, missing
from portico.store import tables as t
from portico.store.records import adapter


def narrowed(reach: Reach, noun: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item without what leads out of the reach."""
    shown = dict(item)
    if noun == "desktops":
        shown["pools"] = [pool for pool in shown["pools"] if pool["id"] in reach.pools]
        if shown["center_id"] not in reach.centers:
            shown |= {"center_id": "", "center_name": ""}
    return shown


def pool_beyond(write: Write) -> dict[str, str]:
    """Keep a pool within a restricted role's reach.

    Who writes the rule of a pool draws desktops in. Only below a pool in reach can that draw in no others.
    """
    reach, values = write.actor.reach, write.values
    if reach is None or values["parent_id"] in reach.pools:
        return {}
    if write.old is None or values["parent_id"] != write.old.body.get("parent_id"):
        return {"parent_id": "Your role is restricted. Choose one of your pools."}
    rule = adapter(PoolRule)
    if rule.validate_python(values["rule"]) != rule.validate_python(write.old.body.get("rule", {})):
        return {"rule": "Your role is restricted. Only whoever handles all pools decides which desktops this one has."}
    return {}


def restriction(write: Write) -> dict[str, str]:
    """Check what a role is restricted to, and that its console has no area to which that cannot apply."""
    values = write.values
    wrong = missing(write, t.pools, {f"pools.{i}": id for i, id in enumerate(values["pools"])}, "pool")
    wrong |= missing(write, t.centers, {f"centers.{i}": id for i, id in enumerate(values["centers"])}, "center")
    if not values["restricted"]:
        named = [name for name in ("pools", "centers") if values[name]]
        return wrong | dict.fromkeys(named, "Restrict the role as well, or name none.")
    for area in values["areas"]:
        if area not in NARROWED_AREAS:
            wrong[f"areas.{area}"] = f"A restricted role has no {area}: these are not of single pools or centers."
    return wrong
