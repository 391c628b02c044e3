"""The kinds of background work: how often, in which lane, with which payload. What a kind does is bound in jobs/table.py.

No two jobs with the same lane run at once; no two with the same waiting key are queued at once.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Nothing:
    """The payload of a kind that concerns the whole deployment."""


@dataclass(frozen=True, slots=True)
class CenterScan:
    """Take the inventory of a center; `full` asks for all machines rather than what changed."""

    center_id: str
    full: bool = False


@dataclass(frozen=True, slots=True)
class OfCenter:
    """Work on one center."""

    center_id: str


@dataclass(frozen=True, slots=True)
class OfLeak:
    """Work on one thing that was left over in a cloud."""

    leak_id: str


@dataclass(frozen=True, slots=True)
class OfDirectory:
    """Work on one directory."""

    directory_id: str


@dataclass(frozen=True, slots=True)
class OfPool:
    """Work on one pool."""

    pool_id: str


@dataclass(frozen=True, slots=True)
class OfDesktop:
    """Work on one desktop."""

    desktop_id: str


@dataclass(frozen=True, slots=True)
class OfAssignment:
    """Work on one assignment."""

    assignment_id: str


@dataclass(frozen=True, slots=True)
class DesktopPower:
    """A power action (a word of PowerAction); with an epoch, only while the desktop's is still the same."""

    desktop_id: str
    action: str
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class DesktopStep:
    """One step of what is done with a desktop after its build, counted from 0."""

    desktop_id: str
    step: int


@dataclass(frozen=True, slots=True)
class AssignmentTimer:
    """What a timer does to an assignment, unless its epoch has moved on; `reason` is the code of what armed it."""

    assignment_id: str
    epoch: int
    action: str  # "release" | "log_out" | "power" | "lock" | "disconnect"
    reason: str
    argument: str = ""
    minutes: int | None = None  # what fills the reason's sentence


Payload = (
    Nothing
    | CenterScan
    | OfCenter
    | OfLeak
    | OfDirectory
    | OfPool
    | OfDesktop
    | OfAssignment
    | DesktopPower
    | DesktopStep
    | AssignmentTimer
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job; `every_seconds` is None for what happens once. `version` is that of the payload's shape."""

    name: str
    every_seconds: int | None
    lane_template: str
    max_attempts: int
    lease_seconds: int = 60
    payload: type[Payload] = Nothing
    key_template: str = ""  # besides the lane, what tells two waiting jobs of this kind apart
    version: int = 1


# Cadences are the defaults of the settings of the same name. The heartbeat of a broker is no job: it runs in its process.
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("center_scan", 60, "center:{center_id}", 3, payload=CenterScan, key_template="{full}"),
            Kind("center_leaks", 900, "center:{center_id}", 3, payload=OfCenter),
            Kind("center_sweep", None, "center:{center_id}", 8, payload=OfCenter),
            Kind("leak_remove", None, "leak:{leak_id}", 8, payload=OfLeak),
            Kind("pool_stats", 20, "pool:{pool_id}", 3, payload=OfPool),
            Kind("pool_history_stats", 300, "pool:{pool_id}", 3, payload=OfPool),
            Kind("pool_refill", None, "pool:{pool_id}", 5, payload=OfPool),
            Kind("desktop_build", None, "desktop:{desktop_id}", 8, payload=OfDesktop),
            Kind("desktop_delete", None, "desktop:{desktop_id}", 20, payload=OfDesktop),
            Kind(
                "desktop_power", None, "desktop:{desktop_id}", 5, payload=DesktopPower, key_template="{action}:{epoch}"
            ),
            Kind("desktop_step", None, "desktop:{desktop_id}", 20, payload=DesktopStep, key_template="{step}"),
            Kind(
                "assignment_timer",
                None,
                "assignment:{assignment_id}",
                20,
                payload=AssignmentTimer,
                key_template="{epoch}:{action}:{argument}:{reason}",
                version=2,  # a broker that knows neither “lock” nor “disconnect” would take the desktop back instead
            ),
            Kind("hand_over", None, "assignment:{assignment_id}", 40, payload=OfAssignment),
            Kind("pool_members", None, "pool:{pool_id}", 5, payload=OfPool),
            Kind("directory_people", 120, "directory:{directory_id}", 3, payload=OfDirectory),
            Kind("agents_lost", 60, "agents_lost", 3),
            Kind("purge", 86400, "purge", 3, lease_seconds=300),
        )
    }
)


def lane(kind: str, payload: Payload) -> str:
    """Return the lane of a job: while one runs in it, others of the lane wait."""
    return KINDS[kind].lane_template.format_map(asdict(payload))


def waiting_key(kind: str, payload: Payload) -> str:
    """Return the key under which only one job may be queued: a second request is the same request."""
    more = KINDS[kind].key_template.format_map(asdict(payload))
    return ":".join(part for part in (kind, lane(kind, payload), more) if part)


def to_json(payload: Payload) -> dict[str, Any]:
    """Return a payload as it stands in the jobs table."""
    return asdict(payload)


def from_json(kind: str, data: Mapping[str, Any]) -> Payload:
    """Return the payload of a row; fields that a newer broker added are left aside. Raises TypeError when one is missing."""
    record = KINDS[kind].payload
    known = {item.name for item in fields(record)}
    return record(**{name: value for name, value in data.items() if name in known})
