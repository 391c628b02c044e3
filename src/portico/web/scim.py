"""SCIM 2.0 over HTTP (RFC 7644): users and groups of a directory, for the provider that provisions them."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.domain.directories import DirectoryRecord
from portico.domain.scim import GROUP, USER, BadValue
from portico.errors import PorticoError
from portico.services import scim
from portico.services.scim import Listed
from portico.web.caller import Body, Me, broker_of
from portico.web.problems import BadRequest, status_of

MEDIA_TYPE = "application/scim+json"
_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_CORE = "urn:ietf:params:scim:schemas:core:2.0"
PAGE = 100


class ScimRoute(APIRoute):
    """A route whose refusals are SCIM's errors (RFC 7644, section 3.12)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of FastAPI."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handle(request)
            except BadValue as problem:
                return _error(400, str(problem), problem.kind)
            except BadRequest as problem:
                return _error(problem.status, problem.sentence, "invalidSyntax")
            except PorticoError as problem:
                status = status_of(problem)
                return _error(
                    400 if status == _UNPROCESSABLE else status,
                    problem.sentence,
                    "uniqueness" if status == _CONFLICT else "",
                )

        return guarded


_UNPROCESSABLE, _CONFLICT = 422, 409
router = APIRouter(route_class=ScimRoute, include_in_schema=False, prefix="/scim/v2/{directory_id}")


def _directory(request: Request, me: Me, directory_id: str) -> DirectoryRecord:
    return scim.directory_of(broker_of(request), me.actor, directory_id)


Directory = Annotated[DirectoryRecord, Depends(_directory)]


@router.get("/ServiceProviderConfig")
def describe(directory: Directory) -> Response:
    """Tell what is taken: PATCH and filters by equality; no bulk, no sorting, no passwords."""
    off = {"supported": False}
    return _answer({
        "schemas": [f"{_CORE}:ServiceProviderConfig"], "patch": {"supported": True}, "filter": {"supported": True, "maxResults": scim.MAX_PAGE},
        "bulk": {**off, "maxOperations": 0, "maxPayloadSize": 0}, "changePassword": off, "sort": off, "etag": off,
        "authenticationSchemes": [{"type": "oauthbearertoken", "name": "API token", "description": "A token of Portico's own"}],
    })  # fmt: skip


@router.get("/ResourceTypes")
def types(directory: Directory) -> Response:
    """Tell which resources there are."""
    found = [
        {"schemas": [f"{_CORE}:ResourceType"], "id": name, "name": name, "endpoint": f"/{name}s", "schema": schema}
        for name, schema in (("User", USER), ("Group", GROUP))
    ]
    return _list(Listed(tuple(found), len(found)), 1)


@router.get("/Users")
def users(request: Request, directory: Directory, filter: str = "", startIndex: int = 1, count: int = PAGE) -> Response:
    """List users."""
    return _list(scim.list_users(broker_of(request), directory, filter, startIndex, max(0, count)), startIndex)


@router.post("/Users")
def create_user(request: Request, directory: Directory, body: Body) -> Response:
    """Provision somebody."""
    return _answer(scim.create_user(broker_of(request), directory, body), 201)


@router.get("/Users/{id}")
def user(request: Request, directory: Directory, id: str) -> Response:
    """Show a user."""
    return _answer(scim.get_user(broker_of(request), directory, id))


@router.put("/Users/{id}")
def replace_user(request: Request, directory: Directory, id: str, body: Body) -> Response:
    """Replace a user."""
    return _answer(scim.change_user(broker_of(request), directory, id, body, patch=False))


@router.patch("/Users/{id}")
def patch_user(request: Request, directory: Directory, id: str, body: Body) -> Response:
    """Change a user."""
    return _answer(scim.change_user(broker_of(request), directory, id, body, patch=True))


@router.delete("/Users/{id}")
def delete_user(request: Request, directory: Directory, id: str) -> Response:
    """Forget a user."""
    scim.delete_user(broker_of(request), directory, id)
    return Response(status_code=204)


@router.get("/Groups")
def groups(
    request: Request, directory: Directory, filter: str = "", startIndex: int = 1, count: int = PAGE
) -> Response:
    """List groups."""
    return _list(scim.list_groups(broker_of(request), directory, filter, startIndex, max(0, count)), startIndex)


@router.post("/Groups")
def create_group(request: Request, directory: Directory, body: Body) -> Response:
    """Provision a group."""
    return _answer(scim.create_group(broker_of(request), directory, body), 201)


@router.get("/Groups/{id}")
def group(request: Request, directory: Directory, id: str) -> Response:
    """Show a group."""
    return _answer(scim.get_group(broker_of(request), directory, id))


@router.put("/Groups/{id}")
def replace_group(request: Request, directory: Directory, id: str, body: Body) -> Response:
    """Replace a group."""
    return _answer(scim.change_group(broker_of(request), directory, id, body, patch=False))


@router.patch("/Groups/{id}")
def patch_group(request: Request, directory: Directory, id: str, body: Body) -> Response:
    """Change a group."""
    return _answer(scim.change_group(broker_of(request), directory, id, body, patch=True))


@router.delete("/Groups/{id}")
def delete_group(request: Request, directory: Directory, id: str) -> Response:
    """Forget a group."""
    scim.delete_group(broker_of(request), directory, id)
    return Response(status_code=204)


def _list(found: Listed, start: int) -> Response:
    body = {
        "schemas": [_LIST],
        "totalResults": found.total,
        "startIndex": max(1, start),
        "itemsPerPage": len(found.items),
    }
    return _answer({**body, "Resources": list(found.items)})


def _answer(body: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(body, status, {"Cache-Control": "no-store"}, MEDIA_TYPE)


def _error(status: int, detail: str, kind: str = "") -> Response:
    body = {"schemas": [_ERROR], "status": str(status), "detail": detail} | ({"scimType": kind} if kind else {})
    return _answer(body, status)
