"""Making desktops: the row is written before the cloud is called, so that a kill at any line leaks nothing."""

import secrets
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from portico import faults
from portico.domain import patience, provisioning
from portico.domain import pools as pool_rules
from portico.domain.explain import as_json
from portico.domain.jobs import CenterScan, OfDesktop, OfPool
from portico.domain.model import Desktop, Pool, PoolCounts, ProvisionLimits, Reason, Stage, Status
from portico.domain.states import IN_FLIGHT
from portico.errors import CloudLoginRefused, CloudRefused, Conflict, QuotaExceeded
from portico.services import (
    afterbuild,
    desktop_names,
    endings,
    finishing,
    instances,
    pool_limits,
    specs,
    trimming,
)
from portico.services.broker import Broker
from portico.services.claims import Claim
from portico.services.clouds import open_cloud
from portico.services.queueing import When, enqueue
from portico.services.sessions import hash_secret
from portico.store import agents, centers, desktops, events, pools
from portico.store.scope import System

CREATE_SECONDS = 120  # after which a create call's outcome is unknown
TOKEN_SECONDS = 2 * 3600
NAME_TRIES = 5
TURN_SECONDS = 1.0  # until a create looks again whether it is its turn
QUOTA_SECONDS = 60  # how long a pool pauses before it looks whether the quota changed
LOGIN_SECONDS = 60  # how long a build waits for a center whose log-in is refused
_SCOPE = System("provisioning")


def refill(broker: Broker, pool_id: str) -> provisioning.Decision | None:
    """Count a pool and start building all desktops that it lacks; returns the decision, None when the pool is gone."""
    for _ in range(NAME_TRIES):
        try:
            return _refill(broker, pool_id)
        except IntegrityError:  # another pool took one of the names at this moment
            continue
    raise Conflict("The names of this pool are taken by others too quickly at the moment.")


@dataclass(frozen=True, slots=True)
class Judged:
    """A pool at one moment: its counts, the limits that hold, and what it does about them."""

    pool: Pool
    counts: PoolCounts
    limits: ProvisionLimits
    decision: provisioning.Decision


def judge(broker: Broker, pool_id: str) -> Judged | None:
    """Count a pool and decide what it does about its limits now; changes nothing. None when the pool is gone."""
    with broker.db.read() as conn:
        pool = pools.get(conn, _SCOPE, pool_id)
        if pool is None:
            return None
        there = desktops.list_of_pool(conn, pool_id)
        limits = pool_limits.limits_now(broker, conn, pool)
    counts = pool_rules.counts(there)
    decision = provisioning.plan(pool, counts, broker.now(), _paused(pool, broker), limits)
    if decision.build and (objection := _without_network(broker, pool)):
        decision = provisioning.Decision(0, objection)
    retire = provisioning.desktops_to_retire(pool, limits, there)
    if retire:
        more: dict[str, str | int] = {"pool": pool.name, "number": len(retire), "stop_at": limits.stop_at}
        decision = provisioning.Decision(0, Reason("pool.above_limit", {**more}), retire)
    return Judged(pool, counts, limits, decision)


def _refill(broker: Broker, pool_id: str) -> provisioning.Decision | None:
    judged = judge(broker, pool_id)
    if judged is None:
        return None
    pool, decision = judged.pool, judged.decision
    with broker.db.write() as conn:
        pools.keep_counts(conn, pool_id, asdict(judged.counts), broker.now())
        if decision.build:
            _intend(broker, conn, pool, decision)
            faults.point("refill.before_commit")
        if decision.retire:
            trimming.retire(broker, conn, pool, decision)
    faults.point("refill.after_commit")
    return decision


def _without_network(broker: Broker, pool: Pool) -> Reason | None:
    """Return why nothing is built where a center needs a network and neither it nor the pool names one."""
    if pool.provisioning.network:
        return None
    with broker.db.read() as conn:
        center = centers.get(conn, _SCOPE, pool.provisioning.center_id or "")
    if center is None or not open_cloud(broker, center).capabilities().needs_network:
        return None
    return Reason("pool.no_network", {"pool": pool.name})


def _paused(pool: Pool, broker: Broker) -> Reason | None:
    if not pool.stopped_reason or (pool.paused_until is not None and pool.paused_until <= broker.now()):
        return None
    return Reason(
        pool.stopped_reason,
        {"pool": pool.name, "failures": pool.failures_in_row, "seconds": _seconds_left(pool, broker)},
    )


def _seconds_left(pool: Pool, broker: Broker) -> int:
    return max(0, round((pool.paused_until - broker.now()).total_seconds())) if pool.paused_until else 0


def _intend(broker: Broker, conn: Connection, pool: Pool, decision: provisioning.Decision) -> None:
    """Record what will be built; the pool's build epoch decides which broker may."""
    wanted, now = pool.provisioning, broker.now()
    center = centers.get(conn, _SCOPE, wanted.center_id or "")
    if center is None:
        return
    tags = dict(desktop_names.context(conn, pool, center.name))
    taken = desktop_names.taken(conn, wanted.center_id)
    zone = pool_limits.zone_of(conn, pool.tenant_id, wanted.time_zone)
    found, following = provisioning.numbered_names(
        wanted.name_template, pool.next_sequence, decision.build, taken, tags
    )
    if not pools.win_build_epoch(conn, pool, following):
        return
    rows = [specs.intent(broker, pool, specs.Named(name, number, tags, zone), patience.BUILD) for name, number in found]
    for row in rows:
        row["realm"] = center.realm
    desktops.add(conn, rows)
    why = When(why=decision.reason)
    for row in rows:
        _expect_agent(broker, conn, row)
        enqueue(broker, conn, "desktop_build", OfDesktop(row["id"]), tenant_id=pool.tenant_id, when=why)
    pools.write_members(conn, pool.id, _members(conn, pool))
    params = {"pool": pool.name, "number": len(rows), "names": [name for name, _ in found]}
    entry = events.Entry(
        now, "pool.building", pool.tenant_id, params=params, reason=as_json(decision.reason), pool_id=pool.id
    )
    events.add(conn, entry)


def _members(conn: Connection, pool: Pool) -> list[str]:
    parents = {one.id: one for one in pools.list_all(conn, _SCOPE) if one.tenant_id == pool.tenant_id}
    return pool_rules.members(pools.list_live_desktops(conn, pool.tenant_id), pool, parents)


def _expect_agent(broker: Broker, conn: Connection, row: dict[str, Any]) -> None:
    token, agent_id = secrets.token_urlsafe(32), broker.new_id()
    agents.expect(
        conn,
        id=agent_id,
        tenant_id=row["tenant_id"],
        desktop_id=row["id"],
        token_hash=hash_secret(token),
        token_expires_at=broker.now() + timedelta(seconds=TOKEN_SECONDS),
        sealed_token=broker.vault.seal(f"agents.sealed_token:{agent_id}", token),
    )


def build(broker: Broker, desktop_id: str, claim: Claim) -> float | None:
    """Ask the cloud for one recorded desktop; returns seconds to wait while a quota does not allow it, else None.

    Safe to repeat: only a desktop in `intent` is asked for; what an earlier try left is adopted by inventory.
    """
    with broker.db.read() as conn:
        row = desktops.get_row(conn, _SCOPE, desktop_id)
        center = centers.get(conn, _SCOPE, row.center_id) if row else None
        agent = agents.get_of_desktop(conn, desktop_id)
        pool = pools.get(conn, _SCOPE, row.built_for_pool) if row and row.built_for_pool else None
    if row is None or row.stage != Stage.INTENT:
        return None
    if center is None or (row.built_for_pool and pool is None):
        endings.gone(broker, desktop_id, Reason("build.unwanted"))
        return None
    if pool is not None and _paused(pool, broker):
        return (pool.paused_until - broker.now()).total_seconds() if pool.paused_until else QUOTA_SECONDS
    # What may fail here fails before the outcome of a create could become unknown.
    spec, cloud = specs.machine(broker, row, _token(broker, agent)), open_cloud(broker, center)
    deadline = broker.now() + timedelta(seconds=CREATE_SECONDS)
    with broker.db.write() as conn:
        claim.check(conn)
        centers.take_turn(conn, center.id)
        if desktops.count_creating(conn, center.id, broker.now()) >= cloud.capabilities().creates_at_a_time:
            return TURN_SECONDS
        asks = desktops.move_stage(
            conn, desktop_id, [Stage.INTENT], Stage.CREATING, broker.now(), deadline_at=deadline, missing_passes=0
        )
    if not asks:
        return None
    faults.point("build.before_create")
    try:
        external_id = cloud.create(spec)
    except QuotaExceeded as problem:
        _pause(broker, row, problem)
        return QUOTA_SECONDS
    except (
        CloudLoginRefused
    ):  # no fault of the pool's: its center is shown as offline, and the build waits until it is mended
        _put_back(broker, desktop_id)
        return LOGIN_SECONDS
    except CloudRefused as problem:
        fail(broker, desktop_id, Reason("build.refused", {"detail": problem.sentence}))
        return None
    faults.point("build.after_create")
    _built(broker, row, external_id)
    faults.point("build.after_record")
    return None


def _token(broker: Broker, agent: Any) -> str:
    if agent is None or not agent.sealed_token:
        return ""
    return broker.vault.open(f"agents.sealed_token:{agent.id}", agent.sealed_token)


def _built(broker: Broker, row: Any, external_id: str) -> None:
    now = broker.now()
    with broker.db.write() as conn:
        desktops.move_stage(
            conn, row.id, [Stage.CREATING], Stage.BUILDING, now,
            external_id=external_id, deadline_at=now + patience.BUILD,
        )  # fmt: skip
        instances.confirm(broker, conn, row, external_id)
        if row.built_for_pool:
            pools.end_quota_pause(conn, row.built_for_pool)
        # When inventory was quicker, it has adopted the machine and this changes nothing.
        enqueue(broker, conn, "center_scan", CenterScan(row.center_id), tenant_id=row.tenant_id)


def _put_back(broker: Broker, desktop_id: str) -> None:
    now = broker.now()
    with broker.db.write() as conn:
        desktops.move_stage(conn, desktop_id, [Stage.CREATING], Stage.INTENT, now, deadline_at=now + patience.BUILD)


def _pause(broker: Broker, row: Any, problem: QuotaExceeded) -> None:
    """The quota does not allow it now: the intent stays, its pool waits and tries again."""
    now = broker.now()
    with broker.db.write() as conn:
        desktops.move_stage(conn, row.id, [Stage.CREATING], Stage.INTENT, now, deadline_at=now + patience.BUILD)
        until = now + timedelta(seconds=QUOTA_SECONDS)
        pool = pools.get(conn, _SCOPE, row.built_for_pool) if row.built_for_pool else None
        if pool is None:
            return
        pools.change(conn, pool.id, stopped_reason="pool.quota", paused_until=until)
        enqueue(broker, conn, "pool_refill", OfPool(pool.id), tenant_id=pool.tenant_id, when=When(until))
        if pool.stopped_reason != "pool.quota":  # said once, not at each try
            params = {"pool": pool.name, "detail": problem.sentence}
            events.add(
                conn,
                events.Entry(now, "pool.quota", row.tenant_id, level="warning", params=params, pool_id=pool.id,
                             center_id=row.center_id),
            )  # fmt: skip


def fail(broker: Broker, desktop_id: str, reason: Reason) -> None:
    """Give a desktop in the making up: its pool counts the failure, waits or stops, and the remains are deleted."""
    now = broker.now()
    with broker.db.write() as conn:
        row = desktops.get_row(conn, _SCOPE, desktop_id)
        if row is None or not desktops.move_stage(
            conn, desktop_id, IN_FLIGHT, Stage.FAILED, now, stage_reason=reason.code, status=Status.UNAVAILABLE,
            deadline_at=None,
        ):  # fmt: skip
            return
        events.add(
            conn,
            events.Entry(now, "desktop.build_failed", row.tenant_id, level="error", params={"desktop": row.name},
                         reason=as_json(reason), desktop_id=desktop_id, pool_id=row.built_for_pool, center_id=row.center_id),
        )  # fmt: skip
        if row.built_for_pool:
            _note_failure(broker, conn, row)
        enqueue(broker, conn, "desktop_delete", OfDesktop(desktop_id), tenant_id=row.tenant_id, when=When(why=reason))


def _note_failure(broker: Broker, conn: Connection, row: Any) -> None:
    now = broker.now()
    failures = pools.count_failure(conn, row.built_for_pool)
    pool = pools.get(conn, _SCOPE, row.built_for_pool)
    if pool is None:
        return
    stops, wait = provisioning.after_build_failure(failures, now)
    until = None if stops else now + timedelta(seconds=wait)
    code = "pool.stopped_by_errors" if stops else "pool.waiting_after_failure"
    pools.change(conn, pool.id, stopped_reason=code, paused_until=until)
    if stops and pool.stopped_reason != code:
        entry = events.Entry(
            now, code, pool.tenant_id, level="error", params={"pool": pool.name, "failures": failures}, pool_id=pool.id
        )
        events.add(conn, entry)
    else:
        enqueue(broker, conn, "pool_refill", OfPool(pool.id), tenant_id=pool.tenant_id, when=When(until))


def note_ready(broker: Broker, conn: Connection, desktop: Desktop) -> bool:
    """A desktop in the making answers: what its pool wants done with new ones is begun, else it is ready at once."""
    _learn_boot(broker, conn, desktop)
    return not afterbuild.begin(broker, conn, desktop) and finishing.ready(broker, conn, desktop)


def _learn_boot(broker: Broker, conn: Connection, desktop: Desktop) -> None:
    """Keep how long a machine took from the end of the cloud's work until it answered; its image's next one is given by that."""
    row = desktops.get_row(conn, _SCOPE, desktop.id)
    if row is not None and row.stage == Stage.PREPARING and row.epoch == 0 and row.image_id:
        seconds = (broker.now() - row.stage_at).total_seconds()
        learned = patience.learn(centers.boot_seconds(conn, row.center_id, row.image_id), seconds)
        centers.keep_boot_seconds(conn, row.center_id, row.image_id, learned)
