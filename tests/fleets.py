"""A small fleet in a broker's database: a center, a pool, a policy that offers it, and desktops that people hold."""

from typing import Any

from tests.brokers import PASSWORD, TENANT, actor

from portico.domain.model import Client
from portico.services import configure, connect, login, portal
from portico.services.broker import Broker
from portico.services.login import LoggedIn
from portico.store import desktops, pools


def make_pool(broker: Broker, number: int = 2, name: str = "Engineering") -> tuple[str, list[str]]:
    """Make a pool of ready desktops that the default policy offers; returns the pool's id and the desktops' ids."""
    admin = actor(broker)
    kind = "fake" if "fake" in broker.cloud_drivers else "nowhere"
    settings = {} if kind == "fake" else {"url": "https://cloud.test", "password": "secret"}
    center = configure.create_item(broker, admin, "centers", {"name": name, "kind": kind, "settings": settings})["id"]
    plan = configure.create_item(
        broker, admin, "release-plans", {"name": name, "release_if_never_connected_minutes": 15}
    )["id"]
    pool = str(configure.create_item(broker, admin, "pools", {"name": name, "rule": {"centers": [center]}})["id"])
    line = {"pool_id": pool, "release_plan_id": plan, "quantity": 1}
    configure.update_item(broker, admin, "policies", "policy", {"assignments": [line]})
    ids = [_add(broker, center, f"{name[:3].lower()}-{at:02}") for at in range(1, number + 1)]
    with broker.db.write() as conn:
        pools.write_members(conn, pool, ids)
    return pool, ids


def give_desktop(broker: Broker, name: str = "user") -> str:
    """Let a user open a desktop of a new pool; returns the desktop's id."""
    make_pool(broker)
    found = login.login(broker, name, PASSWORD, Client("192.0.2.7"))
    assert isinstance(found, LoggedIn)
    broker.snapshots.get(fresh=True)
    offer = portal.offers(broker, found.me).offers[0]
    opened: Any = connect.connect(broker, found.me, offer.id, Client("192.0.2.7"))
    return str(opened.desktop_id)


def _add(broker: Broker, center: str, name: str) -> str:
    id, now = broker.new_id(), broker.now()
    row = {
        "id": id, "tenant_id": TENANT, "center_id": center, "name": name, "external_id": f"machine-{name}", "power": "running",
        "agent": "running", "address": "192.0.2.20", "protocols": {"vnc": 5900}, "os_family": "linux", "stage_at": now,
        "created_at": now, "updated_at": now,
    }  # fmt: skip
    with broker.db.write() as conn:
        desktops.add(conn, [row])
    return id
