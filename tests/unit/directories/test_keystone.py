"""Answers of Keystone that are late, too long, or nonsense: only our own errors come of them, and soon. Played over loopback."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.authority import Authority
from portico.directories import keystone_api
from portico.directories.keystone import Keystone
from portico.directories.keystone_settings import KeystoneSettings, address_of
from portico.directories.keystone_wire import MAX_ANSWER, Answer
from portico.errors import DirectoryError, DirectoryRefused, Invalid
from portico.ports.directory import DirectoryContext, Standing, TypedName

pytestmark = [pytest.mark.capability("S028", "S046", "S119"), pytest.mark.on("recorded")]
HERE = DirectoryContext(("127.0.0.0/8",))
ALICE = TypedName("alice", "alice")
USER = {"id": "a1", "name": "alice", "domain_id": "default", "enabled": True, "email": "alice@cloud.test"}
TOKEN = {"token": {"user": {"id": "a1", "name": "alice", "domain": {"id": "default", "name": "Default"}}}}

Play = Callable[[str, bytes], bytes | None]  # (the request's line, its body) → the answer's bytes; None: silence


@dataclass
class Stage:
    """A server that plays answers, and what it was asked."""

    port: int
    pem: str
    play: Play = lambda line, body: b""
    asked: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    hangs_up: bool = False  # after each answer

    def open(self, **settings: Any) -> Keystone:
        more = {"auth_url": f"https://localhost:{self.port}", "ca_certificates": self.pem, "timeout": 20, **settings}
        return Keystone(KeystoneSettings(**more), HERE)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def stage(authority: Authority, tmp_path: Path) -> Iterator[Stage]:
    certificate, key = authority.issue("stage", "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    made = Stage(listener.getsockname()[1], authority.pem)
    over = threading.Event()

    def serve(client: socket.socket) -> None:
        with suppress(OSError), client, tls.wrap_socket(client, server_side=True) as secure:
            made.connections += 1
            reader = secure.makefile("rb")
            while line := reader.readline():
                length = 0
                while (head := reader.readline()) not in (b"\r\n", b""):
                    if head.lower().startswith(b"content-length:"):
                        length = int(head.partition(b":")[2])
                body = reader.read(length)
                made.asked.append(" ".join(line.decode().split()[:2]))
                made.bodies.append(body)
                answer = made.play(made.asked[-1], body)
                if answer is None:
                    over.wait(60)
                    return
                secure.sendall(answer)
                if b"connection: close" in answer[:2000].lower() or not answer or made.hangs_up:
                    return

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield made
    over.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(60)


def said(status: int, body: Any = None, *heads: str) -> bytes:
    """Write a whole answer."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", *heads, "", ""]
    return "\r\n".join(lines).encode() + data


def refused(message: str, *heads: str) -> bytes:
    return said(401, {"error": {"code": 401, "message": message}}, *heads)


def well(line: str, body: bytes) -> bytes:
    """Play a Keystone in which all is well."""
    path = line.partition(" ")[2]
    if line == "POST /v3/auth/tokens":
        return said(201, TOKEN, "X-Subject-Token: gAAA")
    if line.startswith("DELETE"):
        return said(204)
    if path.startswith("/v3/users?"):
        return said(200, {"users": [USER]})
    if path == "/v3/users/a1":
        return said(200, {"user": USER})
    if path == "/v3/users/a1/groups":
        return said(
            200,
            {
                "groups": [
                    {"id": "g", "name": "VDI", "domain_id": "default"},
                    {"id": "h", "name": "VDI", "domain_id": "d2"},
                ]
            },
        )
    if path == "/v3/users/a1/projects":
        rows = [{"id": "p1", "name": "vdi", "domain_id": "default"}, {"id": "p2", "name": "vdi", "domain_id": "d2"},
                {"id": "p3", "name": "old", "domain_id": "default", "enabled": False}]  # fmt: skip
        return said(200, {"projects": rows})
    return said(404, {"error": {"message": "not here"}})


def instead(start: str, answer: bytes | None) -> Play:
    """Play that all is well, but for one question."""
    return lambda line, body: answer if line.startswith(start) else well(line, body)


def test_one_connection_serves_a_whole_log_in(stage: Stage) -> None:
    """And the token goes back whatever was asked with it. Another domain's groups and projects bear its id."""
    stage.play = well
    found = stage.open(projects="projects").authenticate(ALICE, "right").identity
    assert found is not None
    assert (found.subject, found.login_name, found.email, found.groups) == (
        "a1",
        "alice",
        "alice@cloud.test",
        ("VDI", "VDI@d2"),
    )
    assert (found.attributes["project"], found.attributes["project id"]) == (("vdi", "vdi@d2"), ("p1", "p2"))
    assert stage.connections == 1
    assert (stage.asked[0], stage.asked[-1]) == ("POST /v3/auth/tokens", "DELETE /v3/auth/tokens")
    assert json.loads(stage.bodies[0])["auth"]["scope"] == "unscoped"


@pytest.mark.parametrize("answer", [said(403, {"error": {}}), said(404, {"error": {}}), said(200, {})])
def test_who_may_not_read_their_own_record_is_who_the_token_says(stage: Stage, answer: bytes) -> None:
    stage.play = lambda line, body: answer if line == "GET /v3/users/a1" else well(line, body)
    found = stage.open().authenticate(ALICE, "right").identity
    assert found is not None
    assert (found.subject, found.login_name, found.email, found.groups) == ("a1", "alice", "", ("VDI", "VDI@d2"))


@pytest.mark.parametrize("question", ["GET /v3/users/a1", "GET /v3/users/a1/groups"])
def test_the_token_goes_back_also_when_reading_fails(stage: Stage, question: str) -> None:
    stage.play = instead(question, said(500, {"error": {"message": "boom"}}))
    with pytest.raises(DirectoryError):
        stage.open().authenticate(ALICE, "right")
    assert stage.asked[-1] == "DELETE /v3/auth/tokens"


@pytest.mark.parametrize("answer", [said(500), said(401, {"error": {}}), b"", b"HTTP/1.1 204 X\r\n\r\n"])
def test_a_token_that_cannot_be_revoked_keeps_nobody_out(stage: Stage, answer: bytes) -> None:
    stage.play = instead("DELETE", answer)
    assert stage.open().authenticate(ALICE, "right").standing is Standing.OK


@pytest.mark.parametrize(
    ("answer", "standing"),
    [
        (refused("The request you have made requires authentication."), Standing.WRONG),
        (refused("The password is expired and needs to be changed for user: a1."), Standing.EXPIRED),
        (refused("The account is locked for user: a1."), Standing.LOCKED),
        (refused("The account is disabled for user: a1."), Standing.DISABLED),
        (said(401, {"receipt": {"user": {"id": "a1", "name": "alice"}}, "required_auth_methods": [["password", "totp"]]},
              "Openstack-Auth-Receipt: gAAA"), Standing.SECOND_FACTOR),
        (said(401, ["no", "record"]), Standing.WRONG),
        (said(401), Standing.WRONG),
    ],
)  # fmt: skip
def test_why_a_log_in_is_refused(stage: Stage, answer: bytes, standing: Standing) -> None:
    """As Keystone writes it (30.0.0), and wrote it of locked accounts until 2021. Whoever is known to have typed the right password is named."""
    stage.play = instead("POST", answer)
    found = stage.open().authenticate(ALICE, "some")
    assert found.standing is standing
    assert (found.identity is None) is (standing in (Standing.WRONG, Standing.LOCKED))
    assert found.identity is None or (found.identity.subject, found.identity.login_name) == ("a1", "alice")


HTML = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"
RUBBISH = {
    "hangs up": b"",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "LDAP": b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00" * 10,
    "half a head": b"HTTP/1.1 201 X\r\nContent-",
    "half a body": b"HTTP/1.1 201 X\r\nConnection: close\r\nContent-Length: 500\r\n\r\n{}",
    "no JSON": HTML,
    "deep": b"HTTP/1.1 201 X\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000,
    "no token": said(201, TOKEN),
    "no user": said(201, {"token": {}}, "X-Subject-Token: gAAA"),
    "a list": said(201, [1], "X-Subject-Token: gAAA"),
    "a redirect": said(302, None, "Location: https://elsewhere.test/v3"),
    "several choices": said(300, {"versions": {}}),
    "not found": said(404, {"error": {"message": "no"}}),
    "too many requests": said(429, {"error": {"message": "slow down"}}),
    "broken": said(500, {"error": {"message": "boom"}}),
    "a big head": b"HTTP/1.1 201 X\r\n" + b"X-A: " + b"a" * 200_000 + b"\r\n\r\n",
    "a big body": b"HTTP/1.1 201 X\r\nContent-Length: 99999999999\r\n\r\n" + b" " * (MAX_ANSWER + 200_000),
    "two lengths": b"HTTP/1.1 201 X\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "other text": said(201, TOKEN, "X-Subject-Token: gAAA").replace(b"alice", b"al\xff\xfee"),
}


@pytest.mark.parametrize("what", list(RUBBISH))
def test_nonsense_is_an_error_of_the_directory(stage: Stage, what: str) -> None:
    stage.play, stage.hangs_up = instead("POST", RUBBISH[what]), True
    with pytest.raises(DirectoryError) as caught:
        stage.open().authenticate(ALICE, "right")
    assert not isinstance(caught.value, DirectoryRefused)
    assert len(caught.value.detail) < 1000 and "right" not in caught.value.detail


def test_what_somebody_typed_opens_no_breaker(stage: Stage) -> None:
    """A 400 is no sign that Keystone is down."""
    stage.play = instead("POST", said(400, {"error": {"message": "what?"}}))
    with pytest.raises(DirectoryRefused):
        stage.open().authenticate(ALICE, "right")


@pytest.mark.parametrize(
    "groups", [{"groups": {}}, {}, [], {"groups": [1, None, {"name": 5}, {}]}, {"groups": [], "truncated": True}]
)
def test_lists_of_any_form_and_such_as_are_not_whole(stage: Stage, groups: Any) -> None:
    stage.play = instead("GET /v3/users/a1/groups", said(200, groups))
    rows = groups.get("groups") if isinstance(groups, dict) else None
    if rows and isinstance(rows, list):
        assert stage.open().authenticate(ALICE, "right").standing is Standing.OK
    else:
        with pytest.raises(DirectoryError):
            stage.open().authenticate(ALICE, "right")


@pytest.mark.parametrize("question", ["POST", "GET", "DELETE"])
def test_silence_ends_in_time(stage: Stage, question: str) -> None:
    stage.play = instead(question, None)
    driver, began = stage.open(timeout=1), time.monotonic()
    if question == "DELETE":
        assert driver.authenticate(ALICE, "right").standing is Standing.OK
    else:
        with pytest.raises(DirectoryError):
            driver.authenticate(ALICE, "right")
    assert time.monotonic() - began < 30


def test_an_answer_that_drips_ends_in_time(authority: Authority, tmp_path: Path) -> None:
    """Each piece comes soon, the whole of it never: in the head and in the body."""
    certificate, key = authority.issue("drip", "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    for head in (b"HTTP/1.1 201 X\r\nX-A: ", b"HTTP/1.1 201 X\r\nContent-Length: 1000000\r\n\r\n"):
        listener = socket.create_server(("127.0.0.1", 0))

        def drip(listener: socket.socket = listener, head: bytes = head) -> None:
            with suppress(OSError), listener.accept()[0] as client, tls.wrap_socket(client, server_side=True) as secure:
                secure.recv(65536)
                secure.sendall(head)
                while True:
                    secure.sendall(b" ")
                    time.sleep(0.05)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        stage = Stage(listener.getsockname()[1], authority.pem)
        began = time.monotonic()
        with pytest.raises(DirectoryError):
            stage.open(timeout=1).authenticate(ALICE, "right")
        assert time.monotonic() - began < 30
        listener.close()
        thread.join(60)


def test_a_kept_connection_that_was_closed_is_opened_anew(stage: Stage) -> None:
    """It hangs up after each answer, without a word."""
    count = iter(range(1000))
    stage.play = lambda line, body: well(line, body) if next(count) % 2 == 0 else b""
    assert stage.open().authenticate(ALICE, "right").standing is Standing.OK
    assert stage.connections > 1


def test_informational_answers_and_chunks_are_read(stage: Stage) -> None:
    data = json.dumps(TOKEN).encode()
    chunked = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\nX-Subject-Token: gAAA\r\n\r\n"
    )
    chunked += (
        b"".join(b"%x\r\n%b\r\n" % (len(data[at : at + 7]), data[at : at + 7]) for at in range(0, len(data), 7))
        + b"0\r\n\r\n"
    )
    stage.play = instead("POST", chunked)
    assert stage.open().authenticate(ALICE, "right").standing is Standing.OK


SERVICE = {"service": "password", "service_account": "svc", "service_secret": "Geheim-42"}


def test_the_service_accounts_token_is_kept_and_renewed(stage: Stage) -> None:
    stage.play = well
    driver = stage.open(**SERVICE)
    for _ in range(3):
        assert driver.look(["alice"])["alice"] is not None
    assert stage.asked.count("POST /v3/auth/tokens") == 1
    stale = iter([refused("The request you have made requires authentication.")])
    stage.play = lambda line, body: (
        next(stale, None) or well(line, body) if line.startswith("GET /v3/users?") else well(line, body)
    )
    assert driver.look(["alice"])["alice"] is not None
    assert stage.asked.count("POST /v3/auth/tokens") == 2
    driver.close()
    driver.look(["alice"])
    assert stage.asked.count("POST /v3/auth/tokens") == 3


@pytest.mark.parametrize(
    "whole", [said(200, {"users": [], "truncated": True}), b"HTTP/1.1 200 X\r\n\r\n" + b" " * (MAX_ANSWER + 200_000)], ids=["cut", "long"]
)  # fmt: skip
def test_where_all_users_are_too_many_each_is_looked_up(stage: Stage, whole: bytes) -> None:
    """And all of them are asked for no second time."""

    def play(line: str, body: bytes) -> bytes:
        if line.startswith("GET /v3/users?") and "name=" not in line:
            stage.hangs_up = True
            return whole
        found = [USER] if "name=alice" in line else []
        return said(200, {"users": found}) if line.startswith("GET /v3/users?") else well(line, body)

    stage.play = play
    driver = stage.open(**SERVICE)
    names = ["alice", *(f"nobody{at}" for at in range(20))]
    for _ in range(2):
        found = driver.look(names)
        assert [name for name in names if found[name] is not None] == ["alice"]
    assert sum(line.startswith("GET /v3/users?") and "name=" not in line for line in stage.asked) == 1


def test_a_service_account_that_is_refused_or_may_not_read(stage: Stage) -> None:
    stage.play = instead("POST", refused("no"))
    with pytest.raises(DirectoryError, match="does not accept the service account") as caught:
        stage.open(**SERVICE).authenticate(ALICE, "right")
    assert "Geheim-42" not in f"{caught.value.detail} {caught.value.sentence}"
    stage.play = instead("GET /v3/users?", said(403, {"error": {"message": "You are not authorized."}}))
    states = {one.name: one.state for one in stage.open(**SERVICE).check() if one.name != "Keystone"}
    assert states == {}  # the version was not told: nothing further is asked
    versions = said(200, {"version": {"id": "v3.14"}})
    stage.play = lambda line, body: (
        versions if line == "GET /v3" else instead("GET /v3/users?", said(403, {}))(line, body)
    )
    states = {one.name: one.state for one in stage.open(**SERVICE).check()}
    assert states == {"Keystone": "granted", "service account": "granted", "people": "missing"}


def test_a_service_account_of_another_domain_is_told_to_give_the_id(stage: Stage) -> None:
    stage.play = well
    with pytest.raises(DirectoryError, match="domain's id"):
        stage.open(**SERVICE, domain="Elsewhere").look(["alice"])


def test_an_unknown_name_takes_as_many_questions_as_a_known_one(stage: Stage) -> None:
    """And its password goes nowhere."""
    asked = []
    for rows in ([USER], []):
        stage.play = lambda line, body, rows=rows: (  # type: ignore[misc]
            said(200, {"users": rows}) if line.startswith("GET /v3/users?")
            else well(line, body) if b"svc" in body else refused("no") if line.startswith("POST") else well(line, body)
        )  # fmt: skip
        driver = stage.open(**SERVICE)
        driver.look(["alice"])  # logs the service account in
        stage.asked.clear(), stage.bodies.clear()
        standing = driver.authenticate(ALICE, "S3cret-Typed").standing
        assert standing is (Standing.WRONG if rows else Standing.UNKNOWN)
        asked.append([line.partition("?")[0] for line in stage.asked])
        assert any(b"S3cret-Typed" in body for body in stage.bodies) is bool(rows)
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    "settings",
    [{}, {"auth_url": "http://keystone.test/v3"}, {"auth_url": "https://keystone.test/v2.0"}, {"auth_url": "https://u:p@keystone.test"},
     {"auth_url": "ftp://x"}, {"domain": " "}, {"service": "password"}, {"service": "password", "service_account": "x"},
     {"projects": "roles"}, {"timeout": 0}, {"timeout": 61}, {"ca_certificates": "no"}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_used_are_named(settings: dict[str, Any]) -> None:
    good = {"auth_url": "https://keystone.test:5000/v3"} if settings else {}
    with pytest.raises(Invalid) as caught:
        Keystone(KeystoneSettings(**{**good, **settings}), DirectoryContext())
    assert set(caught.value.fields) <= {*settings, "auth_url", "service_account", "service_secret"}
    assert caught.value.fields


@pytest.mark.parametrize(
    ("typed", "path"),
    [("https://k.test", "/v3"), ("https://k.test:5000/", "/v3"), ("https://k.test/identity", "/identity/v3"),
     ("https://k.test/identity/v3/", "/identity/v3"), ("https://k.test/v3", "/v3")],
)  # fmt: skip
def test_the_address_ends_with_the_version(typed: str, path: str) -> None:
    assert address_of(KeystoneSettings(auth_url=typed)).path == path


def test_addresses_that_are_not_to_be_reached_are_not(stage: Stage) -> None:
    """By the rules of every address that is typed."""
    for address in (f"https://localhost:{stage.port}", "https://169.254.169.254/v3"):
        driver = Keystone(KeystoneSettings(auth_url=address, ca_certificates=stage.pem, timeout=5), DirectoryContext())
        with pytest.raises(DirectoryError, match="does not connect"):
            driver.authenticate(ALICE, "right")
    assert stage.connections == 0


def test_another_authority_is_not_trusted(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match="not trusted"):
        stage.open(ca_certificates=Authority(tmp_path).pem).authenticate(ALICE, "right")
    assert stage.asked == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "receipt", "user", "id", "name", "token"]), inner, max_size=3
        )
    ),
)


@given(st.sampled_from([200, 201, 204, 300, 400, 401, 403, 404, 429, 500]), JSON, st.booleans())
def test_any_json_is_an_answer_or_our_error(status: int, body: Any, receipt: bool) -> None:
    class Told:
        def ask(self, *_: Any, **__: Any) -> Answer:
            return Answer(status, {"openstack-auth-receipt": "x", "x-subject-token": "t"} if receipt else {}, body)

    talk: Any = Told()
    for ask in (
        lambda: keystone_api.log_in(talk, {}),
        lambda: keystone_api.listed(talk, "t", "/users", "users"),
        lambda: keystone_api.read(talk, "t", "/x"),
        lambda: keystone_api.revoke(talk, "t"),
    ):
        with suppress(DirectoryError):
            ask()
