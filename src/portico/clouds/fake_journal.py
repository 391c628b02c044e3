"""The fake cloud's memory: a journal file, one JSON line for each change, replayed into records.

Processes share it under a file lock; each reads what others have appended before it looks or writes. A torn last line (a kill
in the middle of a write) is cut off by the next writer.
"""

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from portico.errors import CloudError

_COMPACT_AT = 1000  # lines that no longer count, besides as many as there are machines


class Record(NamedTuple):
    """One machine. `created` and `changed` are Unix times; `born` and `since` are of the monotonic clock."""

    external_id: str
    number: int  # gives its address
    name: str
    desktop_id: str
    deployment_id: str
    image_id: str
    flavor: str
    tags: Mapping[str, str]
    created: float
    changed: float
    born: float
    since: float = 0.0
    action: str = ""  # the last power action
    power: str = "running"  # where it leads
    broken: bool = False
    gone: bool = False


class Journal:
    """The machines of one center, shared by all drivers of this process and, through the file, with other processes."""

    _open: dict[Path, "Journal"] = {}  # noqa: RUF012
    _open_lock = threading.Lock()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: int | None = None
        self._read_to = 0
        self._lines = 0
        self._records: dict[str, Record] = {}
        self.live = 0  # machines that are not gone
        self.next_number = 0

    @classmethod
    def of(cls, path: Path) -> "Journal":
        """Return the one journal of this process for a file."""
        with cls._open_lock:
            return cls._open.setdefault(path.absolute(), cls(path.absolute()))

    @contextmanager
    def reading(self) -> Iterator[Mapping[str, Record]]:
        """Look at the machines as all processes left them. Raises CloudError when the file cannot be read."""
        with self._locked(fcntl.LOCK_SH):
            yield self._records

    @contextmanager
    def writing(self) -> Iterator[tuple[Mapping[str, Record], Callable[[Record], None]]]:
        """Look at the machines and change them while nobody else does. Raises CloudError when the file cannot be written."""
        with self._locked(fcntl.LOCK_EX) as file:
            os.ftruncate(file, self._read_to)
            yield self._records, self._write
            if self._lines > 2 * self.live + _COMPACT_AT:
                self._compact()

    @contextmanager
    def _locked(self, kind: int) -> Iterator[int]:
        with self._lock:
            try:
                file = self._current(kind)
                self._replay(file)
            except (OSError, ValueError, TypeError) as problem:
                raise CloudError("The fake cloud's journal cannot be used.", f"{self._path}: {problem}") from problem
            try:
                yield file
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)

    def _current(self, kind: int) -> int:
        # Another process may have replaced the file by a compacted one, or a test have removed it: then read from the start.
        while True:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                self._read_to, self._lines, self._records = 0, 0, {}
                self.live, self.next_number = 0, 0
            fcntl.flock(self._file, kind)
            try:
                if self._path.stat().st_ino == os.fstat(self._file).st_ino:
                    return self._file
            except FileNotFoundError:
                pass
            os.close(self._file)
            self._file = None

    def _replay(self, file: int) -> None:
        size = os.fstat(file).st_size
        if size <= self._read_to:
            return
        text = os.pread(file, size - self._read_to, self._read_to)
        whole = text[: text.rfind(b"\n") + 1]
        for line in whole.splitlines():
            self._apply(Record(*json.loads(line)))
        self._read_to += len(whole)

    def _write(self, record: Record) -> None:
        assert self._file is not None
        line = _line(record)
        if os.write(self._file, line) != len(line):
            raise CloudError("The fake cloud's journal cannot be written.", str(self._path))
        self._read_to += len(line)
        self._apply(record)

    def _apply(self, record: Record) -> None:
        before = self._records.get(record.external_id)
        self.live += (not record.gone) - (before is not None and not before.gone)
        self.next_number = max(self.next_number, record.number + 1)
        self._lines += 1
        self._records[record.external_id] = record

    def _compact(self) -> None:
        living = [record for record in self._records.values() if not record.gone]
        aside = self._path.with_suffix(".new")
        aside.write_bytes(b"".join(map(_line, living)))
        aside.replace(self._path)  # others, and we at the next call, see another inode and start from it


def _line(record: Record) -> bytes:
    return json.dumps(tuple(record), separators=(",", ":")).encode() + b"\n"
