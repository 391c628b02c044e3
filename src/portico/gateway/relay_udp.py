"""UDP datagrams between clients of one port and a desktop: a socket towards the desktop for each client, so that answers find their way."""

import asyncio
import contextlib
import socket as sockets
from collections.abc import Callable

A_TURN = 64  # datagrams of one socket before others have theirs
MAX_SIZE = 65_535


class UdpPeer:
    """One client's datagrams. `counted` is told the bytes towards the desktop and from it. Raises OSError when there is no way."""

    __slots__ = ("_answer", "_counted", "_loop", "_socket", "address", "last")

    def __init__(
        self,
        address: tuple[str, int],
        target: tuple[str, int],
        answer: Callable[[bytes, tuple[str, int]], object],
        counted: Callable[[int, int], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.address, self._answer, self._counted = address, answer, counted
        family = sockets.AF_INET6 if ":" in target[0] else sockets.AF_INET
        self._socket = sockets.socket(family, sockets.SOCK_DGRAM | sockets.SOCK_NONBLOCK)
        self.last = self._loop.time()
        try:
            self._socket.connect(target)
        except OSError:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket.fileno(), self._read)

    def send(self, datagram: bytes) -> None:
        """Pass one on; what the desktop's side cannot take now is lost, as UDP may."""
        self.last = self._loop.time()
        self._counted(len(datagram), 0)
        with contextlib.suppress(OSError):
            self._socket.send(datagram)

    def _read(self) -> None:
        for _ in range(A_TURN):
            try:
                datagram = self._socket.recv(MAX_SIZE)
            except OSError:  # nothing more, or the desktop says that nobody listens there
                return
            self.last = self._loop.time()
            self._counted(0, len(datagram))
            with contextlib.suppress(OSError):
                self._answer(datagram, self.address)

    def close(self) -> None:
        """Forget the client."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
