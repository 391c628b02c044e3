"""An answer of a provider serves once, whoever brings it a second time, at whichever broker, at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from portico.store import directories
from portico.store.engine import Database

pytestmark = pytest.mark.capability("S046", "S048")
BROKERS = 4


def test_of_many_who_bring_an_answer_at_once_one_comes_in(database_url: str) -> None:
    """On each kind of database, each broker with connections of its own."""
    brokers = [Database(database_url) for _ in range(BROKERS)]
    until, together = datetime.now(UTC) + timedelta(minutes=5), Barrier(BROKERS)

    def bring(db: Database) -> bool:
        together.wait(60)
        with db.write() as conn:
            return directories.use_answer(conn, "a" * 64, until)

    with ThreadPoolExecutor(BROKERS) as pool:
        assert sorted(pool.map(bring, brokers)) == [False] * (BROKERS - 1) + [True]
    with brokers[0].write() as conn:
        assert directories.use_answer(conn, "b" * 64, until)
        assert directories.forget_answers(conn, until) == 0
        assert directories.forget_answers(conn, until + timedelta(seconds=1)) == 2
        assert directories.use_answer(conn, "a" * 64, until)
    for db in brokers:
        db.dispose()
