"""The migrations lead to the schema that the code works with; one broker applies them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import JSON, inspect

from portico.errors import Conflict
from portico.store import migrate, tables, types
from portico.store.engine import Database
from portico.wiring import only_broker

pytestmark = pytest.mark.capability("S039", "S040")


def same_type(_context, _inspected, _metadata, _found, wanted):
    return False if isinstance(wanted, types.UTCDateTime | JSON) else None


def test_migrations_lead_to_the_schema_of_the_code(empty_database_url: str) -> None:
    db = Database(empty_database_url)
    assert migrate.pending(db)[0] == "0001"
    migrate.upgrade(db)
    with db.engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": same_type})
        assert compare_metadata(context, tables.metadata) == []
        assert {column.name for table in tables.metadata.sorted_tables for column in table.c} == {
            column["name"]
            for name in inspect(conn).get_table_names()
            if name != "alembic_version"
            for column in inspect(conn).get_columns(name)
        }
    assert migrate.pending(db) == []
    migrate.upgrade(db)
    db.dispose()


def test_unique_indexes_hold_for_the_rows_that_they_are_meant_for(empty_database_url: str) -> None:
    """The condition of a partial index is compared by no tool, so it is read from the database."""
    db = Database(empty_database_url)
    migrate.upgrade(db)
    other = Database(empty_database_url)
    with db.engine.connect() as conn:
        for table in tables.metadata.sorted_tables:
            kind = db.engine.dialect.name
            wanted = {
                index.name: str(
                    index.dialect_options[kind]["where"].compile(db.engine, compile_kwargs={"literal_binds": True})
                )
                for index in table.indexes
                if index.dialect_options[kind]["where"] is not None
            }
            found = {
                index["name"]: str(index["dialect_options"][f"{kind}_where"])
                for index in inspect(conn).get_indexes(table.name)
                if index.get("dialect_options", {}).get(f"{kind}_where") is not None
            }
            assert wanted.keys() == found.keys()
            for name, text in wanted.items():
                assert words(text) <= words(found[name]), (name, text, found[name])
    db.dispose()
    other.dispose()


def words(condition: str) -> set[str]:
    """The names and texts of a condition, however a database writes it."""
    plain = condition.lower().replace("::character varying", "").replace("::text", "").replace("[]", "")
    for sign in "()[],='":
        plain = plain.replace(sign, " ")
    return {word.rpartition(".")[2] for word in plain.split()} - {"in", "any", "array", "and", "true", "1"}


@pytest.mark.capability("S115")
def test_brokers_that_migrate_at_once_do_it_once(empty_database_url: str) -> None:
    if empty_database_url.startswith("sqlite"):
        return  # there the lock of the one broker comes first
    barrier = threading.Barrier(3)

    def upgrade(_number: int) -> list[str]:
        db = Database(empty_database_url)
        barrier.wait(30)
        migrate.upgrade(db)
        left = migrate.pending(db)
        db.dispose()
        return left

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(upgrade, range(3))) == [[], [], []]


def test_on_sqlite_there_is_one_broker(tmp_path) -> None:
    with only_broker(tmp_path), pytest.raises(Conflict, match="Another broker"), only_broker(tmp_path):
        pass
    with only_broker(tmp_path):
        pass
