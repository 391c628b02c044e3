"""Keys and certificates of SAML: our own pair, the provider's certificates, and signatures over the text of an address."""

import base64
import binascii
import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

OWN_BITS, LEAST_BITS = 3072, 2048
OWN_YEARS = 10
MAX_CERTIFICATES = 20
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"


@dataclass(frozen=True, slots=True)
class Pair:
    """Our private key and the certificate of it, both PEM."""

    key: rsa.RSAPrivateKey
    key_pem: str
    certificate_pem: str
    certificate: x509.Certificate


def make_pair() -> str:
    """Return a new private key and a certificate of it, signed by itself, in PEM form. Providers look at nothing but the key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=OWN_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Portico")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365 * OWN_YEARS))
        .sign(key, hashes.SHA256())
    )
    return _pem_of(key) + made.public_bytes(serialization.Encoding.PEM).decode()


def read_pair(text: str) -> Pair:
    """Read a private key with its certificate. Raises ValueError with the remedy."""
    try:
        key = serialization.load_pem_private_key(text.encode(), None)
        certificate = x509.load_pem_x509_certificates(text.encode())[0]
    except (ValueError, TypeError, IndexError, UnicodeError) as problem:
        raise ValueError(
            "Paste a private key without a password and its certificate, BEGIN and END lines included."
        ) from problem
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < LEAST_BITS:
        raise ValueError(f"Use an RSA key of {LEAST_BITS} bits or more.")
    if certificate.public_key() != key.public_key():
        raise ValueError("The certificate is not of this key. Put them together that belong together.")
    return Pair(key, _pem_of(key), certificate.public_bytes(serialization.Encoding.PEM).decode(), certificate)


def read_certificates(texts: Iterable[str]) -> tuple[x509.Certificate, ...]:
    """Read certificates as metadata have them: base64 without lines around. Raises ValueError."""
    found: list[x509.Certificate] = []
    for text in texts:
        if len(found) >= MAX_CERTIFICATES:
            raise ValueError(f"more than {MAX_CERTIFICATES} certificates")
        try:
            one = x509.load_der_x509_certificate(base64.b64decode("".join(text.split()), validate=True))
            one.public_key()
        except (ValueError, binascii.Error) as problem:
            raise ValueError("a certificate cannot be read") from problem
        if one not in found:
            found.append(one)
    return tuple(found)


def is_strong(certificate: x509.Certificate) -> bool:
    """Tell whether nobody can make up a signature of its key: RSA of 2048 bits, or an elliptic curve."""
    key = certificate.public_key()
    return isinstance(key, ec.EllipticCurvePublicKey) or (
        isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_BITS
    )


def pem(certificate: x509.Certificate) -> str:
    """Return a certificate in PEM form."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def bare(certificate: x509.Certificate) -> str:
    """Return a certificate as metadata have it."""
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def sign(pair: Pair, text: str) -> str:
    """Return the signature of a text, by RSA with SHA-256, in base64 (SAML 2.0 Bindings, section 3.4.4.1)."""
    return base64.b64encode(pair.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


def is_signed(certificates: Iterable[str], text: bytes, signature: bytes, algorithm: str) -> bool:
    """Tell whether a signature over a text is by one of these certificates (PEM), with SHA-2."""
    kind, _, size = algorithm.removeprefix(_MORE).partition("-sha")
    if not algorithm.startswith(_MORE) or kind not in ("rsa", "ecdsa") or size not in _HASHES:
        return False
    for one in certificates:
        key = x509.load_pem_x509_certificate(one.encode()).public_key()
        try:
            if isinstance(key, rsa.RSAPublicKey) and kind == "rsa":
                key.verify(signature, text, padding.PKCS1v15(), _HASHES[size])
            elif isinstance(key, ec.EllipticCurvePublicKey) and kind == "ecdsa":
                key.verify(signature, text, ec.ECDSA(_HASHES[size]))
            else:
                continue
        except InvalidSignature:
            continue
        return True
    return False


def _pem_of(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
