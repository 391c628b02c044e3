"""JSON over HTTPS with a deadline on every read: a server that is silent, or drips, holds nobody for longer.

The messages are h11's, which does no input or output itself; the bytes, the limits and the waits are ours. Redirects are
followed by nobody: an answer of 3xx is one like any other.
"""

import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import h11

from portico.directories.deadline import Deadline
from portico.directories.sockets import Find, connect
from portico.egress import Url
from portico.errors import DirectoryError, Invalid

MAX_ANSWER = 8 * 1024 * 1024
MAX_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is, how it is verified, and at which addresses it may be reached."""

    url: Url
    tls: ssl.SSLContext
    find: Find


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: the status, the headers by small letters, and the JSON (None where there was none)."""

    status: int
    headers: Mapping[str, str]
    body: Any = None

    @property
    def is_success(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.status < 300


class NotWhole(DirectoryError):
    """A list is longer than what is answered, or read."""


class Talk:
    """What one log-in has to say to a server: one connection, opened when it is first needed and closed at the end."""

    def __init__(self, place: Place, deadline: Deadline) -> None:
        """Open nothing yet. `deadline` is the end of all waiting; it may be set anew."""
        self.deadline = deadline
        self._place = place
        self._socket: socket.socket | None = None
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)

    def ask(self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request and return the answer, whatever its status. Raises DirectoryError."""
        kept = self._socket is not None
        try:
            return self._exchange(method, path, body, headers or {})
        except _Closed:
            # What was kept may have been closed meanwhile, without a word of an answer: once more, on a fresh one.
            if not kept:
                raise
            return self._exchange(method, path, body, headers or {})

    def close(self) -> None:
        """Leave, without waiting for anything."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _exchange(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
        try:
            sock = self._socket or self._open()
            sock.settimeout(self.deadline.left())
            sock.sendall(self._request(method, path, body, headers))
            return self._answer(sock, path)
        except (OSError, h11.ProtocolError, ValueError, RecursionError) as problem:
            self.close()
            raise _broken(problem) from problem
        except DirectoryError:
            self.close()
            raise

    def _open(self) -> socket.socket:
        url = self._place.url
        try:
            sock = connect(url.host, url.port, self._place.find, self.deadline)
        except Invalid as problem:
            raise DirectoryError(problem.sentence) from problem
        except OSError as problem:
            raise DirectoryError(f"The server {url.host} cannot be reached.", str(problem)) from problem
        try:
            sock.settimeout(self.deadline.left())
            secure = self._place.tls.wrap_socket(sock, server_hostname=url.host)
        except ssl.SSLCertVerificationError as problem:
            sock.close()
            raise DirectoryError(
                f"The certificate of {url.host} is not trusted: {problem.verify_message}. "
                "Check its name, and the certificates of the directory's settings.", str(problem),
            ) from problem  # fmt: skip
        except OSError as problem:
            sock.close()
            raise DirectoryError(f"The server {url.host} does not speak TLS with us.", str(problem)) from problem
        self._socket = secure
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        return secure

    def _request(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> bytes:
        url = self._place.url
        data = b"" if body is None else json.dumps(body).encode()
        named = {"Host": url.origin.partition("://")[2], "Accept": "application/json", **headers}
        if body is not None:
            named |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
        request = h11.Request(method=method, target=url.path + path, headers=list(named.items()))
        parts = (request, h11.Data(data), h11.EndOfMessage()) if data else (request, h11.EndOfMessage())
        return b"".join(self._http.send(part) or b"" for part in parts)

    def _answer(self, sock: socket.socket, path: str) -> Answer:
        head: h11.Response | None = None
        pieces, size = bytearray(), 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                sock.settimeout(self.deadline.left())
                read = sock.recv(65536)
                if not read and not size:
                    raise _Closed("The directory's server closed the connection.")
                size += len(read)
                if size > MAX_ANSWER + MAX_HEAD:
                    raise NotWhole(
                        "The directory's server answers with more than can be read.", f"{path}: {size} bytes"
                    )
                self._http.receive_data(read)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                pieces += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                break
            elif not isinstance(event, h11.InformationalResponse):
                raise ValueError("the answer is not whole")
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self.close()
        found = {bytes(name).decode("ascii"): bytes(value).decode("latin-1") for name, value in head.headers}
        return Answer(int(head.status_code), found, json.loads(pieces) if pieces.strip() else None)


class _Closed(DirectoryError):
    """The server closed the connection before it said a word."""


def _broken(problem: Exception) -> DirectoryError:
    return DirectoryError("The directory's server answers with an error, or not at all.", str(problem)[:300])
