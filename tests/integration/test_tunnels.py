"""Tunnels: real clients through the gateway's own port, bound to a ticket, counted as one session, and ended like any other."""

import asyncio
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.fleet import CLIENT, Fleet
from tests.integration.test_gateway import ORIGIN, Lab, close_code, folder, lab  # noqa: F401

from doubles.desktops import SshServer
from portico.connect.tunnel import Refused, Tunnel
from portico.errors import Conflict
from portico.services import connect, gateways, one_time, tunnels
from portico.services.connect import Connecting
from portico.wire.tickets import ENTRY, SESSION, TUNNEL

pytestmark = pytest.mark.capability("S014", "S016", "S031", "S068")
DEVICE = replace(CLIENT, kind="connect", tunnels=True)


class Way:
    """The client's end, in a thread of its own."""

    def __init__(self, lab: Lab, name: str, ticket: str) -> None:  # noqa: F811
        self.refused: list[Refused] = []
        url = f"wss://127.0.0.1:{lab.gateway.port}/gw/tunnel"
        self._tunnel = Tunnel(url, ORIGIN, ticket, lab.trust, self.refused.append)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._tunnel.listen("127.0.0.1", 0), self._loop).result(10)
        self.port = self._tunnel.port

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), 20)
        client.settimeout(20)
        return client

    def stop(self) -> None:
        async def end() -> None:
            self._tunnel.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def way(lab: Lab) -> Iterator[Callable[..., Way]]:  # noqa: F811
    made: list[Way] = []

    def open_way(name: str, port: int, *, use: str = TUNNEL, protocol: str = "ssh", **policy: Any) -> Way:
        lab.broker.grant(name, protocol, "127.0.0.1", port, {"username": "", "password": ""}, **policy)
        lab.broker.reusable.add(name)
        made.append(Way(lab, name, lab.broker.ticket(name, protocol, use=use)))
        return made[-1]

    yield open_way
    for one in made:
        one.stop()


@pytest.fixture
def echo() -> Iterator[int]:
    """A port of a desktop that answers what it is sent, and closes when it is told so."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client:
            while (data := client.recv(65536)) and data != b"bye":
                client.sendall(data)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def test_ssh_logs_in_through_it(way: Callable[..., Way], tmp_path: Path) -> None:
    """OpenSSH's own client, with its own key exchange end to end; what it types lands on the desktop."""
    server = SshServer(tmp_path / "ssh")
    try:
        there = way("ssh", server.port)
        key = tmp_path / "key"
        known = server.credentials
        key.write_text(known["ssh_key"])
        key.chmod(0o600)
        (tmp_path / "key-cert.pub").write_text(known["ssh_certificate"])
        options = [
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            f"UserKnownHostsFile={tmp_path}/known",
            "-o",
            "BatchMode=yes",
        ]
        command = [
            "ssh",
            *options,
            "-F",
            "none",
            "-i",
            str(key),
            "-p",
            str(there.port),
            f"{known['username']}@127.0.0.1",
        ]
        done = subprocess.run(
            [*command, "echo through-$((6*7))"], capture_output=True, text=True, timeout=60, check=False
        )
        assert "through-42" in done.stdout, done.stderr
    finally:
        server.stop()


def test_all_its_connections_are_one_session(lab: Lab, way: Callable[..., Way], echo: int) -> None:  # noqa: F811
    """Several at a time; the session begins with the first and ends with the last, with the bytes of all, and may begin again."""
    there = way("many", echo)
    clients = [there.connect() for _ in range(3)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number * 100_000)
        got = b""
        while len(got) < 100_000:
            got += client.recv(65536)
        assert got == b"%d" % number * 100_000

    def told(kind: str) -> list[dict[str, Any]]:
        return [one for one in lab.broker.events(kind) if one["connection"] == "many"]

    lab.broker.wait_for(lambda: told("opened"))
    clients[0].sendall(b"bye")
    assert clients[0].recv(10) == b""  # the desktop closed it, so that the client is told
    assert not told("closed")
    for client in clients:
        client.close()
    closed = lab.broker.wait_for(lambda: told("closed"))[0]
    assert closed["reason"] == "browser.left" and closed["bytes_out"] == 300_000 and closed["bytes_in"] == 300_003
    with closing(there.connect()) as again:
        again.sendall(b"again")
        assert again.recv(10) == b"again"
        lab.broker.wait_for(lambda: len(told("opened")) == 2)
        lab.broker.tell(kind="close", connection="many", reason="closed.by_administrator")
        assert again.recv(10) == b""


def test_a_slow_reader_makes_the_desktop_wait(lab: Lab, way: Callable[..., Way]) -> None:  # noqa: F811
    """Nothing piles up in the gateway."""
    listener = socket.create_server(("127.0.0.1", 0))
    there = way("slow", listener.getsockname()[1])
    with closing(there.connect()), closing(listener):
        desktop, _ = listener.accept()
        desktop.setblocking(False)
        before, sent, quiet = lab.gateway.memory_kib(), 0, 0
        while quiet < 20 and sent < 256 << 20:
            try:
                sent += desktop.send(bytes(1 << 16))
                quiet = 0
            except BlockingIOError:
                quiet += 1
                threading.Event().wait(0.05)
        desktop.close()
        assert sent < 64 << 20 and lab.gateway.memory_kib() - before < 16 << 10


@pytest.mark.parametrize("policy", [{"clipboard_out": False}, {"view_only": True}, {"drives": False}])
def test_a_policy_that_nobody_could_hold_to_gets_none(
    way: Callable[..., Way], echo: int, policy: dict[str, Any]
) -> None:
    """The program is cut off, and its person told."""
    there = way("bound", echo, **policy)
    with closing(there.connect()) as client:
        assert client.recv(10) == b""
    assert [refusal.code for refusal in there.refused] == ["desktop.refused"]


@pytest.mark.parametrize("use", [ENTRY, SESSION])
def test_other_tickets_open_no_tunnel_and_a_tunnels_opens_no_page(
    lab: Lab,  # noqa: F811
    way: Callable[..., Way],
    echo: int,
    use: str,
) -> None:
    """Each kind of ticket is for its own door."""
    there = way("other", echo, use=use)
    with closing(there.connect()) as client:
        assert client.recv(10) == b""
    assert there.refused[0].code == "ticket.invalid"
    lab.broker.grant("page", "vnc", "127.0.0.1", echo, {"username": ""})
    assert lab.refused("vnc", lab.broker.ticket("page", use=TUNNEL))[0] == "ticket.invalid"


def test_a_desktop_that_is_not_there(way: Callable[..., Way]) -> None:
    """Is named to the person."""
    there = way("gone", 1)
    with closing(there.connect()) as client:
        assert client.recv(10) == b""
    assert there.refused[0].code == "desktop.unreachable" and "does not answer" in str(there.refused[0])


def test_a_first_message_that_is_none_is_refused(lab: Lab) -> None:  # noqa: F811
    """As at every door."""
    client = lab.open("tunnel")
    client.send(b"\x00" * 100)
    assert json.loads(client.recv(timeout=20))["error"] == "ticket.invalid" and close_code(client) == 4001
    assert isinstance(lab.trust, ssl.SSLContext)


def test_the_broker_knows_a_tunnel_as_a_connection(fleet: Fleet) -> None:
    """No port is asked for; the ticket is good again from the same address, not from another; an end by an administrator stays one."""
    fleet.desktops(1)
    line, me, gateway = fleet.line(fleet.pool()), fleet.log_in(), fleet.gateway()
    got = connect.connect(fleet.broker, me, f"{line}.0", DEVICE, "vnc")
    assert isinstance(got, Connecting) and (got.state, got.address, got.launch) == ("ready", "", None)
    given = tunnels.ticket(fleet.broker, me, got.id)
    assert given["url"] == "/gw/tunnel"
    asked = {"ticket": given["ticket"], "client_address": "192.0.2.7"}
    first = gateways.redeem(fleet.broker, fleet.again(gateway), asked)
    again = gateways.redeem(fleet.broker, fleet.again(gateway), asked)
    assert first["credentials"] == {"username": "", "password": ""} and first["entry"] != again["entry"]
    with pytest.raises(Conflict):
        gateways.redeem(fleet.broker, fleet.again(gateway), {**asked, "client_address": "192.0.2.8"})
    told = [
        {"kind": kind, "connection": got.id, "entry": again["entry"], "sequence": number, "reason": "browser.left"}
        for number, kind in enumerate(("opened", "closed"), 1)
    ]
    gateways.report(fleet.broker, fleet.again(gateway), {"boot_id": "b", "events": told, "live": []})
    assert connect.view(fleet.broker, me, got.id).state == "closed"
    gateways.redeem(fleet.broker, fleet.again(gateway), asked)
    connect.disconnect(fleet.broker, me, got.id)
    with pytest.raises(gateways.Gone):
        gateways.redeem(fleet.broker, fleet.again(gateway), asked)
    browser = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(browser, Connecting)
    with pytest.raises(Conflict):
        tunnels.ticket(fleet.broker, me, browser.id)
    with pytest.raises(Conflict):
        one_time.make(fleet.broker, me, browser.id)
