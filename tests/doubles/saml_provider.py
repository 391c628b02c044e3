"""A real provider of SAML 2.0 on this machine (SimpleSAMLphp), and the way of a browser through it."""

import hashlib
import html
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa

from doubles.authority import Authority
from portico.directories import saml_keys

HERE = Path(__file__).resolve().parent / "saml"
WWW = "/usr/share/simplesamlphp/www"


@dataclass(frozen=True)
class Landing:
    """Where a browser is led out of the provider: an address, and the fields of a form if it is one."""

    url: str
    fields: dict[str, str] = field(default_factory=dict)


class _Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    plain = 0  # PHP's port

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        there = http.client.HTTPConnection("127.0.0.1", self.plain, timeout=60)
        kept = {
            name: value for name, value in self.headers.items() if name.lower() not in ("connection", "content-length")
        }
        there.request(self.command, self.path, body, kept)
        answer = there.getresponse()
        told = answer.read()
        there.close()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Listener(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a browser hangs up on a certificate before it is told to bear it."""


class SamlProvider:
    """SimpleSAMLphp behind TLS on a free port. Its key is known here, so that tests can sign in its name."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="portico-saml-"))
        for name in ("data", "tmp", "metadata", "sessions", "known", "config"):
            (self.home / name).mkdir()
        self.pair = saml_keys.read_pair(saml_keys.make_pair())
        assert isinstance(self.pair.key, rsa.RSAPrivateKey)
        (self.home / "idp.key").write_text(self.pair.key_pem)
        (self.home / "idp.pem").write_text(self.pair.certificate_pem)
        self._stack = ExitStack()

    def start(self) -> None:
        """Start it. Raises RuntimeError with its own words."""
        for name in ("config.php", "authsources.php"):
            (self.home / "config" / name).write_text((HERE / name).read_text())
        for name in ("saml20-idp-hosted.php", "saml20-sp-remote.php"):
            (self.home / "metadata" / name).write_text((HERE / name).read_text())
        # The address is known once the front listens, and the front's target once PHP does: PHP is told by a file.
        log = self.home / "php.log"
        port, self.pem = self._front(self._php(log))
        self.url = f"https://localhost:{port}"
        (self.home / "url").write_text(self.url)
        self._wait(log)

    def _front(self, plain: int) -> tuple[int, str]:
        """Listen with TLS, and ask PHP, which closes after each answer and would leave a relay waiting."""
        authority = Authority(self.home)
        certificate, key = authority.issue("tls", "localhost")
        server = _Listener(("127.0.0.1", 0), type("Here", (_Front,), {"plain": plain}))
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
        return server.server_port, authority.pem

    def _php(self, log: Path) -> int:
        config = (self.home / "config" / "config.php").read_text()
        told = config.replace("getenv('PORTICO_SAML_URL')", f"trim(file_get_contents('{self.home}/url'))")
        (self.home / "config" / "config.php").write_text(told)
        environment = {
            **os.environ, "PORTICO_SAML_HOME": str(self.home), "SIMPLESAMLPHP_CONFIG_DIR": str(self.home / "config"),
            "PHP_CLI_SERVER_WORKERS": "3",
        }  # fmt: skip
        out = self._stack.enter_context(log.open("wb"))
        command = ["php", "-d", "session.use_strict_mode=0", "-S", "127.0.0.1:0", "-t", WWW]
        self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)
        end = time.monotonic() + 60
        while (found := re.search(r"http://127\.0\.0\.1:(\d+)\) started", log.read_text("utf-8", "replace"))) is None:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the provider did not start: {log.read_text('utf-8', 'replace')[-2000:]}")
            time.sleep(0.05)
        return int(found[1])

    def _wait(self, log: Path) -> None:
        with self.browser() as client:
            answer = client.get(self.metadata_url)
        if answer.status_code != 200:
            raise RuntimeError(
                f"{answer.status_code}: {answer.text[:1000]} {log.read_text('utf-8', 'replace')[-2000:]}"
            )

    def wipe(self) -> None:
        """End it, its workers included: they are a process group of their own."""
        if hasattr(self, "process"):
            os.killpg(self.process.pid, 9)
            self.process.wait()
        self._stack.close()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def metadata_url(self) -> str:
        """Where its metadata are, which is its entity id too."""
        return f"{self.url}/saml2/idp/metadata.php"

    @property
    def settings(self) -> dict[str, Any]:
        """What a directory of ours is told of it."""
        return {"metadata_url": self.metadata_url, "ca_certificates": self.pem}

    def know(self, metadata: bytes, **more: Any) -> None:
        """Let it know a service by the metadata of that; `more` is its own configuration for it."""
        name = hashlib.sha256(metadata).hexdigest()[:16]
        (self.home / "known" / f"{name}.xml.json").write_text(json.dumps(more))
        (self.home / "known" / f"{name}.xml").write_bytes(metadata)

    def forget(self) -> None:
        """Let it know nobody."""
        for file in (self.home / "known").iterdir():
            file.unlink()

    def browser(self) -> httpx.Client:
        """Return a browser without scripts that trusts it."""
        trust = ssl.create_default_context(cadata=self.pem)
        return httpx.Client(verify=trust, follow_redirects=False, timeout=60)

    def browse(self, client: httpx.Client, url: str, login: str = "sam") -> Landing:
        """Go through its pages from an address on, log in where it asks, and return where it leads away."""
        answer = client.get(url)
        for _ in range(20):
            if answer.status_code in (302, 303):
                place = urljoin(str(answer.url), answer.headers["location"])
                if not place.startswith(self.url):
                    return Landing(place)
                answer = client.get(place)
                continue
            form = re.search(r'<form[^>]*action="([^"]*)"', answer.text)
            assert answer.status_code == 200, answer.text[:3000]
            assert form, answer.text[:3000]
            place = urljoin(str(answer.url), html.unescape(form[1]))
            inputs = re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]*)"[^>]*value="([^"]*)"', answer.text)
            fields = {name: html.unescape(value) for name, value in inputs}
            if not place.startswith(self.url):
                return Landing(place, fields)
            answer = client.post(place, data={**fields, "username": login, "password": "any"})
        raise AssertionError("the provider did not send the browser back")
