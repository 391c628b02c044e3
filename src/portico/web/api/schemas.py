"""The schemas of the API's description (OpenAPI 3.1), made from the forms and columns of the nouns."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from portico import __version__
from portico.services.configure import NOUNS
from portico.services.nouns import Noun
from portico.services.shapes import column_types, item_of

REF = "#/components/schemas/{model}"
_SETTING = {
    "id": str,
    "name": str,
    "title": str,
    "help": str,
    "unit": str,
    "value": int | str,
    "default": int | str,
    "is_set": bool,
}


def schema_name(noun: Noun) -> str:
    """Return the schema's name of a noun: "ReleasePlan"."""
    return "".join(part.capitalize() for part in noun.singular.split("-"))


def describe_api(app: FastAPI) -> dict[str, Any]:
    """Return the description of the API, made once."""
    if app.openapi_schema is None:
        about: dict[str, Any] = {
            "version": __version__,
            "openapi_version": "3.1.0",
            "summary": "The connection broker's API",
        }
        found = get_openapi(title="Portico", routes=app.routes, **about)
        found["paths"] = {path: what for path, what in found["paths"].items() if path.startswith("/api/v1/")}
        for operations in found["paths"].values():
            for operation in operations.values():
                _own_problem(operation["responses"])
        parts = found.setdefault("components", {})
        parts.setdefault("schemas", {}).update(_schemas())
        for name in ("HTTPValidationError", "ValidationError"):
            parts["schemas"].pop(name, None)
        parts["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"bearer": []}]
        app.openapi_schema = found
    return app.openapi_schema


def _own_problem(responses: dict[str, Any]) -> None:
    """Take away the framework's own description of a 422, which we never answer."""
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]


def _schemas() -> dict[str, Any]:
    forms: dict[str, str] = {}
    models: list[tuple[Any, Any]] = []
    items: dict[str, Any] = {}
    for noun in NOUNS.values():
        name = schema_name(noun)
        columns = dict(_SETTING) if noun.name == "settings" else column_types(noun.table, noun.columns)
        models.append((item_of(name, columns), "serialization"))
        if noun.form is not None:
            models.append((noun.form, "validation"))
            forms[name] = noun.form.__name__
        items[f"{name}Page"] = _page(name)
    _, made = models_json_schema(models, ref_template=REF)
    schemas: dict[str, Any] = {**made["$defs"], **items, **_COMMON}
    for name, form in forms.items():
        shape = schemas[form]
        schemas[f"{name}Form"] = shape
        # Nothing is required of a change: what is not named stays.
        schemas[f"{name}Change"] = {key: value for key, value in shape.items() if key != "required"} | {
            "title": f"{name}Change"
        }
        schemas[name]["properties"] = {**shape.get("properties", {}), **schemas[name]["properties"]}
        for secret in ("password", "secret"):
            schemas[name]["properties"].pop(secret, None)
    return schemas


def _page(name: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["items", "next", "total"],
        "properties": {
            "items": {"type": "array", "items": {"$ref": REF.format(model=name)}},
            "next": {"type": ["string", "null"], "description": "The cursor of the next page; null on the last one."},
            "total": {"type": "integer"},
        },
    }


_TEXT = {"type": "string"}
_COMMON: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT, "instance": _TEXT,
            "code": {"type": "string", "description": "Stable; `detail` is for people."},
            "errors": {
                "type": "array",
                "items": {"type": "object", "required": ["field", "detail"], "properties": {"field": _TEXT, "detail": _TEXT}},
            },
            "reason": {"$ref": REF.format(model="Reason")},
        },
    },
    "Reason": {
        "type": "object",
        "required": ["code", "sentence", "remedy", "params", "because"],
        "properties": {
            "code": _TEXT, "sentence": _TEXT, "remedy": _TEXT, "params": {"type": "object"},
            "because": {"type": "array", "items": {"$ref": REF.format(model="Reason")}},
        },
    },
    "Login": {
        "type": "object",
        "required": ["username", "password"],
        "properties": {"username": _TEXT, "password": {"type": "string", "format": "password"}, "domain": _TEXT},
    },
    "Me": {
        "type": "object",
        "required": ["id", "login_name", "tenant_id", "role", "policy"],
        "properties": {
            "id": _TEXT, "login_name": _TEXT, "display_name": _TEXT, "email": _TEXT, "tenant_id": _TEXT,
            "must_change_password": {"type": "boolean"}, "role": {"type": "object"}, "policy": {"type": "object"},
            "expires_at": {"type": "string", "format": "date-time"}, "preferences": {"type": "object"},
        },
    },
    "Offers": {
        "type": "object",
        "required": ["offers", "refusals"],
        "properties": {
            "offers": {"type": "array", "items": {"$ref": REF.format(model="Offer")}},
            "refusals": {"type": "array", "items": {"$ref": REF.format(model="Reason")}},
        },
    },
    "Offer": {
        "type": "object",
        "required": ["id", "name", "kind", "state", "action", "protocols"],
        "properties": {
            "id": {"type": "string", "description": "For POST /connections."}, "name": _TEXT, "kind": _TEXT, "state": _TEXT,
            "action": _TEXT, "protocols": {"type": "array", "items": _TEXT}, "may_release": {"type": "boolean"},
            "may_power": {"type": "boolean"}, "reason": {"anyOf": [{"$ref": REF.format(model="Reason")}, {"type": "null"}]},
        },
    },
    "Connection": {
        "type": "object",
        "required": ["id", "state", "stage", "launch"],
        "properties": {
            "id": _TEXT, "state": {"enum": ["waiting", "ready", "open", "closed", "failed"]}, "stage": _TEXT,
            "fraction": {"type": "number"}, "protocol": _TEXT, "protocols": {"type": "array", "items": _TEXT},
            "desktop_name": _TEXT, "address": _TEXT, "assignment_id": _TEXT, "expected_seconds": {"type": ["integer", "null"]},
            "launch": {"type": ["object", "null"], "description": "How a client starts the session, once it is ready."},
            "reason": {"anyOf": [{"$ref": REF.format(model="Reason")}, {"type": "null"}]},
        },
    },
}  # fmt: skip
