"""What an administrator says of a provider of SAML 2.0, and what its attributes are usually called."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from portico.directories import saml_keys
from portico.egress import read_url
from portico.errors import Invalid
from portico.ports.directory import Meta

FORMATS = {
    "persistent": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    "email": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
    "unspecified": "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
}
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
_CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
_MICROSOFT = "http://schemas.microsoft.com/ws/2008/06/identity/claims"
# As Entra ID, AD FS, Keycloak, Okta and SimpleSAMLphp call them out of the box; the first that is there counts.
NAMES = (
    "username", "uid", "urn:oid:0.9.2342.19200300.100.1.1", f"{_MICROSOFT}/windowsaccountname", f"{_CLAIMS}/upn", f"{_CLAIMS}/name",
    "userPrincipalName", "login", "urn:oid:1.3.6.1.4.1.5923.1.1.1.6",
)  # fmt: skip
GROUPS = (
    f"{_MICROSOFT}/groups", "http://schemas.xmlsoap.org/claims/Group", "groups", "memberOf", "member",
    "urn:oid:1.3.6.1.4.1.5923.1.5.1.1", f"{_MICROSOFT}/role", "Role",
)  # fmt: skip
EMAILS = (
    f"{_CLAIMS}/emailaddress",
    "email",
    "mail",
    "urn:oid:1.2.840.113549.1.9.1",
    "urn:oid:0.9.2342.19200300.100.1.3",
)
FULL_NAMES = (
    "http://schemas.microsoft.com/identity/claims/displayname", "displayName", "urn:oid:2.16.840.1.113730.3.1.241", "cn",
    "urn:oid:2.5.4.3",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SamlSettings:
    """A provider, named by one of three: the address of its metadata, the metadata themselves, or its parts."""

    metadata_url: Annotated[
        str, Meta("Address of the metadata", "Such as https://login.example.com/metadata; read anew every hour.")
    ] = ""
    metadata: Annotated[
        str, Meta("Metadata", "The XML text, where the provider has no address for it.", multiline=True)
    ] = ""
    entity_id: Annotated[
        str,
        Meta("Entity id of the provider", "Needed without metadata, or where metadata name several.", advanced=True),
    ] = ""
    sso_url: Annotated[str, Meta("Log-in address", "Without metadata: for HTTP-Redirect.", advanced=True)] = ""
    slo_url: Annotated[str, Meta("Log-out address", "Without metadata: for HTTP-Redirect.", advanced=True)] = ""
    certificates: Annotated[
        str, Meta("Certificates that it signs with", "Without metadata: in PEM form.", multiline=True, advanced=True)
    ] = ""
    name_id_format: Annotated[
        str, Meta("Name by which it tells people apart", "What is asked for.", choices=tuple(FORMATS))
    ] = "persistent"
    subject_attribute: Annotated[
        str,
        Meta("Attribute that tells people apart", "Instead of that name: one that never changes and is never given to another.", advanced=True),
    ] = ""  # fmt: skip
    name_attribute: Annotated[str, Meta("Attribute with the user name", "Empty: its usual names.", advanced=True)] = ""
    groups_attribute: Annotated[str, Meta("Attribute with the groups", "Empty: its usual names.", advanced=True)] = ""
    display_name_attribute: Annotated[
        str, Meta("Attribute with the full name", "Empty: its usual names.", advanced=True)
    ] = ""
    email_attribute: Annotated[
        str, Meta("Attribute with the email address", "Empty: its usual names.", advanced=True)
    ] = ""
    sign_requests: Annotated[
        bool, Meta("Sign requests for a log-in", "The provider must know our certificate.", advanced=True)
    ] = True
    key_pair: Annotated[
        str,
        Meta(
            "Private key and certificate of ours", "In PEM form, RSA; empty: Portico makes them.", secret=True,
            multiline=True, advanced=True, own=True,
        ),
    ] = ""  # fmt: skip
    ca_certificates: Annotated[
        str, Meta("Certificates to trust", "Of the metadata's server, in PEM form; empty: those of the system.", multiline=True, advanced=True)
    ] = ""  # fmt: skip
    timeout: Annotated[int, Meta("Wait for the metadata at most", unit="seconds", advanced=True)] = 10


def check(settings: SamlSettings) -> dict[str, str]:
    """Return what is wrong with the settings one by one and together: field → sentence with its remedy."""
    wrong: dict[str, str] = {}
    for field in ("metadata_url", "sso_url", "slo_url"):
        text = getattr(settings, field).strip()
        if text and (sentence := why_not_https(text)):
            wrong[field] = sentence
    by_parts = bool(settings.sso_url.strip() or settings.certificates.strip())
    ways = [bool(settings.metadata_url.strip()), bool(settings.metadata.strip()), by_parts]
    if not any(ways):
        wrong["metadata_url"] = (
            "Give the address of the provider's metadata, or paste them, or fill in entity id, log-in address and certificates."
        )
    elif sum(ways) > 1:
        wrong["metadata_url"] = (
            "Give either the address of the metadata, or the metadata themselves, or the parts of them."
        )
    elif by_parts:
        for field in ("entity_id", "sso_url", "certificates"):
            if not getattr(settings, field).strip():
                wrong[field] = "Fill this in, or give the provider's metadata instead."
    if settings.key_pair.strip():
        try:
            saml_keys.read_pair(settings.key_pair)
        except ValueError as problem:
            wrong["key_pair"] = str(problem)
    if settings.name_id_format not in FORMATS:
        wrong["name_id_format"] = f"Choose one of {', '.join(FORMATS)}."
    if not 1 <= settings.timeout <= 60:
        wrong["timeout"] = "Give 1 to 60 seconds."
    return wrong


def why_not_https(url: str) -> str:
    """Return why an address of a provider cannot be used, "" when it can. Unlike others it may have a query."""
    plain, _, query = url.partition("?")
    try:
        if not query.isprintable() or any(letter in query for letter in ' #<>"\\'):
            raise Invalid("Leave out spaces, quotation marks and what follows a #.")
        read_url(plain)
    except Invalid as problem:
        return next(iter(problem.fields.values()), problem.sentence)
    return "" if urlsplit(plain).scheme == "https" else "Begin the address with https://."
