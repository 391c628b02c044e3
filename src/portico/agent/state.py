"""What the agent remembers across its own restarts, in one file of mode 0600: credentials, sequence, sessions, unsent events."""

import contextlib
import json
import logging
import os
import secrets
import threading
import uuid
from typing import Any, Dict, List

from portico.agent.session import Event, Session

log = logging.getLogger("portico.agent")

MOST_EVENTS = 500
_KERNEL_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_CREDENTIALS = ("agent_id", "bearer", "ca", "certificate", "key", "ssh_user_ca", "broker_url", "ca_fingerprint")


class State:
    """The agent's memory; every change is on disk before the method returns. Safe to use from several threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.RLock()
        values = _read(path)
        kernel = _kernel_boot_id()
        # Sequence numbers rise within a boot id. Lost memory is a new boot to the broker, else our events would look old.
        fresh = not kernel or values.get("kernel") != kernel or not values.get("boot_id")
        self._values = {
            "kernel": kernel,
            "boot_id": uuid.uuid4().hex if fresh else values["boot_id"],
            "sequence": 0 if fresh else int(values.get("sequence", 0)),
            "credentials": values.get("credentials", {}),
            "identity": values.get("identity", {}),
            "join_secret": values.get("join_secret", ""),
            "sessions": values.get("sessions", {}),
            "users": values.get("users", {}),
            "groups": values.get("groups", {}),
            "events": values.get("events", []),
            "dropped": int(values.get("dropped", 0)),
        }  # type: Dict[str, Any]
        if fresh:
            for event in self._values["events"]:
                event["sequence"] = self._next()

    @property
    def boot_id(self) -> str:
        """The name of this boot."""
        return str(self._values["boot_id"])

    @property
    def credentials(self) -> Dict[str, str]:
        """What the broker gave at enrolment; empty before."""
        with self._lock:
            return dict(self._values["credentials"])

    @property
    def identity(self) -> Dict[str, str]:
        """Which machine was enrolled: its UUIDs as metadata and firmware told them then."""
        with self._lock:
            return dict(self._values["identity"])

    def enrolled(self, answer: Dict[str, Any], identity: Dict[str, str]) -> None:
        """Keep the credentials of an enrolment, and for which machine they are."""
        with self._lock:
            self._values["credentials"] = {name: str(answer.get(name, "")) for name in _CREDENTIALS}
            self._values["identity"] = dict(identity)
            self._values["join_secret"] = ""
            self._write()

    def join_secret(self) -> str:
        """Return the secret by which the broker knows us again while we wait."""
        with self._lock:
            if not self._values["join_secret"]:
                self._values["join_secret"] = secrets.token_urlsafe(32)
                self._write()
            return str(self._values["join_secret"])

    def forget_join_secret(self) -> None:
        """Ask anew: the broker takes us for somebody whom it has admitted."""
        with self._lock:
            self._values["join_secret"] = ""
            self._write()

    def begin_anew(self) -> None:
        """Forget everything: this is another machine than the one that it was about."""
        with self._lock:
            self._values.update(
                boot_id=uuid.uuid4().hex, sequence=0, credentials={}, identity={}, join_secret="",
                sessions={}, users={}, events=[], dropped=0,  # groups stay: the accounts are still here
            )  # fmt: skip
            self._write()

    def forget_credentials(self) -> None:
        """Drop credentials that the broker no longer accepts."""
        with self._lock:
            self._values["credentials"] = {}
            self._write()

    def sessions(self) -> Dict[str, Session]:
        """Return the known sessions by kind."""
        with self._lock:
            return {kind: Session(**values) for kind, values in self._values["sessions"].items()}

    def users(self) -> Dict[str, str]:
        """Return by kind of session whom the last `prepare` named."""
        with self._lock:
            return dict(self._values["users"])

    def expect(self, kind: str, user: str) -> None:
        """Note whom a session of this kind is for."""
        with self._lock:
            self._values["users"][kind] = user
            self._write()

    def groups(self) -> Dict[str, List[str]]:
        """Return by account the groups that we have put it into."""
        with self._lock:
            return {account: list(groups) for account, groups in self._values["groups"].items()}

    def note_group(self, account: str, group: str) -> None:
        """Note that we put an account into a group, before we do."""
        with self._lock:
            known = self._values["groups"].setdefault(account, [])
            if group not in known:
                known.append(group)
                self._write()

    def forget_group(self, account: str, group: str) -> None:
        """Note that we have taken an account out of a group."""
        with self._lock:
            known = [one for one in self._values["groups"].pop(account, []) if one != group]
            if known:
                self._values["groups"][account] = known
            self._write()

    def happened(self, sessions: Dict[str, Session], users: Dict[str, str], events: List[Event]) -> None:
        """Keep the sessions as they are now, and the events until they are delivered (the oldest go when there are too many)."""
        with self._lock:
            self._values["sessions"] = {kind: dict(session._asdict()) for kind, session in sessions.items()}
            self._values["users"] = dict(users)
            kept = self._values["events"]
            for event in events:
                kept.append(dict(event._asdict(), sequence=self._next()))
            excess = len(kept) - MOST_EVENTS
            if excess > 0:
                del kept[:excess]
                self._values["dropped"] += excess
                log.warning("events dropped count=%d", excess)
            self._write()

    def next_sequence(self) -> int:
        """Return the next number for a report; never the same again within this boot id."""
        with self._lock:
            number = self._next()
            self._write()
            return number

    def unsent(self) -> List[Dict[str, Any]]:
        """Return the events that the broker has not confirmed."""
        with self._lock:
            return [dict(event) for event in self._values["events"]]

    def dropped(self) -> int:
        """Return how many events were lost since the last confirmed report."""
        with self._lock:
            return int(self._values["dropped"])

    def delivered(self, events: List[Dict[str, Any]], dropped: int) -> None:
        """Forget events that the broker has confirmed."""
        if not events and not dropped:
            return
        with self._lock:
            done = {event["sequence"] for event in events}
            self._values["events"] = [event for event in self._values["events"] if event["sequence"] not in done]
            self._values["dropped"] -= dropped
            self._write()

    def _next(self) -> int:
        self._values["sequence"] += 1
        return int(self._values["sequence"])

    def _write(self) -> None:
        write_secret(self._path, json.dumps(self._values).encode("utf-8"))


def write_secret(path: str, content: bytes) -> None:
    """Replace a file by one of mode 0600, all at once."""
    aside = "{}.{}.new".format(path, os.getpid())
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside)
    file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(content)
    os.replace(aside, path)


def _read(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        log.error("state lost problem=%s", problem)
        return {}
    return values if isinstance(values, dict) else {}


def _kernel_boot_id() -> str:
    try:
        with open(_KERNEL_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
