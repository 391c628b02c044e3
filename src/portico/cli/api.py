"""A thin client of Portico's REST interface for the command line. Standard library only."""

import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

from portico.errors import Conflict, Denied, Invalid, NotFound, PorticoError, Unauthenticated, Unavailable

ANSWER_LIMIT = 64 * 1024 * 1024  # bytes
SECONDS = 60  # that a request may take
PAGE = 500
POLL_SECONDS = 0.5
_OTHER_NAME = (62, 64)  # OpenSSL: X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_KINDS: Mapping[int, type[PorticoError]] = {401: Unauthenticated, 403: Denied, 404: NotFound, 409: Conflict}
_LOG_IN = "Log in with `portico login`, or set PORTICO_TOKEN."


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, and by what it is known: the system's authorities, or one CA in PEM form."""

    url: str
    ca_pem: str = ""


class Client:
    """Requests to one broker. Each is bounded in time; trouble is an exception of portico.errors with the broker's sentence."""

    def __init__(self, address: Address, token: str = "") -> None:
        parts = urlsplit(address.url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise Invalid(f"{address.url} is no address of a broker. Give one such as https://portico.example.")
        if parts.scheme == "http" and not _is_here(parts.hostname):
            raise Invalid(f"{address.url} is not protected, and your token would be read on its way. Use https.")
        self._host, self._port, self._plain = parts.hostname, parts.port, parts.scheme == "http"
        self._token, self.url = token, address.url.rstrip("/")
        self._trust = None if self._plain else _trust(address.ca_pem)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """GET one thing."""
        return self.call("GET", f"{path}?{urlencode(query)}" if query else path)

    def items(self, noun: str, query: Mapping[str, str], limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Read the items of a noun, page by page, at most `limit` of them."""
        left, cursor = limit, ""
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self.get(noun, {**query, "limit": str(size)} | ({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            cursor = page.get("next") or ""
            left = None if left is None else left - len(page["items"])
            if not cursor:
                return

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask for anything below /api/v1. Raises the exception that fits the answer, with the broker's own sentence."""
        headers = {"Idempotency-Key": str(uuid4())} if method == "POST" else {}
        status, raw = self.raw(method, f"/api/v1/{path}", body, headers)
        try:
            answer = json.loads(raw) if raw else None
        except ValueError:
            raise PorticoError(
                f"{self.url} answered with something that is not JSON ({status}). Is it Portico?"
            ) from None
        if status < 400:
            return answer
        raise _trouble(status, answer if isinstance(answer, dict) else {})

    def raw(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send one request and return status and body. Raises Unavailable when nothing answers."""
        sent = {"Accept": "application/json", **(headers or {})}
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        connection = self._connection()
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, sent)
            answer = connection.getresponse()
            return answer.status, answer.read(ANSWER_LIMIT)
        except ssl.SSLCertVerificationError as problem:
            remedy = "Give its CA with --ca FILE, or its fingerprint with `portico login --ca-fingerprint`."
            if problem.verify_code in _OTHER_NAME:
                remedy = "It is for another name: use the address that users know the broker by."
            raise Unavailable(f"The certificate of {self.url} is not trusted. {remedy}", str(problem)) from problem
        except (OSError, http.client.HTTPException) as problem:
            remedy = "Look whether the broker runs, and whether PORTICO_URL is right."
            raise Unavailable(f"{self.url} does not answer. {remedy}", str(problem)) from problem
        finally:
            connection.close()

    @property
    def trust(self) -> ssl.SSLContext | None:
        """What the broker's certificate is checked by; None where nothing is encrypted, on this machine."""
        return self._trust

    def _connection(self) -> http.client.HTTPConnection:
        if self._trust is None:
            return http.client.HTTPConnection(self._host, self._port or 80, timeout=SECONDS)
        return http.client.HTTPSConnection(self._host, self._port or 443, timeout=SECONDS, context=self._trust)

    def wait(self, job_id: str, seconds: float) -> dict[str, Any]:
        """Wait until a job is over, and return it. Raises Conflict when it failed, Unavailable when it takes longer."""
        until = time.monotonic() + seconds
        while True:
            job: dict[str, Any] = self.get(f"jobs/{quote(job_id)}")
            if job["state"] == "done":
                return job
            if job["state"] in ("failed", "cancelled"):
                raise Conflict(f"The job has {job['state']}: {job.get('error') or 'nobody said why'}")
            if time.monotonic() > until:
                raise Unavailable(f"The job {job_id} goes on. `portico job show {job_id}` tells how it stands.")
            time.sleep(POLL_SECONDS)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _trust(ca_pem: str) -> ssl.SSLContext:
    if not ca_pem:
        return ssl.create_default_context()
    try:
        # The name is checked as well: a deployment's CA also signs for its agents and gateways.
        return ssl.create_default_context(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as problem:
        raise Invalid("The file of the CA holds no certificate in PEM form.", detail=str(problem)) from problem


def _trouble(status: int, problem: Mapping[str, Any]) -> PorticoError:
    sentence = str(problem.get("detail") or problem.get("title") or f"The broker answered with status {status}.")
    fields = {str(one.get("field")): str(one.get("detail")) for one in problem.get("errors") or ()}
    remedy = (problem.get("reason") or {}).get("remedy")
    if remedy and remedy not in sentence:
        sentence = f"{sentence} {remedy}"
    if status == 401:
        return Unauthenticated(f"{sentence} {_LOG_IN}")
    if status in (400, 422):
        return Invalid(sentence, fields)
    if status in (429, 503):
        return Unavailable(sentence)
    return _KINDS.get(status, PorticoError)(sentence)


def pinned(url: str, fingerprint: str) -> str:
    """Return the PEM of the deployment's CA, which the broker hands out itself. Raises Denied when it is another one."""
    client = Client(Address(url))
    if not client._plain:
        unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE  # what comes is compared with the fingerprint before it is used
        client._trust = unverified
    status, raw = client.raw("GET", "/gateway/v1/ca")
    pem = raw.decode("ascii", "replace")
    if status != 200 or "BEGIN CERTIFICATE" not in pem:
        raise Unavailable("The broker does not hand out its CA certificate.", detail=f"status {status}")
    encoded = pem.split("-----BEGIN CERTIFICATE-----")[1].split("-----END CERTIFICATE-----")[0]
    found = hashlib.sha256(base64.b64decode("".join(encoded.split()))).hexdigest()
    if not hmac.compare_digest(found, fingerprint.replace(":", "").lower()):
        raise Denied(
            "The broker's CA is not the one with this fingerprint. Compare it on the broker's host.", detail=found
        )
    return pem
