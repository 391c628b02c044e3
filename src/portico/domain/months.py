"""Calendar months, by which usage is reported. Pure."""

from datetime import UTC, datetime


def latest(now: datetime, number: int) -> tuple[tuple[datetime, datetime], ...]:
    """Return begin and end (UTC) of the latest months, the current one first, which ends now."""
    end = now.astimezone(UTC)
    found = []
    for _ in range(number):
        begin = _first(end)
        found.append((begin, end))
        end = begin
    return tuple(found)


def _first(end: datetime) -> datetime:
    """Return when the month began that ends, or goes on, at `end`."""
    begin = end.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if begin < end:
        return begin
    return begin.replace(year=begin.year - 1, month=12) if begin.month == 1 else begin.replace(month=begin.month - 1)
