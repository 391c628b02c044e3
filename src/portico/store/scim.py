"""People and groups that a provider has provisioned in a directory."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, func, insert, select, update

from portico.store.tables import scim_groups, scim_members, scim_users


def add(conn: Connection, table: Table, **values: Any) -> None:
    """Insert a user or a group."""
    conn.execute(insert(table).values(**values))


def change(conn: Connection, table: Table, directory_id: str, id: str, **values: Any) -> bool:
    """Change a user or a group. False when it is not there."""
    here = (table.c.id == id) & (table.c.directory_id == directory_id)
    return conn.execute(update(table).where(here).values(**values)).rowcount == 1


def find(conn: Connection, table: Table, directory_id: str, id: str) -> Row[Any] | None:
    """Return a user or a group."""
    return conn.execute(select(table).where(table.c.id == id, table.c.directory_id == directory_id)).first()


def page(
    conn: Connection, table: Table, directory_id: str, where: tuple[str, str] | None, offset: int, limit: int
) -> tuple[list[Row[Any]], int]:
    """Return some of the users or groups, and how many there are."""
    query = select(table).where(table.c.directory_id == directory_id)
    if where is not None:
        query = query.where(table.c[where[0]] == where[1])
    total = conn.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = list(conn.execute(query.order_by(table.c.id).offset(offset).limit(limit))) if limit else []
    return rows, total


def remove(conn: Connection, table: Table, directory_id: str, id: str) -> bool:
    """Delete a user or a group with its memberships. False when it was not there."""
    member = scim_members.c.user_id if table is scim_users else scim_members.c.group_id
    row = find(conn, table, directory_id, id)
    if row is None:
        return False
    conn.execute(delete(scim_members).where(member == id))
    return conn.execute(delete(table).where(table.c.id == id)).rowcount == 1


def members(conn: Connection, group_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the members' ids of groups."""
    found: dict[str, list[str]] = {id: [] for id in group_ids}
    for row in conn.execute(select(scim_members).where(scim_members.c.group_id.in_(group_ids))):
        found[row.group_id].append(row.user_id)
    return found


def set_members(conn: Connection, directory_id: str, group_id: str, wanted: Iterable[str], now: datetime) -> None:
    """Let a group have just these members; who is not of the directory is left out."""
    ids = set(wanted)
    there = set(
        conn.scalars(select(scim_users.c.id).where(scim_users.c.directory_id == directory_id, scim_users.c.id.in_(ids)))
    )
    conn.execute(delete(scim_members).where(scim_members.c.group_id == group_id))
    if there:
        conn.execute(insert(scim_members), [{"group_id": group_id, "user_id": id} for id in sorted(there)])
    conn.execute(update(scim_groups).where(scim_groups.c.id == group_id).values(updated_at=now))


def person(conn: Connection, directory_id: str, user_name: str) -> tuple[Row[Any], list[str]] | None:
    """Return somebody by their folded name, and the names of their groups: one statement."""
    joined = (
        select(scim_users, scim_groups.c.display_name.label("group_name"))
        .outerjoin(scim_members, scim_members.c.user_id == scim_users.c.id)
        .outerjoin(scim_groups, scim_groups.c.id == scim_members.c.group_id)
        .where(scim_users.c.directory_id == directory_id, scim_users.c.user_name == user_name)
    )
    rows = list(conn.execute(joined))
    return (rows[0], [row.group_name for row in rows if row.group_name]) if rows else None
