"""A real provider of OpenID Connect: there and back, by the rules, and out again; what is forged proves nothing."""

import base64
import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import select
from starlette.testclient import TestClient
from tests.brokers import TENANT, actor, make_broker
from tests.page_client import Page
from tests.serving import serving

from doubles.oidc_provider import OidcProvider
from doubles.small_oidc import small_oidc
from portico.directories.oidc import LOGOUT_EVENT, Oidc, OidcSettings
from portico.errors import DirectoryError, DirectoryRefused, Invalid
from portico.ports.directory import DirectoryContext
from portico.services import configure, sessions
from portico.services.broker import Broker
from portico.store import tables as t
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S046", "S048")
ORIGIN = "https://localhost:8443"
BACK = f"{ORIGIN}/login/back"
CONTEXT = DirectoryContext(("127.0.0.0/8",))


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    made = OidcProvider(ORIGIN)
    try:
        made.start()
        yield made
    finally:
        made.wipe()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = make_broker(tmp_path)
    yield replace(made, config=replace(made.config, egress_allow=CONTEXT.egress_allow))
    made.db.dispose()


@pytest.fixture
def directory(broker: Broker, provider: OidcProvider) -> str:
    rules = [{"attribute": "group", "operator": "eq", "text": "VDI-Users", "role_id": "role-user"}]
    fields = {"name": "Staff login", "kind": "oidc", "settings": provider.settings, "rules": rules}
    id = str(configure.create_item(broker, actor(broker), "directories", fields)["id"])
    broker.snapshots.get(fresh=True)
    return id


def browser(broker: Broker) -> TestClient:
    return TestClient(create_app(broker), base_url=ORIGIN, follow_redirects=False)


def through(page: TestClient, provider: OidcProvider, directory: str, login: str = "olga") -> Any:
    """Click the provider's button, log in there, and come back."""
    left = page.get(f"/login/with/{directory}?next=/account")
    assert left.status_code == 303, left.text
    assert left.headers["location"].startswith(provider.issuer)
    back = provider.browse(left.headers["location"], login, lambda url: url.startswith(BACK))
    return page.get(back.removeprefix(ORIGIN))


def test_there_and_back(broker: Broker, provider: OidcProvider, directory: str) -> None:
    """The log-in page has a button; who comes back is who the provider says, with what the rules give, on the page they wanted."""
    page = browser(broker)
    shown = page.get("/login")
    assert f"/login/with/{directory}" in shown.text
    arrived = through(page, provider, directory)
    assert arrived.status_code == 200
    assert "url=/account" in arrived.text
    me = sessions.find(broker, page.cookies["__Host-portico"])
    assert me is not None
    assert (me.user.login_name, me.user.display_name, me.user.email) == ("olga", "Olga Provider", "olga@idp.test")
    assert (me.user.directory, me.role.name, me.user.tenant_id) == (directory, "User", TENANT)
    assert "olga" in page.get("/account").text
    with broker.db.read() as conn:
        row = conn.execute(select(t.users).where(t.users.c.directory == directory)).one()
        kept = conn.execute(select(t.sessions)).one()
    assert row.subject == "olga"
    assert kept.sign_on
    assert kept.granted["code"] == "rule.won"


def test_who_meets_no_rule_stays_out(broker: Broker, provider: OidcProvider, directory: str) -> None:
    page = browser(broker)
    answer = through(page, provider, directory, "igor")
    assert answer.status_code == 401
    assert "lets you in" in answer.text
    assert "__Host-portico" not in page.cookies


def test_an_answer_serves_once_and_only_in_the_browser_that_asked(
    broker: Broker, provider: OidcProvider, directory: str
) -> None:
    page = browser(broker)
    left = page.get(f"/login/with/{directory}")
    back = provider.browse(left.headers["location"], "olga", lambda url: url.startswith(BACK)).removeprefix(ORIGIN)
    stranger = browser(broker)
    assert stranger.get(back).status_code == 422  # no cookie of ours: it began elsewhere
    stranger.get(f"/login/with/{directory}")
    assert stranger.get(back).status_code == 401  # another log-in's state
    assert page.get(back).status_code == 200
    assert page.get(back).status_code == 422  # the way is over
    page.get(f"/login/with/{directory}")
    query = parse_qs(urlsplit(back).query)
    state = "".join(query["state"])
    assert page.get(back.replace(state, state[::-1])).status_code == 401


def test_an_error_of_the_provider_comes_to_the_form(broker: Broker, provider: OidcProvider, directory: str) -> None:
    page = browser(broker)
    left = page.get(f"/login/with/{directory}")
    state = parse_qs(urlsplit(left.headers["location"]).query)["state"][0]
    answer = page.get(f"/login/back?error=access_denied&state={state}")
    assert answer.status_code == 401
    assert "did not log you in" in answer.text


def test_a_log_out_leads_to_the_providers(broker: Broker, provider: OidcProvider, directory: str) -> None:
    page = browser(broker)
    through(page, provider, directory)
    csrf = Page(page.get("/account").text).field("csrf")
    answer = page.post("/log-out", data={"csrf": csrf}, headers={"origin": ORIGIN})
    assert answer.status_code == 200
    assert f"url={provider.issuer}/session/end" in answer.text.replace("&amp;", "&")
    assert page.get("/account").status_code == 303


def test_a_notice_of_the_provider_ends_its_sessions_and_a_forged_one_none(
    broker: Broker, provider: OidcProvider, directory: str
) -> None:
    """Back-channel logout, with tokens that the provider's own key signs, and with others."""
    page = browser(broker)
    through(page, provider, directory)
    with broker.db.read() as conn:
        sid = conn.execute(select(t.sessions.c.sign_on)).scalar_one()
    claims = {
        "iss": provider.issuer, "aud": "portico", "iat": int(time.time()), "jti": "1", "sid": sid, "events": {LOGOUT_EVENT: {}},
        "sub": "olga",
    }  # fmt: skip
    forger = RSAKey.generate_key(2048, {"kid": "forged", "use": "sig", "alg": "RS256"})
    forged = jwt.encode({"alg": "RS256", "kid": "forged"}, claims, forger)
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    for token in (forged, f"{none}.{body}.", "", "a.b.c", "x" * 100_000, f"{none}.{'A' * 30}.x"):
        assert page.post("/login/ended", data={"logout_token": token}).status_code == 400
    assert page.get("/account").status_code == 200


def test_who_logs_out_at_the_provider_is_logged_out_here(
    broker: Broker, provider: OidcProvider, directory: str
) -> None:
    """What the notice says is trusted once its signature is: the sessions of that person there, and no others."""

    class Signed(Oidc):
        def _claims(self, token: str, *, expires: bool = False) -> dict[str, Any]:
            return dict(json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==")))

    one, other = browser(broker), browser(broker)
    through(one, provider, directory)
    through(other, provider, directory)
    object.__setattr__(broker, "directory_drivers", {**broker.directory_drivers, "oidc": Signed})
    configure.update_item(broker, actor(broker), "directories", directory, {"name": "Staff"})  # makes the gate anew
    broker.snapshots.get(fresh=True)
    with broker.db.read() as conn:
        sid = conn.execute(select(t.sessions.c.sign_on).order_by(t.sessions.c.created_at)).scalars().first()
    claims = {"iss": provider.issuer, "iat": int(time.time()), "sid": sid, "events": {LOGOUT_EVENT: {}}}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    assert one.post("/login/ended", data={"logout_token": f"x.{body}.x"}).status_code == 200
    assert one.get("/account").status_code == 303
    assert other.get("/account").status_code == 200
    whole = base64.urlsafe_b64encode(json.dumps({**claims, "sid": "", "sub": "olga"}).encode()).decode().rstrip("=")
    assert one.post("/login/ended", data={"logout_token": f"x.{whole}.x"}).status_code == 200
    assert other.get("/account").status_code == 303
    stale = base64.urlsafe_b64encode(json.dumps({**claims, "iat": 1}).encode()).decode().rstrip("=")
    assert one.post("/login/ended", data={"logout_token": f"x.{stale}.x"}).status_code == 400


def test_the_providers_own_notice_ends_the_session(broker: Broker, tmp_path: Path) -> None:
    """Nothing stands in for anything: the provider calls the broker over TLS when somebody logs out there."""
    with serving(broker, tmp_path) as address:
        there = OidcProvider(address, trust=broker.keys.ca_pem)
        try:
            there.start()
            rules = [{"attribute": "group", "operator": "eq", "text": "VDI-Users", "role_id": "role-user"}]
            fields = {"name": "Staff", "kind": "oidc", "settings": there.settings, "rules": rules}
            id = configure.create_item(broker, actor(broker), "directories", fields)["id"]
            broker.snapshots.get(fresh=True)
            trust = ssl.create_default_context(cadata=broker.keys.ca_pem)
            with httpx.Client(base_url=address, verify=trust, timeout=60) as page, there.browser() as elsewhere:
                left = page.get(f"/login/with/{id}").headers["location"]
                back = there.browse(left, "olga", lambda url: url.startswith(address), elsewhere)
                assert page.get(back).status_code == 200
                assert page.get("/account").status_code == 200
                there.log_out(elsewhere)
                assert page.get("/account").status_code == 303
        finally:
            there.wipe()
    with broker.db.read() as conn:
        assert conn.scalar(select(t.sessions.c.end_reason)) == "logged out at the provider"


def test_an_id_token_must_say_until_when_it_holds(tmp_path: Path) -> None:
    """Core, section 2: exp is required. Logout tokens may lack it (Back-Channel Logout 1.0, section 2.4)."""
    with small_oidc(tmp_path) as there:
        settings = {"issuer": there.issuer, "client_id": "portico", "ca_certificates": there.pem}
        driver = Oidc(OidcSettings(**settings), CONTEXT)
        kept, answer = {"state": "a", "nonce": "b", "verifier": "c"}, {"state": "a", "code": "d"}
        now = int(time.time())
        claims = {"iss": there.issuer, "aud": "portico", "sub": "olga", "nonce": "b", "iat": now}
        there.claims = {**claims, "exp": now + 300}
        assert driver.finish(BACK, kept, answer).identity.subject == "olga"
        for wrong in ({}, {"exp": now - 3600}, {"exp": None}, {"exp": "soon"}):
            there.claims = {**claims, **wrong}
            with pytest.raises(DirectoryRefused):
                driver.finish(BACK, kept, answer)
        notice = {"iss": there.issuer, "aud": "portico", "iat": now, "sid": "1", "events": {LOGOUT_EVENT: {}}}
        token = jwt.encode({"alg": "RS256", "kid": "1"}, notice, there.key)
        assert driver.ended(f"{ORIGIN}/login/ended", {"logout_token": token}).sessions == ("1",)
        driver.close()


def test_a_provider_that_is_down_says_so_on_the_form(broker: Broker, provider: OidcProvider, directory: str) -> None:
    settings = {**provider.settings, "issuer": "https://localhost:1", "timeout": 2}
    fields = {"name": "Gone", "kind": "oidc", "settings": settings}
    gone = configure.create_item(broker, actor(broker), "directories", fields)["id"]
    broker.snapshots.get(fresh=True)
    answer = browser(broker).get(f"/login/with/{gone}")
    assert answer.status_code == 503
    assert "does not answer" in answer.text
    assert browser(broker).get("/login/with/nowhere").status_code == 404


def test_what_the_driver_checks(provider: OidcProvider) -> None:
    good = provider.settings
    driver = Oidc(OidcSettings(**good), CONTEXT)
    assert all(one.state == "granted" for one in driver.check())
    for wrong in (
        {"issuer": "http://localhost"},
        {"issuer": ""},
        {"client_id": ""},
        {"scopes": "email"},
        {"timeout": 0},
    ):
        with pytest.raises(Invalid):
            Oidc(OidcSettings(**{**good, **wrong}), CONTEXT)
    with pytest.raises(DirectoryError):  # its certificate is trusted by nobody but those who say so
        Oidc(OidcSettings(**{**good, "ca_certificates": ""}), CONTEXT).check()
    with pytest.raises(DirectoryError):  # another name than its own
        Oidc(OidcSettings(**{**good, "issuer": f"https://127.0.0.1:{provider.port}"}), CONTEXT).check()
    with pytest.raises(DirectoryRefused):
        driver.finish(BACK, {"state": "a", "nonce": "b", "verifier": "c"}, {"state": "b", "code": "d"})
    with pytest.raises(DirectoryRefused):
        driver.finish(
            BACK, {"state": "a", "nonce": "b", "verifier": "c"}, {"state": "a", "code": "d", "iss": "https://evil.test"}
        )


def test_a_password_is_never_asked_of_a_provider(broker: Broker, provider: OidcProvider, directory: str) -> None:
    page = browser(broker)
    answer = page.post(
        "/login", data={"username": "olga", "password": "any", "directory": directory}, headers={"origin": ORIGIN}
    )
    assert answer.status_code == 401
