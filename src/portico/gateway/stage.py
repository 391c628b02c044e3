"""A session on a stage: what the person's browser is sent, somebody who joined sees too, byte for byte; what he does may reach the desktop.

Pictures have no beginning in their middle: RDP and VNC are shown from the first byte of a session, so the person's page opens its session
anew for a helper, and what it is sent is kept until he comes. A terminal's page tells what is on its screen instead.
"""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from portico.gateway.before import Before
from portico.gateway.grant import Visit
from portico.gateway.rdp_filter import Inputs, Pictures
from portico.gateway.rdp_settings import BadRdp
from portico.gateway.rfb import ClientHandshake, RfbError
from portico.gateway.rfb_filter import ClientFilter
from portico.gateway.rfb_server import ServerFilter
from portico.gateway.sessions import Peer, Session
from portico.gateway.websocket import Socket

MAX_KEPT = 16 << 20  # bytes of a session's beginning that wait for a helper
MAX_BEHIND = 8 << 20  # bytes that a helper may be slower than the person
MAX_HELD = 1 << 20  # bytes of a terminal that wait for its page to tell its screen
KEEP_SECONDS = 60.0
RFB_HANDSHAKE = 18  # bytes that a browser is sent before ServerInit: version, security types, result

Censor = Callable[[bytes], list[bytes]]


class Stage(Before):
    """A browser whose session is, or may soon be, shown to a helper too."""

    def __init__(self, peer: Peer, protocol: str) -> None:
        super().__init__(peer)
        self._since = time.monotonic()
        self._kept: list[bytes] | None = None if protocol == "ssh" else []
        self._size = 0
        self.censor: Censor = Pictures().feed if protocol == "rdp" else lambda data: [data]
        self.helper: Helper | None = None

    @property
    def is_set(self) -> bool:
        """Whether a helper can still see it from its beginning."""
        return self._kept is not None

    def send_bytes(self, data: bytes) -> None:
        """Send, and show or keep what may be seen of it."""
        if self.helper is not None or self._kept is not None:
            self._show(data)
        self.peer.send_bytes(data)

    def _show(self, data: bytes) -> None:
        try:
            pieces = self.censor(data)
        except (RfbError, BadRdp):  # the session's own filters say so, if they must
            self.strike()
            return
        for piece in pieces:
            if self.helper is not None:
                self.helper.send(piece)
            elif self._kept is not None:
                self._kept.append(piece)
                self._size += len(piece)
                if self._size > MAX_KEPT:
                    self._kept = None

    def admit(self, helper: "Helper") -> None:
        """Show it from its beginning to a helper, and from now on."""
        self.helper = helper
        kept, self._kept = self._kept or [], None
        for piece in kept:
            helper.send(piece)

    def strike(self) -> None:
        """Show it no more; the helper may come back when it is set anew."""
        self._kept = None
        helper, self.helper = self.helper, None
        if helper is not None:
            helper.end("shadow.waiting")

    def sweep(self, now: float, monotonic: float) -> None:
        """Forget what nobody came to see, and end a visit whose time is up."""
        if self._kept is not None and monotonic - self._since > KEEP_SECONDS:
            self._kept = None
        if self.helper is not None and now >= self.helper.visit.expires_at:
            self.helper.end("shadow.ended")

    def close(self, code: int, reason: str) -> None:
        """Say goodbye to both."""
        self.strike()
        super().close(code, reason)

    def close_for(self, code: str) -> None:
        """Say goodbye to both."""
        self.strike()
        super().close_for(code)


class VncCensor:
    """What a VNC server says, without its clipboard; the browser's own handshake stands before it."""

    def __init__(self, client: ClientFilter) -> None:
        self._handshake = RFB_HANDSHAKE
        self._filter = ServerFilter(client)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what the person's browser is sent and return what a helper may see. Raises RfbError."""
        first, rest = data[: self._handshake], data[self._handshake :]
        self._handshake -= len(first)
        shown = self._filter.feed(rest) if rest else b""
        return [piece for piece in (first, shown) if piece]


class Hands(Protocol):
    """What a helper's client says, cut down to keys and pointer moves."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes and return those for the desktop. Raises RfbError, BadRdp."""


class VncHands:
    """Of a VNC client, behind its own handshake."""

    def __init__(self) -> None:
        self._handshake: ClientHandshake | None = ClientHandshake()
        self._filter = ClientFilter(helps=True)

    def feed(self, data: bytes) -> bytes:
        """Take bytes and return those for the desktop. Raises RfbError."""
        if self._handshake is not None:
            self._handshake.feed(data)
            if not self._handshake.done:
                return b""
            data, self._handshake = self._handshake.rest, None
        return self._filter.feed(data) if data else b""


class TerminalHands:
    """Of a terminal, whose bytes are keys."""

    def feed(self, data: bytes) -> bytes:
        """Pass all."""
        return data


HANDS: Mapping[str, Callable[[], Hands]] = {"vnc": VncHands, "rdp": Inputs, "ssh": TerminalHands}


class Helper:
    """Somebody who joined a session: a Sink for what he says. `on_end` hears why he left."""

    def __init__(self, visit: Visit, socket: Socket, session: Session, on_end: Callable[["Helper", str], None]) -> None:
        self.visit, self.session = visit, session
        self._socket, self._on_end = socket, on_end
        self._hands = HANDS[visit.protocol]() if visit.control and not session.grant.policy.view_only else None
        self._slow, self._behind, self._ended = False, 0, False
        self._held: bytearray | None = None
        self._held_from = 0

    def hold(self) -> None:
        """Wait for the page of a terminal to tell its screen."""
        self._held, self._held_from = bytearray(), self.session.bytes_out

    def screen(self, text: str, size: list[int], seen: int) -> None:
        """Show a terminal's screen, and what came since: the page had been sent `seen` bytes when it told."""
        if self._held is None:
            return
        held, self._held = self._held, None
        self._socket.send_object({"size": size})
        self.send(text.encode("utf-8", "replace") + bytes(held[max(0, seen - self._held_from) :]))

    def resized(self, size: list[int]) -> None:
        """Follow the person's terminal."""
        self._socket.send_object({"size": size})

    def send(self, data: bytes) -> None:
        """Show what the person is shown; who cannot keep up has to come again."""
        if self._held is not None:
            self._held += data
            if len(self._held) > MAX_HELD:
                self.end("shadow.waiting")
            return
        self._behind = self._behind + len(data) if self._slow else 0
        if self._behind > MAX_BEHIND:
            self.end("shadow.waiting")
        elif data:
            self._socket.send_bytes(data)

    def end(self, code: str) -> None:
        """Say goodbye, once."""
        if self._ended:
            return
        self._ended = True
        self._on_end(self, code)
        self._socket.close_for(code)

    def from_browser(self, data: bytes) -> None:
        """Lend a hand, if it may."""
        session = self.session
        if self._hands is None or self._ended or session.ended or session.help is None:
            return
        try:
            data = self._hands.feed(data)
        except (RfbError, BadRdp):
            self.end("shadow.ended")
            return
        if data:
            session.last_input = time.monotonic()
            session.help(data)

    def command(self, fields: Mapping[str, object]) -> None:
        """A helper's page has nothing more to say."""

    def pause_reading(self) -> None:
        """He cannot take it as fast as the person: what he is behind is counted."""
        self._slow = True

    def resume_reading(self) -> None:
        """He has caught up."""
        self._slow = False

    def browser_closed(self) -> None:
        """He is gone."""
        self.end("shadow.left")
