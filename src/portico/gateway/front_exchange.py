"""One client's connection at the front: request after request to the brokers, or one tunnel to the gateway."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import h11

from portico import logs
from portico.errors import Unavailable
from portico.gateway import front_headers, front_pages
from portico.gateway.front_broker import CHUNK, Brokers, Dropped, Link
from portico.gateway.front_headers import BadRequest, Client

log = logs.get(__name__)

MAX_HEAD = 32 * 1024
MAX_BODY = 256 << 20
HEAD_SECONDS = 75.0  # also the time that an idle connection is kept
BODY_SECONDS = 60.0  # between two parts of a request
ANSWER_SECONDS = 150.0  # until the response begins, and between two parts of it; an event stream may be silent for as long as it likes
WRITE_SECONDS = 60.0  # for a client to take what we send
STUCK_SECONDS = 120.0  # for either side of a tunnel to take anything at all
REPLAYABLE = (b"GET", b"HEAD", b"OPTIONS")

T = TypeVar("T")
OpenGateway = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class ClientGone(Exception):
    """The client closed the connection or stopped reading."""


class Exchange:
    """Serves one TLS connection of a client."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        brokers: Brokers,
        open_gateway: OpenGateway,
        open_rdgateway: OpenGateway,
        hsts: bool,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._brokers = brokers
        self._open_gateway = open_gateway
        self._open_rdgateway = open_rdgateway
        self._hsts = hsts
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._address = str((writer.get_extra_info("peername") or ("",))[0])

    async def run(self) -> None:
        """Serve until the client leaves, asks for a tunnel, or says something unreadable."""
        try:
            while True:
                request = await self._receive(HEAD_SECONDS)
                if not isinstance(request, h11.Request) or not await self._serve(request):
                    return
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
        except (ClientGone, TimeoutError, ssl.SSLError, OSError):
            return
        except h11.RemoteProtocolError as problem:
            await self._complain(problem.error_status_hint, "The request cannot be read.")

    async def _serve(self, request: h11.Request) -> bool:
        """Serve one request; returns whether the connection can serve another."""
        headers = [(bytes(name), bytes(value)) for name, value in request.headers]
        host = dict(headers).get(b"host", b"")
        client = Client(self._address, host)
        try:
            front_headers.check(request.method, request.target, headers)
            if front_headers.is_gateway(request.target):
                if not front_headers.is_upgrade(request.method, headers):
                    raise BadRequest(426, "Only WebSockets live under this path.")
                await self._tunnel(
                    b"GET " + request.target, front_headers.to_gateway(headers, client), self._open_gateway
                )
                return False
            if front_headers.is_rdgateway(request.target):
                if not front_headers.is_rdgateway_upgrade(request.method, headers):
                    raise BadRequest(501, "Only RDP clients that speak over WebSockets are served here.")
                line = b"RDG_OUT_DATA /remoteDesktopGateway/"
                await self._tunnel(line, front_headers.to_gateway(headers, client), self._open_rdgateway)
                return False
            await self._forward(request, headers, client)
        except BadRequest as problem:
            await self._complain(problem.status, str(problem))
            return False
        return True

    async def _forward(self, request: h11.Request, headers: list[tuple[bytes, bytes]], client: Client) -> None:
        outgoing = h11.Request(
            method=request.method, target=request.target, headers=front_headers.to_broker(headers, client)
        )
        link: Link | None = None
        try:
            link, response = await self._ask(request, outgoing)
            await self._until_client_leaves(self._pass_response(link, response))
            self._brokers.give_back(link)
            link = None
        except (Unavailable, Dropped, TimeoutError, h11.ProtocolError) as problem:
            if isinstance(problem, h11.RemoteProtocolError) and self._http.their_state is h11.ERROR:
                raise
            log.warning(
                "no answer from a broker", because=type(problem).__name__, detail=getattr(problem, "detail", "")
            )
            if self._http.our_state is not h11.SEND_RESPONSE:
                raise ClientGone from problem  # half a response is out; only a closed connection can say that it is not whole
            await self._answer(front_pages.unavailable(front_headers.wants_page(request.target, headers)))
        finally:
            if link is not None:
                link.close()

    async def _ask(self, request: h11.Request, outgoing: h11.Request) -> tuple[Link, h11.Response]:
        """Send the request to a broker and return the response's head; a stale connection is replaced once where that is harmless."""
        link = await self._brokers.take()
        try:
            return link, await self._try(link, outgoing)
        except Dropped:
            link.close()
            if not link.used or request.method not in REPLAYABLE or self._http.their_state is not h11.DONE:
                raise
        except BaseException:
            link.close()
            raise
        link = await self._brokers.take(fresh=True)
        try:
            return link, await self._try(link, outgoing)
        except BaseException:
            link.close()
            raise

    async def _try(self, link: Link, outgoing: h11.Request) -> h11.Response:
        await link.send(outgoing)
        await self._pass_body(link)
        while True:
            event = await self._until_client_leaves(link.receive(ANSWER_SECONDS))
            if isinstance(event, h11.Response):
                return event

    async def _pass_body(self, link: Link) -> None:
        passed = 0
        if self._http.they_are_waiting_for_100_continue:
            await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        while self._http.their_state is not h11.DONE:
            event = await self._receive(BODY_SECONDS)
            if isinstance(event, h11.EndOfMessage):
                break
            if isinstance(event, h11.Data):
                passed += len(event.data)
                if passed > MAX_BODY:
                    raise BadRequest(413, "The request is too large.")
                await link.send(h11.Data(data=bytes(event.data)))
            elif not isinstance(event, h11.Request):
                raise ClientGone
        await link.send(h11.EndOfMessage())

    async def _pass_response(self, link: Link, response: h11.Response) -> None:
        headers = front_headers.to_client([(bytes(n), bytes(v)) for n, v in response.headers], self._hsts)
        stream = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
        await self._write(
            self._http.send(h11.Response(status_code=response.status_code, headers=headers, reason=response.reason))
        )
        while True:
            event = await link.receive(None if stream else ANSWER_SECONDS)
            if isinstance(event, h11.Data):
                await self._write(self._http.send(h11.Data(data=bytes(event.data))))
            elif isinstance(event, h11.EndOfMessage):
                await self._write(self._http.send(h11.EndOfMessage()))
                return

    async def _until_client_leaves(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the broker, but not for one whose client is gone. Raises ClientGone."""
        task = asyncio.create_task(work)
        watch = asyncio.create_task(self._reader.read(CHUNK))
        try:
            await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                data = watch.result()  # the beginning of the next request, at most one chunk of it
                if not data:
                    raise ClientGone
                self._http.receive_data(data)
            return await task
        finally:
            for each in (task, watch):
                each.cancel()
            await asyncio.gather(task, watch, return_exceptions=True)

    async def _tunnel(self, line: bytes, headers: list[tuple[bytes, bytes]], connect: OpenGateway) -> None:
        """Pass the upgrade on and then every byte, whatever it is."""
        try:
            reader, writer = await connect()
        except (OSError, TimeoutError, Unavailable) as problem:
            log.warning("the gateway does not answer", because=type(problem).__name__)
            await self._answer(front_pages.problem(503, "The gateway does not answer.", "unavailable"))
            return
        try:
            lines = [b"%b HTTP/1.1" % line, *(b"%b: %b" % header for header in headers)]
            writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + self._http.trailing_data[0])
            ways = (_pump(self._reader, writer), _pump(reader, self._writer))
            tasks = [asyncio.create_task(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            writer.close()

    async def _receive(self, seconds: float) -> h11.Event:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                async with asyncio.timeout(seconds):
                    data = await self._reader.read(CHUNK)
                if not data and self._http.their_state is h11.IDLE:
                    raise ClientGone
                self._http.receive_data(data)
                continue
            if isinstance(event, h11.ConnectionClosed) or not isinstance(event, h11.Event):
                raise ClientGone
            return event

    async def _write(self, data: bytes | None) -> None:
        if not data:
            return
        try:
            self._writer.write(data)
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writer.drain()
        except (OSError, TimeoutError) as problem:
            raise ClientGone from problem

    async def _complain(self, status: int, sentence: str) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            with contextlib.suppress(ClientGone, h11.LocalProtocolError):
                answer = front_pages.problem(status, sentence)
                await self._answer((answer[0], [*answer[1], (b"connection", b"close")], answer[2]))

    async def _answer(self, answer: front_pages.Answer) -> None:
        status, headers, body = answer
        await self._write(self._http.send(h11.Response(status_code=status, headers=headers)))
        await self._write(self._http.send(h11.Data(data=body)))
        await self._write(self._http.send(h11.EndOfMessage()))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            async with asyncio.timeout(STUCK_SECONDS):
                await writer.drain()
