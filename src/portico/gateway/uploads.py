"""Sending finished recordings to a broker, in pieces; what a kill left is sent after the next start."""

import asyncio
import hashlib
from http import HTTPStatus
from pathlib import Path

from portico import logs
from portico.errors import Unavailable
from portico.gateway.broker import Broker
from portico.gateway.recording import READY, Recorders

log = logs.get(__name__)

PIECE = 512 * 1024
RETRY_SECONDS = 5.0
LOOK_SECONDS = 60.0
UNKNOWN = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.CONFLICT)


class Uploads:
    """The one task that sends, file after file."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look again: a recording is ready."""
        self._wake.set()

    async def run(self, recorders: Recorders) -> None:
        """Send for ever."""
        while True:
            self._wake.clear()
            try:
                await self.send_all(recorders)
            except (Unavailable, OSError) as problem:
                log.warning("recordings wait for a broker", because=getattr(problem, "detail", "") or str(problem))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def send_all(self, recorders: Recorders) -> None:
        """Send what is ready. Raises Unavailable, OSError."""
        for path in sorted(recorders.folder.glob(f"*{READY}")):
            size = path.stat().st_size
            if await self._send(path, size):
                recorders.sent(path)
            else:
                recorders.set_aside(path)

    async def _send(self, path: Path, size: int) -> bool:
        """Send one; False when it cannot be taken and stays for somebody to look at."""
        offset, digest = 0, await asyncio.to_thread(_digest, path)
        with path.open("rb") as file:
            while True:
                file.seek(offset)
                content = file.read(PIECE)
                end = offset + len(content) >= size
                answer = await self._broker.upload(path.stem, offset, content, digest if end else "")
                if answer.status in UNKNOWN:
                    log.error("a broker does not know a recording", recording=path.stem, status=answer.status)
                    return False
                have = answer.fields.get("size")
                if answer.status != HTTPStatus.OK or not isinstance(have, int) or not 0 <= have <= size:
                    raise Unavailable("The broker does not take recordings.", f"HTTP {answer.status}")
                if answer.fields.get("done") is True:
                    log.info("recording sent", recording=path.stem, bytes=size)
                    return True
                if have == offset or (end and have == 0):
                    raise Unavailable("The broker does not go on with a recording.", path.stem)
                offset = have


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
