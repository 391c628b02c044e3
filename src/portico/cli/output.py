"""How answers look: a narrow table for people; JSON, YAML, CSV and bare values for programs."""

import argparse
import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

FORMATS = ("table", "json", "csv", "yaml", "value")
CELL = 44  # characters of a table's cell; -c with another format shows all of it
PREFERRED = (
    "name", "login_name", "hostname", "kind", "code", "status", "state", "stage", "power", "agent", "session", "level",
    "value", "address", "reason.code", "at", "is_default", "disabled", "created_at",
)  # fmt: skip
MOST = 6


def options(parser: argparse.ArgumentParser) -> None:
    """Add how the answer is to look."""
    group = parser.add_argument_group("output")
    group.add_argument("-f", "--format", choices=FORMATS, default="table", help="default: table")
    group.add_argument("-c", "--column", action="append", default=[], metavar="COLUMN",
                       help="only this column, dots lead inwards (repeat for more)")  # fmt: skip


def shown_columns(known: Sequence[str]) -> list[str]:
    """Choose the columns of a list: the id, and a few that tell things apart."""
    here = [name for name in PREFERRED if name.partition(".")[0] in known]
    return [*(["id"] if "id" in known else []), *here[:MOST]] or list(known)[:MOST]


def rows(items: Sequence[Mapping[str, Any]], columns: Sequence[str], style: str) -> None:
    """Write a list."""
    if style == "json":
        _out(json.dumps([_picked(item, columns) for item in items], indent=2, ensure_ascii=False))
    elif style == "yaml":
        _out(yaml([_picked(item, columns) for item in items]))
    elif style == "csv":
        _out(_csv([columns, *([text(get(item, name)) for name in columns] for item in items)]))
    elif style == "value":
        _out("\n".join(" ".join(text(get(item, name)) for name in columns) for item in items))
    else:
        _out(_table([list(columns), *([_cell(get(item, name)) for name in columns] for item in items)]))


def record(item: Mapping[str, Any], columns: Sequence[str], style: str) -> None:
    """Write one thing: a line for each field."""
    names = list(columns) or list(item)
    if style == "json":
        _out(json.dumps(_picked(item, columns), indent=2, ensure_ascii=False))
    elif style == "yaml":
        _out(yaml(_picked(item, columns)))
    elif style == "csv":
        _out(_csv([names, [text(get(item, name)) for name in names]]))
    elif style == "value":
        _out("\n".join(text(get(item, name)) for name in names))
    else:
        _out(_table([["field", "value"], *([name, text(get(item, name))] for name in names)]))


def get(item: Any, name: str) -> Any:
    """Return a value by its dotted name, None where there is none."""
    for part in name.split("."):
        item = item.get(part) if isinstance(item, Mapping) else None
    return item


def text(value: Any) -> str:
    """Return a value on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else " " for letter in str(value))


def yaml(value: Any, indent: int = 0) -> str:
    """Return a value as YAML: blocks for what has parts, JSON's own scalars for the rest."""
    space = " " * indent
    if isinstance(value, Mapping) and value:
        return "\n".join(f"{space}{_scalar(str(key))}:{_below(one, indent)}" for key, one in value.items())
    if isinstance(value, list | tuple) and value:
        return "\n".join(f"{space}-{_below(one, indent)}" for one in value)
    return space + _scalar(value)


def _below(value: Any, indent: int) -> str:
    if isinstance(value, Mapping | list | tuple) and value:
        return "\n" + yaml(value, indent + 2)
    return " " + _scalar(value)


def _scalar(value: Any) -> str:
    line = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in line)


def _picked(item: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {name: get(item, name) for name in columns} if columns else dict(item)


def _cell(value: Any) -> str:
    line = text(value)
    return line if len(line) <= CELL else line[: CELL - 1] + "…"


def _csv(lines: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue().rstrip("\n")


def _table(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    shown.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(shown)


def _out(said: str) -> None:
    sys.stdout.write(said + "\n" if said else "")
