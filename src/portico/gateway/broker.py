"""The gateway's client of the brokers: JSON over keep-alive HTTPS, pinned to the deployment's CA, brokers tried in order."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import h11

from portico.errors import Unavailable
from portico.gateway.trust import Trust, connect, split_urls

REDEEM_SECONDS = 2.0
REPORT_SECONDS = 10.0
UPLOAD_SECONDS = 60.0
ENROLL_SECONDS = 15.0
HOLD_SECONDS = 25.0  # how long a broker holds `control` open
MAX_ANSWER = 1 << 20
MAX_IDLE = 4

Body = Mapping[str, Any] | bytes | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a broker said: the HTTP status, and the JSON object ({} if there was none)."""

    status: int
    fields: Mapping[str, Any]


@dataclass(slots=True)
class _Wire:
    """One open connection with its HTTP state."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection
    used: bool = False

    def close(self) -> None:
        self.writer.transport.abort()


class Broker:
    """All brokers as one: the one that answered last is asked first. Every call raises Unavailable if none answers in time."""

    def __init__(self, urls: str, trust: Trust) -> None:
        self._brokers = list(split_urls(urls))
        self._trust = trust
        self._idle: list[_Wire] = []
        self.bearer = ""

    async def enroll(self, request: Mapping[str, Any]) -> Answer:
        """Ask to be admitted with a one-time token (wire.gateway, enroll)."""
        return await self._call("POST", "/gateway/v1/enroll", request, ENROLL_SECONDS)

    async def redeem(self, ticket: str, client_address: str) -> Answer:
        """Trade a ticket for its GRANT (wire.gateway, redeem)."""
        request = {"ticket": ticket, "client_address": client_address}
        return await self._call("POST", "/gateway/v1/redeem", request, REDEEM_SECONDS)

    async def report(self, request: Mapping[str, Any]) -> Answer:
        """Tell what happened and what lives (wire.gateway, report)."""
        return await self._call("POST", "/gateway/v1/report", request, REPORT_SECONDS)

    async def control(self, after: int) -> Answer:
        """Wait for messages after the given one (wire.gateway, control)."""
        return await self._call("GET", f"/gateway/v1/control?after={after}", None, HOLD_SECONDS + REPORT_SECONDS)

    async def upload(self, recording: str, offset: int, content: bytes, digest: str) -> Answer:
        """Send a piece of a recording (wire.gateway, recordings); `digest` with the last one."""
        path = f"/gateway/v1/recordings/{recording}?offset={offset}" + (f"&sha256={digest}" if digest else "")
        return await self._call("POST", path, content, UPLOAD_SECONDS)

    def close(self) -> None:
        """Drop the connections that wait for the next call."""
        while self._idle:
            self._idle.pop().close()

    async def _call(self, method: str, path: str, body: Body, seconds: float) -> Answer:
        try:
            async with asyncio.timeout(seconds):
                return await self._attempt(method, path, body, seconds)
        except TimeoutError as problem:
            raise Unavailable("The broker does not answer.", f"{method} {path.partition('?')[0]}: timeout") from problem

    async def _attempt(self, method: str, path: str, body: Body, seconds: float) -> Answer:
        while True:
            wire = await self._take(seconds)
            try:
                return await self._exchange(wire, method, path, body)
            except (OSError, EOFError, h11.ProtocolError, ValueError) as problem:
                wire.close()
                # A broker closes idle connections when it likes; a fresh one that fails is a real failure.
                if not (wire.used and wire.http.their_state is h11.SEND_RESPONSE):
                    raise Unavailable(
                        "The broker does not answer.", f"{type(problem).__name__}: {problem}"
                    ) from problem
            except BaseException:
                wire.close()
                raise

    async def _take(self, seconds: float) -> _Wire:
        while self._idle:
            wire = self._idle.pop()
            if not wire.reader.at_eof() and not wire.writer.is_closing():
                return wire
            wire.close()
        context = await self._trust.context(self._brokers)
        # Connecting takes at most 5 s of a long call, so that a dead broker does not use up the time of the next.
        reader, writer = await connect(self._brokers, context, min(seconds, 5.0), self._prefer)
        return _Wire(reader, writer, h11.Connection(h11.CLIENT))

    def _prefer(self, index: int) -> None:
        self._brokers.insert(0, self._brokers.pop(index))

    async def _exchange(self, wire: _Wire, method: str, path: str, body: Body) -> Answer:
        is_raw = isinstance(body, bytes)
        payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        host, port = self._brokers[0]
        headers = [("Host", f"{host}:{port}"), ("Accept", "application/json"), ("User-Agent", "portico-gateway")]
        if self.bearer:
            headers.append(("Authorization", f"Bearer {self.bearer}"))
        if body is not None:
            kind = "application/octet-stream" if is_raw else "application/json"
            headers += [("Content-Type", kind), ("Content-Length", str(len(payload)))]
        wire.writer.write(wire.http.send(h11.Request(method=method, target=path, headers=headers)) or b"")
        if payload:
            wire.writer.write(wire.http.send(h11.Data(data=payload)) or b"")
        wire.writer.write(wire.http.send(h11.EndOfMessage()) or b"")
        await wire.writer.drain()
        answer = await _read_answer(wire)
        self._keep(wire)
        return answer

    def _keep(self, wire: _Wire) -> None:
        if wire.http.our_state is h11.DONE and wire.http.their_state is h11.DONE and len(self._idle) < MAX_IDLE:
            wire.http.start_next_cycle()
            wire.used = True
            self._idle.append(wire)
        else:
            wire.close()


async def _read_answer(wire: _Wire) -> Answer:
    status = 0
    body = bytearray()
    while True:
        event = wire.http.next_event()
        if event is h11.NEED_DATA:
            data = await wire.reader.read(64 * 1024)
            wire.http.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_ANSWER:
                raise ValueError("answer too long")
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, _object(bytes(body)))
        elif isinstance(event, h11.ConnectionClosed):
            raise EOFError("closed")


def _object(body: bytes) -> Mapping[str, Any]:
    with suppress(ValueError, RecursionError):
        fields = json.loads(body)
        if isinstance(fields, dict):
            return fields
    return {}
