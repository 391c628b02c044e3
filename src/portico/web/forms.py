"""Form data and nested records: `provisioning.limits.stop_at` both ways. What was typed is kept, right or wrong."""

import json
import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.datastructures import FormData

from portico.web.rendering import N_

TRUE = ("on", "true", "1", "yes")
LINE_LIMIT = 200  # lines of one list in a form
ORDER_PLACES = 4
GONE = N_("What is chosen here is not there any more. Choose another one.")
GONE_MANY = N_("Some of what is chosen here is not there any more. Take it out.")
SECRETS = ("secret", "secret area")


@dataclass(frozen=True, slots=True)
class Option:
    """One entry of a menu."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Widget:
    """A field as it is shown.

    `kind`: text, number, flag, time, secret, secret area, area, choice, many, days, words, pairs, order, areas, json, lines.
    """

    name: str
    label: str
    kind: str = "text"
    help: str = ""
    unit: str = ""
    value: Any = None
    options: tuple[Option, ...] = ()
    required: bool = False
    error: str = ""
    note: str = ""
    blank: bool = False  # nothing chosen is an empty text rather than nothing
    columns: tuple["Widget", ...] = ()  # of a line
    lines: tuple[tuple["Widget", ...], ...] = ()
    needs: str = ""  # the name of the flag without which it says nothing

    @property
    def wants_attention(self) -> bool:
        """Tell whether its section opens by itself: for what is wrong, and for lines that somebody has made."""
        return bool(self.error or self.note or self.lines)

    @property
    def dom_id(self) -> str:
        """The id of its element."""
        return self.name.replace(".", "-")


def get(data: Any, path: str, default: Any = None) -> Any:
    """Return what stands at a path of a nested record."""
    for part in path.split("."):
        if isinstance(data, Mapping):
            data = data.get(part, default)
        elif isinstance(data, Sequence) and not isinstance(data, str) and part.isdecimal() and int(part) < len(data):
            data = data[int(part)]
        else:
            return default
    return data


def put(data: dict[str, Any], path: str, value: Any) -> None:
    """Set what stands at a path, making the records on the way."""
    *way, last = path.split(".")
    for part in way:
        data = data.setdefault(part, {})
    data[last] = value


def read(form: FormData, widgets: Iterable[Widget]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the nested record that was typed, and what cannot be read at all by field."""
    data: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for widget in widgets:
        if widget.kind in SECRETS and not form.get(widget.name):
            continue  # An empty secret keeps the one that is there.
        value, error = _value(form, widget)
        if error:
            wrong[widget.name] = error
        put(data, widget.name, value)
    return data, wrong


def fill(widgets: Iterable[Widget], data: Mapping[str, Any], errors: Mapping[str, str]) -> tuple[Widget, ...]:
    """Return the widgets with their values and errors."""
    return tuple(_filled(widget, data, errors) for widget in widgets)


def keeping(widgets: Iterable[Widget], names: Container[str], label: str) -> tuple[Widget, ...]:
    """Return the widgets with what stands in a menu among its options, so that saving keeps what one cannot choose."""
    return tuple(_keeping(widget, label) if widget.name in names else widget for widget in widgets)


def _keeping(widget: Widget, label: str) -> Widget:
    standing = widget.value if isinstance(widget.value, list | tuple) else (widget.value,)
    known = {option.value for option in widget.options}
    more = tuple(Option(str(value), label) for value in standing if value and value not in known)
    return replace(widget, options=(*widget.options, *more))


def lines_of(form: FormData, name: str, columns: Sequence[Widget]) -> list[dict[str, Any]]:
    """Return the lines of a list in their order; `NAME.0.id` and the like keep what a line already is."""
    prefix = f"{name}."
    numbers = {key[len(prefix) :].partition(".")[0] for key in form if key.startswith(prefix)}
    found = []
    for number in sorted(int(n) for n in numbers if n.isdecimal() and len(n) < 6)[:LINE_LIMIT]:
        line, _ = read(form, [replace(column, name=f"{prefix}{number}.{column.name}") for column in columns])
        line = get(line, f"{prefix}{number}", {})
        if form.get(f"{prefix}{number}.id"):
            line["id"] = str(form[f"{prefix}{number}.id"])
        found.append(line)
    return found


def move_lines(lines: list[dict[str, Any]], intent: str) -> list[dict[str, Any]]:
    """Return the lines after a press of add, remove, up or down (`remove:2`), for people without a script."""
    verb, _, number = intent.partition(":")
    at = int(number) if number.isdecimal() else -1
    if verb == "add":
        return [*lines, {}]
    if not 0 <= at < len(lines):
        return lines
    if verb == "remove":
        return lines[:at] + lines[at + 1 :]
    to = at + {"up": -1, "down": 1}.get(verb, 0)
    if 0 <= to < len(lines):
        lines[at], lines[to] = lines[to], lines[at]
    return lines


def _value(form: FormData, widget: Widget) -> tuple[Any, str]:
    typed = str(form.get(widget.name) or "")
    match widget.kind:
        case "flag":
            return typed.lower() in TRUE, ""
        case "number":
            return _number(typed)
        case "many" | "days":
            return [str(value) for value in form.getlist(widget.name) if value], ""
        case "order":
            places = [str(form.get(f"{widget.name}.{place}") or "") for place in range(ORDER_PLACES)]
            return list(dict.fromkeys(value for value in places if value)), ""
        case "areas":
            levels = {option.value: str(form.get(f"{widget.name}.{option.value}") or "") for option in widget.options}
            return {area: level for area, level in levels.items() if level in ("view", "edit")}, ""
        case "json":
            return _json(typed)
        case "words":
            return list(dict.fromkeys(word.strip() for word in typed.split(",") if word.strip())), ""
        case "pairs":
            return _pairs(typed)
        case "lines":
            return lines_of(form, widget.name, widget.columns), ""
        case "choice":
            return typed or ("" if widget.required or widget.blank else None), ""
        case _:
            return typed.replace("\r\n", "\n"), ""


def _number(typed: str) -> tuple[Any, str]:
    if not typed.strip():
        return None, ""
    try:
        number = float(typed.strip().replace(",", "."))
    except ValueError:
        return typed, N_("Type a number.")
    if not math.isfinite(number):
        return typed, N_("Type a number.")
    return (int(number) if number.is_integer() else number), ""


def _json(typed: str) -> tuple[Any, str]:
    if not typed.strip():
        return {}, ""
    try:
        return json.loads(typed), ""
    except (ValueError, RecursionError):
        return typed, N_('This is not JSON. It looks like {"name": "value"}.')


def _pairs(typed: str) -> tuple[Any, str]:
    """Return names with values out of lines such as `name=value`."""
    found: dict[str, str] = {}
    for line in typed.replace("\r\n", "\n").split("\n"):
        name, equals, value = line.partition("=")
        if equals and name.strip():
            found[name.strip()] = value.strip()
        elif line.strip():
            return typed, N_("Write one name=value in each line.")
    return found, ""


def _filled(widget: Widget, data: Mapping[str, Any], errors: Mapping[str, str]) -> Widget:
    value = get(data, widget.name, widget.value)  # A line that was just added begins with the defaults.
    error = errors.get(widget.name, "")
    if widget.kind == "lines":
        lines = tuple(
            tuple(
                _filled(replace(column, name=f"{widget.name}.{at}.{column.name}"), data, errors)
                for column in widget.columns
            )
            for at in range(len(value or ()))
        )
        return replace(widget, value=list(value or ()), lines=lines, error=error)
    if widget.kind in SECRETS:
        return replace(widget, error=error)
    if widget.kind == "json" and not isinstance(value, str):
        value = json.dumps(value, indent=2, sort_keys=True) if value else ""
    if widget.kind == "pairs" and not isinstance(value, str):
        value = "\n".join(f"{key}={text}" for key, text in (value or {}).items())
    if widget.kind == "words" and not isinstance(value, str):
        value = ", ".join(value or ())
    if widget.kind == "time":
        value = "00:00" if value == "24:00" else value
    if widget.kind in ("many", "days"):
        value = [str(one) for one in value or ()]
        known = {option.value for option in widget.options}
        lost = tuple(Option(one, one) for one in value if one not in known)
        note = GONE_MANY if lost else widget.note
        return replace(widget, value=value, error=error, options=(*widget.options, *lost), note=note)
    if widget.kind == "choice" and value and str(value) not in {option.value for option in widget.options}:
        gone = Option(str(value), str(value))
        return replace(widget, value=value, error=error, options=(*widget.options, gone), note=GONE)
    return replace(widget, value=value, error=error)
