"""The console: events in words, who has which desktop, what a change touches, the day."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient
from tests.brokers import actor, make_broker
from tests.fleets import give_desktop
from tests.page_client import ORIGIN, SAME, Page, log_in

from portico.services import configure
from portico.services.broker import Broker
from portico.store import tables as t
from portico.web.app import create_app


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return make_broker(tmp_path)


@pytest.fixture
def client(broker: Broker) -> Iterator[TestClient]:
    with TestClient(create_app(broker), base_url=ORIGIN, follow_redirects=False) as client:
        yield client


@pytest.mark.capability("S122")
def test_events_are_sentences_with_links(client: TestClient, broker: Broker) -> None:
    """The list and a history tell what happened in words; a name is a link while its object is there, and never markup."""
    made = configure.create_item(broker, actor(broker), "pools", {"name": "<b>Bold</b>"})
    log_in(client)
    for path in ("/admin/events", f"/admin/pools/{made['id']}?tab=history"):
        text = client.get(path).text
        assert f'created the pool <a href="/admin/pools/{made["id"]}">&lt;b&gt;Bold&lt;/b&gt;</a>.' in text
        assert "<b>Bold</b>" not in text
    configure.delete_item(broker, actor(broker), "pools", made["id"])
    text = client.get("/admin/events").text
    assert "deleted the pool" in text
    assert f'href="/admin/pools/{made["id"]}"' not in text


@pytest.fixture
def held(broker: Broker) -> str:
    """Give a desktop to the ordinary user, and return the desktop's id."""
    return give_desktop(broker)


@pytest.mark.capability("S122")
def test_a_desktop_tells_who_has_it_why_and_until_when(client: TestClient, broker: Broker, held: str) -> None:
    """The page names the person, the reason and the next timer; an administrator takes the desktop back from there."""
    csrf = log_in(client)
    for path in (f"/admin/desktops/{held}", "/admin/desktop-sessions"):
        text = client.get(path).text
        assert "It is taken back" in text
        assert "what is not opened within 15 min" in text
    text = client.get(f"/admin/desktops/{held}").text
    assert "The desktop is somebody&#39;s already." in text
    action = next(
        form["action"] or "" for form in Page(text).all("form") if (form.get("action") or "").endswith("/do/release")
    )
    answer = client.post(action, data={"csrf": csrf, "back": f"/admin/desktops/{held}"}, headers=SAME)
    assert answer.headers["location"] == f"/admin/desktops/{held}?done=released"
    assert "is being taken back from" in client.get("/admin/events").text


@pytest.mark.capability("S122")
def test_what_a_change_or_a_deletion_touches_is_told_in_numbers(client: TestClient, broker: Broker, held: str) -> None:
    """Forms say for whom they hold, deletions what goes with them, limits what is built at once."""
    csrf = log_in(client)
    with broker.db.read() as conn:
        pool = conn.scalar(select(t.pools.c.id))
        center = conn.scalar(select(t.centers.c.id))
    assert "It holds for 2 users." in client.get("/admin/policies/policy?tab=settings").text
    text = client.get(f"/admin/pools/{pool}/delete").text
    assert "1 policy uses it." in text
    assert "2 desktops belong to it." in text
    text = client.get(f"/admin/centers/{center}/delete").text
    assert "1 person has a desktop there and loses it." in text
    limits = {
        "provisioning.limits.start_below": "3",
        "provisioning.limits.stop_at": "9",
        "provisioning.limits.enabled": "on",
    }
    answer = client.post("/admin/pools/new/preview", data={"csrf": csrf} | limits, headers=SAME)
    assert "Saving builds 3 desktops at once." in answer.text
    limits["provisioning.limits.stop_at"] = "x" * 40
    answer = client.post("/admin/pools/new/preview", data={"csrf": csrf} | limits, headers=SAME)
    assert "Saving builds nothing at once." in answer.text


@pytest.mark.capability("S122")
def test_a_bulk_action_tells_what_was_done_and_what_was_refused(client: TestClient, broker: Broker, held: str) -> None:
    """Desktops that may not be deleted are named with the reason; the rest is done all the same."""
    csrf = log_in(client)
    with broker.db.write() as conn:
        other = conn.scalar(select(t.desktops.c.id).where(t.desktops.c.id != held))
        conn.execute(update(t.desktops).where(t.desktops.c.id == other).values(deletable=True))
    form = {"csrf": csrf, "action": "delete", "sure": "1", "id": [held, other]}
    answer = client.post("/admin/desktops/bulk", data=form, headers=SAME)
    assert answer.status_code == 409
    done, _, refused = answer.text.partition('aria-labelledby="refused"')
    assert f"/admin/desktops/{other}" in done
    assert f"/admin/desktops/{held}" in refused
    assert "This desktop is not marked as " in refused


@pytest.mark.capability("S122")
def test_the_overview_tells_the_day(client: TestClient, broker: Broker, held: str) -> None:
    """Log-ins by result, time to desktop and running parts stand beside the four numbers."""
    client.post("/login", data={"username": "user", "password": "wrong wrong"}, headers=SAME)
    log_in(client)
    text = client.get("/admin").text
    assert "Demand against capacity" in text
    assert "The name or the password is not right." in text
    assert "From click to picture" in text


@pytest.mark.capability("S122")
def test_a_person_makes_uses_and_revokes_an_api_token(client: TestClient) -> None:
    """The secret is shown once and works as a bearer; revoked, it is refused; without a name nothing is made."""
    csrf = log_in(client)
    answer = client.post("/account/tokens", data={"csrf": csrf, "name": "nightly", "days": "30"}, headers=SAME)
    secret = next(button["data-copy"] for button in Page(answer.text).all("button") if button.get("data-copy"))
    bearer = {"Authorization": f"Bearer {secret}"}
    client.cookies.clear()
    assert client.get("/api/v1/pools", headers=bearer).status_code == 200
    csrf = log_in(client)
    text = client.get("/account").text
    assert "nightly" in text
    assert str(secret) not in text
    revoke = next(form["action"] or "" for form in Page(text).all("form") if "revoke" in (form.get("action") or ""))
    assert client.post(revoke, data={"csrf": csrf}, headers=SAME).headers["location"] == "/account?done=revoked"
    wrong = client.post("/account/tokens", data={"csrf": csrf, "name": "", "days": "30"}, headers=SAME)
    assert wrong.status_code == 422
    assert 'id="token-name-error"' in wrong.text
    client.cookies.clear()
    assert client.get("/api/v1/pools", headers=bearer).status_code == 401


@pytest.mark.capability("S031", "S068")
def test_gateways_are_grouped_in_the_console(client: TestClient, broker: Broker) -> None:
    """A group is made and changed by form, each wrong field is told beside it, and the list of gateways says who signs RDP files."""
    csrf = log_in(client)
    assert 'name="may_reach"' in client.get("/admin/gateway-groups/new").text
    wrong = {"csrf": csrf, "name": "near", "balance": "all", "public_url": "nonsense", "may_reach": "here"}
    text = client.post("/admin/gateway-groups/new", data=wrong, headers=SAME).text
    assert "here is not a network." in text and "without a path" in text
    right = {**wrong, "public_url": "https://all.example", "may_reach": "10.0.0.0/8"}
    answer = client.post("/admin/gateway-groups/new", data=right, headers=SAME)
    assert answer.status_code == 303, answer.text
    text = client.get("/admin/gateway-groups").text
    assert "near" in text and "10.0.0.0/8" in text
    assert "near" in client.get("/admin/protocol-plans/new").text
    assert broker.keys.rdp_thumbprint in client.get("/admin/gateways").text
    assert "created the gateway group" in client.get("/admin/events").text


@pytest.mark.capability("S047", "S051")
def test_locations_are_made_line_by_line(client: TestClient, broker: Broker) -> None:
    """A condition is a line with menus; what is wrong with it is told beside it; a deletion can be undone."""
    csrf = log_in(client)
    text = client.post(
        "/admin/locations/new", data={"csrf": csrf, "name": "Office", "intent": "conditions/add"}, headers=SAME
    ).text
    assert 'name="conditions.0.attribute"' in text and "Operating system" in text
    wrong = {
        "csrf": csrf, "name": "Office", "position": "10", "join": "and", "conditions.0.attribute": "os", "conditions.0.operator": "ip",
        "conditions.0.text": "10.0.0.0/8",
    }  # fmt: skip
    assert (
        "A network can be compared with an address only."
        in client.post("/admin/locations/new", data=wrong, headers=SAME).text
    )
    right = {**wrong, "conditions.0.attribute": "address", "direct": "on"}
    answer = client.post("/admin/locations/new", data=right, headers=SAME)
    assert answer.status_code == 303, answer.text
    (item,) = configure.list_items(broker, actor(broker), "locations", configure.Query()).items
    assert (
        item["conditions"] == [{"attribute": "address", "operator": "ip", "text": "10.0.0.0/8"}]
        and item["direct"] is True
    )
    configure.delete_item(broker, actor(broker), "locations", item["id"])
    assert configure.restore_item(broker, actor(broker), "locations", item["id"])["name"] == "Office"


@pytest.mark.capability("S047")
def test_what_somebody_would_get_is_shown(client: TestClient, broker: Broker, held: str) -> None:
    """From the user's page: role, policy, location, offers and reasons; a moment that is none is said to be so."""
    configure.create_item(
        broker, actor(broker), "locations",
        {"name": "Office", "conditions": [{"attribute": "address", "operator": "ip", "text": "10.0.0.0/8"}]},
    )  # fmt: skip
    log_in(client)
    with broker.db.read() as conn:
        user = conn.scalar(select(t.assignments.c.user_id))
    assert f'href="/admin/users/{user}/explain"' in client.get(f"/admin/users/{user}").text
    text = client.get(f"/admin/users/{user}/explain?client=10.1.2.3&at=2030-01-01T08:00").text
    assert "Office" in text and 'data-testid="offer"' in text
    assert "Office" not in client.get(f"/admin/users/{user}/explain?client=192.0.2.1").text
    assert "The moment is not understood." in client.get(f"/admin/users/{user}/explain?at=tomorrow").text
    assert client.get("/admin/users/nobody/explain").status_code == 404
