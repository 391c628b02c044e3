"""Servers of a directory that die in the middle of an answer: the next one is asked, and what is broken is not used again."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sansldap
from tests.contract.directory_suite import CONTEXT

from doubles.slapd import Slapd
from portico.directories.open_ldap import OpenLdap, OpenLdapSettings
from portico.errors import DirectoryError
from portico.ports.directory import Standing, TypedName

pytestmark = pytest.mark.capability("S043", "S119")
ALICE = TypedName("alice", "alice")


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    server = Slapd()
    server.start()
    yield server
    server.wipe()


def one_entry(server: sansldap.LDAPServer, number: int) -> bytes:
    """Answer with an entry, and with no end."""
    server.search_result_entry(number, "uid=alice,dc=x", [sansldap.PartialAttribute("uid", [b"alice"])])
    return server.data_to_send()


def half_a_message(server: sansldap.LDAPServer, number: int) -> bytes:
    return one_entry(server, number)[:-7]


def nothing(server: sansldap.LDAPServer, number: int) -> bytes:
    return b""


class Dying:
    """A server that binds whoever comes, and hangs up in the middle of its answer to the first search."""

    def __init__(self, slapd: Slapd, last_words: Callable[[sansldap.LDAPServer, int], bytes]) -> None:
        certificate, key = slapd.authority.issue("dying", "localhost")
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate, key)
        self._last_words = last_words
        self.connections = self.searches = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with suppress(OSError), client, self._tls.wrap_socket(client, server_side=True) as secure:
                self.connections += 1
                self._answer(secure)

    def _answer(self, secure: ssl.SSLSocket) -> None:
        secure.settimeout(60)
        server = sansldap.LDAPServer()
        while data := secure.recv(65536):
            for message in server.receive(data):
                if isinstance(message, sansldap.BindRequest):
                    server.bind_response(message.message_id)
                    secure.sendall(server.data_to_send())
                else:
                    self.searches += 1
                    secure.sendall(self._last_words(server, message.message_id))
                    return


@contextmanager
def dying(slapd: Slapd, last_words: Callable[[sansldap.LDAPServer, int], bytes]) -> Iterator[Dying]:
    server = Dying(slapd, last_words)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        thread.join(60)


def open_driver(slapd: Slapd, *ports: int, **settings: Any) -> OpenLdap:
    servers = "\n".join(f"ldaps://localhost:{port}" for port in ports)
    return OpenLdap(OpenLdapSettings(**{**slapd.settings, "servers": servers, "timeout": 30, **settings}), CONTEXT)


@pytest.mark.parametrize("last_words", [one_entry, half_a_message, nothing])
def test_a_server_that_dies_in_mid_search_is_left_for_the_next(
    slapd: Slapd, last_words: Callable[[sansldap.LDAPServer, int], bytes]
) -> None:
    """Nobody is told of it, and the next log-in does not go there."""
    with dying(slapd, last_words) as server:
        driver = open_driver(slapd, server.port, slapd.secure)
        found = driver.authenticate(ALICE, slapd.password("alice"))
        assert found.standing is Standing.OK
        assert found.identity is not None and found.identity.attributes["dn"] != ("uid=alice,dc=x",)
        assert (server.connections, server.searches) == (1, 1)
        assert driver.authenticate(ALICE, "wrong").standing is Standing.WRONG
        assert (server.connections, server.searches) == (1, 1)
        driver.close()


@pytest.mark.parametrize("last_words", [one_entry, half_a_message, nothing])
def test_where_there_is_no_other_server_it_is_said_and_the_connection_is_not_used_again(
    slapd: Slapd, last_words: Callable[[sansldap.LDAPServer, int], bytes]
) -> None:
    with dying(slapd, last_words) as server:
        driver = open_driver(slapd, server.port)
        for number in (1, 2):
            with pytest.raises(DirectoryError, match="answers with an error, or not at all"):
                driver.authenticate(ALICE, slapd.password("alice"))
            assert (server.connections, server.searches) == (number, number)
        driver.close()


def test_a_service_account_that_is_refused_is_tried_at_one_server_alone(slapd: Slapd, tmp_path: Path) -> None:
    """Each try counts there: it may lock the account."""
    with dying(slapd, nothing) as server:
        driver = open_driver(slapd, slapd.secure, server.port, bind_password="wrong")
        with pytest.raises(DirectoryError, match="does not accept the service account"):
            driver.authenticate(ALICE, slapd.password("alice"))
        assert server.connections == 0
        driver.close()


def test_time_that_is_up_is_our_error(slapd: Slapd) -> None:
    """Whatever was going on at that moment."""
    driver = open_driver(slapd, slapd.secure, timeout=1)
    for _ in range(60):  # a second may be short on a loaded machine: until connections are kept
        with suppress(DirectoryError):
            if driver.authenticate(ALICE, slapd.password("alice")).standing is Standing.OK:
                break
    slapd.pause()
    try:
        for _ in range(2):
            with pytest.raises(DirectoryError):
                driver.authenticate(ALICE, slapd.password("alice"))
            with pytest.raises(DirectoryError):
                driver.change_password(ALICE, slapd.password("alice"), "An0ther-Passw0rd")
    finally:
        slapd.go_on()
    driver.close()
