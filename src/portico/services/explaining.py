"""Reasons as English sentences, for errors that services raise; pages translate the same sentences themselves."""

from portico.domain import explain
from portico.domain.model import Reason


def sentence(reason: Reason) -> str:
    """Return a reason's sentence with its parameters filled in."""
    text, params = explain.sentence(reason)
    return text.format(**params) if "{" in text else text % params if "%(" in text else text
