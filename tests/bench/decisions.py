"""How long pure decisions take over large fleets: members of a pool, its counts, the comparison of an inventory."""

from collections.abc import Callable
from datetime import UTC, datetime
from time import process_time

from tests.bench.machine import table

from portico.domain.model import AgentState, Desktop, Pool, PoolRule, Power, Rule
from portico.domain.pools import counts, members
from portico.domain.sync import Seen, compare

POOLED = 100_000
SEEN = 10_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def fleet(number: int) -> list[Desktop]:
    """Return so many running desktops."""
    return [
        Desktop(
            id=f"d{i}", tenant_id="t", center_id="c", name=f"desk-{i:06}", external_id=f"x{i}", power=Power.RUNNING,
            agent=AgentState.RUNNING, os_family="linux", address=f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}",
            protocols={"vnc": 5900},
        )
        for i in range(number)
    ]  # fmt: skip


def machines(desktops: list[Desktop], changed_each: int = 10) -> list[Seen]:
    """Return the machines of desktops as a center lists them, one in ten switched off since."""
    return [
        Seen(
            external_id=str(one.external_id), name=one.name, ready=True, address=one.address, os_family="linux",
            power=Power.RUNNING if i % changed_each else Power.STOPPED, protocols={"vnc": 5900},
        )
        for i, one in enumerate(desktops)
    ]  # fmt: skip


def spent(work: Callable[[], object], times: int = 3) -> float:
    """Return the CPU milliseconds of the best of some tries."""
    best = float("inf")
    for _ in range(times):
        began = process_time()
        work()
        best = min(best, process_time() - began)
    return best * 1000


def report() -> str:
    """Measure each decision at one size and at a tenth of it, and return the table."""
    rule = PoolRule(rules=(Rule("name", "bw", "desk-"), Rule("address", "ip", "10.0.0.0/9")))
    pool = Pool("p", "t", "Pool", rule=rule)
    rows = []
    for what, size, work in (
        ("members of a pool (name and network)", POOLED, lambda some: lambda: members(some, pool, {})),
        ("counts of a pool", POOLED, lambda some: lambda: counts(some)),
        ("an inventory compared, one machine in ten changed", SEEN, _comparison),
    ):
        large, small = spent(work(fleet(size))), spent(work(fleet(size // 10)))
        rows.append([what, size, large, large / size * 1000, large / small])
    return table("Pure decisions", ("decision", "desktops", "CPU ms", "µs each", "× a tenth of it"), rows)


def _comparison(some: list[Desktop]) -> Callable[[], object]:
    seen = machines(some)
    return lambda: compare(some, seen, True, "deployment", NOW)
