"""Around every request: who asks, one log line, what browsers must not do, and limits. Plain ASGI, so that streams stay streams."""

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portico import logs
from portico.web.problems import document

log = logs.get(__name__)

MAX_BODY = 1024 * 1024
MAX_ADDRESSES = 10_000
CSP = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"strict-transport-security", b"max-age=31536000"),
)
_QUIET = ("/static/", "/healthz", "/livez", "/readyz")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class ClientAddress:
    """Puts the client's real address into the scope: X-Forwarded-For counts only when a trusted proxy sent it."""

    def __init__(self, app: ASGIApp, trusted: Sequence[str] = ()) -> None:
        """Trust these addresses or networks."""
        self.app = app
        self._trusted = [ip_network(text, strict=False) for text in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find the first address, from the right, that is no proxy of ours."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            peer = scope["client"][0] if scope.get("client") else ""
            forwarded = headers.get("x-forwarded-for", "")
            scope.setdefault("state", {})["forwarded"] = bool(forwarded)
            if forwarded and self._is_trusted(peer):
                scope["client"] = (self._first_stranger(forwarded, peer), 0)
                if headers.get("x-forwarded-proto") in ("http", "https"):
                    scope["scheme"] = headers["x-forwarded-proto"]
        await self.app(scope, receive, send)

    def _first_stranger(self, forwarded: str, peer: str) -> str:
        address = peer
        for text in reversed(forwarded.split(",")):
            try:
                address = str(ip_address(text.strip()))
            except ValueError:
                break
            if not self._is_trusted(address):
                break
        return address

    def _is_trusted(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


class Canonical:
    """Gives each request an id, writes its one log line, and answers what nobody caught without telling how it broke."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request=request_id)
        begun, status = time.monotonic(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode("ascii"))]
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception:
            log.exception("request failed", method=scope["method"], path=scope["path"])
            if status == 0:
                sentence = (
                    "This did not work. Try again; if it happens again, give the request's id to an administrator."
                )
                await document(Request(scope), 500, "internal", sentence)(scope, receive, sent)
        finally:
            if not scope["path"].startswith(_QUIET):
                self._write(scope, status, begun)
            structlog.contextvars.unbind_contextvars("request")

    def _write(self, scope: Scope, status: int, begun: float) -> None:
        client = scope["client"][0] if scope.get("client") else ""
        duration = round((time.monotonic() - begun) * 1000, 1)
        log.info(
            "request done",
            method=scope["method"],
            path=scope["path"],
            status=status,
            client=client,
            milliseconds=duration,
        )


class SecurityHeaders:
    """Tells browsers what a page may do. A route relaxes the policy by `request.state.csp` or by its own header."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to whatever is answered."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"] = list(message["headers"])
                present = {name.lower() for name, _ in headers}
                policy = scope.get("state", {}).get("csp", CSP).encode("latin-1")
                wanted = [*_HEADERS, (b"content-security-policy", policy)]
                if not scope["path"].startswith("/static/"):
                    wanted.append((b"cache-control", b"no-store"))
                headers.extend(header for header in wanted if header[0] not in present)
            await send(message)

        await self.app(scope, receive, sent if scope["type"] == "http" else send)


class BodyLimit:
    """Refuses bodies above a limit, announced or not."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY) -> None:
        """Set the limit in bytes."""
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what comes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if not (announced.isascii() and announced.isdigit()) or len(announced) > 18 or int(announced) > self.limit:
            sentence = f"Send at most {self.limit} bytes."
            await document(Request(scope), 413, "http.413", sentence)(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                raise HTTPException(413)
            return message

        await self.app(scope, counted, send)


class PostLimit:
    """Limits POSTs that come without a credential, by client address (IPv6: by /64), in bounded memory."""

    def __init__(
        self, app: ASGIApp, burst: int = 100, per_second: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Allow `burst` at once and `per_second` on average. This host itself is not limited."""
        self.app = app
        self._burst, self._rate, self._clock = burst, per_second, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 429 when an address has used up its tries."""
        if scope["type"] == "http" and scope["method"] == "POST" and self._counts(scope):
            wait = self._wait(_crowd(scope["client"][0] if scope.get("client") else ""))
            if wait > 0:
                answer = document(
                    Request(scope), 429, "rate_limited", "Too many tries come from your address. Wait a little."
                )
                answer.headers["Retry-After"] = str(int(wait) + 1)
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _counts(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        local = False
        with suppress(ValueError):
            local = ip_address(scope["client"][0] if scope.get("client") else "").is_loopback
        if local and not scope.get("state", {}).get("forwarded"):
            return False
        open_door = scope["path"].endswith(("/login", "/enroll"))
        return open_door or not ("authorization" in headers or "cookie" in headers)

    def _wait(self, crowd: str) -> float:
        now = self._clock()
        left, at = self._buckets.pop(crowd, (float(self._burst), now))
        left = min(self._burst, left + (now - at) * self._rate)
        allowed = left >= 1
        self._buckets[crowd] = (left - 1 if allowed else left, now)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate


def _crowd(text: str) -> str:
    try:
        address: Any = ip_address(text)
    except ValueError:
        return text[:64]
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((int(address) >> 64 << 64, 64)))
    return str(address)
