"""What a provider and its customers ask of a project: what was used, what is shared, what ends with its user."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.brokers import actor
from tests.fleet import CENTER, CLIENT, Fleet
from tests.openstack.fleets import eventually, live, make_cloud_fleet, pool_of
from tests.openstack.projects import Project

from portico.domain.model import ProvisionLimits
from portico.services import configure, connect, overview, provision, release, usage
from portico.services.connect import Connecting
from portico.services.portal import offers
from portico.store import tables as t

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def fleet(project: Project, fresh_database_url: str) -> Fleet:
    return make_cloud_fleet(project, fresh_database_url)


def settled(fleet: Fleet, stages: list[str]) -> None:
    def step() -> None:
        fleet.clock.forward(seconds=20)
        fleet.work()
        fleet.scan()

    eventually(fleet, str(stages), step, lambda: [row.stage for row in live(fleet)] == stages)
    for row in live(fleet):  # what an agent would say, which these machines have not
        fleet.change(t.desktops, row.id, protocols={"ssh": 22})


@pytest.mark.capability("S004", "S028")
def test_what_a_project_has_used_is_told_by_month(fleet: Fleet, project: Project) -> None:
    """Nova's own count of this month grows with the instances of the project, and an empty month is one of zeros."""
    fleet.fill(pool_of(fleet, project, 1))
    settled(fleet, ["ready"])
    months = usage.by_month(fleet.broker, actor(fleet.broker), CENTER, 2)
    this = months[0]
    assert this.since == datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert this.machines >= 1
    assert this.hours > 0
    assert this.core_hours >= this.hours
    assert this.memory_gib_hours > 0
    cloud = project.cloud()
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    empty = cloud.usage(long_ago, long_ago + timedelta(days=31))
    assert (empty.machines, empty.hours, empty.core_hours) == (0, 0, 0)


@pytest.mark.capability("S094", "S096", "S099", "S112")
def test_desktops_that_wait_as_unavailable_are_counted_and_offered_when_set_available(
    fleet: Fleet, project: Project
) -> None:
    """Provisioning is on unless it is switched off; the numbers beside the form are those of the project."""
    pool = pool_of(fleet, project, 2)
    body = fleet.row(t.pools, pool).body
    assert ProvisionLimits().enabled
    body["provisioning"] |= {"start_unavailable": True}
    body["provisioning"]["limits"] |= {"enabled": False}
    fleet.change(t.pools, pool, body=body)
    fleet.fill(pool)
    assert live(fleet) == []
    body["provisioning"]["limits"] |= {"enabled": True}
    fleet.change(t.pools, pool, body=body)
    fleet.fill(pool)
    settled(fleet, ["ready", "ready"])
    provision.refill(fleet.broker, pool)  # the unavailable ones count as unassigned, so no more are made
    fleet.work()
    rows = live(fleet)
    assert [row.status for row in rows] == ["unavailable", "unavailable"]
    counts = overview.pool_counts(fleet.broker, actor(fleet.broker), pool)
    assert (counts.total, counts.unassigned, counts.unavailable, counts.available) == (2, 2, 2, 0)
    fleet.line(pool)
    me = fleet.log_in()
    assert all(offer.desktop_id is None for offer in offers(fleet.broker, me).offers)
    configure.update_item(fleet.broker, actor(fleet.broker), "desktops", rows[0].id, {"status": "available"})
    assert [offer.desktop_id for offer in offers(fleet.broker, me).offers] == [rows[0].id]


@pytest.mark.capability("S011", "S027", "S113")
def test_a_single_use_desktop_goes_with_its_user_and_another_comes(fleet: Fleet, project: Project) -> None:
    """Deletable, and a plan that deletes after log-out: the instance is gone from Nova, and the pool has a new one."""
    pool = pool_of(fleet, project, 1)
    plan = fleet.plan(t.release_plans, delete_after_release=True)
    fleet.line(pool, release_plan_id=plan)
    fleet.fill(pool)
    settled(fleet, ["ready"])
    first = live(fleet)[0]
    me = fleet.log_in()
    [offer] = offers(fleet.broker, me).offers
    mine = connect.connect(fleet.broker, me, offer.id, CLIENT)
    assert isinstance(mine, Connecting)
    assert mine.desktop_id == first.id
    release.release(fleet.broker, me, mine.assignment_id)

    def is_another() -> bool:
        return [row.stage for row in live(fleet)] == ["ready"] and live(fleet)[0].id != first.id

    eventually(fleet, "another one", lambda: (fleet.clock.forward(seconds=20), fleet.work(), fleet.scan()), is_another)
    assert fleet.row(t.desktops, first.id).stage == "gone"
    assert project.cloud().look(first.external_id) is None


@pytest.mark.capability("S025", "S026")
def test_a_permanent_desktop_is_handed_on_and_never_deleted(fleet: Fleet, project: Project) -> None:
    """One user after another gets the same instance, though the plan says delete: the pool did not mark it deletable."""
    pool = pool_of(fleet, project, 1)
    body = fleet.row(t.pools, pool).body
    body["provisioning"] |= {"deletable": False}
    fleet.change(t.pools, pool, body=body)
    fleet.line(pool, release_plan_id=fleet.plan(t.release_plans, delete_after_release=True))
    fleet.fill(pool)
    settled(fleet, ["ready"])
    machine = live(fleet)[0].external_id
    fleet.user("second")
    for name in ("user", "second"):
        me = fleet.log_in(name)
        [offer] = offers(fleet.broker, me).offers
        mine = connect.connect(fleet.broker, me, offer.id, CLIENT)
        assert isinstance(mine, Connecting)
        release.release(fleet.broker, me, mine.assignment_id)
        for _ in range(3):
            fleet.clock.forward(seconds=20)
            fleet.work()
            fleet.scan()
    assert [(row.external_id, row.stage) for row in live(fleet)] == [(machine, "ready")]
    assert project.cloud().look(machine) is not None
    fleet.change(t.desktops, live(fleet)[0].id, deletable=True)  # so that the project is left as it was found
