"""Names of the desktops that a pool makes: which are taken, and what fills the tags of the template."""

import secrets
from collections.abc import Mapping

from sqlalchemy import Connection, select

from portico.domain.model import Pool
from portico.domain.tags import Value
from portico.store import founding
from portico.store.tables import desktops

RANDOM_WIDTH = 4
RANDOM_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


def taken(conn: Connection, center_id: str | None) -> list[str]:
    """Return the names of all desktops in a center."""
    query = select(desktops.c.name).where(desktops.c.center_id == center_id, desktops.c.deleted_at.is_(None))
    return list(conn.scalars(query)) if center_id else []


def context(conn: Connection, pool: Pool, center_name: str) -> Mapping[str, Value]:
    """Return what fills the tags of a pool's names, besides the number."""
    return {
        "POOL": pool.name,
        "CENTER": center_name,
        "TENANT": founding.tenant_name(conn, pool.tenant_id),
        "RANDOM": _random,
    }


def _random(width: str) -> str:
    """Return random letters and digits without those that look alike: `{RANDOM:6}` gives six."""
    number = int(width) if width.isascii() and width.isdigit() else RANDOM_WIDTH
    return "".join(secrets.choice(RANDOM_LETTERS) for _ in range(min(max(number, 1), 20)))
