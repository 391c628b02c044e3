"""What an administrator says of an LDAP directory, and what may be wrong with it."""

import ssl
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import certifi
import sansldap

from portico.directories.ldap_wire import Server
from portico.egress import read_host
from portico.errors import Invalid
from portico.ports.directory import Meta

PORTS = {"ldaps": 636, "ldap": 389}

TRUSTED = Meta(
    "Certificates to trust",
    "In PEM form. With them no other authority is trusted; empty: those of the system.",
    multiline=True,
)


@dataclass(frozen=True, slots=True)
class LdapSettings:
    """What both kinds of LDAP directory are asked for. Subclasses set what is usual with them."""

    servers: Annotated[
        str,
        Meta(
            "Servers",
            "One a line, asked in this order: ldaps://dc1.corp.example, or ldap://… to begin in clear and go over to TLS. "
            "Empty: as the DNS says for the domain below.",
            multiline=True,
        ),
    ] = ""
    dns_domain: Annotated[str, Meta("DNS domain", "Such as corp.example. Needed where no servers are named.")] = ""
    base: Annotated[str, Meta("Search base", "Where people and groups lie, such as DC=corp,DC=example.")] = ""
    bind_name: Annotated[
        str, Meta("Service account", "That may read people and groups: a DN, name@domain or DOMAIN\\name.")
    ] = ""
    bind_password: Annotated[str, Meta("Password of the service account", secret=True)] = ""
    ca_certificates: Annotated[str, TRUSTED] = ""
    match: Annotated[str, Meta("Attributes that a user name is compared with", "Parted by commas.", advanced=True)] = (
        "uid"
    )
    people: Annotated[str, Meta("Filter for people", "RFC 4515.", advanced=True)] = "(objectClass=inetOrgPerson)"
    groups: Annotated[
        str, Meta("Groups", "Whether groups within groups count.", choices=("nested", "direct", "off"), advanced=True)
    ] = "nested"
    attributes: Annotated[
        str, Meta("Attributes for rules", "Parted by commas; read at each log-in.", advanced=True)
    ] = "department, title, l, employeeType"
    allow_expired: Annotated[
        bool, Meta("Let people in whose password has expired", "Else they must change it first.", advanced=True)
    ] = False
    timeout: Annotated[int, Meta("Wait for an answer at most", unit="seconds", advanced=True)] = 10
    dns_server: Annotated[
        str, Meta("DNS server", "That knows the domain's servers, where the system's does not: its address.", advanced=True)
    ] = ""  # fmt: skip


def read_servers(settings: LdapSettings) -> tuple[Server, ...]:
    """Read the servers as typed. Raises Invalid naming the line that cannot be used."""
    found = []
    for number, line in enumerate(settings.servers.splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        where = f"Line {number}: write ldaps://host, ldaps://host:port or ldap://host."
        try:
            parts = urlsplit(text if "://" in text else f"ldaps://{text}")
            port = parts.port
        except ValueError as problem:
            raise Invalid(where, {"servers": where}) from problem
        if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or "@" in parts.netloc:
            raise Invalid(where, {"servers": where})
        host = read_host(parts.hostname, "servers")
        tls = "ldaps" if parts.scheme == "ldaps" else "starttls"
        found.append(Server(host, port or PORTS[parts.scheme], tls))
    if not found and not settings.dns_domain:
        raise Invalid("Name a server, or the DNS domain.", {"servers": "Name a server, or the DNS domain below."})
    return tuple(found)


def check(settings: LdapSettings) -> None:
    """Check what can be checked without the directory. Raises Invalid naming every field that is wrong."""
    wrong: dict[str, str] = {}
    for look, field in ((read_servers, "servers"), (tls_of, "ca_certificates"), (filter_of, "people")):
        try:
            look(settings)
        except Invalid as problem:
            wrong.update(problem.fields or {field: problem.sentence})
    if not settings.base.strip():
        wrong["base"] = "Say where people and groups lie, such as DC=corp,DC=example."
    if not settings.bind_name.strip():
        wrong["bind_name"] = "Name an account that may read people and groups."
    if not words(settings.match):
        wrong["match"] = "Name at least one attribute."
    if not 1 <= settings.timeout <= 60:
        wrong["timeout"] = "Give 1 to 60 seconds."
    if wrong:
        raise Invalid("Some settings cannot be used.", wrong)


def tls_of(settings: LdapSettings) -> ssl.SSLContext:
    """Return how to verify servers. Raises Invalid."""
    if not settings.ca_certificates.strip():
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        return context
    try:
        return ssl.create_default_context(cadata=settings.ca_certificates)
    except (ssl.SSLError, ValueError) as problem:
        text = "Paste certificates in PEM form, BEGIN and END lines included."
        raise Invalid(text, {"ca_certificates": text}) from problem


def filter_of(settings: LdapSettings) -> sansldap.LDAPFilter:
    """Read the filter for people. Raises Invalid."""
    try:
        return sansldap.LDAPFilter.from_string(settings.people)
    except (ValueError, RecursionError) as problem:
        text = "This is no filter. Write it like (&(objectClass=person)(employeeType=staff))."
        raise Invalid(text, {"people": text}) from problem


def words(text: str) -> tuple[str, ...]:
    """Split what is parted by commas or spaces."""
    return tuple(dict.fromkeys(word for word in text.replace(",", " ").split() if word))
