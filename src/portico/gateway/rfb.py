"""The handshake of the Remote Framebuffer protocol 3.8 (RFC 6143, section 7.1), both sides of it. Pure: bytes in, bytes out."""

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

VERSION = b"RFB 003.008\n"
NONE, VNC_AUTH, VENCRYPT = 1, 2, 19
# VeNCrypt 0.2 (the community's RFB specification, section 7.2.7): what it encrypts with, and how one authenticates within.
VENCRYPT_VERSION = b"\x00\x02"
ANONYMOUS, CERTIFICATE = "anonymous", "certificate"
SUBTYPES = {  # best first: with a certificate that can be checked, without plain passwords where there is a choice
    261: (CERTIFICATE, VNC_AUTH), 260: (CERTIFICATE, NONE), 262: (CERTIFICATE, VENCRYPT),
    258: (ANONYMOUS, VNC_AUTH), 257: (ANONYMOUS, NONE), 259: (ANONYMOUS, VENCRYPT),
}  # fmt: skip
MAX_REASON = 4096


class RfbError(Exception):
    """The peer does not speak the protocol as it should. The message is for the log."""


class RfbRefused(Exception):
    """The desktop's VNC server turned us down. The message is for the log."""


class ServerHandshake:
    """Our half towards a desktop: authenticate, under VeNCrypt's TLS where it has that, then stop before ClientInit.

    When `tls` names a way, the caller starts TLS on the connection, checks the certificate, and goes on with `secured()`.
    `pinned`: only a desktop that shows a certificate will do.
    """

    def __init__(self, password: str, username: str = "", *, pinned: bool = False) -> None:
        self._password, self._username, self._pinned = password, username, pinned
        self._inner = NONE
        self.tls = ""
        self._buffer = bytearray()
        self._step = self._version
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """Take what the desktop sent and return what to answer. Raises RfbError, RfbRefused."""
        self._buffer += data
        out = bytearray()
        while not self.done and not self.tls:
            answer = self._step()
            if answer is None:
                break
            out += answer
        return bytes(out)

    @property
    def rest(self) -> bytes:
        """What the desktop sent after the handshake."""
        return bytes(self._buffer)

    def _take(self, count: int) -> bytes | None:
        if len(self._buffer) < count:
            return None
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _version(self) -> bytes | None:
        said = self._take(12)
        if said is None:
            if not b"RFB 003."[: len(self._buffer)] == self._buffer[:8]:
                raise RfbError("not a VNC server")
            return None
        # 3.3 lets the server choose the security type; every server since 2006 speaks 3.8, some call it 3.889 or 4.x and 5.0.
        if not (said.startswith(b"RFB 00") and said.endswith(b"\n") and said[4:11] >= b"003.008"):
            raise RfbError("VNC server older than protocol 3.8")
        self._step = self._types
        return VERSION

    def _types(self) -> bytes | None:
        if not self._buffer:
            return None
        count = self._buffer[0]
        if count == 0:
            return self._refusal(1)
        if len(self._buffer) < 1 + count:
            return None
        offered = (self._take(1 + count) or b"")[1:]
        if VENCRYPT in offered:
            self._step = self._vencrypt
            return bytes([VENCRYPT])
        if self._pinned:
            raise RfbRefused("offers no TLS, and its certificate is to be checked")
        if NONE in offered:
            self._step = self._result
            return bytes([NONE])
        if VNC_AUTH in offered:
            self._step = self._challenge
            return bytes([VNC_AUTH])
        raise RfbRefused(f"offers only security types {sorted(offered)}")

    def _vencrypt(self) -> bytes | None:
        said = self._take(2)
        if said is None:
            return None
        if said < VENCRYPT_VERSION:
            raise RfbRefused("VeNCrypt older than 0.2")
        self._step = self._subtypes
        return VENCRYPT_VERSION

    def _subtypes(self) -> bytes | None:
        if len(self._buffer) < 2:
            return None
        if self._buffer[0] != 0:
            raise RfbRefused("turned VeNCrypt 0.2 down")
        count = self._buffer[1]
        if len(self._buffer) < 2 + 4 * count:
            return None
        said = (self._take(2 + 4 * count) or b"")[2:]
        offered = {int.from_bytes(said[at : at + 4], "big") for at in range(0, len(said), 4)}
        fit = [number for number, (way, _) in SUBTYPES.items() if number in offered and self._takes(way)]
        if not fit:
            raise RfbRefused(f"offers only VeNCrypt subtypes {sorted(offered)}")
        self._way, self._inner = SUBTYPES[fit[0]]
        self._step = self._agreed
        return fit[0].to_bytes(4, "big")

    def _takes(self, way: str) -> bool:
        return way == CERTIFICATE or not self._pinned

    def _agreed(self) -> bytes | None:
        said = self._take(1)
        if said is None:
            return None
        if said != b"\x01":
            raise RfbRefused("turned TLS down")
        if self._buffer:
            raise RfbError("spoke before TLS")
        self.tls = self._way
        return b""

    def secured(self) -> bytes:
        """Go on within TLS; returns what to say first."""
        self.tls = ""
        self._step = self._challenge if self._inner == VNC_AUTH else self._result
        if self._inner != VENCRYPT:
            return b""
        username, password = self._username.encode(), self._password.encode()
        return len(username).to_bytes(4, "big") + len(password).to_bytes(4, "big") + username + password

    def _challenge(self) -> bytes | None:
        challenge = self._take(16)
        if challenge is None:
            return None
        self._step = self._result
        return vnc_response(self._password, challenge)

    def _result(self) -> bytes | None:
        if len(self._buffer) < 4:
            return None
        if int.from_bytes(self._buffer[:4], "big") != 0:
            return self._refusal(4)
        self._take(4)
        self.done = True
        return b""

    def _refusal(self, skip: int) -> bytes | None:
        """Raise with the server's reason, once it is here."""
        if len(self._buffer) < skip + 4:
            return None
        length = int.from_bytes(self._buffer[skip : skip + 4], "big")
        if length <= MAX_REASON and len(self._buffer) < skip + 4 + length:
            return None
        reason = self._buffer[skip + 4 : skip + 4 + min(length, MAX_REASON)].decode("utf-8", "replace")
        raise RfbRefused(reason)


class ClientHandshake:
    """Our half towards the browser: it is offered security type None and nothing else. Send `greeting` first."""

    greeting = VERSION

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._expected = 12
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """Take what the browser sent and return what to answer. Raises RfbError."""
        self._buffer += data
        out = bytearray()
        while not self.done and len(self._buffer) >= self._expected:
            said = bytes(self._buffer[: self._expected])
            del self._buffer[: self._expected]
            if self._expected == 12:
                if said != VERSION:
                    raise RfbError("browser does not speak protocol 3.8")
                out += bytes([1, NONE])
                self._expected = 1
            else:
                if said[0] != NONE:
                    raise RfbError("browser chose a security type that was not offered")
                out += bytes(4)  # SecurityResult: OK
                self.done = True
        return bytes(out)

    @property
    def rest(self) -> bytes:
        """What the browser sent after the handshake."""
        return bytes(self._buffer)


def vnc_response(password: str, challenge: bytes) -> bytes:
    """Answer a VNC authentication challenge (RFC 6143, section 7.2.2): DES keyed by the password, each byte's bits reversed."""
    secret = password.encode("latin-1", "replace")[:8].ljust(8, b"\0")
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in secret)
    # One DES is triple DES with thrice the same key; ECB and DES are the protocol's choice, the password lives for one use.
    encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(challenge) + encryptor.finalize()
