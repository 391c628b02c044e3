"""Metadata of a SAML provider by address: read anew when they are old, when keys change, and not at all beyond their bounds."""

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from doubles.authority import Authority
from doubles.saml_forge import Forged, assertion, read_again, signed, text
from portico.directories import saml_keys
from portico.directories.saml import AGAIN_SECONDS, KNOWN_SECONDS, STALE_SECONDS, Saml, SamlSettings
from portico.errors import DirectoryError, DirectoryRefused
from portico.ports.directory import DirectoryContext

pytestmark = pytest.mark.capability("S046", "S048")
BACK, OURS, IDP = "https://portal.test/acs", "https://portal.test/metadata", "https://idp.test/metadata"
FIRST, SECOND = (saml_keys.read_pair(saml_keys.make_pair()) for _ in range(2))
OWN = saml_keys.make_pair()
KEPT = {"request": "_request"}
TEXT = (
    '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="{}" {}>'
    '<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><md:KeyDescriptor><ds:KeyInfo><ds:X509Data>'
    "<ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor><md:SingleSignOnService "
    'Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.test/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>'
)


class Place:
    """An address with metadata, which a test changes."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        certificate, key = authority.issue("tls", "localhost")
        self.pem, self.asked, self.status, self.now = authority.pem, 0, 200, 0.0
        self.show(FIRST)
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                here.asked += 1
                self.send_response(here.status)
                if here.status == 302:
                    self.send_header("Location", "http://169.254.169.254/")
                self.end_headers()
                self.wfile.write(here.text)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        class Listener(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """Say nothing: who has read enough hangs up."""

        self.server = Listener(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self.server.server_port}/metadata?tenant=1"

    def show(self, pair: saml_keys.Pair, more: str = "") -> None:
        """Say that the provider signs with a key."""
        self.text = TEXT.format(IDP, more, saml_keys.bare(pair.certificate)).encode()

    def driver(self) -> Saml:
        """Make a driver that was told the address."""
        settings = SamlSettings(metadata_url=self.url, ca_certificates=self.pem, key_pair=OWN, timeout=30)
        return Saml(settings, DirectoryContext(("127.0.0.0/8",), OURS), lambda: self.now)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def answer(pair: saml_keys.Pair) -> dict[str, str]:
    root = Forged(issuer=IDP, back=BACK, audience=OURS, request_id="_request").root()
    signed(assertion(root), pair)
    return {"SAMLResponse": text(read_again(root))}


def test_metadata_are_asked_for_once_and_serve_many(place: Place) -> None:
    driver = place.driver()
    for _ in range(3):
        driver.begin(BACK)
        assert driver.finish(BACK, KEPT, answer(FIRST)).identity.subject == "sam-123"
    assert place.asked == 1


def test_a_new_key_of_the_provider_is_found_out(place: Place) -> None:
    """A signature that does not fit makes us look once more, but not at everybody's pleasure."""
    driver = place.driver()
    driver.begin(BACK)
    place.show(SECOND)
    with pytest.raises(DirectoryRefused):
        driver.finish(BACK, KEPT, answer(SECOND))  # we have just asked
    assert place.asked == 1
    place.now += AGAIN_SECONDS + 1
    assert driver.finish(BACK, KEPT, answer(SECOND)).identity.subject == "sam-123"
    with pytest.raises(DirectoryRefused):
        driver.finish(BACK, KEPT, answer(FIRST))  # the old key is gone


def test_old_metadata_serve_while_their_address_is_down(place: Place) -> None:
    driver = place.driver()
    driver.begin(BACK)
    place.now += KNOWN_SECONDS + 1
    place.status = 500
    for _ in range(3):
        assert driver.finish(BACK, KEPT, answer(FIRST)).identity.subject == "sam-123"
    assert place.asked == 2  # nobody waits again for what has just failed
    place.now += STALE_SECONDS
    with pytest.raises(DirectoryError):
        driver.begin(BACK)


def test_what_is_no_metadata_is_not_believed(place: Place) -> None:
    """Nor a redirect followed, nor a page read to its end that has none."""
    place.status = 302
    with pytest.raises(DirectoryError):
        place.driver().begin(BACK)
    place.status = 200
    place.show(FIRST, 'validUntil="2020-01-01T00:00:00Z"')
    with pytest.raises(DirectoryError, match="expired"):
        place.driver().begin(BACK)
    place.text = b" " * 50_000_000
    with pytest.raises(DirectoryError):
        place.driver().begin(BACK)
    place.text = b"<html>Log in first</html>"
    with pytest.raises(DirectoryError):
        place.driver().check()
