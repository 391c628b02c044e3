"""Lists: searched, filtered, sorted, paged by key, exported, and acted on by many."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from portico.domain import access
from portico.domain.access import Actor
from portico.domain.model import PowerAction
from portico.errors import Invalid, PorticoError
from portico.services import configure, naming, power, reach, release
from portico.services.broker import Broker
from portico.services.configure import Query
from portico.services.sessions import SignedIn
from portico.web.admin import cells, events
from portico.web.admin.areas import Area
from portico.web.admin.frame import area_of, console
from portico.web.guard import PageRoute, administrator, posted, see
from portico.web.rendering import N_, Page, broker_of, speak

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin")

LIST = Page("admin/list.html", ("rows",))
ROWS = 50
EXPORT_LIMIT = 100_000
BULK_LIMIT = 500
BULK = {
    "start": N_("Start"),
    "shutdown": N_("Shut down"),
    "reboot": N_("Reboot"),
    "stop": N_("Cut the power"),
    "release": N_("Take back"),
    "delete": N_("Delete"),
}


@router.get("/plans")
def plans(request: Request, me: Annotated[SignedIn, Depends(administrator)]) -> Response:
    """Lead to the first kind of plans."""
    return see(request, "/admin/protocol-plans")


@router.get("/{noun}")
def browse(
    request: Request,
    me: Annotated[SignedIn, Depends(administrator)],
    noun: str,
    q: str = "",
    sort: str = "",
    cursor: str = "",
) -> Response:
    """Show a page of a list."""
    area = area_of(me, noun)
    broker, wrong = broker_of(request), ""
    speak(request, me)
    query = Query(search=q[:200], sort=sort or area.sort, cursor=cursor or None, limit=ROWS)
    try:
        found = configure.list_items(broker, me.actor, noun, query)
    except Invalid as problem:
        wrong = next(iter(problem.fields.values()), problem.sentence)
        found = configure.list_items(broker, me.actor, noun, Query(sort=area.sort, limit=ROWS))
    return console(
        request,
        LIST,
        me,
        area=area,
        rows=_rows(broker, me.actor, area, found.items),
        found=found,
        cell=cells.cell,
        title_of=cells.title_of,
        query=q,
        sort=sort or area.sort,
        wrong=wrong,
        link=lambda **more: link(request, **more),
        realms=reach.realms(broker, me.actor) if noun == "gateways" else [],
        publisher=broker.keys if noun == "gateways" else None,
        bulk=BULK if area.bulk and access.may_handle(me.actor, area.noun, area.access, access.Level.EDIT) else {},
    )


@router.get("/{noun}/export")
def export(
    request: Request, me: Annotated[SignedIn, Depends(administrator)], noun: str, q: str = "", format: str = "csv"
) -> Response:
    """Send all that the search finds, as CSV or JSON."""
    area = area_of(me, noun)
    items = _all_items(broker_of(request), me.actor, area, q[:200])
    if format == "json":
        text: Iterator[str] = _as_json(items)
        kind = "application/json"
    else:
        text, kind = _as_csv(items), "text/csv; charset=utf-8"
    name = f"{noun}.{'json' if format == 'json' else 'csv'}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(text, media_type=kind, headers=headers)


@router.post("/desktops/bulk")
def bulk(request: Request, form: Annotated[FormData, Depends(posted)]) -> Response:
    """Do one thing to many desktops; what is dangerous is asked first, in numbers."""
    me: SignedIn = request.state.me
    area = area_of(me, "desktops", access.Level.EDIT)
    ids = list(dict.fromkeys(str(value) for value in form.getlist("id")))[:BULK_LIMIT]
    action = str(form.get("action") or "")
    if action not in BULK:
        raise Invalid(N_("Choose what to do with the desktops."))
    if not ids:
        return see(request, "/admin/desktops")
    if not form.get("sure"):
        return console(request, "admin/bulk.html", me, area=area, ids=ids, action=action, label=BULK[action])
    broker = broker_of(request)
    problems = {id: _do(broker, me.actor, id, action) for id in ids}
    if any(problems.values()):
        known = naming.names(broker, me.actor, {"desktops": ids})
        name = {id: known["desktops", id].name if ("desktops", id) in known else id for id in ids}
        done = [(id, name[id]) for id, problem in problems.items() if problem is None]
        refused = [(id, name[id], problem.sentence) for id, problem in problems.items() if problem is not None]
        return console(
            request, "admin/bulk_done.html", me, 409, area=area, label=BULK[action], done=done, refused=refused
        )
    return see(request, f"/admin/desktops?done=queued&count={len(ids)}")


def link(request: Request, **more: str) -> str:
    """Return the address of this list with some of its query changed; empty values are left out."""
    kept = {key: request.query_params.get(key, "") for key in ("q", "sort")} | more
    return f"{request.url.path}?{urlencode({key: value for key, value in kept.items() if value})}"


def _rows(broker: Broker, actor: Actor, area: Area, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if area.noun == "events":
        return events.told(broker, actor, items)
    return cells.with_names(broker, actor, area, items)


def _do(broker: Broker, actor: Actor, id: str, action: str) -> PorticoError | None:
    try:
        if action == "release":
            release.release_desktop(broker, actor, id)
        elif action == "delete":
            power.delete_desktop(broker, actor, id)
        else:
            power.power(broker, actor, id, PowerAction(action))
    except PorticoError as problem:
        return problem
    return None


def _all_items(broker: Broker, actor: Actor, area: Area, search: str) -> Iterator[dict[str, Any]]:
    cursor, sent = None, 0
    while sent < EXPORT_LIMIT:
        found = configure.list_items(
            broker, actor, area.noun, Query(search, sort=area.sort, cursor=cursor, limit=cells.ALL)
        )
        yield from found.items
        sent += len(found.items)
        if not found.next:
            return
        cursor = found.next


def _as_csv(items: Iterator[dict[str, Any]]) -> Iterator[str]:
    names: list[str] = []
    for item in items:
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        if not names:
            names = list(item)
            writer.writerow(names)
        writer.writerow([_plain(item.get(name)) for name in names])
        yield buffer.getvalue()


def _plain(value: Any) -> str:
    text = "" if value is None else json.dumps(value) if isinstance(value, dict | list) else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text  # A spreadsheet must not run it.


def _as_json(items: Iterator[dict[str, Any]]) -> Iterator[str]:
    yield "["
    for number, item in enumerate(items):
        yield (",\n" if number else "\n") + json.dumps(item)
    yield "\n]\n"
