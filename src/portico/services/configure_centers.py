"""Centers: their settings checked against the driver's own, their secrets sealed."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from portico.services import driver_settings, endings
from portico.services.nouns import Noun
from portico.services.writing import Write, Writer, unique
from portico.store import tables as t
from portico.store.centers import BODY

PLACE = "centers.sealed_secrets:{}"


class Centers(Writer):
    """Centers. A secret that is left out or empty stays as it is; items only say which ones are set."""

    def form_values(self, conn: Connection, row: Any) -> dict[str, Any]:
        """Return the form without the secrets."""
        return {"name": row.name, "kind": row.kind, **_body(row.body)}

    def check(self, write: Write) -> dict[str, str]:
        """Check the name, the kind and every setting of the driver."""
        values, wrong = write.values, unique(write, "name")
        driver = write.broker.cloud_drivers.get(values["kind"])
        if driver is None:
            wrong["kind"] = (
                f"Choose one of {', '.join(sorted(write.broker.cloud_drivers)) or 'none: no driver is installed'}."
            )
            return wrong
        if write.old is not None and write.old.kind != values["kind"]:
            wrong["kind"] = "A center stays of its kind. Make a new center instead."
        typed = driver_settings.without_empty_secrets(driver.Settings, values["settings"])
        return wrong | driver_settings.check_settings(driver.Settings, _secrets(write) | typed)

    def row(self, write: Write) -> dict[str, Any]:
        """Keep the secrets out of the body."""
        values = write.values
        settings = write.broker.cloud_drivers[values["kind"]].Settings
        place = PLACE.format(write.id)
        shown, sealed = driver_settings.parted(write.broker, settings, values["settings"], place, _secrets(write))
        body = {key: values[key] for key in BODY if key != "settings"} | {"settings": shown}
        return {"name": values["name"], "kind": values["kind"], "body": body, "sealed_secrets": sealed}

    def first(self, write: Write) -> dict[str, Any]:
        """Begin unseen."""
        return {"status": "new", "status_reason": "", "pass_number": 0}

    def users(self, write: Write) -> list[str]:
        """Name the pools that build in the center; those out of a restricted role's reach are not named."""
        reach = write.actor.reach
        mine = select(t.pools.c.id, t.pools.c.name, t.pools.c.body).where(
            t.pools.c.tenant_id == write.actor.tenant_id, t.pools.c.deleted_at.is_(None)
        )
        rows = list(write.conn.execute(mine))
        building = [row for row in rows if row.body.get("provisioning", {}).get("center_id") == write.id]
        return [f"pool {row.name}" if reach is None or row.id in reach.pools else "another pool" for row in building]

    def delete(self, write: Write) -> dict[str, Any]:
        """Mark the center and its desktops deleted and end their assignments; the machines stay where they are."""
        desktops, assignments = endings.center_gone(write.broker, write.conn, write.id)
        return super().delete(write) | {"desktops": desktops, "assignments": assignments}

    def show(self, conn: Connection, noun: Noun, rows: list[Any]) -> dict[Any, dict[str, Any]]:
        """Add settings, and whether secrets are set."""
        return {row.id: _body(row.body) | {"has_secrets": row.sealed_secrets is not None} for row in rows}


def _body(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: body.get(key, value) for key, value in BODY.items()}


def _secrets(write: Write) -> dict[str, Any]:
    if write.old is None:
        return {}
    return driver_settings.opened(write.broker, PLACE.format(write.id), write.old.sealed_secrets)
