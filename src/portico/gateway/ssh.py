"""The SSH door: a terminal in the browser. The host key must be one that the grant pins; the user comes with a certificate or password."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import asyncssh

from portico import logs
from portico.gateway.entry import Entry, cells
from portico.gateway.grant import Credentials, Grant
from portico.gateway.refusals import Refused
from portico.gateway.sessions import DESKTOP_CLOSED, LEFT, Session

log = logs.get(__name__)

CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 30.0
TERMINAL = "xterm-256color"


class SshDesktop(asyncssh.SSHClientSession[bytes]):
    """The desktop's end of a terminal session, and the pipe to its browser."""

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self._connection = connection
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._session: Session | None = None
        self._early: list[
            bytes
        ] = []  # what the shell says before the browser is attached; bounded, as reading is paused
        self._lost = False

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Remember the channel; the shell waits until the browser is attached."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: Any) -> None:
        """Pass on what the shell writes."""
        if self._session is None:
            self._early.append(data)
            self.pause_reading()
            return
        self._session.bytes_out += len(data)
        self._session.socket.send_bytes(data)

    def exit_status_received(self, status: int) -> None:
        """Tell the browser how the shell ended."""
        if self._session is not None:
            self._session.socket.send_object({"exit": status})

    def connection_lost(self, exc: Exception | None) -> None:
        """The shell is gone."""
        self._lost = True
        if self._session is not None:
            self._session.end(DESKTOP_CLOSED)

    def pause_writing(self) -> None:
        """Make the browser wait for the shell."""
        if self._session is not None:
            self._session.socket.pause_reading()

    def resume_writing(self) -> None:
        """Let the browser go on."""
        if self._session is not None:
            self._session.socket.resume_reading()

    def begin(self, session: Session) -> None:
        """Start the pipe."""
        self._session = session
        for data in self._early:
            self.data_received(data, None)
        self._early.clear()
        self.resume_reading()
        session.socket.attach(self)
        if self._lost:
            session.end(DESKTOP_CLOSED)

    def from_browser(self, data: bytes) -> None:
        """Take what the person types."""
        session = self._session
        if session is None or session.ended or self._channel is None or session.grant.policy.view_only:
            return
        session.bytes_in += len(data)
        session.last_input = time.monotonic()
        if not self._channel.is_closing():
            self._channel.write(data)

    def help(self, data: bytes) -> None:
        """Take what somebody types who joined the session."""
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(data)

    def command(self, fields: Mapping[str, object]) -> None:
        """Follow the size of the browser's terminal."""
        wanted = fields.get("resize")
        if isinstance(wanted, list) and len(wanted) == 2 and self._channel is not None:
            size = cells(*wanted)
            if size is not None and not self._channel.is_closing():
                self._channel.change_terminal_size(*size)

    def pause_reading(self) -> None:
        """Read no more of the shell."""
        if self._channel is not None:
            self._channel.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._channel is not None:
            self._channel.resume_reading()

    def browser_closed(self) -> None:
        """The browser is gone."""
        if self._session is not None:
            self._session.end(LEFT)

    async def start_sftp(self) -> asyncssh.SFTPClient:
        """Open SFTP over the same connection. Raises asyncssh.Error."""
        return await self._connection.start_sftp_client()

    def hang_up(self) -> None:
        """Leave the desktop."""
        self._connection.close()


async def connect(grant: Grant, entry: Entry) -> SshDesktop:
    """Connect and log in to the desktop of a grant and open a terminal there. Raises Refused."""
    try:
        options = _options(grant.credentials)
    except (asyncssh.KeyImportError, ValueError) as problem:
        raise Refused("desktop.refused", f"credentials: {problem}") from problem
    connection: asyncssh.SSHClientConnection | None = None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await asyncssh.connect(grant.host, grant.port, **options)
            desktop = SshDesktop(connection)
            await connection.create_session(
                lambda: desktop,
                term_type=TERMINAL,
                term_size=(entry.columns, entry.rows),
                encoding=None,  # bytes as they are: the terminal in the browser decodes across the borders of messages
                env={"LANG": "C.UTF-8"},
            )
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as problem:
        raise Refused("desktop.refused", f"host key: {problem.reason}") from problem
    except (asyncssh.PermissionDenied, asyncssh.ChannelOpenError) as problem:
        _drop(connection)
        raise Refused("desktop.refused", problem.reason) from problem
    except (OSError, TimeoutError, asyncssh.Error) as problem:
        _drop(connection)
        raise Refused("desktop.unreachable", str(problem) or type(problem).__name__) from problem
    except BaseException:
        _drop(connection)
        raise
    return desktop


def _options(credentials: Credentials) -> dict[str, Any]:
    """What asyncssh needs, and nothing from the files, agents and tickets of the account that the gateway runs as."""
    host_keys = [asyncssh.import_public_key(text) for text in credentials.ssh_host_keys]
    if not host_keys:
        raise ValueError("no host key to check the desktop by")
    options: dict[str, Any] = {
        "username": credentials.username,
        "known_hosts": (host_keys, [], []),
        "config": None,
        "agent_path": None,
        "gss_host": None,
        "client_keys": None,
        "password": credentials.password or None,
        "keepalive_interval": KEEPALIVE_SECONDS,
        "keepalive_count_max": 3,
        "login_timeout": CONNECT_SECONDS,
    }
    if credentials.ssh_key:
        key = asyncssh.import_private_key(credentials.ssh_key)
        if credentials.ssh_certificate:
            options["client_keys"] = [(key, asyncssh.import_certificate(credentials.ssh_certificate))]
        else:
            options["client_keys"] = [key]
    return options


def _drop(connection: asyncssh.SSHClientConnection | None) -> None:
    if connection is not None:
        connection.abort()
