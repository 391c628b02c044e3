"""Reach: the one way to every address that an administrator types, or that a service which they named answers with.

A URL is read strictly, its host resolved, each address checked, and the connection made to that very address: what a name
says a second later changes nothing. TLS still verifies the name. Redirects are not followed. An answer's time and size are
bounded. Link-local addresses, where clouds keep the credentials of machines, are refused whatever the configuration says.
"""

import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError

from portico.errors import Invalid

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0  # between two pieces of an answer
ANSWER_SECONDS = 300.0  # for a whole answer, however slowly it drips
ANSWER_BYTES = 256 * 1024 * 1024
RESOLVE_SECONDS = 10.0
ADDRESSES_TRIED = 4

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str], Sequence[str]]
_USUAL = {"https": 443, "http": 80}

_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32", "192.0.0.192/32",  # metadata services
        "0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8", "240.0.0.0/4",
    )
)  # fmt: skip
_LOOPBACK = tuple(ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128"))
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|\d+)(?:\.(?:0x[0-9a-f]*|\d*))*\.?")


@dataclass(frozen=True, slots=True)
class Url:
    """An address of the form http(s)://host[:port][/path], its parts checked. `host` is without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """The scheme, host and port as a URL without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" if self.port == _USUAL[self.scheme] else f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Reach:
    """Which addresses may be reached: public ones, private networks where `private` says so, and the networks in `allow`.

    `field` is the name of the form's field that an address came from: an error names it.
    """

    allow: tuple[str, ...] = ()
    private: bool = True
    field: str = "url"


def read_url(url: str, field: str = "url") -> Url:
    """Read a URL that somebody typed. Raises Invalid naming the field and the remedy."""
    if any(letter.isspace() or not letter.isprintable() or letter == "\\" for letter in url.strip()) or not url.strip():
        raise _wrong(field, "Give an address of the form https://host:port/path, without spaces.")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as problem:
        raise _wrong(field, "The host or the port of this address cannot be read.") from problem
    if parts.scheme not in ("http", "https"):
        raise _wrong(field, "Begin the address with https:// or http://.")
    if "@" in parts.netloc:
        raise _wrong(field, "Take the user name and the password out of the address; they have fields of their own.")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise _wrong(field, "Take what follows the ? or # out of the address.")
    if port == 0 or parts.netloc.endswith(":"):
        raise _wrong(field, "Give a port between 1 and 65535, or none.")
    return Url(parts.scheme, read_host(parts.hostname or "", field), port or _USUAL[parts.scheme], parts.path)


def read_host(text: str, field: str = "url") -> str:
    """Read a host name or an address, in ASCII and small letters. Raises Invalid naming the field."""
    try:
        host = text if ":" in text else text.encode("idna").decode("ascii").lower()
    except UnicodeError as problem:
        raise _wrong(field, "This is not the name of a host.") from problem
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None:
        if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
            raise _wrong(field, "Leave out the zone (%…) of the IPv6 address.")
        return str(address)
    if _NUMBERS.fullmatch(host):
        raise _wrong(field, "Write an IPv4 address as four decimal numbers, such as 203.0.113.7.")
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise _wrong(field, "Give the name of a host or its IP address.")
    return host


def why_not(address: IPAddress, reach: Reach) -> str:
    """Return why an address may not be reached, or "" when it may."""
    inner = _inner(address)
    if _in(inner, _NEVER) or _in(address, _NEVER) or inner.is_multicast:
        return "it is never reached: such addresses belong to a link, to everyone, or to a cloud's metadata service"
    if _in(inner, _networks(reach.allow)) or _in(address, _networks(reach.allow)):
        return ""
    if _in(inner, _LOOPBACK):
        return "it is this machine itself; egress_allow in portico.toml can name its network"
    if not reach.private and _in(inner, _PRIVATE):
        return "it is in a private network; egress_allow in portico.toml can name its network"
    return ""


def check(url: str, reach: Reach, resolve: Resolve | None = None) -> tuple[Url, tuple[str, ...]]:
    """Read a URL and return it with the addresses that may be connected to. Raises Invalid naming the field and the remedy."""
    parts = read_url(url, reach.field)
    return parts, addresses(parts.host, reach, resolve)


def addresses(host: str, reach: Reach, resolve: Resolve | None = None) -> tuple[str, ...]:
    """Resolve a host and return the addresses that may be reached. Raises Invalid; OSError when it has no address."""
    try:
        found: Sequence[str] = (str(ipaddress.ip_address(host)),)
    except ValueError:
        found = (resolve or resolve_host)(host)
    why = ""
    good = []
    for text in dict.fromkeys(found):
        no = why_not(ipaddress.ip_address(text.partition("%")[0]), reach)
        if no:
            why = why or f"Portico does not connect to {host} ({text}): {no}."
        else:
            good.append(text)
    if not good:
        raise _wrong(reach.field, why or f"{host} has no address.")
    return tuple(good[:ADDRESSES_TRIED])


def resolve_host(host: str) -> Sequence[str]:
    """Ask the system for a host's addresses. Raises OSError, also when it takes longer than RESOLVE_SECONDS."""
    answer: list[Any] = []

    def ask() -> None:
        try:
            answer.append([entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)])
        except (OSError, UnicodeError) as problem:
            answer.append(problem)

    # A thread of its own: the system's resolver knows no deadline.
    asking = threading.Thread(target=ask, name="resolve", daemon=True)
    asking.start()
    asking.join(RESOLVE_SECONDS)
    if not answer:
        raise socket.gaierror(socket.EAI_AGAIN, f"no answer about {host} within {RESOLVE_SECONDS:.0f} s")
    if isinstance(answer[0], Exception):
        raise socket.gaierror(socket.EAI_NONAME, str(answer[0])) from answer[0]
    return [str(text) for text in answer[0]]


def http_session(
    reach: Reach, ca_pem: str = "", resolve: Resolve | None = None, most: int = ANSWER_BYTES
) -> requests.Session:
    """Build a session whose every connection is checked, and which verifies by `ca_pem`, else by the system's authorities.

    An answer has at most `most` bytes.
    The environment's proxies and .netrc do not count. Redirects are followed by nobody. Raises Invalid for a PEM text that
    holds no certificate.
    """
    session = _Straight()
    session.trust_env = False
    adapter = _Checked(reach, tls_context(ca_pem), resolve, most)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def tls_context(ca_pem: str) -> ssl.SSLContext:
    """Return how to verify servers: by `ca_pem` alone, else by the system's authorities. Raises Invalid."""
    if not ca_pem.strip():
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        return context
    try:
        return ssl.create_default_context(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as problem:
        raise _wrong("ca_certificates", "Paste certificates in PEM form, BEGIN and END lines included.") from problem


class _Straight(requests.Session):
    """Takes a redirect for an answer like any other."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class _Checked(HTTPAdapter):
    """Connects to checked addresses only, verifies by one TLS context, and bounds every answer."""

    def __init__(self, reach: Reach, tls: ssl.SSLContext, resolve: Resolve | None, most: int) -> None:
        self._reach, self._tls, self._resolve, self._most = reach, tls, resolve, most
        super().__init__(pool_connections=16, pool_maxsize=16)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._tls, **more)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _pool(HTTPConnectionPool, HTTPConnection, self._reach, self._resolve),
            "https": _pool(HTTPSConnectionPool, HTTPSConnection, self._reach, self._resolve),
        }

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"  # by the context alone; there is no way to switch it off

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        wanted = kwargs.get("timeout")
        read = wanted if isinstance(wanted, int | float) else READ_SECONDS
        kwargs.update(stream=True, proxies={}, timeout=wanted if isinstance(wanted, tuple) else (CONNECT_SECONDS, read))
        until = time.monotonic() + ANSWER_SECONDS
        response = super().send(request, *args, **kwargs)
        pieces, size = [], 0
        for piece in response.iter_content(65536):
            size += len(piece)
            pieces.append(piece)
            if size > self._most or time.monotonic() > until:
                response.close()
                raise requests.exceptions.ReadTimeout(f"the answer is too long or too slow ({size} bytes)")
        response._content = b"".join(pieces)
        return response


def _pool(pool: type, connection: type, reach: Reach, resolve: Resolve | None) -> type:
    """Derive the classes whose sockets go to checked addresses; the host stays the name for TLS and for the Host header."""

    def connect(self: Any) -> socket.socket:
        try:
            found = addresses(self._dns_host, reach, resolve)
        except OSError as problem:
            raise NameResolutionError(self.host, self, problem) from problem  # type: ignore[arg-type]
        trouble: OSError | None = None
        for address in found:
            try:
                return socket.create_connection((address, self.port), self.timeout)
            except OSError as problem:
                trouble = problem
        raise NewConnectionError(self, f"cannot connect to {self.host}: {trouble}") from trouble

    checked = type(f"Checked{connection.__name__}", (connection,), {"_new_conn": connect})
    return type(f"Checked{pool.__name__}", (pool,), {"ConnectionCls": checked})


def _inner(address: IPAddress) -> IPAddress:
    """Return the IPv4 address that an IPv6 one stands for: mapped, compatible, 6to4 or NAT64; else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    number = int(address)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (number >> 32 == 0 and number > 1):
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    return address


def _networks(texts: Iterable[str]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
    except ValueError as problem:
        raise Invalid(f"egress_allow names what is no network: {problem}", {"egress_allow": str(problem)}) from problem


def _in(address: IPAddress, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _wrong(field: str, sentence: str) -> Invalid:
    return Invalid(sentence, {field: sentence})
