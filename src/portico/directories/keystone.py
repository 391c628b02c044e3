"""Keystone: people log in with the name and the password that they have in OpenStack.

Their token is unscoped, serves to read who they are, and is revoked before the log-in is over; it is kept nowhere.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from portico import logs
from portico.directories import keystone_api as api
from portico.directories import keystone_settings
from portico.directories.deadline import Deadline
from portico.directories.keystone_api import Tried
from portico.directories.keystone_settings import NONE, PASSWORD, KeystoneSettings, domain_of
from portico.directories.keystone_wire import NotWhole, Place, Talk
from portico.directories.ldap_settings import words
from portico.egress import Reach, addresses
from portico.errors import DirectoryError, DirectoryRefused
from portico.ports.directory import DirectoryContext, Finding, Identity, Standing, TypedName, Verdict, is_sendable

MAX_NAME = 255  # of Keystone's own schema
MAX_PASSWORD = 4096  # Keystone's default max_password_length
REVOKE_SECONDS = 2.0
TOKEN_SECONDS = 600.0  # how long the service account's token is used
LOOK_SECONDS = 45.0  # for looking up some hundred people one by one
ONE_BY_ONE = 10  # people who are looked up singly; for more, the whole domain is read once

T = TypeVar("T")
log = logs.get(__name__)


class Keystone:
    """One domain of a Keystone. People are told apart by their user id, which is never given to another."""

    kind: ClassVar[str] = "keystone"
    Settings: ClassVar[type] = KeystoneSettings
    changes_passwords = True
    can_look = True

    def __init__(self, settings: KeystoneSettings, context: DirectoryContext) -> None:
        """Read the settings; nothing is asked yet. Raises Invalid naming each setting that cannot be used."""
        keystone_settings.check(settings)
        self._settings = settings
        reach = Reach(context.egress_allow, field="auth_url")
        self._place = Place(
            keystone_settings.address_of(settings),
            keystone_settings.tls_of(settings),
            lambda host: addresses(host, reach),
        )
        self._domain = domain_of(settings.domain)
        # Whose password has expired gets no token, so only a service account can tell their groups.
        self.changes_passwords = self.can_look = settings.service != NONE
        self._lists = True  # whether all users of the domain fit into one answer
        self._lock = threading.Lock()
        self._service: tuple[float, str, str] = (float("-inf"), "", "")  # until when, token, the domain's id

    def check(self) -> tuple[Finding, ...]:
        """Ask for the version, log in as the service account, and look for people."""
        with self._talk() as talk:
            try:
                version = api.record(talk.ask("GET", "").body, "version")
                named = api.text(version, "id")
            except DirectoryError as problem:
                return (Finding("Keystone", "missing", problem.sentence, "network", problem.detail),)
            if not named.startswith("v3"):
                remedy = "There is no Keystone of version 3 at the Auth URL."
                return (Finding("Keystone", "missing", remedy, "network"),)
            found = [Finding("Keystone", "granted", group="network", detail=named)]
            if self._settings.service == NONE:
                remedy = (
                    "Without one, Portico does not see between log-ins who is disabled or gone, and a name that nobody has is a wrong "
                    "password: directories after this one are never asked about bare names."
                )
                return (*found, Finding("service account", "warning", remedy, "rights"))
            try:
                self._as_service(talk, lambda token, domain: None)
            except DirectoryError as problem:
                return (*found, Finding("service account", "missing", problem.sentence, "rights", problem.detail))
            found.append(Finding("service account", "granted", group="rights"))
            try:
                self._find(talk, secrets.token_hex(8))
            except DirectoryError as problem:
                return (*found, Finding("people", "missing", problem.sentence, "rights", problem.detail))
            return (*found, Finding("people", "granted", group="rights"))

    def authenticate(self, name: TypedName, password: str) -> Verdict:
        """Find the person where there is a service account, try the password, and only then read who they are."""
        if not password or len(password) > MAX_PASSWORD or not is_sendable(password):
            return Verdict(Standing.WRONG, detail="no password")
        wanted = self._full(name.user)
        with self._talk() as talk:
            known = self._find(talk, wanted or secrets.token_hex(8)) if self.can_look else None
            if not wanted or (self.can_look and known is None):
                # As many questions as for a name that somebody has; the password goes nowhere.
                api.log_in(talk, api.by_password(self._named(secrets.token_hex(8)), secrets.token_hex(8)))
                return Verdict(Standing.UNKNOWN)
            tried = self._try(talk, wanted, known, password)
            try:
                return self._verdict(talk, tried, known, wanted)
            finally:
                self._revoke(talk, tried.token)

    def look(self, login_names: Sequence[str]) -> Mapping[str, Identity | None]:
        """Look people up as the service account: a few one by one, many by reading the domain's users at once."""
        self._demand_service()
        wanted = {name: self._full(name) for name in login_names}
        with self._talk() as talk:
            people = self._everybody(talk) if len(login_names) > ONE_BY_ONE else None
            if people is not None:
                rows_of = {name: people.get(full.casefold()) for name, full in wanted.items()}
            else:
                talk.deadline = Deadline(max(LOOK_SECONDS, self._settings.timeout))
                rows_of = {name: self._find(talk, full) for name, full in wanted.items()}
        return {
            name: self._identity(row, {}) if row is not None and row.get("enabled") is not False else None
            for name, row in rows_of.items()
        }

    def describe(self, name: TypedName) -> Identity | None:
        """Find somebody as the service account and read their groups."""
        self._demand_service()
        with self._talk() as talk:
            known = self._find(talk, self._full(name.user))
            if known is None:
                return None
            about = self._as_service(talk, lambda token, domain: self._about(talk, token, known))
            return self._identity(known, about)

    def change_password(self, name: TypedName, old: str, new: str) -> Verdict:
        """Change a password with the right of who knows the old one. Raises DirectoryError, DirectoryRefused."""
        wanted = self._full(name.user)
        if not (wanted and old and new and is_sendable(old + new)) or len(old) > MAX_PASSWORD:
            return Verdict(Standing.WRONG)
        if len(new) > MAX_PASSWORD:
            raise DirectoryRefused("The directory does not take this password: it is too long.")
        with self._talk() as talk:
            tried = self._try(talk, wanted, None, old)
            self._revoke(talk, tried.token)
            if tried.standing not in (Standing.OK, Standing.EXPIRED, Standing.SECOND_FACTOR):
                return Verdict(Standing.WRONG, detail=tried.detail)
            both = {"user": {"original_password": old, "password": new}}
            answer = talk.ask("POST", f"/users/{tried.user_id}/password", body=both)
        if answer.is_success:
            return Verdict(Standing.OK)
        if answer.status == api.UNAUTHORIZED:
            return Verdict(Standing.WRONG)
        if answer.status in (api.BAD_REQUEST, api.FORBIDDEN):
            said = api.sentence(answer)
            raise DirectoryRefused(f"The directory does not take this password: {said or 'it breaks a rule'}", said)
        raise api.trouble(answer)

    def close(self) -> None:
        """Forget the service account's token. Connections live no longer than a log-in."""
        with self._lock:
            self._service = (float("-inf"), "", "")

    def _talk(self) -> Talk:
        return Talk(self._place, Deadline(self._settings.timeout))

    def _full(self, user: str) -> str:
        """Return the name that Keystone knows somebody by, "" for one that nobody can have."""
        suffix = self._settings.suffix.strip()
        full = user if user.casefold().endswith(suffix.casefold()) else user + suffix
        # Keystone's tables on MariaDB hold three bytes of a letter; it must not fail at what somebody types.
        fine = is_sendable(full) and full.isprintable() and all(ord(letter) <= 0xFFFF for letter in full)
        return full if user.strip() and len(full) <= MAX_NAME and fine else ""

    def _named(self, name: str) -> dict[str, Any]:
        return {"name": name, "domain": self._domain}

    def _try(self, talk: Talk, wanted: str, known: Mapping[str, Any] | None, password: str) -> Tried:
        """Try a password. Databases compare names loosely ("é" is "e" to some): whoever else it finds is not who was meant."""
        user = {"id": api.text(known, "id")} if known is not None else self._named(wanted)
        _, tried = api.log_in(talk, api.by_password(user, password))
        if tried.name and tried.name.casefold() != wanted.casefold():
            self._revoke(talk, tried.token)
            return Tried(Standing.WRONG, detail="somebody of another name")
        return tried

    def _verdict(self, talk: Talk, tried: Tried, known: Mapping[str, Any] | None, wanted: str) -> Verdict:
        if tried.standing in (Standing.WRONG, Standing.LOCKED):
            return Verdict(tried.standing, detail=tried.detail)
        if tried.standing is Standing.OK:
            told = {"name": tried.name, "domain_id": tried.domain_id, "id": tried.user_id}
            known = {**told, **(known or self._of_themselves(talk, tried))}
            about = self._about(talk, tried.token, known)
        elif tried.standing is Standing.EXPIRED and known is not None:
            there = known
            about = self._as_service(talk, lambda token, domain: self._about(talk, token, there))
        else:  # who is refused needs no groups
            known, about = {"name": tried.name or wanted}, {}
        return Verdict(tried.standing, self._identity({**known, "id": tried.user_id}, about), tried.detail)

    def _of_themselves(self, talk: Talk, tried: Tried) -> dict[str, Any]:
        """Read somebody's record by their own token; nothing where a policy of the cloud keeps it from them."""
        try:
            return api.record(api.read(talk, tried.token, f"/users/{tried.user_id}"), "user")
        except DirectoryRefused:
            return {}

    def _about(self, talk: Talk, token: str, user: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """Read groups, projects and roles of a user, by what rules call them."""
        found: dict[str, tuple[str, ...]] = {}
        id, home = api.text(user, "id"), api.text(user, "domain_id")
        if self._settings.groups == "on":
            rows = api.listed(talk, token, f"/users/{id}/groups", "groups")
            found["group"] = _sorted(_called(row, api.text(row, "domain_id"), home) for row in rows)
        if self._settings.projects != "off":
            rows = api.listed(talk, token, f"/users/{id}/projects", "projects")
            rows = [row for row in rows if row.get("enabled") is not False]
            found["project"] = _sorted(_called(row, api.text(row, "domain_id"), home) for row in rows)
            found["project id"] = _sorted(api.text(row, "id") for row in rows)
        if self._settings.projects == "roles":
            found["role"] = self._as_service(talk, lambda own, domain: _roles(talk, own, id, home))
        return found

    def _identity(self, user: Mapping[str, Any], about: Mapping[str, tuple[str, ...]]) -> Identity:
        settings, full = self._settings, api.text(user, "name")
        suffix = settings.suffix.strip()
        name = full[: -len(suffix)] if suffix and full.casefold().endswith(suffix.casefold()) else full
        kept = {word.lower(): _texts(user.get(word)) for word in words(settings.attributes)}
        return Identity(
            subject=api.text(user, "id"),
            login_name=name,
            display_name=api.text(user, settings.full_name.strip()) or name,
            email=api.text(user, "email"),
            groups=about.get("group", ()),
            attributes={**kept, **{key: found for key, found in about.items() if key != "group"}},
        )

    def _everybody(self, talk: Talk) -> dict[str, dict[str, Any]] | None:
        """Read all users of the domain, by their folded names; None where they are more than Keystone lists, or we read."""
        if not self._lists:
            return None
        try:
            rows = self._as_service(
                talk, lambda token, domain: api.listed(talk, token, "/users", "users", domain_id=domain)
            )
        except NotWhole as problem:
            log.info("keystone has more users than can be listed", trouble=problem.detail)
            self._lists = False  # nor will it be otherwise in two minutes
            return None
        return {api.text(row, "name").casefold(): row for row in rows if api.text(row, "id")}

    def _find(self, talk: Talk, full: str) -> dict[str, Any] | None:
        """Find somebody as the service account; None for a name that nobody has, or more than one."""
        if not full:
            return None
        rows = self._as_service(
            talk, lambda token, domain: api.listed(talk, token, "/users", "users", domain_id=domain, name=full)
        )
        found = [row for row in rows if api.text(row, "name").casefold() == full.casefold() and api.text(row, "id")]
        return found[0] if len(found) == 1 else None

    def _as_service(self, talk: Talk, ask: Callable[[str, str], T]) -> T:
        """Ask something as the service account, by its token and the id of the domain. A token that ran out is renewed once."""
        with self._lock:
            until, token, domain = self._service
        if time.monotonic() < until:
            try:
                return ask(token, domain)
            except api.TokenRefused:
                log.info("keystone refuses a token that was kept")
        return ask(*self._log_in_service(talk))

    def _log_in_service(self, talk: Talk) -> tuple[str, str]:
        settings = self._settings
        if settings.service == PASSWORD:
            user = {"name": settings.service_account.strip(), "domain": self._domain}
            if settings.service_domain.strip():
                user["domain"] = domain_of(settings.service_domain)
            body = api.by_password(user, settings.service_secret, {"domain": self._domain})
        else:
            body = api.by_application_credential(settings.service_account.strip(), settings.service_secret)
        answer, tried = api.log_in(talk, body)
        if tried.standing is not Standing.OK:
            raise DirectoryError(
                "The directory does not accept the service account. Check its name and password in the settings, and its role on the domain.",
                tried.detail,
            )
        domain = self._domain.get("id") or _domain_id(api.record(answer.body, "token"), self._domain["name"])
        with self._lock:
            self._service = (time.monotonic() + TOKEN_SECONDS, tried.token, domain)
        return tried.token, domain

    def _demand_service(self) -> None:
        if not self.can_look:
            raise DirectoryRefused("Only a service account can look people up in Keystone: name one in the settings.")

    def _revoke(self, talk: Talk, token: str) -> None:
        """Make somebody's token worthless, whatever came of it. What fails here fails nobody: it ends by itself."""
        if not token:
            return
        talk.deadline = Deadline(min(REVOKE_SECONDS, self._settings.timeout))
        try:
            api.revoke(talk, token)
        except DirectoryError as problem:
            log.warning("keystone did not revoke a token", trouble=problem.detail)
        finally:
            talk.deadline = Deadline(self._settings.timeout)


def _roles(talk: Talk, token: str, user_id: str, home: str) -> tuple[str, ...]:
    """Name somebody's roles in projects, those that groups and parents bring included: project/role."""
    asked = {"user.id": user_id, "effective": "true", "include_names": "true"}
    found = []
    for row in api.listed(talk, token, "/role_assignments", "role_assignments", **asked):
        project = api.record(api.record(row, "scope"), "project")
        if project:
            where = _called(project, api.text(api.record(project, "domain"), "id"), home)
            found.append(f"{where}/{api.text(api.record(row, 'role'), 'name')}")
    return _sorted(found)


def _called(row: Mapping[str, Any], domain_id: str, home: str) -> str:
    """Return a name; one out of another domain with that domain's id, so that nobody there can make one of ours."""
    name = api.text(row, "name")
    return name if domain_id == home else f"{name}@{domain_id}"


def _domain_id(token: Mapping[str, Any], name: str) -> str:
    """Find the id of the domain of this name in what a token says of itself. Raises DirectoryError."""
    told = (
        api.record(token, "domain"),
        api.record(api.record(token, "project"), "domain"),
        api.record(api.record(token, "user"), "domain"),
    )
    found = next((one for one in told if api.text(one, "name").casefold() == name.casefold()), {})
    if not api.text(found, "id"):
        raise DirectoryError("The service account belongs to another domain: give the domain's id instead of its name.")
    return api.text(found, "id")


def _texts(value: Any) -> tuple[str, ...]:
    found = value if isinstance(value, list) else [value]
    return tuple(str(one) for one in found if isinstance(one, str | int | float | bool) and str(one))


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(dict.fromkeys(name for name in names if name), key=str.casefold))
