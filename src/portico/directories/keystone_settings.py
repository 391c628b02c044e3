"""What an administrator says of a Keystone, and what may be wrong with it."""

import re
import ssl
from dataclasses import dataclass
from typing import Annotated

from portico.directories.ldap_settings import TRUSTED
from portico.egress import Url, read_url, tls_context
from portico.errors import Invalid
from portico.ports.directory import Meta

NONE, PASSWORD, APPLICATION_CREDENTIAL = "none", "password", "application credential"
_ID = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{32})?")
_VERSION = re.compile(r"/v(\d[\d.]*)$")


@dataclass(frozen=True, slots=True)
class KeystoneSettings:
    """One domain of a Keystone. The service account is not needed for log-ins."""

    auth_url: Annotated[str, Meta("Auth URL", "Keystone's address, such as https://keystone.example.com:5000/v3.")] = ""
    domain: Annotated[str, Meta("Keystone domain", "The name or the id of the domain whose users log in.")] = "default"
    ca_certificates: Annotated[str, TRUSTED] = ""
    service: Annotated[
        str,
        Meta(
            "Service account",
            "With one, Portico sees who is disabled or gone between log-ins, and tells a name that nobody has from a wrong password.",
            choices=(NONE, PASSWORD, APPLICATION_CREDENTIAL),
        ),
    ] = NONE
    service_account: Annotated[
        str,
        Meta(
            "Name of the service account",
            "A user with the role reader on the domain, or the id of an application credential that may read its users.",
        ),
    ] = ""
    service_secret: Annotated[str, Meta("Password or secret of the service account", secret=True)] = ""
    service_domain: Annotated[
        str, Meta("Domain of the service account", "Empty: that of the people.", advanced=True)
    ] = ""  # fmt: skip
    suffix: Annotated[
        str,
        Meta(
            "What every user name ends with",
            "Such as @corp.example where Keystone's names are mail addresses: people may leave it out.",
            advanced=True,
        ),
    ] = ""
    groups: Annotated[str, Meta("Groups", choices=("on", "off"), advanced=True)] = "on"
    projects: Annotated[
        str,
        Meta(
            "Projects for rules",
            "With projects, rules may compare “project” and “project id”; with roles also “role”, written vdi/member. "
            "Roles take a service account.",
            choices=("off", "projects", "roles"),
            advanced=True,
        ),
    ] = "off"
    full_name: Annotated[str, Meta("Attribute with the full name", advanced=True)] = "description"
    attributes: Annotated[
        str, Meta("Attributes for rules", "Parted by commas; read at each log-in.", advanced=True)
    ] = "department, title"
    timeout: Annotated[int, Meta("Wait for an answer at most", unit="seconds", advanced=True)] = 10


def check(settings: KeystoneSettings) -> None:
    """Check what can be checked without Keystone. Raises Invalid naming every field that is wrong."""
    wrong: dict[str, str] = {}
    for look in (address_of, tls_of):
        try:
            look(settings)
        except Invalid as problem:
            wrong |= problem.fields
    if not settings.domain.strip():
        wrong["domain"] = "Give the name or the id of the domain whose users log in."
    if settings.service != NONE:
        if not settings.service_account.strip():
            wrong["service_account"] = "Name the account, or choose none."
        if not settings.service_secret:
            wrong["service_secret"] = "Give its password or secret."  # noqa: S105 - a sentence
    if settings.projects == "roles" and settings.service == NONE:
        wrong["projects"] = "Roles are read by a service account: name one above, or choose projects."
    if not 1 <= settings.timeout <= 60:
        wrong["timeout"] = "Give 1 to 60 seconds."
    if wrong:
        raise Invalid("Some settings cannot be used.", wrong)


def address_of(settings: KeystoneSettings) -> Url:
    """Read the Auth URL, its path ending with /v3. Raises Invalid."""
    url = read_url(settings.auth_url, "auth_url")
    if url.scheme != "https":
        text = "Begin the address with https://: passwords are sent there."
        raise Invalid(text, {"auth_url": text})
    path = url.path.rstrip("/")
    version = _VERSION.search(path)
    if version is not None and version[1] not in ("3", "3.0"):
        text = f"Portico speaks version 3 of Keystone, not {version[0].strip('/')}: let the address end with /v3."
        raise Invalid(text, {"auth_url": text})
    path = path[: version.start()] if version is not None else path
    return Url(url.scheme, url.host, url.port, f"{path}/v3")


def tls_of(settings: KeystoneSettings) -> ssl.SSLContext:
    """Return how to verify Keystone. Raises Invalid."""
    return tls_context(settings.ca_certificates)


def domain_of(text: str) -> dict[str, str]:
    """Write a domain as Keystone takes it: "default" and what looks like one is an id, all else a name."""
    text = text.strip()
    return {"id": text} if text == "default" or _ID.fullmatch(text) else {"name": text}
