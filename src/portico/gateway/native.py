"""RDP clients that are programs of their own: what they say goes to the desktop under the grant's policy, or untouched where it has none.

Where the broker has the desktop's password, or the policy forbids something, the gateway stands in between: it logs in to the desktop as
for a browser, and the client's TLS ends here. Else the client's own TLS and Network Level Authentication reach the desktop end to end.
"""

import asyncio
import ssl
from collections.abc import Mapping

from portico import logs
from portico.gateway import rdp, x224
from portico.gateway.conversation import Conversation
from portico.gateway.grant import Grant
from portico.gateway.refusals import Refused
from portico.gateway.sessions import DESKTOP_CLOSED, LEFT, Session, Sessions
from portico.gateway.websocket import Sink

log = logs.get(__name__)

FIRST_MESSAGE_SECONDS = 30.0


class RawDesktop(Conversation):
    """A desktop whose bytes are not looked at."""

    def __init__(self) -> None:
        super().__init__()
        self._session: Session | None = None

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        session = self._session
        if session is None:
            super().data_received(data)
            return
        session.bytes_out += len(data)
        session.socket.send_bytes(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The desktop is gone."""
        super().connection_lost(exc)
        if self._session is not None:
            self._session.end(DESKTOP_CLOSED)

    def pause_writing(self) -> None:
        """Make the client wait for the desktop."""
        if self._session is not None:
            self._session.socket.pause_reading()

    def resume_writing(self) -> None:
        """Let the client go on."""
        if self._session is not None:
            self._session.socket.resume_reading()

    def begin(self, session: Session) -> None:
        """Start the pipe."""
        self._session = session
        session.socket.attach(self)
        if self.gone:
            session.end(DESKTOP_CLOSED)
        elif early := self.early():
            self.data_received(early)

    def from_browser(self, data: bytes) -> None:
        """Take bytes for the desktop."""
        if self._session is not None and not self._session.ended:
            self._session.bytes_in += len(data)
            self.write(data)

    def command(self, fields: Mapping[str, object]) -> None:
        """A client of its own sends no messages beside the data."""

    def browser_closed(self) -> None:
        """The client is gone."""
        if self._session is not None:
            self._session.end(LEFT)


class NativeClient(Conversation):
    """The client's end, in the shape that sessions know of a browser's socket."""

    def __init__(self) -> None:
        super().__init__()
        self._sink: Sink | None = None
        self.address = ""  # where it is

    @property
    def attached(self) -> bool:
        """Whether a session has begun."""
        return self._sink is not None

    @property
    def closed(self) -> bool:
        """Whether the client is gone."""
        return self.gone

    def data_received(self, data: bytes) -> None:
        """Gather for the handshake, or pass on."""
        if self._sink is None:
            super().data_received(data)
        else:
            self._sink.from_browser(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        if self._sink is not None:
            self._sink.browser_closed()

    def pause_writing(self) -> None:
        """Make the desktop wait for the client."""
        if self._sink is not None:
            self._sink.pause_reading()

    def resume_writing(self) -> None:
        """Let the desktop go on."""
        if self._sink is not None:
            self._sink.resume_reading()

    def attach(self, sink: Sink) -> None:
        """Give everything from now on to the desktop's side."""
        self._sink = sink
        if early := self.early():
            sink.from_browser(early)
        if self.gone:
            sink.browser_closed()

    def send_bytes(self, data: bytes) -> None:
        """Send bytes of the desktop."""
        self.write(data)

    def send_object(self, fields: Mapping[str, object]) -> None:
        """RDP has no place for messages beside the data."""

    def close(self, code: int, reason: str) -> None:
        """Leave; RDP clients are told no reason."""
        self.hang_up()

    def close_for(self, code: str) -> None:
        """Leave for a reason of wire.gateway.CLOSE."""
        self.hang_up()


Desktop = rdp.RdpDesktop | RawDesktop


def stands_between(grant: Grant) -> bool:
    """Tell whether the gateway must see the session in clear: to log in, or to hold to the policy."""
    return bool(grant.credentials.password) or not grant.policy.is_free or grant.policy.idle_seconds is not None


async def open_desktop(grant: Grant) -> Desktop:
    """Connect to the desktop of a grant, and log in where we can. Raises Refused."""
    if stands_between(grant):
        return await rdp.log_in(grant)
    desktop = RawDesktop()
    try:
        async with asyncio.timeout(rdp.CONNECT_SECONDS):
            await asyncio.get_running_loop().create_connection(lambda: desktop, grant.host, grant.port)
    except (OSError, TimeoutError) as problem:
        raise Refused("desktop.unreachable", str(problem) or "timeout") from problem
    return desktop


async def serve(
    client: NativeClient,
    desktop: Desktop,
    grant: Grant,
    sessions: Sessions,
    context: ssl.SSLContext,
    request: bytes = b"",
) -> None:
    """Lead a client's first messages (`request` is the first one, if it was read already) and begin its session.

    Raises OSError, ssl.SSLError, TimeoutError, BadX224.
    """
    try:
        async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
            request = request or await client.message(x224.tpkt_size)
            asked = x224.parse_request(request)
            if isinstance(desktop, rdp.RdpDesktop):
                if not asked.protocols & x224.TLS:
                    client.write(x224.failure(x224.TLS_REQUIRED))
                    raise x224.BadX224("a client without TLS")
                desktop.prepare(grant, 0, deep=False)
                desktop.answer_to(asked.protocols)
                client.write(x224.confirm(x224.TLS, desktop.flags))
                await client.start_tls(context, server_side=True)
            else:
                desktop.write(x224.without_token(request))
    except BaseException:
        desktop.hang_up()
        client.hang_up()
        raise
    desktop.begin(sessions.open(grant, client, client.address, desktop.hang_up))
