"""What the API's description says of each operation: its body, its answer, and every error it can give."""

from collections.abc import Mapping
from typing import Any

PROBLEM = "#/components/schemas/Problem"
_ERRORS: Mapping[int, str] = {
    400: "The request cannot be read.",
    401: "Nobody is logged in, or not any more.",
    403: "The role does not allow it.",
    404: "There is no such thing in this tenant.",
    409: "It does not fit the present state; `detail` says why and what to do.",
    412: "It was changed meanwhile; read it again.",
    422: "`errors` names every wrong field with its remedy.",
    429: "Too many tries; wait `Retry-After` seconds.",
    503: "Something does not answer; try again after `Retry-After` seconds.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of an operation."""
    content = {"application/problem+json": {"schema": {"$ref": PROBLEM}}}
    return {status: {"description": _ERRORS[status], "content": content} for status in statuses}


def answers(
    status: int, schema: str | Mapping[str, Any], text: str, headers: Mapping[str, Any] | None = None
) -> dict[int | str, Any]:
    """Describe what an operation answers; `schema` is a component's name or a schema."""
    shape = {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else dict(schema)
    found: dict[str, Any] = {"description": text, "content": {"application/json": {"schema": shape}}}
    return {status: found | ({"headers": dict(headers)} if headers else {})}


def takes(
    schema: str | Mapping[str, Any], example: Mapping[str, Any] | None = None, *, required: bool = True
) -> dict[str, Any]:
    """Describe the body of an operation."""
    shape = {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else dict(schema)
    content = {"schema": shape} | ({"example": dict(example)} if example else {})
    return {"requestBody": {"required": required, "content": {"application/json": content}}}


def record(required: str = "", **members: str) -> dict[str, Any]:
    """Build a small schema: member names with JSON types ("string", "integer" …)."""
    properties = {name: ({"type": kind} if kind else {}) for name, kind in members.items()}
    return {"type": "object", "properties": properties, **({"required": required.split()} if required else {})}
