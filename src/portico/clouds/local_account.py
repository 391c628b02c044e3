"""The system account of a local desktop: made with it, gone with it. Needs root; others run desktops as themselves."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from portico.clouds.local_desktop import locked

_SHARED_PLACES = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108
_TOOL_SECONDS = 60


class AccountFailed(Exception):
    """The system's own tool could not make or remove the account; says what it said."""


class Ids(NamedTuple):
    """An account's user and group."""

    uid: int
    gid: int


def ids_of(account: str) -> Ids | None:
    """Return the account's ids, None when there is no account of that name."""
    try:
        found = pwd.getpwnam(account) if account else None
    except KeyError:
        return None
    return Ids(found.pw_uid, found.pw_gid) if found else None


def user_id(account: str) -> int | None:
    """Return the account's user id, None when there is no account of that name."""
    ids = ids_of(account)
    return ids.uid if ids else None


def add(account: str, home: Path, lock: Path) -> None:
    """Make the account if it is not there. Raises AccountFailed."""
    # The tool inherits the lock: if we are killed, whoever removes the account waits for the tool's end.
    with locked(lock) as held:
        if user_id(account) is None:
            _run("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(home),
                 "--shell", "/bin/bash", "--comment", "Portico desktop", account, lock=held)  # fmt: skip


def remove(account: str, lock: Path) -> None:
    """Remove the account and what it left in the places that all users share. Raises AccountFailed."""
    with locked(lock) as held:
        uid = user_id(account)
        if uid is None:
            return
        _sweep(uid)
        _run("userdel", account, lock=held)


def _sweep(uid: int) -> None:
    for place in (*_SHARED_PLACES, Path("/tmp/.X11-unix")):  # noqa: S108
        try:
            entries = list(os.scandir(place))
        except OSError:
            continue
        for entry in entries:
            if not _belongs(entry, uid):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)


def _belongs(entry: "os.DirEntry[str]", uid: int) -> bool:
    """Tell whether a file is there and the account's; others come and go in shared places."""
    try:
        return entry.stat(follow_symlinks=False).st_uid == uid
    except FileNotFoundError:
        return False


def _run(*argv: str, lock: int) -> None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    try:
        done = subprocess.run(
            argv, env={"PATH": path, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_TOOL_SECONDS, pass_fds=(lock,), check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise AccountFailed(f"{argv[0]}: {problem}") from problem
    if done.returncode:
        raise AccountFailed(f"{argv[0]}: {done.stderr.decode('utf-8', 'replace').strip()}")
