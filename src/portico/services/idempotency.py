"""One answer for one Idempotency-Key: a repeated request gets the first one's answer and does nothing."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.errors import Conflict, Invalid
from portico.services.broker import Broker
from portico.services.sessions import hash_secret
from portico.store.tables import idempotency

KEEP = timedelta(hours=24)
# A first request that has not answered by now died with its broker: the repetition may take its place.
GIVE_UP = timedelta(minutes=2)
MAX_KEY = 200


def once(
    broker: Broker, user_id: str, key: str, request: Mapping[str, Any], act: Callable[[], tuple[dict[str, Any], bool]]
) -> tuple[dict[str, Any], bool]:
    """Return (the answer, whether it is a repetition). `act` returns its answer and whether to keep it.

    Raises Invalid for a key that was used for another request, Conflict while the first one is still at work.
    """
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable():
        raise Invalid("The key cannot be used.", {"Idempotency-Key": f"Use 1 to {MAX_KEY} printable characters."})
    hashed = hash_secret(key)
    asked = hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()
    earlier = _reserve(broker, user_id, hashed, asked)
    if earlier is not None:
        return earlier, True
    kept = False
    try:
        answer, kept = act()
    finally:
        if not kept:
            with broker.db.write() as conn:
                conn.execute(delete(idempotency).where(_mine(user_id, hashed)))
    with broker.db.write() as conn:
        conn.execute(update(idempotency).where(_mine(user_id, hashed)).values(answer=answer))
    return answer, False


def purge(conn: Connection, now: datetime) -> int:
    """Forget the answers of yesterday; returns how many."""
    return conn.execute(delete(idempotency).where(idempotency.c.created_at < now - KEEP)).rowcount


def _reserve(broker: Broker, user_id: str, hashed: str, asked: str) -> dict[str, Any] | None:
    """Take the key, or return what was answered under it."""
    now = broker.now()
    values = {"user_id": user_id, "key": hashed, "request_hash": asked, "answer": None, "created_at": now}
    dead = idempotency.c.answer.is_(None) & (idempotency.c.created_at < now - GIVE_UP)
    old = dead | (idempotency.c.created_at < now - KEEP)
    try:
        with broker.db.write() as conn:
            conn.execute(delete(idempotency).where(_mine(user_id, hashed), old))
            conn.execute(insert(idempotency).values(values))
        return None
    except IntegrityError:
        with broker.db.read() as conn:
            row = conn.execute(select(idempotency).where(_mine(user_id, hashed))).first()
    if row is not None and row.request_hash != asked:
        raise Invalid("This key belongs to another request.", {"Idempotency-Key": "Use a new key for a new request."})
    if row is None or row.answer is None:
        raise Conflict("The first request with this key is still at work. Try again in some seconds.")
    answer: dict[str, Any] = row.answer
    return answer


def _mine(user_id: str, hashed: str) -> Any:
    return (idempotency.c.user_id == user_id) & (idempotency.c.key == hashed)
