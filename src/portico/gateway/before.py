"""A Peer that stands before another Peer, and passes all on: for what looks at a session on its way to the browser."""

from collections.abc import Mapping

from portico.gateway.sessions import Peer
from portico.gateway.websocket import Sink


class Before:
    """Everything goes through to `peer`."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    @property
    def closed(self) -> bool:
        """Whether it is gone."""
        return self.peer.closed

    def attach(self, sink: Sink) -> None:
        """Give everything that arrives to the desktop's side."""
        self.peer.attach(sink)

    def send_bytes(self, data: bytes) -> None:
        """Send bytes of the desktop."""
        self.peer.send_bytes(data)

    def send_object(self, fields: Mapping[str, object]) -> None:
        """Send a message beside the data."""
        self.peer.send_object(fields)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye."""
        self.peer.close(code, reason)

    def close_for(self, code: str) -> None:
        """Say goodbye for a reason of wire.gateway.CLOSE."""
        self.peer.close_for(code)

    def pause_reading(self) -> None:
        """Make it wait."""
        self.peer.pause_reading()

    def resume_reading(self) -> None:
        """Let it go on."""
        self.peer.resume_reading()
