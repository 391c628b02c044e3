"""The deployment's keys: tickets are signed with Ed25519, machines trust one small CA, sshd on desktops another.

Keys live in the vault, are made at the first start, and overlap on rotation: the newest signs, all verify.
"""

import ipaddress
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc.jwk import KeySet, OKPKey
from sqlalchemy.exc import IntegrityError

from portico.store import keys
from portico.store.engine import Database
from portico.store.vault import Vault

PURPOSES = ("tickets", "ca", "ssh_user_ca", "rdp")
CA_YEARS = 10
LEAF_DAYS = 365
SSH_SECONDS = 120
_SKEW = timedelta(minutes=5)
_PEM = serialization.Encoding.PEM
_PKCS8 = serialization.PrivateFormat.PKCS8
_CLEAR = serialization.NoEncryption()


class KeyRing:
    """The keys in memory: loaded once, again after a rotation."""

    def __init__(self, db: Database, vault: Vault, now: datetime) -> None:
        """Load the keys, making those that are missing; two brokers that start at once agree on one set."""
        self._db, self._vault = db, vault
        self._lock = threading.Lock()
        self._load()
        for purpose in PURPOSES:
            if not self._of(purpose):
                # The first key's id is fixed, so that of two brokers that start at once only one inserts it.
                self._make(purpose, f"{purpose}-1", now)
        self._load()

    def rotate(self, purpose: str, now: datetime) -> str:
        """Make a new key for a purpose and retire the older ones; returns its id."""
        with self._lock:
            number = len(self._of(purpose)) + 1
            fresh = f"{purpose}-{number}"
            older = [row.id for row in self._of(purpose) if row.retired_at is None]
            self._make(purpose, fresh, now)
            with self._db.write() as conn:
                for key_id in older:
                    keys.retire(conn, key_id, now)
            self._load()
            return fresh

    def reload(self) -> None:
        """Read the keys again, after another broker has rotated or resealed them."""
        with self._lock:
            self._load()

    def _load(self) -> None:
        with self._db.read() as conn:
            self._rows = list(keys.list_all(conn))
        self._ticket_keys = {
            row.id: OKPKey.import_key(self._private(row), {"kid": row.id}) for row in self._of("tickets")
        }

    def _of(self, purpose: str) -> list[Any]:
        return [row for row in self._rows if row.purpose == purpose]

    def _newest(self, purpose: str) -> Any:
        return next(row for row in reversed(self._rows) if row.purpose == purpose and row.retired_at is None)

    def _private(self, row: Any) -> str:
        return self._vault.open(f"keys.sealed_private:{row.id}", row.sealed_private)

    def _make(self, purpose: str, key_id: str, now: datetime) -> None:
        makers = {"ca": _new_ca, "rdp": _new_rdp_signer, "recordings": _new_x25519}
        public, private = makers[purpose](now) if purpose in makers else _new_ed25519(purpose)
        sealed = self._vault.seal(f"keys.sealed_private:{key_id}", private)
        try:
            with self._db.write() as conn:
                keys.add(conn, id=key_id, purpose=purpose, public=public, sealed_private=sealed, created_at=now)
        except IntegrityError:
            return  # another broker made it in between

    @property
    def signing(self) -> OKPKey:
        """The key that signs tickets now."""
        return self._ticket_keys[self._newest("tickets").id]

    @property
    def verifying(self) -> KeySet:
        """The keys that verify tickets."""
        return KeySet(list(self._ticket_keys.values()))

    def knows(self, key_id: str) -> bool:
        """Tell whether a key of this id verifies tickets."""
        return key_id in self._ticket_keys

    def jwks(self) -> dict[str, Any]:
        """Return the public halves of the ticket keys as a JWK Set (RFC 7517)."""
        return {"keys": [key.as_dict(private=False) for key in self._ticket_keys.values()]}

    @property
    def ca_pem(self) -> str:
        """The certificate of the deployment's CA."""
        return str(self._newest("ca").public)

    @property
    def ca_fingerprint(self) -> str:
        """The SHA-256 fingerprint of that certificate, in hex."""
        return x509.load_pem_x509_certificate(self.ca_pem.encode()).fingerprint(hashes.SHA256()).hex()

    @property
    def ssh_user_ca(self) -> str:
        """The public key that sshd on desktops trusts for users, in OpenSSH form."""
        return str(self._newest("ssh_user_ca").public)

    def recording_key(self, tenant_id: str, now: datetime) -> str:
        """Return the public key (raw X25519, hex) that a tenant's recordings are sealed for; its id is the tenant's."""
        if (row := self._recording(tenant_id)) is None:
            with self._lock:
                self._make("recordings", tenant_id, now)  # the fixed id lets only one broker insert it
                self._load()
            row = self._recording(tenant_id)
        assert row is not None
        return str(row.public)

    def recording_private(self, tenant_id: str) -> X25519PrivateKey | None:
        """Return the private key of a tenant's recordings; None before the first."""
        if self._recording(tenant_id) is None:
            self.reload()  # another broker made it
        row = self._recording(tenant_id)
        return None if row is None else X25519PrivateKey.from_private_bytes(bytes.fromhex(self._private(row)))

    def _recording(self, tenant_id: str) -> Any:
        return next((row for row in self._of("recordings") if row.id == tenant_id), None)

    @property
    def rdp_signer(self) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
        """The certificate and key that .rdp files are signed with."""
        row = self._newest("rdp")
        key = serialization.load_pem_private_key(self._private(row).encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return x509.load_pem_x509_certificate(row.public.encode()), key

    @property
    def rdp_certificate_pem(self) -> str:
        """The certificate by which .rdp files are signed, in PEM."""
        return self.rdp_signer[0].public_bytes(serialization.Encoding.PEM).decode()

    @property
    def rdp_thumbprint(self) -> str:
        """The SHA-1 thumbprint of that certificate, in hex, by which Windows' policies name trusted publishers."""
        return self.rdp_signer[0].fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  (Windows asks for SHA-1)

    def sign_request(self, csr_pem: str, role: str, not_for: frozenset[str], now: datetime) -> str:
        """Sign a certificate for the key and names of a CSR (RFC 2986), names in `not_for` left out. Raises ValueError."""
        request = x509.load_pem_x509_csr(csr_pem.encode())
        if not request.is_signature_valid:
            raise ValueError("the request is not signed with its own key")
        try:
            asked = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound as problem:
            raise ValueError("the request names no address") from problem
        names = [str(name.value) for name in asked if isinstance(name, x509.DNSName | x509.IPAddress)]
        return self._issue(request.public_key(), role, tuple(name for name in names if name not in not_for)[:10], now)

    def issue(self, role: str, names: tuple[str, ...], now: datetime) -> tuple[str, str]:
        """Make a key and a certificate for it; returns (certificate PEM, key PEM). `role` stands in the OU."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._issue(key.public_key(), role, names, now), key.private_bytes(_PEM, _PKCS8, _CLEAR).decode()

    def _issue(self, public_key: Any, role: str, names: tuple[str, ...], now: datetime) -> str:
        row = self._newest("ca")
        ca = x509.load_pem_x509_certificate(row.public.encode())
        ca_key = serialization.load_pem_private_key(self._private(row).encode(), None)
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(names[0] if names else role, role))
            .issuer_name(ca.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + timedelta(days=LEAF_DAYS))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
            )
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(_PEM).decode()

    def ssh_login(self, principal: str, key_id: str, now: datetime) -> tuple[str, str]:
        """Make a key that may log in as `principal` for two minutes; returns (private key, certificate) in OpenSSH form."""
        ca_key = serialization.load_pem_private_key(self._private(self._newest("ssh_user_ca")).encode(), None)
        assert isinstance(ca_key, ed25519.Ed25519PrivateKey)
        key = ed25519.Ed25519PrivateKey.generate()
        start = int(now.timestamp())
        certificate = (
            serialization.SSHCertificateBuilder()
            .public_key(key.public_key())
            .type(serialization.SSHCertificateType.USER)
            .key_id(key_id.encode())
            .valid_principals([principal.encode()])
            .valid_after(start - 60)
            .valid_before(start + SSH_SECONDS)
            .add_extension(b"permit-pty", b"")
            .sign(ca_key)
        )
        private = key.private_bytes(_PEM, serialization.PrivateFormat.OpenSSH, _CLEAR).decode()
        return private, certificate.public_bytes().decode()


def _name(common: str, role: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Portico"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role),
            x509.NameAttribute(NameOID.COMMON_NAME, common[:64]),
        ]
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _new_ca(now: datetime) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Portico deployment CA", "ca")
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - _SKEW)
        .not_valid_after(now.astimezone(UTC) + timedelta(days=365 * CA_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(_PEM).decode(), key.private_bytes(_PEM, _PKCS8, _CLEAR).decode()


def _new_rdp_signer(now: datetime) -> tuple[str, str]:
    """RSA, as older RDP clients verify nothing else."""
    key = rsa.generate_private_key(65537, 2048)
    name = _name("Portico RDP files", "rdp")
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - _SKEW)
        .not_valid_after(now.astimezone(UTC) + timedelta(days=365 * CA_YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(_PEM).decode(), key.private_bytes(_PEM, _PKCS8, _CLEAR).decode()


def _new_x25519(now: datetime) -> tuple[str, str]:
    key = X25519PrivateKey.generate()
    return key.public_key().public_bytes_raw().hex(), key.private_bytes_raw().hex()


def _new_ed25519(purpose: str) -> tuple[str, str]:
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(_PEM, _PKCS8, _CLEAR).decode()
    if purpose == "ssh_user_ca":
        form = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    else:
        form = (_PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form).decode(), private
