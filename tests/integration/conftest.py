"""What tests of services share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fleet import Fleet, make_fleet

from portico.services import changes, hooks


@pytest.fixture
def fleet(fresh_database_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """A deployment of its own for each test, once on each engine."""
    made = make_fleet(tmp_path, fresh_database_url)
    yield made
    made.broker.db.dispose()


@pytest.fixture
def with_hooks() -> Iterator[None]:
    """What follows from a change of the configuration follows, as in a running broker; for this test only."""
    before = dict(changes.hooks)
    hooks.register()
    yield
    changes.hooks.clear()
    changes.hooks.update(before)
