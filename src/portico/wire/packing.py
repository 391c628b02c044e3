"""The agent as one file: a zip archive that any Python 3.6 or later runs. The same source gives the same bytes."""

import argparse
import io
import os
import zipfile
from typing import Sequence

_MAIN = b"from portico.agent.main import main\n\nraise SystemExit(main())\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # no time of day in the archive


def pack() -> bytes:
    """Return the archive: the agent, what it says to the broker, and nothing else. Raises OSError."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    names = ["__init__.py", "wire/__init__.py", "wire/agent.py", "wire/packing.py"]
    names += ["agent/" + name for name in sorted(os.listdir(os.path.join(root, "agent"))) if name.endswith(".py")]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            with open(os.path.join(root, *name.split("/")), "rb") as file:
                _add(archive, "portico/" + name, file.read())
        _add(archive, "__main__.py", _MAIN)
    return b"#!/usr/bin/env python3\n" + content.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def itself() -> bytes:
    """Return the archive that this code runs from, or pack one. Raises OSError."""
    archive = getattr(__spec__.loader, "archive", "") if __spec__ is not None else ""
    if not archive:
        return pack()
    with open(archive, "rb") as file:
        return file.read()


def main(argv: Sequence[str]) -> int:
    """`portico agent pack FILE`."""
    parser = argparse.ArgumentParser(prog="portico agent pack", description="Write the agent as one file.")
    parser.add_argument("file", help="where to")
    with open(parser.parse_args(argv).file, "wb") as file:
        file.write(itself())
    return 0
