"""LDAP directories: what Active Directory and OpenLDAP have in common. A log-in is a search as the service account, then a bind.

People are found by their attributes and bound by their DN, so that every way to write a name comes to the same. What a person
typed reaches the server as a value of a filter, never as part of its text.
"""

import secrets
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import sansldap

from portico.directories import ldap_settings
from portico.directories.deadline import Deadline
from portico.directories.ldap_pool import Pool
from portico.directories.ldap_settings import LdapSettings, words
from portico.directories.ldap_wire import Answer, Connection, Entry
from portico.egress import Reach
from portico.errors import DirectoryError, Invalid
from portico.ports.directory import DirectoryContext, Finding, Identity, Standing, TypedName, Verdict, is_sendable

LOOK_AT_ONCE = 50  # names in one search
MAX_NAME = 256
_READ = ("displayName", "cn", "mail", "uid")


class Ldap:
    """The parts of the driver that both kinds share."""

    changes_passwords: ClassVar[bool] = True
    can_look: ClassVar[bool] = True
    subject_attribute: ClassVar[str]
    srv: ClassVar[tuple[tuple[str, str, int], ...]]
    more: ClassVar[tuple[str, ...]] = ()  # attributes that the kind itself needs

    def __init__(self, settings: LdapSettings, context: DirectoryContext) -> None:
        """Read the settings; nothing is asked yet. Raises Invalid naming each setting that cannot be used."""
        ldap_settings.check(settings)
        self.settings = settings
        self._people = ldap_settings.filter_of(settings)
        self.pool = Pool(settings, Reach(context.egress_allow, field="servers"), self.srv)

    def check(self) -> tuple[Finding, ...]:
        """Connect to every server, log in as the service account, and look for people and groups."""
        found = []
        for server in self.pool.servers(self._deadline()):
            try:
                with self.pool.open_one(server, self._deadline()):
                    found.append(Finding(f"server {server.host}:{server.port}", "granted", group="network"))
            except (DirectoryError, Invalid) as problem:
                found.append(Finding(f"server {server.host}:{server.port}", "missing", problem.sentence, "network"))
        if not any(one.state == "granted" for one in found):
            return tuple(found)
        try:
            some = self._search_people(sansldap.FilterPresent(self.subject_attribute), self._deadline(), limit=1)
        except DirectoryError as problem:
            return (*found, Finding("service account", "missing", problem.sentence, "rights"))
        found.append(Finding("service account", "granted", group="rights"))
        remedy = (
            "" if some else "Nobody is found there. Check the search base, the filter, and what the account may read."
        )
        found.append(Finding("people", "granted" if some else "missing", remedy, "rights"))
        return tuple(found)

    def authenticate(self, name: TypedName, password: str) -> Verdict:
        """Find the person, try the password, and only then read the groups."""
        deadline = self._deadline()
        if not password or not is_sendable(password):
            return Verdict(Standing.WRONG, detail="no password")
        entry = self._find(name, deadline)
        if entry is None:
            # As many questions as for a name that somebody has; the password goes nowhere.
            self.pool.bind(f"cn={secrets.token_hex(8)},{self.settings.base}", secrets.token_hex(8), deadline)
            return Verdict(Standing.UNKNOWN)
        answer = self.pool.bind(entry.dn, password, deadline, ppolicy=True)
        standing = self.standing(answer)
        if standing is Standing.EXPIRED and self.settings.allow_expired:
            standing = Standing.OK
        if standing in (Standing.WRONG, Standing.LOCKED):
            return Verdict(standing, detail=answer.text)
        return Verdict(standing, self._identity(entry, self._groups(entry, deadline)), answer.text)

    def look(self, login_names: Sequence[str]) -> Mapping[str, Identity | None]:
        """Look people up by the attributes that names are compared with, some dozens in one search."""
        deadline = self._deadline()
        found: dict[str, Identity | None] = dict.fromkeys(login_names)
        for start in range(0, len(login_names), LOOK_AT_ONCE):
            some = login_names[start : start + LOOK_AT_ONCE]
            where = sansldap.FilterOr([self._named(TypedName(name, name)) for name in some])
            for entry in self._search_people(where, deadline):
                for name in (name for name in some if self._login_name(entry).casefold() == name.casefold()):
                    found[name] = self._identity(entry, ()) if self.may_log_in(entry) else None
        return found

    def describe(self, name: TypedName) -> Identity | None:
        """Find somebody as the service account and read their groups."""
        deadline = self._deadline()
        entry = self._find(name, deadline)
        return self._identity(entry, self._groups(entry, deadline)) if entry is not None else None

    def change_password(self, name: TypedName, old: str, new: str) -> Verdict:
        """Change a password with the right of who knows the old one. Raises DirectoryError, DirectoryRefused."""
        deadline = self._deadline()
        entry = self._find(name, deadline)
        if entry is None or not (old and new and is_sendable(old + new)):
            return Verdict(Standing.WRONG)
        return Verdict(self.change(entry, old, new, deadline))

    def close(self) -> None:
        """Close the connections."""
        self.pool.close()

    @abstractmethod
    def standing(self, answer: Answer) -> Standing:
        """Tell what a server's answer to a bind means."""

    @abstractmethod
    def may_log_in(self, entry: Entry) -> bool:
        """Tell whether an account is there to be used, as far as its entry says."""

    @abstractmethod
    def groups(self, entry: Entry, connection: Connection, deadline: Deadline) -> tuple[str, ...]:
        """Return the names of the groups of somebody, nested ones included where the settings say so."""

    @abstractmethod
    def change(self, entry: Entry, old: str, new: str, deadline: Deadline) -> Standing:
        """Change a password; OK or WRONG. Raises DirectoryRefused with what the directory says."""

    @abstractmethod
    def subject(self, entry: Entry) -> str:
        """Return what never changes of somebody."""

    def _deadline(self) -> Deadline:
        return Deadline(self.settings.timeout)

    def _find(self, name: TypedName, deadline: Deadline) -> Entry | None:
        if not name.user.strip() or len(name.whole) > MAX_NAME or not is_sendable(name.whole):
            return None
        found = self._search_people(self._named(name), deadline, limit=2)
        return found[0] if len(found) == 1 else None  # of two with one name it cannot be told who is meant

    def _named(self, name: TypedName) -> sansldap.LDAPFilter:
        tests: list[sansldap.LDAPFilter] = []
        for attribute in words(self.settings.match):
            text = name.user
            if attribute.lower() in ("userprincipalname", "mail"):
                text = name.whole if "@" in name.whole else f"{name.user}@{self.settings.dns_domain}"
            tests.append(sansldap.FilterEquality(attribute, text.encode()))
        return sansldap.FilterOr(tests)

    def _search_people(self, where: sansldap.LDAPFilter, deadline: Deadline, limit: int = 1000) -> list[Entry]:
        wanted = (
            *_READ,
            self.subject_attribute,
            *self.more,
            *words(self.settings.match),
            *words(self.settings.attributes),
        )
        both = sansldap.FilterAnd([self._people, where])
        return self.pool.as_service(
            lambda connection: connection.search(
                self.settings.base, both, list(dict.fromkeys(wanted)), deadline, limit=limit
            ),
            deadline,
        )

    def _groups(self, entry: Entry, deadline: Deadline) -> tuple[str, ...]:
        if self.settings.groups == "off":
            return ()
        names = self.pool.as_service(lambda connection: self.groups(entry, connection, deadline), deadline)
        return tuple(sorted(dict.fromkeys(name for name in names if name), key=str.casefold))

    def _login_name(self, entry: Entry) -> str:
        """Return the first attribute that names are compared with: the one way to write it that we keep."""
        return next((text for name in words(self.settings.match) if (text := entry.text(name))), "")

    def _identity(self, entry: Entry, groups: tuple[str, ...]) -> Identity:
        kept = (*words(self.settings.attributes), *words(self.settings.match))
        attributes = {name.lower(): entry.texts(name) for name in kept} | {"dn": (entry.dn,)}
        return Identity(
            subject=self.subject(entry) or entry.dn,
            login_name=self._login_name(entry),
            display_name=entry.text("displayName") or entry.text("cn"),
            email=entry.text("mail"),
            groups=groups,
            attributes=attributes,
        )
