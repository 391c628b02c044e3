"""What tests of services share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fleet import Fleet, make_fleet


@pytest.fixture
def fleet(fresh_database_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """A deployment of its own for each test, once on each engine."""
    made = make_fleet(tmp_path, fresh_database_url)
    yield made
    made.broker.db.dispose()
