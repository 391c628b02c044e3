"""Connecting to a server of a directory within a deadline."""

import socket
from collections.abc import Callable, Sequence

from portico.directories.deadline import Deadline

Find = Callable[[str], Sequence[str]]  # a host's addresses


def connect(host: str, port: int, find: Find, deadline: Deadline) -> socket.socket:
    """Connect to the first of a host's addresses that answers. Raises OSError (TimeoutError among them), Invalid."""
    found = find(host)
    trouble: OSError | None = None
    for position, address in enumerate(found):
        # An address that swallows everything leaves time for the others.
        share = deadline.left() / (len(found) - position)
        try:
            sock = socket.create_connection((address, port), share)
        except OSError as problem:
            trouble = problem
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    raise trouble or OSError("no address")
