"""The same few operations on every noun, made from its description."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.errors import Invalid
from portico.services import configure
from portico.services.configure import NOUNS, Query
from portico.services.nouns import MADE_ONCE, Noun
from portico.web.api.described import answers, errors, takes
from portico.web.api.examples import EXAMPLES
from portico.web.api.schemas import schema_name
from portico.web.caller import Body, Me, broker_of

_PAGING = {
    "q": "Words and `filter:value`.",
    "sort": 'A field; "-" before it turns the order around.',
    "cursor": "`next` of the page before.",
}
_ETAG = {"ETag": {"description": "The item's version, for If-Match.", "schema": {"type": "string"}}}


def router_of(noun: Noun) -> APIRouter:
    """Build the routes of one noun."""
    router = APIRouter(prefix=f"/{noun.name}", tags=[noun.title])
    one, item = noun.singular.replace("-", "_"), schema_name(noun)
    add = router.add_api_route
    page = {"$ref": f"#/components/schemas/{item}Page"}
    listed = answers(
        200, page, "One page.", {"Link": {"description": "RFC 8288, rel=next", "schema": {"type": "string"}}}
    )
    add("", _list(noun), methods=["GET"], operation_id=f"list_{noun.name.replace('-', '_')}", summary=f"List {noun.title.lower()}",
        responses=listed | errors(401, 403, 422), openapi_extra={"parameters": _parameters(noun)})  # fmt: skip
    add("/{id}", _read(noun), methods=["GET"], operation_id=f"get_{one}", summary=f"Read one of the {noun.title.lower()}",
        responses=answers(200, item, "The item.", _ETAG) | errors(401, 403, 404))  # fmt: skip
    if noun.may_create:
        add("", _create(noun), methods=["POST"], status_code=201, operation_id=f"create_{one}", summary=f"Add to the {noun.title.lower()}",
            responses=answers(201, item, "What was made.", _ETAG) | errors(400, 401, 403, 409, 422),
            openapi_extra=takes(f"{item}Form", EXAMPLES.get(noun.name)))  # fmt: skip
    if noun.form is not None and noun.name not in MADE_ONCE:
        add("/{id}", _update(noun), methods=["PATCH"], operation_id=f"update_{one}",
            summary="Change fields; what is not named stays, null is no value, lists are replaced",
            responses=answers(200, item, "The item as it is now.", _ETAG) | errors(400, 401, 403, 404, 409, 412, 422),
            openapi_extra=takes(f"{item}Change") | {"parameters": [_header("If-Match", "The ETag that was read.")]})  # fmt: skip
    if noun.may_delete:
        add("/{id}", _delete(noun), methods=["DELETE"], operation_id=f"delete_{one}", summary=f"Delete one of the {noun.title.lower()}",
            responses=answers(200, {"type": "object"}, "What was done, in numbers.") | errors(401, 403, 404, 409))  # fmt: skip
    if "restore" in noun.actions:
        add("/{id}/restore", _restore(noun), methods=["POST"], operation_id=f"restore_{one}", summary="Undo a deletion",
            responses=answers(200, item, "The item.", _ETAG) | errors(401, 403, 404, 409))  # fmt: skip
    return router


def query_of(noun: Noun, request: Request) -> Query:
    """Read a list's query. Raises Invalid naming every parameter that is unknown or wrong."""
    given = dict(request.query_params)
    wrong: dict[str, str] = {}
    limit = given.pop("limit", "50")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5):
        wrong["limit"], limit = "Give a number from 1 to 500.", "50"
    search, sort, cursor = given.pop("q", ""), given.pop("sort", ""), given.pop("cursor", None)
    known = ", ".join((*noun.filters, *_PAGING, "limit"))
    wrong |= {name: f"There is no such parameter. Use {known}." for name in given if name not in noun.filters}
    if wrong:
        raise Invalid("The list cannot be made so.", wrong)
    return Query(search, given, sort, cursor, int(limit))


def item_response(item: dict[str, Any], status: int = 200) -> JSONResponse:
    """Answer an item with its ETag (RFC 9110)."""
    headers = {"ETag": f'"{item["version"]}"'} if isinstance(item.get("version"), int) else {}
    return JSONResponse(item, status, headers)


def _list(noun: Noun) -> Callable[..., Response]:
    def listed(request: Request, me: Me) -> Response:
        page = configure.list_items(broker_of(request), me.actor, noun.name, query_of(noun, request))
        answer = JSONResponse({"items": page.items, "next": page.next, "total": page.total})
        if page.next:
            following = {**request.query_params, "cursor": page.next}
            answer.headers["Link"] = f'<{request.url.path}?{urlencode(following)}>; rel="next"'
        return answer

    return listed


def _read(noun: Noun) -> Callable[..., Response]:
    def read(request: Request, id: str, me: Me) -> Response:
        item = configure.get_item(broker_of(request), me.actor, noun.name, id)
        answer = item_response(item)
        tag = answer.headers.get("etag")
        if tag is not None and request.headers.get("if-none-match") in (tag, f"W/{tag}"):
            return Response(status_code=304, headers={"ETag": tag})
        return answer

    return read


def _create(noun: Noun) -> Callable[..., Response]:
    def create(request: Request, me: Me, body: Body) -> Response:
        item = configure.create_item(broker_of(request), me.actor, noun.name, body)
        answer = item_response(item, 201)
        answer.headers["Location"] = f"{request.url.path}/{item['id']}"
        return answer

    return create


def _update(noun: Noun) -> Callable[..., Response]:
    def change(request: Request, id: str, me: Me, body: Body) -> Response:
        version = _version(request.headers.get("if-match"))
        return item_response(configure.update_item(broker_of(request), me.actor, noun.name, id, body, version))

    return change


def _delete(noun: Noun) -> Callable[..., Response]:
    def delete(request: Request, id: str, me: Me) -> Response:
        return JSONResponse(configure.delete_item(broker_of(request), me.actor, noun.name, id))

    return delete


def _restore(noun: Noun) -> Callable[..., Response]:
    def restore(request: Request, id: str, me: Me) -> Response:
        return item_response(configure.restore_item(broker_of(request), me.actor, noun.name, id))

    return restore


def _version(tag: str | None) -> int | None:
    if tag is None or tag.strip() == "*":
        return None
    text = tag.strip().removeprefix("W/").strip('"')
    # A tag that was never ours matches nothing, which is what If-Match asks.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _parameters(noun: Noun) -> list[dict[str, Any]]:
    texts = _PAGING | {name: f"Only those of this {name}." for name in noun.filters}
    found = [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}} for name, text in texts.items()
    ]
    number = {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}
    return [*found, {"name": "limit", "in": "query", "description": "Items a page.", "schema": number}]


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}


ROUTERS = tuple(router_of(noun) for noun in NOUNS.values())
