"""Answers of a SAML provider that must not count: whatever is taken away, put in, moved, or true for somebody else."""

import base64
import copy
import gzip
from typing import Any

import pytest
import xmlsec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from doubles.saml_forge import Forged, assertion, encrypted, read_again, signed, text
from portico.directories import saml_answer, saml_keys, saml_xml
from portico.directories.saml import Saml
from portico.directories.saml_settings import FULL_NAMES, GROUPS, SamlSettings
from portico.directories.saml_xml import DS, NS, SAML, SAMLP
from portico.errors import DirectoryError, DirectoryRefused
from portico.ports.directory import DirectoryContext

pytestmark = pytest.mark.capability("S046", "S048")
BACK = "https://portal.test/login/saml/1/acs"
OURS = "https://portal.test/login/saml/1/metadata"
IDP = "https://idp.test/metadata"
KEPT = {"request": "_request"}
PROVIDER = saml_keys.read_pair(saml_keys.make_pair())
OWN = saml_keys.make_pair()
FORGER = saml_keys.read_pair(saml_keys.make_pair())
GOOD = Forged(issuer=IDP, back=BACK, audience=OURS, request_id="_request")


def driver(**more: Any) -> Saml:
    parts = {
        "entity_id": IDP, "sso_url": "https://idp.test/sso", "certificates": PROVIDER.certificate_pem, "key_pair": OWN, **more,
    }  # fmt: skip
    return Saml(SamlSettings(**parts), DirectoryContext(own_url=OURS))


SAML_DRIVER = driver()


def refused(sent: etree._Element | str, by: Saml = SAML_DRIVER) -> DirectoryRefused:
    """Bring an answer, which must be refused; returns the refusal."""
    with pytest.raises(DirectoryRefused) as found:
        by.finish(BACK, KEPT, {"SAMLResponse": sent if isinstance(sent, str) else text(sent)})
    assert "PRIVATE" not in found.value.sentence
    return found.value


def in_assertion(forged: Forged) -> etree._Element:
    """An answer whose assertion the provider has signed."""
    root = forged.root()
    signed(assertion(root), PROVIDER)
    return read_again(root)


def in_answer(forged: Forged) -> etree._Element:
    """An answer that the provider has signed as a whole."""
    return read_again(signed(forged.root(), PROVIDER))


def test_a_good_answer_counts_however_it_is_signed() -> None:
    """What the refusals below change is all that is wrong with them."""
    both = signed(in_assertion(GOOD), PROVIDER)
    for root in (in_assertion(GOOD), in_answer(GOOD), both):
        vouched = SAML_DRIVER.finish(BACK, KEPT, {"SAMLResponse": text(root)})
        assert (vouched.identity.subject, vouched.identity.login_name) == ("sam-123", "sam")
        assert (vouched.identity.groups, vouched.session, vouched.once) == (("VDI-Users",), "s-1", "_assertion")


@pytest.mark.parametrize("sign", [in_assertion, in_answer], ids=["assertion", "answer"])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"audience": "https://other.test"}, "somebody else"),
        ({"audience": None}, "somebody else"),
        ({"request_id": "_other"}, "another log-in"),
        ({"request_id": None}, "another log-in"),
        ({"confirmed_for": "_other"}, "cannot be trusted"),
        ({"confirmed_for": None}, "another log-in"),
        ({"destination": "https://portal.test/login/saml/2/acs"}, "cannot be trusted"),
        ({"destination": BACK + "/more"}, "another log-in"),
        ({"recipient": "https://portal.test/login/saml/2/acs"}, "cannot be trusted"),
        ({"recipient": "https://evil.test/?" + BACK}, "another log-in"),
        ({"recipient": None}, "another log-in"),
        ({"method": "holder-of-key"}, "cannot be trusted"),
        ({"confirmed_until": -600}, "cannot be trusted"),
        ({"confirmed_until": None}, "too old"),
        ({"until": -70}, "too old"),
        ({"until": -600}, "too old"),
        ({"before": 70}, "too old"),
        ({"before": 600}, "too old"),
        ({"issuer": "https://other.test/metadata"}, "cannot be trusted"),
        ({"status": "Responder"}, "did not log you in"),
        ({"name": ""}, ""),
        ({"name_format": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"}, "persistent"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_is_true_for_somebody_else_does_not_count(sign: Any, wrong: dict[str, Any], said: str) -> None:
    assert said in refused(sign(GOOD.but(**wrong))).sentence


def test_a_small_difference_of_clocks_is_borne() -> None:
    root = in_assertion(GOOD.but(before=40, until=300))
    assert SAML_DRIVER.finish(BACK, KEPT, {"SAMLResponse": text(root)}).identity.subject == "sam-123"


def test_a_signed_answer_must_say_where_it_goes() -> None:
    """An assertion alone is bound by its recipient; an answer that is signed must name its destination (Bindings, section 3.5.5.2)."""
    refused(in_answer(GOOD.but(destination=None)))
    assert SAML_DRIVER.finish(BACK, KEPT, {"SAMLResponse": text(in_assertion(GOOD.but(destination=None)))})


def test_what_is_not_signed_by_the_provider_does_not_count() -> None:
    refused(GOOD.root())
    forged = GOOD.root()
    signed(assertion(forged), FORGER)
    refused(forged)
    refused(signed(GOOD.root(), FORGER))
    mixed = in_assertion(GOOD)
    refused(signed(mixed, FORGER))  # one good signature does not make up for a bad one
    empty = in_assertion(GOOD)
    value = empty.find(".//ds:SignatureValue", NS)
    assert value is not None
    value.text = ""
    refused(empty)


@pytest.mark.parametrize("sign", [in_assertion, in_answer], ids=["assertion", "answer"])
def test_tampering_shows(sign: Any) -> None:
    whole = etree.tostring(sign(GOOD)).decode()
    for old, new in (("VDI-Users", "Admins"), ("sam-123", "ada"), ("s-1", "s-2"), (OURS, OURS + "x")):
        assert old in whole
        refused(base64.b64encode(whole.replace(old, new).encode()).decode())
    stripped = sign(GOOD)
    node = stripped.find(".//ds:Signature", NS)
    assert node is not None
    node.getparent().remove(node)
    refused(stripped)


@pytest.mark.parametrize(
    ("method", "digest"),
    [
        (xmlsec.constants.TransformRsaSha1, xmlsec.constants.TransformSha256),
        (xmlsec.constants.TransformRsaSha256, xmlsec.constants.TransformSha1),
        (xmlsec.constants.TransformRsaSha1, xmlsec.constants.TransformSha1),
    ],
    ids=["signature", "digest", "both"],
)
def test_sha_1_is_refused(method: Any, digest: Any) -> None:
    root = GOOD.root()
    signed(assertion(root), PROVIDER, method, digest)
    assert "SHA-256" in refused(root).sentence


def test_a_key_that_everybody_knows_is_no_secret() -> None:
    """HMAC with the certificate as its key: the algorithm is not the sender's to choose."""
    root = in_assertion(GOOD)
    node = root.find(".//ds:SignatureMethod", NS)
    assert node is not None
    node.set("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")
    refused(root)


# --- signature wrapping: XSW 1 to 8, after "On Breaking SAML" (2012), and some more


def evil_of(root: etree._Element) -> etree._Element:
    """A copy of an answer or an assertion that says something else, without a signature."""
    evil = copy.deepcopy(root)
    for node in evil.findall(".//ds:Signature", NS):
        node.getparent().remove(node)
    evil.set("ID", "_evil")
    for name in evil.iter(f"{{{SAML}}}NameID"):
        name.text = "admin"
    for value in evil.iter(f"{{{SAML}}}AttributeValue"):
        value.text = "admin"
    return evil


def signature_of(element: etree._Element) -> etree._Element:
    found = element.find("ds:Signature", NS)
    assert found is not None
    return found


def xsw1() -> etree._Element:
    """A forged answer around the signed one, which its signature holds."""
    good = in_answer(GOOD)
    evil, node = evil_of(good), signature_of(good)
    good.remove(node)
    evil.insert(1, node)
    node.append(good)
    return evil


def xsw2() -> etree._Element:
    """A forged answer, with the signature and the signed answer beside it."""
    good = in_answer(GOOD)
    evil, node = evil_of(good), signature_of(good)
    good.remove(node)
    evil.insert(1, node)
    evil.insert(1, good)
    return evil


def xsw3() -> etree._Element:
    """A forged assertion before the signed one."""
    root = in_assertion(GOOD)
    good = assertion(root)
    good.addprevious(evil_of(good))
    return root


def xsw4() -> etree._Element:
    """A forged assertion around the signed one."""
    root = in_assertion(GOOD)
    good = assertion(root)
    evil = evil_of(good)
    root.replace(good, evil)
    evil.append(good)
    return root


def xsw5() -> etree._Element:
    """The signature in a forged assertion, the signed one at the end without it."""
    root = in_assertion(GOOD)
    good = assertion(root)
    evil, node = evil_of(good), signature_of(good)
    good.remove(node)
    evil.insert(1, node)
    good.addprevious(evil)
    return root


def xsw6() -> etree._Element:
    """The signed assertion within the signature of a forged one."""
    root = in_assertion(GOOD)
    good = assertion(root)
    evil, node = evil_of(good), signature_of(good)
    root.replace(good, evil)
    good.remove(node)
    evil.insert(1, node)
    node.append(good)
    return root


def xsw7() -> etree._Element:
    """A forged assertion in an extension, before the signed one."""
    root = in_assertion(GOOD)
    holder = etree.Element(f"{{{SAMLP}}}Extensions")
    holder.append(evil_of(assertion(root)))
    root.insert(1, holder)
    return root


def xsw8() -> etree._Element:
    """The signed assertion in an object of the signature of a forged one."""
    root = in_assertion(GOOD)
    good = assertion(root)
    evil, node = evil_of(good), signature_of(good)
    root.replace(good, evil)
    good.remove(node)
    evil.insert(1, node)
    etree.SubElement(node, f"{{{DS}}}Object").append(good)
    return root


def same_id() -> etree._Element:
    """Two assertions of one id, of which the signature is over one."""
    root = xsw3()
    root.findall("saml:Assertion", NS)[0].set("ID", "_assertion")
    return root


def elsewhere() -> etree._Element:
    """A signature over another element than it stands in."""
    root = in_assertion(GOOD)
    good = assertion(root)
    node = signature_of(good)
    good.remove(node)
    root.insert(1, node)
    return root


def two_references() -> etree._Element:
    """A signature over the assertion, and one more reference to everything."""
    root = in_assertion(GOOD)
    reference = root.find(".//ds:Reference", NS)
    assert reference is not None
    more = copy.deepcopy(reference)
    more.set("URI", "")
    reference.addnext(more)
    return root


def whole_document() -> etree._Element:
    """A reference without an id: the whole document, wherever it ends up."""
    root = in_assertion(GOOD)
    reference = root.find(".//ds:Reference", NS)
    assert reference is not None
    reference.set("URI", "")
    return root


WRAPPED = [xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8, same_id, elsewhere, two_references, whole_document]


@pytest.mark.parametrize("wrap", WRAPPED, ids=[one.__name__ for one in WRAPPED])
def test_nothing_hides_beside_what_is_signed(wrap: Any) -> None:
    refused(wrap())


@pytest.mark.parametrize(
    "program",
    [
        "http://www.w3.org/TR/1999/REC-xslt-19991116", "http://www.w3.org/TR/1999/REC-xpath-19991116",
        "http://www.w3.org/2002/06/xmldsig-filter2", "http://www.w3.org/2000/09/xmldsig#base64",
    ],
)  # fmt: skip
def test_a_signature_brings_no_programs(program: str) -> None:
    """Transforms are run before the signature is known to be good."""
    root = in_assertion(GOOD)
    transforms = root.find(".//ds:Transforms", NS)
    assert transforms is not None
    etree.SubElement(transforms, f"{{{DS}}}Transform", Algorithm=program)
    assert "transforms" in refused(root).detail


# --- encryption


OURS_PAIR = saml_keys.read_pair(OWN)


def test_an_encrypted_assertion_counts_when_it_is_signed_within_or_around() -> None:
    for root in (encrypted(in_assertion(GOOD), OURS_PAIR), signed(encrypted(GOOD.root(), OURS_PAIR), PROVIDER)):
        assert b"sam-123" not in etree.tostring(root)
        assert SAML_DRIVER.finish(BACK, KEPT, {"SAMLResponse": text(root)}).identity.subject == "sam-123"


def test_anybody_can_encrypt_for_us_so_it_proves_nothing() -> None:
    refused(encrypted(GOOD.root(), OURS_PAIR))
    forged = GOOD.root()
    signed(assertion(forged), FORGER)
    refused(encrypted(forged, OURS_PAIR))
    refused(encrypted(in_assertion(GOOD), FORGER))  # for somebody else: we cannot open it
    refused(encrypted(in_assertion(GOOD.but(audience="https://other.test")), OURS_PAIR))
    beside = encrypted(in_assertion(GOOD), OURS_PAIR)
    beside.append(evil_of(assertion(in_assertion(GOOD))))
    refused(beside)


def test_weak_ciphers_are_refused_before_anything_is_opened() -> None:
    """RSA 1.5 answers questions that it should not, to who may ask a million times."""
    old = encrypted(in_assertion(GOOD), OURS_PAIR, transport=xmlsec.constants.TransformRsaPkcs1)
    assert "RSA-OAEP" in refused(old).sentence
    des = encrypted(
        in_assertion(GOOD),
        OURS_PAIR,
        cipher=xmlsec.constants.TransformDes3Cbc,
        session=xmlsec.constants.KeyDataDes,
        bits=192,
    )
    assert "RSA-OAEP" in refused(des).sentence
    elsewhere = encrypted(in_assertion(GOOD), OURS_PAIR)
    value = elsewhere.find(".//xenc:CipherValue", NS)
    assert value is not None
    reference = etree.SubElement(
        value.getparent(), "{http://www.w3.org/2001/04/xmlenc#}CipherReference", URI="http://127.0.0.1:1/"
    )
    value.getparent().replace(value, reference)
    assert "elsewhere" in refused(elsewhere).detail


# --- XML itself


BOMB = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {new} "{f"&{old};" * 20}">' for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "head",
    [
        BOMB + "]><x>&i;</x>",
        '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x/>',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x.dtd"> %p;]><x/>',
        '<x xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd" parse="text"/></x>',
        "<x>" * 10_000,
        "<x>" + "<y/>" * 30_000 + "</x>",
        "",
        "\0",
        "no XML",
        "<x",
    ],
    ids=["bomb", "file", "dtd", "parameter", "xinclude", "deep", "wide", "empty", "nul", "text", "torn"],
)
def test_xml_is_data_and_has_bounds(head: str) -> None:
    refused(base64.b64encode(head.encode()).decode())
    refused(base64.b64encode(head.encode("utf-16")).decode())


def test_a_document_type_before_a_good_answer_is_refused() -> None:
    good = etree.tostring(in_assertion(GOOD))
    refused(base64.b64encode(b"<!DOCTYPE x [<!ATTLIST x ID ID #IMPLIED>]>" + good).decode())


@pytest.mark.parametrize("remark", ["<!-- -->", "<?php x?>"])
def test_remarks_do_not_split_a_name(remark: str) -> None:
    """A signature leaves comments out, and a reader of "sam<!-- -->-123" may see "sam" (CVE-2017-11427)."""
    good = etree.tostring(in_assertion(GOOD.but(name="sam-123.evil"))).decode()
    refused(base64.b64encode(good.replace("sam-123.evil", f"sam-123{remark}.evil").encode()).decode())
    refused(base64.b64encode((remark + good).encode()).decode())


def test_no_answer_is_longer_than_it_may_be() -> None:
    good = text(in_assertion(GOOD))
    assert "longer" in refused(good + " " * saml_xml.MAX_TEXT).detail
    assert "base64" in refused("%" + good).detail
    assert "XML" in refused(base64.b64encode(gzip.compress(b"<x/>" * 1000)).decode()).detail


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_change_of_a_good_answer_makes_somebody_else(data: st.DataObject) -> None:
    """Bytes are replaced, cut out and doubled: what is not refused still says what the provider signed."""
    raw = bytearray(_GOOD_BYTES)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(raw) - 1))
        end = min(len(raw), start + data.draw(st.integers(0, 40)))
        raw[start:end] = data.draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(
                    [b"", bytes(raw[start:end]) * 2, b"<!-- -->", b"admin", b"&amp;", b"</saml:Assertion>"]
                ),
            )
        )
    try:
        vouched = SAML_DRIVER.finish(BACK, KEPT, {"SAMLResponse": base64.b64encode(bytes(raw)).decode()})
    except DirectoryRefused:
        return
    assert (vouched.identity.subject, vouched.identity.groups, vouched.session) == ("sam-123", ("VDI-Users",), "s-1")


_GOOD_BYTES = etree.tostring(in_assertion(GOOD.but(until=86_400, confirmed_until=86_400)))


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=300), st.binary(max_size=300).map(lambda raw: base64.b64encode(raw).decode())))
def test_whatever_comes_is_refused_and_nothing_else(sent: str) -> None:
    refused(sent)
    with pytest.raises(DirectoryRefused):
        SAML_DRIVER.is_unasked({"SAMLResponse": sent})


def test_whether_somebody_asked_is_said_by_the_answer() -> None:
    assert SAML_DRIVER.is_unasked({"SAMLResponse": text(GOOD.but(request_id=None).root())})
    assert not SAML_DRIVER.is_unasked({"SAMLResponse": text(GOOD.root())})


# --- what it says of somebody


def told(forged: Forged, **more: Any) -> Any:
    return driver(**more).finish(BACK, KEPT, {"SAMLResponse": text(in_assertion(forged))}).identity


def test_attributes_are_found_by_their_usual_names_and_by_others() -> None:
    entra = {
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name": ["ada@corp.example"],
        FULL_NAMES[0]: ["Ada Lovelace"], GROUPS[0]: ["3f2c", "77aa"],
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress": ["ada@corp.example"],
    }  # fmt: skip
    ada = told(GOOD.but(attributes=entra))
    assert (ada.login_name, ada.display_name, ada.email) == ("ada@corp.example", "Ada Lovelace", "ada@corp.example")
    assert ada.groups == ("3f2c", "77aa")
    own = {"kennung": ["ada"], "gruppen": ["A", "B"], "post": ["a@b.c"], "voll": ["Ada L"], "Nummer": ["4711"]}
    names = {
        "name_attribute": "kennung", "groups_attribute": "gruppen", "email_attribute": "post", "display_name_attribute": "voll",
        "subject_attribute": "Nummer",
    }  # fmt: skip
    ada = told(GOOD.but(attributes=own), **names)
    assert (ada.subject, ada.login_name, ada.display_name, ada.email, ada.groups) == (
        "4711",
        "ada",
        "Ada L",
        "a@b.c",
        ("A", "B"),
    )
    assert ada.attributes["kennung"] == ("ada",)
    bare = told(GOOD.but(attributes={"other": ["x"]}))
    assert (bare.login_name, bare.display_name, bare.groups) == ("sam-123", "sam-123", ())
    with pytest.raises(DirectoryRefused):
        told(GOOD, subject_attribute="employeeNumber")


def test_a_session_ends_when_the_providers_does() -> None:
    """Core, section 2.7.2: SessionNotOnOrAfter."""
    sent = text(in_assertion(GOOD.but(ends=1000)))
    vouched = SAML_DRIVER.finish(BACK, KEPT, {"SAMLResponse": sent})
    assert vouched.ends is not None
    assert 900 < vouched.ends - vouched.until + 360 < 1100  # `until` is six minutes from now
    assert SAML_DRIVER.finish(BACK, KEPT, {"SAMLResponse": text(in_assertion(GOOD))}).ends is None
    refused(in_assertion(GOOD.but(ends=-5)))


def test_long_names_are_told_apart_by_more_than_their_beginning() -> None:
    one, other = (told(GOOD.but(name="x" * 250 + end)).subject for end in "ab")
    assert one != other
    assert len(one) <= 200


def test_without_a_key_of_ours_nothing_is_sent() -> None:
    with pytest.raises(DirectoryError):
        driver(key_pair="").begin(BACK)


def test_the_library_alone_would_take_some_of_it() -> None:
    """Why there is a stricter check besides: python3-saml lets an answer without an audience, and one for nobody, pass."""
    asked = saml_answer.Asked("_request", BACK, OURS, SAML_DRIVER._provider(), OURS_PAIR)
    for lax in (GOOD.but(audience=None), GOOD.but(recipient=None), GOOD.but(confirmed_for=None)):
        assert saml_answer._checked_by_library(text(in_assertion(lax)), asked) is not None
