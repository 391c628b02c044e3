import pytest
import sqlalchemy

from portico.store.engine import Database

pytestmark = pytest.mark.capability("S039", "S040")


def test_each_engine_serves_an_empty_database(empty_database_url):
    """A test gets a database of its own on SQLite and on PostgreSQL, and can write to it."""
    engine = sqlalchemy.create_engine(empty_database_url)
    with engine.begin() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == []
        connection.execute(sqlalchemy.text("CREATE TABLE a (b INTEGER)"))
    engine.dispose()


def test_a_connection_that_broke_while_it_rested_is_replaced(empty_database_url):
    """Nobody notices that the database was started anew in between: who takes a rested connection gets one that lives."""
    if empty_database_url.startswith("sqlite"):
        return
    db, other = Database(empty_database_url), sqlalchemy.create_engine(empty_database_url)
    with db.read() as conn:
        first = conn.execute(sqlalchemy.text("SELECT pg_backend_pid()")).scalar_one()
        record = conn.connection.info
    record["rests_since"] -= 3600
    with other.begin() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": first})
    with db.read() as conn:
        assert conn.execute(sqlalchemy.text("SELECT pg_backend_pid()")).scalar_one() != first
    db.dispose()
    other.dispose()
