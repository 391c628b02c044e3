"""Make, change and delete: one form for every noun, with what was typed kept, errors beside their fields, and undo."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from portico.domain import access
from portico.errors import Conflict, Invalid
from portico.services import configure, consequences
from portico.services.configure import Query
from portico.services.driver_settings import KindInfo
from portico.services.sessions import SignedIn
from portico.web import forms
from portico.web.admin import cells
from portico.web.admin.areas import AREAS, Area
from portico.web.admin.frame import area_of, console
from portico.web.admin.kinds import KINDS
from portico.web.admin.layouts import KINDED, LINES, MENUS, Layout, layout
from portico.web.admin.preview import CHANGED, DELETED
from portico.web.guard import PageRoute, administrator, posted, see
from portico.web.rendering import N_, broker_of, speak, translate

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin")

UNDOABLE = frozenset(
    (
        "centers",
        "pools",
        "policies",
        "protocol-plans",
        "power-plans",
        "release-plans",
        "roles",
        "users",
        "locations",
        "directories",
        "radius-servers",
    )
)
FIRST = {  # what a new item begins with, so that the common case is filled in
    "pools": {
        "rule": {"own_builds": True},
        "provisioning": {
            "limits": {"enabled": True, "start_below": 1, "stop_at": 5},
            "deletable": True,
            "name_template": "desktop-{SEQUENCE}",
        },
    },
}


# What is shown after saving: a center is looked at there and then, so that what is missing shows before anybody needs it.
CHECKED = {"centers": "&check=1", "directories": "&check=1", "radius-servers": "&check=1"}


@router.get("/{noun}/new")
def show_new(
    request: Request,
    me: Annotated[SignedIn, Depends(administrator)],
    noun: str,
    kind: str = "",
    center: str = "",
    image: str = "",
) -> Response:
    """Show the form of something new; a center's kind is asked first."""
    area = area_of(me, noun, access.Level.EDIT)
    if not area.create or not access.may_make(me.actor, noun):
        raise Invalid(N_("Nothing of this kind is made by hand."))
    if noun in KINDED and not kind:
        known = sorted(
            KINDED[noun](broker_of(request)),
            key=lambda found: list(KINDS).index(found.kind) if found.kind in KINDS else -1,
        )
        return console(request, "admin/kinds.html", me, area=area, kinds=known, words_of=_words_of)
    speak(request, me)
    item = _fresh(request, me, area, kind)
    if noun == "pools":
        _prefill_pool(request, me, item, center, image)
    return _form(request, me, area, item, {})


@router.post("/{noun}/new")
def create(request: Request, form: Annotated[FormData, Depends(posted)], noun: str) -> Response:
    """Make it, or show again what was typed and what is wrong with it."""
    me: SignedIn = request.state.me
    area = area_of(me, noun, access.Level.EDIT)
    broker = broker_of(request)
    data, wrong, made = _read(request, me, area, form)
    if (answer := _not_yet(request, me, area, data, form, wrong)) is not None:
        return answer
    try:
        item = configure.create_item(broker, me.actor, noun, data)
    except Invalid as problem:
        return _form(request, me, area, data, wrong | _errors(problem, made), 422)
    if item.get("generated_password"):
        return console(request, "admin/secret.html", me, area=area, item=item, password=item["generated_password"])
    if noun == "join-keys":
        return console(request, "admin/join_key.html", me, area=area, item=item, **cells.of_deployment(broker))
    return see(request, f"/admin/{noun}/{item['id']}?done=created{CHECKED.get(noun, '')}")


@router.post("/{noun}/{item_id}/edit")
def change(request: Request, form: Annotated[FormData, Depends(posted)], noun: str, item_id: str) -> Response:
    """Save it, or show again what was typed and what is wrong with it."""
    me: SignedIn = request.state.me
    area = area_of(me, noun, access.Level.EDIT)
    broker = broker_of(request)
    old = configure.get_item(broker, me.actor, noun, item_id)
    data, wrong, made = _read(request, me, area, form, old)
    data["id"] = item_id
    if (answer := _not_yet(request, me, area, data, form, wrong)) is not None:
        return answer
    version = str(form.get("version") or "")
    fields = {key: value for key, value in data.items() if key not in ("id", "kind")}
    try:
        configure.update_item(broker, me.actor, noun, item_id, fields, int(version) if version.isdecimal() else None)
    except Invalid as problem:
        return _form(request, me, area, {**old, **data}, wrong | _errors(problem, made), 422)
    except Conflict as problem:
        fresh = configure.get_item(broker, me.actor, noun, item_id)
        data["version"] = fresh.get("version")
        note = {"form": problem.sentence}
        return _form(request, me, area, {**fresh, **data}, note, 409)
    return see(request, f"/admin/{noun}/{item_id}?done=saved{CHECKED.get(noun, '&tab=settings')}")


@router.get("/{noun}/{item_id}/delete")
def ask_delete(request: Request, me: Annotated[SignedIn, Depends(administrator)], noun: str, item_id: str) -> Response:
    """Ask before something is deleted, and say what goes with it."""
    area = area_of(me, noun, access.Level.EDIT)
    item = configure.get_item(broker_of(request), me.actor, noun, item_id)
    return _ask(request, me, area, item)


@router.post("/{noun}/{item_id}/delete")
def delete(request: Request, form: Annotated[FormData, Depends(posted)], noun: str, item_id: str) -> Response:
    """Delete it; configuration can be taken back."""
    me: SignedIn = request.state.me
    area = area_of(me, noun, access.Level.EDIT)
    broker = broker_of(request)
    try:
        configure.delete_item(broker, me.actor, noun, item_id)
    except Conflict as problem:
        return _ask(request, me, area, configure.get_item(broker, me.actor, noun, item_id), problem.sentence, 409)
    undo = f"&undo={item_id}" if noun in UNDOABLE else ""
    return see(request, f"/admin/{noun}?done=deleted{undo}")


@router.post("/{noun}/{item_id}/restore")
def restore(request: Request, form: Annotated[FormData, Depends(posted)], noun: str, item_id: str) -> Response:
    """Take a deletion back."""
    me: SignedIn = request.state.me
    area_of(me, noun, access.Level.EDIT)
    configure.restore_item(broker_of(request), me.actor, noun, item_id)
    return see(request, f"/admin/{noun}/{item_id}?done=restored")


def form_context(
    request: Request, me: SignedIn, area: Area, item: Mapping[str, Any], errors: Mapping[str, str]
) -> dict[str, Any]:
    """Return what the form's template needs: filled sections, errors, and errors that no field shows."""
    made = layout(broker_of(request), me.actor, area, item)
    sections = [(section, forms.fill(widgets, item, errors)) for section, widgets in made.sections]
    if me.actor.reach is not None:
        away = N_("Out of your reach")
        sections = [(section, forms.keeping(widgets, MENUS, translate(away))) for section, widgets in sections]
    shown = {widget.name for _, widgets in sections for widget in widgets}
    shown |= {cell.name for _, widgets in sections for widget in widgets for line in widget.lines for cell in line}
    loose = [text for name, text in errors.items() if name not in shown]
    return {
        "item": item,
        "no_center": area.noun == "pools" and not made.widgets["provisioning.center_id"].options,
        "sections": sections,
        "errors": errors,
        "loose": loose,
        "layout": made,
        "title_of": cells.title_of,
        "builds": _builds(request, me, area, item),
        "touched": consequences.of_change(broker_of(request), me.actor, area.noun, str(item["id"]))
        if "id" in item
        else [],
        "changed_words": CHANGED,
    }


def _builds(request: Request, me: SignedIn, area: Area, item: Mapping[str, Any]) -> consequences.Effect | None:
    """Return what saving the pool does at once; None for what builds nothing."""
    if area.noun != "pools":
        return None
    typed = forms.get(item, "provisioning", {})
    return consequences.of_provisioning(broker_of(request), me.actor, str(item.get("id") or ""), typed)


def _form(
    request: Request, me: SignedIn, area: Area, item: Mapping[str, Any], errors: Mapping[str, str], status: int = 200
) -> Response:
    return console(request, "admin/form.html", me, status, area=area, **form_context(request, me, area, item, errors))


def _read(
    request: Request, me: SignedIn, area: Area, form: FormData, old: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, str], Layout]:
    kind = str(form.get("kind") or (old or {}).get("kind") or "")
    asked: dict[str, Any] = {"kind": kind, "provisioning": {"center_id": None}}
    for name in form:
        if name.startswith("provisioning.placement.") or name == "provisioning.center_id":
            forms.put(asked, name, form.get(name) or None)
    made = layout(broker_of(request), me.actor, area, asked)
    data, wrong = forms.read(form, made.widgets.values())
    for name in LINES:
        if name in made.widgets and str(form.get("intent") or "").partition("/")[0] == name:
            forms.put(data, name, forms.move_lines(forms.get(data, name, []), str(form["intent"]).partition("/")[2]))
    if area.noun in KINDED:
        data["kind"] = kind
    if area.noun == "users" and not data.get("password"):
        data.pop("password", None)
    return data, wrong, made


def _not_yet(
    request: Request, me: SignedIn, area: Area, data: dict[str, Any], form: FormData, wrong: dict[str, str]
) -> Response | None:
    """Return the form again when something else than saving was pressed, or when it cannot be read."""
    if form.get("intent"):
        return _form(request, me, area, data, {})
    return _form(request, me, area, data, wrong, 422) if wrong else None


def _errors(problem: Invalid, made: Layout) -> dict[str, str]:
    return dict(problem.fields) or {"form": problem.sentence}


def _words_of(kind: KindInfo) -> tuple[str, str]:
    return KINDS.get(kind.kind, (kind.kind.capitalize(), kind.title))


def _fresh(request: Request, me: SignedIn, area: Area, kind: str) -> dict[str, Any]:
    item: dict[str, Any] = {"kind": kind} if kind else {}
    made = layout(broker_of(request), me.actor, area, item)
    for widget in made.widgets.values():
        if widget.kind != "lines":
            forms.put(item, widget.name, widget.value)
    if kind in KINDS:
        item["name"] = translate(KINDS[kind][0])
    for key, value in _flat(FIRST.get(area.noun, {})):
        forms.put(item, key, value)
    return item


def _flat(data: Mapping[str, Any], path: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in data.items():
        found += _flat(value, f"{path}{key}.") if isinstance(value, Mapping) else [(f"{path}{key}", value)]
    return found


def _prefill_pool(request: Request, me: SignedIn, item: dict[str, Any], center: str, image: str) -> None:
    """Begin with the image that was chosen, by our id or by that of its cloud, else with the first one of the center."""
    broker = broker_of(request)
    images = configure.list_items(broker, me.actor, "images", Query(limit=cells.ALL)).items
    here = [one for one in images if center in ("", one["center_id"])]
    chosen = next(
        (one for one in images if image and image in (one["id"], one["external_id"])), here[0] if here else None
    )
    known = cells.options_of(broker, me.actor, "centers")
    only = known[0].value if len(known) == 1 else None
    forms.put(item, "provisioning.center_id", chosen["center_id"] if chosen else center or only)
    if chosen:
        item["name"] = chosen["name"]
        forms.put(item, "provisioning.image", chosen["external_id"])


def _ask(
    request: Request, me: SignedIn, area: Area, item: Mapping[str, Any], refusal: str = "", status: int = 200
) -> Response:
    return console(
        request,
        "admin/delete.html",
        me,
        status,
        area=area,
        item=item,
        name=cells.title_of(area.noun, item),
        refusal=refusal,
        undoable=area.noun in UNDOABLE,
        areas=AREAS,
        touched=consequences.of_deletion(broker_of(request), me.actor, area.noun, str(item["id"])),
        deleted_words=DELETED,
    )
