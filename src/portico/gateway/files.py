"""Small private files: read if there, written whole and for their owner alone."""

import os
import tempfile
from pathlib import Path

from portico.errors import Invalid


def read(path: Path) -> str | None:
    """Return the file's text, or None if there is none. Raises Invalid if it may not be read."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as problem:
        raise Invalid(f"Cannot read {path}: {problem}") from problem


def write(path: Path, text: str) -> None:
    """Replace the file at once, mode 0600, making its folder (0700) if needed. Raises Invalid if it may not be written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as problem:
        raise Invalid(f"Cannot write {path}: {problem}") from problem
