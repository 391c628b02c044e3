"""A provider's answer to a request for a log-in: checked by python3-saml, and more strictly here (Profiles, section 4.1.4.3)."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lxml import etree
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings

from portico.directories import saml_xml
from portico.directories.saml_keys import Pair
from portico.directories.saml_messages import LEEWAY, SUCCESS, NameId, moment, name_id_of
from portico.directories.saml_metadata import Provider
from portico.directories.saml_xml import NS, SAID, SAML, SAMLP, refused
from portico.errors import DirectoryRefused

BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
MAX_VALUES = 10_000
_RESPONSE, _ASSERTION = f"{{{SAMLP}}}Response", f"{{{SAML}}}Assertion"
_OTHER, _LATE, _AUDIENCE = SAID["other"], SAID["late"], SAID["audience"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer must be an answer to: the request's id, where it comes to, who we are, and whom we asked."""

    request_id: str
    back: str
    entity_id: str
    provider: Provider
    pair: Pair


@dataclass(frozen=True, slots=True)
class Answer:
    """What a trusted answer says. `assertion_id` serves once before `until`."""

    assertion_id: str
    until: datetime.datetime
    name_id: NameId
    session: str
    attributes: Mapping[str, tuple[str, ...]]
    ends: datetime.datetime | None = None  # when the session there ends at the latest


def read(text: str, asked: Asked) -> Answer:
    """Read an answer (base64). Raises DirectoryRefused unless all of it can be trusted."""
    root = saml_xml.parsed(saml_xml.decoded(text))
    if root.tag != _RESPONSE:
        raise refused(detail=f"no Response: {str(root.tag)[:100]}")
    if not asked.request_id or root.get("InResponseTo") != asked.request_id:
        raise refused(_OTHER, detail=f"InResponseTo {root.get('InResponseTo')!r}")
    _check_status(root)
    _check_form(root)
    saml_xml.check_ciphers(root)
    answer = _checked_by_library(text, asked)
    # Parsed once more: what was decrypted into a tree has names that lxml's searches may miss.
    opened = saml_xml.parsed(etree.tostring(answer.get_xml_document()))
    return _told(root, opened, asked)


def is_unasked(text: str) -> bool:
    """Tell whether an answer says itself that it answers no request of ours. Raises DirectoryRefused for what is no answer."""
    root = saml_xml.parsed(saml_xml.decoded(text))
    if root.tag != _RESPONSE:
        raise refused(detail="no Response")
    return root.get("InResponseTo") is None


def _check_status(root: etree._Element) -> None:
    codes = root.findall("samlp:Status/samlp:StatusCode", NS)
    if len(codes) == 1 and codes[0].get("Value") == SUCCESS:
        return
    inner = root.find("samlp:Status/samlp:StatusCode/samlp:StatusCode", NS)
    said = [str(one.get("Value")).rpartition(":")[2] for one in (*codes, *([inner] if inner is not None else []))]
    if "InvalidNameIDPolicy" in said:
        raise DirectoryRefused(
            "The provider has no name of the kind that we ask for. Choose another one in the directory's settings.",
            ", ".join(said)[:200],
        )
    raise DirectoryRefused("The provider did not log you in.", ", ".join(said)[:200])


def _check_form(root: etree._Element) -> None:
    """Demand one assertion, directly in the answer, and no signatures but on the two: nothing can hide beside what is signed."""
    plain = list(root.iter(_ASSERTION))
    sealed = list(root.iter(f"{{{SAML}}}EncryptedAssertion"))
    if len(plain) + len(sealed) != 1 or (plain or sealed)[0].getparent() is not root:
        raise refused(detail=f"{len(plain)} assertions and {len(sealed)} encrypted ones")
    if sum(1 for _ in root.iter(_RESPONSE)) != 1:
        raise refused(detail="an answer within an answer")
    saml_xml.check_plain(root)
    saml_xml.check_signatures(root, {_RESPONSE, _ASSERTION})


def _checked_by_library(text: str, asked: Asked) -> OneLogin_Saml2_Response:
    place = urlsplit(asked.back)
    request = {"https": "on", "http_host": place.netloc, "script_name": place.path, "get_data": {}, "post_data": {}}
    try:
        answer = OneLogin_Saml2_Response(_settings(asked), text)
        answer.is_valid(request, asked.request_id, raise_exceptions=True)
    except Exception as problem:  # besides its own errors, the library raises whatever it trips over
        raise refused(_sentence(str(problem)), detail=f"{type(problem).__name__}: {problem}") from problem
    return answer


def _sentence(problem: str) -> str:
    """Return what may be told of the library's words: nothing about keys and what was decrypted."""
    if "timestamp" in problem or "expired" in problem:
        return _LATE
    return _AUDIENCE if "audience" in problem else SAID["untrusted"]


def _settings(asked: Asked) -> OneLogin_Saml2_Settings:
    certificates = ["".join(line for line in pem.splitlines() if "-----" not in line) for pem in asked.provider.pems]
    return OneLogin_Saml2_Settings(
        {
            "strict": True, "debug": False,
            "sp": {
                "entityId": asked.entity_id, "assertionConsumerService": {"url": asked.back},
                "x509cert": asked.pair.certificate_pem, "privateKey": asked.pair.key_pem,
            },
            "idp": {
                "entityId": asked.provider.entity_id, "singleSignOnService": {"url": asked.provider.sso_url},
                "x509certMulti": {"signing": certificates},
            },
            "security": {
                "rejectDeprecatedAlgorithm": True, "wantAttributeStatement": False, "wantNameId": True,
                "allowSingleLabelDomains": True, "requestedAuthnContext": False,
            },
        },
        sp_validation_only=True,
    )  # fmt: skip


def _told(came: etree._Element, root: etree._Element, asked: Asked) -> Answer:
    """Read what a signature covers that is verified here, in the very tree that is read: `root`, which is `came` decrypted."""
    _check_form(root)
    assertion = root.find("saml:Assertion", NS)
    around = saml_xml.is_signed(came, asked.provider.pems)
    if assertion is None or not (around or saml_xml.is_signed(assertion, asked.provider.pems)):
        raise refused(detail="nothing is signed")
    until = _check_subject(assertion, asked)
    _check_conditions(assertion, asked.entity_id)
    if root.get("Destination", "" if around else asked.back) != asked.back:
        raise refused(_OTHER, detail=f"Destination {root.get('Destination')!r}")
    issuer = assertion.find("saml:Issuer", NS)
    if issuer is None or (issuer.text or "").strip() != asked.provider.entity_id:
        raise refused(detail="issued by somebody else")
    names = assertion.findall("saml:Subject/saml:NameID", NS)
    if len(names) != 1 or not (names[0].text or "").strip():
        raise refused("The provider does not say who you are.", detail="names nobody")
    statement = assertion.find("saml:AuthnStatement", NS)
    session = str(statement.get("SessionIndex", "")) if statement is not None else ""
    ends = moment(statement.get("SessionNotOnOrAfter")) if statement is not None else None
    return Answer(str(assertion.get("ID")), until, name_id_of(names[0]), session, _attributes(assertion), ends)


def _check_subject(assertion: etree._Element, asked: Asked) -> datetime.datetime:
    """Demand a bearer's confirmation for this request, this address and this moment; returns until when it holds."""
    now, why = datetime.datetime.now(datetime.UTC), "no confirmation"
    for one in assertion.findall("saml:Subject/saml:SubjectConfirmation", NS):
        data = one.find("saml:SubjectConfirmationData", NS)
        if one.get("Method") != BEARER or data is None:
            continue
        until = moment(data.get("NotOnOrAfter"))
        if data.get("InResponseTo") != asked.request_id or data.get("Recipient") != asked.back:
            why = f"for {data.get('Recipient')!r}, {data.get('InResponseTo')!r}"
        elif until is None or until + LEEWAY <= now or data.get("NotBefore") is not None:
            raise refused(_LATE, detail=f"confirmed until {data.get('NotOnOrAfter')!r}")
        else:
            return until + LEEWAY
    raise refused(_OTHER, detail=why)


def _check_conditions(assertion: etree._Element, entity_id: str) -> None:
    now = datetime.datetime.now(datetime.UTC)
    found = assertion.findall("saml:Conditions", NS)
    if len(found) != 1:
        raise refused(detail=f"{len(found)} conditions")
    for name in ("NotBefore", "NotOnOrAfter"):
        text, at = found[0].get(name), moment(found[0].get(name))
        over = at is not None and (at > now + LEEWAY if name == "NotBefore" else at + LEEWAY <= now)
        if over or (text is not None and at is None):
            raise refused(_LATE, detail=f"{name} {text!r}")
    # Each restriction must hold, by one audience of its own (Core, section 2.5.1.4).
    restrictions = found[0].findall("saml:AudienceRestriction", NS)
    for one in restrictions:
        if entity_id not in [(audience.text or "").strip() for audience in one.findall("saml:Audience", NS)]:
            raise refused(_AUDIENCE, detail="another audience")
    if not restrictions:
        raise refused(_AUDIENCE, detail="no audience")


def _attributes(assertion: etree._Element) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for one in assertion.findall("saml:AttributeStatement/saml:Attribute", NS):
        values = found.setdefault(str(one.get("Name", "")), [])
        for value in one.findall("saml:AttributeValue", NS):
            text = "".join(value.itertext()).strip()  # a NameID within counts as its text
            if text and len(values) < MAX_VALUES:
                values.append(text)
    return {name: tuple(values) for name, values in found.items() if name and values}
