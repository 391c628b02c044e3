"""The broker's side of the agent protocol (wire.agent): enrolment, reports, commands."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from portico.domain.model import AgentState, Desktop, Power, SessionState, Stage
from portico.domain.states import Event
from portico.errors import Invalid, Unauthenticated
from portico.services import evidence, idleness, instances, power, provision
from portico.services.broker import Broker
from portico.services.sessions import hash_secret
from portico.store import agents, assignments, desktops, events, outbox, users
from portico.store.records import desktop as record
from portico.store.scope import System

HEARTBEAT_SECONDS = 60
LOST_SECONDS = 180
MAX_NUMBER = 2**53
_SCOPE = System("reports of agents")

EVENTS: Mapping[str, Event] = {
    "logged_on": Event.LOGGED_ON,
    "reconnected": Event.RECONNECTED,
    "disconnected": Event.DISCONNECTED,
    "logged_off": Event.LOGGED_OFF,
}
STATES: Mapping[str, SessionState] = {
    "logged on": SessionState.LOGGED_ON,
    "disconnected": SessionState.DISCONNECTED,
    "locked": SessionState.LOCKED,
    "idle": SessionState.IDLE,
}
# Where several sessions are on one desktop, the desktop shows the liveliest.
_LIVELIEST = (SessionState.LOGGED_ON, SessionState.IDLE, SessionState.LOCKED, SessionState.DISCONNECTED)


@dataclass(frozen=True, slots=True)
class AgentId:
    """An agent that proved who it is."""

    id: str
    desktop_id: str


def enroll(broker: Broker, message: Mapping[str, Any]) -> dict[str, Any]:
    """Take a one-time token for a credential. Raises Unauthenticated for one that is unknown, used or expired."""
    now, token_hash, bearer = broker.now(), hash_secret(_text(message, "token", 200)), secrets.token_urlsafe(32)
    facts = facts_of(message)
    with broker.db.write() as conn:
        agent = agents.find_by_token(conn, token_hash)
        if agent is None or (agent.token_expires_at is not None and agent.token_expires_at < now):
            raise Unauthenticated("This enrolment token is unknown, used or expired.")
        row = desktops.get_row(conn, _SCOPE, agent.desktop_id)
        if row is None or row.stage in (Stage.GONE, Stage.DELETING):
            raise Unauthenticated("The desktop of this enrolment token is no more.")
        instance_id = instances.claimed(message)
        if instances.differs(instance_id, row.external_id):
            # A copy of the machine that the token was made for. The token stays for the right one.
            raise Unauthenticated("This enrolment token is for another machine. Let this agent join as a waiting one.")
        used = agents.enroll(
            conn, agent.id, token_hash, bearer_hash=hash_secret(bearer), enrolled_at=now, seen_at=now,
            version=_text(message, "agent_version", 40), port=int(facts.get("port", 0)), boot_id="", sequence=0,
            instance_id=instance_id or None,
        )  # fmt: skip
        if not used:
            raise Unauthenticated("This enrolment token is unknown, used or expired.")
        keep_facts(broker, conn, record(row), facts)
        instances.note_metadata(broker, conn, row, facts)
        entry = events.Entry(now, "agent.enrolled", row.tenant_id, params={"desktop": row.name}, desktop_id=row.id)
        events.add(conn, entry)
    return credentials(broker, agent.id, bearer, row)


def credentials(broker: Broker, agent_id: str, bearer: str, row: Any) -> dict[str, Any]:
    """Return what an agent is given when it enrols on a desktop: its bearer, and key and certificate of its own door."""
    names = tuple(dict.fromkeys(name for name in (row.address, row.name) if name))
    certificate, key = broker.keys.issue("agent", names, broker.now())
    return {
        "agent_id": agent_id, "bearer": bearer, "ca": broker.keys.ca_pem, "certificate": certificate, "key": key,
        "ssh_user_ca": broker.keys.ssh_user_ca, "heartbeat_seconds": HEARTBEAT_SECONDS,
    }  # fmt: skip


def authenticate(broker: Broker, bearer: str) -> AgentId | None:
    """Return whose credential this is."""
    with broker.db.read() as conn:
        row = agents.find_by_bearer(conn, hash_secret(bearer))
    return AgentId(row.id, row.desktop_id) if row else None


def report(broker: Broker, agent: AgentId, message: Mapping[str, Any]) -> dict[str, Any]:
    """Read a report: facts, sessions, events in their order, answers to commands. Raises Invalid naming the field."""
    boot_id = _text(message, "boot_id", 40)
    _number(message, "sequence")
    facts = facts_of(message) if "facts" in message else None
    happened = [item for item in _list(message, "events") if isinstance(item, dict)]
    for result in _list(message, "results"):
        _keep_result(broker, agent, result)
    looked = _look(broker, agent, boot_id, facts, happened)
    if looked is None:
        return {"ok": True, "heartbeat_seconds": HEARTBEAT_SECONDS}
    desktop, row, fresh = looked
    if row.boot_id and row.boot_id != boot_id:
        _note_reboot(broker, desktop)
    idle = _idle_seconds(message)
    for item in fresh:
        _follow(broker, desktop, item, idle)
    if "sessions" in message:
        _keep_sessions(broker, desktop, _list(message, "sessions"))
    # The mark moves last: a broker that dies before it reads the report again, and events read twice change nothing.
    mark = max([row.sequence if row.boot_id == boot_id else 0, *(_sequence(item) for item in fresh)])
    port = int(facts.get("port", 0)) if facts is not None else row.port
    with broker.db.write() as conn:
        agents.advance(conn, row, boot_id, mark, broker.now(), port=port)
    return {"ok": True, "heartbeat_seconds": HEARTBEAT_SECONDS}


def _look(
    broker: Broker, agent: AgentId, boot_id: str, facts: Mapping[str, Any] | None, happened: list[Any]
) -> tuple[Desktop, Any, list[Any]] | None:
    """Keep the facts of a report and return its desktop, the agent's reading mark, and the events beyond it."""
    with broker.db.write() as conn:
        row = agents.get_of_desktop(conn, agent.desktop_id)
        desktop_row = desktops.get_row(conn, _SCOPE, agent.desktop_id)
        if row is None or desktop_row is None or desktop_row.stage == Stage.GONE:
            return None
        if boot_id in agents.past_boots(row):  # held up on its way while the machine booted anew: it proves nothing now
            return None
        mark = row.sequence if row.boot_id == boot_id else 0
        fresh = [item for item in happened if _sequence(item) > mark]
        desktop = record(desktop_row)
        if facts is not None:
            keep_facts(broker, conn, desktop, facts)
        elif desktop.agent is not AgentState.RUNNING:
            desktops.change(conn, desktop.id, broker.now(), agent=str(AgentState.RUNNING))
        if desktop.power in (Power.UNKNOWN, Power.STARTING):  # who speaks runs; no need to wait for the next inventory
            desktops.change(conn, desktop.id, broker.now(), power=str(Power.RUNNING))
        if desktop.stage in (Stage.BUILDING, Stage.PREPARING) and (facts or desktop.protocols):
            provision.note_ready(broker, conn, desktop)
        return desktop, row, sorted(fresh, key=_sequence)


def _sequence(item: Mapping[str, Any]) -> int:
    value = item.get("sequence", 0)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_NUMBER else 0


def keep_facts(broker: Broker, conn: Any, desktop: Desktop, facts: Mapping[str, Any]) -> None:
    """Keep what an agent says of its machine; its address is only data, the center's is the one we connect to."""
    protocols = facts.get("protocols")
    values: dict[str, Any] = {"agent": str(AgentState.RUNNING)}
    if isinstance(protocols, dict) and protocols:
        spoken = list(protocols.items())[:20]
        values["protocols"] = {_clean(name, 20): port for name, port in spoken if _is_port(port)}
    keys = facts.get("ssh_host_keys")
    if isinstance(keys, list):
        values["ssh_host_keys"] = [_clean(key, 2000) for key in keys[:10]]
    if facts.get("login_user"):
        values["login_user"] = _clean(facts["login_user"], 100)
    if facts.get("os_family") and not desktop.os_family:
        values["os_family"] = _clean(facts["os_family"], 20)
    desktops.change(conn, desktop.id, broker.now(), **values)


def _clean(text: object, longest: int) -> str:
    """Return a text that every database can keep: NUL and lone surrogates are no part of it."""
    return "".join(character for character in str(text)[:longest] if character.isprintable())


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _idle_seconds(message: Mapping[str, Any]) -> dict[str, int]:
    """Return for how long each session that a report shows has been idle, by its id."""
    shown = message.get("sessions")
    found: dict[str, int] = {}
    for session in shown[:200] if isinstance(shown, list) else []:
        seconds = session.get("idle_seconds") if isinstance(session, dict) else None
        if isinstance(seconds, int) and not isinstance(seconds, bool) and 0 <= seconds < MAX_NUMBER:
            found[str(session.get("id", ""))] = seconds
    return found


def _follow(broker: Broker, desktop: Desktop, item: Mapping[str, Any], idle: Mapping[str, int]) -> None:
    """Let one event of the agent move the assignment that it is about."""
    kind = str(item.get("kind"))
    if kind not in EVENTS and kind not in ("idle", "active"):
        return
    assignment_id = _assignment_of(broker, desktop, str(item.get("user", "")))
    if assignment_id is None:
        return
    if kind == "idle":
        idleness.began(broker, assignment_id, idle.get(str(item.get("session", ""))))
    elif kind == "active":
        idleness.ended(broker, assignment_id)
    else:
        evidence.apply(broker, assignment_id, EVENTS[kind], "agent")


def _assignment_of(broker: Broker, desktop: Desktop, user: str) -> str | None:
    """Return the live assignment that an event is about: the only one, else the one of the named user."""
    with broker.db.read() as conn:
        live = assignments.list_live_of_desktop(conn, desktop.id)
        if len(live) <= 1:
            return live[0].id if live else None
        names = users.names(conn, [row.user_id for row in live])
    return next((row.id for row in live if names.get(row.user_id) == user), None)


def _note_reboot(broker: Broker, desktop: Desktop) -> None:
    """A machine that booted anew holds nobody's session: that is evidence for a hand-over, and it ends a quarantine."""
    with broker.db.write() as conn:
        for row in assignments.list_live_of_desktop(conn, desktop.id):
            assignments.note_evidence(conn, row.id)
            if row.state == "releasing":
                evidence.enqueue_hand_over(broker, conn, row.id, row.tenant_id)
        power.heal(broker, conn, desktop)


def _keep_sessions(broker: Broker, desktop: Desktop, lines: list[Any]) -> None:
    states = {
        STATES[str(line.get("state"))] for line in lines if isinstance(line, dict) and str(line.get("state")) in STATES
    }
    now_is = next((state for state in _LIVELIEST if state in states), SessionState.NONE)
    with broker.db.write() as conn:
        row = desktops.get_row(conn, _SCOPE, desktop.id)
        if row is not None and row.session != str(now_is):
            desktops.change(conn, desktop.id, broker.now(), session=str(now_is))


def commands(broker: Broker, agent: AgentId) -> list[dict[str, Any]]:
    """Return what waits for an agent, once; does not wait itself."""
    target = f"agent:{agent.id}"
    with broker.db.read() as conn:
        if not outbox.has_waiting(conn, target, broker.now()):
            return []
    with broker.db.write() as conn:
        rows = outbox.take(conn, target, broker.now())
    return [{**row.message, "id": str(row.id)} for row in rows]


def _keep_result(broker: Broker, agent: AgentId, result: Any) -> None:
    """Keep the answer to a command, sealed: it may hold a one-time credential."""
    number = str(result.get("id", "")) if isinstance(result, dict) else ""
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        return
    sealed = broker.vault.seal(f"outbox.answer:{int(number)}", json.dumps(result))
    with broker.db.write() as conn:
        outbox.answer(conn, int(number), f"agent:{agent.id}", {"sealed": sealed}, broker.now())


def ca_pem(broker: Broker) -> str:
    """Return the certificate of the deployment's CA, which agents compare with the fingerprint that they were given."""
    return broker.keys.ca_pem


def note_lost(broker: Broker) -> int:
    """Mark the agents that were not heard of for too long; their assignments are kept. Returns how many."""
    with broker.db.write() as conn:
        number = 0
        for row in agents.list_lost(conn, broker.now() - timedelta(seconds=LOST_SECONDS)):
            number += desktops.mark_agent_lost(conn, row.desktop_id, broker.now())
    return number


def facts_of(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the facts of a message. Raises Invalid."""
    facts = message.get("facts")
    if not isinstance(facts, dict):
        raise Invalid("The report is not understood.", {"facts": "An object is wanted."})
    port = facts.get("port", 0)
    if port != 0 and not _is_port(port):
        raise Invalid("The report is not understood.", {"facts.port": "A port number is wanted, or 0."})
    return facts


def _text(message: Mapping[str, Any], field: str, longest: int) -> str:
    value = message.get(field)
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise Invalid("The message is not understood.", {field: f"A text of at most {longest} characters is wanted."})
    return value


def _number(message: Mapping[str, Any], field: str) -> int:
    value = message.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_NUMBER:
        raise Invalid("The message is not understood.", {field: "A number is wanted."})
    return value


def _list(message: Mapping[str, Any], field: str) -> list[Any]:
    value = message.get(field, [])
    if not isinstance(value, list) or len(value) > 2000:
        raise Invalid("The message is not understood.", {field: "A list of at most 2000 is wanted."})
    return value
