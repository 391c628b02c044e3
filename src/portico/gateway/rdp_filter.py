"""What a client says to an RDP server, cut into messages: its settings and log-in are ours, and input and channels follow the policy. Pure.

The first messages of a connection ([MS-RDPBCGR] 1.3.1.1: connect initial, erect domain, attach user, channel joins, client info) always
pass here. Behind them a session without restrictions is a dumb pipe; with one, messages are cut at their borders for as long as it lives.
"""

import struct

from portico.gateway import x224
from portico.gateway.entry import LogIn
from portico.gateway.rdp_channels import BadChannel, Channel, Switches, channel_for
from portico.gateway.rdp_settings import (
    HEADERS,
    SEND_DATA,
    BadRdp,
    Settings,
    channel_names,
    is_info,
    server_blocks,
    without_compression,
    write_asked,
    write_info,
    write_settings,
)

FAST_PATH, TPKT = 0, 3  # the two lowest bits of a message's first byte
DATA_PDU, INPUT_PDU, FONT_MAP = 0x7, 0x1C, 0x28  # 2.2.8.1.1.1.1, 2.2.8.1.1.1.2
SEND_INDICATION = 0x68  # MCS SendDataIndication, T.125
DYNAMIC = "drdynvc"
MAX_SETUP = 64  # messages until the log-in
SC_NET = 0x0C03
# Channels that carry input beside the main one, or that a mere onlooker has no use for.
NOT_FOR_ONLOOKERS = frozenset({"cliprdr", "rdpdr", "drdynvc", "rail", "encomsp", "remdesk"})


def message_size(head: bytes) -> int | None:
    """Return how long the message is that begins here, TPKT or fast-path; None while that is not known. Raises BadRdp."""
    if len(head) < 2:
        return None
    if head[0] & 3 == TPKT:
        try:
            return x224.tpkt_size(head[:4])
        except x224.BadX224 as problem:
            raise BadRdp(str(problem)) from problem
    if head[0] & 3 != FAST_PATH:
        raise BadRdp("neither TPKT nor fast-path")
    if head[1] & 0x80 and len(head) < 3:
        return None
    size = (head[1] & 0x7F) << 8 | head[2] if head[1] & 0x80 else head[1]
    if size < 3:
        raise BadRdp("length")
    return size


class Greeting:
    """What a server says until its Font Map (2.2.1.22) ends the connection sequence, cut into messages.

    IronRDP loses its place where a message of the sequence and pictures behind it come in one piece, so each is sent on its own.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._count = 0
        self.over = False
        self.protocols: int | None = None  # what the desktop shall have been asked for; None leaves its word

    def feed(self, data: bytes) -> list[bytes]:
        """Return the whole messages; once it is over, also what stands behind, as it is. Raises BadRdp."""
        self._buffer += data
        messages = []
        while not self.over and (size := message_size(bytes(self._buffer[:4]))) and len(self._buffer) >= size:
            message = bytes(self._buffer[:size])
            del self._buffer[:size]
            self._count += 1
            if self._count == 1 and self.protocols is not None:
                message = write_asked(message, self.protocols)
            self.over = self._count > MAX_SETUP or _is_font_map(message)
            messages.append(message)
        if self.over and self._buffer:
            messages.append(bytes(self._buffer))
            self._buffer.clear()
        return messages


def _is_font_map(message: bytes) -> bool:
    """Tell whether a message of the server is a share data PDU of type PDUTYPE2_FONTMAP."""
    if len(message) < HEADERS + 8 or message[0] != TPKT or message[HEADERS] != SEND_INDICATION:
        return False
    at = HEADERS + (8 if message[HEADERS + 6] & 0x80 else 7)
    return len(message) >= at + 15 and message[at + 2] & 0xF == DATA_PDU and message[at + 14] == FONT_MAP


class Pictures:
    """What a browser is sent of an RDP session, without its virtual channels: clipboard and files are nobody else's.

    Before the server's messages stands the RDCleanPath response, in one piece.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._begun = False
        self._channel = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that may be seen. Raises BadRdp."""
        if not self._begun:
            self._begun = True
            return [data]
        self._buffer += data
        messages = []
        while (size := message_size(bytes(self._buffer[:4]))) and len(self._buffer) >= size:
            message = bytes(self._buffer[:size])
            del self._buffer[:size]
            if not self._channel:
                self._channel = _main_channel(message)
            if not self._is_beside(message):
                messages.append(message)
        return messages

    def _is_beside(self, message: bytes) -> bool:
        """Tell whether a message belongs to a virtual channel."""
        if len(message) < HEADERS + 5 or message[0] != TPKT or message[HEADERS] != SEND_INDICATION:
            return False
        return int(struct.unpack_from(">H", message, HEADERS + 3)[0]) != self._channel


def _main_channel(message: bytes) -> int:
    """Return the number of the channel for pictures, by a server's MCS Connect Response (2.2.1.4.4). Raises BadRdp."""
    for kind, (at, size) in server_blocks(message):
        if kind == SC_NET and size >= 6:
            return int(struct.unpack_from("<H", message, at + 4)[0])
    raise BadRdp("network data")


class Inputs:
    """What an RDP client says, cut down to its keys and pointer moves, which come by the fast path (2.2.8.1.2)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take bytes and return those for the desktop. Raises BadRdp."""
        self._buffer += data
        out = bytearray()
        while (size := message_size(bytes(self._buffer[:4]))) and len(self._buffer) >= size:
            if self._buffer[0] & 3 == FAST_PATH:
                out += self._buffer[:size]
            del self._buffer[:size]
        return bytes(out)


class Filter:
    """One session. `inputs` counts messages with input of the person, also those that were dropped."""

    def __init__(
        self, settings: Settings, log_in: LogIn | None, switches: Switches, *, view_only: bool, count: bool
    ) -> None:
        """Take what is to be written into the handshake. `log_in` None leaves the client's; `count`: inputs must be counted."""
        self._settings = settings
        self._log_in = log_in
        self._switches = switches
        self._view_only = view_only
        self._pipe = not (view_only or count or switches.judged)  # what it becomes after the log-in
        self._buffer = bytearray()
        self._setup: int | None = 0  # messages so far; None when the log-in has passed
        self._names: list[str] = []
        self._judges: dict[int, Channel] = {}
        self._learnt = False
        self._initiator = 0
        self.dynamic = 0  # the number of the channel drdynvc, where what goes in it is judged
        self.inputs = 0

    @property
    def curious(self) -> bool:
        """Whether the desktop's first message must be shown to `learn`."""
        return bool(self._switches.judged or not self._switches.usb) and not self._learnt

    def learn(self, message: bytes) -> None:
        """Read the numbers of the channels from a server's MCS Connect Response (2.2.1.4). Raises BadRdp."""
        self._learnt = True
        for kind, (at, size) in server_blocks(message):
            if kind == SC_NET:
                self._number(message[at : at + size])

    def _number(self, block: bytes) -> None:
        if len(block) < 8:
            raise BadRdp("network data")
        (count,) = struct.unpack_from("<H", block, 6)
        if len(block) < 8 + 2 * count:
            raise BadRdp("network data")
        numbers = struct.unpack_from(f"<{count}H", block, 8)
        for name, number in zip(self._names, numbers, strict=False):
            if name in self._switches.judged:
                self._judges[number] = channel_for(name, self._switches)
            if name == DYNAMIC and not self._switches.usb:
                self.dynamic = number

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the client and return those for the desktop. Raises BadRdp, after which nothing may pass."""
        if self._setup is None and self._pipe:
            return data
        self._buffer += data
        out = bytearray()
        try:
            while (size := message_size(bytes(self._buffer[:4]))) and len(self._buffer) >= size:
                message = bytes(self._buffer[:size])
                del self._buffer[:size]
                out += self._begin(message) if self._setup is not None else self._judge(message)
                if self._setup is None and self._pipe:
                    out += self._buffer
                    self._buffer.clear()
        except BadChannel as problem:
            raise BadRdp(str(problem)) from problem
        return bytes(out)

    def _begin(self, message: bytes) -> bytes:
        """Pass a message of the handshake."""
        assert self._setup is not None
        self._setup += 1
        if message[0] & 3 != TPKT or self._setup > MAX_SETUP:
            raise BadRdp("no log-in")
        if self._setup == 1:
            self._names = channel_names(message)
            return write_settings(message, self._settings)
        if not is_info(message):
            return message
        self._setup = None
        (self._initiator,) = struct.unpack_from(">H", message, HEADERS + 1)
        if not self._switches.usb:
            message = without_compression(message)
        return message if self._log_in is None else write_info(message, self._log_in)

    def answer(self, chunk: bytes) -> bytes:
        """Return a chunk on the channel of the dynamic ones, as the client would send it."""
        mcs = struct.pack(">BHHBH", SEND_DATA, self._initiator, self.dynamic, 0x70, 0x8000 | len(chunk)) + chunk
        return struct.pack(">BBHBBB", 3, 0, HEADERS + len(mcs), 2, 0xF0, 0x80) + mcs

    def _judge(self, message: bytes) -> bytes:
        if message[0] & 3 == FAST_PATH:
            self.inputs += 1
            return b"" if self._view_only else message
        if len(message) < HEADERS + 8 or message[HEADERS] != SEND_DATA:
            return message
        at = HEADERS + (8 if message[HEADERS + 6] & 0x80 else 7)
        judge = self._judges.get(struct.unpack_from(">H", message, HEADERS + 3)[0])
        if judge is not None:
            return _with_data(message, judge.judge(message[at:]))
        if len(message) >= at + 15 and message[at + 2] & 0xF == DATA_PDU and message[at + 14] == INPUT_PDU:
            self.inputs += 1
            return b"" if self._view_only else message
        return message


def _with_data(message: bytes, data: bytes) -> bytes:
    """Return an MCS SendDataRequest with other data, or nothing if there is none."""
    if not data:
        return b""
    mcs = message[HEADERS : HEADERS + 6] + struct.pack(">H", 0x8000 | len(data)) + data
    return struct.pack(">BBH", 3, 0, HEADERS + len(mcs)) + message[4:HEADERS] + mcs
