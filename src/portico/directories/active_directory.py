"""Microsoft Active Directory, and Samba as a domain controller."""

import re
import time
from dataclasses import dataclass
from typing import Annotated, ClassVar
from uuid import UUID

import sansldap

from portico.directories.deadline import Deadline
from portico.directories.ldap import Ldap
from portico.directories.ldap_settings import LdapSettings
from portico.directories.ldap_wire import INVALID_CREDENTIALS, SUCCESS, Answer, Connection, Entry
from portico.errors import DirectoryError, DirectoryRefused
from portico.ports.directory import Meta, Standing

GROUPS_AT_ONCE = 100  # SIDs in one search
UAC_DISABLED = 0x2  # MS-ADTS 2.2.16
EPOCH_SECONDS = 11_644_473_600  # from 1601 to 1970
CONSTRAINT_VIOLATION = 19
# The sub-codes of a refused bind, after "data" in the server's text: Windows error codes (MS-ERREF 2.2), in hex.
_STANDING = {
    "525": Standing.UNKNOWN, "52e": Standing.WRONG, "530": Standing.HOURS, "531": Standing.WORKSTATION,
    "532": Standing.EXPIRED, "533": Standing.DISABLED, "701": Standing.ACCOUNT_EXPIRED, "773": Standing.MUST_CHANGE,
    "775": Standing.LOCKED,
}  # fmt: skip
_SUB_CODE = re.compile(r"\bdata ([0-9a-f]+)", re.IGNORECASE)
_WRONG_OLD = "00000056"  # ERROR_INVALID_PASSWORD


@dataclass(frozen=True, slots=True)
class ActiveDirectorySettings(LdapSettings):
    """What is usual with Active Directory."""

    match: Annotated[str, Meta("Attributes that a user name is compared with", "Parted by commas.", advanced=True)] = (
        "sAMAccountName, userPrincipalName"
    )
    people: Annotated[str, Meta("Filter for people", "RFC 4515.", advanced=True)] = (
        "(&(objectCategory=person)(objectClass=user))"
    )


class ActiveDirectory(Ldap):
    """A domain. People are told apart by objectGUID; groups come from tokenGroups, which holds the nested ones and the primary one."""

    kind: ClassVar[str] = "active-directory"
    Settings: ClassVar[type] = ActiveDirectorySettings
    subject_attribute: ClassVar[str] = "objectGUID"
    more: ClassVar[tuple[str, ...]] = ("userAccountControl", "accountExpires", "memberOf")
    srv: ClassVar[tuple[tuple[str, str, int], ...]] = (
        ("_ldap._tcp.dc._msdcs", "ldaps", 636),
        ("_ldap._tcp", "ldaps", 636),
    )

    def standing(self, answer: Answer) -> Standing:
        """Read the sub-code of a refused bind."""
        if answer.code == SUCCESS:
            return Standing.OK
        if answer.code != INVALID_CREDENTIALS:
            raise DirectoryError("The directory cannot check passwords at this moment.", f"{answer.code} {answer.text}")
        found = _SUB_CODE.search(answer.text)
        standing = _STANDING.get(found.group(1).lower() if found else "", Standing.WRONG)
        return Standing.WRONG if standing is Standing.UNKNOWN else standing

    def may_log_in(self, entry: Entry) -> bool:
        """Read the flag of disabled accounts, and when the account ends.

        One that is locked by wrong passwords may: it is so for minutes, and by whoever types its name.
        """
        control, ends = entry.text("userAccountControl"), entry.text("accountExpires")
        disabled = control.isdecimal() and int(control) & UAC_DISABLED
        return not disabled and not (ends.isdecimal() and 0 < int(ends) <= _filetime(time.time()))

    def groups(self, entry: Entry, connection: Connection, deadline: Deadline) -> tuple[str, ...]:
        """Name the groups whose SIDs the directory has computed for the person."""
        if self.settings.groups == "direct":
            return tuple(dn.partition(",")[0].partition("=")[2] for dn in entry.texts("memberOf"))
        everything = sansldap.FilterPresent("objectClass")
        token = connection.search(entry.dn, everything, ["tokenGroups"], deadline, scope="base")
        sids = token[0].attributes.get("tokengroups", ()) if token else ()
        names: list[str] = []
        for start in range(0, len(sids), GROUPS_AT_ONCE):
            some: list[sansldap.LDAPFilter] = [
                sansldap.FilterEquality("objectSid", sid) for sid in sids[start : start + GROUPS_AT_ONCE]
            ]
            names += [
                group.text("sAMAccountName")
                for group in connection.search(
                    self.settings.base, sansldap.FilterOr(some), ["sAMAccountName"], deadline
                )
            ]
        return tuple(names)

    def change(self, entry: Entry, old: str, new: str, deadline: Deadline) -> Standing:
        """Replace unicodePwd value by value, which needs the old one and no right to reset (MS-ADTS 3.1.1.3.1.5.1).

        The service account sends it: who must change their password cannot bind.
        """
        changes = [("delete", "unicodePwd", _quoted(old)), ("add", "unicodePwd", _quoted(new))]
        answer = self.pool.as_service(lambda connection: connection.modify(entry.dn, changes, deadline), deadline)
        if answer.code == SUCCESS:
            return Standing.OK
        if answer.code == INVALID_CREDENTIALS or _WRONG_OLD in answer.text:
            return Standing.WRONG
        if answer.code == CONSTRAINT_VIOLATION:
            raise DirectoryRefused(
                "The directory does not take this password: it is too short, too simple, was used before, or the old one is too young.",
                answer.text,
            )
        raise DirectoryError("The directory did not change the password.", f"{answer.code} {answer.text}")

    def subject(self, entry: Entry) -> str:
        """Return the objectGUID as a UUID."""
        raw = next(iter(entry.attributes.get("objectguid", ())), b"")
        return str(UUID(bytes_le=raw)) if len(raw) == 16 else ""


def _filetime(seconds: float) -> int:
    """Return a moment after 1970 as directories count it: tenths of microseconds since 1601 (MS-DTYP 2.3.3)."""
    return int((seconds + EPOCH_SECONDS) * 10_000_000)


def _quoted(password: str) -> bytes:
    return f'"{password}"'.encode("utf-16-le")
