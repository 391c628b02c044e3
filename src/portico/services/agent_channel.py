"""Commands to agents: straight to the agent's own port where it can be reached, else through the outbox that it polls."""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from portico import logs
from portico.errors import AgentUnreachable
from portico.services.broker import Broker
from portico.store import agents, desktops, outbox
from portico.store.records import desktop as record
from portico.store.scope import System

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 8.0
POLL_SECONDS = 0.1
MAX_ANSWER = 64 * 1024
_SCOPE = System("commands to agents")
_lock = threading.Lock()

log = logs.get(__name__)


def command(broker: Broker, desktop_id: str, kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Give an agent a command and return its answer. Raises AgentUnreachable when none comes in time."""
    with broker.db.read() as conn:
        agent = agents.get_of_desktop(conn, desktop_id)
        row = desktops.get_row(conn, _SCOPE, desktop_id)
    if agent is None or row is None or agent.enrolled_at is None:
        raise AgentUnreachable("This desktop has no agent.", retry_after=15)
    message = {"id": broker.new_id(), "kind": kind, **arguments}
    # The address is the center's, never one that an agent names: else an agent could point us at anything.
    address = record(row).target
    if agent.port and address:
        try:
            return _direct(broker, address, agent.port, message)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            log.info("agent not reached directly", desktop=desktop_id, problem=type(problem).__name__)
    return _through_outbox(broker, agent.id, message)


def _direct(broker: Broker, address: str, port: int, message: Mapping[str, Any]) -> dict[str, Any]:
    connection = http.client.HTTPSConnection(address, port, timeout=CONNECT_SECONDS, context=_context(broker))
    try:
        connection.connect()
        connection.sock.settimeout(ANSWER_SECONDS)
        connection.request("POST", "/agent/v1/command", json.dumps(message), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read(MAX_ANSWER)
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        return _checked(json.loads(body))
    finally:
        connection.close()


def _checked(result: Any) -> dict[str, Any]:
    if not isinstance(result, dict) or not result.get("ok"):
        error = str(result.get("error", "")) if isinstance(result, dict) else "no answer"
        raise AgentUnreachable("The desktop's agent could not do this.", detail=error[:500], retry_after=5)
    return result


def _context(broker: Broker) -> ssl.SSLContext:
    """Return the TLS context in which we are the deployment's broker, and only its CA counts."""
    path = _certificate(broker)
    context = ssl.create_default_context(cadata=broker.keys.ca_pem)
    context.check_hostname = False  # agents move between addresses; the CA signs nobody but our own
    context.load_cert_chain(path)
    return context


def _certificate(broker: Broker) -> Path:
    """Return the file with this broker's client certificate and key, made anew when it is a month old."""
    path = broker.config.state / "broker" / f"client-{broker.id}.pem"
    with _lock:
        fresh = path.exists() and time.time() - path.stat().st_mtime < timedelta(days=30).total_seconds()
        if not fresh:
            certificate, key = broker.keys.issue("broker", (), broker.now())
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(certificate + key)
    return path


def _through_outbox(broker: Broker, agent_id: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """Leave the command for the agent's next look and wait for the answer in its report."""
    now = broker.now()
    with broker.db.write() as conn:
        number = outbox.put(conn, f"agent:{agent_id}", message, now, now + timedelta(seconds=ANSWER_SECONDS * 2))
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        with broker.db.read() as conn:
            answer = outbox.get_answer(conn, number)
        if answer is not None:
            with broker.db.write() as conn:
                outbox.forget_answer(conn, number)
            return _checked(json.loads(broker.vault.open(f"outbox.answer:{number}", answer["sealed"])))
    raise AgentUnreachable("The desktop's agent does not answer.", retry_after=5)
