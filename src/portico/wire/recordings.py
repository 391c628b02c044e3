"""Recordings of sessions, as gateways write them and brokers read them: encrypted for the broker alone, in pieces that tell their own end.

FILE    = "PORTREC1" u32 length HEADER PIECE*
HEADER  = JSON {"id", "key": id of the broker's key, "ephemeral": hex of an X25519 public key, "format": "frames"|"asciicast",
          "protocol", "started": ISO 8601}
PIECE   = u32 (length, highest bit set in the last piece of a recording that was ended) ciphertext
The key of the pieces is HKDF-SHA256 (RFC 5869) of X25519 (RFC 7748) between the ephemeral key and the broker's; each piece is AES-256-GCM
(RFC 5116) with its number as nonce, and with the header's hash and the last-piece bit as associated data. What is cut off is noticed, and
so is what was changed, moved or taken from another recording; what is there before a cut can be read.

The content, put together, is for "frames" FRAME*, FRAME = f64 seconds, u8 kind (0: data), u32 length, data, all big-endian; for
"asciicast" the lines of an asciicast, version 2.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAGIC = b"PORTREC1"
FRAMES, ASCIICAST = "frames", "asciicast"
DATA = 0
LAST = 1 << 31
MAX_HEADER = 4096
MAX_PIECE = 1 << 22
_LENGTH = struct.Struct(">I")
_FRAME = struct.Struct(">dBI")


class BadRecording(Exception):
    """The file is none of ours, or was tampered with."""


def frame(seconds: float, kind: int, data: bytes) -> bytes:
    """Return one FRAME."""
    return _FRAME.pack(seconds, kind, len(data)) + data


class Sealer:
    """Makes the bytes of a recording's file. `fields` go into the header; `public` is the broker's raw X25519 key."""

    def __init__(self, fields: Mapping[str, str], public: bytes) -> None:
        ephemeral = X25519PrivateKey.generate()
        mine = ephemeral.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        header = json.dumps({**fields, "ephemeral": mine.hex()}).encode()
        self.head = MAGIC + _LENGTH.pack(len(header)) + header
        self._hash = hashlib.sha256(header).digest()
        self._cipher = AESGCM(_key(ephemeral.exchange(X25519PublicKey.from_public_bytes(public)), mine))
        self._number = 0

    def piece(self, content: bytes, *, last: bool = False) -> bytes:
        """Return a PIECE; the last one may be empty."""
        sealed = self._cipher.encrypt(_nonce(self._number), content, self._hash + bytes((last,)))
        self._number += 1
        return _LENGTH.pack(len(sealed) | (LAST if last else 0)) + sealed


def read_header(file: BinaryIO) -> dict[str, Any]:
    """Read the header, and leave the file behind it. Raises BadRecording."""
    header = _header(file)
    try:
        fields = json.loads(header)
    except (ValueError, RecursionError) as problem:
        raise BadRecording("header") from problem
    if not isinstance(fields, dict):
        raise BadRecording("header")
    return fields


class Opener:
    """Reads a recording. `complete` tells, once all was read, whether it was ended rather than cut off."""

    def __init__(self, file: BinaryIO, private: X25519PrivateKey) -> None:
        header = _header(file)
        file.seek(0)
        self.fields = read_header(file)
        self._file = file
        self._hash = hashlib.sha256(header).digest()
        self.complete = False
        try:
            theirs = bytes.fromhex(str(self.fields["ephemeral"]))
            shared = private.exchange(X25519PublicKey.from_public_bytes(theirs))
        except (KeyError, ValueError) as problem:
            raise BadRecording("key") from problem
        self._cipher = AESGCM(_key(shared, theirs))

    def pieces(self) -> Iterator[bytes]:
        """Yield the content; a file that was cut off ends early. Raises BadRecording at what was changed."""
        number = 0
        while not self.complete and len(head := self._file.read(_LENGTH.size)) == _LENGTH.size:
            word = _LENGTH.unpack(head)[0]
            size, last = word & ~LAST, bool(word & LAST)
            if size > MAX_PIECE:
                raise BadRecording("piece too long")
            sealed = self._file.read(size)
            if len(sealed) < size:
                return
            try:
                content = self._cipher.decrypt(_nonce(number), sealed, self._hash + bytes((last,)))
            except InvalidTag as problem:
                raise BadRecording(f"piece {number}") from problem
            number += 1
            self.complete = last
            yield content


def _header(file: BinaryIO) -> bytes:
    start = file.read(len(MAGIC) + _LENGTH.size)
    if len(start) < len(MAGIC) + _LENGTH.size or not start.startswith(MAGIC):
        raise BadRecording("not a recording")
    size = _LENGTH.unpack(start[len(MAGIC) :])[0]
    header = file.read(size) if size <= MAX_HEADER else b""
    if len(header) != size or not size:
        raise BadRecording("header")
    return header


def _key(shared: bytes, ephemeral: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, ephemeral, b"portico recording").derive(shared)


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
