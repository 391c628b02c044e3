"""A listener's certificate that changes while sessions live: new handshakes get the new one, and what stands is not touched."""

import asyncio
import ssl
from pathlib import Path

from portico import logs
from portico.errors import Invalid
from portico.gateway.trust import server_context

log = logs.get(__name__)

LOOK_SECONDS = 2.0


class Certificates:
    """The PEM files of certificate and key, and the contexts that were made of them. Raises Invalid when they cannot be used."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key
        self._contexts: list[ssl.SSLContext] = []
        self._mark = self._look()

    def context(self) -> ssl.SSLContext:
        """Return a server context that follows the files."""
        self._contexts.append(server_context(self._certificate, self._key))
        return self._contexts[-1]

    async def follow(self) -> None:
        """Look at the files for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.reload()

    def reload(self) -> bool:
        """Take new files, if there are; those that do not fit together are left, and looked at again when they change."""
        mark = self._look()
        if mark == self._mark:
            return False
        self._mark = mark
        try:
            server_context(self._certificate, self._key)  # a context that takes only half would serve nobody
            for context in self._contexts:
                context.load_cert_chain(self._certificate, self._key)
        except (Invalid, OSError) as problem:
            log.error("the new certificate cannot be used, the old one stays", because=str(problem))
            return False
        log.info("new certificate", certificate=str(self._certificate))
        return True

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        found = []
        for path in (self._certificate, self._key):
            try:
                status = path.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)
