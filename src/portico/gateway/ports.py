"""Ports that forwards listen on. Several may share one: who knocks is told apart by the address that he comes from."""

import asyncio
import contextlib
import socket as sockets
import struct
from collections.abc import Callable
from typing import Protocol

from portico.gateway.relay_udp import A_TURN, MAX_SIZE

BACKLOG = 128
TCP = "tcp"
ANYONE = ""  # the route of a port whose first client claims it
_RESET = struct.pack("ii", 1, 0)


class Guest(Protocol):
    """A forward, as a port knows it."""

    def welcomes(self, address: str) -> bool:
        """Whether this address may come in."""

    def accept(self, client: sockets.socket, address: str, port: int) -> None:
        """Take a connection."""

    def datagram(self, data: bytes, sender: tuple[str, int], port: int, answer: Callable[..., object]) -> None:
        """Take a datagram."""


class Port:
    """One bound port. `routes` leads from a client's address, or from ANYONE, to a forward. Raises OSError when it is taken."""

    def __init__(self, transport: str, host: str, number: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.transport, self.number = transport, number
        self.routes: dict[str, Guest] = {}
        kind = sockets.SOCK_STREAM if transport == TCP else sockets.SOCK_DGRAM
        family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
        self._socket = sockets.socket(family, kind | sockets.SOCK_NONBLOCK)
        try:
            if transport == TCP:
                self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
            self._socket.bind((host, number))
            if transport == TCP:
                self._socket.listen(BACKLOG)
        except OSError:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket.fileno(), self._accept if transport == TCP else self._receive)

    def guest(self, address: str) -> Guest | None:
        """Return the forward of somebody who knocks."""
        found = self.routes.get(address) or self.routes.get(ANYONE)
        return found if found is not None and found.welcomes(address) else None

    def close(self) -> None:
        """Listen no more."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(A_TURN):
            try:
                client, name = self._socket.accept()
            except OSError:  # nobody more, or out of descriptors: the backlog waits
                return
            address = plain(name[0])
            guest = self.guest(address)
            if guest is None:
                refuse(client)
                continue
            client.setblocking(False)
            guest.accept(client, address, self.number)

    def _receive(self) -> None:
        for _ in range(A_TURN):
            try:
                data, name = self._socket.recvfrom(MAX_SIZE)
            except OSError:
                return
            guest = self.guest(plain(name[0]))
            if guest is not None:
                guest.datagram(data, name, self.number, self._socket.sendto)


def refuse(client: sockets.socket) -> None:
    """Close with a reset: a stranger learns nothing, and leaves no socket of ours waiting."""
    with contextlib.suppress(OSError):
        client.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _RESET)
    client.close()


def plain(address: str) -> str:
    """Return an address without the IPv6 coat that IPv4 clients wear at a port of both."""
    return address.removeprefix("::ffff:") if "." in address else address
