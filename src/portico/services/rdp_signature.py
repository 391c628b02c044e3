"""Signed .rdp files, as Windows' rdpsign makes them: settings in `signscope`, their PKCS#7 signature in `signature`. Pure.

The signed text is the settings in the order of the scope, one a line, then the line of the scope and a zero, in UTF-16. In front of the
DER of the detached signature stand three numbers: 0x00010001, 1, and its length.
"""

import base64
import struct
from textwrap import wrap

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7

# Setting → its name in the scope, in the order that rdpsign uses; what else a file holds is not covered.
SCOPE = (
    ("full address", "Full Address"),
    ("alternate full address", "Alternate Full Address"),
    ("server port", "Server Port"),
    ("gatewayhostname", "GatewayHostname"),
    ("gatewayusagemethod", "GatewayUsageMethod"),
    ("gatewayprofileusagemethod", "GatewayProfileUsageMethod"),
    ("gatewaycredentialssource", "GatewayCredentialsSource"),
    ("loadbalanceinfo", "LoadBalanceInfo"),
    ("authentication level", "Authentication Level"),
    ("prompt for credentials", "Prompt For Credentials"),
    ("enablecredsspsupport", "EnableCredSspSupport"),
    ("negotiate security layer", "Negotiate Security Layer"),
    ("redirectclipboard", "RedirectClipboard"),
    ("redirectprinters", "RedirectPrinters"),
    ("redirectsmartcards", "RedirectSmartCards"),
    ("drivestoredirect", "DrivesToRedirect"),
    ("devicestoredirect", "DevicesToRedirect"),
    ("audiomode", "AudioMode"),
)
OPTIONS = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoAttributes]


def signed_text(text: str) -> tuple[list[str], bytes]:
    """Return the scope's names and the bytes that are signed of an .rdp file's text."""
    settings = {line.split(":", 1)[0].lower(): line for line in text.splitlines() if ":" in line}
    found = [(name, settings[key]) for key, name in SCOPE if key in settings]
    names = [name for name, _ in found]
    lines = [line for _, line in found] + [f"signscope:s:{','.join(names)}"]
    return names, ("\r\n".join(lines) + "\r\n\0").encode("utf-16-le")


def sign(text: str, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> str:
    """Return an .rdp file's text with its signature (lines end in CRLF). The full address is repeated, as rdpsign does."""
    settings = {line.split(":", 1)[0].lower(): line for line in text.splitlines()}
    if "alternate full address" not in settings and "full address" in settings:
        text += f"alternate {settings['full address']}\r\n"
    names, blob = signed_text(text)
    made = pkcs7.PKCS7SignatureBuilder().set_data(blob).add_signer(certificate, key, hashes.SHA256())
    signature = made.sign(serialization.Encoding.DER, OPTIONS)
    whole = struct.pack("<III", 0x00010001, 1, len(signature)) + signature
    lines = "  ".join(wrap(base64.b64encode(whole).decode(), 64))
    return f"{text}signscope:s:{','.join(names)}\r\nsignature:s:{lines}  \r\n"
