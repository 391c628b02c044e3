"""The first start: one tenant, its roles, a default policy that offers nothing, an administrator with a generated password."""

import os
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from portico.domain.access import AREAS
from portico.domain.model import Policy, Role
from portico.services.broker import Broker
from portico.store import events, founding
from portico.store.engine import Database
from portico.store.records import body_of

ADMINISTRATOR = "admin"
TENANT_NAME = "Default"


@dataclass(frozen=True, slots=True)
class FirstRun:
    """What is shown once, at the first start."""

    login: str
    password: str


def deployment_id(db: Database, fresh: str, now: datetime) -> str:
    """Return the deployment's id, which every object of ours in a cloud carries; `fresh` becomes it at the first start."""
    with db.write() as conn:
        return str(founding.keep_setting(conn, "deployment", fresh, now))


def first_run(broker: Broker) -> FirstRun | None:
    """Found the deployment; returns None when that was done before. Of two brokers that start at once, one does it."""
    with broker.db.read() as conn:
        if founding.is_founded(conn):
            return None
    password = secrets.token_urlsafe(12)
    hashed = broker.hasher.hash(password)
    try:
        with broker.db.write() as conn:
            if founding.is_founded(conn):
                return None
            _found(broker, conn, hashed)
    except IntegrityError:  # another broker was quicker by the tenant's unique name
        return None
    return FirstRun(ADMINISTRATOR, password)


def _found(broker: Broker, conn: Connection, hashed: str) -> None:
    now = broker.now()
    tenant = founding.add_tenant(conn, broker.new_id(), TENANT_NAME, now)
    administrator = Role(
        broker.new_id(), tenant, "Administrator", areas=dict.fromkeys(AREAS, "edit"), may_power=True, builtin=True
    )
    user = Role(broker.new_id(), tenant, "User", may_power=True, builtin=True)
    policy = Policy(broker.new_id(), tenant, "Default", is_default=True)
    for role in (administrator, user):
        founding.add_configuration(conn, "roles", _row(role, now))
    left_out = frozenset({"is_default", "assignments"})
    founding.add_configuration(conn, "policies", _row(policy, now, left_out) | {"is_default": True})
    founding.add_user(
        conn, id=broker.new_id(), tenant_id=tenant, login_name=ADMINISTRATOR, display_name="Administrator",
        password_hash=hashed, role_id=administrator.id, now=now,
    )  # fmt: skip
    events.add(conn, events.Entry(now, "deployment.founded", tenant, params={"host": os.uname().nodename}))


def _row(record: Any, now: Any, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    return {
        "id": record.id, "tenant_id": record.tenant_id, "name": record.name, "version": 1,
        "body": body_of(record, leave_out), "created_at": now, "updated_at": now,
    }  # fmt: skip
