"""The port to a place that vouches for people by itself: the browser is sent there and comes back with an answer.

A driver is one class in one file, found by the entry point group `portico.directories` like every directory, with
`by_redirect = True`. It bounds every wait and raises only `portico.errors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from portico.domain.directories import Identity as Identity
from portico.ports.driver import Finding as Finding


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to send the browser, and what must be kept (sealed, at the browser) until it is back."""

    url: str
    kept: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom the place vouches for. `session` names their session there, so that its end can end ours."""

    identity: Identity
    session: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """Whose sessions have ended there: of one session, or of a subject altogether."""

    subject: str = ""
    session: str = ""


class SignOn(Protocol):
    """A place that vouches for people, as log-ins use it."""

    kind: ClassVar[str]
    Settings: ClassVar[type]
    by_redirect: ClassVar[bool]

    def check(self) -> tuple[Finding, ...]:
        """Try what a log-in needs and report each step by name. Raises DirectoryError when it cannot be reached."""
        ...

    def begin(self, back: str) -> Departure:
        """Return where to send the browser, which comes back to the URL `back`. Raises DirectoryError."""
        ...

    def finish(self, back: str, kept: Mapping[str, str], answer: Mapping[str, str]) -> Vouched:
        """Read what the browser came back with. Raises DirectoryRefused when it proves nothing, DirectoryError."""
        ...

    def leave(self, back: str) -> str:
        """Return where to send the browser to end its session there; "" where there is no such place. Raises DirectoryError."""
        ...

    def ended(self, token: str) -> Ended:
        """Read a notice that a session has ended there. Raises DirectoryRefused for a forged one, DirectoryError."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
