"""RADIUS packets (RFC 2865, 3579, 5997): what is sent, and which answers are believed. Packets are pyrad's; nothing is sent here."""

import secrets
from dataclasses import dataclass
from typing import Any

from pyrad import packet

from portico.errors import Invalid
from portico.ports.second_factor import Answer, Reply

MAX_PACKET = 4096  # RFC 2865, section 3
MAX_CODE = 128  # bytes, RFC 2865, section 5.2
MAX_NAME = 253
MAX_MESSAGE = 200  # characters that are shown of what a server says
_HEADER, _ATTRIBUTE = 20, 2
_USER_NAME, _PASSWORD, _REPLY_MESSAGE, _STATE, _NAS_IDENTIFIER = 1, 2, 18, 24, 32
_ANSWERS = {
    packet.AccessAccept: Answer.ACCEPT,
    packet.AccessReject: Answer.REJECT,
    packet.AccessChallenge: Answer.CHALLENGE,
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes out, each time with the same bytes, and what its answer is verified with."""

    raw: bytes
    sent: Any  # of pyrad


def access_request(secret: bytes, nas: str, name: str, code: str, state: bytes = b"") -> Request:
    """Ask whether a code is somebody's (Access-Request by PAP, RFC 2865, section 4.1). Raises Invalid for what does not fit."""
    named, typed = name.encode(), code.encode("utf-8", "replace")
    if not 0 < len(named) <= MAX_NAME:
        raise Invalid("This name cannot be sent to the server that checks codes.")
    if len(typed) > MAX_CODE:
        raise Invalid("The code is not right.", {"code": "This code is too long."})
    made = _new(packet.AccessRequest, secret, nas)
    made[_USER_NAME] = [named]
    made[_PASSWORD] = [made.PwCrypt(typed)]
    if state:
        made[_STATE] = [state]
    return Request(made.RequestPacket(), made)


def status_request(secret: bytes, nas: str) -> Request:
    """Ask whether a server is there (Status-Server, RFC 5997, section 3)."""
    made = _new(packet.StatusServer, secret, nas)
    return Request(made.RequestPacket(), made)


def _new(code: int, secret: bytes, nas: str) -> Any:
    """Begin a packet with an authenticator that nobody can guess, and a Message-Authenticator in front of all else."""
    made = packet.AuthPacket(
        code=code, id=secrets.randbelow(256), secret=secret, authenticator=secrets.token_bytes(16), auth_type="pap"
    )
    made.add_message_authenticator()
    if nas:
        made[_NAS_IDENTIFIER] = [nas.encode()[:MAX_NAME]]
    return made


def read_reply(request: Request, raw: bytes, *, strict: bool = True) -> Reply | None:
    """Return what an answer says, or None for bytes that are no answer to this request by who knows the secret.

    `strict` wants a Message-Authenticator (RFC 3579, section 3.2), without which an answer can be forged on the way.
    """
    raw = raw[: int.from_bytes(raw[2:4])]  # What follows is padding (RFC 2865, section 3).
    if not is_well_formed(raw):
        return None
    try:
        reply = request.sent.CreateReply(packet=raw)
        if not request.sent.VerifyReply(reply, raw, enforce_ma=strict) or reply.code not in _ANSWERS:
            return None
        # Attributes by their number: OrderedDict's own items, which pyrad does not convert.
        values = dict(reply.items())
        said = b" ".join(values.get(_REPLY_MESSAGE, ())).decode("utf-8", "replace")
        state = (values.get(_STATE) or [b""])[0]
    except Exception:  # besides PacketError, the library raises whatever it trips over
        return None
    return Reply(_ANSWERS[reply.code], shown(said), state)


def is_well_formed(raw: bytes) -> bool:
    """Tell whether bytes are one whole packet: as long as its header says, and filled by attributes without a rest."""
    if not _HEADER <= len(raw) <= MAX_PACKET or int.from_bytes(raw[2:4]) != len(raw):
        return False
    place = _HEADER
    while place < len(raw):
        length = raw[place + 1] if place + 1 < len(raw) else 0
        if length < _ATTRIBUTE:
            return False
        place += length
    return place == len(raw)


def shown(text: str) -> str:
    """Return what a server says as a line of plain text."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
