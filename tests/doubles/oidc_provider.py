"""A real provider of OpenID Connect on this machine, and the way of a browser through it."""

import html
import os
import re
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import playwright

from doubles.authority import Authority

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "s" * 43


class OidcProvider:
    """oidc-provider for Node.js, under TLS on a free port. Needs what tools/setup fetches for tests."""

    def __init__(self, *back: str, trust: str = "") -> None:
        """Name the origins that it may send people back to, and the authority (PEM) of those that it calls by itself."""
        self.home = Path(tempfile.mkdtemp(prefix="portico-oidc-"))
        self.authority = Authority(self.home)
        self.back = back
        self.trust = trust
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.issuer = f"https://localhost:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. Raises RuntimeError with its own words."""
        certificate, key = self.authority.issue("idp", "localhost", "127.0.0.1")
        node = Path(playwright.__file__).parent / "driver" / "node"
        log = self.home / "log"
        with log.open("wb") as out:
            command = [
                str(node),
                str(ROOT / "tests/doubles/oidc/provider.mjs"),
                str(self.port),
                str(certificate),
                str(key),
                *self.back,
            ]
            (self.home / "trust.pem").write_text(self.trust)
            more = {"NODE_EXTRA_CA_CERTS": str(self.home / "trust.pem")} if self.trust else {}
            self.process = subprocess.Popen(
                command, cwd=ROOT / "build" / "oidc", stdout=out, stderr=out, env={**os.environ, **more}
            )
        end = time.monotonic() + 60
        while "ready" not in log.read_text("utf-8", "replace"):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the provider did not start: {log.read_text('utf-8', 'replace')[-2000:]}")
            time.sleep(0.05)

    def wipe(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def settings(self) -> dict[str, str]:
        """What a directory of ours is told of it."""
        return {
            "issuer": self.issuer, "client_id": "portico", "client_secret": SECRET, "ca_certificates": self.authority.pem,
            "scopes": "openid profile email",
        }  # fmt: skip

    def browser(self) -> httpx.Client:
        """Return a browser without scripts that trusts it."""
        trust = ssl.create_default_context(cadata=self.authority.pem)
        return httpx.Client(verify=trust, follow_redirects=False, timeout=60)

    def log_out(self, client: httpx.Client) -> None:
        """End the session that a browser has there."""
        asked = client.get(f"{self.issuer}/session/end")
        secret = re.search(r'name="xsrf" value="([^"]+)"', asked.text)
        assert secret, asked.text[:500]
        done = client.post(f"{self.issuer}/session/end/confirm", data={"xsrf": secret[1], "logout": "yes"})
        assert done.status_code in (302, 303), done.text[:500]

    def browse(self, url: str, login: str, stop: Callable[[str], bool], within: httpx.Client | None = None) -> str:
        """Go through its pages as somebody's browser would, until it leads to where `stop` says; returns that address."""
        with nullcontext(within) if within is not None else self.browser() as client:
            answer = client.get(url)
            for _ in range(20):
                if answer.status_code in (302, 303):
                    place = urljoin(str(answer.url), answer.headers["location"])
                    if stop(place):
                        return place
                    answer = client.get(place)
                    continue
                action = re.search(r'action="([^"]+)"', answer.text)
                assert action, answer.text[:500]
                fields: dict[str, Any] = dict(re.findall(r'name="(\w+)" value="([^"]*)"', answer.text))
                if fields.get("prompt") == "login":
                    fields |= {"login": login, "password": "any"}
                answer = client.post(urljoin(str(answer.url), html.unescape(action[1])), data=fields)
        raise AssertionError("the provider did not send the browser back")
