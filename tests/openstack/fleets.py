"""A broker whose center is a project of the lab: services, jobs and database as they run, the cloud a real one."""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from tests.fleet import CENTER, Fleet, make_fleet
from tests.openstack.projects import LOOPBACK, Project

from portico.clouds import openstack_session
from portico.clouds.openstack import OpenStack
from portico.ports.cloud import Capabilities
from portico.store import tables as t

KIND = "openstack-without-agents"


class WithoutAgents(OpenStack):
    """OpenStack whose machines carry no agent, as those of the lab's fake hosts: what is built is ready when it runs."""

    kind = KIND

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), user_data=False)


def make_cloud_fleet(project: Project, url: str | None = None) -> Fleet:
    """Return a fleet whose center is the project."""
    fleet = make_fleet(project.state, url)
    drivers: dict[str, Any] = {**fleet.broker.cloud_drivers, KIND: WithoutAgents}
    config = replace(fleet.broker.config, egress_allow=LOOPBACK)
    fleet.broker = replace(
        fleet.broker, config=config, cloud_drivers=drivers, deployment_id=project.deployment
    )  # fmt: skip
    body = {"full_pass_seconds": 0, "settings": asdict(project.settings)}
    fleet.change(t.centers, CENTER, kind=KIND, body=body)
    return fleet


def pool_of(fleet: Fleet, project: Project, limit: int, **placement: Any) -> str:
    """Make a pool of desktops in the project: of those alone that it makes, for others may be at work there too."""
    rule = {"rules": [{"attribute": "name", "operator": "bw", "text": project.mark}]}
    more = {**project.defaults, "placement": placement}
    more.pop("tags")
    return fleet.pool(
        project.mark, image=project.lab.images["linux-desktop"], start_below=limit, stop_at=limit,
        name_template=f"{project.mark}-{{SEQUENCE}}", rule=rule, **more,
    )  # fmt: skip


def alone(act: Callable[[Fleet], object]) -> Callable[[Fleet], object]:
    """Let a forked process log in to the cloud by itself: it must not speak over its parent's connections."""

    def afresh(fleet: Fleet) -> object:
        openstack_session.forget()
        return act(fleet)

    return afresh


def live(fleet: Fleet) -> list[Any]:
    """The rows of the desktops that pools made and that live; a project may hold those of others besides."""
    return fleet.rows(t.desktops, t.desktops.c.deleted_at.is_(None), t.desktops.c.built_for_pool.is_not(None))


def eventually(
    fleet: Fleet, what: str, step: Callable[[], object], done: Callable[[], object], seconds: float = 90
) -> None:
    """Take steps until something is so; the cloud needs its time between them."""
    until = time.monotonic() + seconds
    while True:
        step()
        if done():
            return
        assert time.monotonic() < until, f"{what}: {state(fleet)}"
        time.sleep(0.3)


def state(fleet: Fleet) -> str:
    """What there is to say when something never came."""
    rows = [
        (row.name, row.stage, row.stage_reason, row.power, row.external_id, str(row.deadline_at)) for row in live(fleet)
    ]
    told = [(event.code, event.params, event.reason) for event in fleet.rows(t.events)[-12:]]
    waiting = [(job.kind, job.state, str(job.run_at)) for job in fleet.rows(t.jobs, t.jobs.c.state != "done")]
    return f"at {fleet.clock()} {rows} {told} {waiting}"
