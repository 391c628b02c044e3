import pytest
import sqlalchemy

pytestmark = pytest.mark.capability("S039", "S040")


def test_each_engine_serves_an_empty_database(empty_database_url):
    """A test gets a database of its own on SQLite and on PostgreSQL, and can write to it."""
    engine = sqlalchemy.create_engine(empty_database_url)
    with engine.begin() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == []
        connection.execute(sqlalchemy.text("CREATE TABLE a (b INTEGER)"))
    engine.dispose()
