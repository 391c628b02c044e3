"""Making and removing desktops: the row is written before the cloud is called, so that a kill at any line leaks nothing."""

import json
import secrets
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select

from portico.domain import pools as pool_rules
from portico.domain import provisioning
from portico.domain.explain import as_json
from portico.domain.jobs import CenterScan, OfDesktop, OfPool
from portico.domain.model import Desktop, Pool, Reason, Stage, Status
from portico.domain.states import IN_FLIGHT
from portico.domain.tags import Value
from portico.errors import CloudError, CloudNotFound, CloudRefused, QuotaExceeded
from portico.ports.cloud import MachineSpec
from portico.services import endings, membership
from portico.services.broker import Broker
from portico.services.claims import Claim
from portico.services.clouds import open_cloud
from portico.services.queueing import enqueue
from portico.services.sessions import hash_secret
from portico.store import agents, centers, desktops, events, pools
from portico.store.scope import System
from portico.store.tables import desktops as desktop_table

CREATE_SECONDS = 120  # after which a create call's outcome is unknown
BUILD_SECONDS = 30 * 60
TOKEN_SECONDS = 2 * 3600
QUOTA_SECONDS = 60  # how long a pool pauses before it looks whether the quota changed
_SCOPE = System("provisioning")


def refill(broker: Broker, pool_id: str) -> provisioning.Decision | None:
    """Count a pool and start building all desktops that it lacks; returns the decision, None when the pool is gone."""
    now = broker.now()
    with broker.db.read() as conn:
        pool = pools.get(conn, _SCOPE, pool_id)
        if pool is None:
            return None
        counts = pool_rules.counts(desktops.list_of_pool(conn, pool_id))
        taken = _names_in(conn, pool.provisioning.center_id)
    decision = provisioning.plan(pool, counts, now, _paused(pool, broker))
    with broker.db.write() as conn:
        pools.keep_counts(conn, pool_id, asdict(counts), now)
        if decision.build:
            _intend(broker, conn, pool, decision, taken)
    return decision


def _paused(pool: Pool, broker: Broker) -> Reason | None:
    if not pool.stopped_reason or (pool.paused_until is not None and pool.paused_until <= broker.now()):
        return None
    return Reason(
        pool.stopped_reason,
        {"pool": pool.name, "failures": pool.failures_in_row, "seconds": _seconds_left(pool, broker)},
    )


def _seconds_left(pool: Pool, broker: Broker) -> int:
    return max(0, round((pool.paused_until - broker.now()).total_seconds())) if pool.paused_until else 0


def _names_in(conn: Connection, center_id: str | None) -> list[str]:
    query = select(desktop_table.c.name).where(
        desktop_table.c.center_id == center_id, desktop_table.c.deleted_at.is_(None)
    )
    return list(conn.scalars(query)) if center_id else []


def _intend(broker: Broker, conn: Connection, pool: Pool, decision: provisioning.Decision, taken: list[str]) -> None:
    """Record what will be built; the pool's build epoch decides which broker may."""
    wanted, now = pool.provisioning, broker.now()
    context: dict[str, Value] = {
        "POOL": lambda argument: pool.name,
        "TENANT": pool.tenant_id,
        "DATE": now.date().isoformat(),
    }
    names, following = provisioning.names(wanted.name_template, pool.next_sequence, decision.build, taken, context)
    center = centers.get(conn, _SCOPE, wanted.center_id or "")
    if center is None or not pools.win_build_epoch(conn, pool, following):
        return
    rows = [_row(broker, pool, name) for name in names]
    for row in rows:
        row["realm"] = center.realm
    desktops.add(conn, rows)
    for row in rows:
        _expect_agent(broker, conn, row)
        enqueue(broker, conn, "desktop_build", OfDesktop(row["id"]), tenant_id=pool.tenant_id, reason=decision.reason)
    pools.write_members(conn, pool.id, _members(conn, pool))
    params = {"pool": pool.name, "number": len(rows), "names": names}
    entry = events.Entry(
        now, "pool.building", pool.tenant_id, params=params, reason=as_json(decision.reason), pool_id=pool.id
    )
    events.add(conn, entry)


def _members(conn: Connection, pool: Pool) -> list[str]:
    parents = {one.id: one for one in pools.list_all(conn, _SCOPE) if one.tenant_id == pool.tenant_id}
    return pool_rules.members(pools.list_live_desktops(conn, pool.tenant_id), pool, parents)


def _row(broker: Broker, pool: Pool, name: str) -> dict[str, Any]:
    wanted, now = pool.provisioning, broker.now()
    spec = {
        "name": name, "image_id": wanted.image, "flavor": wanted.flavor, "network": wanted.network,
        "user_data": wanted.user_data, "options": dict(wanted.options), "pool": pool.name,
    }  # fmt: skip
    return {
        "id": broker.new_id(), "tenant_id": pool.tenant_id, "center_id": wanted.center_id, "name": name,
        "stage": Stage.INTENT, "stage_at": now, "image_id": wanted.image, "deletable": wanted.deletable,
        "start_unavailable": wanted.start_unavailable, "max_sessions": wanted.max_sessions, "built_for_pool": pool.id,
        "spec": spec, "deadline_at": now + timedelta(seconds=BUILD_SECONDS), "created_at": now, "updated_at": now,
        "realm": "", "status": Status.UNAVAILABLE if wanted.start_unavailable else Status.AVAILABLE,
    }  # fmt: skip


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


def build(broker: Broker, desktop_id: str, claim: Claim) -> None:
    """Ask the cloud for one recorded desktop. Safe to repeat: only a desktop in `intent` is asked for."""
    with broker.db.write() as conn:
        claim.check(conn)
        row = desktops.get_row(conn, _SCOPE, desktop_id)
        center = centers.get(conn, _SCOPE, row.center_id) if row else None
        if row is None or row.stage != Stage.INTENT:
            return  # done before, or inventory adopts what an earlier try left
        if center is None:
            desktops.move_stage(conn, desktop_id, [Stage.INTENT], Stage.GONE, broker.now(), status=Status.DELETED,
                                deleted_at=broker.now(), stage_reason="its center was deleted")  # fmt: skip
            return
        agent = agents.get_of_desktop(conn, desktop_id)
        deadline = broker.now() + timedelta(seconds=CREATE_SECONDS)
        desktops.move_stage(
            conn, desktop_id, [Stage.INTENT], Stage.CREATING, broker.now(), deadline_at=deadline, missing_passes=0
        )
    token = (
        broker.vault.open(f"agents.sealed_token:{agent.id}", agent.sealed_token) if agent and agent.sealed_token else ""
    )
    cloud = open_cloud(broker, center)
    try:
        external_id = cloud.create(_spec(broker, row, token))
    except QuotaExceeded as problem:
        _pause(broker, row, problem)
        raise
    except CloudRefused as problem:
        fail(broker, desktop_id, Reason("build.refused", {"detail": problem.sentence}))
        return
    _built(broker, row, external_id)


def _spec(broker: Broker, row: Any, token: str) -> MachineSpec:
    hello = {"broker_url": broker.config.public_url, "ca_fingerprint": broker.keys.ca_fingerprint, "token": token}
    text = (
        row.spec["user_data"].replace("{PORTICO_AGENT}", json.dumps(hello))
        if row.spec["user_data"]
        else json.dumps(hello)
    )
    return MachineSpec(
        desktop_id=row.id,
        deployment_id=broker.deployment_id,
        name=row.name,
        image_id=row.spec["image_id"],
        flavor=row.spec["flavor"],
        network=row.spec["network"],
        user_data=text,
        tags={"portico:pool": row.spec["pool"]},
        options=row.spec["options"],
    )


def _built(broker: Broker, row: Any, external_id: str) -> None:
    now = broker.now()
    with broker.db.write() as conn:
        desktops.move_stage(
            conn, row.id, [Stage.CREATING], Stage.BUILDING, now,
            external_id=external_id, deadline_at=now + timedelta(seconds=BUILD_SECONDS),
        )  # fmt: skip
        # When inventory was quicker, it has adopted the machine and this changes nothing.
        enqueue(broker, conn, "center_scan", CenterScan(row.center_id), tenant_id=row.tenant_id)


def _pause(broker: Broker, row: Any, problem: QuotaExceeded) -> None:
    """The quota does not allow it now: the intent stays, its pool waits and tries again."""
    now = broker.now()
    with broker.db.write() as conn:
        desktops.move_stage(
            conn, row.id, [Stage.CREATING], Stage.INTENT, now, deadline_at=now + timedelta(seconds=BUILD_SECONDS)
        )
        until = now + timedelta(seconds=QUOTA_SECONDS)
        pools.change(conn, row.built_for_pool, stopped_reason="pool.quota", paused_until=until)
        events.add(
            conn,
            events.Entry(now, "pool.quota", row.tenant_id, level="warning", params={"detail": problem.sentence},
                         pool_id=row.built_for_pool, center_id=row.center_id),
        )  # fmt: skip


def fail(broker: Broker, desktop_id: str, reason: Reason) -> None:
    """Give a desktop in the making up: its pool counts the failure, waits or stops, and the remains are deleted."""
    now = broker.now()
    with broker.db.write() as conn:
        row = desktops.get_row(conn, _SCOPE, desktop_id)
        if row is None or not desktops.move_stage(
            conn, desktop_id, IN_FLIGHT, Stage.FAILED, now, stage_reason=reason.code, status=Status.UNAVAILABLE
        ):
            return
        events.add(
            conn,
            events.Entry(now, "desktop.build_failed", row.tenant_id, level="error", params={"desktop": row.name},
                         reason=as_json(reason), desktop_id=desktop_id, pool_id=row.built_for_pool, center_id=row.center_id),
        )  # fmt: skip
        if row.built_for_pool:
            _note_failure(broker, conn, row)
        enqueue(broker, conn, "desktop_delete", OfDesktop(desktop_id), tenant_id=row.tenant_id, reason=reason)


def _note_failure(broker: Broker, conn: Connection, row: Any) -> None:
    now = broker.now()
    pool = pools.get(conn, _SCOPE, row.built_for_pool)
    if pool is None:
        return
    failures = pool.failures_in_row + 1
    stops, wait = provisioning.after_build_failure(failures, now)
    until = None if stops else now + timedelta(seconds=wait)
    code = "pool.stopped_by_errors" if stops else "pool.waiting_after_failure"
    pools.change(conn, pool.id, failures_in_row=failures, stopped_reason=code, paused_until=until)
    if stops:
        entry = events.Entry(
            now, code, pool.tenant_id, level="error", params={"pool": pool.name, "failures": failures}, pool_id=pool.id
        )
        events.add(conn, entry)
    else:
        enqueue(broker, conn, "pool_refill", OfPool(pool.id), tenant_id=pool.tenant_id, run_at=until)


def note_ready(broker: Broker, conn: Connection, desktop: Desktop) -> bool:
    """A desktop in the making can be used: move it to `ready` and let its pool forget earlier failures."""
    now = broker.now()
    before = (Stage.BUILDING, Stage.PREPARING)
    if not desktops.move_stage(conn, desktop.id, before, Stage.READY, now, deadline_at=None, stage_reason=""):
        return False
    if desktop.built_for_pool:
        membership.place(broker, conn, [desktop.id])
        fits = pools.is_member(conn, desktop.built_for_pool, desktop.id)
        # One that its own rule passes over would be made again and again, so provisioning stops and names the rule.
        stopped = "" if fits else "pool.rule_misses_builds"
        pools.change(conn, desktop.built_for_pool, failures_in_row=0, stopped_reason=stopped, paused_until=None)
        enqueue(broker, conn, "pool_stats", OfPool(desktop.built_for_pool), tenant_id=desktop.tenant_id)
    seconds = (now - desktop.created_at).total_seconds() if desktop.created_at else 0
    entry = events.Entry(
        now, "desktop.ready", desktop.tenant_id, params={"desktop": desktop.name, "seconds": round(seconds, 1)},
        desktop_id=desktop.id, pool_id=desktop.built_for_pool, center_id=desktop.center_id,
    )  # fmt: skip
    events.add(conn, entry)
    return True


def delete(broker: Broker, desktop_id: str, claim: Claim) -> None:
    """Remove a desktop's machine and all that was made for it, then mark the desktop gone and refill its pool."""
    now = broker.now()
    with broker.db.write() as conn:
        claim.check(conn)
        row = desktops.get_row(conn, _SCOPE, desktop_id)
        if row is None:
            return  # a desktop that is gone may still have a machine: a create that was answered too late
        stages = (*IN_FLIGHT, Stage.READY, Stage.QUARANTINED, Stage.FAILED)
        desktops.move_stage(conn, desktop_id, stages, Stage.DELETING, now, status=Status.UNAVAILABLE)
        center = centers.get(conn, _SCOPE, row.center_id)
    if center is not None:
        _remove(broker, center, row)
    endings.gone(broker, desktop_id, Reason("desktop.deleted"))


def _remove(broker: Broker, center: Any, row: Any) -> None:
    cloud = open_cloud(broker, center)
    external_id = row.external_id
    if external_id is None and row.stage != Stage.INTENT:  # asked for, and the answer never came
        scan = cloud.scan()
        if not scan.complete:
            raise CloudError("The machine could not be looked for: the list was not complete.")
        external_id = next((machine.external_id for machine in scan.machines if machine.desktop_id == row.id), None)
    if external_id is not None:
        with suppress(CloudNotFound):  # what we wanted
            cloud.delete(external_id)
