"""The sessions that live in this gateway: opened, counted, ended one by one or all."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from portico import logs
from portico.gateway.grant import Grant
from portico.gateway.websocket import NORMAL, Sink
from portico.wire.gateway import CLOSE

log = logs.get(__name__)

WARN_SECONDS = 60
LEFT = "browser.left"  # reasons of a closed event besides the names of CLOSE
DESKTOP_CLOSED = "desktop.closed"


class Peer(Protocol):
    """Where the person is: a browser's WebSocket, or the connection of a client of its own."""

    @property
    def closed(self) -> bool:
        """Whether it is gone."""

    def attach(self, sink: Sink) -> None:
        """Give everything that arrives to the desktop's side."""

    def send_bytes(self, data: bytes) -> None:
        """Send bytes of the desktop."""

    def send_object(self, fields: Mapping[str, object]) -> None:
        """Send a message beside the data, where there is a place for one."""

    def close(self, code: int, reason: str) -> None:
        """Say goodbye."""

    def close_for(self, code: str) -> None:
        """Say goodbye for a reason of wire.gateway.CLOSE."""

    def pause_reading(self) -> None:
        """Make it wait."""

    def resume_reading(self) -> None:
        """Let it go on."""


@dataclass(slots=True, eq=False)
class Session:
    """One browser at one desktop. Bytes are counted from the browser's side: in is towards the desktop."""

    grant: Grant
    socket: Peer
    address: str
    hang_up: Callable[[], None]  # ends the desktop's side
    on_end: Callable[["Session", str], None] = field(repr=False)
    bytes_in: int = 0
    bytes_out: int = 0
    last_input: float = field(default_factory=time.monotonic)
    ended: bool = False
    warned: bool = False
    help: Callable[[bytes], None] | None = None  # gives input of somebody who joined the session to the desktop

    def end(self, reason: str) -> None:
        """End both sides, once: with the close code of this reason, or 1000 if it has none."""
        if self.ended:
            return
        self.ended = True
        self.on_end(self, reason)
        self.hang_up()
        if reason in CLOSE:
            self.socket.close_for(reason)
        else:
            self.socket.close(NORMAL, reason)

    def over(self, now: float, monotonic: float) -> str:
        """Return why it ends by its policy (a name of CLOSE): its time is up, or nobody used it for too long; else nothing."""
        policy = self.grant.policy
        if policy.expires_at is not None and now >= policy.expires_at:
            return "time.up"
        idle = policy.idle_seconds is not None and monotonic - self.last_input >= policy.idle_seconds
        return "idle" if idle else ""

    def warn(self, monotonic: float) -> None:
        """Tell the person that the session will end for want of input, and that it will not when there is some again."""
        limit = self.grant.policy.idle_seconds
        if limit is None:
            return
        left = limit - (monotonic - self.last_input)
        near = left <= min(WARN_SECONDS, limit / 2)
        if near != self.warned:
            self.warned = near
            self.socket.send_object({"idle_in": max(0, round(left)) if near else None})


OnEvent = Callable[[str, Session, str], None]  # kind, session, reason


class Sessions:
    """The registry. Every opening and ending is told to `on_event`, an ending always before the opening that replaces it."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._live: dict[str, Session] = {}

    def __len__(self) -> int:
        """Return how many sessions live."""
        return len(self._live)

    @property
    def connections(self) -> list[str]:
        """The ids of the connections that live here."""
        return list(self._live)

    def get(self, connection: str) -> Session | None:
        """Return the session of a connection that lives here."""
        return self._live.get(connection)

    def open(self, grant: Grant, socket: Peer, address: str, hang_up: Callable[[], None]) -> Session:
        """Take up a session; one of the same connection is ended, for it is the same person in another window."""
        former = self._live.get(grant.connection)
        if former is not None:
            former.end("closed.elsewhere")
        session = Session(grant, socket, address, hang_up, self._ended)
        self._live[grant.connection] = session
        log.info(
            "session opened", connection=grant.connection, protocol=grant.protocol, user=grant.user, client=address
        )
        self._on_event("opened", session, "")
        return session

    def close(self, connection: str, reason: str) -> None:
        """End one connection's session if it lives here."""
        session = self._live.get(connection)
        if session is not None:
            session.end(reason)

    def close_all(self, reason: str) -> None:
        """End every session."""
        for session in list(self._live.values()):
            session.end(reason)

    def sweep(self, now: float, monotonic: float) -> None:
        """End the sessions whose time is up."""
        for session in list(self._live.values()):
            reason = session.over(now, monotonic)
            if reason:
                session.end(reason)
            else:
                session.warn(monotonic)

    def _ended(self, session: Session, reason: str) -> None:
        if self._live.get(session.grant.connection) is session:
            del self._live[session.grant.connection]
        log.info(
            "session closed",
            connection=session.grant.connection,
            reason=reason,
            bytes_in=session.bytes_in,
            bytes_out=session.bytes_out,
        )
        self._on_event("closed", session, reason)
