"""Dynamic channels under a policy: the desktop's wish for one that is forbidden is turned down in the client's stead. Pure.

[MS-RDPEDYC] 2.2.2.1 (create request) and 2.2.2.2 (create response), carried in chunks of the static channel drdynvc ([MS-RDPBCGR]
3.1.5.2). Dynamic channels are opened by the desktop alone, so that what it is refused does not exist. [MS-RDPEUSB] 2.1 names USB's.
"""

import struct

from portico.gateway.rdp_channels import COMPRESSED, FIRST, LAST
from portico.gateway.rdp_filter import SEND_INDICATION, TPKT, message_size
from portico.gateway.rdp_settings import HEADERS, BadRdp

USB = "URBDRC"
CREATE = 1
REFUSED = 0xC0000001  # STATUS_UNSUCCESSFUL
ID_SIZES = (1, 2, 4)


class DynamicChannels:
    """What the desktop says, cut into messages. `channel` is the number of drdynvc."""

    def __init__(self, channel: int, forbidden: frozenset[str]) -> None:
        self._channel = channel
        self._forbidden = frozenset(name.upper() for name in forbidden)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """Return what the client may hear, and the chunks with which the desktop is answered. Raises BadRdp."""
        self._buffer += data
        out, answers = bytearray(), []
        while (size := message_size(bytes(self._buffer[:4]))) and len(self._buffer) >= size:
            message = bytes(self._buffer[:size])
            del self._buffer[:size]
            answer = self._judge(message)
            if answer is None:
                out += message
            else:
                answers.append(answer)
        return bytes(out), answers

    def _judge(self, message: bytes) -> bytes | None:
        """Return the answer to a message that wants a forbidden channel, None for any other."""
        if message[0] & 3 != TPKT or len(message) < HEADERS + 8 or message[HEADERS] != SEND_INDICATION:
            return None
        if struct.unpack_from(">H", message, HEADERS + 3)[0] != self._channel:
            return None
        chunk = message[HEADERS + (8 if message[HEADERS + 6] & 0x80 else 7) :]
        if len(chunk) < 9:
            raise BadRdp("dynamic channel in crumbs")
        _, flags = struct.unpack_from("<II", chunk)
        if flags & COMPRESSED:
            raise BadRdp("compressed dynamic channel")
        if not flags & FIRST or chunk[8] >> 4 != CREATE:
            return None
        kind = chunk[8] & 3
        if not flags & LAST or kind >= len(ID_SIZES):
            raise BadRdp("request for a dynamic channel")
        size = ID_SIZES[kind]
        name = chunk[9 + size :].partition(b"\0")[0].decode("latin-1").upper()
        if name not in self._forbidden:
            return None
        answer = bytes([CREATE << 4 | kind]) + chunk[9 : 9 + size] + struct.pack("<I", REFUSED)
        return struct.pack("<II", len(answer), FIRST | LAST) + answer
