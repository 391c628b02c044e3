"""Assignments: the truth about who has which desktop. State changes are conditional UPDATEs on (state, epoch)."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from portico.domain.model import Assignment, AssignmentState, Desktop
from portico.domain.states import LIVE, USABLE
from portico.store import records
from portico.store.scope import Scope, within
from portico.store.tables import assignments, desktops

_LIVE = [str(state) for state in LIVE]
_USABLE = [str(state) for state in USABLE]


def get(conn: Connection, scope: Scope, assignment_id: str) -> Assignment | None:
    """Return an assignment."""
    row = get_row(conn, scope, assignment_id)
    return records.assignment(row) if row else None


def get_row(conn: Connection, scope: Scope, assignment_id: str) -> Row[Any] | None:
    """Return an assignment's row."""
    return conn.execute(
        select(assignments).where(within(scope, assignments), assignments.c.id == assignment_id)
    ).first()


def list_of_user(conn: Connection, scope: Scope, user_id: str) -> list[tuple[Assignment, Desktop]]:
    """Return a user's usable assignments with their desktops: one statement, by index."""
    query = _OF_USER.where(within(scope, assignments), assignments.c.user_id == user_id)
    return [
        (records.assignment(records.part(row, "a_")), records.desktop(records.part(row, "d_")))
        for row in conn.execute(query)
    ]


def count_of_user(conn: Connection, user_id: str) -> int:
    """Return how many desktops a user has."""
    mine = (assignments.c.user_id == user_id) & assignments.c.released_at.is_(None) & assignments.c.state.in_(_USABLE)
    return conn.scalar(select(func.count()).select_from(assignments).where(mine)) or 0


_OF_USER = (
    select(
        *[column.label(f"a_{column.name}") for column in assignments.c],
        *[column.label(f"d_{column.name}") for column in desktops.c],
    )
    .join(desktops, desktops.c.id == assignments.c.desktop_id)
    .where(assignments.c.released_at.is_(None), assignments.c.state.in_(_USABLE))
    .order_by(assignments.c.assigned_at)
)


def list_live_of_desktop(conn: Connection, desktop_id: str) -> list[Row[Any]]:
    """Return the rows of a desktop's live assignments, newest first."""
    query = (
        select(assignments)
        .where(
            assignments.c.desktop_id == desktop_id, assignments.c.released_at.is_(None), assignments.c.state.in_(_LIVE)
        )
        .order_by(assignments.c.assigned_at.desc())
    )
    return list(conn.execute(query))


def list_live_of_center(conn: Connection, center_id: str) -> list[Row[Any]]:
    """Return the rows of the live assignments of a center's desktops."""
    query = (
        select(assignments)
        .join(desktops, desktops.c.id == assignments.c.desktop_id)
        .where(desktops.c.center_id == center_id, assignments.c.released_at.is_(None), assignments.c.state.in_(_LIVE))
    )
    return list(conn.execute(query))


def find_claim(conn: Connection, claim_key: str) -> Assignment | None:
    """Return the live assignment that holds a claim."""
    row = conn.execute(select(assignments).where(assignments.c.claim_key == claim_key)).first()
    return records.assignment(row) if row else None


def add(conn: Connection, assignment: Assignment, ordinal: int, reason: Mapping[str, Any]) -> None:
    """Insert an assignment. Raises sqlalchemy's IntegrityError when its claim is held: the user's other click won."""
    conn.execute(
        insert(assignments).values(
            id=assignment.id,
            tenant_id=assignment.tenant_id,
            user_id=assignment.user_id,
            desktop_id=assignment.desktop_id,
            seat_id=assignment.seat_id,
            mode=assignment.mode,
            state=assignment.state,
            claim_key=assignment.claim_key,
            policy_id=assignment.policy_id,
            pool_id=assignment.pool_id,
            pool_assignment_id=assignment.pool_assignment_id,
            ordinal=ordinal,
            epoch=assignment.epoch,
            evidence=False,
            reason=dict(reason),
            assigned_at=assignment.assigned_at,
        )
    )


def move(conn: Connection, assignment: Assignment, after: AssignmentState, now: datetime, **values: Any) -> bool:
    """Move an assignment on, if it still is in the state and epoch that were read. The row count decides."""
    here = (
        (assignments.c.id == assignment.id)
        & (assignments.c.state == str(assignment.state))
        & (assignments.c.epoch == assignment.epoch)
    )
    values = {"state": str(after)} | _stamp(after, now) | values
    return conn.execute(update(assignments).where(here).values(values)).rowcount == 1


_STAMPS: Mapping[AssignmentState, str] = {
    AssignmentState.CONNECTED: "connected_at",
    AssignmentState.DISCONNECTED: "disconnected_at",
    AssignmentState.LOGGED_OUT: "logged_out_at",
    AssignmentState.RELEASED: "released_at",
}


def _stamp(state: AssignmentState, now: datetime) -> dict[str, Any]:
    return {_STAMPS[state]: now} if state in _STAMPS else {}


def note_evidence(conn: Connection, assignment_id: str) -> None:
    """Note positive evidence that the user's session on the desktop has ended."""
    conn.execute(update(assignments).where(assignments.c.id == assignment_id).values(evidence=True))


def has_epoch(
    conn: Connection, assignment_id: str, epoch: int, states: Collection[AssignmentState]
) -> Assignment | None:
    """Return the assignment if a timer that names this epoch may still act on it."""
    query = select(assignments).where(
        assignments.c.id == assignment_id,
        assignments.c.epoch == epoch,
        assignments.c.state.in_([str(state) for state in states]),
    )
    row = conn.execute(query).first()
    return records.assignment(row) if row else None
