"""Who this gateway is: its id, credential, certificate and the keys that tickets are signed with, kept so that it starts without a broker."""

import asyncio
import hashlib
import ipaddress
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from portico import __version__, logs
from portico.config import Config
from portico.errors import Denied, Invalid, Unavailable
from portico.gateway import files
from portico.gateway.broker import Broker
from portico.wire.gateway import VERSION

log = logs.get(__name__)

RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Identity:
    """What enrolment gave us. `token_hash` tells whether the configured token is a new one."""

    gateway_id: str
    bearer: str
    realm: str
    keys: dict[str, Any]  # JWKS
    token_hash: str
    ca_fingerprint: str

    def __repr__(self) -> str:
        """Leave the bearer out, so that no log can hold it."""
        return f"Identity({self.gateway_id!r})"


def key_set(jwks: object) -> KeySet:
    """Read the public keys of a JWKS. Raises Invalid."""
    try:
        return KeySet.import_key_set(jwks)  # type: ignore[arg-type]
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as problem:
        raise Invalid("The broker's signing keys cannot be read.", detail=type(problem).__name__) from problem


def home(config: Config) -> Path:
    """Return the folder that keeps the gateway's state."""
    return config.state / "gateway"


def certificate_files(config: Config) -> tuple[Path, Path]:
    """Return the PEM files of certificate and key: those given, else those of enrolment."""
    if config.gateway_certificate != Path():
        return config.gateway_certificate, config.gateway_key
    return home(config) / "certificate.pem", home(config) / "key.pem"


def load(config: Config) -> Identity | None:
    """Return the identity kept on disk if it is of this deployment, else None."""
    text = files.read(home(config) / "identity.json")
    if text is None:
        return None
    try:
        identity = Identity(**json.loads(text))
    except (ValueError, TypeError):
        log.warning("kept identity cannot be read, enrolling again")
        return None
    return identity if identity.ca_fingerprint == config.ca_fingerprint else None


def save(config: Config, identity: Identity) -> None:
    """Keep the identity on disk, for its owner alone."""
    files.write(home(config) / "identity.json", json.dumps(asdict(identity)))


def with_keys(identity: Identity, keys: dict[str, Any]) -> Identity:
    """Return the identity with new signing keys."""
    return replace(identity, keys=keys)


async def establish(config: Config, broker: Broker) -> Identity:
    """Return the kept identity, or enrol and keep the new one; waits for a broker as long as it takes. Raises Denied."""
    kept = load(config)
    token_hash = hashlib.sha256(config.gateway_token.encode()).hexdigest() if config.gateway_token else ""
    if (
        kept is not None
        and token_hash in ("", kept.token_hash)
        and all(path.exists() for path in certificate_files(config))
    ):
        return kept
    if not token_hash:
        raise Denied("This gateway is not enrolled yet: set gateway_token to a one-time token from the console.")
    for attempt in range(1_000_000):
        try:
            return await _enroll(config, broker, token_hash)
        except Unavailable as problem:
            wait = RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]
            log.warning("cannot enroll yet", because=problem.sentence, detail=problem.detail, again_in=wait)
            await asyncio.sleep(wait)
        except Denied:
            if kept is None:
                raise
            log.warning("enrolment token refused, the kept identity stays")
            return kept
    raise Unavailable("No broker answered.")


async def _enroll(config: Config, broker: Broker, token_hash: str) -> Identity:
    given = config.gateway_certificate != Path()
    request: dict[str, Any] = {
        "v": VERSION,
        "token": config.gateway_token,
        "name": config.gateway_name,
        "version": __version__,
        "public_url": config.public_url,
    }
    key = None if given else ec.generate_private_key(ec.SECP256R1())
    if key is not None:
        request["csr"] = signing_request(config, key)
    answer = await broker.enroll(request)
    if answer.status in (401, 403, 409, 410):
        raise Denied(
            "The broker refused the enrolment token: it is unknown, used or expired. Make a new one in the console."
        )
    if answer.status != 200:
        raise Unavailable("The broker could not enroll this gateway.", f"HTTP {answer.status}")
    fields = answer.fields
    try:
        identity = Identity(
            str(fields["gateway_id"]),
            str(fields["bearer"]),
            str(fields.get("realm", "")),
            dict(fields["keys"]),
            token_hash,
            config.ca_fingerprint,
        )
        key_set(identity.keys)
    except (KeyError, TypeError, ValueError, Invalid) as problem:
        raise Unavailable("The broker's answer to enrolment cannot be read.", type(problem).__name__) from problem
    if key is not None:
        _keep_certificate(config, fields.get("certificate"), key)
    save(config, identity)
    log.info("gateway enrolled", gateway=identity.gateway_id)
    return identity


def _keep_certificate(config: Config, certificate: object, key: ec.EllipticCurvePrivateKey) -> None:
    if not isinstance(certificate, str):
        raise Invalid("The broker signed no certificate; set gateway_certificate and gateway_key.")
    certificate_path, key_path = certificate_files(config)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files.write(key_path, secret.decode())
    files.write(certificate_path, certificate)


def signing_request(config: Config, key: ec.EllipticCurvePrivateKey) -> str:
    """Return the PEM request for a certificate in the gateway's name, for the addresses that it listens on."""
    host = config.gateway_listen.rpartition(":")[0].strip("[]")
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, config.gateway_name[:64]),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "gateway"),
        ]
    )
    names: list[x509.GeneralName] = []
    for name in dict.fromkeys((config.gateway_name, host, "localhost")):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            if name.isascii() and name:
                names.append(x509.DNSName(name))
    request = x509.CertificateSigningRequestBuilder(subject).add_extension(x509.SubjectAlternativeName(names), False)
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
