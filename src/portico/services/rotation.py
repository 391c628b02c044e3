"""Rotating the vault: a new key seals from now on, and all that is sealed at rest is sealed anew with it."""

from portico.services.broker import Broker
from portico.store import sealed


def rotate(broker: Broker) -> tuple[str, int]:
    """Make a new vault key and seal everything with it; returns the key's id and how many values were sealed anew.

    Safe to interrupt and to repeat: older keys go on opening what they sealed. Copy the key file to the other brokers first
    where there are several; they read it when they meet it.
    """
    return broker.vault.rotate(), reseal(broker)


def reseal(broker: Broker) -> int:
    """Seal anew what an older key sealed; returns how many values."""
    number = 0
    with broker.db.write() as conn:
        for value in sealed.list_all(conn):
            if not broker.vault.is_current(value.text):
                number += sealed.replace(conn, value, broker.vault.reseal(value.place, value.text))
    broker.keys.reload()
    return number
