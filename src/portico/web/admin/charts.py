"""Charts as numbers for a plain SVG: drawn by the server, read without a script, told in words as well."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from portico.domain.model import PoolCounts

WIDTH, TOP, BOTTOM = 640, 8, 148


@dataclass(frozen=True, slots=True)
class Chart:
    """Two steps over time: how many desktops there were and how many were in use, as SVG paths."""

    total: str
    assigned: str
    highest: int
    first: datetime
    last: datetime
    most_used: int


def demand(points: Sequence[tuple[datetime, PoolCounts]], now: datetime) -> Chart | None:
    """Return the chart of some hours up to now: a count holds until the next one. None when there is too little to draw."""
    if len(points) < 2:
        return None
    highest = max(1, *(counts.total for _, counts in points))
    first, last = points[0][0], max(now, points[-1][0])
    span = max(1.0, (last - first).total_seconds())

    def path(values: Sequence[int]) -> str:
        steps = []
        for (at, _), value in zip(points, values, strict=True):
            x = (at - first).total_seconds() / span * WIDTH
            y = BOTTOM - value / highest * (BOTTOM - TOP)
            steps.append(f"H{x:.1f}V{y:.1f}")
        return f"M0,{BOTTOM}" + "".join(steps) + f"H{WIDTH}V{BOTTOM}Z"

    used = [counts.assigned for _, counts in points]
    return Chart(path([counts.total for _, counts in points]), path(used), highest, first, last, max(used))
