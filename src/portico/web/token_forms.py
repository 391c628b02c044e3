"""The form for a new API token: one's own page and that of a service account share it."""

from typing import Any

from starlette.datastructures import FormData

from portico.domain.access import AREAS, PORTAL, Level
from portico.web.rendering import N_

# How long a token may live, in days; empty: until it is revoked.
LIVES = ((30, N_("30 days")), (90, N_("90 days")), (365, N_("1 year")), ("", N_("Until revoked")))
ROTATION_HOURS = 24
KINDS = (
    ("all", N_("All that its owner may")),
    ("look", N_("Look at everything, change nothing")),
    ("chosen", N_("What is chosen below")),
)
EMPTY: dict[str, Any] = {"name": "", "days": 90, "kind": "all", "networks": "", "scopes": {}}


def typed(form: FormData) -> dict[str, Any]:
    """Return what stands in the form, to be shown again."""
    days = str(form.get("days") or "").strip()
    chosen = {area: str(form.get(f"scope.{area}") or "") for area in (PORTAL, *AREAS)}
    return {
        "name": str(form.get("name") or "").strip(),
        "days": int(days) if days.isdecimal() and len(days) < 6 else days or None,
        "kind": str(form.get("kind") or "all"),
        "networks": str(form.get("networks") or "")[:2000],
        "scopes": {area: level for area, level in chosen.items() if level},
    }


def wanted(shown: dict[str, Any], user_id: str | None = None) -> dict[str, Any]:
    """Return the fields of the token that the form asks for."""
    looks = dict.fromkeys((PORTAL, *AREAS), str(Level.VIEW))
    scopes = {"all": None, "look": looks}.get(shown["kind"], shown["scopes"])
    fields = {"name": shown["name"], "days": shown["days"], "scopes": scopes, "networks": shown["networks"].split()}
    return fields | ({"user_id": user_id} if user_id else {})


def beside(fields: dict[str, str]) -> dict[str, str]:
    """Return sentences by the field of the form that they stand beside."""
    return {f"token-{name.partition('.')[0]}": text for name, text in fields.items()}
