"""Signed .rdp files: openssl believes the signature over exactly the text that Windows would check."""

import base64
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from portico.services.keys import _new_rdp_signer
from portico.services.rdp_signature import sign, signed_text

pytestmark = pytest.mark.capability("S052")
TEXT = "full address:s:portal.example\r\nserver port:i:3389\r\nusername:s:ada\r\ngatewayhostname:s:portal.example\r\nredirectclipboard:i:0\r\n"


@pytest.fixture(scope="module")
def signer() -> tuple[x509.Certificate, object]:
    certificate, key = _new_rdp_signer(datetime.now(UTC))
    return x509.load_pem_x509_certificate(certificate.encode()), serialization.load_pem_private_key(key.encode(), None)


def verify(text: str, certificate: x509.Certificate, folder: Path) -> bool:
    """Take the signature off and let openssl check it."""
    unsigned, _, rest = text.partition("signscope:s:")
    signature = base64.b64decode(rest.partition("signature:s:")[2].replace(" ", ""))
    version, one, size = struct.unpack_from("<III", signature)
    assert (version, one, size) == (0x00010001, 1, len(signature) - 12)
    (folder / "s.der").write_bytes(signature[12:])
    (folder / "text").write_bytes(signed_text(unsigned)[1])
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    command = [
        "openssl",
        "smime",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        "s.der",
        "-content",
        "text",
        "-CAfile",
        "ca.pem",
        "-purpose",
        "any",
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def test_openssl_believes_it_and_no_changed_one(signer: tuple[x509.Certificate, object], tmp_path: Path) -> None:
    """Scope in rdpsign's order, the full address repeated; a changed setting breaks the signature, one outside the scope does not."""
    certificate, key = signer
    signed = sign(TEXT, certificate, key)  # type: ignore[arg-type]
    assert "signscope:s:Full Address,Alternate Full Address,Server Port,GatewayHostname,RedirectClipboard\r\n" in signed
    assert "alternate full address:s:portal.example\r\n" in signed
    assert verify(signed, certificate, tmp_path)
    assert verify(signed.replace("username:s:ada", "username:s:bob"), certificate, tmp_path)
    assert not verify(signed.replace("redirectclipboard:i:0", "redirectclipboard:i:1"), certificate, tmp_path)
    assert all(len(line) < 4096 for line in signed.splitlines() if not line.startswith("signature"))
