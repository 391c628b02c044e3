"""TLS towards the deployment's own services: believed because of its CA, and the CA because of its fingerprint."""

import asyncio
import hashlib
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from portico.errors import Invalid, Unavailable
from portico.gateway import files

CA_PATH = "/gateway/v1/ca"
MAX_CA_BYTES = 64 * 1024


def fingerprint(pem: str) -> str:
    """Return the SHA-256 of a PEM certificate's DER in lower-case hex. Raises ValueError."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).hexdigest()


def normal(typed: str) -> str:
    """Return a fingerprint as people write it (colons, capitals) in the form that we compare."""
    return typed.replace(":", "").replace(" ", "").lower()


def context_for(ca: str) -> ssl.SSLContext:
    """Return a client context that trusts this CA (PEM) and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=ca)
    return context


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a server context for these PEM files. Raises Invalid naming them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as problem:
        raise Invalid(f"Cannot use the certificate {certificate} with the key {key}: {problem}") from problem
    return context


def split_urls(urls: str) -> tuple[tuple[str, int], ...]:
    """Return host and port of each broker of a comma-separated list. Raises Invalid for what is not an https:// URL."""
    found: list[tuple[str, int]] = []
    for url in filter(None, (part.strip() for part in urls.split(","))):
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 443
        except ValueError as problem:
            raise Invalid(f"broker_url: {url} is not a URL") from problem
        if parts.scheme != "https" or not host:
            raise Invalid(f"broker_url: {url} does not start with https:// and a host")
        found.append((host, port))
    if not found:
        raise Invalid("broker_url names no broker")
    return tuple(found)


class Trust:
    """The deployment's CA: read from its file, else fetched from a broker once and kept if its fingerprint is the configured one."""

    def __init__(self, expected: str, kept: Path) -> None:
        self._expected = normal(expected)
        self._kept = kept
        self._context: ssl.SSLContext | None = None
        if len(self._expected) != 64:
            raise Invalid(
                "ca_fingerprint must be the SHA-256 of the deployment's CA certificate, 64 hexadecimal digits"
            )

    async def context(self, brokers: Sequence[tuple[str, int]]) -> ssl.SSLContext:
        """Return the context that trusts the deployment's CA. Raises Unavailable if no broker has shown it yet."""
        if self._context is None:
            kept = files.read(self._kept)
            if kept is None or not self._is_it(kept):
                kept = await self._fetch(brokers)
                files.write(self._kept, kept)
            self._context = context_for(kept)
        return self._context

    def _is_it(self, pem: str) -> bool:
        try:
            return fingerprint(pem) == self._expected
        except ValueError:
            return False

    async def _fetch(self, brokers: Sequence[tuple[str, int]]) -> str:
        trouble = "no broker answers"
        for host, port in brokers:
            try:
                async with asyncio.timeout(5):
                    pem = await _get_unverified(host, port)
            except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as problem:
                trouble = f"{host}:{port}: {problem or type(problem).__name__}"
                continue
            if self._is_it(pem):
                return pem
            trouble = f"{host}:{port} shows a CA with another fingerprint than ca_fingerprint"
        raise Unavailable("The broker's CA certificate is not known yet.", trouble)


async def connect(
    brokers: Sequence[tuple[str, int]],
    context: ssl.SSLContext,
    seconds: float,
    prefer: Callable[[int], None] | None = None,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a TLS stream to the first broker that answers; each gets an equal share of the time left. Raises Unavailable."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    trouble = ""
    for index, (host, port) in enumerate(brokers):
        share = (end - loop.time()) / (len(brokers) - index)
        try:
            async with asyncio.timeout(share):
                streams = await asyncio.open_connection(host, port, ssl=context, limit=64 * 1024)
        except (OSError, TimeoutError) as problem:
            trouble = f"{host}:{port}: {problem or type(problem).__name__}"
            continue
        if prefer is not None:
            prefer(index)
        return streams
    raise Unavailable("No broker answers.", trouble)


async def _get_unverified(host: str, port: int) -> str:
    """Ask for the CA certificate without knowing whom: nothing secret is sent, and the answer is checked by fingerprint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        writer.write(f"GET {CA_PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode("ascii"))
        answer = await _read_bounded(reader, MAX_CA_BYTES)
    finally:
        writer.transport.abort()
    start, end = answer.find("-----BEGIN CERTIFICATE-----"), answer.find("-----END CERTIFICATE-----")
    if start < 0 or end < start:
        raise ValueError(f"no certificate at {CA_PATH}")
    return answer[start:end] + "-----END CERTIFICATE-----\n"


async def _read_bounded(reader: asyncio.StreamReader, limit: int) -> str:
    answer = bytearray()
    while len(answer) < limit and (data := await reader.read(limit - len(answer))):
        answer += data
    return answer.decode("latin-1")
