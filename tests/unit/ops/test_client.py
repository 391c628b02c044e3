import datetime
import hashlib
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from portico.errors import Denied, Invalid, Unavailable
from portico.ops.client import Client, pinned

pytestmark = pytest.mark.capability("S029")


class Answers(BaseHTTPRequestHandler):
    """A broker's manner of answering."""

    pem = ""
    seen: list[tuple[str, str, str]] = []  # noqa: RUF012 - one server at a time

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.seen.append((self.path, self.headers.get("Authorization", ""), body))
        answers = {
            "/gateway/v1/ca": (200, self.pem),
            "/api/v1/login": (200, {"token": "T"}),
            "/api/v1/pools": (200, {"items": [{"id": 1}], "next": "c2"}),
            "/api/v1/pools?cursor=c2": (200, {"items": [{"id": 2}], "next": None}),
            "/api/v1/users": (422, {"title": "Wrong", "detail": "Two fields are wrong.", "fields": {"a": "b"}}),
            "/api/v1/odd": (200, "<html>"),
            "/readyz": (503, {}),
        }
        status, content = answers[self.path]
        raw = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A server with a certificate of its own; gives its URL and the certificate's fingerprint."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    Answers.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    file = tmp_path_factory.mktemp("tls") / "pair.pem"
    unsealed = serialization.NoEncryption()
    file.write_text(
        Answers.pem
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unsealed).decode()
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fingerprint = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
    yield f"https://127.0.0.1:{server.server_port}", fingerprint
    server.shutdown()
    server.server_close()


def test_a_client_logs_in_pages_and_carries_its_token(broker):
    """Lists are read to their end, and every request after the log-in carries the token."""
    url, fingerprint = broker
    client = Client(url, pinned(url, fingerprint))
    client.login("ada", "secret")
    assert [item["id"] for item in client.items("pools")] == [1, 2]
    assert Answers.seen[-1][1] == "Bearer T"
    assert not client.is_ready()


def test_problems_become_exceptions_that_name_the_fields(broker):
    """Whoever reads the failure sees which field was wrong."""
    url, fingerprint = broker
    client = Client(url, pinned(url, fingerprint))
    with pytest.raises(Invalid, match="Two fields are wrong") as caught:
        client.post("users", {})
    assert caught.value.detail == '{"a": "b"}'
    with pytest.raises(Exception, match="not JSON"):
        client.get("odd")


def test_another_authority_is_refused_and_silence_is_told(broker):
    """A broker with another CA is not talked to; one that is away is unavailable."""
    url, _ = broker
    with pytest.raises(Denied):
        pinned(url, "00" * 32)
    with pytest.raises(Unavailable):
        pinned("https://127.0.0.1:1", "00" * 32)
