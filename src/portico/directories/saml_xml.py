"""XML that came from elsewhere: read within bounds, and its signatures judged before anything in it counts.

What is refused: document types, comments and processing instructions (what a signature covers and what a reader sees
differ by them), ids that stand twice, signatures over anything but the element that they stand in, transforms that are
programs, and algorithms that are broken (XML Signature 1.1; SAML 2.0 Core, section 5.4).
"""

import base64
import binascii
import re
from collections.abc import Iterable

import xmlsec
from lxml import etree

from portico.errors import DirectoryRefused

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
MD = "urn:oasis:names:tc:SAML:2.0:metadata"
DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
NS = {"saml": SAML, "samlp": SAMLP, "md": MD, "ds": DS, "xenc": XENC}

MAX_TEXT = 400_000  # characters of a message in base64
MAX_ELEMENTS = 20_000
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_XENC11 = "http://www.w3.org/2009/xmlenc11#"
SIGNATURES = {f"{_MORE}{kind}-sha{size}" for kind in ("rsa", "ecdsa") for size in (256, 384, 512)}
DIGESTS = {f"{XENC}sha256", f"{_MORE}sha384", f"{XENC}sha512"}
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
TRANSFORMS = {f"{DS}enveloped-signature", EXCLUSIVE, f"{EXCLUSIVE}WithComments"}
KEY_TRANSPORTS = {f"{XENC}rsa-oaep-mgf1p", f"{_XENC11}rsa-oaep"}  # RSA 1.5 tells too much to who may ask often
CIPHERS = {f"{XENC}aes{size}-cbc" for size in (128, 192, 256)} | {f"{_XENC11}aes{size}-gcm" for size in (128, 192, 256)}

_SPACE = re.compile(r"\s+")
SAID = {  # what is told of a message that does not count
    "untrusted": "The provider's answer cannot be trusted.",
    "other": "This answer belongs to another log-in. Begin again.",
    "late": "The provider's answer is too old, or a clock is wrong. Begin again.",
    "audience": "The provider's answer is for somebody else: give it our entity id.",
    "forged": "This is no notice of the provider.",
}


def refused(sentence: str = SAID["untrusted"], *, detail: str) -> DirectoryRefused:
    """Return the refusal of a message; `detail` is for the log alone."""
    return DirectoryRefused(sentence, detail[:300])


def decoded(text: str, most: int = MAX_TEXT) -> bytes:
    """Return what a base64 text holds. Raises DirectoryRefused when it is none, or longer than `most` characters."""
    if len(text) > most:
        raise refused(detail=f"longer than {most} characters")
    try:
        return base64.b64decode(_SPACE.sub("", text), validate=True)
    except (binascii.Error, ValueError) as problem:
        raise refused(detail=f"no base64: {problem}") from problem


def parsed(raw: bytes, most: int = MAX_ELEMENTS) -> etree._Element:
    """Return the root of a document of at most `most` elements that has nothing but elements and texts. Raises DirectoryRefused."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, attribute_defaults=False,
        huge_tree=False, recover=False,
    )  # fmt: skip
    try:
        root = etree.fromstring(raw, parser)
    except (etree.XMLSyntaxError, ValueError) as problem:
        raise refused(detail=f"no XML: {problem}") from problem
    info = root.getroottree().docinfo
    if info.doctype or info.internalDTD is not None:
        raise refused(detail="has a document type")
    check_plain(root, most)
    return root


def check_plain(root: etree._Element, most: int = MAX_ELEMENTS) -> None:
    """Raise DirectoryRefused for comments, instructions and entities, for too many elements, and for an id that stands twice."""
    if root.getprevious() is not None or root.getnext() is not None:
        raise refused(detail="something stands beside the root")
    ids: set[str] = set()
    for number, node in enumerate(root.iter()):
        if number >= most:
            raise refused(detail=f"more than {most} elements")
        if not isinstance(node.tag, str):
            raise refused(detail="has a comment, an instruction or an entity")
        for name in ("ID", "Id", "id"):
            id = node.get(name)
            if id is not None and (id in ids or not id):
                raise refused(detail="an id stands twice")
            if id:
                ids.add(id)


def check_signatures(root: etree._Element, where: Iterable[str]) -> None:
    """Raise DirectoryRefused for a signature that is not of the form that SAML prescribes, or not a child of what `where` names.

    The form: one reference, to the very element that the signature stands in, by its id; enveloped, canonical XML, SHA-2.
    """
    allowed = set(where)
    for node in root.iter(f"{{{DS}}}Signature"):
        holder = node.getparent()
        if holder is None or holder.tag not in allowed:
            raise refused(detail="a signature stands where none belongs")
        if holder.find("ds:Signature", NS) is not node or len(holder.findall("ds:Signature", NS)) != 1:
            raise refused(detail="an element has two signatures")
        info = node.findall("ds:SignedInfo", NS)
        references = node.findall("ds:SignedInfo/ds:Reference", NS)
        if len(info) != 1 or len(references) != 1 or len(list(node.iter(f"{{{DS}}}Reference"))) != 1:
            raise refused(detail="a signature has not one reference")
        if not holder.get("ID") or references[0].get("URI") != f"#{holder.get('ID')}":
            raise refused(detail="a signature is over something else than it stands in")
        if node.find("ds:Object", NS) is not None or next(node.iter(f"{{{DS}}}RetrievalMethod"), None) is not None:
            raise refused(detail="a signature brings objects along")
        _check_algorithms(info[0], references[0])


def _check_algorithms(info: etree._Element, reference: etree._Element) -> None:
    for path, element, known in (
        ("ds:CanonicalizationMethod", info, {EXCLUSIVE, f"{EXCLUSIVE}WithComments"}),
        ("ds:SignatureMethod", info, SIGNATURES),
        ("ds:DigestMethod", reference, DIGESTS),
    ):
        found = element.findall(path, NS)
        if len(found) != 1 or found[0].get("Algorithm") not in known:
            what = ", ".join(str(one.get("Algorithm")) for one in found)
            raise refused(
                "The provider signs in a way that is not safe: it must use SHA-256 or better.",
                detail=f"{path[3:]}: {what}",
            )
    transforms = [str(one.get("Algorithm")) for one in reference.iter(f"{{{DS}}}Transform")]
    if not 1 <= len(transforms) <= len(TRANSFORMS) or not set(transforms) <= TRANSFORMS:
        raise refused(detail=f"transforms: {transforms}")


def check_ciphers(root: etree._Element) -> None:
    """Raise DirectoryRefused for what is encrypted in a way that is weak, or kept elsewhere."""
    for data in root.iter(f"{{{XENC}}}CipherReference", f"{{{DS}}}RetrievalMethod"):
        if not (data.get("URI") or "").startswith("#") or data.tag.endswith("CipherReference"):
            raise refused(detail="what is encrypted is kept elsewhere")
    for kind, known in (("EncryptedKey", KEY_TRANSPORTS), ("EncryptedData", CIPHERS)):
        for data in root.iter(f"{{{XENC}}}{kind}"):
            used = [one.get("Algorithm") for one in data.findall("xenc:EncryptionMethod", NS)]
            if len(used) != 1 or used[0] not in known:
                raise refused(
                    "The provider encrypts in a way that is not safe: it must use AES and RSA-OAEP.",
                    detail=f"encrypted by {used}",
                )


def is_signed(element: etree._Element, certificates: Iterable[str]) -> bool:
    """Tell whether the signature in an element, whose form was checked, is by one of these certificates (PEM)."""
    node = element.find("ds:Signature", NS)
    if node is None:
        return False
    xmlsec.tree.add_ids(element, ["ID"])
    for pem in certificates:
        context = xmlsec.SignatureContext()
        try:
            context.key = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatCertPem, None)
            context.set_enabled_key_data([xmlsec.constants.KeyDataX509])
            context.verify(node)
        except (xmlsec.Error, ValueError, TypeError):
            continue
        return True
    return False
