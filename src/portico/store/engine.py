"""Opening a database: SQLite (one file, one writer at a time), PostgreSQL, SQL Server; all engine options come from here."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from portico.errors import Invalid

BUSY_MILLISECONDS = 10_000
# After so long unused a connection is asked whether it still lives; asking always costs a tenth of a log-in.
REST_SECONDS = 1.0
_CLOCKS = {"postgresql": "SELECT clock_timestamp()", "mssql": "SELECT SYSUTCDATETIME()"}


class Database:
    """A database, as services use it: `read()` for plain reads outside a transaction, `write()` for one short transaction."""

    def __init__(self, url: str, options: dict[str, Any] | None = None) -> None:
        """Open `url` (a SQLAlchemy URL that names its driver). Raises Invalid when it does not."""
        parsed = make_url(url)
        if "+" not in parsed.drivername:
            raise Invalid(
                f"The database URL must name its driver, such as {parsed.drivername}+psycopg://", {"database": url}
            )
        self.url = parsed
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        settings: dict[str, Any] = dict(options or {})
        if not self.is_sqlite:
            settings = {"pool_size": 20, "max_overflow": 20, "pool_timeout": 30} | settings
        self.engine = create_engine(parsed, **settings)
        few: dict[str, Any] = {
            "pool_size": 1,
            "max_overflow": 1,
            "pool_pre_ping": not self.is_sqlite,
            "pool_timeout": 30,
        }
        self._few = create_engine(parsed, **few)
        self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        # SQLite has one writer; queueing for it here costs nothing, while its own busy handler sleeps and polls.
        self._writer_turn = threading.RLock() if self.is_sqlite else None
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self._few, "connect", _prepare_sqlite)
        else:
            event.listen(self.engine, "checkin", _note_rest)
            event.listen(self.engine, "checkout", partial(_ping_after_rest, self.engine))
        self._offset = timedelta()

    def now(self) -> datetime:
        """Return the database's time, as far as it is known: what leases, timers and heartbeats of all brokers go by."""
        return datetime.now(UTC) + self._offset

    def learn_time(self) -> None:
        """Learn how far this machine's clock is from the database's. SQLite has none of its own."""
        query = _CLOCKS.get(self.engine.dialect.name)
        if query is None:
            return
        with self.read() as conn:
            before = datetime.now(UTC)
            there = conn.exec_driver_sql(query).scalar_one()
            after = datetime.now(UTC)
        there = there if there.tzinfo else there.replace(tzinfo=UTC)
        self._offset = there - (before + (after - before) / 2)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection in autocommit: each statement sees the latest commit."""
        with self._reader.connect() as conn:
            yield conn

    @contextmanager
    def aside(self) -> Iterator[Connection]:
        """Give a connection as `read` does, from a pool of its own: for short looks of whoever may be in a transaction.

        Were it the same pool, transactions that have all its connections could wait for one another's for ever.
        """
        with self._few.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
            yield conn

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection in a transaction that commits when the block ends and rolls back when it raises."""
        if self._writer_turn is None:
            with self.engine.begin() as conn:
                yield conn
            return
        with self._writer_turn, self._reader.connect() as conn:
            driver: Any = conn.connection.driver_connection
            conn.exec_driver_sql("BEGIN IMMEDIATE")  # through SQLAlchemy, whose errors callers know
            try:
                yield conn
            except BaseException:
                driver.execute("ROLLBACK")
                raise
            driver.execute("COMMIT")

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self._few.dispose()


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", f"busy_timeout={BUSY_MILLISECONDS}"):
        connection.execute(f"PRAGMA {pragma}")


def _note_rest(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["rests_since"] = monotonic()


def _ping_after_rest(engine: Engine, connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Ask a connection that has rested whether it lives; one that worked a moment ago is taken at its word."""
    if monotonic() - record.info.get("rests_since", monotonic()) < REST_SECONDS:
        return
    try:
        alive = engine.dialect.do_ping(connection)
    except Exception as problem:  # Each driver has its own; whatever it is, the pool opens another connection.
        raise DisconnectionError from problem
    if not alive:
        raise DisconnectionError


def count_statements(engine: Engine) -> "Counter":
    """Count the cursor executions of an engine, for tests and benchmarks; BEGIN, COMMIT and savepoints are not counted."""
    counter = Counter()

    def seen(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith(("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")):
            counter.statements.append(statement)

    event.listen(engine, "before_cursor_execute", seen)
    return counter


class Counter:
    """The statements seen so far."""

    def __init__(self) -> None:
        self.statements: list[str] = []
