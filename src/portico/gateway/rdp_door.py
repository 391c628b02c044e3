"""The port for RDP clients without an RD Gateway: a short ticket in the routing token of their first message ([MS-RDPBCGR] 2.2.1.1.1).

The token goes in clear and comes again when the client reconnects, so it lets its holder come to the desktop and no further: whoever
comes logs in there, and it is good from one address while its session lives.
"""

import asyncio
import ssl
from collections.abc import Callable

from portico import logs
from portico.gateway import native, x224
from portico.gateway.doors import Doors
from portico.gateway.refusals import Refused
from portico.gateway.sessions import Sessions

log = logs.get(__name__)

TOKEN = b"Cookie: msts="
FIRST_MESSAGE_SECONDS = 10.0


class RdpDoor:
    """Accepts RDP clients. `context` is the TLS of clients whose session the gateway must see."""

    def __init__(self, doors: Doors, sessions: Sessions, context: ssl.SSLContext) -> None:
        self._doors, self._sessions, self._context = doors, sessions, context
        self._opening: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def listen(self, host: str, port: int) -> None:
        """Listen. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self._accept), host, port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Let nobody else in."""
        if self._server is not None:
            self._server.close()
        for task in self._opening:
            task.cancel()

    def _accept(self, client: "_Client") -> None:
        task = asyncio.create_task(self._open(client))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, client: "_Client") -> None:
        address = client.address
        try:
            if not self._doors.may_knock(address):
                return
            async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
                request = await client.message(x224.tpkt_size)
            token = x224.parse_request(request).token
            if not token.startswith(TOKEN):
                raise Refused("ticket.invalid", "no routing token")
            grant = await self._doors.admit_token(token.removeprefix(TOKEN).decode("ascii", "replace"), address)
            desktop = await native.open_desktop(grant)
            await native.serve(client, desktop, grant, self._sessions, self._context, request)
        except Refused as refusal:
            log.info("RDP client refused", code=refusal.code, because=refusal.detail, client=address)
        except (OSError, TimeoutError, ssl.SSLError, x224.BadX224) as problem:
            log.debug("RDP client left", because=str(problem) or type(problem).__name__, client=address)
        except Exception:
            log.exception("opening a session failed", client=address)
        finally:
            if not client.attached:
                client.hang_up()


class _Client(native.NativeClient):
    """A client that has just come."""

    def __init__(self, on_connected: Callable[["_Client"], None]) -> None:
        super().__init__()
        self._on_connected = on_connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with it, once: TLS makes the transport anew."""
        super().connection_made(transport)
        if not self.address:
            self.address = str((transport.get_extra_info("peername") or ("unknown",))[0])
            self._on_connected(self)
