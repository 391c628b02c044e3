"""Events as sentences in the reader's language, with links to what they speak of."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from portico.domain.access import Actor
from portico.services import naming
from portico.services.broker import Broker
from portico.services.naming import Named
from portico.web import event_words
from portico.web.admin.cells import linked
from portico.web.rendering import translate
from portico.web.words import job_word

LINKS = {"user": ("user_id", "users"), "desktop": ("desktop_id", "desktops"), "pool": ("pool_id", "pools"),
         "center": ("center_id", "centers")}  # fmt: skip
NOUN_OF = {
    "center": "centers", "pool": "pools", "policy": "policies", "protocol-plan": "protocol-plans", "power-plan": "power-plans",
    "release-plan": "release-plans", "role": "roles", "user": "users", "desktop": "desktops", "gateway": "gateways", "location": "locations", "client": "clients", "directory": "directories", "radius-server": "radius-servers", "gateway-group": "gateway-groups",
}  # fmt: skip
SHOWN_NAMES = 5
Names = Mapping[tuple[str, str], Named]


def told(broker: Broker, actor: Actor, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the events with `sentence` (safe HTML) and `shown` (what stands behind "Details"). One query per noun named."""
    wanted: dict[str, set[str]] = {}
    for item in items:
        for noun, id in _references(item).values():
            wanted.setdefault(noun, set()).add(id)
    names = naming.names(broker, actor, wanted)
    return [{**item, "sentence": _sentence(actor, item, names), "shown": _shown(item)} for item in items]


def _references(item: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    found = {name: (noun, str(item[field])) for name, (field, noun) in LINKS.items() if item.get(field)}
    noun, params = NOUN_OF.get(item["code"].partition(".")[0]), item.get("params") or {}
    if noun and params.get("id"):
        found["name"] = (noun, str(params["id"]))
    return found


def _sentence(actor: Actor, item: Mapping[str, Any], names: Names) -> Markup:
    params = dict(item.get("params") or {})
    values: dict[str, Any] = {name: _word(value) for name, value in params.items()}
    if "kind" in params:
        values["job"] = translate(job_word(str(params["kind"])))
    for name, key in _references(item).items():
        if key in names:
            values[name] = linked(actor, *key, names[key])
    by = item.get("actor") or ""
    user = names.get(("users", str(item.get("user_id"))))
    values["actor"] = _actor(by, user, values)
    message = event_words.message_of(item["code"], by, user.name if user else "", params)
    values |= {"code": item["code"], "params": ", ".join(f"{name}={value}" for name, value in params.items())}
    # What a row of long ago does not tell is a dash rather than a broken page.
    return escape(translate(message)) % _Filling(values)


def _actor(by: str, user: Named | None, values: Mapping[str, Any]) -> Any:
    if by in ("", "broker"):
        return Markup('<b class="named">{}</b>').format(translate(event_words.BROKER))
    if user is not None and user.name == by:
        return values["user"]
    return Markup('<b class="named">{}</b>').format(by)


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value[:SHOWN_NAMES]) + (" …" if len(value) > SHOWN_NAMES else "")
    return "" if value is None else str(value)


def _shown(item: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    params = item.get("params") or {}
    return [(name, _word(value)) for name, value in params.items() if value not in (None, "", [])]


class _Filling(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "—"
