"""Secrets sealed at rest: AES-256-GCM with table, column and row as associated data (NIST SP 800-38D).

Keys are files of 32 random bytes (0600) in one directory, the same on all brokers, never in the database. The newest by name
seals, all open; `rotate` adds one, `reseal` moves a value to it.
"""

import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portico.errors import Invalid

KEY_BYTES = 32
NONCE_BYTES = 12


class Vault:
    """Seals and opens secrets with the keys of one directory."""

    def __init__(self, directory: Path) -> None:
        """Load the keys, making the first one when there is none. Raises Invalid for files that are no keys."""
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not list(directory.glob("*.key")):
            with suppress(FileExistsError):  # another broker that starts at this moment made it
                _new_key(directory, 1)
        self._keys = _read_keys(directory)

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        return max(self._keys)

    def seal(self, place: str, text: str) -> str:
        """Seal a text for one place, which is "table.column:row id"."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        kid = self.current
        box = AESGCM(self._keys[kid]).encrypt(nonce, text.encode(), place.encode())
        return f"v1.{kid}.{urlsafe_b64encode(nonce + box).decode()}"

    def open(self, place: str, sealed: str) -> str:
        """Open what was sealed for this place. Raises Invalid when the key is missing or the value was moved or changed."""
        try:
            version, kid, text = sealed.split(".", 2)
            raw = urlsafe_b64decode(text)
            if version != "v1":
                raise ValueError(version)
            if kid not in self._keys:  # perhaps another broker has rotated
                self._keys = _read_keys(self._directory)
            return AESGCM(self._keys[kid]).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], place.encode()).decode()
        except KeyError as problem:
            raise Invalid(
                f"A vault key is missing on this broker: {problem}. Copy it from another broker."
            ) from problem
        except (ValueError, InvalidTag) as problem:
            raise Invalid("A sealed value does not belong where it stands, or was changed.") from problem

    def is_current(self, sealed: str) -> bool:
        """Tell whether a value is sealed with the key that seals now."""
        return sealed.startswith(f"v1.{self.current}.")

    def rotate(self) -> str:
        """Make a new key; from now on it seals. Returns its id. Older ones go on opening."""
        self._keys = _read_keys(self._directory)
        number = int(self.current) + 1
        path = _new_key(self._directory, number)
        self._keys[path.stem] = _read_key(path)
        return path.stem

    def reseal(self, place: str, sealed: str) -> str:
        """Return a value sealed with the key that seals now. Raises Invalid when it cannot be opened."""
        return sealed if self.is_current(sealed) else self.seal(place, self.open(place, sealed))


def _new_key(directory: Path, number: int) -> Path:
    """Make a key; whoever reads it sees all of it or nothing. Raises FileExistsError when the number is taken."""
    path, draft = directory / f"{number:06d}.key", directory / f".{secrets.token_hex(8)}"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    finally:
        draft.unlink()
    return path


def _read_keys(directory: Path) -> dict[str, bytes]:
    return {path.stem: _read_key(path) for path in sorted(directory.glob("*.key"))}


def _read_key(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise Invalid(f"{path} is not a vault key: {len(key)} bytes instead of {KEY_BYTES}.")
    return key
