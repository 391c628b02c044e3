"""Leaks in a cloud: found, listed, and touched at an administrator's word alone."""

from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient
from tests.brokers import actor
from tests.fleet import CENTER, Bare, Fleet
from tests.integration.apis import Api
from tests.page_client import ORIGIN, SAME, Page, log_in

from portico.domain.jobs import OfDesktop
from portico.domain.leaks import Belonging
from portico.errors import CloudRefused, Conflict
from portico.ports.cloud import MachineSpec
from portico.services import leaks, overview, power, provision
from portico.services.queueing import enqueue
from portico.store import tables as t
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S009", "S098")

OPEN = t.leaks.c.deleted_at.is_(None)


class Littered(Bare):
    """A fake cloud in which ports and volumes lie about."""

    kind = "littered"
    lying: tuple[Belonging, ...] = ()
    refuses = False
    removed: list[str] = []  # noqa: RUF012

    def belongings(self) -> tuple[Belonging, ...]:
        return (*super().belongings(), *(one for one in self.lying if one.external_id not in self.removed))

    def remove(self, belonging: Belonging) -> None:
        if self.refuses:
            raise CloudRefused("The port is in use.")
        if belonging.kind == "machine":
            super().remove(belonging)
        self.removed.append(belonging.external_id)


def litter(fleet: Fleet, *lying: Belonging, refuses: bool = False) -> type[Littered]:
    """Make the center's cloud one in which these lie about."""
    driver = type("Littered", (Littered,), {"lying": lying, "refuses": refuses, "removed": []})
    fleet.broker.cloud_drivers["littered"] = driver  # type: ignore[index]
    fleet.change(t.centers, CENTER, kind="littered")
    return driver


def stray(fleet: Fleet, desktop_id: str | None = None) -> str:
    """A machine with our tag that no row knows; returns its desktop's id."""
    id = desktop_id or str(uuid4())
    fleet.cloud().create(MachineSpec(id, fleet.broker.deployment_id, f"stray-{id[:4]}", "fake-linux"))
    return id


def listed(fleet: Fleet) -> list[Any]:
    return fleet.rows(t.leaks, OPEN)


def test_a_tagged_machine_without_a_row_is_listed_once_and_left_alone(fleet: Fleet) -> None:
    """Inventory lists it at once; neither it nor the reconciler deletes it, and both tell of it once."""
    stray(fleet)
    for _ in range(2):
        fleet.scan()
        leaks.look(fleet.broker, CENTER)
        fleet.clock.forward(minutes=20)
        fleet.work()
    (row,) = listed(fleet)
    assert (row.kind, row.state, row.reason["code"]) == ("machine", "open", "machine.no_row")
    assert fleet.codes().count("machine.unknown") == 1
    assert len(fleet.machines().machines) == 1
    assert fleet.rows(t.desktops) == []


def test_a_machine_that_was_made_during_a_pass_is_no_stranger(fleet: Fleet) -> None:
    """A desktop whose row came after inventory had read the rows is not taken for a leak."""
    pool = fleet.pool(start_below=1, stop_at=1)

    class Busy(Bare):
        """While it is listed, another broker builds."""

        kind = "busy"

        def scan(self, since: Any = None) -> Any:
            if not fleet.rows(t.desktops):
                fleet.change(t.centers, CENTER, kind="bare")
                fleet.fill(pool)
            return super().scan(None)

    fleet.broker.cloud_drivers["busy"] = Busy  # type: ignore[index]
    fleet.change(t.centers, CENTER, kind="busy")
    fleet.scan()
    assert len(fleet.machines().machines) == 1
    assert listed(fleet) == []
    assert "machine.unknown" not in fleet.codes()


def test_the_reconciler_finds_loose_parts_and_forgets_what_is_gone(fleet: Fleet) -> None:
    """A loose port is listed with an event; when it is gone from the cloud, it is gone from the list."""
    driver = litter(fleet, Belonging("port", "port-1", "left-port", None))
    fleet.work()  # as the cadence has it
    (row,) = listed(fleet)
    assert (row.kind, row.external_id, row.reason["code"]) == ("port", "port-1", "leak.loose")
    assert fleet.codes().count("leak.found") == 1
    driver.removed.append("port-1")
    fleet.clock.forward(minutes=16)
    fleet.work()
    assert listed(fleet) == []


def test_a_center_that_cannot_tell_forgets_nothing(fleet: Fleet) -> None:
    """An outage is no evidence: what was listed stays listed, and the job comes round again."""
    stray(fleet)
    fleet.scan()
    fleet.settings(errors="belongings:error")
    fleet.clock.forward(minutes=16)
    fleet.work()
    assert len(listed(fleet)) == 1
    assert {row.state for row in fleet.rows(t.jobs, t.jobs.c.kind == "center_leaks")} == {"done", "queued"}


def test_removing_is_a_job_that_looks_again_first(fleet: Fleet) -> None:
    """What an administrator deletes is deleted; what a desktop has come to need meanwhile is not."""
    admin = actor(fleet.broker)
    first, second = stray(fleet), stray(fleet)
    fleet.scan()
    ids = {row.desktop_id: row.id for row in listed(fleet)}
    leaks.remove(fleet.broker, admin, ids[first])
    leaks.remove(fleet.broker, admin, ids[second])
    leaks.adopt(fleet.broker, admin, ids[second])
    fleet.work()
    assert [machine.desktop_id for machine in fleet.machines().machines] == [second]
    assert [row.id for row in fleet.rows(t.desktops)] == [second]
    assert listed(fleet) == []
    assert fleet.codes().count("leak.removed") == 1


def test_a_refusal_puts_the_leak_back_into_the_list(fleet: Fleet) -> None:
    litter(fleet, Belonging("port", "port-1", "left-port", None), refuses=True)
    fleet.work()
    (row,) = listed(fleet)
    leaks.remove(fleet.broker, actor(fleet.broker), row.id)
    fleet.work()
    assert [one.state for one in listed(fleet)] == ["open"]
    assert "leak.remove_refused" in fleet.codes()


def test_what_is_kept_stays_and_asks_for_no_attention(fleet: Fleet) -> None:
    admin = actor(fleet.broker)
    stray(fleet)
    fleet.scan()

    def asked() -> list[str]:
        found = overview.overview(fleet.broker, admin).attention
        return [one.link for one in found if one.reason.code == "leaks.open"]

    assert asked() == [f"/admin/leaks?q=center:{CENTER}"]
    leaks.keep(fleet.broker, admin, listed(fleet)[0].id)
    assert asked() == []
    fleet.clock.forward(minutes=16)
    fleet.work()
    assert [row.state for row in listed(fleet)] == ["kept"]


def test_adopting_makes_a_desktop_with_the_id_on_the_tag(fleet: Fleet) -> None:
    """It is not offered before an administrator sets it available, and inventory knows it from then on."""
    id = stray(fleet)
    fleet.scan()
    assert leaks.adopt(fleet.broker, actor(fleet.broker), listed(fleet)[0].id) == id
    row = fleet.row(t.desktops, id)
    assert (row.stage, row.status, row.free_seats, row.deletable) == ("ready", "unavailable", 1, True)
    fleet.scan()
    leaks.look(fleet.broker, CENTER)
    assert listed(fleet) == []
    assert len(fleet.rows(t.desktops)) == 1


def test_adopting_a_machine_that_came_back_restores_its_desktop(fleet: Fleet) -> None:
    """The row that ended lives again, with its notes, its pool and its free seat."""
    pool = fleet.pool(start_below=1, stop_at=1, deletable=False)
    fleet.fill(pool)
    fleet.scan()
    fleet.limits(pool, 0, 0)
    (desktop,) = fleet.rows(t.desktops)
    machine = fleet.machines().machines[0]
    fleet.cloud().delete(machine.external_id)
    fleet.scan()
    assert fleet.row(t.desktops, desktop.id).stage == "gone"
    stray(fleet, desktop.id)
    fleet.scan()
    (row,) = listed(fleet)
    assert row.reason["code"] == "machine.returned"
    leaks.adopt(fleet.broker, actor(fleet.broker), row.id)
    back = fleet.row(t.desktops, desktop.id)
    assert (back.stage, back.status, back.deleted_at, back.free_seats) == ("ready", "unavailable", None, 1)
    power.set_status(fleet.broker, actor(fleet.broker), desktop.id, True)
    fleet.scan()
    assert listed(fleet) == []


def test_what_is_no_free_machine_is_not_adopted(fleet: Fleet) -> None:
    """A port is no desktop, a machine that is gone neither; each refusal says so."""
    litter(fleet, Belonging("port", "port-1", "left-port", None))
    stray(fleet)
    fleet.scan()
    fleet.work()
    admin = actor(fleet.broker)
    by_kind = {row.kind: row for row in listed(fleet)}
    with pytest.raises(Conflict, match="Only a machine"):
        leaks.adopt(fleet.broker, admin, by_kind["port"].id)
    fleet.cloud().delete(by_kind["machine"].external_id)
    with pytest.raises(Conflict, match="gone meanwhile"):
        leaks.adopt(fleet.broker, admin, by_kind["machine"].id)
    assert [row.kind for row in listed(fleet)] == ["port"]


def test_the_api_lists_leaks_and_acts_on_them_by_role(fleet: Fleet) -> None:
    """An administrator of centers removes, keeps and adopts; others may not even look."""
    for _ in range(3):
        stray(fleet)
    fleet.scan()
    api = Api(fleet.broker)
    me = api.log_in("admin")
    items = me.call("GET", "/leaks?state=open&kind=machine").json()["items"]
    assert [item["reason"]["code"] for item in items] == ["machine.no_row"] * 3
    first, second, third = (item["id"] for item in items)
    job = me.call("POST", f"/leaks/{first}/remove")
    assert job.status_code == 202
    assert me.call("GET", f"/jobs/{job.json()['job']}").json()["kind"] == "leak_remove"
    assert me.call("POST", f"/leaks/{second}/keep").status_code == 204
    assert me.call("POST", f"/leaks/{third}/adopt").json()["desktop_id"] == items[2]["desktop_id"]
    assert me.call("POST", f"/leaks/{third}/adopt").status_code == 404
    assert me.call("GET", "/leaks").json()["total"] == 2
    assert api.log_in("user").call("GET", "/leaks").status_code == 403
    assert api.log_in("admin2").call("POST", f"/leaks/{second}/remove").status_code == 404


@pytest.mark.capability("S122")
def test_the_console_shows_leaks_with_why_and_what_to_do(fleet: Fleet) -> None:
    """The list stands beside the centers; a leak's page says why it is one, and its buttons do what they say."""
    stray(fleet)
    fleet.scan()
    with TestClient(create_app(fleet.broker), base_url=ORIGIN, follow_redirects=False) as client:
        csrf = log_in(client)
        text = client.get("/admin/leaks").text
        assert "carries our tag, and no desktop knows it" in text
        (row,) = listed(fleet)
        text = client.get(f"/admin/leaks/{row.id}").text
        actions = {(form.get("action") or "").rpartition("/")[2] for form in Page(text).all("form")}
        assert {"adopt", "keep", "remove"} <= actions
        for action in ("keep", "remove"):
            answer = client.post(f"/admin/leaks/{row.id}/do/{action}", data={"csrf": csrf}, headers=SAME)
            assert answer.headers["location"].startswith("/admin/leaks?done=")
    fleet.work()
    assert listed(fleet) == []
    assert fleet.machines().machines == ()


def test_a_second_machine_of_a_living_desktop_is_listed(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.fill(pool)
    fleet.scan()
    (desktop,) = fleet.rows(t.desktops)
    double = Belonging("machine", "other-id", "double", desktop.id)
    litter(fleet, double)
    leaks.look(fleet.broker, CENTER)
    (row,) = listed(fleet)
    assert row.reason["code"] == "machine.duplicate"
    with pytest.raises(Conflict, match="another machine"):
        leaks.adopt(fleet.broker, actor(fleet.broker), row.id)


def test_what_a_machine_left_that_was_deleted_outside_is_swept(fleet: Fleet) -> None:
    """Its port and address go; a stranger's, a living desktop's and what an administrator has judged stay."""
    pool = fleet.pool(start_below=2, stop_at=2)
    fleet.fill(pool)
    lost, living = fleet.rows(t.desktops)
    litter(
        fleet,
        Belonging("port", "port-1", "port", lost.id),
        Belonging("floating ip", "ip-1", "192.0.2.9", lost.id),
        Belonging("volume", "volume-1", "kept", lost.id),
        Belonging("port", "port-2", "port", living.id, None, living.external_id),
        Belonging("port", "port-3", "port", str(uuid4())),
    )
    driver = fleet.broker.cloud_drivers["littered"]
    fleet.insert(t.leaks, center_id=CENTER, kind="volume", external_id="volume-1", name="kept", state="kept", decided_by="admin", desktop_id=lost.id,
                 machine_id=None, reason={}, made_at=None, seen_at=fleet.clock())  # fmt: skip
    fleet.cloud().delete(lost.external_id)
    fleet.limits(pool, 0, 0)
    fleet.scan()
    fleet.work()
    assert fleet.row(t.desktops, lost.id).stage == "gone"
    assert driver.removed == ["ip-1", "port-1"]  # type: ignore[attr-defined]


def test_what_a_cut_short_create_left_goes_with_its_desktop(fleet: Fleet) -> None:
    """No machine came of it, but a port: deleting the desktop removes that too."""
    pool = fleet.pool(start_below=1, stop_at=1)
    provision.refill(fleet.broker, pool)
    (row,) = fleet.rows(t.desktops)
    driver = litter(fleet, Belonging("port", "port-1", "port", row.id))
    fleet.limits(pool, 0, 0)
    with fleet.broker.db.write() as conn:
        enqueue(fleet.broker, conn, "desktop_delete", OfDesktop(row.id), tenant_id=row.tenant_id)
        conn.execute(t.jobs.delete().where(t.jobs.c.kind == "desktop_build"))
    fleet.work()
    assert fleet.row(t.desktops, row.id).stage == "gone"
    assert driver.removed == ["port-1"]
