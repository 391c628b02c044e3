"""Recording sessions: what the browser is shown goes, sealed for the brokers, into a file of the gateway until a broker has it.

The event loop only gathers; a thread seals and writes. A recording that must be and cannot be ends its session; one that may be ends alone.
"""

import asyncio
import codecs
import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from portico import logs
from portico.gateway.before import Before
from portico.gateway.grant import Recording
from portico.gateway.refusals import Refused
from portico.gateway.sessions import Peer
from portico.gateway.websocket import Sink
from portico.wire.recordings import ASCIICAST, DATA, FRAMES, Sealer, frame

log = logs.get(__name__)

PIECE = 64 * 1024
MAX_WAITING = 8 << 20  # bytes of one recording that wait for the disk
WRITING, READY = ".part", ".rec"  # the endings of files: being written, and to be sent
_STOP = None


class Recorder:
    """One recording. All but `_write` runs in the event loop."""

    def __init__(self, recorders: "Recorders", wanted: Recording, protocol: str, size: tuple[int, int]) -> None:
        self.id, self.required = wanted.id, wanted.required
        self._recorders = recorders
        self._begun = time.monotonic()
        self._cast = protocol == "ssh"
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._buffer = bytearray()
        self._waiting = 0
        self._ended = False
        self.on_failure: Callable[[], None] = lambda: None
        started = datetime.now(UTC)
        fields = {
            "id": wanted.id, "key": wanted.key, "format": ASCIICAST if self._cast else FRAMES, "protocol": protocol,
            "started": started.isoformat(timespec="milliseconds"),
        }  # fmt: skip
        self._sealer = Sealer(fields, wanted.public)
        self.path = recorders.folder / f"{wanted.id}{WRITING}"
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        recorders.spooled += os.write(self._file, self._sealer.head)
        if self._cast:
            head = {"version": 2, "width": size[0], "height": size[1], "timestamp": int(started.timestamp())}
            self._buffer += json.dumps(head).encode() + b"\n"

    @property
    def _now(self) -> float:
        return round(time.monotonic() - self._begun, 6)

    def data(self, data: bytes) -> None:
        """Record what the browser is sent."""
        if self._cast:
            self._line("o", self._decoder.decode(data))
        else:
            self._add(frame(self._now, DATA, data))

    def resized(self, columns: int, rows: int) -> None:
        """Record a terminal's new size."""
        if self._cast:
            self._line("r", f"{columns}x{rows}")

    def _line(self, kind: str, text: str) -> None:
        if text:
            self._add(json.dumps([self._now, kind, text]).encode() + b"\n")

    def _add(self, content: bytes) -> None:
        if self._ended:
            return
        self._buffer += content
        if len(self._buffer) >= PIECE:
            self.flush()

    def flush(self) -> None:
        """Give what was gathered to the disk; where that is full, this one ends, though nothing new may have come."""
        if not self._ended and (self._buffer or self._recorders.is_full):
            self._send(last=False)

    def _send(self, *, last: bool) -> None:
        content = bytes(self._buffer)
        self._buffer.clear()
        self._waiting += len(content)
        if self._waiting > MAX_WAITING or self._recorders.is_full:
            self._fail("the disk is too slow" if self._waiting > MAX_WAITING else "the space for recordings is used up")
            return
        self._recorders.put(self, content, last)

    def finish(self) -> None:
        """End it, once; what was recorded is sent to a broker."""
        if self._ended:
            return
        self._send(last=True)
        self._ended = True
        self._recorders.forget(self)

    def write(self, content: bytes, last: bool) -> None:
        """Seal and write, in the thread. Raises OSError."""
        piece = self._sealer.piece(content, last=last)
        view = memoryview(piece)
        while view:
            view = view[os.write(self._file, view) :]
        if last:
            os.fsync(self._file)
            self.leave()

    def written(self, size: int) -> None:
        """Hear that the disk has what was given to it."""
        self._waiting -= size
        self._recorders.spooled += size

    def _fail(self, why: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._recorders.forget(self)
        log.error("a recording failed", recording=self.id, because=why, required=self.required)
        self._recorders.put(self, b"", None)
        self.on_failure()

    def failed(self, problem: OSError) -> None:
        """Hear from the thread that the disk does not take it."""
        self._fail(problem.strerror or str(problem))

    def leave(self) -> None:
        """Close the file as it is, in the thread, once: what is there can still be read."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
            self.path.rename(self.path.with_suffix(READY))


class Recorders:
    """All recordings of this gateway, and the thread that writes them. `most` bounds the bytes that wait for a broker."""

    def __init__(self, folder: Path, most: int, on_ready: Callable[[], None]) -> None:
        self.folder, self._most, self._on_ready = folder, most, on_ready
        self.spooled = 0
        self._live: set[Recorder] = set()
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Recorder, bytes, bool | None] | None] = queue.SimpleQueue()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in list(folder.iterdir()):
            self.spooled += path.stat().st_size
            if path.suffix == WRITING:  # of a gateway that was killed
                path.rename(path.with_suffix(READY))
        self._thread = threading.Thread(target=self._write, name="recordings", daemon=True)
        self._thread.start()

    @property
    def is_full(self) -> bool:
        """Whether no more fits."""
        return self.spooled >= self._most

    def begin(self, wanted: Recording, protocol: str, peer: Peer, size: tuple[int, int]) -> "Recorded | None":
        """Return the peer with its recording before it; None where it cannot and need not be recorded. Raises Refused where it must."""
        try:
            if self.is_full:
                raise OSError("the space for recordings is used up")
            recorder = Recorder(self, wanted, protocol, size)
        except (OSError, ValueError) as problem:
            log.error("a recording cannot begin", recording=wanted.id, because=str(problem), required=wanted.required)
            if wanted.required:
                raise Refused("recording.failed", str(problem)) from problem
            return None
        self._live.add(recorder)
        return Recorded(peer, recorder)

    def flush(self) -> None:
        """Give the disk what was gathered, so that little is lost when we are killed."""
        for recorder in list(self._live):
            recorder.flush()

    def put(self, recorder: Recorder, content: bytes, last: bool | None) -> None:
        """Queue work for the thread; `last` None: leave the file as it is."""
        self._queue.put((recorder, content, last))

    def forget(self, recorder: Recorder) -> None:
        """Flush it no more."""
        self._live.discard(recorder)

    def sent(self, path: Path) -> None:
        """Delete a file that a broker has."""
        self.spooled = max(0, self.spooled - path.stat().st_size)
        path.unlink()

    def set_aside(self, path: Path) -> None:
        """Keep a file that no broker wants, for somebody to look at; it still counts."""
        path.rename(path.with_suffix(".unknown"))

    def stop(self) -> None:
        """End all, and wait until it is written."""
        for recorder in list(self._live):
            recorder.finish()
        self._queue.put(_STOP)
        self._thread.join(10)

    def _write(self) -> None:
        while (work := self._queue.get()) is not _STOP:
            recorder, content, last = work
            try:
                if last is None:
                    recorder.leave()
                else:
                    recorder.write(content, last)
            except OSError as problem:
                if last:  # nobody will ask for its end again
                    self._give_up(recorder)
                self._tell(recorder.failed, problem)
            else:
                self._tell(recorder.written, len(content))
                if last is not False:
                    self._tell(self._on_ready)

    @staticmethod
    def _give_up(recorder: Recorder) -> None:
        with contextlib.suppress(OSError):
            recorder.leave()

    def _tell(self, hear: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(hear, *arguments)


class Recorded(Before):
    """A browser whose session is recorded."""

    def __init__(self, peer: Peer, recorder: Recorder) -> None:
        super().__init__(peer)
        self.recorder = recorder

    def attach(self, sink: Sink) -> None:
        """Attach it, and hear of the sizes that it asks for."""
        super().attach(_Watched(sink, self.recorder))

    def send_bytes(self, data: bytes) -> None:
        """Record and send."""
        self.recorder.data(data)
        self.peer.send_bytes(data)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye, and end the recording."""
        self.recorder.finish()
        super().close(code, reason)

    def close_for(self, code: str) -> None:
        """Say goodbye for a reason, and end the recording."""
        self.recorder.finish()
        super().close_for(code)


class _Watched:
    """The desktop's side, with an eye on the terminal's size."""

    def __init__(self, sink: Sink, recorder: Recorder) -> None:
        self._sink, self._recorder = sink, recorder
        self.from_browser = sink.from_browser
        self.pause_reading, self.resume_reading = sink.pause_reading, sink.resume_reading
        self.browser_closed = sink.browser_closed

    def command(self, fields: Mapping[str, object]) -> None:
        """Pass on."""
        size = fields.get("resize")
        if (
            isinstance(size, list)
            and len(size) == 2
            and all(isinstance(part, int) and 0 < part < 2000 for part in size)
        ):
            self._recorder.resized(*size)
        self._sink.command(fields)
