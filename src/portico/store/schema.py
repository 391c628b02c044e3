"""What all tables are made with: one metadata, names of constraints, the forms that all three databases share."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table
from sqlalchemy.sql.elements import ColumnElement

from portico.store.types import Id, Json, Name, UTCDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

RowNumber = BigInteger().with_variant(Integer(), "sqlite")


def unique_where(name: str, *columns: "Column[object]", where: ColumnElement[bool]) -> Index:
    """Build a unique index over the rows that `where` names: the one form that all three databases share."""
    return Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where, mssql_where=where)


def tenant() -> "Column[str]":
    """Build the column that says whose a row is."""
    return Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False)


def configuration(name: str, *more: "Column[object]") -> Table:
    """Build a table of what administrators edit: a named, versioned record that is deleted softly."""
    table = Table(
        name,
        metadata,
        Column("id", Id, primary_key=True),
        tenant(),
        Column("name", Name, nullable=False),
        Column("body", Json, nullable=False),
        Column("version", Integer, nullable=False),
        Column("created_at", UTCDateTime, nullable=False),
        Column("updated_at", UTCDateTime, nullable=False),
        Column("deleted_at", UTCDateTime),
        *more,
    )
    unique_where(f"uq_{name}_name", table.c.tenant_id, table.c.name, where=table.c.deleted_at.is_(None))
    return table
