"""Centers: their settings checked against the driver's own, their secrets sealed."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, select

from portico.errors import Invalid
from portico.ports.cloud import Meta
from portico.services import endings
from portico.services.nouns import Noun
from portico.services.shapes import path_of, sentence_of
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
        typed = _without_empty_secrets(driver.Settings, values["settings"])
        return wrong | check_settings(driver.Settings, _secrets(write) | typed)

    def row(self, write: Write) -> dict[str, Any]:
        """Keep the secrets out of the body."""
        values = write.values
        named = secret_names(write.broker.cloud_drivers[values["kind"]].Settings)
        typed = {key: text for key, text in values["settings"].items() if key in named and text not in ("", None)}
        body = {key: values[key] for key in BODY if key != "settings"}
        body["settings"] = {key: value for key, value in values["settings"].items() if key not in named}
        secrets = _secrets(write) | typed
        sealed = write.broker.vault.seal(PLACE.format(write.id), json.dumps(secrets)) if secrets else None
        return {"name": values["name"], "kind": values["kind"], "body": body, "sealed_secrets": sealed}

    def first(self, write: Write) -> dict[str, Any]:
        """Begin unseen."""
        return {"status": "new", "status_reason": "", "pass_number": 0}

    def users(self, write: Write) -> list[str]:
        """Name the pools that build in the center."""
        mine = select(t.pools.c.name, t.pools.c.body).where(
            t.pools.c.tenant_id == write.actor.tenant_id, t.pools.c.deleted_at.is_(None)
        )
        rows = list(write.conn.execute(mine))
        return [f"pool {row.name}" for row in rows if row.body.get("provisioning", {}).get("center_id") == write.id]

    def delete(self, write: Write) -> dict[str, Any]:
        """Mark the center and its desktops deleted and end their assignments; the machines stay where they are."""
        desktops, assignments = endings.center_gone(write.broker, write.conn, write.id)
        return super().delete(write) | {"desktops": desktops, "assignments": assignments}

    def show(self, conn: Connection, noun: Noun, rows: list[Any]) -> dict[Any, dict[str, Any]]:
        """Add settings, and whether secrets are set."""
        return {row.id: _body(row.body) | {"has_secrets": row.sealed_secrets is not None} for row in rows}


def secret_names(settings: type) -> frozenset[str]:
    """Name the settings of a driver that are sealed."""
    return frozenset(name for name, (_, meta) in _described(settings).items() if meta.secret)


def check_settings(settings: type, values: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each wrong setting, by its path in the center's form."""
    described = _described(settings)
    wrong = {
        f"settings.{name}": "This kind of center has no such setting. Leave it out."
        for name in values
        if name not in described
    }
    for name, (_, meta) in described.items():
        if meta.choices and values.get(name) not in (None, "") and values[name] not in meta.choices:
            wrong[f"settings.{name}"] = f"Choose one of {', '.join(meta.choices)}."
    try:
        TypeAdapter(settings).validate_python({key: value for key, value in values.items() if key in described})
    except ValidationError as problem:
        for error in problem.errors(include_url=False):
            wrong.setdefault(f"settings.{path_of(error['loc'])}", sentence_of(error))
    except Invalid as problem:
        wrong.update(
            {f"settings.{key}": text for key, text in problem.fields.items()} or {"settings": problem.sentence}
        )
    return wrong


def _described(settings: type) -> dict[str, tuple[Any, Meta]]:
    found: dict[str, tuple[Any, Meta]] = {}
    for name, hint in get_type_hints(settings, include_extras=True).items():
        notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        meta = next((note for note in notes if isinstance(note, Meta)), Meta(name.replace("_", " ").capitalize()))
        found[name] = (get_args(hint)[0] if notes else hint, meta)
    return {item.name: found[item.name] for item in fields(settings)}


def _body(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: body.get(key, value) for key, value in BODY.items()}


def _secrets(write: Write) -> dict[str, Any]:
    if write.old is None or not write.old.sealed_secrets:
        return {}
    opened: dict[str, Any] = json.loads(write.broker.vault.open(PLACE.format(write.id), write.old.sealed_secrets))
    return opened


def _without_empty_secrets(settings: type, values: Mapping[str, Any]) -> dict[str, Any]:
    named = secret_names(settings)
    return {key: value for key, value in values.items() if not (key in named and value in ("", None))}
