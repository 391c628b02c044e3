"""VNC servers that speak under TLS (VeNCrypt), with a certificate and without one, through the gateway."""

import hashlib
import json
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.test_gateway import Lab, close_code, folder, lab, rfb_init  # noqa: F401

from doubles.authority import Authority
from doubles.desktops import VncServer

pytestmark = pytest.mark.capability("S015", "S057")


@pytest.fixture(scope="module")
def sealed(folder: Path) -> Iterator[tuple[VncServer, str]]:  # noqa: F811
    """A server with a certificate, and the certificate's fingerprint."""
    (folder / "ca").mkdir()
    certificate, key = Authority(folder / "ca").issue("desk", "127.0.0.1")
    options = ("-SecurityTypes", "X509Vnc", f"-X509Cert={certificate}", f"-X509Key={key}")
    server = VncServer(folder / "sealed", terminal=False, security=options)
    yield server, hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
    server.stop()


def grant(lab: Lab, server: VncServer, name: str, *pins: str) -> str:  # noqa: F811
    lab.broker.grant(name, "vnc", "127.0.0.1", server.port, server.credentials)
    lab.broker.grants[name]["target"]["certificates"] = list(pins)
    return lab.broker.ticket(name)


def sees_a_picture(lab: Lab, ticket: str) -> None:  # noqa: F811
    client, answer = lab.enter("vnc", ticket)
    assert answer.get("ok"), answer
    stream, _, _ = rfb_init(client)
    client.send(struct.pack(">BxHi", 2, 1, 0))
    client.send(struct.pack(">BBHHHH", 3, 0, 0, 0, 64, 64))
    assert stream.read(16)[0] == 0 and len(stream.read(64 * 64 * 4)) == 64 * 64 * 4
    client.close()


def test_the_certificate_is_the_one_that_the_grant_names(lab: Lab, sealed: tuple[VncServer, str]) -> None:  # noqa: F811
    """With it, and without a name at all, there is a picture; with another one the desktop has changed."""
    server, fingerprint = sealed
    sees_a_picture(lab, grant(lab, server, "pinned", fingerprint))
    sees_a_picture(lab, grant(lab, server, "unpinned"))
    assert lab.refused("vnc", grant(lab, server, "changed", "00" * 32))[0] == "desktop.changed"
    assert server.password not in lab.gateway.log


def test_encrypted_without_a_certificate(lab: Lab, folder: Path) -> None:  # noqa: F811
    """Hidden from who only listens; where a certificate is to be checked, it will not do."""
    server = VncServer(folder / "anonymous", terminal=False, security=("-SecurityTypes", "TLSVnc"))
    try:
        sees_a_picture(lab, grant(lab, server, "anonymous"))
        assert lab.refused("vnc", grant(lab, server, "anonymous", "00" * 32))[0] == "desktop.refused"
    finally:
        server.stop()


def test_a_server_that_breaks_off_in_tls(lab: Lab) -> None:  # noqa: F811
    """Is unreachable, and said to be so at once."""
    import socket
    import threading

    def misbehave() -> None:
        line, _ = listener.accept()
        with line:
            line.sendall(b"RFB 003.008\n")
            line.recv(12)
            line.sendall(b"\x01\x13")
            line.recv(1)
            line.sendall(b"\x00\x02")
            line.recv(2)
            line.sendall(b"\x00\x01" + struct.pack(">I", 261))
            line.recv(4)
            line.sendall(b"\x01")
            line.recv(5)
            line.sendall(b"no TLS at all, whatever was said before")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=misbehave)
        thread.start()
        lab.broker.grant("broken", "vnc", "127.0.0.1", listener.getsockname()[1], {"username": "", "password": "x"})
        client, answer = lab.enter("vnc", lab.broker.ticket("broken"))
        assert json.dumps(answer["error"]) == '"desktop.unreachable"' and close_code(client) == 4004
        thread.join()
