"""A broker that is killed at any step leaves nothing that the next one does not finish: no leak, no double, no lost user."""

from collections import Counter
from uuid import uuid4

import pytest
from tests.brokers import actor
from tests.fleet import CENTER, CLIENT, Fleet
from tests.kills import killed, take_over

from portico import faults
from portico.domain.model import NoDesktop
from portico.ports.cloud import MachineSpec
from portico.services import connect, leaks, provision, release
from portico.services.connect import Connecting
from portico.store import tables as t

pytestmark = pytest.mark.capability("S029", "S114", "S116")


def finish(fleet: Fleet) -> None:
    for _ in range(4):
        take_over(fleet)


def nothing_leaked(fleet: Fleet) -> None:
    machines = Counter(machine.desktop_id for machine in fleet.machines().machines)
    rows = fleet.rows(t.desktops, t.desktops.c.deleted_at.is_(None))
    assert machines == Counter(row.id for row in rows)
    assert {row.stage for row in rows} == {"ready"}
    # What the cloud holds for us is what lives, thing by thing, and the reconciler says the same.
    held = [(one.kind, one.external_id, one.desktop_id) for one in fleet.cloud().belongings()]
    assert Counter(held) == Counter(("machine", row.external_id, row.id) for row in rows)
    assert leaks.look(fleet.broker, CENTER) == 0
    assert fleet.rows(t.leaks, t.leaks.c.deleted_at.is_(None)) == []
    taken = Counter(seat.desktop_id for seat in fleet.rows(t.seats, t.seats.c.assignment_id.is_not(None)))
    assert {row.id: row.used_seats for row in rows if row.used_seats} == dict(taken)
    live = fleet.rows(t.assignments, t.assignments.c.released_at.is_(None))
    assert Counter(row.desktop_id for row in live) == taken


BUILD = ["refill.before_commit", "refill.after_commit", "build.before_create", "build.after_create", "build.after_create:2",
         "build.after_record"]  # fmt: skip


@pytest.mark.capability("S009", "S098")
@pytest.mark.parametrize("point", BUILD)
def test_killed_while_building(fleet: Fleet, point: str) -> None:
    pool = fleet.pool(start_below=3, stop_at=3)

    def build(other: Fleet) -> None:
        provision.refill(other.broker, pool)
        other.work()

    killed(fleet, point, build)
    finish(fleet)
    nothing_leaked(fleet)
    assert len(fleet.machines().machines) == 3


def single_use(fleet: Fleet) -> tuple[str, str]:
    pool = fleet.pool(start_below=2, stop_at=2)
    fleet.fill(pool)
    plan = fleet.plan(t.release_plans, delete_after_release=True, release_if_never_connected_minutes=None)
    return pool, fleet.line(pool, release_plan_id=plan)


@pytest.mark.parametrize("point", ["connect.before_commit", "connect.after_assignment", "connect.after_connection"])
def test_killed_while_connecting_the_user_gets_one_desktop(fleet: Fleet, point: str) -> None:
    _, line = single_use(fleet)
    me = fleet.log_in()
    killed(fleet, point, lambda other: connect.connect(other.broker, me, f"{line}.0", CLIENT, "vnc"))
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(got, Connecting), got
    assert len(fleet.rows(t.assignments)) == 1
    finish(fleet)
    nothing_leaked(fleet)
    assert not isinstance(connect.connect(fleet.broker, me, f"a.{got.assignment_id}", CLIENT, "vnc"), NoDesktop)


DELETE = [
    "hand_over.before_commit",
    "hand_over.after_commit",
    "delete.before_call",
    "delete.after_call",
    "delete.after_record",
]


@pytest.mark.capability("S011", "S027", "S113")
@pytest.mark.parametrize("point", DELETE)
def test_killed_while_handing_over_and_deleting(fleet: Fleet, point: str) -> None:
    _, line = single_use(fleet)
    me = fleet.log_in()
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(got, Connecting)

    def give_back(other: Fleet) -> None:
        release.release(other.broker, me, got.assignment_id)
        other.work()

    killed(fleet, point, give_back)
    finish(fleet)
    nothing_leaked(fleet)
    assert fleet.row(t.desktops, got.desktop_id).stage == "gone"
    assert fleet.row(t.assignments, got.assignment_id).state == "released"
    assert fleet.codes().count("desktop.deleted") == 1
    assert len(fleet.machines().machines) == 2


@pytest.mark.capability("S009", "S011")
@pytest.mark.parametrize("point", ["leak.before_call", "leak.after_call"])
def test_killed_while_removing_what_was_left_over(fleet: Fleet, point: str) -> None:
    """The next broker finishes what an administrator ordered, and touches nothing else."""
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.fill(pool)
    fleet.cloud().create(MachineSpec(str(uuid4()), fleet.broker.deployment_id, "stray", "fake-linux"))
    fleet.scan()
    (leak,) = fleet.rows(t.leaks)
    leaks.remove(fleet.broker, actor(fleet.broker), leak.id)
    killed(fleet, point, lambda other: other.work())
    finish(fleet)
    nothing_leaked(fleet)
    assert fleet.codes().count("leak.removed") == 1


def test_without_an_order_points_do_nothing() -> None:
    faults.point("build.after_create")
