"""Every place where a secret is sealed at rest: one list, so that a rotation forgets none."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Table, select, update

from portico.store.tables import agents, centers, directories, keys, radius_servers, second_factors

PLACES: tuple[tuple[Table, str], ...] = (
    (keys, "sealed_private"),
    (centers, "sealed_secrets"),
    (directories, "sealed_secrets"),
    (second_factors, "sealed_secret"),
    (radius_servers, "sealed_secret"),
    (agents, "sealed_token"),
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed value and where it stands; `place` is what the vault binds it to."""

    table: Table
    column: "Column[str]"
    row_id: str
    text: str

    @property
    def place(self) -> str:
        """The vault's name of the place."""
        return f"{self.table.name}.{self.column.name}:{self.row_id}"


def list_all(conn: Connection) -> Iterator[Sealed]:
    """Yield every sealed value there is."""
    for table, name in PLACES:
        column = table.c[name]
        for row in conn.execute(select(table.c.id, column).where(column.is_not(None))).all():
            yield Sealed(table, column, row[0], row[1])


def replace(conn: Connection, value: Sealed, fresh: str) -> int:
    """Put a value that was sealed anew in its place, unless it changed meanwhile; returns how many rows changed."""
    here = (value.table.c.id == value.row_id) & (value.column == value.text)
    return conn.execute(update(value.table).where(here).values({value.column: fresh})).rowcount
