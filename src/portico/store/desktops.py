"""Desktops and their seats. Every state change is a conditional UPDATE; membership's `free` flag follows in the same transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    CompoundSelect,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    union_all,
    update,
)

from portico.domain.model import Desktop, Stage, Status
from portico.store import records
from portico.store.scope import Scope, within
from portico.store.tables import agents, desktops, pool_members, seats

CANDIDATES = 50  # at most so many desktops of a pool reach a decision on a user's path
FAMILIAR = 5  # of those that the user had before


def get_row(conn: Connection, scope: Scope, desktop_id: str) -> Row[Any] | None:
    """Return a desktop's row, deleted ones included."""
    return conn.execute(select(desktops).where(within(scope, desktops), desktops.c.id == desktop_id)).first()


def get(conn: Connection, scope: Scope, desktop_id: str) -> Desktop | None:
    """Return a desktop."""
    row = get_row(conn, scope, desktop_id)
    return records.desktop(row) if row else None


def list_of_center(conn: Connection, center_id: str) -> list[Row[Any]]:
    """Return the rows of a center's desktops that are not gone for good."""
    query = select(desktops).where(desktops.c.center_id == center_id, desktops.c.deleted_at.is_(None))
    return list(conn.execute(query))


def list_preparing(conn: Connection, center_id: str) -> list[Row[Any]]:
    """Return the rows of a center's desktops that are built and wait for their agent, with when it enrolled: one statement."""
    here = (
        (desktops.c.center_id == center_id)
        & (desktops.c.stage == str(Stage.PREPARING))
        & desktops.c.deleted_at.is_(None)
    )
    joined = desktops.outerjoin(agents, agents.c.desktop_id == desktops.c.id)
    return list(conn.execute(select(desktops, agents.c.enrolled_at).select_from(joined).where(here)))


def list_of_machines(
    conn: Connection, center_id: str, external_ids: Sequence[str], desktop_ids: Sequence[str]
) -> list[Row[Any]]:
    """Return the rows of a center that machines belong to of which no living row was known a moment ago.

    Those are rows that have ended, by the machine's id or by its tag, and, by its tag, rows that came into being meanwhile.
    """
    found: dict[str, Row[Any]] = {}
    here = desktops.c.center_id == center_id
    ended = here & desktops.c.deleted_at.is_not(None)
    for column, condition, wanted in (
        (desktops.c.external_id, ended, external_ids),
        (desktops.c.id, here, desktop_ids),
    ):
        for start in range(0, len(wanted), 500):
            query = select(desktops).where(condition, column.in_(wanted[start : start + 500]))
            found |= {row.id: row for row in conn.execute(query)}
    return list(found.values())


def list_of_tags(conn: Connection, center_id: str, desktop_ids: Sequence[str]) -> tuple[list[Row[Any]], set[str]]:
    """Return the rows of these desktops wherever they are, ended ones included, and the machines of a center's living ones."""
    rows: list[Row[Any]] = []
    for start in range(0, len(desktop_ids), 500):
        rows += conn.execute(select(desktops).where(desktops.c.id.in_(desktop_ids[start : start + 500])))
    here = (desktops.c.center_id == center_id) & desktops.c.deleted_at.is_(None) & desktops.c.external_id.is_not(None)
    return rows, set(conn.scalars(select(desktops.c.external_id).where(here)))


def list_by_ids(conn: Connection, scope: Scope, desktop_ids: Sequence[str]) -> list[Desktop]:
    """Return some desktops."""
    found: list[Desktop] = []
    for start in range(0, len(desktop_ids), 500):
        some = desktop_ids[start : start + 500]
        query = select(desktops).where(within(scope, desktops), desktops.c.id.in_(some))
        found += [records.desktop(row) for row in conn.execute(query)]
    return found


def list_candidates(conn: Connection, pool_ids: Sequence[str], user_id: str) -> dict[str, list[Desktop]]:
    """Return at most 50 free desktops of each pool, and those that the user had before: one statement, each arm by index."""
    if not pool_ids:
        return {}
    wanted = {f"pool_{number}": pool_id for number, pool_id in enumerate(pool_ids)}
    found: dict[str, dict[str, Desktop]] = {pool_id: {} for pool_id in pool_ids}
    for pool_id, *values in conn.execute(_candidates(len(pool_ids)), wanted | {"user": user_id}):
        desktop = records.desktop_of(values)
        found[pool_id][desktop.id] = desktop
    return {pool_id: list(by_id.values()) for pool_id, by_id in found.items()}


@lru_cache(maxsize=64)
def _candidates(pools: int) -> CompoundSelect[Any]:
    """Build the statement for so many pools; kept, for building it costs as much as running it."""
    arms: list[Select[Any]] = []
    joined = select(pool_members.c.pool_id, *records.DESKTOP_COLUMNS).join(
        desktops, desktops.c.id == pool_members.c.desktop_id
    )
    for number in range(pools):
        free = and_(pool_members.c.pool_id == bindparam(f"pool_{number}"), pool_members.c.free.is_(True))
        any_free = joined.where(free).order_by(pool_members.c.desktop_id).limit(CANDIDATES).subquery()
        familiar = joined.where(free, desktops.c.last_user_id == bindparam("user")).limit(FAMILIAR).subquery()
        arms += [select(any_free), select(familiar)]
    return union_all(*arms)


def add(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert desktops (values by column name; the rest takes its beginning) together with their free seats."""
    if not rows:
        return
    conn.execute(insert(desktops), [_BEGINNING | row | {"free_seats": row.get("max_sessions", 1)} for row in rows])
    conn.execute(
        insert(seats),
        [
            {
                "id": str(uuid4()),
                "tenant_id": row["tenant_id"],
                "desktop_id": row["id"],
                "ordinal": ordinal,
                "assignment_id": None,
                "retired": False,
            }
            for row in rows
            for ordinal in range(row.get("max_sessions", 1))
        ],
    )


_BEGINNING: dict[str, Any] = {
    "external_id": None, "display_name": "", "notes": "", "status": Status.AVAILABLE, "power": "unknown",
    "agent": "not installed", "session": "none", "stage": Stage.READY, "stage_reason": "", "image_id": None, "os_family": "",
    "address": None, "public_address": None, "realm": "", "protocols": {}, "ssh_host_keys": [], "login_user": "", "tags": {},
    "deletable": False, "start_unavailable": False, "maintenance": False, "max_sessions": 1, "used_seats": 0,
    "built_for_pool": None, "spec": None, "deadline_at": None, "missing_passes": 0, "epoch": 0, "last_user_id": None,
    "last_offered_at": None, "deleted_at": None,
}  # fmt: skip


def change(conn: Connection, desktop_id: str, now: datetime, **values: Any) -> bool:
    """Change columns of a desktop and keep its `free` flags true. False when there is no such desktop."""
    changed = conn.execute(
        update(desktops).where(desktops.c.id == desktop_id).values(updated_at=now, **values)
    ).rowcount
    refresh_free(conn, [desktop_id])
    return changed == 1


def move_stage(
    conn: Connection, desktop_id: str, before: Collection[Stage], after: Stage, now: datetime, **values: Any
) -> bool:
    """Move a desktop to another stage, if it is still in one of `before`. The rowcount decides who was first."""
    here = (desktops.c.id == desktop_id) & desktops.c.stage.in_([str(stage) for stage in before])
    values = {"stage": str(after), "stage_at": now, "updated_at": now} | values
    if conn.execute(update(desktops).where(here).values(values)).rowcount != 1:
        return False
    refresh_free(conn, [desktop_id])
    return True


def count_creating(conn: Connection, center_id: str, now: datetime) -> int:
    """Return how many create calls of a center run: asked for, not answered, and not given up yet."""
    here = (
        (desktops.c.center_id == center_id) & (desktops.c.stage == str(Stage.CREATING)) & (desktops.c.deadline_at > now)
    )
    return int(conn.scalar(select(func.count()).select_from(desktops).where(here)) or 0)


def go_to_step(conn: Connection, desktop_id: str, step: int, at: datetime, deadline: datetime) -> bool:
    """Move a built desktop on to a step, due `at`; its epoch (step + 1) says how far it is, and the rowcount who moved it."""
    stages = (str(Stage.BUILDING), str(Stage.PREPARING))
    here = (desktops.c.id == desktop_id) & desktops.c.stage.in_(stages) & (desktops.c.epoch == step)
    values = {"stage": str(Stage.PREPARING), "stage_at": at, "deadline_at": deadline, "epoch": step + 1}
    return conn.execute(update(desktops).where(here).values(values)).rowcount == 1


def retire(conn: Connection, desktop_id: str, now: datetime) -> bool:
    """Move a desktop that nobody has to `deleting`. Who takes its seat at this moment and this UPDATE cannot both win.

    Its deadline stays only where a create was asked for and not answered.
    """
    stages = ("intent", "creating", "building", "preparing", "ready")
    spare = and_(
        desktops.c.id == desktop_id, desktops.c.stage.in_(stages), desktops.c.used_seats == 0, desktops.c.session == "none",
        desktops.c.maintenance.is_(False), desktops.c.deletable.is_(True),
    )  # fmt: skip
    deadline = case((desktops.c.stage == str(Stage.CREATING), desktops.c.deadline_at), else_=None)
    values = {"stage": str(Stage.DELETING), "status": str(Status.UNAVAILABLE), "deadline_at": deadline}
    moved = conn.execute(update(desktops).where(spare).values(stage_at=now, updated_at=now, **values)).rowcount == 1
    if moved:
        refresh_free(conn, [desktop_id])
    return moved


def refresh_free(conn: Connection, desktop_ids: Sequence[str]) -> None:
    """Write anew, for these desktops, whether an offer may be made from them."""
    offerable = exists(select(1).where(desktops.c.id == pool_members.c.desktop_id, OFFERABLE))
    free = case((offerable, True), else_=False)
    conn.execute(update(pool_members).where(pool_members.c.desktop_id.in_(desktop_ids)).values(free=free))


OFFERABLE = and_(
    desktops.c.status == str(Status.AVAILABLE),
    desktops.c.stage == str(Stage.READY),
    desktops.c.maintenance.is_(False),
    desktops.c.free_seats > 0,
    desktops.c.deleted_at.is_(None),
)


def take_seat(conn: Connection, desktop_id: str, assignment_id: str, user_id: str, now: datetime) -> str | None:
    """Take a free seat of a desktop that may be offered, for an assignment. Returns the seat's id, None when all are taken."""
    taken = conn.execute(
        update(desktops)
        .where(desktops.c.id == desktop_id, OFFERABLE)
        .values(
            free_seats=desktops.c.free_seats - 1,
            used_seats=desktops.c.used_seats + 1,
            last_user_id=user_id,
            last_offered_at=now,
            epoch=desktops.c.epoch + 1,
            updated_at=now,
        )
    ).rowcount
    if taken != 1:
        return None
    free = and_(seats.c.desktop_id == desktop_id, seats.c.assignment_id.is_(None), seats.c.retired.is_(False))
    for row in conn.execute(select(seats.c.id).where(free).order_by(seats.c.ordinal)).all():
        mine = (
            update(seats)
            .where(seats.c.id == row.id, seats.c.assignment_id.is_(None))
            .values(assignment_id=assignment_id)
        )
        if conn.execute(mine).rowcount == 1:
            refresh_free(conn, [desktop_id])
            return str(row.id)
    raise RuntimeError(f"desktop {desktop_id} counts a free seat that it does not have")


def raise_epoch(conn: Connection, desktop_id: str) -> None:
    """Begin a new chapter of a desktop's use: power actions that were ordered under the last one have lost their sense."""
    conn.execute(update(desktops).where(desktops.c.id == desktop_id).values(epoch=desktops.c.epoch + 1))


def free_seat(conn: Connection, desktop_id: str, assignment_id: str, now: datetime) -> bool:
    """Give back the seat of an assignment. False when it was given back before."""
    held = (seats.c.desktop_id == desktop_id) & (seats.c.assignment_id == assignment_id)
    if conn.execute(update(seats).where(held).values(assignment_id=None)).rowcount != 1:
        return False
    change(conn, desktop_id, now, free_seats=desktops.c.free_seats + 1, used_seats=desktops.c.used_seats - 1)
    return True


def end_center(conn: Connection, center_id: str, now: datetime) -> int:
    """Mark a center's desktops deleted and take them out of the pools; returns how many.

    Their stage stays, which tells them from desktops whose machines are gone, and `start_unavailable` keeps their status.
    """
    theirs = (desktops.c.center_id == center_id) & desktops.c.deleted_at.is_(None)
    ids = select(desktops.c.id).where(desktops.c.center_id == center_id)
    waits = case((desktops.c.status == str(Status.AVAILABLE), False), else_=True)
    values = {"status": str(Status.DELETED), "start_unavailable": waits, "deleted_at": now, "updated_at": now}
    ended = conn.execute(update(desktops).where(theirs).values(values)).rowcount
    conn.execute(delete(pool_members).where(pool_members.c.desktop_id.in_(ids)))
    return ended


def restore_center(conn: Connection, center_id: str, now: datetime) -> int:
    """Undo `end_center`; returns how many desktops came back."""
    theirs = (
        (desktops.c.center_id == center_id)
        & (desktops.c.status == str(Status.DELETED))
        & (desktops.c.stage != str(Stage.GONE))
    )
    status = case((desktops.c.start_unavailable.is_(True), str(Status.UNAVAILABLE)), else_=str(Status.AVAILABLE))
    values = {"status": status, "deleted_at": None, "updated_at": now}
    return conn.execute(update(desktops).where(theirs).values(values)).rowcount


def list_of_pool(conn: Connection, pool_id: str) -> list[Desktop]:
    """Return what counts for a pool: its members and what was built for it, unless deleted."""
    member = exists(select(1).where(pool_members.c.pool_id == pool_id, pool_members.c.desktop_id == desktops.c.id))
    query = select(desktops).where(desktops.c.deleted_at.is_(None), or_(member, desktops.c.built_for_pool == pool_id))
    return [records.desktop(row) for row in conn.execute(query)]


def mark_agent_lost(conn: Connection, desktop_id: str, now: datetime) -> int:
    """Mark a desktop's agent unreachable, unless it is known to be so; returns how many rows changed."""
    running = (desktops.c.id == desktop_id) & (desktops.c.agent == "running") & desktops.c.deleted_at.is_(None)
    return conn.execute(update(desktops).where(running).values(agent="unreachable", updated_at=now)).rowcount
