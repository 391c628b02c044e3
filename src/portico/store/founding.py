"""The rows that a deployment begins with."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.store.tables import metadata, settings, tenants, users, versions

SYSTEM = "system"


def keep_setting(conn: Connection, name: str, fresh: Any, now: datetime) -> Any:
    """Return a setting of the deployment, kept as `fresh` when there was none."""
    query = select(settings.c.value).where(settings.c.scope == SYSTEM, settings.c.name == name)
    found = conn.execute(query).first()
    if found is not None:
        return found.value
    try:
        with conn.begin_nested():
            values = {"scope": SYSTEM, "name": name, "value": fresh, "updated_at": now}
            conn.execute(insert(settings).values(values))
    except IntegrityError:  # another broker was quicker
        return conn.execute(query).scalar_one()
    return fresh


def is_founded(conn: Connection) -> bool:
    """Tell whether there is a tenant."""
    return conn.execute(select(tenants.c.id).limit(1)).first() is not None


def add_tenant(conn: Connection, tenant_id: str, name: str, now: datetime) -> str:
    """Insert a tenant and the version number of the configuration; its unique name lets one broker do it."""
    conn.execute(insert(tenants).values(id=tenant_id, name=name, created_at=now))
    if conn.execute(select(versions.c.name)).first() is None:
        conn.execute(insert(versions).values(name="configuration", number=1))
    return tenant_id


def list_tenants(conn: Connection) -> list[str]:
    """Return the ids of all tenants."""
    return list(conn.scalars(select(tenants.c.id).order_by(tenants.c.id)))


def tenant_name(conn: Connection, tenant_id: str) -> str:
    """Return a tenant's name."""
    return str(conn.scalar(select(tenants.c.name).where(tenants.c.id == tenant_id)) or "")


def add_configuration(conn: Connection, table: str, row: dict[str, Any]) -> None:
    """Insert a configuration row."""
    conn.execute(insert(metadata.tables[table]).values(row))


def add_user(conn: Connection, *, now: datetime, **values: Any) -> None:
    """Insert a local user."""
    beginning = {
        "directory": "local", "email": "", "must_change_password": False, "disabled": False, "policy_id": None,
        "failed": 0, "preferences": {}, "version": 1, "created_at": now, "updated_at": now,
    }  # fmt: skip
    conn.execute(insert(users).values(beginning | values))


def get_setting(conn: Connection, name: str) -> Any:
    """Return a setting of the deployment, None when there is none."""
    found = conn.execute(select(settings.c.value).where(settings.c.scope == SYSTEM, settings.c.name == name)).first()
    return found.value if found is not None else None


def put_setting(conn: Connection, name: str, value: Any, now: datetime) -> None:
    """Keep a setting of the deployment."""
    here = (settings.c.scope == SYSTEM) & (settings.c.name == name)
    if conn.execute(update(settings).where(here).values(value=value, updated_at=now)).rowcount == 0:
        conn.execute(insert(settings).values(scope=SYSTEM, name=name, value=value, updated_at=now))
