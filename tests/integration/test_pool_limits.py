"""What a pool asks for reaches the cloud, and its limits hold by the clock, both ways."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.brokers import actor
from tests.fleet import CENTER, CLIENT, Bare, Fleet

from portico.domain.model import Placement, RootVolume
from portico.errors import Invalid
from portico.ports.cloud import Capabilities, MachineSpec
from portico.services import configure, connect, provision
from portico.services.portal import offers
from portico.store import desktops
from portico.store import tables as t

MONDAY_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Seeing(Bare):
    """A fake cloud that keeps what it was asked to make."""

    seen: list[MachineSpec]

    def create(self, spec: MachineSpec) -> str:
        type(self).seen.append(spec)
        return super().create(spec)


class Networked(Bare):
    """A fake cloud that makes nothing without a network."""

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), needs_network=True)


@pytest.fixture
def specs(fleet: Fleet) -> Iterator[list[MachineSpec]]:
    Seeing.seen = []
    fleet.broker = replace(fleet.broker, cloud_drivers={**fleet.broker.cloud_drivers, "bare": Seeing})
    yield Seeing.seen


def living(fleet: Fleet, pool: str) -> list[Any]:
    return fleet.rows(t.desktops, t.desktops.c.built_for_pool == pool, t.desktops.c.deleted_at.is_(None))


def change(fleet: Fleet, pool: str, **provisioning: Any) -> None:
    body = fleet.row(t.pools, pool).body
    fleet.change(t.pools, pool, body={**body, "provisioning": body["provisioning"] | provisioning})


@pytest.mark.capability("S102", "S103", "S105", "S106", "S107", "S110")
def test_all_that_the_form_asks_for_reaches_the_cloud(fleet: Fleet, specs: list[MachineSpec]) -> None:
    placement = {
        "zone": "fake-zone", "security_groups": ["default", "fake-desktops"], "default_security_group": False,
        "floating_ip": True, "floating_network": "fake-public", "server_group": "fake-apart", "key_pair": "fake-key",
        "config_drive": True, "volume": {"create": True, "size_gib": 20, "type": "fake-fast", "delete_with_machine": False},
        "metadata": {"role": "{POOL}-{SEQUENCE:3}", "who": "{VM:NAME} {VM:ID}"},
    }  # fmt: skip
    pool = fleet.pool(
        "Lab", start_below=2, stop_at=2, flavor="small", network="fake-net", placement=placement,
        display_name_template="Lab {SEQUENCE:2}", user_data="hostname: {VM:NAME}\nname: {VM:DISPLAY_NAME}\nhome: ${HOME}",
    )  # fmt: skip
    fleet.fill(pool)
    asked = sorted(specs, key=lambda spec: spec.name)
    assert [(spec.name, spec.display_name) for spec in asked] == [("desktop-1", "Lab 01"), ("desktop-2", "Lab 02")]
    first = asked[0]
    assert (first.flavor, first.network) == ("small", "fake-net")
    assert first.user_data == "hostname: desktop-1\nname: Lab 01\nhome: ${HOME}"
    assert first.placement == Placement(
        "fake-zone", ("default", "fake-desktops"), False, True, "fake-public", RootVolume(True, 20, "fake-fast", False),
        "fake-apart", "fake-key", True, {"role": "Lab-001", "who": f"desktop-1 {first.desktop_id}"},
    )  # fmt: skip
    assert sorted(row.display_name for row in living(fleet, pool)) == ["Lab 01", "Lab 02"]


@pytest.mark.capability("S102", "S110")
def test_what_is_wrong_is_said_at_its_field_when_the_pool_is_saved(fleet: Fleet) -> None:
    fields = {
        "name": "Lab",
        "provisioning": {
            "limits": {"enabled": True, "start_below": 1, "stop_at": 1}, "center_id": CENTER, "image": "fake-linux",
            "display_name_template": "{USER}", "user_data": "a {VM:ADDRESS}", "enforce": True, "deletable": False,
            "time_zone": "Europe/Atlantis",
            "time_limits": [{"start": "8", "stop": "18:00", "weekdays": [7], "start_below": 3, "stop_at": 2}],
            "placement": {"metadata": {"role": "{NOTHING}"}, "volume": {"type": "fake-fast"}},
            "actions": [{"action": "set_available"}, {"action": "start"}],
        },
    }  # fmt: skip
    with pytest.raises(Invalid) as caught:
        configure.create_item(fleet.broker, actor(fleet.broker), "pools", fields)
    wrong = {name.removeprefix("provisioning."): text for name, text in caught.value.fields.items()}
    assert sorted(wrong) == [
        "actions.0.action", "display_name_template", "enforce", "placement.metadata", "placement.volume.type", "time_limits.0.start",
        "time_limits.0.stop_at", "time_limits.0.weekdays", "time_zone", "user_data",
    ]  # fmt: skip
    assert "{USER}" in wrong["display_name_template"]
    assert "{VM:ADDRESS}" in wrong["user_data"]
    assert "{NOTHING}" in wrong["placement.metadata"]


@pytest.mark.capability("S093", "S097", "S111")
def test_limits_follow_the_clock_and_come_down_where_the_pool_enforces_them(fleet: Fleet) -> None:
    fleet.clock.at = MONDAY_NOON
    day = {"weekdays": [0, 1, 2, 3, 4], "start": "08:00", "stop": "18:00", "start_below": 4, "stop_at": 6}
    pool = fleet.pool(start_below=1, stop_at=2, time_limits=[day], time_zone="Europe/Berlin")
    fleet.fill(pool)
    assert len(living(fleet, pool)) == 4
    fleet.clock.forward(minutes=5 * 60)  # 17:00 UTC is 18:00 there
    fleet.fill(pool)
    assert len(living(fleet, pool)) == 4  # nothing is deleted without the wish
    change(fleet, pool, enforce=True)
    decision = provision.refill(fleet.broker, pool)
    assert decision is not None
    assert len(decision.retire) == 2
    fleet.work()
    assert len(living(fleet, pool)) == len(fleet.machines().machines) == 2
    assert "pool.retiring" in fleet.codes()
    fleet.clock.forward(minutes=14 * 60)  # the next morning
    fleet.fill(pool)
    assert len(living(fleet, pool)) == 4


@pytest.mark.capability("S111", "S098")
def test_what_somebody_has_stays_above_every_limit(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=3, stop_at=3)
    fleet.line(pool)
    fleet.fill(pool)
    me = fleet.log_in()
    opened = connect.connect(fleet.broker, me, offers(fleet.broker, me).offers[0].id, CLIENT)
    assert opened is not None
    held = [row.id for row in living(fleet, pool) if row.used_seats]
    assert len(held) == 1
    change(fleet, pool, enforce=True, limits={"start_below": 0, "stop_at": 0})
    fleet.fill(pool)
    assert [row.id for row in living(fleet, pool)] == held
    assert [machine.desktop_id for machine in fleet.machines().machines] == held


@pytest.mark.capability("S111")
def test_builds_that_are_not_wanted_any_more_leave_nothing_behind(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=5, stop_at=5, enforce=True)
    provision.refill(fleet.broker, pool)
    change(fleet, pool, limits={"start_below": 1, "stop_at": 2})
    provision.refill(fleet.broker, pool)
    fleet.work()
    fleet.work()
    assert len(living(fleet, pool)) == len(fleet.machines().machines) == 2


@pytest.mark.capability("S100")
def test_without_a_network_nothing_is_built_where_the_center_needs_one(fleet: Fleet) -> None:
    fleet.broker = replace(fleet.broker, cloud_drivers={**fleet.broker.cloud_drivers, "bare": Networked})
    pool = fleet.pool(start_below=1, stop_at=1)
    decision = provision.refill(fleet.broker, pool)
    assert decision is not None
    assert (decision.build, decision.reason.code) == (0, "pool.no_network")
    assert living(fleet, pool) == []
    change(fleet, pool, network="fake-net")
    fleet.fill(pool)
    assert len(living(fleet, pool)) == 1


@pytest.mark.capability("S096")
def test_a_pool_that_counts_only_available_desktops_makes_up_for_the_others(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=2, stop_at=3, count_only_available=True)
    fleet.fill(pool)
    fleet.change(t.desktops, living(fleet, pool)[0].id, status="unavailable")
    fleet.fill(pool)
    assert len(living(fleet, pool)) == 3
    fleet.change(t.desktops, living(fleet, pool)[1].id, status="unavailable")
    fleet.fill(pool)
    assert len(living(fleet, pool)) == 3  # the maximum holds all the same


@pytest.mark.capability("S111", "S116")
def test_a_seat_that_is_taken_and_a_desktop_that_is_deleted_have_one_winner(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=2, stop_at=2)
    fleet.fill(pool)
    one, two = (row.id for row in living(fleet, pool))
    with fleet.broker.db.write() as conn:
        assert desktops.take_seat(conn, one, "assignment", "user", fleet.clock()) is not None
        assert desktops.retire(conn, one, fleet.clock()) is False
        assert desktops.retire(conn, two, fleet.clock()) is True
        assert desktops.take_seat(conn, two, "assignment", "user", fleet.clock()) is None
