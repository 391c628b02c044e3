"""What a cloud does to its users, on real services: each leaves a sentence, nothing leaks, other centers go on."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab import control
from tests.lab.facts import Facts
from tests.lab.rest import Cloud, until
from tests.openstack.deployment import Deployment, deploy

from portico.clouds import openstack_session
from portico.domain.model import Power, Stage
from portico.errors import CloudError
from portico.services import inventory, provision
from portico.store import tables as t


@pytest.fixture
def deployment(lab: Facts, tmp_path: Path, mark: str) -> Iterator[Deployment]:
    made = deploy(lab, tmp_path, mark)
    yield made
    made.broker.db.dispose()


def reasons(deployment: Deployment, code: str) -> str:
    """All that was said along with events of a kind."""
    return " ".join(str(row.reason) + str(row.params) for row in deployment.rows(t.events, t.events.c.code == code))


@pytest.mark.capability("S009", "S114")
def test_no_valid_host_is_told_and_after_a_few_tries_the_pool_stops(deployment: Deployment) -> None:
    """Every try ends in ERROR and is deleted; the pool waits longer each time, then stops and says why."""
    pool = deployment.build_pool(1, flavor="desktop.huge")
    provision.refill(deployment.broker, pool)
    deployment.settle(lambda: "pool.stopped_by_errors" in deployment.codes(), step=400)
    assert "No valid host was found" in reasons(deployment, "desktop.build_failed")
    assert deployment.state_of(pool).stopped_reason == "pool.stopped_by_errors"
    deployment.settle(lambda: not deployment.living() and not deployment.held())


@pytest.mark.capability("S009", "S064")
def test_a_quota_pauses_the_pool_and_room_lets_it_go_on(lab: Facts, tmp_path: Path, mark: str) -> None:
    """Two fit where three are wanted; the pool says that the quota holds it, and goes on when there is more."""
    deployment = deploy(lab, tmp_path, mark, username="broker-small", project="small")
    try:
        pool = deployment.build_pool(3)
        provision.refill(deployment.broker, pool)
        deployment.settle(lambda: [row.stage for row in deployment.living()].count("ready") == 2)
        assert deployment.state_of(pool).stopped_reason == "pool.quota"
        control.set_compute_quota(lab.projects["small"], instances=4)
        deployment.settle(deployment.is_full(3), step=40)
        assert deployment.state_of(pool).stopped_reason == ""
        assert "pool.stopped_by_errors" not in deployment.codes()
    finally:
        control.purge("broker-small", "small", mark)
        control.set_compute_quota(lab.projects["small"], instances=2)
        deployment.broker.db.dispose()


@pytest.mark.capability("S099", "S102")
def test_an_image_that_is_deleted_while_its_pool_builds_stops_it_in_words(
    deployment: Deployment, broker: Cloud
) -> None:
    image = broker.post(
        "image", "/images", {"name": f"{deployment.mark}-image", "disk_format": "raw", "container_format": "bare"}
    )
    broker.delete("image", f"/images/{image['id']}")
    pool = deployment.build_pool(1, image=image["id"])
    provision.refill(deployment.broker, pool)
    deployment.settle(lambda: "desktop.build_failed" in deployment.codes())
    assert "no image" in reasons(deployment, "desktop.build_failed")
    deployment.limits(pool, 0, 0)
    deployment.settle(lambda: not deployment.living() and not deployment.held())


@pytest.mark.capability("S009")
def test_a_slow_build_is_no_failure(deployment: Deployment) -> None:
    """A server that stays in BUILD is waited for, and counts all the while."""
    pool = deployment.build_pool(1)
    with control.builds(deployment.mark, seconds=12):
        provision.refill(deployment.broker, pool)
        deployment.settle(deployment.is_full(1), step=5)
    assert "desktop.build_failed" not in deployment.codes()
    assert len(deployment.rows(t.desktops, t.desktops.c.name.like(f"{deployment.mark}%"))) == 1


@pytest.mark.capability("S009", "S090")
def test_a_server_that_is_stuck_in_build_is_given_up_in_the_end(deployment: Deployment) -> None:
    """After half an hour of the broker's time it is deleted, with a reason, and another is built."""
    pool = deployment.build_pool(1)
    with control.builds(deployment.mark, seconds=25):
        provision.refill(deployment.broker, pool)
        deployment.work()
        deployment.clock.forward(minutes=31)
        deployment.settle(lambda: "desktop.build_failed" in deployment.codes(), step=1)
    deployment.settle(deployment.is_full(1))
    assert Counter(one.kind for one in deployment.held()) == {"machine": 1, "port": 1}


@pytest.mark.capability("S018", "S090")
def test_what_was_done_in_horizon_is_seen(deployment: Deployment, broker: Cloud, lab: Facts) -> None:
    """Renamed, stopped, given another address, deleted: the desktop follows."""
    pool = deployment.build_pool(1, {"floating_ip": True})
    provision.refill(deployment.broker, pool)
    deployment.settle(lambda: deployment.is_full(1)() and bool(deployment.living()[0].public_address))
    (row,) = deployment.living()
    deployment.limits(pool, 0, 0)
    server = f"/servers/{row.external_id}"
    broker.put("compute", server, {"server": {"name": f"{deployment.mark}-renamed"}})
    broker.post("compute", f"{server}/action", {"os-stop": None})
    (port,) = broker.get("network", f"/ports?device_id={row.external_id}")["ports"]
    (old,) = broker.get("network", f"/floatingips?port_id={port['id']}")["floatingips"]
    wanted = {"floating_network_id": lab.external["public"], "description": deployment.mark}
    broker.put("network", f"/floatingips/{old['id']}", {"floatingip": {"port_id": None}})
    new = broker.post("network", "/floatingips", {"floatingip": {**wanted, "port_id": port["id"]}})["floatingip"]

    def seen() -> bool:
        (now,) = deployment.living()
        return (now.name, now.power, now.public_address) == (
            f"{deployment.mark}-renamed",
            Power.STOPPED,
            new["floating_ip_address"],
        )

    deployment.settle(seen)
    broker.delete("compute", server)
    deployment.settle(lambda: not deployment.living())
    assert deployment.row(t.desktops, row.id).stage == Stage.GONE
    assert "desktop.deleted_outside" in deployment.codes()


@pytest.mark.capability("S086", "S090")
def test_services_that_are_away_mark_nothing_deleted_and_stop_no_other_center(
    deployment: Deployment, lab: Facts
) -> None:
    """Nova is down: the center says so, its desktops stay, another center is scanned; when Nova is back all goes on."""
    pool = deployment.build_pool(1)
    provision.refill(deployment.broker, pool)
    deployment.settle(deployment.is_full(1))
    other = deployment.center("other", kind="static", settings={"machines": "cad-07 10.0.3.7 windows rdp=3389"})
    with control.stopped("nova-api"):
        with pytest.raises(CloudError) as trouble:
            inventory.scan(deployment.broker, deployment.center_id, full=True)
        assert trouble.value.sentence
        assert deployment.row(t.centers, deployment.center_id).status == "offline"
        assert [row.stage for row in deployment.living()] == ["ready"]
        assert inventory.scan(deployment.broker, other, full=True) is not None
    openstack_session.forget()
    until("Nova is back", lambda: inventory.scan(deployment.broker, deployment.center_id, full=True) is not None)
    assert deployment.row(t.centers, deployment.center_id).status == "online"
    assert deployment.is_full(1)()
