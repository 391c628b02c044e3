"""Which desktops belong to a pool, and how they are counted."""

from collections.abc import Callable, Iterable, Mapping

from portico.domain import rules
from portico.domain.model import (
    AgentState,
    Desktop,
    Pool,
    PoolCounts,
    PoolRule,
    Power,
    SessionState,
    Stage,
    Status,
)
from portico.domain.states import IN_FLIGHT

Test = Callable[[Desktop], bool]

# The attributes that a rule may name, each with the texts it stands for: most have one, tags and images have several.
ATTRIBUTES: Mapping[str, Callable[[Desktop, Mapping[str, str]], tuple[str, ...]]] = {
    "name": lambda desktop, images: (desktop.name,),
    "display_name": lambda desktop, images: (desktop.display_name,),
    "address": lambda desktop, images: (desktop.address or "",),
    "public_address": lambda desktop, images: (desktop.public_address or "",),
    "os_family": lambda desktop, images: (desktop.os_family,),
    "image": lambda desktop, images: _image(desktop, images),
    "center": lambda desktop, images: (desktop.center_id,),
    "power": lambda desktop, images: (desktop.power.value,),
    "agent": lambda desktop, images: (desktop.agent.value,),
    "max_sessions": lambda desktop, images: (str(desktop.max_sessions),),
    "tag": lambda desktop, images: (*desktop.tags, *(f"{key}={value}" for key, value in desktop.tags.items())),
}

ADDRESSES = frozenset({"address", "public_address"})
AT_WORK = frozenset({SessionState.LOGGED_ON, SessionState.LOCKED, SessionState.IDLE})


def matches(desktop: Desktop, rule: PoolRule, images: Mapping[str, str] | None = None) -> bool:
    """Tell whether the desktop meets the rule. `images` maps a center's image ids to names; a broken line meets nothing."""
    return _compile(rule, images or {})(desktop)


def check_rule(rule: PoolRule) -> dict[str, str]:
    """Return what is wrong with a rule: field path → sentence. Empty when it can be used."""
    found = rules.check(rule.join, rule.rules, ATTRIBUTES, ADDRESSES)
    return {path if path == "join" else f"rules.{path}".rstrip("."): sentence for path, sentence in found.items()}


def members(
    desktops: Iterable[Desktop], pool: Pool, parents: Mapping[str, Pool], images: Mapping[str, str] | None = None
) -> list[str]:
    """Return the ids of the pool's desktops: those that meet its rule and the rule of each pool above it.

    `parents` maps ids to pools. A pool whose parent is missing has no members: to narrow nothing would be to offer all.
    """
    line = _with_ancestors(pool, parents)
    tests = [_compile(one.rule, images or {}) for one in line or ()]
    tests += [_built_for(one.id) for one in line or () if one.rule.own_builds]
    if not tests:
        return []
    return [desktop.id for desktop in desktops if _exists(desktop) and all(test(desktop) for test in tests)]


def find_cycle(pools: Mapping[str, Pool]) -> list[str] | None:
    """Return the ids of pools that are each other's ancestors, from one round to itself, or None when there are none."""
    settled: set[str] = set()
    for start in pools:
        path: list[str] = []
        here: str | None = start
        while here is not None and here in pools and here not in settled:
            if here in path:
                return path[path.index(here) :]
            path.append(here)
            here = pools[here].parent_id
        settled.update(path)
    return None


def counts(desktops_of_pool: Iterable[Desktop]) -> PoolCounts:
    """Count a pool's desktops: its members and what was built for it.

    Deleted and duplicate ones count nowhere. Failed ones, and those being deleted, stand in `total` alone (they fill the
    pool until they are gone, yet nobody can get one). Of the rest each is either assigned (every seat is used) or
    unassigned, and unassigned = available + unavailable + building. Builds are unassigned from their first moment on.
    """
    number = dict.fromkeys(PoolCounts.__dataclass_fields__, 0)
    for desktop in desktops_of_pool:
        for key in _counts_as(desktop):
            number[key] += 1
    return PoolCounts(**number)


def _counts_as(desktop: Desktop) -> list[str]:
    """Return the counters that a desktop raises."""
    if not _exists(desktop):
        return []
    if desktop.stage is Stage.DELETING:
        return ["total"]
    if desktop.stage is Stage.FAILED:
        return ["total", "failed"]
    keys = ["total"]
    if desktop.used_seats > 0 and desktop.free_seats <= 0:
        keys.append("assigned")
    else:
        keys += ["unassigned", _free_kind(desktop)]
    keys += ["running"] if desktop.power is Power.RUNNING else []
    keys += ["agent_running"] if desktop.agent is AgentState.RUNNING else []
    keys += ["connected"] if desktop.session in AT_WORK else []
    return keys


def _free_kind(desktop: Desktop) -> str:
    if desktop.stage in IN_FLIGHT:
        return "building"
    usable = desktop.stage is Stage.READY and desktop.status is Status.AVAILABLE and not desktop.maintenance
    return "available" if usable else "unavailable"


def _exists(desktop: Desktop) -> bool:
    return desktop.status not in (Status.DELETED, Status.DUPLICATE) and desktop.stage is not Stage.GONE


def _with_ancestors(pool: Pool, parents: Mapping[str, Pool]) -> list[Pool] | None:
    """Return the pool and all above it, each once, or None when one of them is missing."""
    line: dict[str, Pool] = {}
    here: Pool | None = pool
    while here is not None and here.id not in line:
        line[here.id] = here
        if here.parent_id is None:
            break
        here = parents.get(here.parent_id)
    return list(line.values()) if here is not None else None


def _compile(rule: PoolRule, images: Mapping[str, str]) -> Test:
    """Return the rule as one test, so that a fleet is judged without reading the rule's texts for each desktop."""
    centers, picked = frozenset(rule.centers), frozenset(rule.desktops)
    attributes = {name: _texts(read, images) for name, read in ATTRIBUTES.items()}
    tests = [rules.compile_line(line, attributes, ADDRESSES) for line in rule.rules]
    join = any if rule.join == "or" else all

    def test(desktop: Desktop) -> bool:
        if (centers and desktop.center_id not in centers) or (picked and desktop.id not in picked):
            return False
        return not tests or join(one(desktop) for one in tests)

    return test


def _texts(
    read: Callable[[Desktop, Mapping[str, str]], tuple[str, ...]], images: Mapping[str, str]
) -> Callable[[Desktop], tuple[str, ...]]:
    return lambda desktop: read(desktop, images)


def _built_for(pool_id: str) -> Test:
    return lambda desktop: desktop.built_for_pool == pool_id


def _image(desktop: Desktop, images: Mapping[str, str]) -> tuple[str, ...]:
    """Return the image's id and, where known, its name: a rule may use either."""
    external_id = desktop.image_id or ""
    return (external_id, images[external_id]) if external_id in images else (external_id,)
