"""TLS towards desktops: old servers are spoken to, and the certificate counts by its fingerprint alone."""

import hashlib
import ssl


def desktop_context() -> ssl.SSLContext:
    """Return a context that takes any certificate: desktops make their own, and `is_pinned` decides."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(
        "DEFAULT:@SECLEVEL=0"
    )  # desktops live for years; between gateway and desktop old TLS beats none
    context.minimum_version = ssl.TLSVersion.TLSv1
    return context


def anonymous_context() -> ssl.SSLContext:
    """Return a context for desktops that show no certificate at all (VeNCrypt's TLS subtypes): hidden from who only listens."""
    context = desktop_context()
    context.set_ciphers("ADH:AECDH:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # later versions know no such thing
    return context


def is_pinned(certificate: bytes, pins: tuple[str, ...]) -> bool:
    """Tell whether a certificate (DER) is one that the grant names by SHA-256 in hex; without names any is."""
    return not pins or hashlib.sha256(certificate).hexdigest() in {pin.replace(":", "").lower() for pin in pins}
