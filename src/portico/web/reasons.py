"""Reasons for machines: the code, what it says, what to do, and the chain behind it."""

from typing import Any

from portico.domain import explain
from portico.domain.model import Reason


def reason_json(reason: Reason) -> dict[str, Any]:
    """Return a reason with its sentence and remedy filled in, in English."""
    message, filling = explain.sentence(reason)
    return {
        "code": reason.code,
        "sentence": message % filling,
        "remedy": explain.remedy(reason.code) % filling,
        "params": dict(reason.params),
        "because": [reason_json(one) for one in reason.because],
    }
