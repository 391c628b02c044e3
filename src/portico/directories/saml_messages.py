"""Messages of SAML 2.0 that we write, and notices of log-outs that we read (Core, sections 3.4 and 3.7; Bindings 3.4 and 3.5)."""

import base64
import datetime
import secrets
import urllib.parse
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

from portico.directories import saml_keys, saml_xml
from portico.directories.saml_metadata import POST, Provider
from portico.directories.saml_xml import NS, SAID, SAML, SAMLP, refused
from portico.errors import DirectoryRefused

SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
LEEWAY = datetime.timedelta(seconds=60)  # of its clock and ours
NOTICE_SECONDS = 300  # that a notice may be old
MAX_NOTICE = 40_000  # characters, and bytes once it is inflated
MAX_RELAY_STATE = 1000
MAX_INDEXES = 100
_FORGED = SAID["forged"]


@dataclass(frozen=True, slots=True)
class NameId:
    """By which name a provider knows somebody (Core, section 2.2.3)."""

    text: str
    format: str = ""
    qualifier: str = ""
    sp_qualifier: str = ""

    def kept(self) -> dict[str, str]:
        """Return it as texts, for `from_kept`."""
        return {"name": self.text, "format": self.format, "nq": self.qualifier, "spnq": self.sp_qualifier}


@dataclass(frozen=True, slots=True)
class Notice:
    """A provider's word that somebody has logged out; without indexes of sessions, altogether."""

    id: str
    name_id: NameId
    indexes: tuple[str, ...]
    relay_state: str


def from_kept(kept: Mapping[str, str]) -> NameId:
    """Return the name that `NameId.kept` made texts of."""
    return NameId(kept.get("name", ""), kept.get("format", ""), kept.get("nq", ""), kept.get("spnq", ""))


def new_id() -> str:
    """Return an id that nobody can guess and that may stand in XML."""
    return f"_{secrets.token_hex(20)}"


def authn_request(id: str, entity_id: str, provider: Provider, back: str, name_format: str) -> str:
    """Write the request to log somebody in (Core, section 3.4.1)."""
    root = _message("AuthnRequest", id, entity_id, provider.sso_url)
    root.set("AssertionConsumerServiceURL", back)
    root.set("ProtocolBinding", POST)
    if name_format and not name_format.endswith(":unspecified"):
        etree.SubElement(root, f"{{{SAMLP}}}NameIDPolicy", Format=name_format, AllowCreate="true")
    return str(etree.tostring(root).decode())


def logout_request(entity_id: str, provider: Provider, name_id: NameId, index: str) -> str:
    """Write the notice that somebody has logged out here (Core, section 3.7.1)."""
    root = _message("LogoutRequest", new_id(), entity_id, provider.slo_url)
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=NOTICE_SECONDS)
    root.set("NotOnOrAfter", _text(soon))
    name = etree.SubElement(root, f"{{{SAML}}}NameID")
    name.text = name_id.text
    for attribute, value in (
        ("Format", name_id.format),
        ("NameQualifier", name_id.qualifier),
        ("SPNameQualifier", name_id.sp_qualifier),
    ):
        if value:
            name.set(attribute, value)
    if index:
        etree.SubElement(root, f"{{{SAMLP}}}SessionIndex").text = index
    return str(etree.tostring(root).decode())


def logout_response(entity_id: str, provider: Provider, asked: str) -> str:
    """Write the answer to a provider's notice (Core, section 3.7.2)."""
    root = _message("LogoutResponse", new_id(), entity_id, provider.slo_answer_url)
    root.set("InResponseTo", asked)
    etree.SubElement(etree.SubElement(root, f"{{{SAMLP}}}Status"), f"{{{SAMLP}}}StatusCode", Value=SUCCESS)
    return str(etree.tostring(root).decode())


def address(url: str, name: str, message: str, relay_state: str = "", pair: saml_keys.Pair | None = None) -> str:
    """Return the address that carries a message by HTTP-Redirect, signed where there is a key (Bindings, section 3.4.4.1)."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflate.compress(message.encode()) + deflate.flush()
    fields = [(name, base64.b64encode(packed).decode())]
    if relay_state:
        fields.append(("RelayState", relay_state))
    if pair is not None:
        fields.append(("SigAlg", saml_keys.RSA_SHA256))
    query = urllib.parse.urlencode(fields)
    if pair is not None:
        query += "&" + urllib.parse.urlencode({"Signature": saml_keys.sign(pair, query)})
    return f"{url}{'&' if '?' in url else '?'}{query}"


def read_notice(here: str, told: Mapping[str, str], provider: Provider) -> Notice:
    """Read a provider's LogoutRequest: `told` has the query of an address as it came, or the fields of a form.

    Raises DirectoryRefused unless it is signed by the provider, meant for the address `here`, and fresh.
    """
    query = told.get("query", "")
    if len(query) + len(told.get("SAMLRequest", "")) > MAX_NOTICE:
        raise refused(_FORGED, detail="too long")
    if query:
        root, relay_state = _of_query(query, provider.pems)
    else:
        root, relay_state = (
            saml_xml.parsed(saml_xml.decoded(told.get("SAMLRequest", ""), MAX_NOTICE)),
            told.get("RelayState", ""),
        )
        saml_xml.check_signatures(root, {f"{{{SAMLP}}}LogoutRequest"})
        if root.getparent() is not None or not saml_xml.is_signed(root, provider.pems):
            raise refused(_FORGED, detail="not signed by the provider")
    _check_notice(root, here, provider)
    names = root.findall("saml:NameID", NS)
    if len(names) != 1 or not (names[0].text or "").strip():
        raise refused(_FORGED, detail="names nobody")
    indexes = tuple((one.text or "").strip() for one in root.findall("samlp:SessionIndex", NS)[:MAX_INDEXES])
    return Notice(
        str(root.get("ID", "")), name_id_of(names[0]), tuple(filter(None, indexes)), relay_state[:MAX_RELAY_STATE]
    )


def name_id_of(element: etree._Element) -> NameId:
    """Read a NameID."""
    parts = (element.get("Format"), element.get("NameQualifier"), element.get("SPNameQualifier"))
    return NameId((element.text or "").strip(), *(part or "" for part in parts))


def _of_query(query: str, certificates: Sequence[str]) -> tuple[etree._Element, str]:
    """Check the signature over the very octets that came, then read what they carry."""
    parts: dict[str, str] = {}
    for piece in query.split("&"):
        name, _, value = piece.partition("=")
        if name in parts:
            raise refused(_FORGED, detail=f"{name[:40]} stands twice")
        parts[name] = value
    signed = "&".join(f"{name}={parts[name]}" for name in ("SAMLRequest", "RelayState", "SigAlg") if name in parts)
    plain = {name: urllib.parse.unquote_plus(value) for name, value in parts.items()}
    algorithm, signature = plain.get("SigAlg", ""), saml_xml.decoded(plain.get("Signature", ""), 4000)
    if not saml_keys.is_signed(certificates, signed.encode(), signature, algorithm):
        raise refused(_FORGED, detail=f"not signed by the provider ({algorithm[:80]})")
    inflate = zlib.decompressobj(-15)
    try:
        raw = inflate.decompress(saml_xml.decoded(plain.get("SAMLRequest", ""), MAX_NOTICE), MAX_NOTICE)
    except zlib.error as problem:
        raise refused(_FORGED, detail=f"cannot be inflated: {problem}") from problem
    if inflate.unconsumed_tail:
        raise refused(_FORGED, detail="too long once it is inflated")
    return saml_xml.parsed(raw), plain.get("RelayState", "")


def _check_notice(root: etree._Element, here: str, provider: Provider) -> None:
    now = datetime.datetime.now(datetime.UTC)
    issued, until = moment(root.get("IssueInstant")), moment(root.get("NotOnOrAfter"))
    issuer = root.find("saml:Issuer", NS)
    wrong = {
        "no LogoutRequest": root.tag != f"{{{SAMLP}}}LogoutRequest" or root.get("Version") != "2.0",
        "of somebody else": issuer is None or (issuer.text or "").strip() != provider.entity_id,
        "meant for somebody else": root.get("Destination") != here,
        "too old": issued is None or abs((now - issued).total_seconds()) > NOTICE_SECONDS,
        "over": root.get("NotOnOrAfter") is not None and (until is None or until + LEEWAY <= now),
    }
    if why := [what for what, is_so in wrong.items() if is_so]:
        raise DirectoryRefused(_FORGED, ", ".join(why))


def moment(text: str | None) -> datetime.datetime | None:
    """Read a time of SAML, which is UTC whatever it says; None for none (Core, section 1.3.3)."""
    try:
        found = datetime.datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def _text(at: datetime.datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _message(kind: str, id: str, entity_id: str, destination: str) -> etree._Element:
    root = etree.Element(f"{{{SAMLP}}}{kind}", nsmap={"samlp": SAMLP, "saml": SAML}, ID=id, Version="2.0")
    root.set("IssueInstant", _text(datetime.datetime.now(datetime.UTC)))
    root.set("Destination", destination)
    etree.SubElement(root, f"{{{SAML}}}Issuer").text = entity_id
    return root
