"""The few answers that the front gives itself: the broker is away, the request is bad, plain HTTP on the TLS port."""

import json
from http import HTTPStatus

RETRY_SECONDS = 5

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="{retry}">
<title>Back in a moment</title>
<style>
  :root {{ --ground: #f6f7f9; --card: #fff; --line: #d9dde3; --text: #1b2027; --soft: #56606d; --accent: #1f5fbf; }}
  @media (prefers-color-scheme: dark) {{
    :root {{ --ground: #12151a; --card: #1b2027; --line: #333b46; --text: #e8ebef; --soft: #a3adb9; --accent: #7fb0f5; }}
  }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--ground); color: var(--text);
    font: 16px/1.5 system-ui, sans-serif; }}
  main {{ max-width: 28rem; margin: 16px; padding: 32px; background: var(--card); border: 1px solid var(--line); border-radius: 12px; }}
  h1 {{ margin: 0 0 8px; font-size: 20px; }}
  p {{ margin: 0 0 16px; color: var(--soft); }}
  a {{ color: var(--accent); display: inline-block; padding: 4px 0; }}
  a:focus-visible {{ outline: 2px solid var(--accent); outline-offset: 2px; }}
</style>
<main>
  <h1>Back in a moment</h1>
  <p>The service is starting or being updated. Open desktops go on running. This page tries again by itself every {retry} seconds.</p>
  <a href="">Try now</a>
</main>
</html>
"""

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]  # status, headers, body


def unavailable(as_page: bool) -> Answer:
    """Answer that no broker is there: a page that tries again for people, problem+json (RFC 9457) for programs."""
    retry = (b"retry-after", str(RETRY_SECONDS).encode())
    if as_page:
        policy = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'")
        return _answer(503, b"text/html; charset=utf-8", _PAGE.format(retry=RETRY_SECONDS).encode(), retry, policy)
    return problem(503, "No broker answers. Try again in a few seconds.", "unavailable", retry)


def problem(status: int, sentence: str, code: str = "invalid", *more: tuple[bytes, bytes]) -> Answer:
    """Answer with problem+json."""
    fields = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": sentence,
        "code": code,
    }
    return _answer(status, b"application/problem+json", json.dumps(fields).encode(), *more)


def to_https(head: bytes, public_url: str) -> bytes:
    """Answer a plain HTTP request on the TLS port: the same path over HTTPS, or 400 for what is no request."""
    line = head.partition(b"\r\n")[0].split(b" ")
    target = line[1] if len(line) == 3 and line[2].startswith(b"HTTP/1.") else b""
    plain = target.startswith(b"/") and not target.startswith(b"//") and all(0x21 <= byte <= 0x7E for byte in target)
    if not plain:
        return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    location = public_url.rstrip("/").encode("ascii", "replace") + target
    return (
        b"HTTP/1.1 308 Permanent Redirect\r\nLocation: %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % location
    )


def _answer(status: int, kind: bytes, body: bytes, *more: tuple[bytes, bytes]) -> Answer:
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *more,
    ]
    return status, headers, body
