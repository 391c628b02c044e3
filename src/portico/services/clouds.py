"""Opening a center's cloud: the driver's settings out of the row, its secrets out of the vault."""

import json
from typing import Any

from portico.errors import Invalid
from portico.ports.cloud import Cloud, CloudContext
from portico.services.broker import Broker
from portico.store.centers import Center
from portico.store.records import adapter


def open_cloud(broker: Broker, center: Center) -> Cloud:
    """Return the center's driver, ready for calls. Raises Invalid when its kind or settings are not usable."""
    driver = broker.cloud_drivers.get(center.kind)
    if driver is None:
        raise Invalid(
            f"This broker has no driver for centers of the kind “{center.kind}”.", {"kind": "Install its extra."}
        )
    secrets: dict[str, Any] = {}
    if center.sealed_secrets:
        secrets = json.loads(broker.vault.open(f"centers.sealed_secrets:{center.id}", center.sealed_secrets))
    try:
        settings = adapter(driver.Settings).validate_python({**center.settings, **secrets})
    except ValueError as problem:
        raise Invalid(
            f"The settings of the center “{center.name}” cannot be used.", detail=type(problem).__name__
        ) from problem
    # The random tail of the id: local desktops keep sockets below it, whose paths the kernel limits to 107 bytes.
    state = broker.config.state / "centers" / center.id[-12:]
    cloud: Cloud = driver(settings, CloudContext(broker.deployment_id, center.id, state, broker.config.egress_allow))
    return cloud
