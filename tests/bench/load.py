"""A client that costs little: connections kept open, requests prepared as bytes, only the status and the cookie of answers read."""

import asyncio
from collections.abc import Sequence
from time import monotonic

AT_ONCE = 16
SECONDS = 30  # for any one answer


def post(path: str, form: str, origin: str) -> bytes:
    """Return the bytes of a form that a browser sends."""
    head = f"POST {path} HTTP/1.1\r\nHost: portico.test\r\nOrigin: {origin}\r\nAccept: text/html\r\nAccept-Language: en\r\n"
    head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n"
    return (head + form).encode()


def get(path: str, cookie: str = "") -> bytes:
    """Return the bytes of a page that a browser asks for."""
    sent = f"Cookie: {cookie}\r\n" if cookie else ""
    return f"GET {path} HTTP/1.1\r\nHost: portico.test\r\nAccept-Language: en\r\n{sent}\r\n".encode()


def run(port: int, requests: Sequence[bytes], expected: int, at_once: int = AT_ONCE) -> tuple[float, list[str]]:
    """Send all requests, so many at once; returns the seconds it took and the cookies that were set. Raises on any other status."""
    return asyncio.run(_run(port, list(requests), expected, at_once))


async def _run(port: int, requests: list[bytes], expected: int, at_once: int) -> tuple[float, list[str]]:
    cookies: list[str] = []
    requests.reverse()
    began = monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(_worker(port, requests, expected, cookies))
    return monotonic() - began, cookies


async def _worker(port: int, requests: list[bytes], expected: int, cookies: list[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while requests:
        writer.write(requests.pop())
        async with asyncio.timeout(SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            await _body(reader, head)
        if int(head[9:12]) != expected:
            raise RuntimeError(f"answered with {head[:500]!r}")
        _, found, rest = head.partition(b"set-cookie: ")
        if found:
            cookies.append(rest.split(b";")[0].decode())
    writer.close()
    await writer.wait_closed()


async def _body(reader: asyncio.StreamReader, head: bytes) -> None:
    _, announced, rest = head.lower().partition(b"content-length:")
    if announced:
        await reader.readexactly(int(rest.split(b"\r\n")[0]))
        return
    while int((await reader.readline()).strip() or b"0", 16):  # chunked (RFC 9112, section 7.1)
        await reader.readuntil(b"\r\n")
    await reader.readline()
