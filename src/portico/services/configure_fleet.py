"""Desktops and gateways: what may be changed of them by hand."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from portico.domain import locations
from portico.domain.access import Actor, Level, may
from portico.domain.locations import Location
from portico.domain.model import Stage, Status
from portico.domain.seats import seats_to_change
from portico.errors import Denied
from portico.services.configure_people import naming_directories
from portico.services.noun_forms import DesktopForm
from portico.services.nouns import Noun
from portico.services.reach import is_origin
from portico.services.writing import Write, Writer, no_group, not_networks, unique
from portico.store import desktops, outbox
from portico.store import tables as t
from portico.store.records import adapter

MESSAGE_LIFE = timedelta(hours=1)


class Desktops(Writer):
    """Desktops. They come from scans and pools, so none is made here, and deleting one is a job of its own."""

    def form_values(self, conn: Connection, row: Any) -> dict[str, Any]:
        """Return the form."""
        values = {name: row._mapping[name] for name in DesktopForm.__slots__}
        return values | ({} if row.status in ("available", "unavailable") else {"status": "unavailable"})

    def check(self, write: Write) -> dict[str, str]:
        """Check what may not be changed in the desktop's present state."""
        wrong = {}
        if write.old.status == Status.DELETED or write.old.stage in (Stage.GONE, Stage.DELETING):
            wrong["status"] = "The desktop is being deleted. There is nothing left to change."
        if write.values["max_sessions"] < write.old.used_seats:
            wrong["max_sessions"] = f"{write.old.used_seats} people are at work. Give at least as many."
        return wrong

    def row(self, write: Write) -> dict[str, Any]:
        """Return the row's values."""
        values = dict(write.values)
        if write.old.status == Status.DUPLICATE and "status" not in write.ready:
            values["status"] = write.old.status
        return values

    def after(self, write: Write) -> dict[str, Any]:
        """Add or retire seats, and keep the offers' flags true."""
        wanted = write.values["max_sessions"]
        if wanted != write.old.max_sessions:
            _change_seats(write, wanted)
        desktops.refresh_free(write.conn, [write.id])
        return {}

    def show(self, conn: Connection, noun: Noun, rows: list[Any]) -> dict[Any, dict[str, Any]]:
        """Add the center's name, the pools and the people, in three statements."""
        ids = [row.id for row in rows]
        found: dict[Any, dict[str, Any]] = {id: {"pools": [], "users": []} for id in ids}
        named = select(t.centers.c.id, t.centers.c.name).where(t.centers.c.id.in_({row.center_id for row in rows}))
        centers = {row.id: row.name for row in conn.execute(named)}
        pools = select(t.pool_members.c.desktop_id, t.pools.c.id, t.pools.c.name).join(
            t.pools, t.pools.c.id == t.pool_members.c.pool_id
        )
        for row in conn.execute(pools.where(t.pool_members.c.desktop_id.in_(ids)).order_by(t.pools.c.name)):
            found[row.desktop_id]["pools"].append({"id": row.id, "name": row.name})
        held = select(
            t.assignments.c.desktop_id, t.assignments.c.id, t.users.c.id.label("user_id"), t.users.c.login_name
        ).join(t.users, t.users.c.id == t.assignments.c.user_id)
        for line in conn.execute(
            held.where(t.assignments.c.desktop_id.in_(ids), t.assignments.c.released_at.is_(None))
        ):
            found[line.desktop_id]["users"].append(
                {"id": line.user_id, "name": line.login_name, "assignment_id": line.id}
            )
        for row in rows:
            found[row.id]["center_name"] = centers.get(row.center_id, "")
        return found


class Gateways(Writer):
    """Gateways. One that serves all tenants is changed only by whoever handles the tenants."""

    def form_values(self, conn: Connection, row: Any) -> dict[str, Any]:
        """Return the form."""
        return {"name": row.name, "group_id": row.group_id, "draining": row.draining}

    def check(self, write: Write) -> dict[str, str]:
        """Check the name; raises Denied for a shared gateway."""
        _refuse_shared(write.actor, write.old.tenant_id)
        return unique(write, "name") | no_group(write, "group_id")

    def row(self, write: Write) -> dict[str, Any]:
        """Return the row's values."""
        return dict(write.values)

    def after(self, write: Write) -> dict[str, Any]:
        """Tell the gateway to drain, or to go on."""
        if write.old.draining != write.values["draining"]:
            now = write.broker.now()
            message = {"kind": "drain", "on": write.values["draining"]}
            outbox.put(write.conn, f"gateway:{write.id}", message, now, now + MESSAGE_LIFE)
        return {}

    def users(self, write: Write) -> list[str]:
        """Count the connections that it carries."""
        _refuse_shared(write.actor, write.old.tenant_id)
        carried = (
            select(func.count())
            .select_from(t.connections)
            .where(t.connections.c.gateway_id == write.id, t.connections.c.state == "open")
        )
        number = write.conn.scalar(carried) or 0
        return [f"{number} open connections (drain it first)"] if number else []

    def delete(self, write: Write) -> dict[str, Any]:
        """Forget the gateway: its credential is worth nothing from now on."""
        return {"deleted": write.conn.execute(t.gateways.delete().where(t.gateways.c.id == write.id)).rowcount}


def _change_seats(write: Write, wanted: int) -> None:
    seats, now = t.seats, write.broker.now()
    mine = seats.c.desktop_id == write.id
    add, retire = seats_to_change(write.old.free_seats, write.old.used_seats, wanted)
    free = list(
        write.conn.scalars(select(seats.c.id).where(mine, seats.c.assignment_id.is_(None), seats.c.retired.is_(False)))
    )
    retired = list(write.conn.scalars(select(seats.c.id).where(mine, seats.c.retired.is_(True)).limit(add or 1)))
    if retire:
        write.conn.execute(
            update(seats).where(seats.c.id.in_(free[-retire:]), seats.c.assignment_id.is_(None)).values(retired=True)
        )
    if add:
        back = retired[:add]
        if back:
            write.conn.execute(update(seats).where(seats.c.id.in_(back)).values(retired=False))
        top = write.conn.scalar(select(func.max(seats.c.ordinal)).where(mine))
        start = 0 if top is None else top + 1
        rows = [
            {"id": write.broker.new_id(), "tenant_id": write.old.tenant_id, "desktop_id": write.id, "ordinal": start + i,
             "assignment_id": None, "retired": False}
            for i in range(add - len(back))
        ]  # fmt: skip
        if rows:
            write.conn.execute(insert(seats), rows)
    desktops.change(write.conn, write.id, now, free_seats=t.desktops.c.free_seats + add - retire)


class Locations(Writer):
    """Locations, whose conditions are checked as a whole."""

    def check(self, write: Write) -> dict[str, str]:
        """Check the name, the conditions and the group."""
        values = {**write.values, "id": write.id, "tenant_id": write.actor.tenant_id}
        return (
            unique(write, "name")
            | locations.check(adapter(Location).validate_python(values))
            | no_group(write, "gateway_group_id")
        )

    def users(self, write: Write) -> list[str]:
        """Name the directories whose rules ask for it."""
        return naming_directories(write, "location_id")


class GatewayGroups(Writer):
    """Groups of gateways. They belong to the deployment: whoever handles the tenants writes them, all may name them."""

    def check(self, write: Write) -> dict[str, str]:
        """Check name, networks and the balancer's address; raises Denied."""
        _refuse_shared(write.actor, None)
        wrong = unique(write, "name") | not_networks("may_reach", write.values["may_reach"])
        if write.values["public_url"] and not is_origin(write.values["public_url"]):
            wrong["public_url"] = "Write it like https://desktops.example.com, without a path."
        return wrong

    def first(self, write: Write) -> dict[str, Any]:
        """Belong to no tenant."""
        return {"tenant_id": None}

    def users(self, write: Write) -> list[str]:
        """Name its gateways, and the plans that lead through it; raises Denied."""
        _refuse_shared(write.actor, None)
        members = select(t.gateways.c.name).where(t.gateways.c.group_id == write.id).order_by(t.gateways.c.name)
        plans = select(t.protocol_plans.c.name, t.protocol_plans.c.body).where(t.protocol_plans.c.deleted_at.is_(None))
        places = select(t.locations.c.name, t.locations.c.body).where(t.locations.c.deleted_at.is_(None))
        naming = [
            f"{what} {row.name}"
            for what, query in (("protocol plan", plans), ("location", places))
            for row in write.conn.execute(query)
            if row.body.get("gateway_group_id") == write.id
        ]
        return [*(f"gateway {name}" for name in write.conn.scalars(members)), *naming]

    def delete(self, write: Write) -> dict[str, Any]:
        """Delete it."""
        gone = t.gateway_groups.delete().where(t.gateway_groups.c.id == write.id)
        return {"deleted": write.conn.execute(gone).rowcount}


def _refuse_shared(actor: Actor, tenant_id: str | None) -> None:
    if tenant_id is None and not may(actor, "tenants", Level.EDIT):
        raise Denied("Gateways serve all tenants. Ask an administrator of the deployment.")


class Clients(Writer):
    """Devices, which come by themselves at the first log-in; forgotten, they come again."""

    def form_values(self, conn: Connection, row: Any) -> dict[str, Any]:
        """Return what can be changed."""
        return {"name": row.name, "notes": row.notes}

    def check(self, write: Write) -> dict[str, str]:
        """Any name will do: two devices may say the same of themselves."""
        return {} if write.values["name"].strip() else {"name": "Fill this in."}

    def row(self, write: Write) -> dict[str, Any]:
        """Return the columns."""
        return dict(write.values)

    def delete(self, write: Write) -> dict[str, Any]:
        """Forget it; sessions that were opened at it go on."""
        return {"deleted": write.conn.execute(t.clients.delete().where(t.clients.c.id == write.id)).rowcount}


class Recordings(Writer):
    """Recordings, which are only ever deleted; the file goes with the next sweep, or now."""

    def delete(self, write: Write) -> dict[str, Any]:
        """Delete the row; a recording whose session is open is sent by nobody any more."""
        gone = t.recordings.delete().where(t.recordings.c.id == write.id)
        return {"deleted": write.conn.execute(gone).rowcount}
