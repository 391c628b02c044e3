"""NIS: people and groups in the maps of ypserv, passwords compared by crypt(3) here."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from portico.directories import crypt3, nis_wire
from portico.directories.deadline import Deadline
from portico.directories.ldap_settings import words
from portico.directories.nis_wire import Connect, NoMap
from portico.egress import Reach, addresses, read_host
from portico.errors import DirectoryError, DirectoryRefused, Invalid
from portico.ports.directory import DirectoryContext, Finding, Identity, Meta, Standing, TypedName, Verdict, is_sendable

GROUPS_SECONDS = 60.0  # how long the group map is kept: it is read as a whole
PASSWD_FIELDS = 7  # passwd(5)
GROUP_FIELDS = 4  # group(5)
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class NisSettings:
    """A NIS domain."""

    servers: Annotated[str, Meta("Servers", "Names or addresses, parted by commas, asked in this order.")] = ""
    domain: Annotated[str, Meta("NIS domain", "As `domainname` says on its members.")] = ""
    timeout: Annotated[int, Meta("Wait for an answer at most", unit="seconds", advanced=True)] = 10


class Nis:
    """A domain of ypserv. What goes over the wire is readable by anyone on it: `check` says so."""

    kind: ClassVar[str] = "nis"
    Settings: ClassVar[type] = NisSettings
    changes_passwords: ClassVar[bool] = False
    can_look: ClassVar[bool] = True

    def __init__(self, settings: NisSettings, context: DirectoryContext) -> None:
        """Read the settings; nothing is asked yet. Raises Invalid naming each setting that cannot be used."""
        wrong = {}
        self._hosts = words(settings.servers)
        try:
            for host in self._hosts:
                read_host(host, "servers")
        except Invalid as problem:
            wrong["servers"] = problem.sentence
        if not self._hosts:
            wrong["servers"] = "Name at least one server."
        if not settings.domain.strip() or len(settings.domain) > MAX_NAME:
            wrong["domain"] = "Give the NIS domain, of at most 64 characters."
        if not 1 <= settings.timeout <= 60:
            wrong["timeout"] = "Give 1 to 60 seconds."
        if wrong:
            raise Invalid("Some settings cannot be used.", wrong)
        self._settings, self._reach = settings, Reach(context.egress_allow, field="servers")
        self._lock = threading.Lock()
        self._groups: tuple[float, Mapping[str, tuple[str, ...]], Mapping[str, str]] = (float("-inf"), {}, {})

    def check(self) -> tuple[Finding, ...]:
        """Ask every server for the map of people, and warn that anyone on the network may listen."""
        found = []
        for host in self._hosts:
            deadline = Deadline(self._settings.timeout)
            try:
                connect, port = self._server(host, deadline)
                nis_wire.match(connect, port, (self._settings.domain, "passwd.byname", "root"), deadline)
                found.append(Finding(f"server {host}", "granted", group="network"))
            except DirectoryError as problem:
                found.append(Finding(f"server {host}", "missing", problem.sentence, "network"))
        remedy = "NIS sends password hashes in clear: use it only in networks that you trust, and plan to leave it."
        return (*found, Finding("encryption", "warning", remedy, "network"))

    def authenticate(self, name: TypedName, password: str) -> Verdict:
        """Read the person's line and compare the password, which never leaves the broker."""
        deadline = Deadline(self._settings.timeout)
        if not password:
            return Verdict(Standing.WRONG, detail="no password")
        line, hashed = self._person(name.user, deadline)
        right = crypt3.fits(password, hashed)
        if line is None:
            return Verdict(Standing.UNKNOWN)
        if not right:
            return Verdict(Standing.WRONG, detail="" if crypt3.is_usable(hashed) else "no usable hash")
        return Verdict(Standing.OK, self._identity(line, self._groups_of(line, deadline)))

    def look(self, login_names: Sequence[str]) -> Mapping[str, Identity | None]:
        """Read each person's line; who has no usable hash may not log in any more."""
        deadline = Deadline(self._settings.timeout)
        found: dict[str, Identity | None] = {}
        for name in login_names:
            line, hashed = self._person(name, deadline)
            found[name] = self._identity(line, ()) if line is not None and crypt3.is_usable(hashed) else None
        return found

    def describe(self, name: TypedName) -> Identity | None:
        """Read somebody's line and groups."""
        deadline = Deadline(self._settings.timeout)
        line, _ = self._person(name.user, deadline)
        return self._identity(line, self._groups_of(line, deadline)) if line is not None else None

    def change_password(self, name: TypedName, old: str, new: str) -> Verdict:
        """Refuse: yppasswd would send the old password in clear."""
        raise DirectoryRefused("Passwords of this directory are changed with yppasswd, on a machine of its own.")

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _person(self, user: str, deadline: Deadline) -> tuple[list[str] | None, str]:
        """Return somebody's line of passwd(5) in fields, and the hash, from the shadow map where there is one."""
        if not user or len(user) > MAX_NAME or not is_sendable(user) or any(letter in ":\n" for letter in user):
            return None, ""
        connect, port = self._any_server(deadline)
        domain = self._settings.domain
        found = nis_wire.match(connect, port, (domain, "passwd.byname", user), deadline)
        fields = found.split(":") if found else []
        if len(fields) < PASSWD_FIELDS:
            return None, ""
        hashed = fields[1]
        if hashed in ("x", "*") or hashed.startswith("##"):
            try:
                shadow = nis_wire.match(connect, port, (domain, "shadow.byname", user), deadline, reserved=True)
            except NoMap:
                shadow = None
            hashed = shadow.split(":")[1] if shadow and ":" in shadow else "!"
        return fields, hashed

    def _groups_of(self, line: list[str], deadline: Deadline) -> tuple[str, ...]:
        at, of, by_number = self._groups
        if time.monotonic() - at > GROUPS_SECONDS:
            of, by_number = self._read_groups(deadline)
            with self._lock:
                self._groups = (time.monotonic(), of, by_number)
        primary = by_number.get(line[3])
        return tuple(sorted({*of.get(line[0], ()), *([primary] if primary else [])}, key=str.casefold))

    def _read_groups(self, deadline: Deadline) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, str]]:
        connect, port = self._any_server(deadline)
        of: dict[str, tuple[str, ...]] = {}
        by_number: dict[str, str] = {}
        try:
            for entry in nis_wire.everything(connect, port, (self._settings.domain, "group.byname"), deadline):
                fields = entry.split(":")
                if len(fields) < GROUP_FIELDS:
                    continue
                by_number[fields[2]] = fields[0]
                for member in filter(None, fields[3].split(",")):
                    of[member] = (*of.get(member, ()), fields[0])
        except NoMap:
            return {}, {}
        return of, by_number

    def _any_server(self, deadline: Deadline) -> tuple[Connect, int]:
        trouble: DirectoryError | None = None
        for position, host in enumerate(self._hosts):
            share = Deadline(deadline.left() / (len(self._hosts) - position))
            try:
                connect, port = self._server(host, share)
            except DirectoryError as problem:
                trouble = problem
                continue
            return connect, port
        raise trouble or DirectoryError("No server of this directory is known.")

    def _server(self, host: str, deadline: Deadline) -> tuple[Connect, int]:
        try:
            found = addresses(host, self._reach)
        except (OSError, Invalid) as problem:
            raise DirectoryError(f"The server {host} cannot be reached.", str(problem)) from problem
        connect = nis_wire.connector(found, deadline)
        return connect, nis_wire.port_of(connect, deadline)

    def _identity(self, line: list[str], groups: tuple[str, ...]) -> Identity:
        name, _, number, group, person, home, shell = line[:PASSWD_FIELDS]
        full = person.partition(",")[0]
        attributes = {"uid": (number,), "gid": (group,), "home": (home,), "shell": (shell,)}
        return Identity(f"{number}:{name}", name, full, "", groups, attributes)
