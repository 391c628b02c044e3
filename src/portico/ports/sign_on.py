"""The port to a place that vouches for people by itself: the browser is sent there and comes back with an answer.

A driver is one class in one file, found by the entry point group `portico.directories` like every directory, with
`by_redirect = True`, and `by_post = True` where the answer is a form that the place's own page sends. It bounds every wait
and raises only `portico.errors`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    """Whom the place vouches for.

    `session` names their session there and `name` them in it, so that its end can end ours; `kept` is what the place is told
    when they leave. `once` names an answer that could be brought twice: it serves once before `until` (POSIX seconds). Where the
    place says so, their session ends at `ends` (POSIX seconds) at the latest.
    """

    identity: Identity
    session: str = ""
    name: str = ""
    kept: Mapping[str, str] = field(default_factory=dict)
    once: str = ""
    until: float = 0.0
    ends: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """Whose sessions have ended there: of a subject or of a name, as `Vouched` has them; all of theirs, or those named.

    `answer` is where the browser goes that brought the notice, "" where the place itself did.
    """

    subject: str = ""
    name: str = ""
    sessions: tuple[str, ...] = ()
    answer: str = ""


class SignOn(Protocol):
    """A place that vouches for people, as log-ins use it."""

    kind: ClassVar[str]
    Settings: ClassVar[type]
    by_redirect: ClassVar[bool]
    by_post: ClassVar[bool]

    def check(self) -> tuple[Finding, ...]:
        """Try what a log-in needs and report each step by name. Raises DirectoryError when it cannot be reached."""
        ...

    def begin(self, back: str) -> Departure:
        """Return where to send the browser, which comes back to the URL `back`. Raises DirectoryError."""
        ...

    def finish(self, back: str, kept: Mapping[str, str], answer: Mapping[str, str]) -> Vouched:
        """Read what the browser came back with. Raises DirectoryRefused when it proves nothing, DirectoryError."""
        ...

    def leave(self, back: str, kept: Mapping[str, str]) -> str:
        """Return where to send the browser to end its session there; "" where there is no such place. Raises DirectoryError.

        `kept` is that of the `Vouched` by which the session began.
        """
        ...

    def ended(self, here: str, told: Mapping[str, str]) -> Ended:
        """Read a notice that a session has ended there, as it came to the URL `here`: its fields, or as `query` its very query.

        Raises DirectoryRefused for a forged one, DirectoryError.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Described(SignOn, Protocol):
    """A place that must know us before anybody can be sent there, and that may send people by itself (`by_post`)."""

    def is_unasked(self, answer: Mapping[str, str]) -> bool:
        """Tell whether an answer is one to no request at all. Raises DirectoryRefused for what is no answer."""
        ...

    def describe_us(self, takes: Sequence[str], logouts: Sequence[str]) -> bytes:
        """Write what the place must know of us: the URLs that answers and notices of log-outs come to. Raises DirectoryError."""
        ...
