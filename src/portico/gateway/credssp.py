"""CredSSP as a client, so that no browser needs a password and no desktop must switch off its Network Level Authentication.

[MS-CSSP] 3.1.5: tokens of NTLM or Kerberos in TSRequests over TLS, the server's public key bound to them (version 5 and later by hashes,
CVE-2018-0886), then the credentials, sealed. The conversation here does no input or output: it is fed messages and gives messages.
"""

import hashlib
import hmac
import secrets
from collections.abc import Generator
from dataclasses import dataclass

import spnego
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from spnego.exceptions import SpnegoError

from portico.gateway import der
from portico.gateway.grant import Credentials

VERSION = 6
HASHED_SINCE = 5
MAX_ROUNDS = 8
CLIENT_MAGIC = b"CredSSP Client-To-Server Binding Hash\0"
SERVER_MAGIC = b"CredSSP Server-To-Client Binding Hash\0"
# NTSTATUS values by which a server says why it does not take a person ([MS-ERREF] 2.3.1).
REASONS = {
    0xC000006D: "wrong name or password",
    0xC000006E: "account restriction",
    0xC000006F: "not at this time of day",
    0xC0000070: "not from this machine",
    0xC0000071: "password expired",
    0xC0000072: "account disabled",
    0xC0000193: "account expired",
    0xC0000224: "password must be changed",
    0xC0000234: "account locked",
    0xC000015B: "this kind of log-in is not granted",
}


class CredsspRefused(Exception):
    """The server does not take these credentials; says why as far as the server said it."""


class CredsspError(Exception):
    """The conversation broke: what came is not CredSSP, or somebody stands in between."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's TSRequest."""

    version: int
    token: bytes | None
    key: bytes | None
    error: int


Conversation = Generator[
    bytes, bytes, bytes
]  # yields messages that are answered, is sent the answers, returns the last message


def conversation(credentials: Credentials, host: str, certificate: bytes) -> Conversation:
    """Begin a log-in to `host`, whose TLS certificate (DER) is given. Raises CredsspRefused, CredsspError."""
    key = public_key(certificate)
    name = f"{credentials.domain}\\{credentials.username}" if credentials.domain else credentials.username
    try:
        context = spnego.client(name, credentials.password, hostname=host, service="TERMSRV", protocol="ntlm")
        version, nonce, token = VERSION, secrets.token_bytes(32), context.step()
        for _ in range(MAX_ROUNDS):
            answer = parse((yield request(token=token)))
            _judge(answer)
            version = min(version, answer.version)
            token = context.step(answer.token or b"")
            if context.complete:
                break
        else:
            raise CredsspError("no end of tokens")
        hashed = version >= HASHED_SINCE
        proof = hashlib.sha256(CLIENT_MAGIC + nonce + key).digest() if hashed else key
        answer = parse(
            (yield request(token=token, key=context.wrap(proof).data, nonce=nonce if hashed else None)),
        )
        _judge(answer)
        due = hashlib.sha256(SERVER_MAGIC + nonce + key).digest() if hashed else bytes((key[0] + 1 & 0xFF,)) + key[1:]
        if not hmac.compare_digest(context.unwrap(answer.key or b"").data, due):
            raise CredsspError("the key of the desktop's certificate is not the one that it proves")
        return request(credentials=context.wrap(_credentials(credentials)).data)
    except SpnegoError as problem:
        raise CredsspError(f"{type(problem).__name__}: {problem}") from problem


def request(
    *,
    token: bytes | None = None,
    credentials: bytes | None = None,
    key: bytes | None = None,
    nonce: bytes | None = None,
) -> bytes:
    """Return a TSRequest ([MS-CSSP] 2.2.1)."""
    parts = [der.explicit(0, der.integer(VERSION))]
    if token is not None:
        parts.append(der.explicit(1, der.sequence(der.sequence(der.explicit(0, der.octets(token))))))
    if credentials is not None:
        parts.append(der.explicit(2, der.octets(credentials)))
    if key is not None:
        parts.append(der.explicit(3, der.octets(key)))
    if nonce is not None:
        parts.append(der.explicit(5, der.octets(nonce)))
    return der.sequence(*parts)


def parse(message: bytes) -> Answer:
    """Read a server's TSRequest. Raises CredsspError."""
    try:
        fields = der.fields(der.whole(message, der.SEQUENCE))
        if 0 not in fields:
            raise CredsspError("no version")
        token = None
        if 1 in fields:
            token = der.whole(der.fields(der.whole(der.whole(fields[1], der.SEQUENCE), der.SEQUENCE))[0], der.OCTETS)
        key = der.whole(fields[3], der.OCTETS) if 3 in fields else None
        return Answer(der.number(fields[0]), token, key, der.number(fields[4]) & 0xFFFFFFFF if 4 in fields else 0)
    except (der.BadDer, KeyError) as problem:
        raise CredsspError(f"not a TSRequest: {problem}") from problem


def parse_verdict(data: bytes) -> None:
    """Read the EarlyUserAuthorizationResult that ends the conversation of HYBRID_EX ([MS-RDPBCGR] 2.2.10.2). Raises CredsspRefused."""
    if data != bytes(4):
        raise CredsspRefused("this kind of log-in is not granted")


def public_key(certificate: bytes) -> bytes:
    """Return what CredSSP calls the SubjectPublicKey of a certificate (DER): the content of the bit string. Raises CredsspError."""
    try:
        info = x509.load_der_x509_certificate(certificate).public_key()
        spki = info.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        parts = list(der.children(der.whole(spki, der.SEQUENCE)))
        return parts[1][1][1:]  # the first byte counts unused bits: none
    except (ValueError, TypeError, der.BadDer, IndexError) as problem:
        raise CredsspError(f"certificate: {problem}") from problem


def _judge(answer: Answer) -> None:
    if answer.error:
        raise CredsspRefused(REASONS.get(answer.error, f"status {answer.error:#010x}"))


def _credentials(credentials: Credentials) -> bytes:
    """TSCredentials with a password ([MS-CSSP] 2.2.1.2.1)."""
    values = (credentials.domain, credentials.username, credentials.password)
    words = (der.explicit(at, der.octets(value.encode("utf-16-le"))) for at, value in enumerate(values))
    return der.sequence(der.explicit(0, der.integer(1)), der.explicit(1, der.octets(der.sequence(*words))))
