"""Passkeys over the pages: what the browser is asked, and what it answers."""

import json
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.errors import Conflict, Invalid
from portico.services import attempts, passkey_login, passkeys
from portico.services.passkey_login import Answered
from portico.services.passkeys import Given, Question
from portico.services.sessions import SignedIn
from portico.web import devices, patience
from portico.web.guard import GoTo, PageRoute, local_path, posted_on_the_way, posted_unknown, see
from portico.web.portal.log_in import answer_to, origin_of_request, tenant_at
from portico.web.portal.second_factor import code_page, setup_page
from portico.web.rendering import broker_of, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)
KEPT_COOKIE = "__Host-portico-passkey"  # binds a question to the browser that was asked


@router.post("/second-factor/passkey/options")
def ask_to_add(request: Request, form: Annotated[FormData, Depends(posted_on_the_way)]) -> Response:
    """Answer what the browser needs to make a passkey."""
    me, alone = _not_owing(request), form.get("alone") == "1"
    return _question(passkeys.ask_to_add(broker_of(request), me, origin_of_request(request), alone=alone))


@router.post("/second-factor/passkey")
def add(request: Request, form: Annotated[FormData, Depends(posted_on_the_way)]) -> Response:
    """Keep it, and show the codes for paper when it is the first factor."""
    me = _not_owing(request)
    state, answer, name = (str(form.get(field) or "") for field in ("state", "credential", "name"))
    given = Given(answer, name, form.get("alone") == "1")
    try:
        codes = passkeys.add(broker_of(request), me, origin_of_request(request), state, given)
    except Invalid as problem:
        return setup_page(request, me, 422, errors=problem.fields)
    return page(request, "portal/recovery_codes.html", me, codes=codes) if codes else see(request, "/second-factor")


@router.post("/second-factor/passkey/{passkey_id}/remove")
def remove(request: Request, form: Annotated[FormData, Depends(posted_on_the_way)], passkey_id: str) -> Response:
    """Forget one."""
    me = _not_owing(request)
    try:
        passkeys.remove(broker_of(request), me, passkey_id)
    except Conflict as problem:
        return setup_page(request, me, 409, errors={"passkey": problem.sentence})
    return see(request, "/second-factor")


@router.post("/login/passkey/options")
def ask_to_use(request: Request, form: Annotated[FormData, Depends(posted_on_the_way)]) -> Response:
    """Answer what the browser needs to use a passkey."""
    question = passkeys.ask_to_use(broker_of(request), request.state.me, origin_of_request(request))
    if question is None:
        raise Invalid("You have no passkey.")
    return _question(question)


@router.post("/login/passkey")
def use(request: Request, form: Annotated[FormData, Depends(posted_on_the_way)]) -> Response:
    """Let somebody on by a passkey."""
    me: SignedIn = request.state.me
    target = local_path(str(form.get("next") or "/"))
    state, answer = str(form.get("state") or ""), str(form.get("credential") or "")
    try:
        passkeys.use(broker_of(request), me, origin_of_request(request), state, answer)
    except Invalid as problem:
        return code_page(request, me, target, 422, errors=problem.fields)
    return see(request, "/?arrived=1" if target == "/" else target)


@router.post("/login/alone/options")
def ask_for_any(request: Request, form: Annotated[FormData, Depends(posted_unknown)]) -> Response:
    """Answer what the browser needs to log in by a passkey alone."""
    asked = passkey_login.ask(broker_of(request), origin_of_request(request))
    answer = _question(Question(asked.options, asked.state))
    answer.set_cookie(
        KEPT_COOKIE, asked.kept, passkey_login.SECONDS, secure=True, httponly=True, samesite="strict", path="/"
    )
    return answer


@router.post("/login/alone")
async def enter(request: Request, form: Annotated[FormData, Depends(posted_unknown)]) -> Response:
    """Log in whoever holds a passkey that says so."""
    broker, path = broker_of(request), str(form.get("path") or "")[: attempts.MAX_NAME]
    tenant = tenant_at(request, path)
    state, credential = str(form.get("state") or ""), str(form.get("credential") or "")
    given = Answered(origin_of_request(request), state, credential, request.cookies.get(KEPT_COOKIE, ""))
    wanted = attempts.attempt(broker, "", "", devices.browser(request), tenant_id=tenant.id if tenant else "")
    begin = partial(passkey_login.begin, given=given)
    outcome = await patience.outcome_of(broker, wanted, begin=begin)
    target = local_path(str(form.get("next") or "/"))
    answer = await run_in_threadpool(answer_to, request, wanted, outcome, target, path)
    answer.delete_cookie(KEPT_COOKIE, secure=True, httponly=True, samesite="strict", path="/")
    return answer


def _not_owing(request: Request) -> SignedIn:
    """Return who asks, unless a code is due before anything may be changed."""
    me: SignedIn = request.state.me
    if me.pending == "code":
        raise GoTo("/login/code")
    return me


def _question(question: Question) -> Response:
    return JSONResponse(
        {"options": json.loads(question.options), "state": question.state}, headers={"Cache-Control": "no-store"}
    )
