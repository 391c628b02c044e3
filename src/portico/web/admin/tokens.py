"""The API tokens of a service account: what a program may do, and its secrets, each shown once."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from portico.domain.access import Level
from portico.errors import Invalid, NotFound
from portico.services import configure, configure_tokens
from portico.services.configure import Query
from portico.services.sessions import SignedIn
from portico.web import token_forms
from portico.web.admin.frame import area_of, console
from portico.web.admin.layouts import AREA_WORDS
from portico.web.guard import PageRoute, administrator, posted, see
from portico.web.rendering import N_, broker_of

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin/users/{user_id}/tokens")


@router.get("")
def show(request: Request, me: Annotated[SignedIn, Depends(administrator)], user_id: str) -> Response:
    """Show the tokens, and the form for a new one."""
    return _page(request, me, user_id)


@router.post("")
def new(request: Request, form: Annotated[FormData, Depends(posted)], user_id: str) -> Response:
    """Make a token and show it once."""
    me: SignedIn = request.state.me
    area_of(me, "users", Level.EDIT)
    typed = token_forms.typed(form)
    try:
        made = configure.create_item(
            broker_of(request), me.actor, "tokens", token_forms.wanted(typed, _program(request, me, user_id)["id"])
        )
    except Invalid as problem:
        return _page(request, me, user_id, 422, errors=token_forms.beside(problem.fields), typed=typed)
    return _page(request, me, user_id, made=made)


@router.post("/{token_id}/rotate")
def rotate(request: Request, form: Annotated[FormData, Depends(posted)], user_id: str, token_id: str) -> Response:
    """Give a token a new secret and show it once."""
    me: SignedIn = request.state.me
    area_of(me, "users", Level.EDIT)
    made = configure_tokens.rotate(broker_of(request), me.actor, token_id, token_forms.ROTATION_HOURS)
    return _page(request, me, user_id, made=made)


@router.post("/{token_id}/revoke")
def revoke(request: Request, form: Annotated[FormData, Depends(posted)], user_id: str, token_id: str) -> Response:
    """Make a token worthless."""
    me: SignedIn = request.state.me
    area_of(me, "users", Level.EDIT)
    configure.delete_item(broker_of(request), me.actor, "tokens", token_id)
    return see(request, f"/admin/users/{user_id}/tokens")


def _program(request: Request, me: SignedIn, user_id: str) -> dict[str, Any]:
    item = configure.get_item(broker_of(request), me.actor, "users", user_id)
    if not item["service"]:
        raise NotFound(N_("Only service accounts have tokens here; people make their own."))
    return item


def _page(request: Request, me: SignedIn, user_id: str, status: int = 200, **more: Any) -> Response:
    area, broker, item = area_of(me, "users"), broker_of(request), _program(request, me, user_id)
    query = Query(filters={"user": user_id}, sort="-created_at", limit=100)
    shown = {
        "item": item, "tokens": configure.list_items(broker, me.actor, "tokens", query).items, "forms": token_forms,
        "area_words": AREA_WORDS, "made": None, "errors": {}, "typed": token_forms.EMPTY, "at": f"/admin/users/{user_id}/tokens",
    }  # fmt: skip
    return console(request, "admin/tokens.html", me, status, area=area, **{**shown, **more})
