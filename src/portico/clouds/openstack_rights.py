"""The rights that a center's user needs, each by its old name and by today's policy, and what was learnt of them in use."""

import json
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portico.clouds.openstack_errors import Answer, is_quota

GRANTED, MISSING, UNKNOWN = "granted", "missing", "unknown"
_ACTION = re.compile(r"/servers/[^/]+/action")
_FLOATING_IP = re.compile(r"/floatingips/[^/]+")


@dataclass(frozen=True, slots=True)
class Right:
    """One right: its name in policy.json of old, today's policy, and what it is needed for."""

    name: str
    policy: str
    use: str


LIST = Right("compute:get_all", "os_compute_api:servers:detail", "see instances")
CREATE = Right("compute:create", "os_compute_api:servers:create", "make instances")
START = Right("compute:start", "os_compute_api:servers:start", "start instances")
STOP = Right("compute:stop", "os_compute_api:servers:stop", "stop instances")
REBOOT = Right("compute:reboot", "os_compute_api:servers:reboot", "reboot instances")
SUSPEND = Right("admin_actions:suspend", "os_compute_api:os-suspend-server:suspend", "suspend instances")
RESUME = Right("admin_actions:resume", "os_compute_api:os-suspend-server:resume", "resume instances")
FLOATING_IPS = Right("compute:floating_ips", "get_floatingip", "see floating IPs")
ALLOCATE = Right("network:allocate_floating_ip", "create_floatingip", "allocate floating IPs")
ASSOCIATE = Right("network:associate_floating_ip", "update_floatingip", "give an instance a floating IP")
DISASSOCIATE = Right("network:disassociate_floating_ip", "update_floatingip", "take a floating IP away")
RELEASE = Right("network:release_floating_ip", "delete_floatingip", "give floating IPs back")
IMAGES = Right("get_images", "get_images", "see images")
ALL = (
    LIST,
    CREATE,
    START,
    STOP,
    REBOOT,
    SUSPEND,
    RESUME,
    FLOATING_IPS,
    ALLOCATE,
    ASSOCIATE,
    DISASSOCIATE,
    RELEASE,
    IMAGES,
)
ACTIONS = {"os-start": START, "os-stop": STOP, "reboot": REBOOT, "suspend": SUSPEND, "resume": RESUME}


def rights_of(answer: Answer, sent: Any) -> tuple[Right, ...]:
    """Return the rights that a call needed, as far as they are ones of ours."""
    call = (answer.service, answer.method)
    if call == ("compute", "GET") and answer.path == "/servers/detail":
        return (LIST,)
    if call == ("compute", "POST") and answer.path == "/servers":
        return (CREATE,)
    if call == ("compute", "POST") and _ACTION.fullmatch(answer.path) and isinstance(sent, Mapping):
        return tuple(ACTIONS[name] for name in sent if name in ACTIONS)
    if call == ("image", "GET") and answer.path == "/images":
        return (IMAGES,)
    if call == ("network", "POST") and answer.path == "/floatingips":
        return (ALLOCATE,)
    if answer.service == "network" and _FLOATING_IP.fullmatch(answer.path):
        return {"PUT": (ASSOCIATE, DISASSOCIATE), "DELETE": (RELEASE,)}.get(answer.method, ())
    return ()


class Memory:
    """What calls have taught of the rights: granted at a success, missing at a refusal. Kept in a file, where one is given."""

    def __init__(self, file: Path | None = None, who: str = "") -> None:
        """Read what an earlier process has learnt of the same user, `who`; a file that cannot be read is as good as none."""
        self._file, self._who = file, who
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        if file is not None:
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                read = json.loads(file.read_text("utf-8"))
                known = read["known"] if read["who"] == who else {}
                self._known = {str(name): state for name, state in known.items() if state in (GRANTED, MISSING)}

    def state(self, right: Right) -> str:
        """Return "granted", "missing" or "unknown"."""
        return self._known.get(right.name, UNKNOWN)

    def learn(self, answer: Answer, sent: Any) -> None:
        """Take note of what an answer says about rights."""
        if answer.status == 403 and not is_quota(answer):
            state = MISSING
        elif answer.is_success:
            state = GRANTED
        else:
            return
        fresh = {right.name: state for right in rights_of(answer, sent) if self._known.get(right.name) != state}
        if not fresh:
            return
        with self._lock:
            self._known |= fresh
            if self._file is not None:
                with suppress(OSError):
                    self._file.parent.mkdir(parents=True, exist_ok=True)
                    self._file.write_text(json.dumps({"who": self._who, "known": self._known}), "utf-8")
