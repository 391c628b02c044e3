"""RDCleanPath: how a browser's RDP client asks a gateway for a connection whose TLS the gateway speaks. Pure.

One DER message each way, then the bytes of RDP as they are within TLS. Every field stands under an EXPLICIT tag of one SEQUENCE:
[0] version 3390, [1] error, [2] destination (never believed: the ticket decides), [3] proxy authorisation (our ticket),
[6] the X.224 connection request or confirm, [7] certificates of the server, leaf first, [9] address of the server.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from portico.gateway import der

VERSION = 3390
GENERAL, NEGOTIATION = 1, 2  # kinds of errors
NOWHERE = "127.0.0.1:3389"  # the page needs no address of a desktop, but its client wants one to be there


class BadRequest(Exception):
    """The browser's message is not an RDCleanPath request; says why, for the log."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the browser asks with."""

    ticket: str = field(repr=False)
    x224: bytes


def size_of(head: bytes) -> int | None:
    """Return how long the message is that begins here; None while that is not known. Raises BadRequest."""
    try:
        return der.size_of(head)
    except der.BadDer as problem:
        raise BadRequest(str(problem)) from problem


def parse_request(message: bytes) -> Request:
    """Read a request. Raises BadRequest."""
    try:
        fields = der.fields(der.whole(message, der.SEQUENCE))
        if 0 not in fields or der.number(fields[0]) != VERSION:
            raise BadRequest("another version")
        if 3 not in fields or 6 not in fields:
            raise BadRequest("no ticket" if 3 not in fields else "no connection request")
        return Request(der.text(fields[3]), der.whole(fields[6], der.OCTETS))
    except der.BadDer as problem:
        raise BadRequest(str(problem)) from problem


def response(x224: bytes, certificates: Sequence[bytes]) -> bytes:
    """Return the answer that opens the way: the server's connection confirm and its certificates in DER."""
    return der.sequence(
        der.explicit(0, der.integer(VERSION)),
        der.explicit(6, der.octets(x224)),
        der.explicit(7, der.sequence(*(der.octets(one) for one in certificates))),
        der.explicit(9, der.utf8(NOWHERE)),
    )


def refusal(status: int) -> bytes:
    """Return the answer that turns the browser away, with an HTTP status for its client's own message."""
    error = der.sequence(der.explicit(0, der.integer(GENERAL)), der.explicit(1, der.integer(status)))
    return der.sequence(der.explicit(0, der.integer(VERSION)), der.explicit(1, error))
