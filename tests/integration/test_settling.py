"""After a time without brokers, what destroys waits until it is known who is at work."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, update
from tests.brokers import TENANT, make_broker

from portico.services import settling
from portico.services.broker import Broker
from portico.store import agents, desktops, fleet, tables

pytestmark = pytest.mark.capability("S026", "S114")

START = datetime(2030, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broker(fresh_database_url: str, tmp_path: Path, clock: Clock) -> Iterator[Broker]:
    made = make_broker(tmp_path, fresh_database_url, clock)
    center = {
        "id": "c",
        "tenant_id": TENANT,
        "name": "Here",
        "body": {},
        "version": 1,
        "kind": "nowhere",
        "status": "new",
    }
    times = {"created_at": START, "updated_at": START}
    with made.db.write() as conn:
        conn.execute(insert(tables.centers).values(**center, **times, status_reason="", pass_number=0))
        row = {"id": "d", "tenant_id": TENANT, "center_id": "c", "name": "desk", "stage_at": START, **times}
        desktops.add(conn, [row])
        agents.expect(conn, id="a", tenant_id=TENANT, desktop_id="d", token_hash="t", enrolled_at=START, seen_at=START)
    yield made
    made.db.dispose()


def beat_then_away(broker: Broker, clock: Clock, seconds: int) -> bool:
    with broker.db.write() as conn:
        fleet.add_broker(conn, "b", "host", "1", clock())
    clock.now += timedelta(seconds=seconds)
    return settling.begin(broker)


def waits(broker: Broker) -> bool:
    with broker.db.read() as conn:
        return settling.must_wait(broker, conn, "d")


def test_a_first_start_has_nothing_to_wait_for(broker: Broker) -> None:
    """A deployment that never had a broker does not settle."""
    assert not settling.begin(broker)
    assert not waits(broker)


def test_a_short_gap_is_no_absence(broker: Broker, clock: Clock) -> None:
    """Between two heartbeats nobody was away."""
    assert not beat_then_away(broker, clock, 10)
    assert not waits(broker)


def test_a_timer_waits_for_a_fresh_report(broker: Broker, clock: Clock) -> None:
    """After an hour without brokers a timer waits until the desktop's agent has spoken."""
    assert beat_then_away(broker, clock, 3600)
    assert waits(broker)
    clock.now += timedelta(seconds=1)
    with broker.db.write() as conn:
        conn.execute(update(tables.agents).values(seen_at=clock()))
    assert not waits(broker)


def test_a_timer_waits_for_the_settle_period_at_most(broker: Broker, clock: Clock) -> None:
    """Of an agent that stays silent nothing is learnt by waiting longer."""
    beat_then_away(broker, clock, 3600)
    clock.now += timedelta(seconds=settling.SETTLE_SECONDS)
    assert not waits(broker)
