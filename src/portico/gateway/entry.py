"""What a browser says first: its ticket, for a terminal its size, for RDP its keyboard. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_BYTES = 8 * 1024
MAX_NAME = 256  # characters of a name or password that a person types
MAX_CELLS = 1000  # columns or rows; more is not a terminal but an attack on whoever allocates the screen


class BadEntry(Exception):
    """The first message is not what the door expects. The message says why, for the log."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the browser asks for: the ticket, and the size of its terminal in cells."""

    ticket: str
    columns: int = 80
    rows: int = 24
    log_in: "LogIn | None" = None  # what the person typed, where the broker has no password for the desktop

    def __repr__(self) -> str:
        """Leave ticket and log-in out, so that no log can hold them."""
        return f"Entry(columns={self.columns}, rows={self.rows})"


@dataclass(frozen=True, slots=True)
class LogIn:
    """As whom a person wants to enter a desktop."""

    username: str
    domain: str
    password: str = field(repr=False)


def parse_log_in(message: str) -> LogIn:
    """Read the message in which a person's own log-in comes. Raises BadEntry."""
    fields = parse_object(message).get("log_in")
    if not isinstance(fields, dict):
        raise BadEntry("not a log-in")
    values = [fields.get(name, "") for name in ("username", "domain", "password")]
    texts = [value for value in values if isinstance(value, str) and len(value) <= MAX_NAME and "\0" not in value]
    if len(texts) != len(values) or not texts[0] or not texts[2]:
        raise BadEntry("not a log-in")
    username, domain, password = texts
    if not domain and "\\" in username:
        domain, _, username = username.partition("\\")
    return LogIn(username, domain, password)


def parse_entry(message: str | bytes) -> Entry:
    """Read the first message. Raises BadEntry."""
    if not isinstance(message, str):
        raise BadEntry("not a text message")
    if len(message.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise BadEntry("too long")
    fields = parse_object(message)
    ticket = fields.get("ticket")
    if not isinstance(ticket, str) or not ticket or not ticket.isascii():
        raise BadEntry("no ticket")
    columns, rows = fields.get("columns", 80), fields.get("rows", 24)
    size = cells(columns, rows)
    if size is None:
        raise BadEntry("not a terminal size")
    return Entry(ticket, *size)


def parse_object(message: str) -> Mapping[str, object]:
    """Read a JSON object. Raises BadEntry for anything else."""
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError) as problem:
        raise BadEntry("not JSON") from problem
    if not isinstance(fields, dict):
        raise BadEntry("not a JSON object")
    return fields


def cells(columns: object, rows: object) -> tuple[int, int] | None:
    """Return a terminal's size if these are two sensible numbers, else None."""
    if isinstance(columns, bool) or isinstance(rows, bool) or not isinstance(columns, int) or not isinstance(rows, int):
        return None
    return (columns, rows) if 1 <= columns <= MAX_CELLS and 1 <= rows <= MAX_CELLS else None


def keyboard_layout(query: str) -> int:
    """Return the Windows keyboard layout that the door's address names ("layout=0x407"), 0 for none or nonsense."""
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name == "layout" and len(value) <= 10 and value.isascii():
            try:
                number = int(value, 16)
            except ValueError:
                return 0
            return number if 0 < number <= 0xFFFFFFFF else 0
    return 0
