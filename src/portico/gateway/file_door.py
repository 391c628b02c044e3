"""The door `/gw/files`: opened by a secret that a living terminal session gave its page, closed with that session."""

import asyncio
import secrets
from collections.abc import Callable

import asyncssh

from portico import logs
from portico.gateway.entry import BadEntry, parse_object
from portico.gateway.sessions import Session
from portico.gateway.ssh import SshDesktop
from portico.gateway.transfers import Transfers
from portico.gateway.websocket import Socket, SocketClosed

log = logs.get(__name__)

ENTRY_SECONDS = 10.0
SFTP_SECONDS = 15.0
MAX_DOORS = 4  # of one session at one time

OnFile = Callable[[Session, str, str, int], None]  # session, "in" | "out", name, bytes


class FileDoor:
    """Secrets of living sessions, and the browsers that came with them."""

    def __init__(self, most: int, on_file: OnFile) -> None:
        self._most, self._on_file = most, on_file
        self._open: dict[str, tuple[Session, SshDesktop]] = {}
        self._inside: dict[str, set[Socket]] = {}

    def admit(self, session: Session, desktop: SshDesktop, secret: str) -> None:
        """Let a session's page in with this secret, until the session ends."""
        self._open[secret] = (session, desktop)

    @staticmethod
    def secret() -> str:
        """Return what a page is given."""
        return secrets.token_urlsafe(24)

    def sweep(self) -> None:
        """Forget the sessions that have ended, and close what they had open."""
        for secret, (session, _) in list(self._open.items()):
            if session.ended:
                del self._open[secret]
                for socket in self._inside.pop(secret, set()):
                    socket.close_for("session.ended")

    async def serve(self, socket: Socket) -> None:
        """Serve one browser to its end."""
        try:
            secret = await self._entry(socket)
            found = self._open.get(secret)
            inside = self._inside.setdefault(secret, set()) if found is not None else set()
            if found is None or found[0].ended or len(inside) >= MAX_DOORS:
                socket.send_object({"error": "ticket.invalid"})
                socket.close_for("ticket.invalid")
                return
            inside.add(socket)
            try:
                await self._transfers(socket, *found)
            finally:
                inside.discard(socket)
        except SocketClosed:
            return
        except (asyncssh.Error, OSError, TimeoutError) as problem:
            log.info("no files of this desktop", because=str(getattr(problem, "reason", "") or problem))
            socket.send_object({"error": "desktop.refused"})
            socket.close_for("desktop.refused")
        except Exception:
            log.exception("a transfer failed")
            socket.close(1011, "internal error")

    async def _entry(self, socket: Socket) -> str:
        try:
            async with asyncio.timeout(ENTRY_SECONDS):
                message = await socket.receive()
            secret = parse_object(message).get("session") if isinstance(message, str) else None
        except (BadEntry, TimeoutError):
            secret = None
        return secret if isinstance(secret, str) else ""

    async def _transfers(self, socket: Socket, session: Session, desktop: SshDesktop) -> None:
        async with asyncio.timeout(SFTP_SECONDS):
            sftp = await desktop.start_sftp()
        try:
            policy = session.grant.policy
            transfers = Transfers(
                socket, sftp, policy, self._most, lambda way, name, size: self._on_file(session, way, name, size)
            )
            home = await sftp.realpath(".")
            writes = policy.files_in and not policy.view_only
            socket.send_object(
                {"ok": True, "home": home, "files_in": writes, "files_out": policy.files_out, "most": self._most}
            )
            socket.attach(transfers)
            await transfers.run()
        finally:
            sftp.exit()
