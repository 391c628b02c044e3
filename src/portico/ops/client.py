"""A small client of Portico's REST interface, pinned to the deployment's own CA. Standard library only."""

import base64
import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from time import sleep
from typing import Any
from urllib.parse import quote, urlsplit

from portico.errors import Denied, Invalid, PorticoError, Unavailable

ANSWER_LIMIT = 16 * 1024 * 1024  # bytes
SECONDS = 30


class Client:
    """Requests to one broker. Each takes at most `SECONDS`; trouble is an exception of portico.errors."""

    def __init__(self, url: str, trust: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._trust = parts.hostname or "", parts.port or 443, trust
        self._token = ""

    def login(self, username: str, password: str) -> Mapping[str, Any]:
        """Log in; later requests carry the token. Returns the answer."""
        answer: Mapping[str, Any] = self.post("login", {"username": username, "password": password})
        while "token" not in answer:  # a directory is slow
            sleep(float(answer["retry_after"]))
            answer = self.post("login/waiting", {"login": answer["login"]})
        self._token = str(answer["token"])
        return answer

    def get(self, path: str, **query: str) -> Any:
        """GET one thing."""
        text = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in query.items())
        return self._request("GET", f"{path}?{text}" if text else path)

    def items(self, noun: str, **query: str) -> Iterator[Mapping[str, Any]]:
        """Read all items of a noun, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            page = self.get(noun, **query, **({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            cursor = page.get("next") or None

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST: create a thing, or act on one."""
        return self._request("POST", path, body or {})

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change fields of an object and return it."""
        return self._request("PATCH", path, body)

    def delete(self, path: str) -> None:
        """DELETE one thing."""
        self._request("DELETE", path)

    def is_ready(self) -> bool:
        """Tell whether the broker says that it can serve."""
        try:
            return self._ask("GET", "/readyz", None)[0] == 200
        except Unavailable:
            return False

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        status, raw = self._ask(method, f"/api/v1/{path}", body)
        try:
            answer = json.loads(raw) if raw else None
        except ValueError:
            raise PorticoError(f"{method} {path} was answered with something that is not JSON ({status}).") from None
        if status < 400:
            return answer
        problem = answer if isinstance(answer, dict) else {}
        sentence = str(problem.get("detail") or problem.get("title") or f"status {status}")
        fields = problem.get("fields") or problem.get("errors")
        kind = {401: Denied, 403: Denied, 422: Invalid, 503: Unavailable}.get(status, PorticoError)
        raise kind(f"{method} {path}: {sentence}", detail=json.dumps(fields) if fields else "")

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=SECONDS, context=self._trust)
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(ANSWER_LIMIT)
        except (OSError, http.client.HTTPException) as problem:
            raise Unavailable(f"{self._host}:{self._port} does not answer.", detail=str(problem)) from problem
        finally:
            connection.close()


def pinned(url: str, fingerprint: str) -> ssl.SSLContext:
    """Return a TLS context that trusts only the CA with this SHA-256 fingerprint (hex), which the broker hands out itself.

    Raises Unavailable when the broker does not answer and Denied when its CA is another one.
    """
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE  # What comes is compared with the fingerprint before it is used.
    status, raw = Client(url, unverified)._ask("GET", "/gateway/v1/ca", None)
    pem = raw.decode("ascii", "replace")
    if status != 200 or "BEGIN CERTIFICATE" not in pem:
        raise Unavailable("The broker does not hand out its CA certificate yet.", detail=f"status {status}")
    encoded = pem.split("-----BEGIN CERTIFICATE-----")[1].split("-----END CERTIFICATE-----")[0]
    found = hashlib.sha256(base64.b64decode("".join(encoded.split()))).hexdigest()
    if not hmac.compare_digest(found, fingerprint.replace(":", "").lower()):
        raise Denied("The broker's CA is not the one that was expected.", detail=found)
    trusted = ssl.create_default_context(cadata=pem)
    trusted.check_hostname = False  # The CA signs for this deployment alone; the address is one we just chose.
    return trusted
