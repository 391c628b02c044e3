"""The VNC door: the gateway logs in to the desktop, the browser is asked for nothing, then bytes go both ways."""

import asyncio
import time
from collections.abc import Mapping
from typing import cast

from portico import logs
from portico.gateway import tls
from portico.gateway.grant import Grant
from portico.gateway.refusals import Refused
from portico.gateway.rfb import CERTIFICATE, ClientHandshake, RfbError, RfbRefused, ServerHandshake
from portico.gateway.rfb_filter import ClientFilter
from portico.gateway.rfb_server import ServerFilter
from portico.gateway.sessions import DESKTOP_CLOSED, LEFT, Session
from portico.gateway.stage import Stage, VncCensor

log = logs.get(__name__)

CONNECT_SECONDS = 10.0
HANDSHAKE_SECONDS = 10.0


class VncDesktop(asyncio.Protocol):
    """The desktop's end of a VNC session, and the pipe to its browser."""

    def __init__(self, grant: Grant) -> None:
        known, self._pins = grant.credentials, grant.certificates
        self._handshake = ServerHandshake(known.password, known.username, pinned=bool(self._pins))
        self._securing: asyncio.Task[None] | None = None
        self._early = bytearray()  # what came while TLS was being started
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._client: ClientHandshake | None = ClientHandshake()
        self._client_filter: ClientFilter | None = None
        self._server_filter: ServerFilter | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, though not by descent

    def data_received(self, data: bytes) -> None:
        """Authenticate first, then pass on."""
        if not self.ready.done():
            self._authenticate(data)
        elif self._session is not None and self._client is None:
            self._to_browser(self._session, data)
        elif self._transport is not None:
            # A VNC server speaks only after ClientInit, which the browser has not sent yet.
            log.warning("desktop broke the protocol", because="spoke before its turn")
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The desktop is gone."""
        if not self.ready.done():
            self.ready.set_exception(RfbError("closed during the handshake"))
        elif self._session is not None:
            self._session.end(DESKTOP_CLOSED)

    def pause_writing(self) -> None:
        """Make the browser wait for the desktop."""
        if self._session is not None:
            self._session.socket.pause_reading()

    def resume_writing(self) -> None:
        """Let the browser go on."""
        if self._session is not None:
            self._session.socket.resume_reading()

    def begin(self, session: Session) -> None:
        """Start the browser's handshake and the pipe."""
        self._session = session
        policy = session.grant.policy
        stage = session.socket if isinstance(session.socket, Stage) else None
        free = policy.clipboard_in and policy.clipboard_out and policy.idle_seconds is None and not policy.view_only
        if stage is not None or not free:
            self._client_filter = ClientFilter(
                view_only=policy.view_only,
                clipboard_in=policy.clipboard_in,
                clipboard_out=policy.clipboard_out and stage is None,  # without a helper's seeing it
            )
            if not policy.clipboard_out:
                self._server_filter = ServerFilter(self._client_filter)
            if stage is not None:
                stage.censor = VncCensor(self._client_filter).feed
        session.socket.send_bytes(ClientHandshake.greeting)
        session.socket.attach(self)
        if self._transport is None or self._transport.is_closing():  # gone while the browser was being told
            session.end(DESKTOP_CLOSED)

    def from_browser(self, data: bytes) -> None:
        """Take bytes for the desktop."""
        session = self._session
        if session is None or session.ended or self._transport is None:
            return
        session.bytes_in += len(data)
        try:
            if self._client is not None:
                session.socket.send_bytes(self._client.feed(data))
                if not self._client.done:
                    return
                data, self._client = self._client.rest, None
            if self._client_filter is not None:
                before = self._client_filter.inputs
                data = self._client_filter.feed(data)
                if self._client_filter.inputs != before:
                    session.last_input = time.monotonic()
        except RfbError as problem:
            log.warning("browser broke the protocol", connection=session.grant.connection, because=str(problem))
            session.end("session.ended")
            return
        if data:
            self._transport.write(data)

    def help(self, data: bytes) -> None:
        """Take whole messages of somebody who joined the session."""
        if self._client is None and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def command(self, fields: Mapping[str, object]) -> None:
        """A VNC session knows no text messages."""

    def pause_reading(self) -> None:
        """Read no more of the desktop."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def browser_closed(self) -> None:
        """The browser is gone."""
        if self._session is not None:
            self._session.end(LEFT)

    def hang_up(self) -> None:
        """Leave the desktop."""
        if self._securing is not None:
            self._securing.cancel()
        if self._transport is not None:
            self._transport.close()

    def _authenticate(self, data: bytes) -> None:
        if self._securing is not None:
            self._early += data
            return
        try:
            answer = self._handshake.feed(data)
        except (RfbError, RfbRefused) as problem:
            self.ready.set_exception(problem)
            return
        if answer and self._transport is not None:
            self._transport.write(answer)
        if self._handshake.tls:
            self._securing = asyncio.ensure_future(self._secure())
        elif self._handshake.done and self._handshake.rest:
            self.ready.set_exception(RfbError("spoke before its turn"))
        elif self._handshake.done:
            self.ready.set_result(None)

    async def _secure(self) -> None:
        """Go on under TLS. What arrives before the new transport is ours is kept: nothing may be said beside it."""
        certain = self._handshake.tls == CERTIFICATE
        context = tls.desktop_context() if certain else tls.anonymous_context()
        try:
            assert self._transport is not None
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, context, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
            if transport is None:
                raise ConnectionError("closed in the TLS handshake")
        except (OSError, TimeoutError) as problem:
            self._fail(RfbError(f"TLS: {problem}"))
            return
        self._transport = transport
        shown = transport.get_extra_info("ssl_object").getpeercert(True) or b""
        if certain and not tls.is_pinned(shown, self._pins):
            self._fail(Refused("desktop.changed", "its certificate is not the one that it reported"))
            return
        transport.write(self._handshake.secured())
        self._securing = None
        early, self._early = bytes(self._early), bytearray()
        if early:
            self._authenticate(early)

    def _fail(self, problem: Exception) -> None:
        if not self.ready.done():
            self.ready.set_exception(problem)

    def _to_browser(self, session: Session, data: bytes) -> None:
        if self._server_filter is not None:
            try:
                data = self._server_filter.feed(data)
            except RfbError as problem:
                log.warning("desktop broke the protocol", connection=session.grant.connection, because=str(problem))
                session.end("session.ended")
                return
        if data:
            session.bytes_out += len(data)
            session.socket.send_bytes(data)


async def connect(grant: Grant) -> VncDesktop:
    """Connect and log in to the desktop of a grant. Raises Refused."""
    loop = asyncio.get_running_loop()
    desktop = VncDesktop(grant)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await loop.create_connection(lambda: desktop, grant.host, grant.port)
    except (OSError, TimeoutError) as problem:
        raise Refused("desktop.unreachable", str(problem) or "timeout") from problem
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await desktop.ready
    except RfbRefused as problem:
        desktop.hang_up()
        raise Refused("desktop.refused", str(problem)) from problem
    except (RfbError, TimeoutError) as problem:
        desktop.hang_up()
        raise Refused("desktop.unreachable", str(problem) or "silent during the handshake") from problem
    except BaseException:  # Refused among them
        desktop.hang_up()
        raise
    return desktop
