"""The browser doors `/gw/vnc`, `/gw/rdp` and `/gw/ssh`, and `/gw/tunnel` for clients of a device: who may come in, and what becomes of those who do (wire.gateway)."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from joserfc.jwk import KeySet
from picows import WSListener, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from portico import logs
from portico.errors import Unavailable
from portico.gateway import cleanpath, rdp, ssh, vnc
from portico.gateway.broker import Broker
from portico.gateway.entry import MAX_BYTES, BadEntry, Entry, keyboard_layout, parse_entry, parse_log_in
from portico.gateway.file_door import FileDoor
from portico.gateway.grant import BadGrant, Grant, Visit, parse_grant, parse_visit
from portico.gateway.limits import Bucket, client_address
from portico.gateway.recording import Recorded, Recorders
from portico.gateway.refusals import Refused
from portico.gateway.sessions import Peer, Sessions
from portico.gateway.shadows import Shadows
from portico.gateway.tunnels import Tunnels
from portico.gateway.websocket import Socket, SocketClosed
from portico.wire.networks import Network, may_reach
from portico.wire.tickets import AGAIN, MAX_ROUTING, ROUTING, SESSION, SHADOW, TUNNEL, BadTicket, Ticket, unseal

log = logs.get(__name__)

ENTRY_SECONDS = 10.0
MAX_PENDING = 256  # sessions being opened at one time
MAX_SESSIONS = 5000
KNOCKS_PER_SECOND, KNOCK_BURST = 5.0, 60  # for each address; a whole office may stand behind one
TRY_LATER = 1013
PATHS = ("/gw/vnc", "/gw/rdp", "/gw/ssh", "/gw/tunnel")
TUNNELS = "tunnel"
FILES = "/gw/files"
Desktop = vnc.VncDesktop | rdp.RdpDesktop | ssh.SshDesktop
Granted = TypeVar("Granted", Grant, Visit)
REDEEM_REFUSALS = {401: "ticket.invalid", 403: "ticket.invalid", 409: "ticket.used", 410: "session.ended"}


class Doors:
    """What stands between a browser and a session. `keys`, `gateway_id`, `realm` and `draining` follow the broker's word, `reach` our own."""

    def __init__(
        self,
        broker: Broker,
        sessions: Sessions,
        shadows: Shadows,
        origins: Collection[str],
        proxies: Collection[str],
        keys: KeySet,
    ) -> None:
        self._broker = broker
        self.shadows = shadows
        self._sessions = sessions
        self._tunnels = Tunnels(sessions)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._proxies = frozenset(proxies)
        self._knocks = Bucket(KNOCKS_PER_SECOND, KNOCK_BURST, time.monotonic)
        self._pending = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self.recorders: Recorders | None = None
        self.files: FileDoor | None = None
        self.keys = keys
        self.gateway_id = ""
        self.realm = ""
        self.reach: tuple[Network, ...] = ()
        self.draining = False

    async def settled(self) -> None:
        """Wait until no session is being opened."""
        await self._settled.wait()

    def upgrade(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        """Answer an HTTP request: a WebSocket for one of our pages, or an error."""
        path, _, query = request.path.decode("latin-1").partition("?")
        if path == "/healthz":
            if self.draining:
                return _answer(HTTPStatus.SERVICE_UNAVAILABLE, b"draining\n")
            return _answer(HTTPStatus.OK, b"ok\n")
        if path not in (*PATHS, FILES):
            return _answer(HTTPStatus.NOT_FOUND, b"there is no such door\n")
        if str(request.headers.get("Origin", "")).lower() not in self._origins:
            return _answer(HTTPStatus.FORBIDDEN, b"this page may not open sessions here\n")
        if self._pending >= MAX_PENDING or len(self._sessions) >= MAX_SESSIONS:
            return _answer(HTTPStatus.SERVICE_UNAVAILABLE, b"too many sessions at once\n")
        if path == FILES:
            return Socket(self._serve_files, str(request.headers.get("X-Forwarded-For", "")), whole=True)
        serve = partial(self._serve, path.rpartition("/")[2], keyboard_layout(query))
        return Socket(serve, str(request.headers.get("X-Forwarded-For", "")))

    def may_knock(self, address: str) -> bool:
        """Whether another session may be opened now, and by this address; counts the knock if so."""
        full = self._pending >= MAX_PENDING or len(self._sessions) >= MAX_SESSIONS
        return not full and self._knocks.allows(address)

    async def admit(self, text: str, protocol: str, address: str, use: str = SESSION) -> Grant:
        """Return what the ticket of a client of its own grants; it may come again while its session lives. Raises Refused."""
        if self.draining:
            raise Refused("draining")
        ticket = self._check(text, protocol, again=True)
        if ticket.use != use:
            raise Refused("ticket.invalid", "a ticket for another door")
        return await self._unrecorded(text, ticket.protocol, address)

    async def admit_token(self, token: str, address: str) -> Grant:
        """Return what the routing token of an RDP client grants. Raises Refused."""
        if self.draining:
            raise Refused("draining")
        if not (token.startswith(ROUTING) and token.isascii() and len(token) <= MAX_ROUTING):
            raise Refused("ticket.invalid", "no routing token of ours")
        return await self._unrecorded(token, "rdp", address)

    async def _unrecorded(self, text: str, protocol: str, address: str) -> Grant:
        grant = await self._redeem(text, protocol, address)
        if grant.recording is not None and grant.recording.required:
            raise Refused("recording.failed", "what a client of its own is sent cannot be recorded")
        return grant

    async def _serve(self, protocol: str, layout: int, socket: Socket) -> None:
        address = client_address(socket.peer, socket.forwarded_for, self._proxies)
        if not self._knocks.allows(address):
            socket.close(TRY_LATER, "too many tries")
            return
        self._pending += 1
        self._settled.clear()
        try:
            await self._open(socket, protocol, layout, address)
        except Refused as refusal:
            log.info("session refused", code=refusal.code, because=refusal.detail, protocol=protocol, client=address)
            socket.send_object({"error": refusal.code, "message": refusal.sentence, **refusal.told})
            if protocol == "rdp":  # for its client, which reads no text
                socket.send_bytes(cleanpath.refusal(refusal.status))
            socket.close_for(refusal.code)
        except SocketClosed:
            log.info("browser left before the session stood", protocol=protocol, client=address)
        except Exception:
            log.exception("opening a session failed", protocol=protocol, client=address)
            socket.close(1011, "internal error")
        finally:
            self._pending -= 1
            if not self._pending:
                self._settled.set()

    async def _open(self, socket: Socket, protocol: str, layout: int, address: str) -> None:
        if self.draining:
            raise Refused("draining")
        if protocol == TUNNELS:
            text = (await self._entry(socket)).ticket
            await self._tunnels.enter(await self.admit(text, "", address, TUNNEL), socket, address)
            return
        entry = await (self._request(socket) if protocol == "rdp" else self._entry(socket))
        ticket = self._check(entry.ticket, protocol)
        if ticket.use == SHADOW:
            self.shadows.enter(await self._visit(entry.ticket, protocol, address), socket)
            return
        grant = await self._redeem(entry.ticket, protocol, address)
        desktop = await self._connect(grant, entry, layout)
        if socket.closed:
            desktop.hang_up()
            raise SocketClosed
        try:
            recorded = self._recorded(grant, socket, entry)
        except Refused:
            desktop.hang_up()
            raise
        peer: Peer = recorded or socket
        if grant.shadowed:
            peer = self.shadows.set_stage(peer, protocol)
        told = {**grant.policy.told(), "recorded": recorded is not None}
        secret = self.files.secret() if self.files is not None and isinstance(desktop, ssh.SshDesktop) else ""
        peer.send_object({"ok": True, "policy": told, **({"files": secret} if secret else {})})
        if isinstance(desktop, rdp.RdpDesktop):
            peer.send_bytes(desktop.opening)
        session = self._sessions.open(grant, peer, address, desktop.hang_up)
        session.help = desktop.help
        socket.on_shadow = partial(self.shadows.heard, grant.connection)
        if recorded is not None and recorded.recorder.required:
            recorded.recorder.on_failure = lambda: session.end("recording.failed")
        if self.files is not None and isinstance(desktop, ssh.SshDesktop):
            self.files.admit(session, desktop, secret)
        desktop.begin(session)

    async def _serve_files(self, socket: Socket) -> None:
        address = client_address(socket.peer, socket.forwarded_for, self._proxies)
        if self.files is None or not self._knocks.allows(address):
            socket.close(TRY_LATER, "too many tries")
            return
        await self.files.serve(socket)

    def _recorded(self, grant: Grant, socket: Socket, entry: Entry) -> Recorded | None:
        """Return the browser behind its recording, where the grant wants one. Raises Refused."""
        if grant.recording is None:
            return None
        if self.recorders is None:
            raise Refused("recording.failed", "this gateway records nothing")
        return self.recorders.begin(grant.recording, grant.protocol, socket, (entry.columns, entry.rows))

    async def _connect(self, grant: Grant, entry: Entry, layout: int) -> Desktop:
        if grant.protocol == "rdp":
            return await rdp.connect(grant, entry, layout)
        return await (vnc.connect(grant) if grant.protocol == "vnc" else ssh.connect(grant, entry))

    async def _request(self, socket: Socket) -> Entry:
        """Gather the RDCleanPath request of an RDP client, which may come in pieces and behind a person's own log-in."""
        message, log_in = b"", None
        try:
            async with asyncio.timeout(ENTRY_SECONDS):
                while (size := cleanpath.size_of(message)) is None or len(message) < size:
                    piece = await socket.receive()
                    if isinstance(piece, str) and not message:
                        log_in = parse_log_in(piece)
                        continue
                    if not isinstance(piece, bytes) or len(message) + len(piece) > MAX_BYTES:
                        raise Refused("ticket.invalid", "no RDCleanPath request")
                    message += piece
            return Entry(cleanpath.parse_request(message).ticket, log_in=log_in)
        except (cleanpath.BadRequest, BadEntry, TimeoutError) as problem:
            raise Refused("ticket.invalid", str(problem) or "no first message in time") from problem

    async def _entry(self, socket: Socket) -> Entry:
        try:
            async with asyncio.timeout(ENTRY_SECONDS):
                return parse_entry(await socket.receive())
        except (BadEntry, TimeoutError) as problem:
            raise Refused("ticket.invalid", str(problem) or "no first message in time") from problem

    def _check(self, text: str, protocol: str, *, again: bool = False) -> Ticket:
        """Look at the ticket before a broker is asked: forged ones cost nobody anything. `again`: it may have expired."""
        try:
            ticket = unseal(text, self.keys, int(time.time()), again=again)
        except BadTicket as problem:
            raise Refused("ticket.invalid", str(problem)) from problem
        if ticket.gateway not in ("*", self.gateway_id):
            raise Refused("ticket.invalid", "for another gateway")
        if ticket.use in AGAIN and not again:
            raise Refused("ticket.invalid", "not a browser's ticket")
        if (protocol and ticket.protocol != protocol) or ticket.realm != self.realm:
            raise Refused("ticket.invalid", "for another protocol or realm")
        return ticket

    async def _redeem(self, text: str, protocol: str, address: str) -> Grant:
        return self._read(await self._ask(text, address), parse_grant, protocol)

    async def _visit(self, text: str, protocol: str, address: str) -> Visit:
        return self._read(await self._ask(text, address), parse_visit, protocol)

    def _read(self, fields: Mapping[str, Any], parse: Callable[[Mapping[str, Any]], Granted], protocol: str) -> Granted:
        """Read what a broker grants. Raises Refused."""
        try:
            grant = parse(fields)
        except BadGrant as problem:
            raise Refused("broker.unreachable", f"grant: {problem}") from problem
        if grant.protocol != protocol or grant.realm != self.realm:
            raise Refused("ticket.invalid", "grant for another protocol or realm")
        if isinstance(grant, Grant) and not may_reach(grant.host, self.reach):
            raise Refused("desktop.unreachable", f"{grant.host} is outside of what this gateway may reach")
        return grant

    async def _ask(self, text: str, address: str) -> Mapping[str, Any]:
        """Redeem a ticket. Raises Refused."""
        try:
            answer = await self._broker.redeem(text, address)
        except Unavailable as problem:
            raise Refused("broker.unreachable", problem.detail) from problem
        if answer.status in REDEEM_REFUSALS:
            raise Refused(REDEEM_REFUSALS[answer.status], f"HTTP {answer.status}")
        if answer.status != HTTPStatus.OK:
            raise Refused("broker.unreachable", f"HTTP {answer.status}")
        return answer.fields


def _answer(status: HTTPStatus, body: bytes) -> WSUpgradeResponseWithListener:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if status is HTTPStatus.OK:
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_ok_response(body, headers), None)
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(status, body, headers), None)
