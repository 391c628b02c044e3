"""How far a new deployment is on its way from nothing to an open desktop."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, select

from portico.domain.access import Actor
from portico.services.broker import Broker
from portico.services.guards import require, scope_of
from portico.store import tables as t
from portico.store.scope import within


@dataclass(frozen=True, slots=True)
class Way:
    """Which steps are done (center, image, pool, offer, open), and what the next ones can begin with."""

    done: Mapping[str, bool]
    image_id: str | None  # the only image that there is
    pool_id: str | None  # a pool that no policy offers
    policy_id: str | None  # the default policy


def steps(broker: Broker, actor: Actor) -> Way:
    """Return how far the actor's tenant is: a fixed number of statements. Raises Denied."""
    require(actor, "desktops", narrowed=True)
    lines, policies = t.pool_assignments.c, t.policies.c
    with broker.db.read() as conn:
        images = _ids(conn, actor, t.images, t.images.c.deleted_at.is_(None))
        pools = _ids(conn, actor, t.pools, t.pools.c.deleted_at.is_(None))
        centers = _ids(conn, actor, t.centers, t.centers.c.deleted_at.is_(None))
        opened = _ids(conn, actor, t.assignments)
        default = conn.scalar(
            select(policies.id).where(
                policies.tenant_id == actor.tenant_id, policies.is_default, policies.deleted_at.is_(None)
            )
        )
        offered = set(
            conn.scalars(select(lines.pool_id).where(lines.tenant_id == actor.tenant_id, lines.deleted_at.is_(None)))
        )
    done = {
        "center": bool(centers), "image": bool(images), "pool": bool(pools), "offer": bool(offered & set(pools)),
        "open": bool(opened),
    }  # fmt: skip
    waiting = next((id for id in pools if id not in offered), None)
    return Way(done, images[0] if len(images) == 1 else None, waiting, default)


def _ids(conn: Connection, actor: Actor, table: Table, *conditions: ColumnElement[bool]) -> list[str]:
    return list(conn.scalars(select(table.c.id).where(within(scope_of(actor), table), *conditions).limit(50)))
