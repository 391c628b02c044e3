"""A list of people in the settings themselves: for a handful of accounts, or to try rules before the real directory is there."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from portico.directories import crypt3
from portico.errors import DirectoryRefused, Invalid
from portico.ports.directory import DirectoryContext, Finding, Identity, Meta, Standing, TypedName, Verdict

MAX_PEOPLE = 1000
_NAME = re.compile(r"[^\s:@\\]{1,64}")
_FIELDS = 2  # that a line must have


@dataclass(frozen=True, slots=True)
class ListedSettings:
    """The people."""

    people: Annotated[
        str,
        Meta(
            "People",
            "One a line: name:password hash:full name:email:group,group. Hashes as `openssl passwd -6` and `mkpasswd` make them; "
            "a hash of ! is a disabled account. Lines that begin with # are comments.",
            secret=True,
            multiline=True,
        ),
    ] = ""
    answer_after: Annotated[
        float, Meta("Answer after", "To see what people see when a directory is slow.", unit="seconds", advanced=True)
    ] = 0.0


@dataclass(frozen=True, slots=True)
class _Person:
    name: str
    hashed: str
    full: str
    email: str
    groups: tuple[str, ...]


class Listed:
    """People as they are written in a list."""

    kind: ClassVar[str] = "list"
    Settings: ClassVar[type] = ListedSettings
    changes_passwords: ClassVar[bool] = False
    can_look: ClassVar[bool] = True

    def __init__(self, settings: ListedSettings, context: DirectoryContext) -> None:
        """Read the list. Raises Invalid naming each line that cannot be used."""
        self._people = _read(settings.people)
        self._seconds = min(30.0, max(0.0, settings.answer_after))

    def check(self) -> tuple[Finding, ...]:
        """Tell whether anybody is listed; there is nothing to reach."""
        if self._people:
            return (Finding("people", "granted", detail=str(len(self._people))),)
        return (Finding("people", "missing", "List at least one person in the settings."),)

    def authenticate(self, name: TypedName, password: str) -> Verdict:
        """Compare the password, in the time of a hash also for names that nobody has."""
        time.sleep(self._seconds)
        person = self._people.get(name.user.casefold())
        right = crypt3.fits(password, person.hashed if person else "")
        if person is None:
            return Verdict(Standing.UNKNOWN)
        return Verdict(Standing.OK, _identity(person)) if right else Verdict(Standing.WRONG)

    def look(self, login_names: Sequence[str]) -> Mapping[str, Identity | None]:
        """Look people up in the list."""
        found = {name: self._people.get(name.casefold()) for name in login_names}
        return {
            name: _identity(person) if person is not None and crypt3.is_usable(person.hashed) else None
            for name, person in found.items()
        }

    def describe(self, name: TypedName) -> Identity | None:
        """Look somebody up in the list."""
        person = self._people.get(name.user.casefold())
        return _identity(person) if person is not None else None

    def change_password(self, name: TypedName, old: str, new: str) -> Verdict:
        """Refuse: the list is changed by administrators."""
        raise DirectoryRefused("Passwords of this directory are changed by an administrator.")

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _identity(person: _Person) -> Identity:
    return Identity(person.name, person.name, person.full, person.email, person.groups, {})


def _read(text: str) -> dict[str, _Person]:
    found: dict[str, _Person] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split(":")]
        if len(fields) < _FIELDS or not _NAME.fullmatch(fields[0]) or not fields[1]:
            raise _wrong(
                f"Line {number}: write name:hash, then full name, email and groups if you like, parted by colons."
            )
        name, hashed, full, email, groups = [*fields, "", "", ""][:5]
        if name.casefold() in found:
            raise _wrong(f"Line {number}: {name} is listed twice.")
        kept = tuple(group for group in groups.split(",") if group)
        found[name.casefold()] = _Person(name, hashed, full or name, email, kept)
        if len(found) > MAX_PEOPLE:
            raise _wrong(f"List at most {MAX_PEOPLE} people.")
    return found


def _wrong(sentence: str) -> Invalid:
    return Invalid(sentence, {"people": sentence})
