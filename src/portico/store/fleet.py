"""Brokers and gateways: who is there, since when, and whether they live."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from portico.store.tables import brokers, gateway_tokens, gateways


def add_broker(conn: Connection, broker_id: str, hostname: str, version: str, now: datetime) -> None:
    """Insert a broker that starts."""
    conn.execute(
        insert(brokers).values(
            id=broker_id, hostname=hostname, version=version, started_at=now, heartbeat_at=now, draining=False
        )
    )


def beat(conn: Connection, broker_id: str, now: datetime) -> None:
    """Keep a broker's sign of life."""
    conn.execute(update(brokers).where(brokers.c.id == broker_id).values(heartbeat_at=now))


def last_beat(conn: Connection) -> datetime | None:
    """Return when any broker last gave a sign of life, None when there never was one."""
    return conn.scalar(select(brokers.c.heartbeat_at).order_by(brokers.c.heartbeat_at.desc()).limit(1))


def stop_broker(conn: Connection, broker_id: str, now: datetime) -> None:
    """Keep that a broker stopped in good order."""
    conn.execute(update(brokers).where(brokers.c.id == broker_id).values(stopped_at=now))


def list_live_gateways(conn: Connection, since: datetime) -> list[Row[Any]]:
    """Return gateways that gave a sign of life since a time and take new sessions."""
    query = select(gateways).where(gateways.c.heartbeat_at >= since, gateways.c.draining.is_(False))
    return list(conn.execute(query))


def get_gateway(conn: Connection, gateway_id: str) -> Row[Any] | None:
    """Return a gateway."""
    return conn.execute(select(gateways).where(gateways.c.id == gateway_id)).first()


def find_gateway(conn: Connection, bearer_hash: str) -> Row[Any] | None:
    """Return the gateway with a credential."""
    return conn.execute(select(gateways).where(gateways.c.bearer_hash == bearer_hash)).first()


def add_gateway_token(conn: Connection, token_hash: str, expires_at: datetime, realm: str) -> None:
    """Insert a one-time enrolment token."""
    conn.execute(insert(gateway_tokens).values(token_hash=token_hash, expires_at=expires_at, realm=realm))


def use_gateway_token(conn: Connection, token_hash: str, now: datetime) -> str | None:
    """Use up a one-time enrolment token; returns its realm, None when it is unknown, used or expired."""
    unused = (
        (gateway_tokens.c.token_hash == token_hash)
        & gateway_tokens.c.used_at.is_(None)
        & (gateway_tokens.c.expires_at > now)
    )
    if conn.execute(update(gateway_tokens).where(unused).values(used_at=now)).rowcount != 1:
        return None
    return str(conn.scalar(select(gateway_tokens.c.realm).where(gateway_tokens.c.token_hash == token_hash)) or "")


def put_gateway(conn: Connection, name: str, **values: Any) -> str:
    """Insert a gateway, or give one of this name its new credential. Returns its id."""
    row = conn.execute(select(gateways.c.id).where(gateways.c.name == name)).first()
    if row is not None:
        values.pop("id"), values.pop("created_at")
        conn.execute(update(gateways).where(gateways.c.id == row.id).values(values))
        return str(row.id)
    conn.execute(insert(gateways).values(name=name, draining=False, load={}, boot_id="", sequence=0, **values))
    return str(values["id"])


def advance_gateway(conn: Connection, gateway: Row[Any], boot_id: str, sequence: int, now: datetime, load: Any) -> bool:
    """Keep how far a gateway's reports were read, if nobody else read further meanwhile."""
    here = (
        (gateways.c.id == gateway.id)
        & (gateways.c.boot_id == gateway.boot_id)
        & (gateways.c.sequence == gateway.sequence)
    )
    values = {"boot_id": boot_id, "sequence": sequence, "heartbeat_at": now, "load": load}
    return conn.execute(update(gateways).where(here).values(values)).rowcount == 1
