"""Answers of a provider of SAML, made to order: whatever a test wants to be true or false in them, and signed or not."""

import base64
import datetime
from dataclasses import dataclass, field, replace
from typing import Any
from xml.sax.saxutils import escape

import xmlsec
from lxml import etree

from portico.directories.saml_keys import Pair
from portico.directories.saml_xml import DS, NS, SAML, SAMLP

PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
_ANSWER = """<samlp:Response xmlns:samlp="{samlp}" xmlns:saml="{saml}" ID="{response_id}" Version="2.0" IssueInstant="{now}"{destination}{in_response_to}>\
<saml:Issuer>{issuer}</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:{status}"/></samlp:Status>\
<saml:Assertion xmlns:saml="{saml}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ID="{assertion_id}" Version="2.0" IssueInstant="{now}"><saml:Issuer>{issuer}</saml:Issuer>\
<saml:Subject><saml:NameID Format="{name_format}">{name}</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:{method}">\
<saml:SubjectConfirmationData{confirmed_until}{recipient}{confirmed_for}/></saml:SubjectConfirmation></saml:Subject>\
<saml:Conditions NotBefore="{before}" NotOnOrAfter="{until}">{restriction}</saml:Conditions>\
<saml:AuthnStatement AuthnInstant="{now}" SessionIndex="{session}"{ends}><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>\
<saml:AttributeStatement>{attributes}</saml:AttributeStatement></saml:Assertion></samlp:Response>"""


@dataclass(frozen=True)
class Forged:
    """What an answer says. None leaves a thing out; times are seconds from now."""

    issuer: str
    back: str
    audience: str | None
    request_id: str | None
    destination: str | None = ""  # "": back
    recipient: str | None = ""
    confirmed_for: str | None = ""  # "": request_id
    confirmed_until: int | None = 300
    before: int = -30
    until: int = 300
    name: str = "sam-123"
    name_format: str = PERSISTENT
    method: str = "bearer"
    status: str = "Success"
    session: str = "s-1"
    ends: int | None = None
    response_id: str = "_response"
    assertion_id: str = "_assertion"
    attributes: dict[str, list[str]] = field(default_factory=lambda: {"uid": ["sam"], "groups": ["VDI-Users"]})

    def but(self, **more: Any) -> "Forged":
        """Return it with something else in it."""
        return replace(self, **more)

    def root(self) -> etree._Element:
        """Return the answer, unsigned."""
        quoted = {
            "samlp": SAMLP, "saml": SAML, "issuer": escape(self.issuer), "now": at(0), "before": at(self.before), "until": at(self.until),
            "name": self.name, "name_format": self.name_format, "method": self.method, "status": self.status, "session": self.session,
            "response_id": self.response_id, "assertion_id": self.assertion_id,
            "destination": _attribute("Destination", self.back if self.destination == "" else self.destination),
            "recipient": _attribute("Recipient", self.back if self.recipient == "" else self.recipient),
            "in_response_to": _attribute("InResponseTo", self.request_id),
            "confirmed_for": _attribute("InResponseTo", self.request_id if self.confirmed_for == "" else self.confirmed_for),
            "ends": _attribute("SessionNotOnOrAfter", None if self.ends is None else at(self.ends)),
            "confirmed_until": _attribute("NotOnOrAfter", None if self.confirmed_until is None else at(self.confirmed_until)),
            "restriction": "" if self.audience is None else
            f"<saml:AudienceRestriction><saml:Audience>{escape(self.audience)}</saml:Audience></saml:AudienceRestriction>",
            "attributes": "".join(
                f'<saml:Attribute Name="{name}">{"".join(f"<saml:AttributeValue>{escape(one)}</saml:AttributeValue>" for one in values)}</saml:Attribute>'
                for name, values in self.attributes.items()
            ),
        }  # fmt: skip
        return etree.fromstring(_ANSWER.format(**quoted))


def at(seconds: float) -> str:
    """Return a time so many seconds from now, as SAML writes it."""
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def signed(
    element: etree._Element,
    pair: Pair,
    method: Any = xmlsec.constants.TransformRsaSha256,
    digest: Any = xmlsec.constants.TransformSha256,
) -> etree._Element:
    """Sign an element with a key, after its issuer, where schemas want the signature; returns it."""
    node = xmlsec.template.create(element, xmlsec.constants.TransformExclC14N, method, ns="ds")
    issuer = element.find("saml:Issuer", NS)
    assert issuer is not None
    issuer.addnext(node)
    reference = xmlsec.template.add_reference(node, digest, uri=f"#{element.get('ID')}")
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
    xmlsec.tree.add_ids(element, ["ID"])
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(pair.key_pem, xmlsec.constants.KeyDataFormatPem, None)
    context.sign(node)
    return element


def read_again(root: etree._Element) -> etree._Element:
    """Return it parsed anew: lxml's searches miss names that xmlsec has put into a tree."""
    return etree.fromstring(etree.tostring(root))


def assertion(root: etree._Element) -> etree._Element:
    """Return the assertion in an answer."""
    found = root.find(".//saml:Assertion", NS)
    assert found is not None
    return found


def encrypted(
    root: etree._Element, pair: Pair, transport: Any = xmlsec.constants.TransformRsaOaep, cipher: Any = xmlsec.constants.TransformAes256Cbc,
    session: Any = xmlsec.constants.KeyDataAes, bits: int = 256,
) -> etree._Element:  # fmt: skip
    """Encrypt the assertion in an answer for whoever has the key of `pair`."""
    inner = assertion(root)
    holder = etree.Element(f"{{{SAML}}}EncryptedAssertion", nsmap={"saml": SAML})
    inner.getparent().replace(inner, holder)
    holder.append(inner)
    data = xmlsec.template.encrypted_data_create(root, cipher, type=xmlsec.constants.TypeEncElement, ns="xenc")
    xmlsec.template.encrypted_data_ensure_cipher_value(data)
    info = xmlsec.template.encrypted_data_ensure_key_info(data, ns="ds")
    key = xmlsec.template.add_encrypted_key(info, transport)
    xmlsec.template.encrypted_data_ensure_cipher_value(key)
    manager = xmlsec.KeysManager()
    manager.add_key(xmlsec.Key.from_memory(pair.certificate_pem, xmlsec.constants.KeyDataFormatCertPem, None))
    context = xmlsec.EncryptionContext(manager)
    context.key = xmlsec.Key.generate(session, bits, xmlsec.constants.KeyDataTypeSession)
    context.encrypt_xml(data, inner)
    return read_again(root)


def text(root: etree._Element) -> str:
    """Return an answer as a form carries it."""
    return base64.b64encode(etree.tostring(root)).decode()


def _attribute(name: str, value: str | None) -> str:
    return "" if value is None else f' {name}="{escape(value)}"'


__all__ = ["DS", "Forged", "assertion", "at", "encrypted", "read_again", "signed", "text"]
