"""Agents that know only their broker's address: they wait until a center, a join key or an administrator vouches for them."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from portico.domain.access import Actor, Level
from portico.domain.explain import as_json
from portico.domain.model import AgentState, Desktop, Reason, SessionState
from portico.domain.waiting import Admit, Candidate, Claim, Wait, decide
from portico.errors import Conflict, Denied, Invalid, NotFound, RateLimited
from portico.services import agents as enrolment
from portico.services import configure, instances
from portico.services.broker import Broker
from portico.services.guards import require, scope_of
from portico.services.sessions import hash_secret
from portico.store import agents, desktops, events, waiting
from portico.store.records import desktop as record
from portico.store.scope import Tenant

RETRY_SECONDS = 30
FEWEST_SECONDS = 5  # an agent that asks sooner is answered what it was told before
MOST_PER_ADDRESS, MOST = 50, 2000
_FEWEST_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a waiting agent is answered: credentials once it is admitted, else why it waits."""

    credentials: dict[str, Any] | None
    reason: Reason | None = None


def ask(broker: Broker, source: str, message: Mapping[str, Any]) -> Outcome:
    """Let an agent that nobody expects ask to be admitted; `source` is the address that its request came from.

    Raises Invalid, Denied when an administrator refused it, Conflict when it was admitted before, RateLimited when too many wait.
    """
    now, claim, key_hash = broker.now(), _claim(source, message), hash_secret(_secret(message))
    told = _told(broker, claim, message)
    with broker.db.read() as conn:
        row = waiting.find(conn, key_hash)
        if row is not None and row.state == "waiting" and now - row.seen_at < timedelta(seconds=FEWEST_SECONDS):
            return Outcome(None, _reason(row))
        found = waiting.candidates(conn, claim.instance_id) if claim.instance_id else []
        join = _text(message, "join_key")
        key = waiting.valid_key(conn, hash_secret(join), now) if join else None
    if row is not None and row.state == "refused":
        with broker.db.write() as conn:
            waiting.change(conn, row.id, ("refused",), seen_at=now)
        raise Denied("An administrator refused this agent.")
    if row is not None and row.state == "admitted":
        return _again(broker, row, message)
    lost_before = now - timedelta(seconds=enrolment.LOST_SECONDS)
    decision = decide(claim, [_candidate(one, now) for one in found], key, lost_before)
    with broker.db.write() as conn:
        waiting_id = _keep(broker, conn, row, key_hash, told, is_bounded=isinstance(decision, Wait))
        if isinstance(decision, Wait):
            _wait(broker, conn, waiting_id, decision)
            return Outcome(None, decision.reason)
        if decision.evidence == "join key" and key is not None:
            waiting.use_key(conn, key.id, now)
        _admit(broker, conn, waiting_id, decision)
        return Outcome(_enroll(broker, conn, waiting_id, decision.desktop_id, message))


def _again(broker: Broker, row: Any, message: Mapping[str, Any]) -> Outcome:
    """Give an admitted agent its credential: again, as long as it has not reported with the one before. Raises Conflict."""
    with broker.db.write() as conn:
        agent = agents.get_of_desktop(conn, row.desktop_id)
        if agent is None or agent.id != row.id or agent.boot_id:
            raise Conflict("This agent was admitted before. Let it ask anew, with another secret.")
        return Outcome(_enroll(broker, conn, row.id, row.desktop_id, message))


def _told(broker: Broker, claim: Claim, message: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an agent says of itself, as it is written down. Raises Invalid."""
    facts = enrolment.facts_of(message)
    return {
        "instance_id": claim.instance_id, "addresses": list(claim.addresses), "macs": _texts(message, "macs"),
        "name": _text(facts, "hostname") or claim.instance_id or claim.source, "source_address": claim.source,
        "version": _text(message, "agent_version", 40), "os_name": _text(facts, "os_name"),
        "service": _text(facts, "metadata", 40), "seen_at": broker.now(),
    }  # fmt: skip


def _keep(broker: Broker, conn: Connection, row: Any, key_hash: str, told: dict[str, Any], *, is_bounded: bool) -> str:
    """Write down who waits; returns the row's id. Raises RateLimited when there are too many, Conflict when it is decided already."""
    if row is not None:
        if not waiting.change(conn, row.id, ("waiting",), **told):
            raise Conflict("Somebody decided about this agent a moment ago. Let it ask again.")
        return str(row.id)
    here, everywhere = waiting.numbers(conn, told["source_address"]) if is_bounded else (0, 0)
    if here >= MOST_PER_ADDRESS or everywhere >= MOST:
        raise RateLimited("Too many agents wait to be admitted.", retry_after=300)
    waiting_id = broker.new_id()
    waiting.add(conn, id=waiting_id, key_hash=key_hash, state="waiting", created_at=broker.now(), **told)
    return waiting_id


def _wait(broker: Broker, conn: Connection, waiting_id: str, decision: Wait) -> None:
    about = decision.desktop
    waiting.change(
        conn, waiting_id, ("waiting",), reason=as_json(decision.reason),
        tenant_id=about.tenant_id if about else None, desktop_id=about.id if about else None,
    )  # fmt: skip
    if about is not None and about.agent is AgentState.NOT_INSTALLED:
        desktops.change(conn, about.id, broker.now(), agent=str(AgentState.WAITING))
        entry = events.Entry(
            broker.now(), "agent.waiting", about.tenant_id, level="warning", params={"desktop": about.name},
            reason=as_json(decision.reason), desktop_id=about.id, center_id=about.center_id,
        )  # fmt: skip
        events.add(conn, entry)


def _admit(broker: Broker, conn: Connection, waiting_id: str, admitted: Admit, by: str = "agent") -> None:
    """Give a desktop a new agent. What the one before could do ends here, and so does what it said of sessions."""
    now = broker.now()
    values = {"state": "admitted", "reason": None, "desktop_id": admitted.desktop_id, "tenant_id": admitted.tenant_id}
    if not waiting.change(conn, waiting_id, ("waiting", "refused"), **values):
        raise Conflict("Somebody decided about this agent a moment ago.")
    waiting.put_agent(
        conn, admitted.desktop_id, waiting_id, tenant_id=admitted.tenant_id, bearer_hash=None, enrolled_at=None,
        seen_at=None, version="", port=0, instance_id=None,
    )  # fmt: skip
    desktops.change(conn, admitted.desktop_id, now, session=str(SessionState.NONE), agent=str(AgentState.WAITING))
    row = desktops.get_row(conn, Tenant(admitted.tenant_id), admitted.desktop_id)
    params = {"desktop": row.name if row else "", "action": admitted.evidence}
    entry = events.Entry(now, "agent.admitted", admitted.tenant_id, by, params=params, desktop_id=admitted.desktop_id)
    events.add(conn, entry)


def _enroll(
    broker: Broker, conn: Connection, agent_id: str, desktop_id: str, message: Mapping[str, Any]
) -> dict[str, Any]:
    """Make the credential of an agent that was admitted, in place of one whose answer was lost on its way."""
    now, bearer, facts = broker.now(), secrets.token_urlsafe(32), enrolment.facts_of(message)
    agent = agents.get_of_desktop(conn, desktop_id)
    row = desktops.get_row(conn, Tenant(agent.tenant_id), desktop_id) if agent else None
    if row is None:
        raise NotFound("The desktop of this agent is no more.")
    waiting.put_agent(
        conn, desktop_id, agent_id, tenant_id=row.tenant_id, bearer_hash=hash_secret(bearer), enrolled_at=now, seen_at=now,
        version=_text(message, "agent_version", 40), port=int(facts.get("port", 0)),
        instance_id=instances.claimed(message) or None,
    )  # fmt: skip
    enrolment.keep_facts(broker, conn, record(row), facts)
    instances.note_metadata(broker, conn, row, facts)
    return enrolment.credentials(broker, agent_id, bearer, row)


def admit(broker: Broker, actor: Actor, waiting_id: str, desktop_id: str | None = None) -> None:
    """Vouch for a waiting agent, also where another agent speaks for the desktop. Raises NotFound, Conflict, Denied.

    Without `desktop_id` it is the desktop whose machine has the agent's UUID.
    """
    require(actor, "desktops", Level.EDIT, narrowed=True)
    row = configure.get_item(broker, actor, "waiting-agents", waiting_id)
    with broker.db.write() as conn:
        desktop = _meant(conn, actor, row["instance_id"], desktop_id)
        _admit(broker, conn, row["id"], Admit(desktop.id, desktop.tenant_id, "administrator"), actor.login_name)


def _meant(conn: Connection, actor: Actor, instance_id: str, desktop_id: str | None) -> Desktop:
    if desktop_id is not None:
        row = desktops.get_row(conn, scope_of(actor), desktop_id)
        if row is None or row.deleted_at is not None:
            raise NotFound("There is no such desktop.")
        return record(row)
    rows = waiting.candidates(conn, instance_id) if instance_id else []
    found = [one for one in rows if one.tenant_id == actor.tenant_id and desktops.get(conn, scope_of(actor), one.id)]
    if len(found) != 1:
        raise Conflict("No center lists just one machine with this agent's UUID. Scan the center, or name the desktop.")
    return record(found[0])


def refuse(broker: Broker, actor: Actor, waiting_id: str) -> None:
    """Refuse a waiting agent: nobody is asked about it again until it falls silent for a day. Raises NotFound, Conflict, Denied."""
    require(actor, "desktops", Level.EDIT, narrowed=True)
    row = configure.get_item(broker, actor, "waiting-agents", waiting_id)
    with broker.db.write() as conn:
        if not waiting.change(conn, row["id"], ("waiting",), state="refused"):
            raise Conflict("This agent does not wait any more.")
        if row["desktop_id"]:
            waiting.no_longer_waits(conn, row["desktop_id"], broker.now())
        params = {"machine": row["name"]}
        entry = events.Entry(broker.now(), "agent.refused", actor.tenant_id, actor.login_name, params=params)
        events.add(conn, entry)


def _candidate(row: Any, now: datetime) -> Candidate:
    seen_at = row.agent_seen_at if row.enrolled_at is not None else None
    good = row.token_expires_at is None or row.token_expires_at >= now
    return Candidate(record(row), seen_at, row.token_hash is not None and good)


def _reason(row: Any) -> Reason | None:
    return Reason(row.reason["code"], row.reason.get("params", {})) if row.reason else None


def _claim(source: str, message: Mapping[str, Any]) -> Claim:
    return Claim(instances.claimed(message), tuple(_texts(message, "addresses")), source[:40])


def _secret(message: Mapping[str, Any]) -> str:
    secret = _text(message, "secret")
    if len(secret) < _FEWEST_CHARACTERS:
        text = f"A random text of at least {_FEWEST_CHARACTERS} characters is wanted."
        raise Invalid("The message is not understood.", {"secret": text})
    return secret


def _text(message: Mapping[str, Any], field: str, longest: int = 200) -> str:
    value = message.get(field, "")
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise Invalid("The message is not understood.", {field: f"A text of at most {longest} characters is wanted."})
    return value


def _texts(message: Mapping[str, Any], field: str) -> list[str]:
    value = message.get(field, [])
    fits = isinstance(value, list) and len(value) <= 32
    if not fits or not all(isinstance(one, str) and len(one) <= 64 and one.isprintable() for one in value):
        raise Invalid("The message is not understood.", {field: "A list of at most 32 short texts is wanted."})
    return list(value)
