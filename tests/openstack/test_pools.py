"""Pools over a real project: filled by one broker or by two at once, refilled, never beyond their limit, and ended without a trace."""

import threading
from collections import Counter

import pytest
from tests.fleet import Fleet, second
from tests.openstack.fleets import eventually, live, make_cloud_fleet, pool_of
from tests.openstack.projects import Project

from portico.domain.jobs import OfDesktop
from portico.services import provision
from portico.services.queueing import enqueue
from portico.store import tables as t

pytestmark = [pytest.mark.timeout(300), pytest.mark.capability("S093", "S095", "S097", "S098", "S102", "S109")]


def until_full(fleet: Fleet, number: int) -> None:
    def step() -> None:
        fleet.clock.forward(seconds=20)
        fleet.work()
        fleet.scan()

    eventually(fleet, f"{number} ready", step, lambda: [row.stage for row in live(fleet)] == ["ready"] * number)


def delete(fleet: Fleet, *rows: object) -> None:
    with fleet.broker.db.write() as conn:
        for row in rows:
            enqueue(fleet.broker, conn, "desktop_delete", OfDesktop(row.id), tenant_id=row.tenant_id)  # type: ignore[attr-defined]
    fleet.work()


@pytest.mark.capability("S009", "S010", "S012", "S107", "S111", "S115", "S116")
def test_a_pool_is_filled_by_two_brokers_refilled_and_ended(project: Project, fresh_database_url: str) -> None:
    """Three servers, each with a floating IP and its own number, made by two brokers at once; then one deleted, one made; then none."""
    fleet = make_cloud_fleet(project, fresh_database_url)
    pool = pool_of(fleet, project, 3, floating_ip=True, floating_network="public")
    other, most, done = second(fleet), [0], threading.Event()

    def count() -> None:
        while not done.wait(0.1):
            most[0] = max(most[0], len(live(fleet)))

    def refill(broker: Fleet) -> None:
        for _ in range(4):
            provision.refill(broker.broker, pool)
            broker.work()

    both = [threading.Thread(target=refill, args=(broker,)) for broker in (fleet, other)]
    watch = threading.Thread(target=count)
    for thread in (watch, *both):
        thread.start()
    for thread in both:
        thread.join(120)
    until_full(fleet, 3)
    first = {row.id: row for row in live(fleet)}
    assert sorted(row.name for row in first.values()) == [f"{project.mark}-{number}" for number in (1, 2, 3)]
    assert len({row.public_address for row in first.values() if row.public_address}) == 3
    assert all(row.address for row in first.values())
    full = {"servers": 3, "ports": 3, "floatingips": 3}
    assert Counter(one.split()[0] for one in project.holds()) == full

    lost = next(iter(first.values()))
    delete(fleet, lost)
    until_full(fleet, 3)
    assert lost.id not in {row.id for row in live(fleet)}
    eventually(fleet, "only three", lambda: None, lambda: Counter(one.split()[0] for one in project.holds()) == full)
    done.set()
    watch.join(30)
    assert most == [3]
    assert len(fleet.rows(t.desktops, t.desktops.c.built_for_pool == pool)) == 4

    fleet.limits(pool, 0, 0)
    delete(fleet, *live(fleet))
    assert live(fleet) == []
    assert project.holds() == []
    assert project.cloud().belongings() == ()
    other.broker.db.dispose()
