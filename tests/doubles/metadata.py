"""What an instance of Nova is told of itself, in the shapes of the real service: over HTTP, and as a config drive."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

UUID = "83679162-1378-4288-a2d4-70e13ec132aa"


@dataclass
class Metadata:
    """One instance's metadata; another `status` than 200 is what the service answers to everything."""

    uuid: str = UUID
    meta: dict[str, str] = field(default_factory=dict)
    user_data: str | None = None
    public_address: str = ""
    status: int = 200
    asked: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return meta_data.json as Nova writes it (version 2020-10-14)."""
        return {
            "uuid": self.uuid, "name": "desktop-1", "hostname": "desktop-1.novalocal", "launch_index": 0,
            "availability_zone": "nova", "project_id": "f7ac731cc11f40efbc03a9f9e1d1d21f", "devices": [],
            "random_seed": "yu5ZnkqF2CqnDZVAfZgarG", "dedicated_cpus": [],
        } | ({"meta": dict(self.meta)} if self.meta else {})  # fmt: skip

    def files(self) -> Mapping[str, str]:
        """Return what is found below the service's root: Nova answers 404 for user data that nobody gave."""
        found = {"/openstack/latest/meta_data.json": json.dumps(self.document())}
        if self.user_data is not None:
            found["/openstack/latest/user_data"] = self.user_data
        found["/latest/meta-data/public-ipv4"] = self.public_address
        return found

    def write(self, drive: Path) -> Path:
        """Write a config drive's tree."""
        for name, text in self.files().items():
            if name.startswith("/openstack/"):
                file = drive / name[1:]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        return drive


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found: Metadata = self.server.metadata  # type: ignore[attr-defined]
        found.asked.append(self.path)
        text = found.files().get(self.path)
        status = found.status if found.status != 200 else 200 if text is not None else 404
        content = (text or "").encode() if status == 200 else b"<html><body>404 Not Found</body></html>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving_metadata(metadata: Metadata) -> Iterator[str]:
    """Serve an instance's metadata on loopback; gives HOST:PORT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.metadata = metadata  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)
