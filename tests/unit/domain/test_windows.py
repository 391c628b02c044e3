"""Limits by the time of the week, whatever the clocks do."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain.model import Provisioning, ProvisionLimits, TimeLimit
from portico.domain.windows import MAX_WINDOWS, clock, limits_at, next_change

pytestmark = pytest.mark.capability("S093", "S098")

BERLIN = ZoneInfo("Europe/Berlin")
OWN = ProvisionLimits(True, 5, 20)
DAY = TimeLimit((0, 1, 2, 3, 4), "08:00", "18:00", 10, 40)
NIGHT = TimeLimit((4,), "22:00", "06:00", 1, 2)


def at(text: str, zone: tzinfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def holding(moment: datetime, *windows: TimeLimit, zone: tzinfo = BERLIN) -> int:
    return limits_at(Provisioning(OWN, time_limits=windows), moment, zone).start_below


@pytest.mark.parametrize(
    ("moment", "start_below"),
    [
        ("2026-03-02T07:59:59", 5),  # a Monday
        ("2026-03-02T08:00", 10),
        ("2026-03-02T17:59:59", 10),
        ("2026-03-02T18:00", 5),
        ("2026-03-07T12:00", 5),  # a Saturday
    ],
)
def test_a_window_holds_on_its_days_between_its_hours(moment: str, start_below: int) -> None:
    assert holding(at(moment), DAY) == start_below


@pytest.mark.parametrize(
    ("moment", "start_below"),
    [
        ("2026-03-06T21:59", 5),  # a Friday
        ("2026-03-06T22:00", 1),
        ("2026-03-07T05:59", 1),
        ("2026-03-07T06:00", 5),
        ("2026-03-07T23:00", 5),
        ("2026-03-06T05:00", 5),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens(moment: str, start_below: int) -> None:
    assert holding(at(moment), NIGHT) == start_below


@pytest.mark.parametrize("stop", ["00:00", "24:00"])
def test_a_whole_day_can_be_one_window(stop: str) -> None:
    whole = TimeLimit((6,), "00:00", stop, 0, 0)
    assert [
        holding(at(f"2026-03-{day:02}T{hour}:00"), whole) for day, hour in ((7, 23), (8, "00"), (8, 23), (9, "00"))
    ] == [5, 0, 0, 5]


def test_the_first_open_window_wins() -> None:
    lunch = TimeLimit((0,), "12:00", "13:00", 2, 3)
    assert holding(at("2026-03-02T12:30"), lunch, DAY) == 2
    assert holding(at("2026-03-02T12:30"), DAY, lunch) == 10


def test_the_wall_clock_is_that_of_the_zone() -> None:
    moment = at("2026-03-02T07:30", UTC)
    assert holding(moment, DAY, zone=BERLIN) == 10
    assert holding(moment, DAY, zone=UTC) == 5


def test_clocks_that_go_forward_or_back_move_no_window_off_its_wall_clock() -> None:
    for day in ("2026-03-27", "2026-03-30", "2026-10-23", "2026-10-26"):  # before and after both changes of 2026
        assert [holding(at(f"{day}T{time}"), DAY) for time in ("07:59", "08:00", "17:59", "18:00")] == [5, 10, 10, 5]


def test_a_time_that_does_not_exist_is_read_with_the_offset_before_the_gap() -> None:
    early = TimeLimit((6,), "02:30", "05:00", 1, 2)  # on 29 March 2026, clocks go from 02:00 to 03:00
    assert [holding(at(f"2026-03-29T{time}"), early) for time in ("01:59", "03:29", "03:30", "04:59", "05:00")] == [
        5,
        5,
        1,
        1,
        5,
    ]
    lost = TimeLimit((6,), "02:00", "03:00", 1, 2)
    assert holding(at("2026-03-29T03:30"), lost) == 5


def test_a_time_that_exists_twice_opens_and_closes_once() -> None:
    night = TimeLimit((6,), "02:15", "02:45", 1, 2)  # on 25 October 2026, clocks go from 03:00 back to 02:00
    first = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)  # 02:00 in summer time
    open_at = [minute for minute in range(0, 180) if holding(first + timedelta(minutes=minute), night) == 1]
    assert open_at == list(range(15, 45))


def test_the_next_change_says_when_and_to_what() -> None:
    wanted = Provisioning(OWN, time_limits=(DAY,))
    change = next_change(wanted, at("2026-03-06T12:00"), BERLIN)
    assert change is not None
    assert (change.at, change.limits) == (at("2026-03-06T18:00"), OWN)
    change = next_change(wanted, change.at, BERLIN)
    assert change is not None
    assert (change.at, change.limits.start_below) == (at("2026-03-09T08:00"), 10)


def test_windows_that_change_nothing_are_no_change() -> None:
    same = TimeLimit((0, 1, 2, 3, 4, 5, 6), "08:00", "18:00", OWN.start_below, OWN.stop_at)
    assert next_change(Provisioning(OWN, time_limits=(same,)), at("2026-03-02T09:00"), BERLIN) is None
    assert next_change(Provisioning(OWN), at("2026-03-02T09:00"), BERLIN) is None


def test_a_pool_that_is_off_stays_off_in_its_windows() -> None:
    off = Provisioning(ProvisionLimits(False, 5, 20), time_limits=(DAY,))
    assert limits_at(off, at("2026-03-02T09:00"), BERLIN).enabled is False


@pytest.mark.parametrize("text", ["", "8:00", "08", "08:60", "25:00", "24:01", "aa:bb", "08:00:00", "٠٨:٠٠", "-1:00"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert clock(text) is None
    assert holding(at("2026-03-02T12:00"), TimeLimit((0,), text, "18:00", 1, 2)) == 5


TIMES = st.builds(lambda hour, minute: f"{hour:02}:{minute:02}", st.integers(0, 23), st.integers(0, 59))
WINDOWS = st.builds(
    TimeLimit, st.sets(st.integers(0, 6), min_size=1).map(tuple), TIMES, TIMES, st.integers(0, 9), st.integers(10, 99)
)
ZONES = st.sampled_from(
    [ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")]
)
MOMENTS = st.integers(0, 10 * 365 * 24 * 60).map(
    lambda minutes: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@given(st.lists(WINDOWS, max_size=4).map(tuple), MOMENTS, ZONES)
def test_until_the_next_change_nothing_changes(windows: tuple[TimeLimit, ...], now: datetime, zone: tzinfo) -> None:
    wanted = Provisioning(OWN, time_limits=windows)
    here, change = limits_at(wanted, now, zone), next_change(wanted, now, zone)
    end = change.at if change else now + timedelta(days=7)
    assert end > now
    for part in range(8):
        assert limits_at(wanted, now + (end - now) * part / 8, zone) == here
    if change:
        assert limits_at(wanted, change.at, zone) == change.limits != here


def test_more_windows_than_a_form_takes_are_left_aside() -> None:
    many = (TimeLimit((5,), "01:00", "02:00", 1, 2),) * MAX_WINDOWS
    assert holding(at("2026-03-02T12:00"), *many, DAY) == 5
