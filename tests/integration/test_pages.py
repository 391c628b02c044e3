"""The pages as a browser without scripts gets them: log-in, forgery, roles, forms, and what every page must have."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, update
from starlette.testclient import TestClient
from tests.brokers import PASSWORD, actor, make_broker
from tests.page_client import ORIGIN, SAME, Page, log_in

from portico.services import configure
from portico.services.broker import Broker
from portico.store import tables as t
from portico.web.app import create_app
from portico.web.forms import move_lines
from portico.web.guard import local_path
from portico.web.portal import viewer_texts

PORTAL = ("/", "/account")
CONSOLE = ("/admin", "/admin/palette?q=e", "/admin/desktops?q=state:error", "/admin/centers/new?kind=nowhere")


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return make_broker(tmp_path)


@pytest.fixture
def client(broker: Broker) -> Iterator[TestClient]:
    with TestClient(create_app(broker), base_url=ORIGIN, follow_redirects=False) as client:
        yield client


@pytest.fixture
def pool(broker: Broker) -> str:
    return str(configure.create_item(broker, actor(broker), "pools", {"name": "Engineering"})["id"])


@pytest.mark.capability("S029")
def test_the_log_in_form_leads_to_where_one_wanted_to_go(client: TestClient) -> None:
    """A path asked for before log-in is shown after it, and the cookie cannot be read or sent by others."""
    first = client.get("/admin/pools?q=x")
    assert first.headers["location"] == "/login?next=%2Fadmin%2Fpools%3Fq%3Dx"
    form = Page(client.get(first.headers["location"]).text)
    assert form.field("next") == "/admin/pools?q=x"
    answer = client.post(
        "/login", data={"username": "admin", "password": PASSWORD, "next": form.field("next")}, headers=SAME
    )
    assert answer.headers["location"] == "/admin/pools?q=x"
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-portico=")
    assert all(part in cookie for part in ("httponly", "secure", "samesite=strict", "path=/"))


@pytest.mark.capability("S029")
@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "/a\nb", "evil", "", "/login?next=/"]
)
def test_only_paths_of_ours_are_gone_to_after_log_in(target: str) -> None:
    """Whatever is not a plain path of this site becomes the portal."""
    assert local_path(target) == "/"


@pytest.mark.capability("S029", "S032")
def test_a_wrong_password_and_an_unknown_name_look_the_same(client: TestClient) -> None:
    """Both answers are 401 with the same sentence; the typed name stays, the password does not."""
    texts = []
    for name in ("admin", "nobody"):
        answer = client.post("/login", data={"username": name, "password": "wrong wrong"}, headers=SAME)
        assert answer.status_code == 401
        page = Page(answer.text)
        assert page.field("username") == name
        assert page.field("password") == ""
        texts.append(answer.text.replace(f'value="{name}"', ""))
    assert texts[0] == texts[1]


@pytest.mark.capability("S032")
def test_who_is_locked_out_is_told_how_long(client: TestClient) -> None:
    """After too many tries the page names the minutes to wait, and says so in its header."""
    for _ in range(6):
        answer = client.post("/login", data={"username": "user", "password": "wrong wrong"}, headers=SAME)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "minute" in answer.text


@pytest.mark.capability("S029")
@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"origin": ORIGIN, "sec-fetch-site": "cross-site"}, {}]
)
def test_a_log_in_from_another_site_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    """Nobody else can log a browser in, nor may a request that proves nothing."""
    answer = client.post("/login", data={"username": "admin", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.capability("S029")
def test_a_form_without_the_token_of_its_session_is_refused(client: TestClient, broker: Broker) -> None:
    """A POST needs the token, also from the right origin; and the right origin, also with the token."""
    token = log_in(client)
    fields = {"theme": "dark", "language": "en", "zone": ""}
    assert client.post("/account/preferences", data=fields, headers=SAME).status_code == 403
    assert client.post("/account/preferences", data=fields | {"csrf": "x" * 64}, headers=SAME).status_code == 403
    foreign = {"origin": "https://evil.example"}
    assert client.post("/account/preferences", data=fields | {"csrf": token}, headers=foreign).status_code == 403
    assert client.post("/account/preferences", data=fields | {"csrf": token}, headers=SAME).status_code == 303
    assert 'data-theme="dark"' in client.get("/account").text


@pytest.mark.capability("S029")
def test_an_expired_session_says_so_and_returns(client: TestClient, broker: Broker) -> None:
    """The log-in page tells that the session has ended and keeps the way back."""
    log_in(client)
    with broker.db.write() as conn:
        conn.execute(update(t.sessions).values(ended_at=broker.now(), end_reason="test"))
    answer = client.get("/account")
    assert answer.headers["location"] == "/login?next=%2Faccount&expired=1"
    assert "Your session has ended" in client.get(answer.headers["location"]).text


@pytest.mark.capability("S029")
def test_a_new_password_comes_before_everything_else(client: TestClient, broker: Broker) -> None:
    """Who must change the password sees that form only, until it is changed."""
    with broker.db.write() as conn:
        conn.execute(update(t.users).where(t.users.c.id == "user").values(must_change_password=True))
    answer = client.post("/login", data={"username": "user", "password": PASSWORD}, headers=SAME)
    assert answer.headers["location"] == "/password"
    assert client.get("/").headers["location"] == "/password"
    token = Page(client.get("/password").text).field("csrf")
    fields = {"csrf": token, "old": PASSWORD, "new": "some other good words"}
    wrong = client.post("/password", data=fields | {"again": "different"}, headers=SAME)
    assert wrong.status_code == 422
    assert "differ" in wrong.text
    assert client.post("/password", data=fields | {"again": fields["new"]}, headers=SAME).status_code == 303
    assert client.get("/").status_code == 200


@pytest.mark.capability("S045")
def test_who_is_offered_nothing_is_told_what_to_do(client: TestClient) -> None:
    """The portal of a user without desktops is a page with a sentence, not an empty one."""
    log_in(client, "user")
    assert "No desktop for you at the moment" in client.get("/").text


@pytest.mark.capability("S050")
def test_an_offer_that_is_gone_is_refused_in_a_sentence(client: TestClient) -> None:
    """Opening what is not offered any more answers 409 or 404 with an alert, never a stack trace."""
    token = log_in(client, "user")
    answer = client.post("/connect", data={"csrf": token, "offer": "gone.0"}, headers=SAME)
    assert answer.status_code in (404, 409)
    assert 'role="alert"' in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.capability("S122")
def test_the_navigation_holds_only_what_the_role_reaches(client: TestClient, broker: Broker) -> None:
    """A role that views pools sees pools, and is refused the rest also by address."""
    role = configure.create_item(
        broker, actor(broker), "roles", {"name": "Pools", "areas": {"pools": "view", "desktops": "view"}}
    )
    with broker.db.write() as conn:
        conn.execute(update(t.users).where(t.users.c.id == "user").values(role_id=role["id"]))
    log_in(client, "user")
    links = {link.get("href") for link in Page(client.get("/admin/pools").text).all("a")}
    assert "/admin/pools" in links
    assert "/admin/users" not in links
    assert "/admin/pools/new" not in links
    assert client.get("/admin/users").status_code == 403
    assert client.get("/admin/pools/new").status_code == 403


@pytest.mark.capability("S122")
def test_the_console_is_closed_to_plain_users(client: TestClient) -> None:
    """A user without areas gets a page that says so."""
    log_in(client, "user")
    assert client.get("/admin").status_code == 403


@pytest.mark.capability("S093", "S122")
def test_a_form_with_every_field_wrong_keeps_what_was_typed(client: TestClient) -> None:
    """Each wrong field has its error beside it, and all values are there again."""
    token = log_in(client)
    typed = {
        "csrf": token,
        "name": "",
        "provisioning.limits.enabled": "on",
        "provisioning.limits.start_below": "many",
        "provisioning.limits.stop_at": "-4",
        "provisioning.name_template": "<b>{NOPE}</b>",
        "provisioning.max_sessions": "0",
        "provisioning.sequence_start": "1",
        "provisioning.options": "{broken",
        "rule.join": "and",
    }
    answer = client.post("/admin/pools/new", data=typed, headers=SAME)
    assert answer.status_code == 422
    page = Page(answer.text)
    assert page.field("provisioning.limits.start_below") == "many"
    assert page.field("provisioning.limits.stop_at") == "-4"
    assert page.field("provisioning.name_template") == "<b>{NOPE}</b>"
    assert "{broken" in answer.text
    wrong = {attrs.get("name") for _, attrs in page.tags if attrs.get("aria-invalid") == "true"}
    assert {"provisioning.limits.start_below", "provisioning.options"} <= wrong
    described = {id for _, attrs in page.tags for id in (attrs.get("aria-describedby") or "").split()}
    assert described <= {attrs.get("id") for _, attrs in page.tags}


@pytest.mark.capability("S093")
def test_a_pool_is_made_changed_deleted_and_taken_back(client: TestClient, broker: Broker) -> None:
    """The whole life of a pool, by forms alone."""
    token = log_in(client)
    typed = {"csrf": token, "name": "Engineering", "rule.join": "and", "provisioning.name_template": "e-{SEQUENCE}",
             "provisioning.limits.start_below": "0", "provisioning.limits.stop_at": "0", "provisioning.max_sessions": "1",
             "provisioning.sequence_start": "1"}  # fmt: skip
    made = client.post("/admin/pools/new", data=typed, headers=SAME)
    assert made.status_code == 303, re.findall(r'class="error".*?</p>', made.text)
    path = made.headers["location"].partition("?")[0]
    version = Page(client.get(f"{path}?tab=settings").text).field("version")
    changed = client.post(f"{path}/edit", data=typed | {"name": "Engineers", "version": version}, headers=SAME)
    assert changed.headers["location"].startswith(path)
    late = client.post(f"{path}/edit", data=typed | {"name": "Late", "version": version}, headers=SAME)
    assert late.status_code == 409
    assert "Engineers" in client.get(path).text
    deleted = client.post(f"{path}/delete", data={"csrf": token}, headers=SAME)
    assert "undo=" in deleted.headers["location"]
    assert client.get(path).status_code == 404
    back = client.post(f"{path}/restore", data={"csrf": token}, headers=SAME)
    assert back.headers["location"].startswith(path)
    assert client.get(path).status_code == 200


@pytest.mark.capability("S045", "S122")
def test_the_lines_of_a_policy_are_added_and_saved_without_a_script(client: TestClient, pool: str) -> None:
    """Pressing "Add a line" shows the form with one more line; saving keeps it."""
    token = log_in(client)
    typed = {"csrf": token, "name": "Engineers", "session_idle_minutes": "30", "session_hours": "12"}
    more = client.post("/admin/policies/new", data=typed | {"intent": "assignments/add"}, headers=SAME)
    assert more.status_code == 200
    assert any(attrs.get("name") == "assignments.0.pool_id" for _, attrs in Page(more.text).tags)
    line = {
        "assignments.0.pool_id": pool,
        "assignments.0.quantity": "1",
        "assignments.0.order": "random",
        "assignments.0.display": "pool",
    }
    saved = client.post("/admin/policies/new", data=typed | line, headers=SAME)
    assert saved.status_code == 303, re.findall(r'class="error".*?</p>', saved.text)
    assert "Engineering" in client.get(saved.headers["location"]).text


@pytest.mark.capability("S122")
def test_lines_move_as_their_buttons_say() -> None:
    """Up, down, remove and add do what they say, and nothing at the ends or for nonsense."""
    lines = [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [line.get("n") for line in move_lines(list(lines), "up:2")] == [1, 3, 2]
    assert [line.get("n") for line in move_lines(list(lines), "down:0")] == [2, 1, 3]
    assert [line.get("n") for line in move_lines(list(lines), "remove:1")] == [1, 3]
    assert len(move_lines(list(lines), "add")) == 4
    for nonsense in ("up:0", "down:2", "remove:9", "up:-1", "fly:1", ""):
        assert move_lines(list(lines), nonsense) == lines


@pytest.mark.capability("S122")
def test_the_password_of_a_new_user_is_shown_once(client: TestClient, broker: Broker) -> None:
    """A user made without a password gets one, shown on that one page."""
    token = log_in(client)
    typed = {"csrf": token, "login_name": "ada", "role_id": "role-user"}
    made = client.post("/admin/users/new", data=typed, headers=SAME)
    assert made.status_code == 200
    assert "shown this once" in made.text
    assert "no-store" in made.headers["cache-control"]


@pytest.mark.capability("S122")
def test_an_export_is_safe_in_a_spreadsheet(client: TestClient, broker: Broker) -> None:
    """Text that a spreadsheet would run is quoted."""
    configure.create_item(broker, actor(broker), "pools", {"name": "=HYPERLINK(1)"})
    log_in(client)
    answer = client.get("/admin/pools/export?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "'=HYPERLINK(1)" in answer.text
    assert client.get("/admin/pools/export?format=json").json()[0]["name"] == "=HYPERLINK(1)"


@pytest.mark.capability("S122")
def test_every_page_is_whole_and_holds_no_inline_code(client: TestClient, broker: Broker, pool: str) -> None:
    """Each page has a title, one h1, a main part and named fields; no script, style or handler stands in it."""
    with broker.db.write() as conn:
        conn.execute(insert(t.brokers).values(
            id="b", hostname="broker-1", version="1", started_at=broker.now(), heartbeat_at=broker.now(), draining=False))  # fmt: skip
    pages = ["/login"]
    log_in(client)
    nouns = [noun for noun in configure.NOUNS if noun not in ("tenants", "tokens")]
    pages += [
        *PORTAL,
        *CONSOLE,
        *(f"/admin/{noun}" for noun in nouns),
        f"/admin/pools/{pool}",
        f"/admin/pools/{pool}/delete",
    ]
    pages += [f"/admin/pools/{pool}?tab={tab}" for tab in ("settings", "history")]
    pages += [
        f"/admin/{noun}/new"
        for noun in (
            "centers",
            "pools",
            "policies",
            "users",
            "roles",
            "protocol-plans",
            "power-plans",
            "release-plans",
            "join-keys",
        )
    ]
    for path in pages:
        if path == "/login":
            client.cookies.clear()
        answer = client.get(path)
        if path == "/login":
            log_in(client)
        assert answer.status_code == 200, path
        check_whole(path, answer.text)


@pytest.mark.capability("S122")
def test_a_fragment_is_the_block_of_its_page(client: TestClient, pool: str) -> None:
    """What a live part asks for is found word for word in its whole page, and nothing more is sent."""
    log_in(client)
    parts = {
        "/": "cards",
        "/admin": "live",
        "/admin/pools": "rows",
        f"/admin/pools/{pool}": "live",
        "/admin/palette": "results",
    }
    for path, fragment in parts.items():
        answer = client.get(f"{path}{'&' if '?' in path else '?'}fragment={fragment}")
        assert answer.status_code == 200, path
        assert "<html" not in answer.text
        whole = re.sub(r"\s+", "", client.get(path).text)
        assert re.sub(r"\s+", "", answer.text).replace(f"fragment={fragment}&", "") in whole, path


@pytest.mark.capability("S122")
def test_what_does_not_exist_is_a_page_too(client: TestClient) -> None:
    """A wrong address in the console is answered with a page that leads on."""
    log_in(client)
    answer = client.get("/admin/nothing-here")
    assert answer.status_code == 404
    check_whole("404", answer.text)


@pytest.mark.capability("S057")
def test_the_viewers_texts_are_those_that_its_script_asks_for() -> None:
    """Keys of the page and of the script are the same."""
    script = Path(viewer_texts.__file__).parent.parent / "static" / "viewer" / "texts.js"
    asked = dict(re.findall(r'^\s*"([^"]+)": "((?:[^"\\]|\\.)*)",', script.read_text("utf-8"), re.M))
    assert asked == viewer_texts.TEXTS | viewer_texts.PLAYER


def check_whole(path: str, text: str) -> None:
    """Assert what every page must have and must not have."""
    page = Page(text)
    assert page.title.strip(" ·"), path
    assert len(page.all("h1")) == 1, path
    assert len(page.all("main")) == 1, path
    for tag, attrs in page.tags:
        assert tag != "style", path
        assert "style" not in attrs, (path, attrs)
        assert not [name for name in attrs if name.startswith(("on", "hx-on"))], (path, attrs)
        if tag == "script":
            assert attrs.get("src") or attrs.get("type") == "application/json", path
        if tag == "form" and attrs.get("method") == "post":
            assert attrs.get("action"), path
    named = {attrs.get("for") for attrs in page.all("label")}
    for tag in ("input", "select", "textarea"):
        for attrs in page.all(tag):
            if attrs.get("id") and attrs.get("type") not in ("hidden", "checkbox", "radio"):
                assert attrs["id"] in named or attrs.get("aria-label"), (path, attrs)
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids)), (path, [id for id in ids if ids.count(id) > 1])
