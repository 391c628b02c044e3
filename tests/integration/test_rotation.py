"""Rotation of the vault's key."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.brokers import make_broker

from portico.errors import Invalid
from portico.services import rotation
from portico.services.broker import Broker
from portico.services.keys import KeyRing
from portico.store import sealed, tables
from portico.store.vault import Vault

pytestmark = pytest.mark.capability("S029")


@pytest.fixture
def broker(fresh_database_url: str, tmp_path: Path) -> Iterator[Broker]:
    made = make_broker(tmp_path, fresh_database_url)
    yield made
    made.db.dispose()


def texts(broker: Broker) -> list[str]:
    with broker.db.read() as conn:
        return [value.text for value in sealed.list_all(conn)]


def test_everything_is_sealed_anew_and_still_opens(broker: Broker) -> None:
    """After a rotation every value is sealed by the new key, and the deployment's keys load with the old key file gone."""
    before = texts(broker)
    key, number = rotation.rotate(broker)
    assert number == len(before) > 0
    assert all(broker.vault.is_current(text) for text in texts(broker))
    (broker.config.state / "keys" / "000001.key").unlink()
    ring = KeyRing(broker.db, Vault(broker.config.state / "keys"), broker.now())
    assert (key, ring.ca_fingerprint) == ("000002", broker.keys.ca_fingerprint)


def test_a_broker_that_runs_meets_the_new_key_by_itself(broker: Broker) -> None:
    """A vault that was opened before the rotation opens what was sealed after it."""
    older = Vault(broker.config.state / "keys")
    broker.vault.rotate()
    assert older.open("a.b:c", broker.vault.seal("a.b:c", "secret")) == "secret"


def test_a_value_in_another_place_does_not_open(broker: Broker) -> None:
    """A sealed value that was copied to another row is refused."""
    box = broker.vault.seal("keys.sealed_private:1", "secret")
    with pytest.raises(Invalid):
        broker.vault.open("keys.sealed_private:2", box)


def test_no_sealed_column_is_forgotten() -> None:
    """Each column whose name says that it is sealed stands in the list of places."""
    named = {
        (table.name, column.name)
        for table in tables.metadata.tables.values()
        for column in table.c
        if "sealed" in column.name
    }
    assert named == {(table.name, name) for table, name in sealed.PLACES}


def test_no_secret_stands_in_clear(broker: Broker) -> None:
    """The private halves of the deployment's keys are not in the database."""
    with broker.db.read() as conn:
        rows = conn.execute(select(tables.keys)).all()
    assert rows
    assert not any("PRIVATE" in str(tuple(row)) for row in rows)
