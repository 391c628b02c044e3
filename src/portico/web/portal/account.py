"""A person's own page: how Portico looks and speaks, the password, and where they are logged in."""

from typing import Annotated, Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from portico.domain.second_factors import factors_of
from portico.errors import Invalid
from portico.services import configure, configure_tokens, directories, sessions
from portico.services.configure import Query
from portico.services.sessions import SignedIn
from portico.web import token_forms
from portico.web.admin.layouts import AREA_WORDS
from portico.web.guard import PageRoute, posted, see, signed_in
from portico.web.portal.log_in import change
from portico.web.rendering import N_, broker_of, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)

LANGUAGES = {"en": "English", "de": "Deutsch"}
THEMES = (("system", N_("As on this device")), ("light", N_("Light")), ("dark", N_("Dark")))
DONE = {
    "saved": N_("Saved."),
    "password": N_("The password was changed. Other sessions of yours were logged out."),
    "factor": N_("The second factor was removed. Your password alone is enough again."),
    "ended": N_("The session was ended."),
    "revoked": N_("The token is worth nothing any more."),
}


@router.get("/account")
def show(request: Request, me: Annotated[SignedIn, Depends(signed_in)], done: str = "") -> Response:
    """Show the person's own settings."""
    return _account(request, me, done=done)


@router.post("/account/preferences")
def save(request: Request, form: Annotated[FormData, Depends(posted)]) -> Response:
    """Keep language, time zone and theme."""
    wanted = {key: str(form.get(key) or "") for key in ("language", "zone", "theme")}
    errors = {}
    if wanted["zone"] and wanted["zone"] not in available_timezones():
        errors["zone"] = N_("There is no such time zone. Choose one of the list.")
    wanted = {key: value for key, value in wanted.items() if value or key == "zone"}
    if not errors:
        try:
            sessions.set_preferences(broker_of(request), request.state.me, wanted)
        except Invalid as problem:
            errors = problem.fields
    if errors:
        return _account(request, request.state.me, errors, 422)
    return see(request, "/account?done=saved")


@router.post("/account/password")
def new_password(request: Request, form: Annotated[FormData, Depends(posted)]) -> Response:
    """Change the person's own password."""
    errors = change(request, form)
    return _account(request, request.state.me, errors, 422) if errors else see(request, "/account?done=password")


@router.post("/account/tokens")
def new_token(request: Request, form: Annotated[FormData, Depends(posted)]) -> Response:
    """Make an API token and show it once."""
    me: SignedIn = request.state.me
    typed = token_forms.typed(form)
    try:
        token = configure.create_item(broker_of(request), me.actor, "tokens", token_forms.wanted(typed))
    except Invalid as problem:
        return _account(request, me, token_forms.beside(problem.fields), 422, typed=typed)
    return _account(request, me, made=token)


@router.post("/account/tokens/{token_id}/rotate")
def rotate_token(request: Request, form: Annotated[FormData, Depends(posted)], token_id: str) -> Response:
    """Give a token a new secret and show it once; the one before is good for another day."""
    me: SignedIn = request.state.me
    made = configure_tokens.rotate(broker_of(request), me.actor, token_id, token_forms.ROTATION_HOURS)
    return _account(request, me, made=made)


@router.post("/account/tokens/{token_id}/revoke")
def revoke_token(request: Request, form: Annotated[FormData, Depends(posted)], token_id: str) -> Response:
    """Make one of the person's tokens worthless."""
    configure.delete_item(broker_of(request), request.state.me.actor, "tokens", token_id)
    return see(request, "/account?done=revoked")


@router.post("/account/sessions/{session_id}/end")
def end_session(request: Request, form: Annotated[FormData, Depends(posted)], session_id: str) -> Response:
    """Log the person out somewhere else."""
    sessions.end_one(broker_of(request), request.state.me, session_id)
    return see(request, "/account?done=ended")


def _account(
    request: Request, me: SignedIn, errors: dict[str, str] | None = None, status: int = 200, **more: Any
) -> Response:
    tokens = None
    if me.role.may_use_api:
        tokens = configure.list_items(
            broker_of(request), me.actor, "tokens", Query(filters={"user": me.user.id}, sort="-created_at", limit=100)
        ).items
    return page(
        request,
        "portal/account.html",
        me,
        status,
        lines=sessions.list_own(broker_of(request), me),
        changes_password=directories.changes_passwords(broker_of(request), me.user.directory),
        zones=sorted(
            zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc/", "SystemV/"))
        ),
        themes=THEMES,
        names=LANGUAGES,
        factors=factors_of(me.role, me.policy),
        errors=errors or {},
        note=DONE.get(more.get("done", ""), ""),
        tokens=tokens,
        forms=token_forms,
        area_words=AREA_WORDS,
        made=more.get("made"),
        typed=more.get("typed", token_forms.EMPTY),
    )
