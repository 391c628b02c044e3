"""The port to a directory: who somebody is, and what their organisation says about them.

A driver is one class in one file, found by the entry point group `portico.directories`, constructed as
`Driver(settings, context)` where `settings` is an instance of the driver's own frozen dataclass `Driver.Settings`.
A driver is safe to call from several threads, bounds every wait by its own `timeout` setting, never sends an empty
password, and raises only `portico.errors` (`DirectoryError` and below). The contract suite in tests/contract/directory_suite.py
runs on all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from portico.domain.directories import Identity as Identity
from portico.domain.directories import Standing as Standing
from portico.ports.driver import Finding as Finding
from portico.ports.driver import Meta as Meta


@dataclass(frozen=True, slots=True)
class DirectoryContext:
    """What a driver may know of the deployment.

    `egress_allow` as in config: what typed addresses may reach besides public ones. `own_url` names this directory of ours to
    a provider.
    """

    egress_allow: tuple[str, ...] = ()
    own_url: str = ""


@dataclass(frozen=True, slots=True)
class TypedName:
    """A user name as somebody typed it: `user` alone, and `whole` with the domain that stood around it."""

    user: str
    whole: str


def is_sendable(text: str) -> bool:
    """Tell whether a text can be sent at all: halves of surrogate pairs cannot, and nobody is called NUL."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a directory says of a name and a password. `identity` is there once the password was right, also when `standing` is no."""

    standing: Standing
    identity: Identity | None = None
    detail: str = ""  # for the log


class Directory(Protocol):
    """A directory, as log-ins use it."""

    kind: ClassVar[str]
    Settings: ClassVar[type]
    # Whether who must change their password may come in to do so. Of the class: whether people may change theirs at all.
    changes_passwords: bool
    can_look: bool  # whether `look` and `describe` can be answered

    def check(self) -> tuple[Finding, ...]:
        """Try what a log-in needs and report each step by name. Raises DirectoryError when no server can be reached."""
        ...

    def authenticate(self, name: TypedName, password: str) -> Verdict:
        """Find the name and try the password. A name that nobody has takes as many questions as one that somebody has.

        Raises DirectoryError when no server answers in time, or when the service account is refused.
        """
        ...

    def look(self, login_names: Sequence[str]) -> Mapping[str, Identity | None]:
        """Return what is known of people without their password, None for who is gone or may not log in any more. Raises DirectoryError."""
        ...

    def describe(self, name: TypedName) -> Identity | None:
        """Return what a log-in would tell of somebody, groups included, without their password. None for a name that nobody has. Raises DirectoryError."""
        ...

    def change_password(self, name: TypedName, old: str, new: str) -> Verdict:
        """Change somebody's password as they would themselves: the old one must be right. Raises DirectoryError, DirectoryRefused."""
        ...

    def close(self) -> None:
        """Let go of connections. The driver is not used afterwards."""
        ...
