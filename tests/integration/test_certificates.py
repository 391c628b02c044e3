"""Certificates that are renewed while people work: the gateway's and the front's, as processes."""

import hashlib
import json
import shutil
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.integration.test_gateway import ORIGIN, Lab, grant_vnc, rfb_init

from doubles.authority import Authority
from doubles.broker import BrokerDouble
from doubles.desktops import VncServer, free_port, wait_until
from doubles.processes import FrontProcess, GatewayProcess
from portico.errors import Invalid
from portico.gateway.certificates import Certificates

pytestmark = pytest.mark.capability("S014", "S031")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    authority = Authority(tmp_path)
    broker, port = BrokerDouble(authority).start(), free_port()
    gateway = GatewayProcess(tmp_path, broker, ORIGIN, forward_listen="")
    front = FrontProcess(tmp_path, broker, port, gateway.port)
    gateway.start()
    front.start()
    trust = ssl.create_default_context(cafile=str(authority.path))
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    yield Lab(broker=broker, gateway=gateway, front=front, trust=trust, authority=authority, folder=tmp_path)
    front.stop()
    gateway.stop()
    broker.stop()


def shown(lab: Lab, port: int) -> str:
    """Return the fingerprint of the certificate that a port shows to somebody new."""
    with (
        socket.create_connection(("127.0.0.1", port), 10) as raw,
        closing(lab.trust.wrap_socket(raw, server_hostname="127.0.0.1")) as client,
    ):
        return hashlib.sha256(client.getpeercert(True) or b"").hexdigest()


def test_a_renewed_certificate_is_shown_and_sessions_stay(lab: Lab) -> None:
    """The next that comes sees it; who is there works on."""
    desktop = VncServer(lab.folder / "vnc", terminal=False)
    try:
        client, answer = lab.enter("vnc", grant_vnc(lab, desktop, "c-1"))
        assert answer["ok"]
        stream, width, height = rfb_init(client)
        before = {port: shown(lab, port) for port in (lab.gateway.port, lab.front.port)}

        certificate, key = lab.authority.issue("renewed", "127.0.0.1", "localhost")
        home = lab.folder / "state" / "gateway"
        shutil.copy(certificate, home / "certificate.pem")
        shutil.copy(key, home / "key.pem")
        lab.authority.issue("front", "127.0.0.1", "localhost")  # in its place

        for port, old in before.items():
            wait_until(lambda port=port, old=old: shown(lab, port) != old, "a new certificate")  # type: ignore[misc]
        client.send(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
        assert stream.read(16)
        client.send(json.dumps({"ping": 7}))
        assert "session closed" not in lab.gateway.log
    finally:
        desktop.stop()


def test_a_certificate_without_its_key_changes_nothing(tmp_path: Path) -> None:
    """Until the key is there too; nonsense leaves the old one, and never half of a pair."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("it", "localhost")
    files = Certificates(certificate, key)
    context = files.context()
    assert not files.reload()
    other_certificate, other_key = authority.issue("other", "localhost")
    shutil.copy(other_certificate, certificate)
    assert not files.reload()
    shutil.copy(other_key, key)
    assert files.reload() and not files.reload()
    certificate.write_text("nonsense")
    assert not files.reload()
    key.unlink()
    assert not files.reload() and context.cert_store_stats()["x509"] == 0
    with pytest.raises(Invalid, match="certificate"):
        Certificates(certificate, key).context()
