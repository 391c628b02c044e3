"""OpenLDAP and other directories by the standards: groupOfNames, groupOfUniqueNames, posixGroup, password policies."""

import time
from dataclasses import dataclass
from typing import Annotated, ClassVar

import sansldap
from sansldap.asn1 import ASN1Reader, ASN1Tag, ASN1Writer, TagClass

from portico.directories.deadline import Deadline
from portico.directories.group_memory import GroupMemory
from portico.directories.ldap import Ldap
from portico.directories.ldap_settings import LdapSettings
from portico.directories.ldap_wire import (
    INVALID_CREDENTIALS,
    PASSWORD_MODIFY,
    PPOLICY,
    SUCCESS,
    Answer,
    Connection,
    Entry,
)
from portico.errors import DirectoryError, DirectoryRefused, Invalid
from portico.ports.directory import DirectoryContext, Meta, Standing

GROUPS_AT_ONCE = 100
MAX_DEPTH = 20  # of groups within groups
MAX_GROUPS = 10_000
MAX_MEMORY = 3600  # seconds
ONE_BY_ONE = 8  # groups
FOREVER_LOCKED = "000001010000Z"
_GROUP_CLASSES = ("groupOfNames", "groupOfUniqueNames", "posixGroup")
# Errors of the policy's control, draft-behera-ldap-password-policy-10 section 6.2.
_POLICY = {0: Standing.EXPIRED, 1: Standing.LOCKED, 2: Standing.MUST_CHANGE}
_REFUSALS = frozenset({19, 53})  # constraintViolation, unwillingToPerform


@dataclass(frozen=True, slots=True)
class OpenLdapSettings(LdapSettings):
    """The defaults are those of OpenLDAP."""

    group_memory: Annotated[
        int,
        Meta(
            "Remember which groups hold a group for",
            "A group that is put into another, or taken out, counts after so long; whom a group holds counts at once. 0: ask each time.",
            unit="seconds",
            advanced=True,
        ),
    ] = 60


class OpenLdap(Ldap):
    """A directory whose groups list their members. People are told apart by entryUUID (RFC 4530)."""

    kind: ClassVar[str] = "ldap"
    Settings: ClassVar[type] = OpenLdapSettings
    subject_attribute: ClassVar[str] = "entryUUID"
    more: ClassVar[tuple[str, ...]] = ("gidNumber", "pwdAccountLockedTime")
    srv: ClassVar[tuple[tuple[str, str, int], ...]] = (("_ldaps._tcp", "ldaps", 0), ("_ldap._tcp", "starttls", 0))

    settings: OpenLdapSettings

    def __init__(self, settings: OpenLdapSettings, context: DirectoryContext) -> None:
        """Read the settings; nothing is asked yet. Raises Invalid naming each setting that cannot be used."""
        if not 0 <= settings.group_memory <= MAX_MEMORY:
            text = f"Give 0 to {MAX_MEMORY} seconds."
            raise Invalid(text, {"group_memory": text})
        super().__init__(settings, context)
        self._memory = GroupMemory(settings.group_memory)

    def standing(self, answer: Answer) -> Standing:
        """Read the result and the policy's control: who must change their password is bound with success, and nothing else."""
        policy = _policy_error((answer.controls or {}).get(PPOLICY, b""))
        if answer.code == SUCCESS:
            return Standing.MUST_CHANGE if policy is Standing.MUST_CHANGE else Standing.OK
        if answer.code != INVALID_CREDENTIALS:
            raise DirectoryError("The directory cannot check passwords at this moment.", f"{answer.code} {answer.text}")
        return policy or Standing.WRONG

    def may_log_in(self, entry: Entry) -> bool:
        """Read the mark of an account that is locked for good. One that is locked by wrong passwords may: it is so for minutes."""
        return entry.text("pwdAccountLockedTime") != FOREVER_LOCKED

    def groups(self, entry: Entry, connection: Connection, deadline: Deadline) -> tuple[str, ...]:
        """Climb from group to group; each is looked at once, so that groups which hold each other end the climb.

        What somebody is in is asked each time. What a group is in may be remembered.
        """
        uid, gid = entry.text("uid"), entry.text("gidNumber")
        posix = [sansldap.FilterEquality("memberUid", uid.encode())] if uid else []
        posix += [sansldap.FilterEquality("gidNumber", gid.encode())] if gid else []
        found = self._holding([entry.dn], posix, connection, deadline)
        level = dict(found)
        for _ in range(0 if self.settings.groups == "direct" else MAX_DEPTH - 1):
            if not level or len(found) > MAX_GROUPS:
                break
            above = self._above(list(level), connection, deadline)
            level = {dn: name for dn, name in above.items() if dn not in found}
            found |= level
        if len(found) > MAX_GROUPS:
            raise DirectoryError("Somebody is in too many groups.", f"{entry.dn}: more than {MAX_GROUPS}")
        return tuple(found.values())

    def _above(self, dns: list[str], connection: Connection, deadline: Deadline) -> dict[str, str]:
        """Return what holds any of these groups. A few are asked for one by one, since only so it is known which holds which."""
        above, unknown = self._memory.find(dns)
        step = 1 if self.settings.group_memory and len(unknown) <= ONE_BY_ONE else GROUPS_AT_ONCE
        for start in range(0, len(unknown), step):
            some, asked = unknown[start : start + step], time.monotonic()
            holding = self._holding(some, [], connection, deadline)
            if len(some) == 1 or not holding:
                self._memory.keep(some, holding, asked)
            above |= holding
        return above

    def _holding(
        self, dns: list[str], more: list[sansldap.FilterEquality], connection: Connection, deadline: Deadline
    ) -> dict[str, str]:
        """Ask for the groups that name any of these as a member, or of which `more` holds: DN → name."""
        wanted: list[sansldap.LDAPFilter] = [
            sansldap.FilterEquality(attribute, dn.encode()) for dn in dns for attribute in ("member", "uniqueMember")
        ]
        groups = connection.search(self.settings.base, _groups_with([*wanted, *more]), ["cn"], deadline)
        return {group.dn: group.text("cn") for group in groups}

    def change(self, entry: Entry, old: str, new: str, deadline: Deadline) -> Standing:
        """Bind as the person, then ask for the change (RFC 3062): all that somebody may do who must change their password."""
        with self.pool.fresh(deadline) as connection:
            answer = connection.bind(entry.dn, old, deadline, ppolicy=True)
            if answer.code != SUCCESS:
                return Standing.WRONG
            answer = connection.extended(PASSWORD_MODIFY, _change_request(old, new), deadline)
        if answer.code == SUCCESS:
            return Standing.OK
        if answer.code in _REFUSALS:
            said = answer.text or "it breaks a rule of the directory"
            raise DirectoryRefused(f"The directory does not take this password: {said}.", answer.text)
        raise DirectoryError("The directory did not change the password.", f"{answer.code} {answer.text}")

    def subject(self, entry: Entry) -> str:
        """Return the entryUUID."""
        return entry.text("entryUUID")


def _groups_with(members: list[sansldap.LDAPFilter]) -> sansldap.LDAPFilter:
    classes: list[sansldap.LDAPFilter] = [
        sansldap.FilterEquality("objectClass", name.encode()) for name in _GROUP_CLASSES
    ]
    return sansldap.FilterAnd([sansldap.FilterOr(classes), sansldap.FilterOr(members)])


def _policy_error(value: bytes) -> Standing | None:
    """Read the error of a password policy's control: SEQUENCE { warning [0] OPTIONAL, error [1] ENUMERATED OPTIONAL }."""
    if not value:
        return None
    try:
        reader = ASN1Reader(value).read_sequence()
        while reader:
            header = reader.peek_header()
            if header.tag.tag_number == 1:
                return _POLICY.get(reader.read_integer(tag=header.tag))
            reader.skip_value(header)
    except Exception:  # the parser raises whatever it trips over
        return None
    return None


def _change_request(old: str, new: str) -> bytes:
    """Write RFC 3062's request: SEQUENCE { oldPasswd [1] OCTET STRING, newPasswd [2] OCTET STRING }."""
    writer = ASN1Writer()
    with writer.push_sequence() as request:
        for number, text in ((1, old), (2, new)):
            request.write_octet_string(text.encode(), tag=ASN1Tag(TagClass.CONTEXT_SPECIFIC, number, False))
    return bytes(writer.get_data())
