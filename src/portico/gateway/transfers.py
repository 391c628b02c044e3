"""Files between a browser and a desktop, over the SFTP of a terminal's connection, beside the terminal and not in its way.

Text messages of the page, each with a number of its own "id", and what they are answered with:

{"list": path}                                  {"path": absolute, "entries": [{"name", "kind": "dir"|"file"|"other", "size", "modified"}], "more": bool}
{"mkdir": path}                                 {"ok": true}
{"put": path, "size": bytes, "overwrite": bool} {"ready": true}, then {"got": bytes} as it is written, at its end {"done": true}
{"get": path}                                   {"size": bytes}, then the data, at its end {"done": true}; the page answers {"got": bytes}
{"cancel": true}                                {"error": "cancelled"}
anything that fails                             {"error": code, "message": what the desktop says}

Data is binary: u32 id, bytes. At most WINDOW bytes of a file are on their way that the other side has not written or taken.
A file that is sent to the desktop has another name until all of it is there, so that nothing is half there under its own.
"""

import asyncio
import secrets
import stat
import struct
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import asyncssh

from portico import logs
from portico.gateway.grant import SessionPolicy
from portico.gateway.websocket import Socket

log = logs.get(__name__)

WINDOW = 1 << 20
PIECE = 64 * 1024
MAX_ENTRIES = 2000
MAX_TRANSFERS = 8
MAX_PATH = 4096
MAX_WAITING = 2 << 20
_ID = struct.Struct(">I")

OnFile = Callable[[str, str, int], None]  # "in" | "out", name, bytes


class Failed(Exception):
    """What was asked cannot be done. `code` is for the page."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code


@dataclass(slots=True)
class _Put:
    path: str
    draft: str
    size: int
    file: Any
    got: int = 0


class Transfers:
    """One browser's panel of files: a sink of its socket. `most` bounds a file's bytes."""

    def __init__(
        self, socket: Socket, sftp: asyncssh.SFTPClient, policy: SessionPolicy, most: int, on_file: OnFile
    ) -> None:
        self._socket, self._sftp, self._policy, self._most, self._on_file = socket, sftp, policy, most, on_file
        self._queue: asyncio.Queue[bytes | Mapping[str, object] | None] = asyncio.Queue()
        self._waiting = 0
        self._puts: dict[int, _Put] = {}
        self._gets: dict[int, asyncio.Task[None]] = {}
        self._taken: dict[int, int] = {}
        self._moved = asyncio.Event()

    def from_browser(self, data: bytes) -> None:
        """Take a piece of a file; the browser waits while the desktop is slow."""
        self._waiting += len(data)
        if self._waiting > MAX_WAITING:
            self._socket.pause_reading()
        self._queue.put_nowait(data)

    def command(self, fields: Mapping[str, object]) -> None:
        """Take a message."""
        number, got = fields.get("id"), fields.get("got")
        if isinstance(got, int) and isinstance(number, int):
            if number in self._gets:
                self._taken[number] = max(self._taken[number], int(got))
                self._moved.set()
            return
        self._queue.put_nowait(fields)

    def pause_reading(self) -> None:
        """Send no more: the window of each file sees to it."""

    def resume_reading(self) -> None:
        """Send on."""

    def browser_closed(self) -> None:
        """The browser is gone."""
        self._queue.put_nowait(None)

    async def run(self) -> None:
        """Serve until the browser leaves, and leave nothing half done behind."""
        try:
            while (asked := await self._queue.get()) is not None:
                if isinstance(asked, bytes):
                    self._waiting -= len(asked)
                    if self._waiting <= MAX_WAITING // 2:
                        self._socket.resume_reading()
                    await self._piece(asked)
                else:
                    await self._answer(asked)
        finally:
            for task in self._gets.values():
                task.cancel()
            for number in list(self._puts):
                with suppress(OSError, asyncssh.Error):
                    await self._drop(number)

    async def _answer(self, fields: Mapping[str, object]) -> None:
        number = fields.get("id")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 32:
            return
        for name, act in self._acts.items():
            if name in fields:
                await self._guarded(number, act(self, number, fields))
                return

    async def _guarded(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Failed as problem:
            self._tell(number, error=problem.code, message=str(problem))
        except asyncssh.SFTPNoSuchFile as problem:
            self._tell(number, error="missing", message=problem.reason)
        except asyncssh.SFTPPermissionDenied as problem:
            self._tell(number, error="denied", message=problem.reason)
        except (asyncssh.Error, OSError) as problem:
            self._tell(number, error="failed", message=str(getattr(problem, "reason", "") or problem)[:200])

    async def _list(self, number: int, fields: Mapping[str, object]) -> None:
        path = await self._sftp.realpath(_path(fields, "list"))
        found: list[dict[str, object]] = []
        async for entry in self._sftp.scandir(path):
            name = _text(entry.filename)
            if name in (".", ".."):
                continue
            if len(found) == MAX_ENTRIES:
                break
            found.append(await self._entry(_text(path), name, entry.attrs))
        self._tell(number, path=_text(path), entries=found, more=len(found) == MAX_ENTRIES)

    async def _entry(self, folder: str, name: str, attrs: asyncssh.SFTPAttrs) -> dict[str, object]:
        mode = attrs.permissions or 0
        if stat.S_ISLNK(mode):
            with suppress(asyncssh.SFTPError):  # a link is what it leads to
                attrs = await self._sftp.stat(f"{folder}/{name}")
                mode = attrs.permissions or 0
        kind = "dir" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"
        return {"name": name, "kind": kind, "size": attrs.size or 0, "modified": attrs.mtime or 0}

    async def _mkdir(self, number: int, fields: Mapping[str, object]) -> None:
        self._want(self._policy.files_in and not self._policy.view_only)
        await self._sftp.mkdir(_path(fields, "mkdir"))
        self._tell(number, ok=True)

    async def _put(self, number: int, fields: Mapping[str, object]) -> None:
        self._want(self._policy.files_in and not self._policy.view_only)
        path, size = _path(fields, "put"), fields.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise Failed("malformed")
        if size > self._most:
            raise Failed("too_big", str(self._most))
        if number in self._puts or len(self._puts) >= MAX_TRANSFERS:
            raise Failed("busy")
        if fields.get("overwrite") is not True and await self._sftp.lexists(path):
            raise Failed("exists")
        folder, _, name = path.rpartition("/")
        draft = f"{folder}/.{name[:100]}.{secrets.token_hex(4)}.part"
        file = await self._sftp.open(draft, asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_EXCL, encoding=None)
        self._puts[number] = _Put(path, draft, size, file)
        self._tell(number, ready=True)
        if not size:
            await self._finish(number)

    async def _piece(self, data: bytes) -> None:
        if len(data) < _ID.size:
            return
        number = _ID.unpack_from(data)[0]
        put = self._puts.get(number)
        if put is not None:  # else it was cancelled, and this was on its way
            await self._guarded(number, self._write(number, put, data[_ID.size :]))

    async def _write(self, number: int, put: _Put, content: bytes) -> None:
        try:
            if put.got + len(content) > put.size:
                raise Failed("malformed")
            await put.file.write(content, put.got)
            put.got += len(content)
            self._tell(number, got=put.got)
            if put.got == put.size:
                await self._finish(number)
        except BaseException:
            with suppress(OSError, asyncssh.Error):
                await self._drop(number)
            raise

    async def _finish(self, number: int) -> None:
        put = self._puts[number]
        await put.file.close()
        await self._sftp.posix_rename(put.draft, put.path)
        del self._puts[number]
        self._on_file("in", put.path.rpartition("/")[2], put.size)
        self._tell(number, done=True)

    async def _drop(self, number: int) -> None:
        put = self._puts.pop(number, None)
        if put is not None:
            with suppress(OSError, asyncssh.Error):
                await put.file.close()
            await self._sftp.remove(put.draft)

    async def _get(self, number: int, fields: Mapping[str, object]) -> None:
        self._want(self._policy.files_out)
        if number in self._gets or len(self._gets) >= MAX_TRANSFERS:
            raise Failed("busy")
        path = _path(fields, "get")
        attrs = await self._sftp.stat(path)
        if not stat.S_ISREG(attrs.permissions or 0):
            raise Failed("not_a_file")
        size = attrs.size or 0
        if size > self._most:
            raise Failed("too_big", str(self._most))
        self._tell(number, size=size)
        self._taken[number] = 0
        self._gets[number] = asyncio.create_task(self._guarded(number, self._send(number, path)))
        self._gets[number].add_done_callback(lambda _: self._forget(number))

    def _forget(self, number: int) -> None:
        self._gets.pop(number, None)
        self._taken.pop(number, None)

    async def _send(self, number: int, path: str) -> None:
        sent, head = 0, _ID.pack(number)
        file: Any
        async with self._sftp.open(path, "rb") as file:
            while content := await file.read(PIECE, sent):
                while sent - self._taken.get(number, 0) > WINDOW:
                    self._moved.clear()
                    await self._moved.wait()
                sent += len(content)
                if sent > self._most:
                    raise Failed("too_big", str(self._most))
                self._socket.send_bytes(head + content)
        self._on_file("out", path.rpartition("/")[2], sent)
        self._tell(number, done=True)

    async def _cancel(self, number: int, fields: Mapping[str, object]) -> None:
        task = self._gets.get(number)
        if task is not None:
            task.cancel()
        await self._drop(number)
        raise Failed("cancelled")

    def _want(self, allowed: bool) -> None:
        if not allowed:
            raise Failed("forbidden")

    def _tell(self, number: int, **fields: object) -> None:
        self._socket.send_object({"id": number, **fields})

    _acts: Mapping[str, Callable[["Transfers", int, Mapping[str, object]], Coroutine[Any, Any, None]]] = {
        "list": _list, "mkdir": _mkdir, "put": _put, "get": _get, "cancel": _cancel,
    }  # fmt: skip


def _path(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value or len(value) > MAX_PATH or "\0" in value:
        raise Failed("malformed")
    return value


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
