"""The port to whoever checks codes elsewhere: a server that is asked by name and code, and may ask back.

A driver is one class in one file, found by the entry point group `portico.factors`, constructed as `Driver(settings, context)`
where `settings` is an instance of `Driver.Settings`. It is safe to call from several threads, bounds every wait, and raises only
`portico.errors`: DirectoryError when no server answers, Unanswered when one is there and says neither yes nor no.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from portico.errors import DirectoryRefused
from portico.ports.driver import Finding as Finding


class Unanswered(DirectoryRefused):
    """The server is there, and nobody has confirmed the log-in in time."""

    code = "factor.unanswered"


class Answer(StrEnum):
    """What a server says of a code."""

    ACCEPT = "accept"
    REJECT = "reject"
    CHALLENGE = "challenge"  # it asks for more


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer. `message` is plain text for the person; `state` goes back with what they answer to a challenge."""

    answer: Answer
    message: str = ""
    state: bytes = b""


@dataclass(frozen=True, slots=True)
class FactorContext:
    """What a driver may know of the deployment. `egress_allow` as in config."""

    egress_allow: tuple[str, ...] = ()


class SecondFactor(Protocol):
    """A server that checks codes, as log-ins use it."""

    kind: ClassVar[str]
    Settings: ClassVar[type]

    def ask(self, name: str, code: str, state: bytes = b"") -> Reply:
        """Ask about a code; an empty one asks for a push. Raises DirectoryError, Unanswered, Invalid for a code that cannot be sent."""
        ...

    def check(self) -> tuple[Finding, ...]:
        """Try each server, and tell what its silence may mean."""
        ...

    def close(self) -> None:
        """Let go of what is kept."""
        ...
