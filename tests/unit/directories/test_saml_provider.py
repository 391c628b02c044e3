"""What is believed of a SAML provider: its metadata, its notices of log-outs; and settings that cannot be used."""

import base64
import datetime
import zlib
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from doubles.saml_forge import at, read_again, signed
from portico.directories import saml_keys, saml_messages, saml_metadata, saml_xml
from portico.directories.saml import Saml
from portico.directories.saml_settings import FORMATS, SamlSettings
from portico.directories.saml_xml import MD, NS, SAML, SAMLP
from portico.errors import DirectoryError, DirectoryRefused, Invalid
from portico.ports.directory import DirectoryContext

pytestmark = pytest.mark.capability("S046", "S048")
IDP, OURS = "https://idp.test/metadata", "https://portal.test/login/saml/1/metadata"
HERE = "https://portal.test/login/saml/1/logout"
PAIR = saml_keys.read_pair(saml_keys.make_pair())
FORGER = saml_keys.read_pair(saml_keys.make_pair())
OWN = saml_keys.make_pair()
REDIRECT = saml_metadata.REDIRECT


def certificate(key: Any, days: int = 1) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )


def metadata(
    *, sso: str = "https://idp.test/sso", binding: str = REDIRECT, keys: tuple[str, ...] = (), slo: str = "https://idp.test/slo", more: str = "",
    entity: str = IDP, head: str = "",
) -> str:  # fmt: skip
    certificates = "".join(
        f'<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{one}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>'
        for one in keys or (saml_keys.bare(PAIR.certificate),)
    )
    return (
        f'{head}<md:EntityDescriptor xmlns:md="{MD}" xmlns:ds="{saml_xml.DS}" entityID="{entity}" {more}>'
        f'<md:IDPSSODescriptor protocolSupportEnumeration="{SAMLP}">{certificates}'
        f'<md:SingleLogoutService Binding="{REDIRECT}" Location="{slo}"/><md:NameIDFormat>{FORMATS["persistent"]}</md:NameIDFormat>'
        f'<md:SingleSignOnService Binding="{binding}" Location="{sso}"/></md:IDPSSODescriptor></md:EntityDescriptor>'
    )


def driver(**more: Any) -> Saml:
    given = {"metadata": metadata(), "key_pair": OWN, **more}
    return Saml(SamlSettings(**given), DirectoryContext(own_url=OURS))


def test_metadata_say_where_people_are_sent_and_who_signs() -> None:
    found = saml_metadata.read(metadata(head="<?xml version='1.0'?><!-- made by hand -->").encode())
    assert (found.entity_id, found.sso_url, found.slo_url) == (IDP, "https://idp.test/sso", "https://idp.test/slo")
    assert found.certificates == (PAIR.certificate,)
    several = f'<md:EntitiesDescriptor xmlns:md="{MD}">{metadata()}{metadata(entity="https://two.test")}</md:EntitiesDescriptor>'
    assert saml_metadata.read(several.encode(), "https://two.test").entity_id == "https://two.test"
    ended = saml_metadata.read(metadata(more='validUntil="2020-01-01T00:00:00Z"').encode())
    assert ended.valid_until is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("no XML", "cannot be read"),
        ("<x/>", "no metadata"),
        (f'<md:EntityDescriptor xmlns:md="{MD}" entityID="x"/>', "name no provider"),
        (f'<md:EntitiesDescriptor xmlns:md="{MD}">{metadata()}{metadata(entity="https://two.test")}</md:EntitiesDescriptor>', "several"),
        (metadata(sso="http://idp.test/sso"), "https://"),
        (metadata(sso="javascript:alert(1)"), "cannot be used"),
        (metadata(sso="https://idp.test/sso#x"), "cannot be used"),
        (metadata(slo="http://idp.test/slo"), "https://"),
        (metadata(binding=saml_metadata.POST), "HTTP-Redirect"),
        (metadata(keys=("AAAA",)), "certificates cannot be read"),
        (metadata(keys=(saml_keys.bare(PAIR.certificate),) * 21 + ("x",)), "certificates cannot be read"),
        (metadata(head='<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'), "cannot be read"),
        (metadata(entity="x" * 2000), "no entity id"),
        ("<x>" + "<y/>" * 60_000 + "</x>", "cannot be read"),
        ("x" * (saml_metadata.MAX_BYTES + 1), "too long"),
    ],
    ids=lambda value: "" if len(value) > 30 else value,
)  # fmt: skip
def test_metadata_that_cannot_be_used_say_why(text: str, said: str) -> None:
    with pytest.raises(DirectoryError) as found:
        saml_metadata.read(text.encode())
    assert said in found.value.sentence


def test_weak_keys_are_not_believed() -> None:
    weak = saml_keys.bare(certificate(rsa.generate_private_key(65537, 1024)))
    with pytest.raises(DirectoryError, match="weak"):
        saml_metadata.read(metadata(keys=(weak,)).encode())
    both = saml_metadata.read(metadata(keys=(weak, saml_keys.bare(PAIR.certificate))).encode())
    assert both.certificates == (PAIR.certificate,)


@given(st.binary(max_size=400))
def test_whatever_metadata_hold_is_refused_with_a_sentence(raw: bytes) -> None:
    with pytest.raises(DirectoryError):
        saml_metadata.read(raw)


def test_our_own_metadata_can_be_read() -> None:
    described = driver().describe_us(["https://portal.test/acs", "https://other.test/acs"], [HERE])
    root = etree.fromstring(described)
    places = root.findall(".//md:AssertionConsumerService", NS)
    assert [(one.get("Location"), one.get("isDefault")) for one in places] == [
        ("https://portal.test/acs", "true"), ("https://other.test/acs", None),
    ]  # fmt: skip
    assert len(root.findall(".//ds:X509Certificate", NS)) == 2
    assert b"PRIVATE" not in described


# --- settings


PARTS = {
    "entity_id": IDP,
    "sso_url": "https://idp.test/sso?tenant=1",
    "certificates": PAIR.certificate_pem,
    "metadata": "",
}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"metadata": ""}, "metadata_url"),
        ({"metadata_url": "https://idp.test/x"}, "metadata_url"),
        ({"metadata": "", "metadata_url": "http://idp.test/x"}, "metadata_url"),
        ({"metadata": "", "metadata_url": "https://user:pass@idp.test/x"}, "metadata_url"),
        ({"metadata": "", "metadata_url": "https://idp.test/x?a=b c"}, "metadata_url"),
        ({"metadata": "<x/>"}, "metadata"),
        ({"metadata": metadata(), "entity_id": "https://other.test"}, "metadata"),
        ({**PARTS, "entity_id": ""}, "entity_id"),
        ({**PARTS, "sso_url": ""}, "sso_url"),
        ({**PARTS, "sso_url": "http://idp.test/sso"}, "sso_url"),
        ({**PARTS, "slo_url": "ftp://idp.test"}, "slo_url"),
        ({**PARTS, "certificates": ""}, "certificates"),
        ({**PARTS, "certificates": "no PEM"}, "certificates"),
        ({"key_pair": "no PEM"}, "key_pair"),
        ({"key_pair": PAIR.key_pem}, "key_pair"),
        ({"key_pair": PAIR.key_pem + FORGER.certificate_pem}, "key_pair"),
        ({"name_id_format": "transient"}, "name_id_format"),
        ({"timeout": 0}, "timeout"),
        ({"ca_certificates": "no PEM"}, "ca_certificates"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as found:
        driver(**settings)
    assert field in found.value.fields
    assert found.value.fields[field].endswith((".", "…"))


def test_parts_are_enough_and_metadata_are_asked_of_nobody() -> None:
    by_parts = driver(**PARTS)
    gone = by_parts.begin("https://portal.test/acs")
    assert gone.url.startswith("https://idp.test/sso?tenant=1&SAMLRequest=")
    assert by_parts.leave("", {"name": "sam"}) == ""  # there is no address for it
    plain = driver(**PARTS, sign_requests=False).begin("https://portal.test/acs")
    assert "Signature" not in plain.url


def test_a_check_says_what_will_trouble_somebody() -> None:
    old = saml_keys.bare(certificate(PAIR.key, days=-1))
    soon = saml_keys.bare(certificate(PAIR.key, days=3))
    found = {one.name: one for one in driver(metadata=metadata(keys=(old,)), name_id_format="email").check()}
    assert (found["certificate"].state, found["names"].state) == ("warning", "warning")
    assert "expired" in found["certificate"].remedy
    assert "soon" in {one.name: one for one in driver(metadata=metadata(keys=(soon,))).check()}["certificate"].remedy
    good = {one.name: one.state for one in driver().check()}
    assert good == {
        "metadata": "granted", "certificate": "granted", "our certificate": "granted", "log-out": "granted", "our metadata": "unknown",
    }  # fmt: skip


# --- notices of log-outs


def notice(**more: Any) -> etree._Element:
    said = {"ID": "_notice", "Version": "2.0", "IssueInstant": at(0), "Destination": HERE, **more}
    issuer, name, index = said.pop("issuer", IDP), said.pop("name", "sam-123"), said.pop("index", "s-1")
    root = etree.Element(f"{{{SAMLP}}}LogoutRequest", nsmap={"samlp": SAMLP, "saml": SAML})
    for key, value in said.items():
        if value is not None:
            root.set(key, value)
    etree.SubElement(root, f"{{{SAML}}}Issuer").text = issuer
    if name:
        etree.SubElement(root, f"{{{SAML}}}NameID").text = name
    if index:
        etree.SubElement(root, f"{{{SAMLP}}}SessionIndex").text = index
    return root


def query_of(root: etree._Element, pair: saml_keys.Pair | None = PAIR, relay: str = "back here") -> str:
    url = saml_messages.address("https://x.test/", "SAMLRequest", etree.tostring(root).decode(), relay, pair)
    return url.partition("?")[2]


def form_of(root: etree._Element) -> dict[str, str]:
    return {"SAMLRequest": base64.b64encode(etree.tostring(root)).decode(), "RelayState": "back here"}


KNOWN = driver()


def not_believed(told: dict[str, str]) -> str:
    """Bring a notice, which must be refused; returns what the log says of it."""
    with pytest.raises(DirectoryRefused) as found:
        KNOWN.ended(HERE, told)
    return found.value.detail


def test_a_signed_notice_names_whose_session_has_ended() -> None:
    for told in ({"query": query_of(notice())}, form_of(read_again(signed(notice(), PAIR)))):
        ended = driver().ended(HERE, told)
        assert (ended.name, ended.sessions, ended.subject) == ("sam-123", ("s-1",), "")
        assert ended.answer.startswith("https://idp.test/slo?SAMLResponse=")
        assert "RelayState=back+here" in ended.answer
    assert driver().ended(HERE, {"query": query_of(notice(index=""))}).sessions == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "https://other.test"}, {"Destination": "https://portal.test/login/saml/2/logout"},
        {"Destination": None}, {"IssueInstant": at(-900)},
        {"IssueInstant": at(900)}, {"IssueInstant": None}, {"IssueInstant": "yesterday"}, {"NotOnOrAfter": at(-90)}, {"NotOnOrAfter": "soon"},
        {"Version": "1.1"}, {"name": ""}, {"name": "  "},
    ],
)  # fmt: skip
def test_a_notice_that_is_not_for_us_or_old_ends_nothing(wrong: dict[str, Any]) -> None:
    not_believed({"query": query_of(notice(**wrong))})
    not_believed(form_of(read_again(signed(notice(**wrong), PAIR))))


def test_a_notice_that_is_not_signed_by_the_provider_ends_nothing() -> None:
    good = query_of(notice())
    not_believed({"query": query_of(notice(), None)})
    not_believed({"query": query_of(notice(), FORGER)})
    not_believed({"query": good.replace("RelayState=back+here", "RelayState=elsewhere")})
    not_believed({"query": good + "&SAMLRequest=AAAA"})
    not_believed({"query": good.partition("&SigAlg")[0]})
    not_believed(form_of(notice()))
    not_believed(form_of(read_again(signed(notice(), FORGER))))
    stripped = form_of(read_again(signed(notice(), PAIR)))
    stripped["SAMLRequest"] = base64.b64encode(
        base64.b64decode(stripped["SAMLRequest"]).replace(b"sam-123", b"ada")
    ).decode()
    not_believed(stripped)
    inside = notice()
    inside.append(read_again(signed(notice(ID="_inner"), PAIR)))
    not_believed(form_of(inside))


def test_only_sha_2_signs_a_notice() -> None:
    for algorithm in (
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-md5",
        "none",
        "",
    ):
        packed = query_of(notice(), None, "") + "&" + urlencode({"SigAlg": algorithm})
        signature = PAIR.key.sign(packed.encode(), padding.PKCS1v15(), hashes.SHA1())
        not_believed({"query": f"{packed}&Signature={quote_plus(base64.b64encode(signature).decode())}"})


def test_an_elliptic_curve_signs_as_well() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    known = driver(metadata=metadata(keys=(saml_keys.bare(certificate(key)),)))
    packed = (
        query_of(notice(), None) + "&" + urlencode({"SigAlg": "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"})
    )
    signature = base64.b64encode(key.sign(packed.encode(), ec.ECDSA(hashes.SHA256()))).decode()
    assert known.ended(HERE, {"query": f"{packed}&{urlencode({'Signature': signature})}"}).name == "sam-123"


def test_a_notice_is_no_bomb() -> None:
    """Ten megabytes of nothing are ten kilobytes on the way; they are not unpacked."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = base64.b64encode(deflate.compress(b"<x>" + b" " * 10_000_000 + b"</x>") + deflate.flush()).decode()
    asked = urlencode({"SAMLRequest": packed, "SigAlg": saml_keys.RSA_SHA256})
    signed_one = f"{asked}&{urlencode({'Signature': saml_keys.sign(PAIR, asked)})}"
    assert not_believed({"query": signed_one}) == "too long once it is inflated"
    not_believed({"query": "x" * 100_000})
    not_believed({"SAMLRequest": "A" * 100_000})


@given(
    st.one_of(
        st.text(max_size=200), st.sampled_from(["SAMLRequest=", "Signature=", "&", "=", "%", "SigAlg=x&Signature=AAAA"])
    )
)
def test_whatever_comes_as_a_notice_ends_nothing(text: str) -> None:
    for told in ({"query": text or "x"}, {"SAMLRequest": text}, {}):
        with pytest.raises(DirectoryRefused):
            KNOWN.ended(HERE, told)
