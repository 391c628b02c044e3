"""The little of ONC RPC (RFC 5531) and of the YP protocol, version 2, that reading maps takes: TCP, with a deadline on every read.

A server is asked by itself, without ypbind, so that one broker reads the maps of many domains.
"""

import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence

from portico.directories.deadline import Deadline
from portico.errors import DirectoryError

PORTMAP_PORT = 111
PORTMAP, YP = (100000, 2), (100004, 2)  # program, version
GETPORT = 3  # RFC 1833, section 3
MATCH, ALL = 3, 8  # procedures of YP
TCP = 6
FOUND, NO_MORE, NO_MAP, NO_DOMAIN, NO_KEY = 1, 2, -1, -2, -3
MAX_ANSWER = 16 * 1024 * 1024
MAX_KEY = 1024  # YPMAXRECORD
LAST_FRAGMENT = 0x8000_0000
RESERVED = range(1023, 600, -1)  # ports from which shadow maps are answered

Connect = Callable[[int, bool], socket.socket]  # (port, from a reserved port) → a connected socket


class NoMap(DirectoryError):
    """There is no such map, or it is not for us to read."""

    code = "directory.no_map"


def port_of(connect: Connect, deadline: Deadline) -> int:
    """Ask the portmapper where ypserv listens. Raises DirectoryError."""
    answer = _call(connect(PORTMAP_PORT, False), PORTMAP, GETPORT, struct.pack(">IIII", *YP, TCP, 0), deadline)
    port = _unpack(">I", answer, 0)[0]
    if not 0 < port < 65536:
        raise DirectoryError("No NIS server is registered there.")
    return int(port)


def match(
    connect: Connect, port: int, where: tuple[str, str, str], deadline: Deadline, *, reserved: bool = False
) -> str | None:
    """Return the line of a key; `where` is (domain, map, key), all sendable. None where there is none. Raises NoMap, DirectoryError."""
    if len(where[2].encode()) > MAX_KEY:
        return None
    answer = _call(connect(port, reserved), YP, MATCH, b"".join(map(_text, where)), deadline)
    status = _unpack(">i", answer, 0)[0]
    if status == NO_KEY:
        return None
    _refuse(status, where[1])
    return _string(answer, 4)[0].decode("utf-8", "replace")


def everything(connect: Connect, port: int, where: tuple[str, str], deadline: Deadline) -> Iterator[str]:
    """Return all lines of a map; `where` is (domain, map). Raises NoMap, DirectoryError."""
    answer = _call(connect(port, False), YP, ALL, b"".join(map(_text, where)), deadline)
    place = 0
    while _unpack(">I", answer, place)[0]:
        status = _unpack(">i", answer, place + 4)[0]
        if status == NO_MORE:
            return
        _refuse(status, where[1])
        value, place = _string(answer, place + 8)
        _, place = _string(answer, place)
        yield value.decode("utf-8", "replace")


def connector(addresses: Sequence[str], deadline: Deadline) -> Connect:
    """Return how to connect to the first of the addresses that answers."""

    def connect(port: int, reserved: bool) -> socket.socket:
        trouble: OSError = OSError("no address")
        for address in addresses:
            try:
                return (
                    _reserved(address, port, deadline)
                    if reserved
                    else socket.create_connection((address, port), deadline.left())
                )
            except OSError as problem:
                trouble = problem
        raise DirectoryError("The NIS server cannot be reached.", str(trouble)) from trouble

    return connect


def _reserved(address: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect from a port below 1024, which takes a right that a broker need not have. Raises OSError."""
    for ours in RESERVED:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            sock.bind(("", ours))
            sock.settimeout(deadline.left())
            sock.connect((address, port))
            return sock
        except OSError as problem:
            sock.close()
            if problem.errno not in (98, 99):  # EADDRINUSE, EADDRNOTAVAIL: the next one
                raise
    raise OSError("no reserved port is free")


def _refuse(status: int, name: str) -> None:
    if status in (NO_MAP, NO_DOMAIN):
        raise NoMap(f"The NIS server has no map {name} for us.", f"status {status}")
    if status != FOUND:
        raise DirectoryError("The NIS server answers with an error.", f"status {status} for {name}")


def _call(sock: socket.socket, program: tuple[int, int], procedure: int, body: bytes, deadline: Deadline) -> bytes:
    """Call a procedure over a connection of its own, and return the result's bytes."""
    number = int.from_bytes(os.urandom(4), "big")
    message = struct.pack(">IIIIII", number, 0, 2, *program, procedure) + struct.pack(">IIII", 0, 0, 0, 0) + body
    try:
        with sock:
            sock.settimeout(deadline.left())
            sock.sendall(struct.pack(">I", LAST_FRAGMENT | len(message)) + message)
            return _result(number, _record(sock, deadline))
    except (OSError, TimeoutError) as problem:
        raise DirectoryError("The NIS server does not answer.", str(problem)) from problem


def _record(sock: socket.socket, deadline: Deadline) -> bytes:
    """Read a record, fragment by fragment. RFC 5531, section 11."""
    record = bytearray()
    while True:
        (head,) = struct.unpack(">I", _exactly(sock, 4, deadline))
        length = head & ~LAST_FRAGMENT
        if len(record) + length > MAX_ANSWER:
            raise DirectoryError("The NIS server's answer is too long.")
        record += _exactly(sock, length, deadline)
        if head & LAST_FRAGMENT:
            return bytes(record)


def _exactly(sock: socket.socket, wanted: int, deadline: Deadline) -> bytes:
    found = bytearray()
    while len(found) < wanted:
        sock.settimeout(deadline.left())
        piece = sock.recv(min(65536, wanted - len(found)))
        if not piece:
            raise ConnectionError("the server closed the connection")
        found += piece
    return bytes(found)


def _result(number: int, record: bytes) -> bytes:
    """Take the reply's head off: REPLY, MSG_ACCEPTED, a verifier, SUCCESS. RFC 5531, section 9."""
    theirs, kind, state, _, length = _unpack(">IIIII", record, 0)
    place = 20 + length + -length % 4
    if (theirs, kind, state) != (number, 1, 0) or _unpack(">I", record, place)[0] != 0:
        raise DirectoryError("The NIS server refuses the question.")
    return record[place + 4 :]


def _unpack(form: str, data: bytes, place: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, data, place)
    except struct.error as problem:
        raise DirectoryError("The NIS server's answer cannot be read.", str(problem)) from problem


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">I", len(raw)) + raw + b"\0" * (-len(raw) % 4)


def _string(data: bytes, place: int) -> tuple[bytes, int]:
    length = _unpack(">I", data, place)[0]
    end = place + 4 + length
    if end > len(data):
        raise DirectoryError("The NIS server's answer cannot be read.", "cut off")
    return data[place + 4 : end], end + -length % 4
