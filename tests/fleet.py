"""A deployment for tests of services: a fake cloud, a pool, a policy that offers from it, and a clock that the test moves."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import insert, select, update
from tests.brokers import PASSWORD, TENANT, make_broker

from portico.clouds.fake import Fake, FakeSettings
from portico.clouds.static import Static
from portico.displays.ssh import Ssh
from portico.displays.vnc import Vnc
from portico.domain.model import Client, Pool
from portico.jobs import cadence
from portico.jobs.runner import Runner
from portico.ports.cloud import Capabilities, CloudContext, MachineSpec, Scan
from portico.services import agents, gateways, inventory, login, membership, provision
from portico.services.broker import Broker
from portico.services.keys import KeyRing
from portico.services.sessions import SignedIn, hash_secret
from portico.services.snapshot import CONFIGURATION, SnapshotHolder
from portico.store import agents as store
from portico.store import pools
from portico.store import tables as t
from portico.store.engine import Database
from portico.store.scope import System

CENTER = "center"
SCOPE = System("test")
CLIENT = Client("192.0.2.1")


class Bare(Fake):
    """A fake cloud that cannot hand a token to an agent: what it builds is ready when it runs."""

    kind = "bare"

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), user_data=False)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float = 0, minutes: float = 0, days: float = 0) -> None:
        self.at += timedelta(seconds=seconds, minutes=minutes, days=days)


@dataclass
class Fleet:
    """A broker with all that a test of its services asks for."""

    broker: Broker
    clock: Clock

    def change(self, table: Any, id: str, **values: Any) -> None:
        """Change a row, as an administrator would."""
        with self.broker.db.write() as conn:
            if values:
                conn.execute(update(table).where(table.c.id == id).values(values))
            number = t.versions.c.number + 1
            conn.execute(update(t.versions).where(t.versions.c.name == CONFIGURATION).values(number=number))
        self.broker.snapshots.get(fresh=True)

    def row(self, table: Any, id: str) -> Any:
        with self.broker.db.read() as conn:
            return conn.execute(select(table).where(table.c.id == id)).one()

    def rows(self, table: Any, *where: Any) -> list[Any]:
        with self.broker.db.read() as conn:
            return list(conn.execute(select(table).where(*where)))

    def codes(self) -> list[str]:
        """The codes of all events, oldest first."""
        with self.broker.db.read() as conn:
            return list(conn.scalars(select(t.events.c.code).order_by(t.events.c.id)))

    def insert(self, table: Any, **values: Any) -> str:
        now, id = self.clock(), values.pop("id", None) or str(uuid4())
        common = {"id": id, "tenant_id": TENANT, "version": 1, "created_at": now, "updated_at": now, "body": {}}
        row = {key: value for key, value in common.items() if key in table.c} | values
        with self.broker.db.write() as conn:
            conn.execute(insert(table).values(row))
        return id

    def center(self, id: str = CENTER, kind: str = "bare", **body: Any) -> str:
        first = {"kind": kind, "status": "new", "status_reason": "", "pass_number": 0}
        # The fake cloud has a clock of its own, so "what changed since" has no meaning: each pass is a full one.
        return self.insert(t.centers, id=id, name=id, body={"full_pass_seconds": 0} | body, **first)

    def settings(self, center: str = CENTER, **settings: Any) -> None:
        """Give the center's driver other settings: faults, quota, times."""
        body = self.row(t.centers, center).body
        self.change(t.centers, center, body=body | {"settings": settings})

    def pool(self, name: str = "pool", **provisioning: Any) -> str:
        limits = {"start_below": provisioning.pop("start_below", 0), "stop_at": provisioning.pop("stop_at", 0)}
        rule = provisioning.pop("rule", {})
        made = {"center_id": CENTER, "image": "fake-linux", "deletable": True, "limits": limits} | provisioning
        first = {"next_sequence": 1, "build_epoch": 0, "failures_in_row": 0, "stopped_reason": "", "counts": {}}
        pool_id = self.insert(t.pools, name=name, body={"rule": rule, "provisioning": made}, **first)
        self.change(t.pools, pool_id)
        membership.rewrite(self.broker, pool_id)
        return pool_id

    def limits(self, pool_id: str, start_below: int, stop_at: int) -> None:
        body = self.row(t.pools, pool_id).body
        body["provisioning"]["limits"] = {"start_below": start_below, "stop_at": stop_at}
        self.change(t.pools, pool_id, body=body)

    def line(self, pool_id: str, policy: str = "policy", **body: Any) -> str:
        """Let a policy offer from a pool."""
        position = body.pop("position", 0)
        line = self.insert(t.pool_assignments, policy_id=policy, pool_id=pool_id, position=position, body=body)
        self.change(t.policies, policy)
        return line

    def plan(self, table: Any, **body: Any) -> str:
        return self.insert(table, name=str(uuid4()), body=body)

    def policy(self, **body: Any) -> None:
        self.change(t.policies, "policy", body=body)

    def user(self, name: str) -> str:
        """A user with the same password as everybody's."""
        hashed = self.row(t.users, "user").password_hash
        return self.insert(
            t.users, id=f"u-{name}", directory="local", login_name=name, display_name=name, email="", password_hash=hashed,
            must_change_password=False, disabled=False, role_id="role-user", policy_id=None, failed=0, preferences={},
        )  # fmt: skip

    def log_in(self, name: str = "user") -> SignedIn:
        answer = login.login(self.broker, name, PASSWORD, CLIENT)
        assert isinstance(answer, login.LoggedIn), answer
        return answer.me

    def desktops(self, number: int, prefix: str = "m", **spec: Any) -> list[Any]:
        """Machines that somebody made in the cloud, as inventory finds them."""
        for n in range(number):
            id = f"{prefix}{n}"
            spec_of = MachineSpec(id, "elsewhere", id, "fake-linux", "", "", "", {}, {})
            self.cloud().create(replace(spec_of, **spec))
        self.scan()
        return self.rows(t.desktops, t.desktops.c.name.like(f"{prefix}%"), t.desktops.c.deleted_at.is_(None))

    def cloud(self, center: str = CENTER) -> Fake:
        """The fake cloud behind the center, without the faults that are ordered for the broker."""
        state = self.broker.config.state / "centers" / center
        return Fake(FakeSettings(), CloudContext(self.broker.deployment_id, center, state))

    def machines(self, center: str = CENTER) -> Scan:
        return self.cloud(center).scan()

    def scan(self, center: str = CENTER) -> inventory.Passed | None:
        return inventory.scan(self.broker, center, full=True)

    def work(self) -> None:
        """Run all that is due, what the cadence brings included, until nothing is."""
        cadence.ensure(self.broker)
        runner = Runner(self.broker)
        runner.run_due()
        runner.stop(0)

    def fill(self, pool_id: str) -> None:
        """Build what the pool lacks, to the end."""
        provision.refill(self.broker, pool_id)
        self.work()

    def state_of(self, pool_id: str) -> Pool:
        with self.broker.db.read() as conn:
            found = pools.get(conn, SCOPE, pool_id)
        assert found is not None
        return found

    def gateway(self, name: str = "gateway", realm: str = "") -> gateways.GatewayId:
        """A gateway that is enrolled and alive."""
        token = gateways.issue_token(self.broker)
        answer = gateways.enroll(self.broker, {"name": name, "token": token})
        if realm:
            self.change(t.gateways, answer["gateway_id"], realm=realm)
        found = gateways.authenticate(self.broker, answer["bearer"])
        assert found is not None
        return found

    def again(self, gateway: gateways.GatewayId) -> gateways.GatewayId:
        """The gateway with its reading mark as it is now."""
        return replace(gateway, row=self.row(t.gateways, gateway.id))

    def agent(self, desktop_id: str, **facts: Any) -> "Agent":
        """Enrol an agent on a desktop, whether one was expected or not."""
        token = str(uuid4())
        with self.broker.db.write() as conn:
            row = store.get_of_desktop(conn, desktop_id)
            values = {"token_hash": hash_secret(token), "token_expires_at": self.clock() + timedelta(hours=1)}
            if row is None:
                store.expect(conn, id=str(uuid4()), tenant_id=TENANT, desktop_id=desktop_id, **values)
            else:
                conn.execute(update(t.agents).where(t.agents.c.id == row.id).values(values))
        said = {"os_family": "linux", "port": 0, "protocols": {"vnc": 5901, "ssh": 22}} | facts
        answer = agents.enroll(self.broker, {"token": token, "agent_version": "1", "facts": said})
        found = agents.authenticate(self.broker, answer["bearer"])
        assert found is not None
        return Agent(self, found, said)


@dataclass
class Agent:
    """What an agent would say."""

    fleet: Fleet
    id: agents.AgentId
    facts: dict[str, Any]
    boot: str = "boot-1"
    sequence: int = 0

    def happened(self, *kinds: str, user: str = "user") -> list[dict[str, Any]]:
        """Events with the next sequence numbers."""
        made = []
        for kind in kinds:
            self.sequence += 1
            made.append({"kind": kind, "user": user, "session": "1", "sequence": self.sequence})
        return made

    def report(self, events: list[dict[str, Any]] | None = None, *, boot: str | None = None, **more: Any) -> None:
        message = {"v": 1, "boot_id": boot or self.boot, "sequence": self.sequence, "events": events or [], **more}
        agents.report(self.fleet.broker, self.id, message)

    @contextmanager
    def answering(self) -> Iterator[list[str]]:
        """Answer the broker's commands meanwhile, as an agent that holds the channel open does; gives their kinds."""
        done, seen = threading.Event(), list[str]()

        def listen() -> None:
            while not done.wait(0.02):
                for one in agents.commands(self.fleet.broker, self.id):
                    seen.append(one["kind"])
                    answer = {"id": one["id"], "ok": True, "port": 5901, "username": "user", "password": "once"}
                    self.report(results=[answer])

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield seen
        finally:
            done.set()
            thread.join(30)

    def reboot(self, boot: str = "boot-2") -> None:
        self.boot, self.sequence = boot, 0
        self.report(facts=self.facts, sessions=[])


def make_fleet(state: Path, url: str | None = None) -> Fleet:
    """Make a fleet on a fresh database; `url` as in make_broker."""
    clock = Clock()
    broker = make_broker(state, url, clock)
    broker = replace(
        broker, cloud_drivers={"fake": Fake, "bare": Bare, "static": Static}, displays={"vnc": Vnc(), "ssh": Ssh()}
    )
    fleet = Fleet(broker, clock)
    fleet.center()
    return fleet


def second(fleet: Fleet) -> Fleet:
    """Another broker on the same database, as another process would be."""
    first = fleet.broker
    db = Database(first.db.url.render_as_string(hide_password=False))
    keys = KeyRing(db, first.vault, fleet.clock())
    other = replace(first, id=str(uuid4()), db=db, keys=keys, snapshots=SnapshotHolder(db))
    return Fleet(other, fleet.clock)
