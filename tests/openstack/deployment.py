"""A deployment whose center is a project of the lab: real services, a pool, and a clock that runs and can be put forward."""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.brokers import actor
from tests.fleet import Clock, Fleet, make_fleet
from tests.lab.facts import Facts

from portico.clouds.openstack import OpenStack
from portico.clouds.openstack_settings import OpenStackSettings
from portico.clouds.static import Static
from portico.domain.jobs import OfDesktop
from portico.ports.cloud import Belonging, Capabilities, CloudContext
from portico.services import configure
from portico.services.deletion import begin
from portico.services.queueing import enqueue
from portico.store import jobs
from portico.store import tables as t

LOOPBACK = ("127.0.0.0/8",)


class Agentless(OpenStack):
    """The lab's servers have no guest, so no agent ever reports: what runs is ready."""

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), user_data=False)


class Ticking(Clock):
    """A clock that runs, and can be put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def forward(self, seconds: float = 0, minutes: float = 0, days: float = 0) -> None:
        self.ahead += timedelta(seconds=seconds, minutes=minutes, days=days)


class Deployment(Fleet):
    """A fleet on the lab. `mark` is in all that it makes."""

    lab: Facts
    mark: str
    center_id: str

    who: dict[str, Any]

    def driver(self) -> OpenStack:
        """The driver, as the broker has it."""
        context = CloudContext(self.broker.deployment_id, self.center_id, self.broker.config.state, LOOPBACK)
        return OpenStack(settings(self.lab, **self.who), context)

    def build_pool(self, number: int, placement: dict[str, Any] | None = None, **more: Any) -> str:
        return self.pool(
            center_id=self.center_id, start_below=number, stop_at=number, name_template=f"{self.mark}-{{SEQUENCE}}",
            placement=placement or {},
            **{"image": self.lab.images["linux-desktop"], "flavor": "desktop.small", "network": "desktops"} | more,
        )  # fmt: skip

    def settle(self, holds: Callable[[], bool], seconds: float = 150, step: float = 20) -> None:
        """Do what a broker does, pass by pass, until something holds; broker time goes faster than the clock on the wall."""
        until = time.monotonic() + seconds
        while True:
            with self.broker.db.write() as conn:
                jobs.retake(conn, self.clock())
            self.work()
            self.scan(self.center_id)
            if holds():
                return
            assert time.monotonic() < until, self.story()
            self.clock.forward(seconds=step)
            time.sleep(0.5)

    def story(self) -> str:
        """What has become of everything, for the message of a test that fails."""
        rows = [f"{row.name} {row.stage} {row.stage_reason} {row.external_id}" for row in self.rows(t.desktops)]
        waiting = [f"{row.kind} {row.state} {row.error}" for row in self.rows(t.jobs, t.jobs.c.state != "done")]
        return "\n".join([*rows, *waiting, *self.codes()[-20:]])

    def living(self) -> list[Any]:
        mine = t.desktops.c.name.like(f"{self.mark}%")  # the project may hold servers of others
        return self.rows(t.desktops, t.desktops.c.deleted_at.is_(None), mine)

    def is_full(self, number: int) -> Callable[[], bool]:
        return lambda: [row.stage for row in self.living()] == ["ready"] * number

    def retire(self, desktop_id: str) -> None:
        """Order a desktop's deletion, as a release plan does."""
        with self.broker.db.write() as conn:
            begin(conn, desktop_id, self.clock())
            enqueue(
                self.broker,
                conn,
                "desktop_delete",
                OfDesktop(desktop_id),
                tenant_id=self.row(t.desktops, desktop_id).tenant_id,
            )

    def held(self) -> list[Belonging]:
        """All that the project holds for this deployment now."""
        return list(self.driver().belongings())


def settings(lab: Facts, **values: Any) -> OpenStackSettings:
    """What the center `vdi` of the lab logs in with."""
    first: dict[str, Any] = {"username": "broker", "project": "vdi"}
    return OpenStackSettings(auth_url=lab.auth_url, password=lab.password, **first | values)


def deploy(lab: Facts, state: Path, mark: str, **values: Any) -> Deployment:
    """Make a deployment on the lab's project; `values` change the settings of its center."""
    made = make_fleet(state)
    clock = Ticking()
    broker = replace(
        made.broker, cloud_drivers={"openstack": Agentless, "static": Static}, now=clock, deployment_id=f"deployment-{mark}",
        config=replace(made.broker.config, egress_allow=LOOPBACK),
    )  # fmt: skip
    fleet = Deployment(broker, clock)
    fleet.lab, fleet.mark, fleet.who = lab, mark, values
    with broker.db.write() as conn:
        conn.execute(t.centers.delete())  # the fake one
    form = {"name": "Lab", "kind": "openstack", "settings": asdict(settings(lab, **values))}
    fleet.center_id = str(configure.create_item(broker, actor(broker), "centers", form)["id"])
    # Broker time runs ahead of Nova's: what changed "since" would be nothing.
    body = fleet.row(t.centers, fleet.center_id).body
    fleet.change(t.centers, fleet.center_id, body=body | {"full_pass_seconds": 0})
    return fleet
