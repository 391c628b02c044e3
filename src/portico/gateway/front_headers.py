"""What the front lets through of a request and a response, and what it refuses (RFC 9110, section 7.6; RFC 9112, section 6). Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Headers = Sequence[tuple[bytes, bytes]]  # names in lower case, as h11 gives them

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split()
)
FORWARDED = frozenset((b"forwarded", b"x-real-ip", b"x-client-ip", b"true-client-ip"))
# The gateway sees no cookies and no credentials: its doors take tickets only.
NOT_FOR_THE_GATEWAY = frozenset((b"cookie", b"authorization", b"content-length", b"transfer-encoding"))
WEBSOCKET = frozenset((b"connection", b"upgrade"))
API_PATHS = ("/api/", "/agent/", "/gateway/", "/pcoip-broker/")


class BadRequest(Exception):
    """The request is not one that we pass on. `status` is the HTTP status to answer; the message is for the client."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, and by which name of ours."""

    address: str
    host: bytes


def check(method: bytes, target: bytes, headers: Headers) -> None:
    """Refuse what two servers could read in two ways. Raises BadRequest."""
    names = [name for name, _ in headers]
    if b"content-length" in names and b"transfer-encoding" in names:
        raise BadRequest(400, "The request gives its length in two ways.")
    if names.count(b"content-length") > 1 or names.count(b"transfer-encoding") > 1 or names.count(b"host") > 1:
        raise BadRequest(400, "The request repeats a header that may stand only once.")
    if method == b"CONNECT" or not target.startswith(b"/") or target.startswith(b"//"):
        raise BadRequest(400, "The request asks for something else than a path on this server.")
    if any(byte <= 0x20 or byte >= 0x7F for byte in target):
        raise BadRequest(400, "The path holds characters that must be escaped.")


def is_gateway(target: bytes) -> bool:
    """Whether this path is behind the gateway's doors."""
    return target.partition(b"?")[0].startswith(b"/gw/")


def is_upgrade(method: bytes, headers: Headers) -> bool:
    """Whether this is a WebSocket upgrade without a body (RFC 6455, section 4.1)."""
    values = dict(headers)
    has_body = values.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in values
    asks = b"upgrade" in tokens(values.get(b"connection", b""))
    return method == b"GET" and asks and values.get(b"upgrade", b"").lower() == b"websocket" and not has_body


def is_rdgateway(target: bytes) -> bool:
    """Whether this is the door for RDP clients of their own ([MS-TSGU])."""
    return target.partition(b"?")[0].rstrip(b"/").lower() == b"/remotedesktopgateway"


def is_rdgateway_upgrade(method: bytes, headers: Headers) -> bool:
    """Whether such a client asks for a WebSocket; its method is not GET."""
    return method == b"RDG_OUT_DATA" and is_upgrade(b"GET", headers)


def to_gateway(headers: Headers, client: Client) -> list[tuple[bytes, bytes]]:
    """Return the headers of an upgrade for the gateway: without cookies and credentials."""
    kept = [(name, value) for name, value in _end_to_end(headers) if name not in NOT_FOR_THE_GATEWAY]
    return [*kept, (b"connection", b"Upgrade"), (b"upgrade", b"websocket"), *_forwarded(client)]


def to_broker(headers: Headers, client: Client) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request for the broker, who learns from us alone who asks."""
    values = dict(headers)
    kept = [(name, value) for name, value in _end_to_end(headers) if name != b"expect"]
    if b"transfer-encoding" in values:
        kept.append((b"transfer-encoding", b"chunked"))
    return [*kept, *_forwarded(client)]


def to_client(headers: Headers, hsts: bool) -> list[tuple[bytes, bytes]]:
    """Return the headers of the broker's response for the client."""
    kept = [(name, value) for name, value in _end_to_end(headers) if name != b"server"]
    if hsts and not any(name == b"strict-transport-security" for name, _ in kept):
        kept.append((b"strict-transport-security", b"max-age=31536000"))
    return kept


def wants_hsts(public_url: str) -> bool:
    """Whether browsers may remember that this name speaks only HTTPS: never for localhost, where other programs live too."""
    host = (urlsplit(public_url).hostname or "").rstrip(".")
    return not (host == "localhost" or host.endswith(".localhost") or host.startswith("127.") or host == "::1")


def wants_page(target: bytes, headers: Headers) -> bool:
    """Whether a person is waiting, who is better served with a page than with JSON."""
    path = target.partition(b"?")[0].decode("latin-1")
    return not path.startswith(API_PATHS) and b"text/html" in dict(headers).get(b"accept", b"")


def tokens(value: bytes) -> set[bytes]:
    """Return the comma-separated words of a header, in lower case."""
    return {word.strip().lower() for word in value.split(b",")}


def _end_to_end(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    """Leave out what belongs to one connection, what `Connection` names, and every claim about who asks."""
    named: set[bytes] = set()
    for name, value in headers:
        if name == b"connection":
            named |= tokens(value)
    for name, value in headers:
        # Length and host are never hop-by-hop, whatever a request claims: dropping them would change its meaning.
        dropped = name in HOP_BY_HOP or (name in named and name not in (b"content-length", b"host", b"cookie"))
        if not dropped and name not in FORWARDED and not name.startswith(b"x-forwarded-"):
            yield name, value


def _forwarded(client: Client) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-forwarded-for", client.address.encode("ascii", "replace")),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", client.host),
    ]
