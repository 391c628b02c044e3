"""RDP servers of this desktop: the certificate that they show, and the one-time password of the account that sessions run as."""

import contextlib
import hashlib
import socket
import ssl
from typing import List

from portico.agent.linux import run

_SECONDS = 3.0
# An X.224 connection request that asks for TLS or Network Level Authentication ([MS-RDPBCGR] 2.2.1.1).
_REQUEST = bytes.fromhex("030000130ee000000000000100080003000000")


def certificates(address: str, port: int) -> List[str]:
    """Return the SHA-256 in hex of what the server on a port shows; none where it does not say."""
    try:
        with socket.create_connection((address or "127.0.0.1", port), _SECONDS) as plain:
            plain.sendall(_REQUEST)
            if not _agrees(_read(plain, 19)):
                return []
            with _context().wrap_socket(plain) as secured:
                shown = secured.getpeercert(True)
    except (OSError, ValueError):
        return []
    return [hashlib.sha256(shown).hexdigest()] if shown else []


def set_password(name: str, password: str) -> bool:
    """Give an account a password; tells whether that was done."""
    return run(["chpasswd"], None, "{}:{}\n".format(name, password).encode("ascii")) is not None


def _agrees(answer: bytes) -> bool:
    """Whether the answer (2.2.1.2) chose a protocol that begins with TLS."""
    return len(answer) == 19 and answer[5] == 0xD0 and answer[11] == 2 and answer[15] != 0


def _read(line: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = line.recv(count - len(data))
        if not piece:
            break
        data += piece
    return data


def _context() -> ssl.SSLContext:
    # It is our own server, looked at from within: nothing is told to it, and whatever it shows is what is asked for.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLError):  # an OpenSSL that is older than security levels
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context
