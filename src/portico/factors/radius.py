"""Codes that RADIUS servers check (RFC 2865): several that stand in for one another, over UDP, with deadlines of our own.

A request is sent again with the same bytes until its time is over (RFC 5080, section 2.2.1), so that a server knows it for the same. Whoever
did not answer is asked last for a minute. Where time is over and a Status-Server is answered, the server is there and waits for the person:
then no other one is asked, which would ask the person once more.
"""

import secrets
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from portico.domain.sentences import N_
from portico.egress import Reach, addresses, read_host
from portico.errors import DirectoryError, Invalid
from portico.factors.radius_wire import MAX_PACKET, Request, access_request, read_reply, status_request
from portico.ports.second_factor import FactorContext, Finding, Reply, Unanswered

PORT = 1812
AGAIN_SECONDS, AGAIN_MOST_SECONDS = 2.0, 16.0  # between two sendings, twice as long each time
STATUS_SECONDS = 3.0
ALL_SECONDS = 110.0  # for all servers together: a log-in lasts two minutes at most
DEAD_SECONDS = 60.0
MAX_SERVERS = 8
CHECK_SECONDS = 3.0
NOBODY = "portico-check"  # the name that a check asks about
_SILENT = N_(
    "It says nothing. Either nobody is there, or a firewall is in between, or the shared secret differs, or it does not know "
    "this broker as a client: RADIUS servers are silent in all these cases. Its own log tells which."
)


@dataclass(frozen=True, slots=True)
class RadiusSettings:
    """What is needed to ask. `secret` is shared by all servers; `timeout` in seconds is how long one of them may take."""

    servers: tuple[str, ...]
    secret: str
    timeout: float = 5.0
    nas_identifier: str = "portico"
    message_authenticator: bool = True


_OTHER_SECRET = N_("It answers, and signs by another secret. Type the same shared secret on both sides.")
_HALF_SILENT = N_("It is there, and leaves the question about a name that nobody has unanswered.")
_CLOSED = N_("Nobody listens at this address and port.")
_NO_ADDRESS = N_("The name of the host has no address.")
_NO_WAY = N_("There is no way to this address.")
_FORGEABLE = N_(
    "Its answers carry no Message-Authenticator, so they could be forged on the way (CVE-2024-3596). Bring the server up to date; "
    "until then, the demand for it can be switched off in a network that you trust."
)


class _Silent(Exception):
    """A server has not answered; `why` says so where it cannot even be asked."""

    def __init__(self, why: str = "") -> None:
        self.why = why


class Radius:
    """RADIUS servers, asked in their order."""

    kind = "radius"
    Settings = RadiusSettings

    def __init__(self, settings: RadiusSettings, context: FactorContext) -> None:
        """Read the servers. Raises Invalid naming the field."""
        self._settings, self._reach = settings, Reach(context.egress_allow, field="servers")
        self._servers = read_servers(settings.servers)
        self._secret = settings.secret.encode()
        self._lock = threading.Lock()
        self._dead: dict[tuple[str, int], float] = {}  # server → until when it is asked last

    def ask(self, name: str, code: str, state: bytes = b"") -> Reply:
        """Ask the servers about a code until one answers. Raises DirectoryError, Unanswered, Invalid."""
        nas, until = self._settings.nas_identifier, time.monotonic() + ALL_SECONDS
        for server in self._in_order():
            request = access_request(self._secret, nas, name, code, state)
            limit = min(until, time.monotonic() + self._settings.timeout)
            try:
                reply = self._exchange(server, request, limit, strict=self._settings.message_authenticator)
            except _Silent as silent:
                if not silent.why and self._is_there(server):
                    raise Unanswered("Nobody has confirmed the log-in in time. Try again.") from None
                self._note(server, time.monotonic() + DEAD_SECONDS)
                if time.monotonic() >= until:
                    break
                continue
            self._note(server, None)
            return reply
        raise DirectoryError("The server that checks codes does not answer.")

    def check(self) -> tuple[Finding, ...]:
        """Try each server with a Status-Server, and with a name that nobody has."""
        return tuple(self._look(server) for server in self._servers)

    def close(self) -> None:
        """Do nothing: a socket lives as long as its question."""

    def _in_order(self) -> Sequence[tuple[str, int]]:
        now = time.monotonic()
        with self._lock:
            return sorted(self._servers, key=lambda server: self._dead.get(server, 0.0) > now)

    def _note(self, server: tuple[str, int], dead_until: float | None) -> None:
        with self._lock:
            self._dead.pop(server, None)
            if dead_until is not None:
                self._dead[server] = dead_until

    def _is_there(self, server: tuple[str, int]) -> bool:
        request = status_request(self._secret, self._settings.nas_identifier)
        try:
            # A sign of life is worth no forging, and FreeRADIUS 3 signs it by the authenticator alone.
            self._exchange(server, request, time.monotonic() + STATUS_SECONDS, strict=False)
        except _Silent:
            return False
        return True

    def _exchange(self, server: tuple[str, int], request: Request, until: float, *, strict: bool) -> Reply:
        """Send until an answer comes that is one; whatever else comes is passed over. Raises _Silent."""
        with self._socket(server) as sock:
            pause, again = AGAIN_SECONDS * (0.9 + secrets.randbelow(200) / 1000), 0.0
            while (now := time.monotonic()) < until:
                if now >= again:
                    _send(sock, request.raw)
                    again, pause = now + pause, min(2 * pause, AGAIN_MOST_SECONDS)
                raw = _receive(sock, min(again, until) - now)
                reply = read_reply(request, raw, strict=strict)
                if reply is not None:
                    return reply
        raise _Silent

    def _socket(self, server: tuple[str, int]) -> socket.socket:
        """Open a socket of its own for one question, connected, so that nobody else's packets come in. Raises _Silent."""
        try:
            address = addresses(server[0], self._reach)[0]
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        except Invalid as problem:
            raise _Silent(problem.sentence) from None
        except OSError:
            raise _Silent(_NO_ADDRESS) from None
        try:
            sock.connect((address, server[1]))
        except OSError:
            sock.close()
            raise _Silent(_NO_WAY) from None
        return sock

    def _look(self, server: tuple[str, int]) -> Finding:
        """Ask about a name that nobody has, which is answered by a no; where that is not, ask for a sign of life."""
        name, nas = f"{server[0]}:{server[1]}", self._settings.nas_identifier
        seen: list[bytes] = []
        try:
            loose = self._listen(server, access_request(self._secret, nas, NOBODY, secrets.token_hex(8)), seen)
        except _Silent as silent:
            if silent.why:
                return Finding(name, "missing", silent.why)
        else:
            if not loose:
                return Finding(name, "granted")
            return Finding(name, "missing" if self._settings.message_authenticator else "warning", _FORGEABLE)
        if seen:
            return Finding(name, "missing", _OTHER_SECRET)
        if self._is_there(server):
            return Finding(name, "warning", _HALF_SILENT)
        return Finding(name, "missing", _SILENT)

    def _listen(self, server: tuple[str, int], request: Request, seen: list[bytes]) -> bool:
        """Tell whether the answer lacks a Message-Authenticator; keeps in `seen` what is signed by nobody we know. Raises _Silent."""
        until = time.monotonic() + CHECK_SECONDS
        with self._socket(server) as sock:
            _send(sock, request.raw)
            while (left := until - time.monotonic()) > 0:
                raw = _receive(sock, left)
                if read_reply(request, raw) is not None:
                    return False
                if read_reply(request, raw, strict=False) is not None:
                    return True
                seen += [raw] if raw else []
        raise _Silent


def _send(sock: socket.socket, raw: bytes) -> None:
    try:
        sock.send(raw)
    except ConnectionRefusedError:
        raise _Silent(_CLOSED) from None
    except OSError:  # the network is full or gone: it is sent again
        return


def _receive(sock: socket.socket, seconds: float) -> bytes:
    """Wait for a packet; empty where none came in time, or one that is too large. Raises _Silent when nobody listens there."""
    sock.settimeout(max(0.001, seconds))
    try:
        raw = sock.recv(MAX_PACKET + 1)
    except ConnectionRefusedError:
        raise _Silent(_CLOSED) from None
    except OSError:
        return b""
    return raw if len(raw) <= MAX_PACKET else b""


def read_servers(texts: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Read servers as typed: host, host:port or [address]:port. Raises Invalid naming the field."""
    found = []
    for text in texts:
        host, port = text.strip(), ""
        if host.startswith("["):
            host, closed, rest = host[1:].partition("]")
            host, port = host if closed else "", rest.removeprefix(":")
        elif host.count(":") == 1:
            host, _, port = host.partition(":")
        if port and not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536):
            where = f"{text}: give a port between 1 and 65535, or none for {PORT}."
            raise Invalid(where, {"servers": where})
        found.append((read_host(host, "servers"), int(port or PORT)))
    if not found or len(found) > MAX_SERVERS:
        where = f"Name one to {MAX_SERVERS} servers, such as radius.corp.example or 10.0.0.5:1812."
        raise Invalid(where, {"servers": where})
    return tuple(dict.fromkeys(found))
