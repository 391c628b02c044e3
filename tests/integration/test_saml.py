"""A real provider of SAML 2.0 (SimpleSAMLphp): there and back, by the rules, and out again."""

import base64
import html
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from lxml import etree
from sqlalchemy import func, select
from starlette.testclient import TestClient
from tests.brokers import PASSWORD, TENANT, actor, make_broker
from tests.integration.apis import Api
from tests.page_client import Page

from doubles.saml_forge import at, signed, text
from doubles.saml_provider import Landing, SamlProvider
from portico.directories import saml_keys
from portico.directories.saml import Saml, SamlSettings
from portico.directories.saml_xml import SAML, SAMLP
from portico.errors import Denied, DirectoryError, NotFound
from portico.ports.directory import DirectoryContext
from portico.services import configure, housekeeping, sessions, sign_on_door
from portico.services.broker import Broker
from portico.services.gates import Gates
from portico.store import tables as t
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S046", "S048")
ORIGIN = "https://portal.test:8443"
RULES = [{"attribute": "group", "operator": "eq", "text": "VDI-Users", "role_id": "role-user"}]


@pytest.fixture(scope="module")
def provider() -> Iterator[SamlProvider]:
    made = SamlProvider()
    try:
        made.start()
        yield made
    finally:
        made.wipe()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = make_broker(tmp_path)
    yield replace(made, config=replace(made.config, egress_allow=("127.0.0.0/8",), public_url=ORIGIN))
    made.db.dispose()


@pytest.fixture
def directory(broker: Broker, provider: SamlProvider) -> Iterator[str]:
    yield connect(broker, provider)
    provider.forget()


def connect(broker: Broker, provider: SamlProvider, settings: dict[str, Any] | None = None, **more: Any) -> str:
    """Make a directory of the provider, and make us known there by our own metadata."""
    fields = {
        "name": "Staff login",
        "kind": "saml",
        "settings": {**provider.settings, **(settings or {})},
        "rules": RULES,
    }
    id = str(configure.create_item(broker, actor(broker), "directories", fields)["id"])
    broker.snapshots.get(fresh=True)
    provider.know(sign_on_door.description(broker, id), **more)
    return id


def browser(broker: Broker) -> TestClient:
    return TestClient(create_app(broker), base_url=ORIGIN, follow_redirects=False)


def brought(broker: Broker, page: TestClient, landing: Landing) -> httpx.Response:
    """Bring the provider's form as a browser does: without cookies, since it comes from another site; then go on."""
    path = landing.url.removeprefix(ORIGIN)
    first = browser(broker).post(
        path, data=landing.fields, headers={"origin": "https://idp.test", "sec-fetch-site": "cross-site"}
    )
    assert first.status_code == 200, first.text
    action = re.search(r'<form method="post" action="([^"]+)" data-send', first.text)
    value = re.search(r'name="SAMLResponse" value="([^"]+)"', first.text)
    assert action and value
    answer: httpx.Response = page.post(
        action[1],
        data={"SAMLResponse": html.unescape(value[1])},
        headers={"origin": ORIGIN, "sec-fetch-site": "same-origin"},
    )
    return answer


def sent(landing: Landing) -> bytes:
    """What the provider's form carries."""
    return base64.b64decode(landing.fields["SAMLResponse"])


def through(broker: Broker, page: TestClient, provider: SamlProvider, directory: str, login: str = "sam") -> Any:
    """Click the provider's button, log in there, and come back."""
    left = page.get(f"/login/with/{directory}?next=/account")
    assert left.status_code == 303, left.text
    with provider.browser() as there:
        landing = provider.browse(there, left.headers["location"], login)
    assert landing.url == f"{ORIGIN}/login/saml/{directory}/acs"
    return brought(broker, page, landing)


def session_row(broker: Broker) -> Any:
    with broker.db.read() as conn:
        return conn.execute(select(t.sessions).order_by(t.sessions.c.created_at.desc())).first()


def test_there_and_back(broker: Broker, provider: SamlProvider, directory: str) -> None:
    """The log-in page has a button; who comes back is who the provider says, with what the rules give, on the page they wanted."""
    page = browser(broker)
    assert f"/login/with/{directory}" in page.get("/login").text
    arrived = through(broker, page, provider, directory)
    assert arrived.status_code == 200, arrived.text
    assert "url=/account" in arrived.text
    me = sessions.find(broker, page.cookies["__Host-portico"])
    assert me is not None
    assert (me.user.login_name, me.user.display_name, me.user.email) == ("sam", "Sam Provider", "sam@idp.test")
    assert (me.user.directory, me.role.name, me.user.tenant_id) == (directory, "User", TENANT)
    with broker.db.read() as conn:
        user = conn.execute(select(t.users).where(t.users.c.directory == directory)).one()
    row = session_row(broker)
    assert row.expires_at - row.created_at <= timedelta(
        hours=8, minutes=5
    )  # the provider's, which is shorter than the policy's
    assert (user.subject, bool(row.sign_on), row.granted["code"]) == (row.sign_on_as, True, "rule.won")
    # The same person comes back as the same user, though another session there.
    again = browser(broker)
    assert through(broker, again, provider, directory).status_code == 200
    with broker.db.read() as conn:
        assert conn.scalar(select(func.count()).select_from(t.users).where(t.users.c.directory == directory)) == 1


def test_who_meets_no_rule_stays_out(broker: Broker, provider: SamlProvider, directory: str) -> None:
    page = browser(broker)
    answer = through(broker, page, provider, directory, "igor")
    assert answer.status_code == 401
    assert "lets you in" in answer.text
    assert "__Host-portico" not in page.cookies


@pytest.mark.parametrize(
    "known",
    [
        {"assertion.encryption": True},
        {"assertion.encryption": True, "saml20.sign.assertion": False},
        {"saml20.sign.response": False},
        {"saml20.sign.assertion": False},
        {"signature.algorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"},
        {"validate.authnrequest": True},
    ],
    ids=["encrypted", "encrypted-in-signed", "assertion-signed", "answer-signed", "sha512", "request-validated"],
)
def test_what_a_provider_may_do_differently(broker: Broker, provider: SamlProvider, known: dict[str, Any]) -> None:
    """Either signature is enough, assertions may be encrypted with our key, and the provider can verify our requests."""
    directory = connect(broker, provider, **known)
    page = browser(broker)
    left = page.get(f"/login/with/{directory}")
    with provider.browser() as there:
        landing = provider.browse(there, left.headers["location"])
    assert (b"EncryptedAssertion" in sent(landing)) == bool(known.get("assertion.encryption"))
    assert brought(broker, page, landing).status_code == 200
    assert "__Host-portico" in page.cookies
    provider.forget()


def test_sha_1_is_refused_with_a_remedy(broker: Broker, provider: SamlProvider) -> None:
    directory = connect(broker, provider, **{"signature.algorithm": "http://www.w3.org/2000/09/xmldsig#rsa-sha1"})
    answer = through(broker, browser(broker), provider, directory)
    assert answer.status_code == 401
    assert "SHA-256" in answer.text
    provider.forget()


def test_names_that_change_are_refused_with_a_remedy(broker: Broker, provider: SamlProvider) -> None:
    """A transient NameID is nobody in particular, but for an attribute that the administrator vouches for."""
    transient = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
    directory = connect(broker, provider, {"name_id_format": "unspecified"}, NameIDFormat=transient)
    answer = through(broker, browser(broker), provider, directory)
    assert answer.status_code == 401
    assert "persistent" in answer.text
    change = {"settings": {**provider.settings, "name_id_format": "unspecified", "subject_attribute": "uid"}}
    configure.update_item(broker, actor(broker), "directories", directory, change)
    broker.snapshots.get(fresh=True)
    page = browser(broker)
    assert through(broker, page, provider, directory).status_code == 200
    with broker.db.read() as conn:
        assert conn.scalar(select(t.users.c.subject).where(t.users.c.directory == directory)) == "sam"
    provider.forget()


def test_an_email_address_can_be_the_name(broker: Broker, provider: SamlProvider) -> None:
    directory = connect(broker, provider, {"name_id_format": "email"})
    assert through(broker, browser(broker), provider, directory).status_code == 200
    with broker.db.read() as conn:
        assert conn.scalar(select(t.users.c.subject).where(t.users.c.directory == directory)) == "sam@idp.test"
    provider.forget()


def test_an_answer_serves_once_and_only_in_the_browser_that_asked(
    broker: Broker, provider: SamlProvider, directory: str
) -> None:
    """Another browser, another log-in, the same answer again, and the same answer with a cookie that somebody kept."""
    page = browser(broker)
    left = page.get(f"/login/with/{directory}")
    way = page.cookies["__Host-portico-way"]
    with provider.browser() as there:
        landing = provider.browse(there, left.headers["location"])
    stranger = browser(broker)
    assert brought(broker, stranger, landing).status_code == 422  # no cookie of ours: it began elsewhere
    stranger.get(f"/login/with/{directory}")
    refused = brought(broker, stranger, landing)
    assert refused.status_code == 401
    assert "another log-in" in refused.text
    assert brought(broker, page, landing).status_code == 200
    assert brought(broker, page, landing).status_code == 422  # the way is over
    thief = browser(replace(broker, id="another", gates=Gates()))  # it comes by another broker
    thief.cookies.set("__Host-portico-way", way)
    again = brought(replace(broker, id="another", gates=Gates()), thief, landing)
    assert again.status_code == 401
    assert "served already" in again.text
    # What could not serve any more anyway is forgotten.
    later = replace(broker, now=lambda: broker.db.now().replace(year=broker.db.now().year + 1))
    assert housekeeping.purge(later)["answers of providers"] == 1


def test_the_second_post_must_be_our_own(broker: Broker, provider: SamlProvider, directory: str) -> None:
    """The door for other sites does nothing; the one that does something is for our own page alone."""
    page = browser(broker)
    left = page.get(f"/login/with/{directory}")
    with provider.browser() as there:
        landing = provider.browse(there, left.headers["location"])
    path = f"/login/saml/{directory}/back"
    for headers in ({"origin": provider.url, "sec-fetch-site": "cross-site"}, {"origin": "null"}, {}):
        assert page.post(path, data=landing.fields, headers=headers).status_code == 403
    assert "__Host-portico" not in page.cookies


def test_who_begins_at_the_provider_is_sent_there_and_back(
    broker: Broker, provider: SamlProvider, directory: str
) -> None:
    """An answer that nobody asked for does not count, but leads to a log-in that was asked for; the provider asks nothing again."""
    page = browser(broker)
    entity = f"{ORIGIN}/login/saml/{directory}/metadata"
    with provider.browser() as there:
        landing = provider.browse(there, f"{provider.url}/saml2/idp/SSOService.php?spentityid={entity}")
        answer = brought(broker, page, landing)
        assert answer.status_code == 200
        assert f"url=/login/with/{directory}" in answer.text
        assert "__Host-portico" not in page.cookies
        left = page.get(f"/login/with/{directory}")
        second = provider.browse(there, left.headers["location"], login="nobody")
    assert brought(broker, page, second).status_code == 200
    assert "__Host-portico" in page.cookies
    # In the middle of another log-in it is refused: whoever sends it may want somebody to be somebody else.
    other = browser(broker)
    other.get(f"/login/with/{directory}")
    assert brought(broker, other, landing).status_code == 401


def test_a_log_out_here_ends_the_session_there(broker: Broker, provider: SamlProvider, directory: str) -> None:
    page = browser(broker)
    left = page.get(f"/login/with/{directory}?next=/account")
    with provider.browser() as there:
        brought(broker, page, provider.browse(there, left.headers["location"]))
        csrf = Page(page.get("/account").text).field("csrf")
        answer = page.post("/log-out", data={"csrf": csrf}, headers={"origin": ORIGIN})
        onward = re.search(r'href="(https://localhost[^"]+)"', answer.text)
        assert onward, answer.text
        back = provider.browse(there, html.unescape(onward[1]))
        assert back.url.startswith(f"{ORIGIN}/login/saml/{directory}/logout?SAMLResponse="), back
        done = page.get(back.url.removeprefix(ORIGIN))
        assert (done.status_code, done.headers["location"]) == (303, "/login")
        # There it is over too: the next log-in asks who they are.
        left = page.get(f"/login/with/{directory}")
        assert "password" in there.get(there.get(left.headers["location"]).headers["location"]).text
    assert page.get("/account").status_code == 303


def test_a_log_out_there_ends_the_session_here(broker: Broker, provider: SamlProvider, directory: str) -> None:
    """The provider's own notice ends the session that it names and no other; it gets an answer that it accepts."""
    one, other = browser(broker), browser(broker)
    through(broker, other, provider, directory)
    left = one.get(f"/login/with/{directory}")
    with provider.browser() as there:
        assert brought(broker, one, provider.browse(there, left.headers["location"])).status_code == 200
        assert one.get("/account").status_code == 200
        out = f"{provider.url}/saml2/idp/SingleLogoutService.php?ReturnTo={provider.url}/"
        notice = provider.browse(there, out)
        assert notice.url.startswith(f"{ORIGIN}/login/saml/{directory}/logout?SAMLRequest="), notice
        path = notice.url.removeprefix(ORIGIN)
        for forged in (
            path.replace("Signature=", "Signature=AAAA"),
            path.partition("&SigAlg")[0],
            path.replace("SAMLRequest=", "SAMLRequest=x"),
        ):
            assert browser(broker).get(forged).status_code == 422
        assert one.get("/account").status_code == 200
        answered = browser(broker).get(path)  # in whichever browser: no cookie of ours is needed
        assert answered.status_code == 303, answered.text
        assert answered.headers["location"].startswith(
            f"{provider.url}/saml2/idp/SingleLogoutService.php?SAMLResponse="
        )
        back = there.get(answered.headers["location"])
        assert back.status_code in (302, 303), back.text[:2000]
        assert back.headers["location"] == f"{provider.url}/"
    assert one.get("/account").status_code == 303
    assert other.get("/account").status_code == 200


def test_what_the_provider_is_told_of_us(broker: Broker, provider: SamlProvider, directory: str) -> None:
    """Anybody may read our metadata; administrators see what to enter by hand, of their own tenant's directories alone."""
    shown = browser(broker).get(f"/login/saml/{directory}/metadata")
    assert shown.status_code == 200
    assert shown.headers["content-type"].startswith("application/samlmetadata+xml")
    root = etree.fromstring(shown.content)
    assert root.get("entityID") == f"{ORIGIN}/login/saml/{directory}/metadata"
    assert b"PRIVATE" not in shown.content
    door = sign_on_door.door(broker, actor(broker), directory)
    assert door is not None
    assert door.answers == (f"{ORIGIN}/login/saml/{directory}/acs",)
    with pytest.raises(Denied):
        sign_on_door.door(broker, actor(broker, "user"), directory)
    with pytest.raises(NotFound):
        sign_on_door.door(broker, actor(broker, "admin2"), directory)
    oidc = {"name": "Other", "kind": "list", "settings": {"people": ""}}
    listed = str(configure.create_item(broker, actor(broker), "directories", oidc)["id"])
    assert sign_on_door.door(broker, actor(broker), listed) is None
    for path in (
        f"/login/saml/{listed}/metadata",
        "/login/saml/nowhere/metadata",
        f"/login/saml/{listed}/logout?SAMLRequest=x",
    ):
        assert browser(broker).get(path).status_code == 404


def test_what_to_enter_is_read_over_rest_by_who_may_see_directories(
    broker: Broker, provider: SamlProvider, directory: str
) -> None:
    path = f"/directories/{directory}/provider-setup"
    told = Api(broker).log_in("admin").call("GET", path).json()
    assert told == {
        "entity_id": f"{ORIGIN}/login/saml/{directory}/metadata", "metadata_url": f"{ORIGIN}/login/saml/{directory}/metadata",
        "answers": [f"{ORIGIN}/login/saml/{directory}/acs"], "logouts": [f"{ORIGIN}/login/saml/{directory}/logout"],
    }  # fmt: skip
    assert Api(broker).call("GET", path).status_code == 401
    assert Api(broker).log_in("admin2").call("GET", path).status_code == 404
    assert Api(broker).log_in("user").call("GET", path).status_code == 403
    # What is kept of a session there is nobody's to see.
    through(broker, browser(broker), provider, directory)
    listed = Api(broker).log_in("admin").call("GET", "/sessions").text
    assert "sign_on" not in listed
    assert "persistent" not in listed


def test_a_tenants_own_host_has_an_address_of_its_own(broker: Broker, provider: SamlProvider, directory: str) -> None:
    with broker.db.write() as conn:
        conn.execute(t.tenants.update().where(t.tenants.c.id == TENANT).values(hosts=["desktops.acme.test"]))
        conn.execute(t.versions.update().values(number=t.versions.c.number + 1))
    broker.snapshots.get(fresh=True)
    door = sign_on_door.door(broker, actor(broker), directory)
    assert door is not None
    own = f"https://desktops.acme.test:8443/login/saml/{directory}/acs"
    assert door.answers == (f"{ORIGIN}/login/saml/{directory}/acs", own)
    assert own.encode() in sign_on_door.description(broker, directory)


def test_our_key_is_made_sealed_and_never_shown(broker: Broker, provider: SamlProvider, directory: str) -> None:
    item = configure.get_item(broker, actor(broker), "directories", directory)
    assert "key_pair" not in item["settings"]
    with broker.db.read() as conn:
        row = conn.execute(select(t.directories).where(t.directories.c.id == directory)).one()
    assert "PRIVATE" not in f"{row.body} {row.sealed_secrets}"
    before = sign_on_door.description(broker, directory)
    # It goes nowhere, so it need not be typed again when the provider's address or authority changes.
    settings = {**provider.settings, "ca_certificates": provider.pem + "\n"}
    configure.update_item(broker, actor(broker), "directories", directory, {"settings": settings})
    broker.snapshots.get(fresh=True)
    assert sign_on_door.description(broker, directory) == before


def test_a_log_in_takes_few_statements(broker: Broker, provider: SamlProvider, directory: str) -> None:
    through(broker, browser(broker), provider, directory)  # the gate is made
    page = browser(broker)
    left = page.get(f"/login/with/{directory}")
    with provider.browser() as there:
        landing = provider.browse(there, left.headers["location"])
    seen: list[str] = []
    from sqlalchemy import event

    for engine in (broker.db.engine,):
        event.listen(engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    assert brought(broker, page, landing).status_code == 200
    counted = [one for one in seen if not one.startswith(("SAVEPOINT", "RELEASE"))]
    assert len(counted) <= 11, seen  # three of them are for a browser that nobody has logged in at before


def test_a_password_is_never_asked_of_a_provider(broker: Broker, provider: SamlProvider, directory: str) -> None:
    page = browser(broker)
    typed = {"username": "sam", "password": PASSWORD, "directory": directory}
    assert page.post("/login", data=typed, headers={"origin": ORIGIN}).status_code == 401


def test_the_request_says_who_asks_and_where_the_answer_goes(
    broker: Broker, provider: SamlProvider, directory: str
) -> None:
    left = browser(broker).get(f"/login/with/{directory}").headers["location"]
    query = parse_qs(urlsplit(left).query)
    assert query["SigAlg"] == ["http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"]
    assert {"SAMLRequest", "Signature"} <= set(query)


def test_what_the_driver_checks_of_a_real_provider(provider: SamlProvider) -> None:
    """Its metadata are fetched under the rules for typed addresses, by an authority that we were told."""
    settings = SamlSettings(**provider.settings, key_pair=saml_keys.make_pair())
    driver = Saml(settings, DirectoryContext(("127.0.0.0/8",), f"{ORIGIN}/login/saml/1/metadata"))
    assert {one.state for one in driver.check()} == {"granted", "unknown"}
    driver.close()
    for wrong, context in (
        ({"ca_certificates": ""}, ("127.0.0.0/8",)),  # trusted by nobody but those who say so
        ({}, ()),  # this machine itself is reached by nobody who does not say so
        ({"metadata_url": f"{provider.url}/nowhere.php"}, ("127.0.0.0/8",)),
        ({"metadata_url": "https://localhost:1/metadata", "timeout": 2}, ("127.0.0.0/8",)),
        ({"entity_id": "https://other.test"}, ("127.0.0.0/8",)),
    ):
        other = Saml(replace(settings, **wrong), DirectoryContext(context, f"{ORIGIN}/login/saml/1/metadata"))
        with pytest.raises(DirectoryError):
            other.check()
        with pytest.raises(DirectoryError):
            other.begin(f"{ORIGIN}/login/saml/1/acs")
        other.close()


def test_a_provider_that_is_down_says_so_on_the_form(broker: Broker, provider: SamlProvider) -> None:
    settings = {**provider.settings, "metadata_url": "https://localhost:1/metadata", "timeout": 2}
    gone = configure.create_item(
        broker, actor(broker), "directories", {"name": "Gone", "kind": "saml", "settings": settings}
    )["id"]
    broker.snapshots.get(fresh=True)
    assert browser(broker).get(f"/login/with/{gone}").status_code == 503


def test_a_notice_by_form_ends_the_session_as_well(broker: Broker, provider: SamlProvider, directory: str) -> None:
    """Signed within, by the provider's key; without it, it ends nothing and says so."""
    page = browser(broker)
    through(broker, page, provider, directory)
    row = session_row(broker)
    here = f"{ORIGIN}/login/saml/{directory}/logout"
    root = etree.fromstring(
        f'<samlp:LogoutRequest xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID="_1" Version="2.0" IssueInstant="{at(0)}" Destination="{here}">'
        f"<saml:Issuer>{provider.metadata_url}</saml:Issuer><saml:NameID>{row.sign_on_as}</saml:NameID></samlp:LogoutRequest>"
    )
    assert browser(broker).post(f"/login/saml/{directory}/logout", data={"SAMLRequest": text(root)}).status_code == 422
    assert page.get("/account").status_code == 200
    signed(root, provider.pair)
    answer = browser(broker).post(
        f"/login/saml/{directory}/logout", data={"SAMLRequest": text(root), "RelayState": "x"}
    )
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{provider.url}/saml2/idp/SingleLogoutService.php?SAMLResponse=")
    assert page.get("/account").status_code == 303
    done = browser(broker).post(f"/login/saml/{directory}/logout", data={"SAMLResponse": "whatever"})
    assert (done.status_code, done.headers["location"]) == (303, "/login")


def test_the_doors_have_bounds(broker: Broker, provider: SamlProvider, directory: str) -> None:
    """What is too long, empty, no form, or for a directory that is not there is refused before anything is read."""
    door, page = f"/login/saml/{directory}", browser(broker)
    own = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}
    for path in (f"{door}/acs", f"{door}/back"):
        for data in ({}, {"SAMLResponse": ""}, {"SAMLResponse": "A" * 400_001}, {"Other": "x"}):
            assert page.post(path, data=data, headers=own).status_code == 422, (path, data.keys())
        assert page.post(path, data={"SAMLResponse": "A" * 1_100_000}, headers=own).status_code == 413
        assert page.post(path, files={"SAMLResponse": b"x"}, headers=own).status_code == 422
    for path in ("acs", "back", "logout"):
        sent = {"SAMLResponse": "AAAA", "SAMLRequest": "AAAA"}
        assert page.post(f"/login/saml/nowhere/{path}", data=sent, headers=own).status_code == 404
    assert page.post(f"{door}/logout", data={"SAMLRequest": "A" * 50_000}).status_code == 422
    assert page.get(f"{door}/logout?SAMLRequest={'A' * 50_000}").status_code == 422
    rubbish = page.post(f"{door}/back", data={"SAMLResponse": "AAAA"}, headers=own)
    assert rubbish.status_code == 401  # nobody asked for it, and it is no answer
    shown = page.post(f"{door}/acs", data={"SAMLResponse": '"><script>alert(1)</script>'})
    assert "<script>alert" not in shown.text
