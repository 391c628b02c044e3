"""Reasons for people and machines: a sentence and a remedy to be translated, JSON and back, the chain behind a reason."""

import re
from collections.abc import Mapping
from typing import Any

from portico.domain.happenings import EVENTS, UNKNOWN_EVENT
from portico.domain.model import Reason
from portico.domain.sentences import COUNTED, SENTENCES, UNKNOWN

MAX_DEPTH = 8  # of a chain that is read from outside
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


def sentence(reason: Reason) -> tuple[str, Mapping[str, object]]:
    """Return the English message id of a reason and what fills it; `message % filling` always works, translated or not."""
    message = SENTENCES.get(reason.code, UNKNOWN)[0]
    if "count" in reason.params:
        message = COUNTED.get(reason.code, message)
    # What the reason does not tell is left empty rather than breaking the page.
    empty = dict.fromkeys(_PLACEHOLDER.findall(message + remedy(reason.code)), "")
    given = {name: value for name, value in reason.params.items() if value is not None}
    return message, {**empty, **given, "code": reason.code}


def event(code: str, params: Mapping[str, Any]) -> tuple[str, Mapping[str, object]]:
    """Return the English message id of an event and what fills it, as `sentence` does for a reason."""
    message = EVENTS.get(code) or EVENTS.get(f"*.{code.rpartition('.')[2]}", UNKNOWN_EVENT)
    empty = dict.fromkeys(_PLACEHOLDER.findall(message), "")
    return message, {**empty, **{name: value for name, value in params.items() if value is not None}, "code": code}


def remedy(code: str) -> str:
    """Return the message id of what to do about a reason, "" when there is nothing; it is filled like the sentence."""
    return SENTENCES.get(code, UNKNOWN)[1]


def chain(reason: Reason) -> list[Reason]:
    """Return the reason and all that stand behind it, each before its own causes."""
    return [reason, *(each for cause in reason.because for each in chain(cause))]


def as_json(reason: Reason) -> dict[str, Any]:
    """Return a reason as it stands in the database, in events and in the API."""
    return {
        "code": reason.code,
        "params": dict(reason.params),
        "because": [as_json(cause) for cause in reason.because],
    }


def from_json(data: object) -> Reason:
    """Return the reason that `as_json` wrote; whatever is not of that shape becomes the code "unknown" or is left out."""
    return _from_json(data, MAX_DEPTH)


def _from_json(data: object, depth: int) -> Reason:
    if not isinstance(data, Mapping) or not isinstance(data.get("code"), str):
        return Reason("unknown")
    params, because = data.get("params"), data.get("because")
    plain = {
        str(name): value
        for name, value in (params.items() if isinstance(params, Mapping) else ())
        if value is None or isinstance(value, str | int | float | bool)
    }
    causes = because if isinstance(because, list | tuple) and depth > 0 else ()
    return Reason(data["code"], plain, tuple(_from_json(cause, depth - 1) for cause in causes))
