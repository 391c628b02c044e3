"""Limits by the time of the week: which hold at a moment, and when they change next.

A window is written in wall-clock time and lives in UTC. A wall-clock time that does not exist (clocks go forward) or exists
twice (clocks go back) is read as calendars read it: with the offset before the gap, and as the first of the two (RFC 5545,
section 3.3.5). So every window has one beginning and one end, whatever the clocks do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from portico.domain.model import Provisioning, ProvisionLimits, TimeLimit

MAX_WINDOWS = 50
WEEK = timedelta(days=7)
DAYS_AHEAD = 9  # all windows that are open at any moment of the coming week, in any zone


@dataclass(frozen=True, slots=True)
class Change:
    """The next moment at which other limits hold."""

    at: datetime
    limits: ProvisionLimits


def clock(text: str) -> time | None:
    """Return the wall-clock time of a text such as 08:30, None for anything else; 24:00 is the day's end, as 00:00."""
    hours, colon, minutes = text.partition(":")
    if not colon or not all(part.isascii() and part.isdigit() and len(part) == 2 for part in (hours, minutes)):
        return None
    if text == "24:00":
        return time(0)
    return time(int(hours), int(minutes)) if int(hours) < 24 and int(minutes) < 60 else None


def limits_at(provisioning: Provisioning, now: datetime, zone: tzinfo) -> ProvisionLimits:
    """Return the limits that hold `now`: those of the first window that is open, else the pool's own."""
    return _at(provisioning.limits, _spans(provisioning.time_limits, now, zone, days=1), now)


def next_change(provisioning: Provisioning, now: datetime, zone: tzinfo) -> Change | None:
    """Return when other limits hold next, within a week; None where they stay as they are."""
    spans = _spans(provisioning.time_limits, now, zone, DAYS_AHEAD)
    here = _at(provisioning.limits, spans, now)
    edges = {edge for start, stop, _ in spans for edge in (start, stop) if now < edge <= now + WEEK}
    for moment in sorted(edges):
        there = _at(provisioning.limits, spans, moment)
        if there != here:
            return Change(moment, there)
    return None


Span = tuple[datetime, datetime, TimeLimit]


def _spans(windows: Sequence[TimeLimit], now: datetime, zone: tzinfo, days: int) -> list[Span]:
    """Return the windows as spans in UTC, from yesterday's (one may reach over midnight) to `days` ahead, in their own order."""
    today = now.astimezone(zone).date()
    found: list[Span] = []
    for window in windows[:MAX_WINDOWS]:
        begins, ends = clock(window.start), clock(window.stop)
        if begins is None or ends is None:
            continue
        for offset in range(-1, days + 1):
            day = today + timedelta(days=offset)
            if day.weekday() in window.weekdays:
                over = day if ends > begins else day + timedelta(days=1)
                found.append((_moment(day, begins, zone), _moment(over, ends, zone), window))
    return found


def _moment(day: date, at: time, zone: tzinfo) -> datetime:
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)


def _at(own: ProvisionLimits, spans: Sequence[Span], now: datetime) -> ProvisionLimits:
    for start, stop, window in spans:
        if start <= now < stop:
            return ProvisionLimits(own.enabled, window.start_below, window.stop_at)
    return own
