"""Kill -9 at each numbered step of making and deleting a desktop on a real cloud: nothing is left over, and nothing is made twice."""

from typing import Any

import pytest
from tests.fleet import CENTER, Fleet
from tests.kills import killed, take_over
from tests.openstack.fleets import alone, eventually, live, make_cloud_fleet, pool_of
from tests.openstack.projects import Project

from portico.clouds import openstack_build, openstack_remove
from portico.domain.jobs import OfDesktop
from portico.services import leaks, provision
from portico.services.queueing import enqueue
from portico.store import tables as t

pytestmark = [pytest.mark.timeout(300), pytest.mark.capability("S009", "S011", "S027", "S098")]

BUILD = ("refill.before_commit", "refill.after_commit", "build.before_create", *openstack_build.FAULT_POINTS,
         "build.after_create", "build.after_record")  # fmt: skip
DELETE = ("delete.before_call", *openstack_remove.FAULT_POINTS, "delete.after_call", "delete.after_record")
# Everything that a desktop can have; the volume is deleted by Nova or, where a build fails, by us.
FULL = {"floating_ip": True, "floating_network": "public", "volume": {"create": True, "size_gib": 1}}


@pytest.fixture
def fleet(project: Project) -> Fleet:
    return make_cloud_fleet(project)


def see_nothing_leaked(fleet: Fleet, project: Project, number: int) -> None:
    """What the project holds is what lives, thing by thing, by its own listing; the reconciler says the same."""
    kinds = [one.split()[0] for one in project.holds()]
    assert kinds == sorted(["servers", "ports", "floatingips", "volumes"] * number)
    rows = live(fleet)
    assert len(rows) == number
    held = {(one.kind, one.desktop_id, one.machine_id) for one in project.cloud().belongings()}
    assert held == {
        (kind, row.id, row.external_id) for row in rows for kind in ("machine", "port", "floating ip", "volume")
    }
    assert leaks.look(fleet.broker, CENTER) == 0
    assert fleet.rows(t.leaks, t.leaks.c.deleted_at.is_(None)) == []


def become_ready(fleet: Fleet) -> None:
    eventually(fleet, "ready", lambda: take_over(fleet), lambda: [row.stage for row in live(fleet)] == ["ready"])


@pytest.mark.parametrize("point", BUILD)
def test_killed_while_building(fleet: Fleet, project: Project, point: str) -> None:
    """The next broker finishes that desktop, whatever of it was there, and makes no second one."""
    mine = pool_of(fleet, project, 1, **FULL)

    def build(other: Fleet) -> None:
        provision.refill(other.broker, mine)
        other.work()

    killed(fleet, point, alone(build))
    become_ready(fleet)
    see_nothing_leaked(fleet, project, 1)


@pytest.mark.parametrize("point", DELETE)
def test_killed_while_deleting(fleet: Fleet, project: Project, point: str) -> None:
    """The next broker finishes the deletion: server, port, floating IP and volume, all of them gone from the project."""
    mine = pool_of(fleet, project, 1, **FULL)
    fleet.fill(mine)
    become_ready(fleet)
    fleet.limits(mine, 0, 0)
    (row,) = live(fleet)
    killed(fleet, point, alone(lambda other: _delete(other, row)))
    eventually(fleet, "gone", lambda: take_over(fleet), lambda: not live(fleet) and not project.holds())
    see_nothing_leaked(fleet, project, 0)
    assert fleet.codes().count("desktop.deleted") == 1


@pytest.mark.parametrize("point", openstack_build.FAULT_POINTS[1:6])
def test_a_desktop_that_nobody_wants_any_more_leaves_no_parts(fleet: Fleet, project: Project, point: str) -> None:
    """Killed while it was made, then deleted: its port, address and volume go, though no machine came of it or is known."""
    mine = pool_of(fleet, project, 1, **FULL)
    provision.refill(fleet.broker, mine)
    killed(fleet, point, alone(lambda other: other.work()))
    fleet.limits(mine, 0, 0)
    (row,) = live(fleet)
    _order(fleet, row)
    eventually(fleet, "gone", lambda: take_over(fleet), lambda: not live(fleet) and not project.holds())
    see_nothing_leaked(fleet, project, 0)


def _order(fleet: Fleet, row: Any) -> None:
    with fleet.broker.db.write() as conn:
        enqueue(fleet.broker, conn, "desktop_delete", OfDesktop(row.id), tenant_id=row.tenant_id)


def _delete(fleet: Fleet, row: Any) -> None:
    _order(fleet, row)
    fleet.work()
