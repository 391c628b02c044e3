"""LDAPv3 (RFC 4511) over a blocking socket with a deadline on every read: a server that is silent can hold nobody for longer.

The messages are sansldap's, which does no input or output itself, and for searches those of ldap_search; the bytes, the limits
and the waits are ours. Nothing here follows a referral: references are left out of what a search answers, since they would be
asked without credentials.
"""

import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

import sansldap
from sansldap.asn1 import ASN1Reader, ASN1Tag, ASN1Writer, TagClass

from portico.directories import ldap_search
from portico.directories.deadline import Deadline
from portico.directories.ldap_search import Wanted
from portico.directories.sockets import Find, connect
from portico.errors import DirectoryError

MAX_MESSAGE = 8 * 1024 * 1024
MAX_ENTRIES = 20_000  # of one search, however many pages it has
PAGE = 500
START_TLS = "1.3.6.1.4.1.1466.20037"
NOTICE_OF_DISCONNECTION = "1.3.6.1.4.1.1466.20036"
MODIFY_REQUEST, MODIFY_RESPONSE = 6, 7  # RFC 4511, section 4.6
PASSWORD_MODIFY = "1.3.6.1.4.1.4203.1.11.1"  # noqa: S105 - RFC 3062
PPOLICY = "1.3.6.1.4.1.42.2.27.8.5.1"  # draft-behera-ldap-password-policy
SUCCESS = 0
INVALID_CREDENTIALS = 49


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a directory. `tls`: "ldaps", "starttls" or "none" (for tests of refusals alone: no driver offers it)."""

    host: str
    port: int
    tls: str = "ldaps"


@dataclass(frozen=True, slots=True)
class Answer:
    """How an operation ended: RFC 4511's result code, the server's own text, and its controls by OID."""

    code: int
    text: str = ""
    controls: Mapping[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry that a search found. Attribute names are in small letters; values are bytes, since some are no text."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return an attribute's values as text; those that are none are left out."""
        found = []
        for value in self.attributes.get(name.lower(), ()):
            try:
                found.append(value.decode())
            except UnicodeDecodeError:
                continue
        return tuple(found)

    def text(self, name: str) -> str:
        """Return the first text of an attribute, "" without one."""
        return next(iter(self.texts(name)), "")


class Connection:
    """One connection to a server. After any DirectoryError it is closed and of no more use."""

    def __init__(self, sock: socket.socket, server: Server | None = None) -> None:
        """Take over a connected socket."""
        self._socket = sock
        self.server = server
        self._client = sansldap.LDAPClient()
        self._number = (
            0  # of what is written here. One request is under way at a time, so that the client's may be the same.
        )
        self._buffer = bytearray()  # read, and not yet looked at
        self.usable = True

    @classmethod
    def open(cls, server: Server, tls: ssl.SSLContext, find: Find, deadline: Deadline) -> "Connection":
        """Connect to a server, under TLS for its name; `find` says at which addresses it may be reached. Raises DirectoryError, Invalid."""
        try:
            sock = connect(server.host, server.port, find, deadline)
        except (OSError, TimeoutError) as problem:
            raise DirectoryError(f"The server {server.host} cannot be reached.", str(problem)) from problem
        try:
            sock.settimeout(deadline.left())
            if server.tls == "ldaps":
                sock = tls.wrap_socket(sock, server_hostname=server.host)
            made = cls(sock, server)
            if server.tls == "starttls":
                made._start_tls(tls, server.host, deadline)
            return made
        except ssl.SSLCertVerificationError as problem:
            sock.close()
            raise DirectoryError(
                f"The certificate of {server.host} is not trusted: {problem.verify_message}. "
                "Check its name, and the certificates of the directory's settings.", str(problem),
            ) from problem  # fmt: skip
        except (OSError, TimeoutError) as problem:
            sock.close()
            raise DirectoryError(f"The server {server.host} does not speak TLS with us.", str(problem)) from problem

    def bind(self, dn: str, password: str, deadline: Deadline, *, ppolicy: bool = False) -> Answer:
        """Bind simply (RFC 4513, section 5.1.3). An empty name or password would be an anonymous success, so neither is sent."""
        if not password or not dn:
            return Answer(INVALID_CREDENTIALS, "an empty name or password is never sent")
        controls = [sansldap.LDAPControl(PPOLICY, False, None)] if ppolicy else []
        self._client.state = (
            sansldap.SessionState.BEFORE_OPEN
        )  # a refused bind leaves the session bindable, RFC 4511 4.2.1
        self._client.bind_simple(dn, password, controls=controls)
        return self._answer(deadline)

    def search(
        self,
        base: str,
        where: sansldap.LDAPFilter,
        attributes: Sequence[str],
        deadline: Deadline,
        scope: str = "subtree",
        limit: int = MAX_ENTRIES,
    ) -> list[Entry]:
        """Return at most `limit` entries, page by page where they may be many. Raises DirectoryError."""
        found: list[Entry] = []
        page, cookie = (PAGE if scope == "subtree" and limit > PAGE else 0), b""
        while True:
            left = max(1, int(deadline.left()))
            wanted = Wanted(base, _SCOPES[scope], where, attributes, 0 if page else limit, left, page)
            self._number += 1
            self._write(ldap_search.request(self._number, wanted, cookie), deadline)
            cookie = self._collect(found, limit, deadline)
            if not cookie:
                return found

    def _collect(self, found: list[Entry], limit: int, deadline: Deadline) -> bytes:
        """Read one page into `found`; returns the cookie of the next one."""
        while True:
            frame = self._frame(deadline)
            try:
                message = ldap_search.read(frame)
                if message.number != self._number:
                    raise ValueError("an answer to something else")
                if message.kind == ldap_search.ENTRY:
                    if len(found) >= MAX_ENTRIES:
                        raise ValueError(f"more than {MAX_ENTRIES} entries")
                    if len(found) < limit:  # some servers send more than they are asked for
                        found.append(Entry(*ldap_search.entry(message)))
                    continue
                if message.kind == ldap_search.DONE:
                    code, text, cookie = ldap_search.done(message)
                elif message.kind in (ldap_search.REFERENCE, ldap_search.INTERMEDIATE):
                    continue
                else:
                    raise ValueError(f"an answer of the wrong kind: 0x{message.kind:02x}")
            except ValueError as problem:
                raise self._broken(str(problem)) from problem
            return self._ended(code, text, cookie, len(found) >= limit)

    def _ended(self, code: int, text: str, cookie: bytes, enough: bool) -> bytes:
        """Return the cookie of the next page after a search that went well. Raises DirectoryError."""
        if code == _NO_SUCH_OBJECT or (code == _SIZE_LIMIT and enough):
            return b""
        if code == _SIZE_LIMIT:
            raise DirectoryError(
                "The directory answers with fewer entries than there are. Let it give the service account as many as it asks for.",
                f"size limit: {text}",
            )
        if code not in (SUCCESS, _REFERRAL):
            raise self._broken(f"search: {code} {text}", keep=True)
        return cookie

    def modify(self, dn: str, changes: Sequence[tuple[str, str, bytes]], deadline: Deadline) -> Answer:
        """Change an entry: (operation "add" or "delete", attribute, value) each. RFC 4511, section 4.6."""
        self._number += 1
        writer = ASN1Writer()
        with writer.push_sequence() as message:
            message.write_integer(self._number)
            with message.push_sequence(ASN1Tag(TagClass.APPLICATION, MODIFY_REQUEST, True)) as request:
                request.write_octet_string(dn.encode())
                with request.push_sequence_of() as listed:
                    for operation, attribute, value in changes:
                        with listed.push_sequence() as change:
                            change.write_enumerated(_OPERATIONS[operation])
                            with change.push_sequence() as what:
                                what.write_octet_string(attribute.encode())
                                with what.push_set_of() as values:
                                    values.write_octet_string(value)
        self._write(bytes(writer.get_data()), deadline)
        return self._modified(deadline)

    def extended(self, name: str, value: bytes | None, deadline: Deadline) -> Answer:
        """Send an extended request. RFC 4511, section 4.12."""
        self._client.extended_request(name, value)
        return self._answer(deadline)

    def close(self) -> None:
        """Leave, without waiting for anything."""
        self.usable = False
        self._socket.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _start_tls(self, tls: ssl.SSLContext, host: str, deadline: Deadline) -> None:
        answer = self.extended(START_TLS, None, deadline)
        if answer.code != SUCCESS:
            raise self._broken(f"StartTLS refused: {answer.code} {answer.text}")
        if self._buffer:  # what came in clear behind the answer would count as said under TLS
            raise self._broken("more than an answer to StartTLS")
        self._socket.settimeout(deadline.left())
        self._socket = tls.wrap_socket(self._socket, server_hostname=host)

    def _answer(self, deadline: Deadline) -> Answer:
        self._send(deadline)
        message = self._receive(deadline)
        result = getattr(message, "result", None)
        if result is None:
            raise self._broken(f"an answer of the wrong kind: {type(message).__name__}")
        controls = {one.control_type: bytes(one.value or b"") for one in message.controls}
        return Answer(int(result.result_code), result.diagnostics_message, controls)

    def _modified(self, deadline: Deadline) -> Answer:
        try:
            message = ASN1Reader(self._frame(deadline)).read_sequence()
            number = message.read_integer()
            header = message.peek_header()
            if number != self._number or header.tag.tag_number != MODIFY_RESPONSE:
                raise ValueError("an answer to something else")
            result = message.read_sequence(header=header)
            code = int(result.read_enumerated(sansldap.LDAPResultCode))
            result.read_octet_string()
            return Answer(code, bytes(result.read_octet_string()).decode("utf-8", "replace"))
        except DirectoryError:
            raise
        except Exception as problem:
            raise self._broken(f"an answer that cannot be read: {problem}") from problem

    def _send(self, deadline: Deadline) -> None:
        self._write(self._client.data_to_send(), deadline)

    def _write(self, data: bytes, deadline: Deadline) -> None:
        try:
            self._socket.settimeout(deadline.left())
            self._socket.sendall(data)
        except (OSError, TimeoutError) as problem:
            raise self._broken(str(problem)) from problem

    def _receive(self, deadline: Deadline) -> sansldap.LDAPMessage:
        try:
            messages = self._client.receive(self._frame(deadline))
        except DirectoryError:
            raise
        except (
            Exception
        ) as problem:  # besides its own errors, the parser raises whatever it trips over, such as IndexError
            raise self._broken(str(problem)) from problem
        if len(messages) != 1:
            raise self._broken("an answer that cannot be read")
        return messages[0]

    def _frame(self, deadline: Deadline) -> bytes:
        """Read one message: a BER sequence of a definite length, X.690 section 8.1.3."""
        head = self._exactly(2, deadline)
        if head[0] != _SEQUENCE:
            raise self._broken("this is not LDAP")
        length, more = head[1], b""
        if length & 0x80:
            if not 1 <= length & 0x7F <= _LENGTH_BYTES:
                raise self._broken("a message of no definite length")
            more = self._exactly(length & 0x7F, deadline)
            length = int.from_bytes(more, "big")
        if length > MAX_MESSAGE:
            raise self._broken(f"a message of {length} bytes")
        return head + more + self._exactly(length, deadline)

    def _exactly(self, wanted: int, deadline: Deadline) -> bytes:
        buffer = self._buffer
        try:
            while len(buffer) < wanted:
                self._socket.settimeout(deadline.left())
                piece = self._socket.recv(65536)
                if not piece:
                    raise ConnectionError("the server closed the connection")
                buffer += piece
        except (OSError, TimeoutError) as problem:
            raise self._broken(str(problem)) from problem
        found = bytes(buffer[:wanted])
        del buffer[:wanted]
        return found

    def _broken(self, why: str, *, keep: bool = False) -> DirectoryError:
        if not keep:
            self.close()
        return DirectoryError("The directory's server answers with an error, or not at all.", why)


_SEQUENCE = 0x30
_LENGTH_BYTES = 4
_NO_SUCH_OBJECT, _REFERRAL, _SIZE_LIMIT = 32, 10, 4
_OPERATIONS = {"add": 0, "delete": 1}
_SCOPES = {"base": 0, "subtree": 2}
