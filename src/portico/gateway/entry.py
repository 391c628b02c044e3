"""The first message of a browser: its ticket, and for a terminal its size. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

MAX_BYTES = 8 * 1024
MAX_CELLS = 1000  # columns or rows; more is not a terminal but an attack on whoever allocates the screen


class BadEntry(Exception):
    """The first message is not what the door expects. The message says why, for the log."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the browser asks for: the ticket, and the size of its terminal in cells."""

    ticket: str
    columns: int = 80
    rows: int = 24

    def __repr__(self) -> str:
        """Leave the ticket out, so that no log can hold it."""
        return f"Entry(columns={self.columns}, rows={self.rows})"


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
