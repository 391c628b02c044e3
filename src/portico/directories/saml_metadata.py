"""Metadata of SAML 2.0: what a provider says of itself, and what we say of ourselves (saml-metadata-2.0-os)."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from lxml import etree

from portico.directories import saml_keys
from portico.directories.saml_settings import FORMATS, SamlSettings, why_not_https
from portico.directories.saml_xml import DS, MD, NS, parsed
from portico.errors import DirectoryError, DirectoryRefused

REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
MAX_BYTES = 2_000_000
MAX_ELEMENTS = 50_000


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider. Addresses are for HTTP-Redirect; `slo_url` is "" where it cannot be told of a log-out that way."""

    entity_id: str
    sso_url: str
    slo_url: str
    slo_answer_url: str  # where it wants answers to its own notices of a log-out
    certificates: tuple[x509.Certificate, ...]
    formats: tuple[str, ...] = ()
    wants_signed: bool = False  # requests for a log-in
    valid_until: datetime.datetime | None = None

    @property
    def pems(self) -> tuple[str, ...]:
        """The certificates in PEM form."""
        return tuple(saml_keys.pem(one) for one in self.certificates)


def by_parts(settings: SamlSettings) -> Provider:
    """Return the provider that the settings describe without metadata. Raises DirectoryError."""
    try:
        found = tuple(x509.load_pem_x509_certificates(settings.certificates.encode())[: saml_keys.MAX_CERTIFICATES])
    except (ValueError, UnicodeError) as problem:
        raise DirectoryError("The provider's certificates cannot be read.", str(problem)[:200]) from problem
    slo = settings.slo_url.strip()
    return _usable(Provider(settings.entity_id.strip(), settings.sso_url.strip(), slo, slo, found))


def read(raw: bytes, entity_id: str = "") -> Provider:
    """Read a provider's metadata, or pick it by its entity id from those of several. Raises DirectoryError."""
    if len(raw) > MAX_BYTES:
        raise DirectoryError("The provider's metadata are too long.", f"{len(raw)} bytes")
    try:
        root = parsed(_without_remarks(raw), MAX_ELEMENTS)
    except DirectoryRefused as problem:
        raise DirectoryError("The provider's metadata cannot be read.", problem.detail) from problem
    if root.tag not in (f"{{{MD}}}EntityDescriptor", f"{{{MD}}}EntitiesDescriptor"):
        raise DirectoryError("This is no metadata of SAML 2.0.", str(root.tag)[:200])
    known = [one for one in root.iter(f"{{{MD}}}EntityDescriptor") if one.find("md:IDPSSODescriptor", NS) is not None]
    chosen = [one for one in known if one.get("entityID") == entity_id] if entity_id else known
    if len(chosen) != 1:
        names = ", ".join(str(one.get("entityID"))[:100] for one in known[:5])
        if entity_id and known:
            raise DirectoryError("The provider calls itself otherwise than the settings do.", names)
        if known:
            raise DirectoryError("The metadata name several providers. Fill in the entity id of one.", names)
        raise DirectoryError("The metadata name no provider.")
    return _usable(_provider(chosen[0], (root, chosen[0])))


def _without_remarks(raw: bytes) -> bytes:
    """Drop comments and instructions, which metadata may well have: nothing in them is covered by trust in a signature."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(raw, parser)
    except (etree.XMLSyntaxError, ValueError) as problem:
        raise DirectoryRefused("", str(problem)[:200]) from problem
    if root.getroottree().docinfo.doctype:
        raise DirectoryRefused("", "has a document type")
    return bytes(etree.tostring(root))


def _provider(entity: etree._Element, dated: Sequence[etree._Element]) -> Provider:
    role = entity.find("md:IDPSSODescriptor", NS)
    assert role is not None
    keys = [one for one in role.findall("md:KeyDescriptor", NS) if one.get("use", "signing") == "signing"]
    texts = [text.text or "" for key in keys for text in key.iterfind(".//ds:X509Certificate", NS)]
    try:
        found = saml_keys.read_certificates(texts)
    except ValueError as problem:
        raise DirectoryError("The provider's certificates cannot be read.", str(problem)) from problem
    slo = _endpoint(role, "SingleLogoutService")
    return Provider(
        entity_id=str(entity.get("entityID")),
        sso_url=_endpoint(role, "SingleSignOnService")[0],
        slo_url=slo[0],
        slo_answer_url=slo[1] or slo[0],
        certificates=found,
        formats=tuple((one.text or "").strip() for one in role.findall("md:NameIDFormat", NS)),
        wants_signed=role.get("WantAuthnRequestsSigned", "false").strip() in ("true", "1"),
        valid_until=min(filter(None, (_moment(one.get("validUntil")) for one in (*dated, role))), default=None),
    )


def _endpoint(role: etree._Element, name: str) -> tuple[str, str]:
    for one in role.findall(f"md:{name}", NS):
        if one.get("Binding") == REDIRECT:
            return str(one.get("Location", "")).strip(), str(one.get("ResponseLocation", "")).strip()
    return "", ""


def _moment(text: str | None) -> datetime.datetime | None:
    try:
        found = datetime.datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def _usable(found: Provider) -> Provider:
    if not found.entity_id or len(found.entity_id) > 1024:
        raise DirectoryError("The provider has no entity id.")
    if not found.sso_url:
        raise DirectoryError("The provider takes no log-ins by HTTP-Redirect.", found.entity_id[:200])
    for url in filter(None, (found.sso_url, found.slo_url, found.slo_answer_url)):
        if no := why_not_https(url):
            raise DirectoryError(
                "The provider's addresses cannot be used: each must begin with https://.", f"{no} {url[:200]}"
            )
    strong = tuple(one for one in found.certificates if saml_keys.is_strong(one))
    if not strong:
        if found.certificates:
            raise DirectoryError("The provider signs with weak keys alone: RSA must have 2048 bits or more.")
        raise DirectoryError("The provider has no certificate to sign with.", found.entity_id[:200])
    return found if len(strong) == len(found.certificates) else _replaced(found, strong)


def _replaced(found: Provider, strong: tuple[x509.Certificate, ...]) -> Provider:
    return Provider(
        found.entity_id, found.sso_url, found.slo_url, found.slo_answer_url, strong, found.formats, found.wants_signed,
        found.valid_until,
    )  # fmt: skip


def own(
    settings: SamlSettings, entity_id: str, pair: saml_keys.Pair, takes: Sequence[str], logouts: Sequence[str]
) -> bytes:
    """Write our own metadata: where answers come to (`takes`, the first is the usual one) and notices of log-outs."""
    root = etree.Element(f"{{{MD}}}EntityDescriptor", nsmap={"md": MD, "ds": DS}, entityID=entity_id)
    role = etree.SubElement(
        root, f"{{{MD}}}SPSSODescriptor", protocolSupportEnumeration=PROTOCOL, WantAssertionsSigned="true",
        AuthnRequestsSigned="true" if settings.sign_requests else "false",
    )  # fmt: skip
    for use in ("signing", "encryption"):
        descriptor = etree.SubElement(role, f"{{{MD}}}KeyDescriptor", use=use)
        data = etree.SubElement(etree.SubElement(descriptor, f"{{{DS}}}KeyInfo"), f"{{{DS}}}X509Data")
        etree.SubElement(data, f"{{{DS}}}X509Certificate").text = saml_keys.bare(pair.certificate)
        if use == "encryption":
            for algorithm in ("2009/xmlenc11#aes256-gcm", "2001/04/xmlenc#aes256-cbc", "2001/04/xmlenc#rsa-oaep-mgf1p"):
                etree.SubElement(descriptor, f"{{{MD}}}EncryptionMethod", Algorithm=f"http://www.w3.org/{algorithm}")
    for url in logouts:
        for binding in (REDIRECT, POST):
            etree.SubElement(role, f"{{{MD}}}SingleLogoutService", Binding=binding, Location=url)
    etree.SubElement(role, f"{{{MD}}}NameIDFormat").text = FORMATS[settings.name_id_format]
    for number, url in enumerate(takes):
        place = etree.SubElement(
            role, f"{{{MD}}}AssertionConsumerService", Binding=POST, Location=url, index=str(number)
        )
        if number == 0:
            place.set("isDefault", "true")
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))
