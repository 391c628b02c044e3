"""A deployment of the size that the goals name: 1,000 users, 2,000 desktops, four pools, one policy that offers from all of them."""

from dataclasses import asdict, replace
from pathlib import Path

from sqlalchemy import insert

from portico.config import Config
from portico.domain.model import PoolCounts
from portico.services import setup
from portico.services.broker import Broker
from portico.services.passwords import Hasher
from portico.store import desktops, founding, migrate, pools
from portico.store import tables as t
from portico.store.engine import Database
from portico.wiring import build, new_id

USERS = 1_000
DESKTOPS = 2_000
POOLS = 4
PASSWORD = "correct horse battery"
ORIGIN = "https://portico.test"


def user_name(number: int) -> str:
    """Return the log-in name of the n-th user."""
    return f"user{number:04}"


def open_broker(state: Path, url: str) -> Broker:
    """Return a broker as wiring makes it, on a migrated database, but with hashes that cost next to nothing."""
    state.mkdir(parents=True, exist_ok=True)
    config = Config(state=state, database=url, public_url=ORIGIN)
    db = Database(url)
    migrate.upgrade(db)
    return replace(build(config, db), hasher=Hasher(memory_kib=8, time_cost=1))


def fill(broker: Broker) -> None:
    """Found the deployment and fill it."""
    setup.first_run(broker)
    now = broker.now()
    with broker.db.read() as conn:
        tenant = str(conn.scalar(t.tenants.select().with_only_columns(t.tenants.c.id)))
        roles = {row.name: row.id for row in conn.execute(t.roles.select())}
    with broker.db.write() as conn:
        dated = {"tenant_id": tenant, "version": 1, "body": {}, "created_at": now, "updated_at": now}
        state = {"kind": "fake", "status": "online", "status_reason": "", "pass_number": 0}
        founding.add_configuration(conn, "centers", {"id": "center", "name": "Center", **state, **dated})
        policy = new_id()
        founding.add_configuration(conn, "policies", {"id": policy, "name": "Staff", "is_default": False, **dated})
    for number in range(POOLS):
        _add_pool(broker, f"pool{number}", policy, dated)
    _add_users(broker, tenant, roles["User"], policy)


def _add_pool(broker: Broker, pool: str, policy: str, dated: dict[str, object]) -> None:
    now, tenant = broker.now(), dated["tenant_id"]
    size = DESKTOPS // POOLS
    counts = PoolCounts(total=size, unassigned=size, available=size, running=size, agent_running=size)
    begun = {"next_sequence": size + 1, "build_epoch": 0, "failures_in_row": 0, "stopped_reason": "", "counts": {}}
    with broker.db.write() as conn:
        founding.add_configuration(conn, "pools", {"id": pool, "name": pool.title(), **begun, **dated})
        pools.keep_counts(conn, pool, asdict(counts), now)
        line = {"id": f"line-{pool}", "tenant_id": tenant, "policy_id": policy, "pool_id": pool, "position": 1}
        conn.execute(insert(t.pool_assignments).values(body={}, **line))
        rows = [
            {"id": new_id(), "tenant_id": tenant, "center_id": "center", "name": f"{pool}-{number:05}",
             "external_id": new_id(), "power": "running", "agent": "running", "os_family": "linux",
             "protocols": {"vnc": 5900, "ssh": 22}, "address": f"10.0.{number // 250}.{number % 250 + 1}",
             "stage_at": now, "created_at": now, "updated_at": now}
            for number in range(size)
        ]  # fmt: skip
        desktops.add(conn, rows)
        pools.write_members(conn, pool, [str(row["id"]) for row in rows])


def _add_users(broker: Broker, tenant: str, role: str, policy: str) -> None:
    hashed, now = broker.hasher.hash(PASSWORD), broker.now()
    with broker.db.write() as conn:
        for number in range(USERS):
            founding.add_user(
                conn, id=new_id(), tenant_id=tenant, login_name=user_name(number), display_name=f"User {number}",
                password_hash=hashed, role_id=role, policy_id=policy, now=now,
            )  # fmt: skip
