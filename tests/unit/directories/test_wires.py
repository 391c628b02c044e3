"""What directories send us is read within bounds, whatever it is: only our own errors come of it, and soon."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import sansldap
from hypothesis import given
from hypothesis import strategies as st

from portico.directories import ldap_search, nis_wire
from portico.directories.active_directory import ActiveDirectory, ActiveDirectorySettings
from portico.directories.deadline import Deadline
from portico.directories.group_memory import MOST, GroupMemory
from portico.directories.ldap_settings import read_servers
from portico.directories.ldap_wire import MAX_MESSAGE, Answer, Connection, Server
from portico.directories.open_ldap import OpenLdap, OpenLdapSettings, _policy_error
from portico.domain.directories import Standing
from portico.errors import DirectoryError, Invalid
from portico.ports.directory import DirectoryContext

pytestmark = pytest.mark.capability("S042", "S043", "S044")
EVERYBODY = sansldap.FilterPresent("objectClass")


def answered(data: bytes, ask: Callable[[Connection], Any]) -> Any:
    """Ask a server that answers with these bytes and hangs up."""
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.shutdown(socket.SHUT_WR)
    try:
        return ask(Connection(ours))
    finally:
        ours.close()
        theirs.close()


def search(connection: Connection) -> Any:
    return connection.search("dc=x", EVERYBODY, ["cn"], Deadline(5))


def entries(number: int = 2) -> bytes:
    """A right answer to a search: some entries, a reference, and the end."""
    server = sansldap.LDAPServer()
    client = sansldap.LDAPClient()
    client.search_request("dc=x", filter=EVERYBODY)
    server.receive(client.data_to_send())
    for at in range(number):
        server.search_result_entry(1, f"cn=p{at},dc=x", [sansldap.PartialAttribute("cn", [b"p", b"\xff\xfe"])])
    server.search_result_reference(1, ["ldap://elsewhere.test/dc=x"])
    server.search_result_done(1)
    return server.data_to_send()


def test_entries_are_read_and_references_left_out() -> None:
    found = answered(entries(), search)
    assert [one.dn for one in found] == ["cn=p0,dc=x", "cn=p1,dc=x"]
    assert found[0].texts("CN") == ("p",)  # what is no text is no text


@given(st.binary(max_size=300))
def test_any_bytes_end_in_our_error(data: bytes) -> None:
    for ask in (
        search,
        lambda one: one.bind("cn=x", "y", Deadline(5)),
        lambda one: one.modify("cn=x", [("add", "a", b"b")], Deadline(5)),
    ):
        with pytest.raises(DirectoryError):
            answered(data, ask)


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4), st.integers(0, 4))
def test_right_answers_with_some_bytes_changed(place: int, bytes_: bytes, drop: int) -> None:
    whole = bytearray(entries())
    place %= len(whole)
    whole[place : place + drop] = bytes_
    try:
        found = answered(bytes(whole), search)
    except DirectoryError:
        return
    assert all(isinstance(one.dn, str) for one in found)


@pytest.mark.parametrize(
    "data",
    [b"\x30\x84" + (MAX_MESSAGE + 1).to_bytes(4, "big"), b"\x30\x80", b"\x30\x89" + b"\xff" * 9, b"\x30\x84\x00\x00\x00\xff" + b"\x30" * 254,
     b"\x30" * 5000, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x30\x82\xff\xff" + b"\xa0\x80" * 32_000],
    ids=range(8),
)  # fmt: skip
def test_lengths_and_depths_without_bound(data: bytes) -> None:
    with pytest.raises(DirectoryError):
        answered(data, search)


def test_a_server_that_drips_is_waited_for_no_longer_than_allowed() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"\x30")
    began = time.monotonic()
    with pytest.raises(DirectoryError):
        Connection(ours).search("dc=x", EVERYBODY, ["cn"], Deadline(0.2))
    assert time.monotonic() - began < 30
    theirs.close()


def test_an_empty_name_or_password_reaches_no_server() -> None:
    ours, theirs = socket.socketpair()
    connection = Connection(ours)
    assert connection.bind("", "x", Deadline(5)).code == connection.bind("cn=x", "", Deadline(5)).code == 49
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    ours.close()
    theirs.close()


@given(st.binary(max_size=60))
def test_any_policy_control_is_read_or_ignored(value: bytes) -> None:
    assert _policy_error(value) in (None, Standing.EXPIRED, Standing.LOCKED, Standing.MUST_CHANGE)


@given(st.text(max_size=120))
def test_any_text_of_a_refused_bind_is_a_standing(text: str) -> None:
    settings = ActiveDirectorySettings(servers="ldaps://x.test", base="dc=x", bind_name="s", bind_password="p")
    driver = ActiveDirectory(settings, DirectoryContext())
    assert driver.standing(Answer(49, text)) in Standing
    with pytest.raises(DirectoryError):
        driver.standing(Answer(52, text))


@pytest.mark.parametrize(
    ("code", "standing"),
    [("52e", Standing.WRONG), ("525", Standing.WRONG), ("530", Standing.HOURS), ("531", Standing.WORKSTATION), ("532", Standing.EXPIRED),
     ("533", Standing.DISABLED), ("701", Standing.ACCOUNT_EXPIRED), ("773", Standing.MUST_CHANGE), ("775", Standing.LOCKED), ("999", Standing.WRONG)],
)  # fmt: skip
def test_the_sub_codes_of_active_directory(code: str, standing: Standing) -> None:
    settings = ActiveDirectorySettings(servers="ldaps://x.test", base="dc=x", bind_name="s", bind_password="p")
    text = f"80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {code}, v1db1"
    assert ActiveDirectory(settings, DirectoryContext()).standing(Answer(49, text)) is standing


@pytest.mark.parametrize(
    "settings",
    [{}, {"servers": "http://x"}, {"servers": "ldaps://"}, {"servers": "ldaps://x:99999"}, {"servers": "ldaps://u@x"}, {"base": ""},
     {"bind_name": ""}, {"match": " , "}, {"people": "(("}, {"people": "x"}, {"timeout": 0}, {"timeout": 61}, {"ca_certificates": "no"}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_used_are_named(settings: dict[str, Any]) -> None:
    good: dict[str, Any] = {"servers": "ldaps://x.test", "base": "dc=x", "bind_name": "s"}
    with pytest.raises(Invalid) as caught:
        OpenLdap(OpenLdapSettings(**({**good, **settings} if settings else {})), DirectoryContext())
    assert caught.value.fields


def test_servers_are_read_with_their_way_to_tls() -> None:
    text = "ldaps://One.test\n# none\n\nldap://two.test\nldaps://[::1]:1636\nthree.test"
    found = read_servers(OpenLdapSettings(servers=text))
    assert [(one.host, one.port, one.tls) for one in found] == [
        ("one.test", 636, "ldaps"), ("two.test", 389, "starttls"), ("::1", 1636, "ldaps"), ("three.test", 636, "ldaps"),
    ]  # fmt: skip


# --- NIS


def rpc(data: bytes, ask: Callable[[nis_wire.Connect], Any]) -> Any:
    """Ask a server that answers with these bytes and hangs up."""
    pairs = []

    def connect(port: int, reserved: bool) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        pairs.append(theirs)
        return ours

    try:
        return ask(connect)
    finally:
        for one in pairs:
            one.close()


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_of_an_rpc_server_end_in_our_error(data: bytes, framed: bool) -> None:
    sent = struct.pack(">I", nis_wire.LAST_FRAGMENT | len(data)) + data if framed else data
    for ask in (
        lambda connect: nis_wire.port_of(connect, Deadline(5)),
        lambda connect: nis_wire.match(connect, 1, ("d", "m", "k"), Deadline(5)),
        lambda connect: list(nis_wire.everything(connect, 1, ("d", "m"), Deadline(5))),
    ):
        with pytest.raises(DirectoryError):
            rpc(sent, ask)


@given(st.binary(max_size=200))
def test_any_body_of_a_right_reply_is_read_within_its_end(body: bytes) -> None:
    """The number of a call is random, so the reply's head is made by hand: its result alone is anything."""
    try:
        nis_wire._string(body, 0)
    except DirectoryError:
        return


def test_fragments_without_end_stop_at_a_bound() -> None:
    one = struct.pack(">I", 0x00FF_FFFF) + b"\0" * 0x00FF_FFFF

    class Endless:
        def settimeout(self, seconds: float) -> None: ...

        def recv(self, wanted: int) -> bytes:
            nonlocal sent
            piece = one[sent % len(one) :][:wanted]
            sent += len(piece)
            return piece

    sent = 0
    with pytest.raises(DirectoryError, match="too long"):
        nis_wire._record(Endless(), Deadline(60))  # type: ignore[arg-type]


@pytest.mark.parametrize("behind", [b"", b"x", None])
def test_what_comes_in_clear_behind_the_answer_to_starttls_ends_the_connection(behind: bytes | None) -> None:
    """It would count as said under TLS. `None`: a whole answer to what will be asked next."""
    server, client = sansldap.LDAPServer(), sansldap.LDAPClient()
    client.extended_request("1.3.6.1.4.1.1466.20037")
    server.receive(client.data_to_send())
    server.extended_response(1)
    answer = server.data_to_send()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        theirs, _ = listener.accept()
        with theirs:
            theirs.recv(4096)
            theirs.sendall(answer + (answer if behind is None else behind))
            theirs.recv(4096)  # TLS begins, or they leave

    thread = threading.Thread(target=serve)
    thread.start()
    place = Server("127.0.0.1", listener.getsockname()[1], "starttls")
    with pytest.raises(DirectoryError) as caught:
        Connection.open(place, ssl.create_default_context(), lambda host: [host], Deadline(30))
    assert ("more than an answer" in caught.value.detail) is (behind != b"")
    thread.join(30)
    listener.close()


@given(
    st.lists(st.tuples(st.text("ab\xe9*()\\\0", max_size=200), st.binary(max_size=200)), min_size=1, max_size=5),
    st.integers(0, 70_000), st.integers(1, 2**31 - 1), st.binary(max_size=300),
)  # fmt: skip
def test_searches_are_written_as_the_form_is(
    tests: list[tuple[str, bytes]], most: int, number: int, cookie: bytes
) -> None:
    """Another's reader finds in them what was put in."""
    equal: list[sansldap.LDAPFilter] = [sansldap.FilterEquality(name or "a", value) for name, value in tests]
    where = sansldap.FilterAnd(
        [sansldap.FilterOr(equal), EVERYBODY, sansldap.FilterNot(sansldap.FilterSubstrings("a", b"x", [b"y"], None))]
    )
    wanted = ldap_search.Wanted("dc=\xe9", 2, where, ["cn", "uid"], most, 7, 500)
    (read,) = sansldap.LDAPServer().receive(ldap_search.request(number, wanted, cookie))
    assert isinstance(read, sansldap.SearchRequest)
    assert (read.message_id, read.base_object, read.scope, read.filter) == (
        number,
        "dc=\xe9",
        sansldap.SearchScope.SUBTREE,
        where,
    )
    assert (read.size_limit, read.time_limit, read.attributes) == (most, 7, ["cn", "uid"])
    (control,) = read.controls
    assert isinstance(control, sansldap.PagedResultControl) and (control.size, control.cookie) == (500, cookie)


@given(st.binary(max_size=200))
def test_any_bytes_of_a_message_are_a_value_error_or_read(data: bytes) -> None:
    for start in (b"", b"\x30" + bytes((len(data) & 0x7F,)), b"\x30\x81\xff\x02\x01\x01\x64"):
        try:
            message = ldap_search.read(start + data)
            ldap_search.entry(message)
            ldap_search.done(message)
        except ValueError:
            continue


def test_what_is_remembered_of_groups_ends_and_is_bounded() -> None:
    memory = GroupMemory(3600)
    now = time.monotonic()
    memory.keep(["a"], {"b": "B"}, now)
    memory.keep(["old"], {"b": "B"}, now - 3600)
    memory.keep(["none"], {}, now)
    assert memory.find(["a", "none", "old", "other"]) == ({"b": "B"}, ["old", "other"])
    memory.keep([f"many{at}" for at in range(MOST)], {}, now)
    assert memory.find(["a", "many0"]) == ({}, ["a"])
    off = GroupMemory(0)
    off.keep(["a"], {"b": "B"}, time.monotonic())
    assert off.find(["a"]) == ({}, ["a"])


@pytest.mark.parametrize("seconds", [-1, 3601])
def test_how_long_groups_are_remembered_is_bounded(seconds: int) -> None:
    with pytest.raises(Invalid) as caught:
        OpenLdap(
            OpenLdapSettings(servers="ldaps://x.test", base="dc=x", bind_name="s", group_memory=seconds),
            DirectoryContext(),
        )
    assert "group_memory" in caught.value.fields
