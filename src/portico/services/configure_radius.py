"""RADIUS servers: checked by the driver's own rules, their shared secret sealed and never shown again."""

from typing import Any

from sqlalchemy import Connection, select

from portico.errors import Invalid
from portico.services.radius import KIND, PLACE, made
from portico.services.writing import Write, Writer, unique
from portico.store import tables as t

LEAST_SECRET, MOST_SECRET = 16, 128  # characters (RFC 2865, section 3)


class Radius(Writer):
    """RADIUS servers. A secret that is left out or empty stays as it is, as long as it goes where it went."""

    def form_values(self, conn: Connection, row: Any) -> dict[str, Any]:
        """Return the form without the secret."""
        return {"name": row.name, **row.body}

    def check(self, write: Write) -> dict[str, str]:
        """Check the name, the servers and the secret."""
        values, wrong = write.values, unique(write, "name")
        typed = values["secret"] or ""
        if typed and not LEAST_SECRET <= len(typed) <= MOST_SECRET:
            wrong["secret"] = f"Use {LEAST_SECRET} to {MOST_SECRET} characters."
        if not typed and write.old is None:
            wrong["secret"] = "Fill this in."  # noqa: S105 - a sentence
        if not typed and write.old is not None and write.old.body.get("servers") != values["servers"]:
            wrong["secret"] = "Type it again: it goes elsewhere now."  # noqa: S105 - a sentence
        driver = write.broker.factor_drivers[KIND]
        try:
            made(driver, values, typed or "-" * LEAST_SECRET, ()).close()
        except Invalid as problem:
            wrong |= problem.fields or {"servers": problem.sentence}
        return wrong

    def row(self, write: Write) -> dict[str, Any]:
        """Keep the secret out of the body."""
        values = write.values
        body = {key: value for key, value in values.items() if key not in ("name", "secret")}
        if not values["secret"]:
            return {"name": values["name"], "body": body, "sealed_secret": write.old.sealed_secret}
        sealed = write.broker.vault.seal(PLACE.format(write.id), values["secret"])
        return {"name": values["name"], "body": body, "sealed_secret": sealed}

    def users(self, write: Write) -> list[str]:
        """Name the policies and roles that demand their codes."""
        found = []
        for table, what in ((t.policies, "policy"), (t.roles, "role")):
            mine = (table.c.tenant_id == write.actor.tenant_id) & table.c.deleted_at.is_(None)
            rows = write.conn.execute(select(table.c.name, table.c.body).where(mine))
            found += [f"{what} {row.name}" for row in rows if row.body.get("radius_id") == write.id]
        return found
