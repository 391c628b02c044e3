"""The broker's belongings: what every service function takes first. Built by wiring, frozen, nothing hidden in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portico.config import Config
from portico.ports.cloud import Cloud
from portico.services.gates import Gates
from portico.services.keys import KeyRing
from portico.services.passwords import Hasher
from portico.services.snapshot import SnapshotHolder
from portico.store.engine import Database
from portico.store.vault import Vault

CloudDriver = Callable[..., Cloud]  # a driver class: Driver(settings, context), with `kind` and `Settings` on it


@dataclass(frozen=True)
class Broker:
    """All that a use case may touch."""

    id: str
    config: Config
    db: Database
    vault: Vault
    keys: KeyRing
    cloud_drivers: Mapping[str, Any]  # kind → driver class
    directory_drivers: Mapping[str, Any]  # kind → driver class
    factor_drivers: Mapping[str, Any]  # kind → driver class
    displays: Mapping[str, Any]  # protocol → display driver
    hasher: Hasher
    gates: Gates  # before each directory, and whoever else is asked at a log-in
    snapshots: SnapshotHolder
    deployment_id: str
    now: Callable[[], datetime]
    new_id: Callable[[], str]
