"""A cloud of a few lines: Keystone's log-in and catalogue, and services that answer what a test has laid out for them.

For faults that real services do not produce to order: storms of 429 and 503, answers that drip, redirects, odd catalogues.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class SmallCloud:
    """What it answers, and what it was asked. `answers` are taken one by one; with none left it answers `{}`."""

    answers: list[tuple[int, Mapping[str, str], Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    catalog: dict[str, str] = field(default_factory=dict)  # service type → address
    url: str = ""
    logins: int = 0
    refuse_token: str = ""  # this token is answered by 401

    def lay_out(self, *statuses: int, headers: Mapping[str, str] | None = None, body: Any = None) -> None:
        """Answer the next calls to services so."""
        self.answers += [(status, headers or {}, body if body is not None else {}) for status in statuses]


@contextmanager
def small_cloud(*services: str) -> Iterator[SmallCloud]:
    """Run one on loopback, its services all at one address each, and stop it afterwards."""
    cloud = SmallCloud()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/v3/auth/tokens":
                cloud.logins += 1
                return self._say(201, {"X-Subject-Token": f"token-{cloud.logins}"}, _token(cloud.catalog))
            if self.path.rstrip("/") in ("/compute/v2.1", "/volume/v3"):
                return self._say(200, {}, {"version": {"id": "v", "version": "2.90", "min_version": "2.1"}})
            cloud.asked.append(f"{self.command} {self.path.partition('?')[0]}")
            if cloud.refuse_token and self.headers.get("X-Auth-Token") == cloud.refuse_token:
                return self._say(401, {}, {})
            status, headers, body = cloud.answers.pop(0) if cloud.answers else (200, {}, {})
            return self._say(status, headers, body)

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def _say(self, status: int, headers: Mapping[str, str], body: Any) -> None:
            raw = b"" if status == 204 else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"x-openstack-request-id": f"req-{len(cloud.asked)}", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    cloud.url = f"http://127.0.0.1:{server.server_address[1]}"
    cloud.catalog = {name: f"{cloud.url}/{name}" for name in services or ("compute", "image", "network", "volume")}
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _token(catalog: Mapping[str, str]) -> dict[str, Any]:
    types = {"volume": "volumev3"}
    entries = [
        {
            "type": types.get(name, name), "name": name, "id": name,
            "endpoints": [{"id": name, "interface": "public", "region": "One", "region_id": "One", "url": url}],
        }
        for name, url in catalog.items()
    ]  # fmt: skip
    domain = {"id": "default", "name": "Default"}
    return {
        "token": {
            "methods": ["password"], "expires_at": "2099-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "broker", "domain": domain}, "project": {"id": "p", "name": "vdi", "domain": domain},
            "roles": [{"id": "r", "name": "member"}], "catalog": entries,
        }
    }  # fmt: skip
