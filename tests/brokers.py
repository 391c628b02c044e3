"""A broker for tests: real store, real services, cheap hashes, and one deployment with an administrator and a user."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from sqlalchemy import insert

from portico.config import Config
from portico.directories.active_directory import ActiveDirectory
from portico.directories.keystone import Keystone
from portico.directories.listed import Listed
from portico.directories.nis import Nis
from portico.directories.oidc import Oidc
from portico.directories.open_ldap import OpenLdap
from portico.directories.saml import Saml
from portico.domain.access import AREAS, Actor
from portico.domain.model import Role
from portico.factors.radius import Radius
from portico.ports.cloud import Meta
from portico.services.broker import Broker
from portico.services.gates import Gates
from portico.services.keys import KeyRing
from portico.services.passwords import Hasher
from portico.services.snapshot import SnapshotHolder
from portico.store import tables as t
from portico.store.engine import Database
from portico.store.records import from_row
from portico.store.vault import Vault

PASSWORD = "correct horse battery"
TENANT = "00000000-0000-0000-0000-000000000001"
OTHER = "00000000-0000-0000-0000-000000000002"


@dataclass(frozen=True)
class NowhereSettings:
    """Settings of a cloud that is never asked."""

    url: Annotated[str, Meta("URL")]
    password: Annotated[str, Meta("Password", secret=True)]
    size: Annotated[int, Meta("Size", unit="GiB")] = 1
    mode: Annotated[str, Meta("Mode", choices=("slow", "fast"))] = "slow"


class Nowhere:
    """A driver that only has settings."""

    kind = "nowhere"
    Settings = NowhereSettings


DIRECTORIES = {
    "list": Listed, "oidc": Oidc, "saml": Saml, "active-directory": ActiveDirectory, "ldap": OpenLdap, "nis": Nis, "keystone": Keystone,
}  # fmt: skip


def make_broker(state: Path, url: str | None = None, now: Callable[[], datetime] | None = None) -> Broker:
    """Make a broker with two tenants, each with its roles, default policy, administrator and user.

    `url` names a database that has Portico's tables and nothing else; without it, a SQLite file is made in `state`.
    """
    clock = now or (lambda: datetime.now(UTC))
    db = Database(url or f"sqlite+pysqlite:///{state / 'portico.db'}")
    if url is None:
        t.metadata.create_all(db.engine)
    vault = Vault(state / "keys")
    hasher = Hasher(memory_kib=64, time_cost=1)
    with db.write() as conn:
        conn.execute(insert(t.versions).values(name="configuration", number=1))
        for tenant, suffix in ((TENANT, ""), (OTHER, "2")):
            _fill(conn, tenant, suffix, hasher.hash(PASSWORD), clock())
    return Broker(
        id=str(uuid4()),
        config=Config(state=state),
        db=db,
        vault=vault,
        keys=KeyRing(db, vault, clock()),
        cloud_drivers={"nowhere": Nowhere},
        directory_drivers=DIRECTORIES,
        factor_drivers={"radius": Radius},
        displays={},
        hasher=hasher,
        gates=Gates(),
        snapshots=SnapshotHolder(db),
        deployment_id="deployment",
        now=clock,
        new_id=lambda: str(uuid4()),
    )


def _fill(conn: Any, tenant: str, suffix: str, hashed: str, now: datetime) -> None:
    conn.execute(insert(t.tenants).values(id=tenant, name=f"Tenant{suffix}", created_at=now))
    common = {"tenant_id": tenant, "version": 1, "created_at": now, "updated_at": now}
    body = {"areas": {area: "edit" for area in AREAS}, "builtin": True}
    conn.execute(insert(t.roles).values(id=f"role-admin{suffix}", name="Administrator", body=body, **common))
    conn.execute(
        insert(t.roles).values(id=f"role-user{suffix}", name="User", body={"areas": {}, "builtin": True}, **common)
    )
    conn.execute(insert(t.policies).values(id=f"policy{suffix}", name="Default", body={}, is_default=True, **common))
    for name in ("admin", "user"):
        conn.execute(
            insert(t.users).values(
                id=f"{name}{suffix}", directory="local", login_name=f"{name}{suffix}", display_name=name, email="",
                password_hash=hashed, must_change_password=False, disabled=False, role_id=f"role-{name}{suffix}",
                policy_id=None, failed=0, preferences={}, **common,
            )
        )  # fmt: skip


def actor(broker: Broker, name: str = "admin") -> Actor:
    """Return who a user acts as."""
    with broker.db.read() as conn:
        user = conn.execute(t.users.select().where(t.users.c.login_name == name)).one()
        role = conn.execute(t.roles.select().where(t.roles.c.id == user.role_id)).one()
    return Actor(user.id, user.login_name, user.tenant_id, from_row(Role, role), None)
