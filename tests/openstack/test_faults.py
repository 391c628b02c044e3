"""What a cloud does to its users: each fault leaves a sentence that an operator can act on, nothing in the project, and no other center stopped."""

from collections import Counter
from typing import Any

import pytest
from tests.contract.suite import usable, wait_for
from tests.fleet import CENTER, Fleet
from tests.lab import control
from tests.lab.rest import Cloud, until
from tests.openstack.fleets import eventually, live, make_cloud_fleet, pool_of, state
from tests.openstack.projects import Project

from portico.domain.model import RootVolume
from portico.errors import CloudRefused, QuotaExceeded
from portico.services import inventory, provision
from portico.store import tables as t

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def fleet(project: Project) -> Fleet:
    return make_cloud_fleet(project)


def until_ready(fleet: Fleet, number: int) -> None:
    eventually(
        fleet, f"{number} ready", lambda: _pass(fleet), lambda: [row.stage for row in live(fleet)] == ["ready"] * number
    )


def _pass(fleet: Fleet, seconds: float = 30) -> None:
    """What a broker does in half a minute."""
    fleet.clock.forward(seconds)
    fleet.work()
    fleet.scan()


@pytest.mark.capability("S005")
@pytest.mark.parametrize(
    ("full", "values"),
    [
        ("instances", {}),
        ("floatingip", {"floating_ip": True, "floating_network": "public"}),
        ("volumes", {"volume": RootVolume(True, 1)}),
    ],
)
def test_a_full_quota_says_which_and_leaves_nothing(limited: Project, full: str, values: dict[str, Any]) -> None:
    """The quota of Nova, of Neutron, of Cinder: each is a no of its own kind, in the service's own words."""
    limited.room(**{full: 0})
    with pytest.raises(QuotaExceeded, match=r"(?i)quota"):
        limited.cloud().create(limited.spec(**values))
    assert limited.holds() == []


@pytest.mark.capability("S100", "S106")
def test_a_network_without_free_addresses_is_told_and_leaves_nothing(project: Project) -> None:
    """Like a quota: the pool waits, for the next desktop that goes makes room."""
    with pytest.raises(QuotaExceeded, match=r"no free address for another desktop\. Enlarge its subnet"):
        project.cloud().create(project.spec(network="tiny"))
    assert project.holds() == []


@pytest.mark.capability("S104", "S108")
def test_an_image_that_was_deleted_is_told_and_its_machines_live_on(project: Project, broker: Cloud) -> None:
    """What was made from it stays, with its image unknown; what is to be made from it is refused by name."""
    wanted = {"name": f"{project.mark}-image", "disk_format": "raw", "container_format": "bare"}
    image = str(broker.post("image", "/images", wanted)["id"])
    broker.put("image", f"/images/{image}/file", b"\0" * 65536)
    cloud = project.cloud()
    external_id = cloud.create(project.spec(image_id=image))
    wait_for(cloud, external_id, usable)
    broker.delete("image", f"/images/{image}")
    assert cloud.scan().complete
    assert wait_for(cloud, external_id, usable).image_id == image
    held = project.holds()
    with pytest.raises(CloudRefused, match=f"no image “{image}”"):
        cloud.create(project.spec(image_id=image))
    assert project.holds() == held


@pytest.mark.capability("S009", "S019", "S093")
def test_a_pool_that_no_host_can_hold_stops_and_says_why(fleet: Fleet, project: Project) -> None:
    """Three tries with longer and longer waits; each machine in the state ERROR is deleted; then an administrator is asked."""
    pool = pool_of(fleet, project, 1, floating_ip=True)
    body = fleet.row(t.pools, pool).body
    body["provisioning"]["flavor"] = "desktop.huge"
    fleet.change(t.pools, pool, body=body)
    eventually(
        fleet,
        "stopped",
        lambda: _pass(fleet, 120),
        lambda: fleet.state_of(pool).stopped_reason == "pool.stopped_by_errors",
    )
    reasons = [row.reason for row in fleet.rows(t.events, t.events.c.code == "desktop.build_failed")]
    assert len(reasons) == 3
    assert all("No valid host was found" in reason["params"]["detail"] for reason in reasons)
    eventually(fleet, "nothing left", lambda: _pass(fleet), lambda: not live(fleet) and not project.holds())
    assert fleet.codes().count("pool.stopped_by_errors") == 1


@pytest.mark.capability("S005", "S093")
def test_a_pool_pauses_at_a_full_quota_and_goes_on_by_itself(limited: Project) -> None:
    """One desktop fits, the second waits and is no failure; when there is room, it is made."""
    fleet = make_cloud_fleet(limited)
    limited.room(instances=1)
    pool = pool_of(fleet, limited, 2)
    eventually(fleet, "paused", lambda: _pass(fleet), lambda: fleet.state_of(pool).stopped_reason == "pool.quota")
    eventually(
        fleet,
        "one is ready",
        lambda: _pass(fleet),
        lambda: Counter(row.stage for row in live(fleet)) == {"ready": 1, "intent": 1},
    )
    assert fleet.state_of(pool).failures_in_row == 0
    assert Counter(one.split()[0] for one in limited.holds()) == {"servers": 1, "ports": 1}
    limited.room(instances=1)
    until_ready(fleet, 2)
    assert fleet.state_of(pool).stopped_reason == ""


@pytest.mark.capability("S009", "S097")
def test_a_machine_stuck_in_build_is_given_up_and_replaced(fleet: Fleet, project: Project) -> None:
    """A slow build is no failure before its deadline; after it the machine is deleted, with all that belongs to it."""
    pool = pool_of(fleet, project, 1, floating_ip=True)
    with control.builds(project.mark, seconds=8):
        fleet.fill(pool)
        assert len(live(fleet)) == 1, state(fleet)
        (first,) = live(fleet)
        _pass(fleet, 20 * 60)
        assert [row.stage for row in live(fleet)] == ["building"]
        _pass(fleet, 11 * 60)
        assert "desktop.build_failed" in fleet.codes()
    until_ready(fleet, 1)
    (second,) = live(fleet)
    assert second.id != first.id
    kinds = Counter(one.split()[0] for one in project.holds())
    assert kinds == {"servers": 1, "ports": 1, "floatingips": 1}


@pytest.mark.capability("S009", "S095")
def test_a_machine_that_was_deleted_outside_is_replaced_and_its_parts_go(
    fleet: Fleet, project: Project, broker: Cloud
) -> None:
    """Its port and floating IP, which Nova leaves behind, are removed; the pool makes another one."""
    pool = pool_of(fleet, project, 1, floating_ip=True)
    fleet.fill(pool)
    until_ready(fleet, 1)
    (first,) = live(fleet)
    broker.delete("compute", f"/servers/{first.external_id}")
    until("Nova has deleted it", lambda: project.cloud().look(first.external_id) is None)
    eventually(fleet, "replaced", lambda: _pass(fleet), lambda: [row.id for row in live(fleet)] not in ([], [first.id]))
    until_ready(fleet, 1)
    (second,) = live(fleet)
    assert {one.desktop_id for one in project.cloud().belongings()} == {second.id}
    assert "desktop.deleted_outside" in fleet.codes()


@pytest.mark.capability("S063", "S087")
def test_a_center_that_cannot_log_in_stops_no_other(fleet: Fleet, project: Project) -> None:
    """Its state says why, its desktops stay as they were, and a pool of another center is filled meanwhile."""
    pool = pool_of(fleet, project, 1)
    fleet.fill(pool)
    until_ready(fleet, 1)
    other = fleet.center("other", kind="bare")
    body = fleet.row(t.centers, CENTER).body
    fleet.change(t.centers, CENTER, body=body | {"settings": body["settings"] | {"password": "changed"}})
    rule = {"rules": [{"attribute": "name", "operator": "bw", "text": "theirs"}]}
    theirs = fleet.pool(
        "theirs", center_id=other, start_below=2, stop_at=2, rule=rule, name_template="theirs-{SEQUENCE}"
    )
    fleet.fill(theirs)
    fleet.limits(pool, 2, 2)
    for _ in range(3):  # what cannot log in is asked again, and never held against the pool
        fleet.fill(pool)
        fleet.clock.forward(provision.LOGIN_SECONDS)
    assert (fleet.row(t.pools, pool).failures_in_row, fleet.row(t.pools, pool).stopped_reason) == (0, "")
    with pytest.raises(CloudRefused):
        fleet.scan()

    def is_full() -> bool:
        return Counter((row.center_id, row.stage) for row in live(fleet)) == {
            (CENTER, "ready"): 1,
            (CENTER, "intent"): 1,
            ("other", "ready"): 2,
        }

    eventually(
        fleet, "both pools full", lambda: (fleet.work(), inventory.scan(fleet.broker, other, full=True)), is_full
    )
    center = fleet.row(t.centers, CENTER)
    assert center.status == "offline"
    assert "Check the user name, the password, the domain and the project." in center.status_reason
    fleet.change(t.centers, CENTER, body=body)
    fleet.scan()
    assert fleet.row(t.centers, CENTER).status == "online"


@pytest.mark.capability("S087", "S098")
def test_a_nova_that_is_away_doubles_nothing(fleet: Fleet, project: Project) -> None:
    """While Nova is down nothing is lost, taken for gone or made twice; when it is back the pool is filled."""
    pool = pool_of(fleet, project, 1)
    with control.stopped("nova-api"):
        provision.refill(fleet.broker, pool)
        fleet.work()
        assert fleet.row(t.centers, CENTER).status == "offline"
        assert "desktop.build_failed" not in fleet.codes()
    until_ready(fleet, 1)
    assert Counter(one.split()[0] for one in project.holds()) == {"servers": 1, "ports": 1}
