"""The way to the broker: JSON over HTTPS, trusting the one CA whose fingerprint the agent was given and nothing else."""

import hashlib
import http.client
import json
import socket
import ssl
from typing import Any, Dict, Optional, Tuple
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 20.0
_MOST_BYTES = 1 << 20


class BrokerAway(Exception):
    """The broker does not answer, or what answers is not the broker. Worth trying again."""


class Rejected(Exception):
    """The broker answered with an error; `status` is the HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__("the broker answered {}".format(status))
        self.status = status


class Broker:
    """A connection to the broker for one thread; kept open between calls."""

    def __init__(self, url: str, ca_fingerprint: str) -> None:
        parts = urlsplit(url)
        self._url = url
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._prefix = parts.path.rstrip("/")
        self._fingerprint = ca_fingerprint
        self._context: Optional[ssl.SSLContext] = None
        self._connection: Optional[http.client.HTTPSConnection] = None

    def call(
        self, method: str, path: str, body: Any = None, bearer: str = "", seconds: float = _TIMEOUT_SECONDS
    ) -> Any:
        """Send a request and return the answer's JSON. Raises BrokerAway, Rejected."""
        headers = {"Accept": "application/json"}
        content: Optional[bytes] = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode("utf-8")
        if bearer:
            headers["Authorization"] = "Bearer " + bearer
        try:
            if self._context is None:
                self._context = self._trust()
            status, answer = self._send((method, self._prefix + path, content, headers), seconds)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            self.close()
            raise BrokerAway("{}: {}".format(type(problem).__name__, problem)) from problem
        if status != 200:
            raise Rejected(status)
        try:
            return json.loads(answer.decode("utf-8"))
        except ValueError as problem:
            raise BrokerAway("the answer is not JSON") from problem

    def reach(self) -> None:
        """Try the way: that somebody answers, with the CA that we trust. Raises BrokerAway, Rejected."""
        try:
            self._context = self._trust()
            status, _ = self._send(("GET", self._prefix + "/agent/v1/ca", None, {}), _TIMEOUT_SECONDS)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            self.close()
            raise BrokerAway("{}: {}".format(type(problem).__name__, problem)) from problem
        if status != 200:
            raise Rejected(status)

    def leads_to(self, url: str, ca_fingerprint: str) -> bool:
        """Tell whether this is the way to a broker."""
        return (self._url, self._fingerprint) == (url, ca_fingerprint)

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, request: Tuple[str, str, Optional[bytes], Dict[str, str]], seconds: float) -> Tuple[int, bytes]:
        reused = self._connection is not None
        try:
            return self._exchange(request, seconds)
        except (http.client.BadStatusLine, ConnectionError, ssl.SSLEOFError):
            # A kept connection may have been closed by the other end meanwhile; all our requests may be sent twice.
            self.close()
            if not reused:
                raise
            return self._exchange(request, seconds)

    def _exchange(self, request: Tuple[str, str, Optional[bytes], Dict[str, str]], seconds: float) -> Tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=_TIMEOUT_SECONDS, context=self._context
            )
            self._connection.connect()
        if self._connection.sock is not None:
            self._connection.sock.settimeout(seconds)
        method, path, content, headers = request
        self._connection.request(method, path, body=content, headers=headers)
        return self._answer(self._connection)

    def _answer(self, connection: http.client.HTTPSConnection) -> Tuple[int, bytes]:
        response = connection.getresponse()
        answer = response.read(_MOST_BYTES + 1)
        if len(answer) > _MOST_BYTES:
            raise ValueError("the answer is too long")
        if response.will_close:
            self.close()
        return response.status, answer

    def _trust(self) -> ssl.SSLContext:
        # TLS shows us the broker's own certificate, not its CA's (before Python 3.13). So the CA's is fetched from whoever
        # answers, believed because of its fingerprint, and from then on the only root.
        unverified = ssl.create_default_context()
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS, context=unverified)
        try:
            connection.request("GET", self._prefix + "/agent/v1/ca")
            response = connection.getresponse()
            text = response.read(_MOST_BYTES).decode("ascii")
            if response.status != 200:
                raise ValueError("no CA certificate: status {}".format(response.status))
        finally:
            connection.close()
        authority = read_authority(text, self._fingerprint)
        if authority is None:
            raise ValueError("the CA certificate has another fingerprint than the one that we were given")
        return ssl.create_default_context(cadata=authority)


def read_authority(certificate: str, fingerprint: str) -> Optional[bytes]:
    """Return the DER form of a PEM certificate if it is the one that the fingerprint (SHA-256, hex) names, else None.

    Only this form may be trusted further: the text around it could mean something else to another reader.
    """
    try:
        der = ssl.PEM_cert_to_DER_cert(certificate.strip())
    except ValueError:
        return None
    return der if hashlib.sha256(der).hexdigest() == fingerprint else None


def own_address(url: str) -> str:
    """Return the address that we would reach the broker from; empty when there is no way to it."""
    parts = urlsplit(url)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((parts.hostname, parts.port or 443))  # sends nothing
            return str(probe.getsockname()[0])
    except OSError:
        return ""
