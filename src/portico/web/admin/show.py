"""Details of one object: its state and why, what belongs to it, its settings and its history."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from portico.domain import access
from portico.domain.directories import AssignmentRule, said
from portico.errors import PorticoError
from portico.ports.driver import Finding
from portico.services import (
    centers,
    configure,
    consequences,
    desktop_sessions,
    directories,
    overview,
    pool_limits,
    radius,
    sign_on_door,
    usage,
)
from portico.services.configure import Query
from portico.services.sessions import SignedIn
from portico.web.admin import cells, charts, events
from portico.web.admin.areas import Area
from portico.web.admin.edit import form_context
from portico.web.admin.frame import area_of, console
from portico.web.admin.preview import DELETED
from portico.web.guard import PageRoute, administrator
from portico.web.rendering import Page, broker_of, speak

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin")

DETAIL = Page("admin/detail.html", ("live", "now"))
CHECKS = {"centers": centers.check, "directories": directories.check, "radius-servers": radius.check}
RULE_NOUNS = ("roles", "policies", "locations")
HISTORY_ROWS = 100
CHART_HOURS = 24
USAGE_MONTHS = 6
# What is left out of the plain list of facts, since the page shows it in its own way.
OWN_WAY = frozenset(
    {"name", "login_name", "counts", "provisioning", "rule", "assignments", "areas", "settings", "reason", "params", "id", "users",
     "pools", "center_name", "version", "load", "client", "tags", "protocols", "stage_reason"}
)  # fmt: skip


@router.get("/{noun}/{item_id}")
def show(
    request: Request,
    me: Annotated[SignedIn, Depends(administrator)],
    noun: str,
    item_id: str,
    tab: str = "overview",
    offer: str = "",
) -> Response:
    """Show one object."""
    area = area_of(me, noun)
    broker = broker_of(request)
    speak(request, me)
    item = configure.get_item(broker, me.actor, noun, item_id)
    named = cells.with_names(broker, me.actor, area, [item])[0]
    tabs = _tabs(me, area)
    tab = tab if tab in tabs else "overview"
    context: dict[str, Any] = {
        "item": named,
        "tab": tab,
        "tabs": tabs,
        "name": named.get("title") or cells.title_of(noun, item),
        "cell": cells.cell,
    }
    if tab == "settings":
        if noun == "policies" and offer:
            item = {**item, "assignments": [*item["assignments"], {"pool_id": offer, "quantity": 1}]}
        context |= form_context(request, me, area, item, {})
        if noun == "pools":
            context["counts"] = overview.pool_counts(broker, me.actor, item_id)
    elif tab == "history":
        query = Query(filters={area.history: item_id}, sort="-id", limit=HISTORY_ROWS)
        context["events"] = events.told(broker, me.actor, configure.list_items(broker, me.actor, "events", query).items)
    else:
        if area.deletes and access.may_handle(me.actor, area.noun, area.access, access.Level.EDIT):
            context["touched"] = consequences.of_deletion(broker, me.actor, noun, item_id)
            context["deleted_words"] = DELETED
        context["facts"] = [(key, value) for key, value in named.items() if key not in OWN_WAY]
        context |= _more(request, me, area, item)
    return console(request, DETAIL, me, area=area, **{"item": named, **context})


def _tabs(me: SignedIn, area: Area) -> list[str]:
    tabs = ["overview"]
    if area.sections and access.may_handle(me.actor, area.noun, area.access, access.Level.EDIT):
        tabs.append("settings")
    if area.history and access.may(me.actor, "events"):
        tabs.append("history")
    return tabs


def _more(request: Request, me: SignedIn, area: Area, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what only this kind of object shows."""
    broker = broker_of(request)
    if area.noun == "pools":
        history = overview.pool_history(broker, me.actor, item["id"], CHART_HOURS)
        limits, change = pool_limits.outlook(broker, me.actor, item["id"])
        return {
            "limits": limits,
            "change": change,
            "counts": overview.pool_counts(broker, me.actor, item["id"]),
            "chart": charts.demand(history, broker.now()),
        }
    if area.noun == "directories" and "check" not in request.query_params:
        rules = [(said(AssignmentRule(**line)), line) for line in item["rules"]]
        menus = {
            noun: {one.value: one.label for one in cells.options_of(broker, me.actor, noun)} for noun in RULE_NOUNS
        }
        return {"rules": rules, "menus": menus, "door": sign_on_door.door(broker, me.actor, item["id"])}
    if area.noun == "desktops":
        held = desktop_sessions.held_of(broker, me.actor, item["id"])
        return {"held": held, "offering": desktop_sessions.offering(broker, me.actor, item["id"])}
    if area.noun == "join-keys":
        return dict(cells.of_deployment(broker))
    if area.noun == "events":
        return {"event": events.told(broker, me.actor, [item])[0]}
    if area.noun in CHECKS and request.query_params.get("check"):
        try:
            return {"findings": _grouped(CHECKS[area.noun](broker, me.actor, item["id"])), "check_failed": ""}
        except PorticoError as problem:
            return {"findings": (), "check_failed": problem.sentence}
    if area.noun == "centers" and request.query_params.get("usage"):
        try:
            return {"months": usage.by_month(broker, me.actor, item["id"], USAGE_MONTHS), "usage_failed": ""}
        except PorticoError as problem:
            return {"months": (), "usage_failed": problem.sentence}
    return {}


def _grouped(findings: Iterable[Finding]) -> list[tuple[str, list[Finding]]]:
    """Return the findings by group, in the order in which the groups come."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.group, []).append(finding)
    return list(groups.items())
