"""The client's end of a tunnel, without a gateway."""

import asyncio
from typing import Any

import pytest

from portico.connect.tunnel import _Local

pytestmark = pytest.mark.capability("S014", "S031")


class Remote:
    """What a program's bytes are given to, in order."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_closed = asyncio.Event()
        self.twice = asyncio.Event()

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        if len(self.sent) == 2:
            self.twice.set()

    def close(self) -> None:
        self.is_closed.set()


def test_what_a_program_says_before_the_tunnel_stands_comes_first() -> None:
    """Some versions of Python read although reading was paused as the connection was made."""

    async def talk() -> list[bytes]:
        connected = asyncio.Event()
        local, remote = _Local(lambda local: connected.set()), Remote()
        server = await asyncio.get_running_loop().create_server(lambda: local, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        await connected.wait()
        local.data_received(b"SSH-2.0-")  # as such a version does
        local.data_received(b"first\r\n")
        given: Any = remote
        local.attach(given)
        writer.write(b"then")
        await remote.twice.wait()
        writer.close()
        await writer.wait_closed()
        await remote.is_closed.wait()
        assert not await reader.read()
        server.close()
        return remote.sent

    assert asyncio.run(asyncio.wait_for(talk(), 30)) == [b"SSH-2.0-first\r\n", b"then"]


def test_a_program_that_left_before_closes_the_tunnel() -> None:
    """Nobody would use it."""
    local, remote = _Local(lambda local: None), Remote()
    local.connection_lost(None)
    given: Any = remote
    local.attach(given)
    assert remote.is_closed.is_set()
