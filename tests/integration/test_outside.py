"""What people do in a cloud behind Portico's back, and what becomes of the desktops."""

from typing import Any
from uuid import uuid4

import pytest
from tests.brokers import actor
from tests.fleet import CENTER, CLIENT, Bare, Fleet

from portico.errors import CloudError, Conflict
from portico.ports.cloud import MachineSpec
from portico.services import configure, connect, overview, power
from portico.services.connect import Connecting
from portico.store import tables as t

pytestmark = pytest.mark.capability("S090")


def bend(fleet: Fleet, external_id: str, center: str = CENTER, **values: Any) -> None:
    """Change a machine in the cloud, as somebody does in its own console."""
    with fleet.cloud(center)._journal.writing() as (records, write):
        write(records[external_id]._replace(**values))


def connected(fleet: Fleet, *, mode: str = "policy") -> Connecting:
    """The user at work on a desktop that was found in the cloud."""
    fleet.desktops(2)
    line = fleet.line(fleet.pool())
    me = fleet.log_in()
    mine = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(mine, Connecting)
    fleet.change(t.assignments, mine.assignment_id, state="connected", mode=mode)
    fleet.change(t.desktops, mine.desktop_id, session="logged on", agent="running", used_seats=1)
    return mine


def test_a_renamed_machine_keeps_its_assignment(fleet: Fleet) -> None:
    mine = connected(fleet)
    bend(fleet, fleet.row(t.desktops, mine.desktop_id).external_id, name="renamed")
    fleet.scan()
    assert fleet.row(t.desktops, mine.desktop_id).name == "renamed"
    assert fleet.row(t.assignments, mine.assignment_id).state == "connected"


def test_a_machine_rebuilt_outside_ends_the_session_and_goes_the_way_of_the_release_plan(fleet: Fleet) -> None:
    """Same id, another image: whoever was on it is not any more; a desktop of a pool is handed on as after a log-out."""
    mine = connected(fleet)
    bend(fleet, fleet.row(t.desktops, mine.desktop_id).external_id, image_id="fake-windows")
    fleet.scan()
    fleet.work()
    desktop = fleet.row(t.desktops, mine.desktop_id)
    assert (desktop.stage, desktop.session, desktop.agent) == ("ready", "none", "not installed")
    assert desktop.image_id == "fake-windows"
    assert fleet.row(t.connections, mine.id).state == "closed"
    assert fleet.row(t.assignments, mine.assignment_id).state == "released"
    assert fleet.codes().count("desktop.rebuilt_outside") == 1


def test_a_rebuilt_machine_stays_with_whom_it_was_given_for_good(fleet: Fleet) -> None:
    mine = connected(fleet, mode="hard user")
    bend(fleet, fleet.row(t.desktops, mine.desktop_id).external_id, image_id="fake-windows")
    fleet.scan()
    fleet.work()
    assert fleet.row(t.desktops, mine.desktop_id).session == "none"
    assert fleet.row(t.assignments, mine.assignment_id).released_at is None
    assert fleet.row(t.connections, mine.id).state == "closed"


def test_who_loses_a_desktop_outside_is_offered_another(fleet: Fleet) -> None:
    """The event names the deletion, the old offer says that it is over, and the same click gives a replacement."""
    mine = connected(fleet)
    me = fleet.log_in()
    fleet.cloud().delete(fleet.row(t.desktops, mine.desktop_id).external_id)
    fleet.scan()
    assert "desktop.deleted_outside" in fleet.codes()
    (line,) = fleet.rows(t.pool_assignments)
    other = connect.connect(fleet.broker, me, f"{line.id}.0", CLIENT, "vnc")
    assert isinstance(other, Connecting)
    assert other.desktop_id != mine.desktop_id


def test_an_address_that_was_moved_is_followed_by_the_next_pass(fleet: Fleet) -> None:
    (desktop,) = fleet.desktops(1)
    bend(fleet, desktop.external_id, number=77)
    fleet.scan()
    assert fleet.row(t.desktops, desktop.id).address == "198.18.0.77"


def test_connecting_checks_an_address_that_is_older_than_a_pass(fleet: Fleet) -> None:
    """A fresh address is used as it is; an old one is asked for again; an outage keeps nobody from their desktop."""
    mine = connected(fleet)
    me = fleet.log_in()
    fleet.gateway()
    machine = fleet.row(t.desktops, mine.desktop_id).external_id

    def used() -> str:
        for row in fleet.rows(t.gateways):
            fleet.change(t.gateways, row.id, heartbeat_at=fleet.clock())
        connect.ticket(fleet.broker, me, mine.id)
        address: str = fleet.row(t.desktops, mine.desktop_id).address
        return address

    before = used()
    bend(fleet, machine, number=78)
    assert used() == before  # the last pass was a moment ago
    fleet.clock.forward(seconds=61)
    assert used() == "198.18.0.78"
    bend(fleet, machine, number=79)
    fleet.settings(errors="look:error")
    assert used() == "198.18.0.78"
    fleet.settings()
    assert used() == "198.18.0.79"
    fleet.cloud().delete(machine)
    with pytest.raises(Conflict, match="not found in its cloud"):
        used()
    fleet.work()
    assert fleet.row(t.desktops, mine.desktop_id).stage == "gone"


def test_an_inactive_center_is_not_asked_for_an_address(fleet: Fleet) -> None:
    mine = connected(fleet)
    fleet.gateway()
    body = fleet.row(t.centers, CENTER).body
    fleet.change(t.centers, CENTER, body=body | {"active": False, "settings": {"errors": "look:refused"}})
    fleet.clock.forward(seconds=20)
    assert connect.ticket(fleet.broker, fleet.log_in(), mine.id)["ticket"]


def two_centers(fleet: Fleet) -> tuple[Any, Any]:
    """One machine in two centers, as when both are of one project; returns the row of the first and that of the second."""
    fleet.center("second")
    id = str(uuid4())
    for center in (CENTER, "second"):
        fleet.cloud(center).create(_spec(id))
        fleet.scan(center)
        fleet.clock.forward(seconds=1)
    return tuple(fleet.rows(t.desktops, t.desktops.c.center_id == center)[0] for center in (CENTER, "second"))  # type: ignore[return-value]


def _spec(id: str, deployment: str = "elsewhere") -> Any:
    return MachineSpec(id, deployment, "shared", "fake-linux")


def test_a_machine_of_two_centers_counts_once(fleet: Fleet) -> None:
    """The second center's row is a duplicate, in no pool and offered to nobody, until the first one goes."""
    pool = fleet.pool(center_id=None)
    first, second = two_centers(fleet)
    assert (first.status, second.status) == ("available", "duplicate")
    members = fleet.rows(t.pool_members, t.pool_members.c.pool_id == pool)
    assert [row.desktop_id for row in members] == [first.id]
    fleet.scan()
    fleet.scan("second")
    with pytest.raises(Conflict, match="Another center"):
        power.set_status(fleet.broker, actor(fleet.broker), second.id, True)
    assert fleet.row(t.desktops, second.id).status == "duplicate"
    configure.delete_item(fleet.broker, actor(fleet.broker), "centers", CENTER)
    fleet.scan("second")
    assert fleet.row(t.desktops, second.id).status == "available"
    assert [row.desktop_id for row in fleet.rows(t.pool_members)] == [second.id]
    assert "desktop.counts_again" in fleet.codes()


def test_centers_that_look_at_once_agree_on_one(fleet: Fleet) -> None:
    """Where both rows came to be before either saw the other, the older one counts."""
    first, second = two_centers(fleet)
    fleet.change(t.desktops, second.id, status="available")
    fleet.scan()
    fleet.scan("second")
    assert fleet.row(t.desktops, first.id).status == "available"
    assert fleet.row(t.desktops, second.id).status == "duplicate"


def test_what_one_center_builds_is_no_leak_in_another_of_its_project(fleet: Fleet) -> None:
    """A machine with our tag in a second center of the project is neither listed as left over nor built twice."""
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.fill(pool)
    (built,) = fleet.rows(t.desktops)
    fleet.center("second")
    fleet.cloud("second").create(_spec(built.id, fleet.broker.deployment_id))
    fleet.scan("second")
    fleet.clock.forward(minutes=20)
    fleet.work()
    assert fleet.rows(t.leaks) == []
    rows = fleet.rows(t.desktops, t.desktops.c.deleted_at.is_(None))
    assert sorted(row.status for row in rows) == ["available", "duplicate"]


def test_equal_names_in_lists_of_machines_are_no_duplicates(fleet: Fleet) -> None:
    """Ids that mean something only in their own center tell nothing of another."""
    fleet.center("second")
    for center in (CENTER, "second"):
        fleet.cloud(center).create(_spec("cad-07"))
        fleet.scan(center)
    assert {row.status for row in fleet.rows(t.desktops)} == {"available"}


def test_an_image_that_is_deleted_in_use_is_flagged(fleet: Fleet) -> None:
    """The pools that build from it are named, once in the events and as long as it lasts in the overview."""
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.scan()

    class Pruned(Bare):
        """A cloud whose images are gone."""

        kind = "pruned"

        def scan(self, since: Any = None) -> Any:
            found = super().scan(since)
            return type(found)(found.machines, (), found.complete)

    fleet.broker.cloud_drivers["pruned"] = Pruned  # type: ignore[index]
    fleet.change(t.centers, CENTER, kind="pruned")
    fleet.scan()
    fleet.scan()
    assert fleet.codes().count("image.deleted_in_use") == 1
    found = overview.overview(fleet.broker, actor(fleet.broker)).attention
    assert [one.link for one in found if one.reason.code == "pool.image_deleted"] == [f"/admin/pools/{pool}"]


def test_a_center_that_is_away_for_an_hour_is_asked_seldom_and_told_of_twice(fleet: Fleet) -> None:
    """The pauses grow with the silence; one event when it goes, one when it is back; another center goes on as ever."""
    fleet.center("second")
    fleet.desktops(2)
    fleet.scan("second")
    asked: list[int] = []

    class Away(Bare):
        """A cloud that does not answer."""

        kind = "away"

        def scan(self, since: Any = None) -> Any:
            asked.append(1)
            raise CloudError("It does not answer.")

    fleet.broker.cloud_drivers["away"] = Away  # type: ignore[index]
    fleet.change(t.centers, CENTER, kind="away")
    other = fleet.row(t.centers, "second").pass_number
    for _ in range(120):
        fleet.clock.forward(seconds=30)
        fleet.work()
    assert 10 <= len(asked) <= 30
    assert fleet.row(t.centers, "second").pass_number - other >= 40
    fleet.change(t.centers, CENTER, kind="bare")
    for _ in range(25):
        fleet.clock.forward(seconds=30)
        fleet.work()
    codes = [row.code for row in fleet.rows(t.events, t.events.c.center_id == CENTER)]
    assert (codes.count("center.offline"), codes.count("center.online")) == (1, 2)
    assert {row.stage for row in fleet.rows(t.desktops)} == {"ready"}
