"""The front's way to the brokers: pooled HTTP/1.1 connections over pinned TLS, one request at a time on each."""

import asyncio
from dataclasses import dataclass

import h11

from portico.gateway.trust import Trust, connect, split_urls

CONNECT_SECONDS = 4.0
MAX_IDLE = 32
MAX_HEAD = 64 * 1024
CHUNK = 64 * 1024


class Dropped(Exception):
    """The broker closed the connection before it answered; nothing was told to the client yet."""


@dataclass(slots=True)
class Link:
    """One connection to a broker."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection
    used: bool = False

    async def send(self, event: h11.Event) -> None:
        """Send a part of the request. Raises Dropped."""
        try:
            data = self.http.send(event)
            if data:
                self.writer.write(data)
                await self.writer.drain()
        except OSError as problem:
            raise Dropped from problem

    async def receive(self, seconds: float | None) -> h11.Event:
        """Return the next part of the response. Raises Dropped, TimeoutError, h11.RemoteProtocolError."""
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                try:
                    async with asyncio.timeout(seconds):
                        self.http.receive_data(await self.reader.read(CHUNK))
                except (ConnectionError, OSError) as problem:
                    if isinstance(problem, TimeoutError):
                        raise
                    raise Dropped from problem
                continue
            if isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                raise Dropped
            assert isinstance(event, h11.Event)
            return event

    def close(self) -> None:
        """Drop the connection."""
        self.writer.transport.abort()


class Brokers:
    """All brokers as one: the one that answered last is asked first."""

    def __init__(self, urls: str, trust: Trust) -> None:
        self._brokers = list(split_urls(urls))
        self._trust = trust
        self._idle: list[Link] = []

    async def take(self, fresh: bool = False) -> Link:
        """Return a connection, a new one if asked. Raises Unavailable."""
        while self._idle and not fresh:
            link = self._idle.pop()
            if not link.reader.at_eof() and not link.writer.is_closing():
                return link
            link.close()
        context = await self._trust.context(self._brokers)
        reader, writer = await connect(self._brokers, context, CONNECT_SECONDS, self._prefer)
        return Link(reader, writer, h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD))

    def give_back(self, link: Link) -> None:
        """Keep a connection for the next request if it can serve one."""
        if link.http.our_state is h11.DONE and link.http.their_state is h11.DONE and len(self._idle) < MAX_IDLE:
            link.http.start_next_cycle()
            link.used = True
            self._idle.append(link)
        else:
            link.close()

    def close(self) -> None:
        """Drop the connections that wait."""
        while self._idle:
            self._idle.pop().close()

    def _prefer(self, index: int) -> None:
        self._brokers.insert(0, self._brokers.pop(index))
