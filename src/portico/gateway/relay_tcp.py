"""TCP bytes from one socket to another without a copy: os.splice (splice(2)) through a pipe that a way holds only while bytes wait in it."""

import asyncio
import contextlib
import fcntl
import os
import socket as sockets
from collections.abc import Callable

CHUNK = 256 * 1024  # also the size asked for a pipe
SPARE_PIPES = 64
FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_spare: list[tuple[int, int]] = []


class Relay:
    """Two sockets, non-blocking and connected, joined until both have said all, or one fails. Closes them.

    `counted` is told the bytes of each turn: towards the desktop, and from it.
    """

    __slots__ = ("_counted", "_done", "_left", "_loop", "_sockets", "_ways")

    def __init__(
        self,
        client: sockets.socket,
        desktop: sockets.socket,
        counted: Callable[[int, int], None],
        done: Callable[["Relay"], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = (client, desktop)
        self._counted, self._done = counted, done
        self._left = 2
        for socket in self._sockets:
            socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE, 1)
        there, back = client.fileno(), desktop.fileno()
        self._ways = (_Way(self, there, back, inward=True), _Way(self, back, there, inward=False))

    def count(self, size: int, inward: bool) -> None:
        """Tell that bytes were read."""
        self._counted(size if inward else 0, 0 if inward else size)

    def said_all(self, sink: int) -> None:
        """End one way: its reader is told that no more comes, as its writer told us."""
        self._left -= 1
        if not self._left:
            self.close()
            return
        socket = next(one for one in self._sockets if one.fileno() == sink)
        with contextlib.suppress(OSError):
            socket.shutdown(sockets.SHUT_WR)

    def close(self) -> None:
        """Close both, once."""
        if self._left < 0:
            return
        self._left = -1
        for way in self._ways:
            way.close()
        for socket in self._sockets:
            socket.close()
        self._done(self)


class _Way:
    """One direction. Its source is read while nothing waits; what waits is written first."""

    __slots__ = ("_inward", "_loop", "_pipe", "_relay", "_sink", "_source", "_waiting")

    def __init__(self, relay: Relay, source: int, sink: int, inward: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._relay, self._source, self._sink, self._inward = relay, source, sink, inward
        self._pipe: tuple[int, int] | None = None
        self._waiting = 0
        self._loop.add_reader(source, self._read)

    def _read(self) -> None:
        pipe = self._pipe = self._pipe or _take_pipe()
        try:
            size = os.splice(self._source, pipe[1], CHUNK, flags=FLAGS)
        except BlockingIOError:
            self._give_back()
            return
        except OSError:
            self._relay.close()
            return
        if not size:
            self._loop.remove_reader(self._source)
            self._give_back()
            self._relay.said_all(self._sink)
            return
        self._relay.count(size, self._inward)
        self._waiting += size
        if self._push() and self._waiting:
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._sink, self._write)

    def _write(self) -> None:
        if self._push() and not self._waiting:
            self._loop.remove_writer(self._sink)
            self._loop.add_reader(self._source, self._read)

    def _push(self) -> bool:
        """Write what the sink takes; False when the relay is over."""
        assert self._pipe is not None
        try:
            while self._waiting:
                self._waiting -= os.splice(self._pipe[0], self._sink, self._waiting, flags=FLAGS)
        except BlockingIOError:
            return True
        except OSError:
            self._relay.close()
            return False
        self._give_back()
        return True

    def _give_back(self) -> None:
        """Let others have the pipe, which is empty."""
        if self._pipe is not None:
            _keep_pipe(self._pipe)
            self._pipe = None

    def close(self) -> None:
        """Look at neither socket any more."""
        for descriptor in (self._source, self._sink):
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
        if self._pipe is not None and not self._waiting:
            self._give_back()
        elif self._pipe is not None:
            _close_pipe(self._pipe)
            self._pipe = None


def _take_pipe() -> tuple[int, int]:
    if _spare:
        return _spare.pop()
    pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # more than the system grants to one user: the size it has will do
        fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, CHUNK)
    return pipe


def _keep_pipe(pipe: tuple[int, int]) -> None:
    if len(_spare) < SPARE_PIPES:
        _spare.append(pipe)
    else:
        _close_pipe(pipe)


def _close_pipe(pipe: tuple[int, int]) -> None:
    for end in pipe:
        os.close(end)
