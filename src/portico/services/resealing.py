"""After a rotation of the vault's key: everything that is sealed is moved to the newest one, so that older keys can go."""

from sqlalchemy import Table, select, update

from portico.services.broker import Broker
from portico.store import tables as t

# Sealed columns, by the place that their values are sealed for: "table.column:row id".
_COLUMNS = ((t.centers, "sealed_secrets"), (t.agents, "sealed_token"))


def reseal(broker: Broker) -> int:
    """Seal all secrets with the vault's newest key; returns how many were not. Raises Invalid when a key is missing."""
    return broker.keys.reseal() + sum(_column(broker, table, name) for table, name in _COLUMNS)


def _column(broker: Broker, table: Table, name: str) -> int:
    column, moved = table.c[name], 0
    with broker.db.read() as conn:
        rows = conn.execute(select(table.c.id, column.label("sealed")).where(column.is_not(None))).all()
    for row in rows:
        if broker.vault.is_current(row.sealed):
            continue
        fresh = broker.vault.reseal(f"{table.name}.{name}:{row.id}", row.sealed)
        as_seen = (table.c.id == row.id) & (column == row.sealed)
        with broker.db.write() as conn:
            moved += conn.execute(update(table).where(as_seen).values({name: fresh})).rowcount
    return moved
