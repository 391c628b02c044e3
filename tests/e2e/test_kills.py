"""What may go wrong while people work: killed brokers and gateways, two for one desktop, bad tickets, bad log-ins."""

import json
import os
import pwd
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.caller import Caller, enter
from tests.e2e.conftest import RunningDemo, until
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = [pytest.mark.timeout(400), pytest.mark.capability("S050")]

DESKTOPS, SHELL = "Linux desktops", "Shell"


@pytest.fixture(scope="module")
def admin(demo: RunningDemo) -> Caller:
    """The administrator."""
    who = demo.facts["administrator"]
    return Caller(demo, who["login"], who["password"])


@pytest.fixture
def ada(demo: RunningDemo) -> Caller:
    """Ada, logged in to the portal."""
    return logged_in(demo, "ada")


@pytest.fixture
def joan(demo: RunningDemo, admin: Caller) -> Iterator[Caller]:
    """A user of her own for each test that spoils a log-in."""
    roles = admin.api("GET", "roles").json()["items"]
    role = next(role["id"] for role in roles if role["name"] == "User")
    name, password = f"joan-{time.monotonic_ns()}", "nine lives of a cat"
    body = {"login_name": name, "display_name": "Joan", "password": password, "role_id": role}
    made = admin.api("POST", "users", body | {"must_change_password": False})
    assert made.status_code == 201, made.text
    yield Caller(demo, name, password)
    admin.api("DELETE", f"users/{made.json()['id']}")


def logged_in(demo: RunningDemo, login: str) -> Caller:
    """Return a person at the portal."""
    person = Caller(demo, login)
    answer = until(f"{login}'s log-in", lambda: _if_served(person.log_in()))
    assert answer and answer.status_code == 303, answer
    return person


def _if_served(answer: httpx.Response) -> httpx.Response | None:
    return answer if answer.status_code < 500 else None


def rows(demo: RunningDemo, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Ask the demo's own database, which also answers while no broker does."""
    with closing(sqlite3.connect(f"file:{demo.state / 'portico.db'}?mode=ro", uri=True, timeout=30)) as database:
        return database.execute(query, values).fetchall()


def kill(demo: RunningDemo, part: str) -> int:
    """Kill a part without warning; returns its pid, which the next one will not have."""
    pid = int(demo.facts["pids"][part])
    os.kill(pid, signal.SIGKILL)
    return pid


def see_it_back(demo: RunningDemo, part: str, before: int) -> None:
    """See a part started again, and the portal answering."""
    until(f"the {part}'s return", lambda: demo.facts["pids"][part] != before, 90)
    with httpx.Client(base_url=demo.facts["url"], verify=False, timeout=10) as http:
        until("the portal's answer", lambda: _if_served(http.get("/login")), 90)


def settle(demo: RunningDemo, admin: Caller, pool: str, total: int) -> None:
    """Wait until a pool has so many desktops, all of them finished, none on its way out, and has counted them."""
    pool_id = demo.facts["content"]["pools"][pool]

    def settled() -> bool:
        query = "SELECT stage FROM desktops WHERE built_for_pool = ? AND deleted_at IS NULL"
        counts = json.loads(rows(demo, "SELECT counts FROM pools WHERE id = ?", pool_id)[0][0])
        counted = (counts.get("total"), counts.get("building")) == (total, 0)
        return counted and [stage for (stage,) in rows(demo, query, pool_id)] == ["ready"] * total

    until(f"{total} ready desktops in {pool}", settled, 120)


def limit(demo: RunningDemo, admin: Caller, pool: str, **limits: Any) -> None:
    """Change the limits of a pool."""
    path = f"pools/{demo.facts['content']['pools'][pool]}"
    found = admin.api("GET", path).json()["provisioning"]
    change = {"provisioning": {**found, "limits": {**found["limits"], **limits}}}
    answer = admin.api("PATCH", path, change)
    assert answer.status_code == 200, answer.text


def words(page: str) -> str:
    """What a page says, without its marks."""
    return " ".join(re.sub("<[^>]*>", " ", page.partition("<main")[2]).split())


def see_nothing_leaked(demo: RunningDemo) -> None:
    """See that this machine has exactly the desktops of the rows: directories, processes, accounts, and nothing twice."""

    def same() -> bool:
        known = rows(demo, "SELECT external_id FROM desktops WHERE deleted_at IS NULL")
        return sorted(str(name) for (name,) in known) == [path.name for path in demo.desktops()]

    until("the same desktops on disk and in the rows", same, 90)
    names = {path.name for path in demo.desktops()}
    here = f"PORTICO_CENTER={demo.facts['content']['center_id']}".encode()
    assert marked(here) <= names
    homes = {one.pw_dir.split("/")[-2] for one in pwd.getpwall() if one.pw_dir.startswith(f"{demo.state}/")}
    assert homes <= names
    held = rows(demo, "SELECT desktop_id FROM assignments WHERE released_at IS NULL")
    assert len(held) == len(set(held)), "a desktop was given away twice"
    claims = rows(demo, "SELECT claim_key FROM assignments WHERE claim_key IS NOT NULL")
    assert len(claims) == len(set(claims)), "somebody was given two desktops for one"
    assert rows(demo, "SELECT kind, name FROM leaks WHERE deleted_at IS NULL") == []


def marked(center: bytes) -> set[str]:
    """Return the desktops whose processes run on this machine for a center."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            values = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        if center in values:
            found |= {value.decode()[16:] for value in values if value.startswith(b"PORTICO_DESKTOP=")}
    return found


@pytest.mark.capability("S095", "S097")
@pytest.mark.parametrize("stages", [("intent", "creating"), ("building", "preparing")])
def test_a_broker_killed_while_it_provisions_leaks_and_doubles_nothing(demo, admin, stages):
    """Whatever step of a build it dies in, the next broker finishes that build and makes no second one."""
    limit(demo, admin, DESKTOPS, start_below=1)
    pool = demo.facts["content"]["pools"][DESKTOPS]
    for desktop in admin.api("GET", "desktops?limit=100").json()["items"]:
        if desktop["built_for_pool"] == pool and desktop["stage"] == "ready":
            assert admin.api("DELETE", f"desktops/{desktop['id']}").status_code < 300
    query = f"SELECT 1 FROM desktops WHERE stage IN ({','.join('?' * len(stages))})"
    end = time.monotonic() + 60
    while not rows(demo, query, *stages):
        assert time.monotonic() < end, f"no desktop was ever {' or '.join(stages)}"
    before = kill(demo, "broker")
    see_it_back(demo, "broker", before)
    settle(demo, admin, DESKTOPS, 1)
    see_nothing_leaked(demo)


@pytest.mark.capability("S095", "S027")
def test_a_broker_killed_while_somebody_connects_lets_them_in_afterwards(demo, ada):
    """The click that a kill cut short is repeated, and gets one desktop and a session in it."""
    offer = until("the card", lambda: ada.offers().get(DESKTOPS))

    def click() -> None:
        # Nobody may be there to answer, which is what this test is about.
        with suppress(httpx.HTTPError, AssertionError):
            ada.post("/connect", offer=str(offer))

    clicking = threading.Thread(target=click)
    clicking.start()
    until("a claim or an answer", lambda: not clicking.is_alive() or rows(demo, "SELECT 1 FROM connections"), 30)
    before = kill(demo, "broker")
    clicking.join(60)
    see_it_back(demo, "broker", before)
    went = ada.open(DESKTOPS)
    assert went.status_code == 303, went.text
    ticket, door = ada.ticket(went.headers["location"].rpartition("/")[2])
    session, words = enter(door, ticket, ada.url)
    assert "error" not in words
    held = rows(demo, "SELECT count(*) FROM assignments WHERE released_at IS NULL")
    assert held == [(1,)]
    see_nothing_leaked(demo)
    session.close()


@pytest.mark.capability("S057")
def test_a_killed_gateway_ends_the_picture_and_not_the_session(demo, ada):
    """The socket breaks, the door says 503 or refuses, and a new ticket leads back into the same desktop."""
    first = ada.open(DESKTOPS).headers["location"].rpartition("/")[2]
    ticket, door = ada.ticket(first)
    session, _ = enter(door, ticket, ada.url)
    desktop = ada.api("GET", f"connections/{first}").json()["desktop_id"]
    before = kill(demo, "gateway")
    with pytest.raises(ConnectionClosed):
        while True:
            session.recv(timeout=30)
    until("the gateway's return", lambda: demo.facts["pids"]["gateway"] != before, 60)

    def back() -> bool:
        again = ada.open(DESKTOPS).headers["location"].rpartition("/")[2]
        try:
            socket, words = enter(*reversed(ada.ticket(again)), ada.url)
        except (InvalidStatus, OSError, EOFError, ConnectionClosed):
            return False
        socket.close()
        return "error" not in words and ada.api("GET", f"connections/{again}").json()["desktop_id"] == desktop

    until("the way back in", back, 60)


@pytest.mark.capability("S057")
def test_tickets_serve_once_and_only_as_they_were_signed(demo, ada):
    """A used ticket, a forged one and none at all are each refused with a name; so is a page of another site."""
    connection = ada.open(DESKTOPS).headers["location"].rpartition("/")[2]
    ticket, door = ada.ticket(connection)
    head, body, signature = ticket.split(".")
    forged = ".".join((head, body[:-2] + ("AA" if body[-2:] != "AA" else "BB"), signature))
    unsigned = ".".join((head, body, "A" * len(signature)))
    for wrong in (forged, unsigned, "nonsense"):
        assert enter(door, wrong, ada.url)[1]["error"] == "ticket.invalid"
    with pytest.raises(InvalidStatus) as refusal:
        enter(door, ticket, "https://evil.example")
    assert refusal.value.response.status_code == 403
    session, words = enter(door, ticket, ada.url)
    assert "error" not in words
    assert enter(door, ticket, ada.url)[1]["error"] == "ticket.used"
    session.close()


@pytest.mark.capability("S027", "S099")
def test_of_two_for_the_last_desktop_one_wins_and_the_other_reads_why(demo, admin):
    """Both press at the same moment; the loser's page says that nothing is free and when to try again."""
    limit(demo, admin, SHELL, start_below=1, stop_at=1)
    settle(demo, admin, SHELL, 1)
    people = [logged_in(demo, login) for login in ("ada", "grace")]
    offers = [until("the card", lambda one=person: one.offers().get(SHELL)) for person in people]
    together = threading.Barrier(2)

    def press(number: int) -> httpx.Response:
        together.wait(30)
        return people[number].post("/connect", offer=str(offers[number]))

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(press, range(2)))
    assert sorted(answer.status_code for answer in answers) == [303, 409]
    winner = people[[answer.status_code for answer in answers].index(303)]
    lost = words(next(answer.text for answer in answers if answer.status_code == 409))
    assert re.search(
        "No desktop of Shell is free right now|Somebody else was given the last free desktop of Shell", lost
    )
    assert "Try again" in lost
    assert rows(demo, "SELECT count(*) FROM assignments WHERE pool_id = ? AND released_at IS NULL",
                demo.facts["content"]["pools"][SHELL]) == [(1,)]  # fmt: skip
    held = next(offer for name, offer in winner.offers().items() if name == SHELL)
    assert winner.post(f"/assignments/{held.removeprefix('a.')}/release").status_code == 303
    settle(demo, admin, SHELL, 1)
    see_nothing_leaked(demo)


@pytest.mark.capability("S012", "S099")
def test_a_wrong_password_says_what_to_do_and_then_locks(joan):
    """Each refusal names the remedy; the fifth locks, and then the right password does not help either."""
    right, joan.password = joan.password, "not it"
    first = joan.log_in()
    assert first.status_code == 401
    assert "The name or the password is not right" in first.text
    assert "Check both and try again" in first.text
    assert joan.login in first.text, "the name must be kept"
    answers = [joan.log_in() for _ in range(5)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) > 0
    joan.password = right
    locked = joan.log_in()
    assert locked.status_code == 429
    assert "locked" in locked.text
    assert "You can try again in" in locked.text


@pytest.mark.capability("S012")
def test_nobody_learns_which_names_exist(demo, joan):
    """An unknown name is answered like a wrong password."""
    joan.password = "not it"
    unknown = Caller(demo, f"nobody-{time.monotonic_ns()}", "not it")
    pages = [one.log_in() for one in (joan, unknown)]
    assert pages[0].status_code == pages[1].status_code == 401
    assert pages[0].text.replace(joan.login, "NAME") == pages[1].text.replace(unknown.login, "NAME")


@pytest.mark.capability("S012", "S099")
def test_an_ended_session_leads_to_the_log_in_page_and_says_so(demo, joan):
    """A cookie of a session that has ended is worth nothing, and the page tells what to do."""
    assert joan.log_in().status_code == 303
    stale = joan.cookies()
    joan.post("/log-out")
    with httpx.Client(base_url=joan.url, verify=False, cookies=stale) as late:
        sent = late.get("/account")
        assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=%2Faccount&expired=1")
        assert "Your session has ended. Log in again" in late.get(sent.headers["location"]).text
        refused = late.post("/connect", data={"csrf": "x", "offer": "x"}, headers={"Origin": joan.url})
        assert refused.status_code == 303


@pytest.mark.capability("S012", "S092")
def test_a_foreign_page_cannot_log_anybody_in(joan):
    """A form that another site made the browser send is refused on a page that has no insides on it."""
    form = {"username": joan.login, "password": joan.password}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        refused = joan.page("POST", "/login", data=form, headers=headers)
        assert refused.status_code == 403
        assert "did not come from a page of this site" in refused.text


@pytest.mark.capability("S092")
def test_a_form_with_everything_wrong_names_every_field(joan, admin):
    """Empty fields, a broken body, an unknown page: each gets an answer for people or machines."""
    empty = joan.page("POST", "/login", data={"username": "", "password": ""})
    assert empty.status_code == 422
    assert "Type your user name." in empty.text
    assert "Type your password." in empty.text
    wrong = admin.api("POST", "pools", {"name": "", "provisioning": {"limits": {"start_below": -1, "stop_at": "many"}}})
    assert wrong.status_code == 422
    fields = {error["field"] for error in wrong.json()["errors"]}
    assert {"name", "provisioning.limits.start_below", "provisioning.limits.stop_at"} <= fields
    for path in ("/connections/none-such", "/admin/pools/none-such", "/no-such-page", "/api/v1/no-such-noun"):
        assert joan.page("GET", path).status_code in (303, 404)
