"""What a person is offered, and connecting to it: what Portico Connect and thin clients speak."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.domain.model import NoDesktop, Offer
from portico.services import connect, idempotency, one_time, portal, rdp_files, tunnels
from portico.services.connect import Connecting
from portico.web.api.described import answers, errors, record, takes
from portico.web.api.session import text
from portico.web.caller import Body, Me, broker_of, client_of
from portico.web.problems import no_desktop
from portico.web.reasons import reason_json

router = APIRouter(tags=["Desktops of mine"])

_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A repetition with the same key gets the first one's answer.",
    "schema": {"type": "string", "maxLength": idempotency.MAX_KEY},
}
_WAY = {
    "name": "way",
    "in": "query",
    "description": 'By RD Gateway, or with "port" by a gateway\'s own port for clients that know none.',
    "schema": {"type": "string", "enum": ["gateway", "port"]},
}
_WANTED = record("offer", offer="string", protocol="string", client="object")


@router.get("/offers", operation_id="list_offers", responses=answers(200, "Offers", "What I may open.") | errors(401, 403),
            summary="What I may open")  # fmt: skip
def offers(request: Request, me: Me) -> Response:
    """Answer the caller's offers, and why others are missing."""
    found = portal.offers(broker_of(request), me)
    refusals = [reason_json(reason) for reason in found.refusals]
    return JSONResponse({"offers": [offer_json(offer) for offer in found.offers], "refusals": refusals})


@router.post(
    "/connections",
    operation_id="create_connection",
    status_code=201,
    summary="Open an offer",
    responses=answers(201, "Connection", "On its way, or ready.") | errors(400, 401, 403, 409, 422, 503),
    openapi_extra=takes(_WANTED, {"offer": "a.6b0a3c1e-6f0e-4a53-9a43-0a8f6f1d2c11", "protocol": "vnc"})
    | {"parameters": [_KEY]},
)
def create(request: Request, me: Me, body: Body) -> Response:
    """Assign a desktop and begin to connect; a refusal tells the chain of reasons."""
    offer, protocol = text(body, "offer"), text(body, "protocol", required=False, longest=40)
    key = request.headers.get("idempotency-key")
    asked_as = body.get("client")
    kind = "connect" if isinstance(asked_as, dict) and asked_as.get("kind") == "connect" else "api"
    in_tunnel = kind == "connect" and isinstance(asked_as, dict) and asked_as.get("way") == "tunnel"
    refusal: list[NoDesktop] = []

    def act() -> tuple[dict[str, Any], bool]:
        client = replace(client_of(request, kind), tunnels=in_tunnel)
        found = connect.connect(broker_of(request), me, offer, client, protocol or None)
        if isinstance(found, NoDesktop):
            refusal.append(found)
            return {}, False  # Trying again later is another try.
        return connection_json(found), True

    repeated = False
    if key is None:
        answer, _ = act()
    else:
        asked = {"what": "connections", "offer": offer, "protocol": protocol, "client": kind, "tunnel": in_tunnel}
        answer, repeated = idempotency.once(broker_of(request), me.user.id, key, asked, act)
    if refusal:
        return no_desktop(request, refusal[0])
    headers = {"Location": f"{request.url.path}/{answer['id']}"} | ({"Idempotent-Replayed": "true"} if repeated else {})
    return JSONResponse(answer, 201, headers)


@router.get("/connections/{id}", operation_id="get_connection", summary="How far a connection has come",
            responses=answers(200, "Connection", "The connection.") | errors(401, 403, 404))  # fmt: skip
def read(request: Request, id: str, me: Me) -> Response:
    """Answer the state of one of the caller's connections."""
    return JSONResponse(connection_json(connect.view(broker_of(request), me, id)))


@router.post("/connections/{id}/ticket", operation_id="create_ticket", status_code=201,
             summary="Get an entry ticket for the gateway, good once and for a minute",
             responses=answers(201, record("ticket url", ticket="string", url="string"), "The ticket.") | errors(401, 403, 404, 409, 503))  # fmt: skip
def ticket(request: Request, id: str, me: Me) -> Response:
    """Answer a ticket, which is never to be put into a URL."""
    return JSONResponse(connect.ticket(broker_of(request), me, id), 201, {"Cache-Control": "no-store"})


@router.post("/connections/{id}/rdp-file", operation_id="create_rdp_file", status_code=201,
             summary="Get a signed .rdp file for an RDP client, to be opened within five minutes",
             responses=answers(201, record("file name type text", name="string", type="string", text="string"), "The file.") | errors(401, 403, 404, 409, 503),
             openapi_extra={"parameters": [_WAY]})  # fmt: skip
def rdp_file(request: Request, id: str, me: Me) -> Response:
    """Answer a file that leads through a gateway; it holds a ticket and no password."""
    made = rdp_files.make(broker_of(request), me, id, by_port=request.query_params.get("way") == "port")
    return JSONResponse({name: made[name] for name in ("name", "type", "text")}, 201, {"Cache-Control": "no-store"})


@router.post("/connections/{id}/password", operation_id="create_password", status_code=201,
             summary="Get a one-time password for a client of the device, good for two minutes",
             responses=answers(201, record("log-in username password", **dict.fromkeys(("username", "password"), "string")), "The log-in.") | errors(401, 403, 404, 409, 503))  # fmt: skip
def password(request: Request, id: str, me: Me) -> Response:
    """Answer what opens the desktop; a VNC viewer asks for it."""
    made = one_time.make(broker_of(request), me, id)
    return JSONResponse({"username": made.username, "password": made.password}, 201, {"Cache-Control": "no-store"})


@router.post("/connections/{id}/tunnel", operation_id="create_tunnel", status_code=201,
             summary="Get a ticket for tunnels: first used within five minutes, then as often as its connection lives",
             responses=answers(201, record("ticket url", ticket="string", url="string"), "The ticket.") | errors(401, 403, 404, 409, 503))  # fmt: skip
def tunnel(request: Request, id: str, me: Me) -> Response:
    """Answer a ticket for a client that speaks TCP through a WebSocket; its connection was begun with `client.way` "tunnel"."""
    return JSONResponse(tunnels.ticket(broker_of(request), me, id), 201, {"Cache-Control": "no-store"})


@router.get("/rdp-publisher", operation_id="get_rdp_publisher", summary="Who signs .rdp files here",
            responses=answers(200, record("publisher", certificate="string", thumbprint="string"), "Certificate (PEM) and thumbprint.") | errors(401, 403))  # fmt: skip
def rdp_publisher(request: Request, me: Me) -> Response:
    """Answer the certificate for the policies of Windows that name trusted publishers of .rdp files."""
    keys = broker_of(request).keys
    return JSONResponse({"certificate": keys.rdp_certificate_pem, "thumbprint": keys.rdp_thumbprint})


@router.delete("/connections/{id}", operation_id="delete_connection", status_code=204,
               summary="Disconnect; the desktop stays mine as its plans say", responses=errors(401, 403, 404))  # fmt: skip
def disconnect(request: Request, id: str, me: Me) -> Response:
    """End one of the caller's connections."""
    connect.disconnect(broker_of(request), me, id)
    return Response(status_code=204)


def offer_json(offer: Offer) -> dict[str, Any]:
    """Return an offer, for the API."""
    return {
        "id": offer.id,
        "name": offer.name,
        "kind": offer.kind,
        "state": offer.state,
        "action": offer.action,
        "protocols": list(offer.protocols),
        "desktop_id": offer.desktop_id,
        "assignment_id": offer.assignment_id,
        "may_release": offer.may_release,
        "may_power": offer.may_power,
        "reason": reason_json(offer.reason) if offer.reason else None,
    }


def connection_json(found: Connecting) -> dict[str, Any]:
    """Return a connection, for the API."""
    reason = found.progress.reason
    return {
        "id": found.id,
        "state": found.state,
        "stage": str(found.progress.stage),
        "fraction": found.progress.fraction,
        "reason": reason_json(reason) if reason else None,
        "launch": found.launch,
        "protocol": found.protocol,
        "address": found.address,
        "protocols": list(found.protocols),
        "desktop_id": found.desktop_id,
        "desktop_name": found.desktop_name,
        "assignment_id": found.assignment_id,
        "may_release": found.may_release,
        "expected_seconds": found.expected_seconds,
    }
