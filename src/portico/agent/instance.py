"""What an OpenStack instance can learn of itself: from the metadata service, else from a config drive, else from its firmware.

For tests, PORTICO_AGENT_METADATA=HOST:PORT stands in for the service and PORTICO_AGENT_CONFIG_DRIVE=DIRECTORY for the drive.
"""

import contextlib
import http.client
import json
import os
import re
import string
import subprocess
import sys
import tempfile
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from portico.agent import route
from portico.wire.agent import METADATA, USER_DATA_MARK

SERVICE, DRIVE, FIRMWARE = "metadata", "config drive", "firmware"
_SECONDS = 3.0
_MOST_BYTES = 1 << 20
_LABELS = ("/dev/disk/by-label/config-2", "/dev/disk/by-label/CONFIG-2")
_DMI = "/sys/class/dmi/id/product_uuid"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


class Instance(NamedTuple):
    """What is known. `source` says where from; `hello` is what it says of the broker (names of METADATA).

    `service` is how the metadata service is reached: a state of portico.agent.route.
    """

    uuid: str
    source: str
    public_address: str
    hello: Dict[str, str]
    service: str
    diagnosis: Optional[route.Diagnosis] = None


class _Silent(Exception):
    """The metadata service does not answer as it should; says how."""


def find() -> Instance:
    """Look for all of it; takes some seconds where nothing answers. Never raises."""
    diagnosis: Optional[route.Diagnosis] = None
    try:
        document, user_data, public = _ask()
        return _instance(document, user_data, SERVICE, public, None)
    except _Silent as problem:
        diagnosis = route.look(str(problem))
    for directory in _drives():
        document = _json(_file(directory, "meta_data.json"))
        if document:
            return _instance(document, _file(directory, "user_data"), DRIVE, "", diagnosis)
    return Instance(firmware_uuid(), FIRMWARE if firmware_uuid() else "", "", {}, diagnosis.state, diagnosis)


def firmware_uuid() -> str:
    """Return the UUID that the machine's firmware has, which on a virtual machine is the instance's; empty where unknown."""
    try:
        with open(_DMI, encoding="ascii", errors="replace") as file:
            text = file.read(64).strip().lower()
    except OSError:  # only root may read it
        return ""
    # Boards whose maker left it empty have all zeros or all ones.
    return text if _UUID.match(text) and text.strip("0-") and text.strip("f-") else ""


def hello_of(document: Dict[str, Any], user_data: str) -> Dict[str, str]:
    """Return what metadata says of the broker: its own entries first, then the marked line or member of the user data."""
    found = _said(user_data)
    entries = document.get("meta")
    if isinstance(entries, dict):
        for name, key in METADATA.items():
            if isinstance(entries.get(key), str) and entries[key]:
                found[name] = entries[key]
    return found


def _said(user_data: str) -> Dict[str, str]:
    values: Any = None
    for line in user_data.splitlines():
        if line.strip().startswith(USER_DATA_MARK):
            values = _json(line.strip()[len(USER_DATA_MARK) :])
            break
    else:
        values = _json(user_data).get("portico")
    if not isinstance(values, dict):
        return {}
    return {name: values[name] for name in METADATA if isinstance(values.get(name), str)}


def _instance(
    document: Dict[str, Any], user_data: str, source: str, public: str, diagnosis: Optional[route.Diagnosis]
) -> Instance:
    uuid = str(document.get("uuid", "")).strip().lower()
    service = diagnosis.state if diagnosis else route.ANSWERS
    return Instance(uuid, source, public, hello_of(document, user_data), service, diagnosis)


def _ask() -> Any:
    """Ask the metadata service. Raises _Silent."""
    status, text = _get("/openstack/latest/meta_data.json")
    document = _json(text)
    if status != 200 or not document:
        raise _Silent("status {}".format(status) if status != 200 else "no JSON")
    status, user_data = _get("/openstack/latest/user_data")
    user_data = user_data if status == 200 else ""  # 404: there is none
    status, public = _get("/latest/meta-data/public-ipv4")
    public = public.strip() if status == 200 else ""
    return document, user_data, public if re.match(r"\d+(\.\d+){3}$", public) else ""


def _get(path: str) -> Any:
    where = os.environ.get("PORTICO_AGENT_METADATA", route.SERVICE)
    connection = http.client.HTTPConnection(where, timeout=_SECONDS)
    try:
        connection.request("GET", path, headers={"Accept": "*/*"})
        response = connection.getresponse()
        content = response.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        raise _Silent(getattr(problem, "strerror", None) or str(problem) or type(problem).__name__) from problem
    finally:
        connection.close()
    return response.status, content.decode("utf-8", "replace")


def _drives() -> Iterator[str]:
    """Yield the directories that a config drive is found in, each as long as the caller looks at it."""
    given = os.environ.get("PORTICO_AGENT_CONFIG_DRIVE")
    if given is not None:
        yield given
        return
    if sys.platform == "win32":
        for letter in string.ascii_uppercase[2:]:
            yield letter + ":\\"
        return
    for device in (name for name in _LABELS if os.path.exists(name)):
        for directory in _mounted(os.path.realpath(device)):
            yield directory
            return
        with _mount(device) as place:
            if place:
                yield place
        return


def _mounted(device: str) -> List[str]:
    places = []
    try:
        with open("/proc/mounts", encoding="utf-8", errors="replace") as file:
            for line in file:
                fields = line.split()
                if fields[0].startswith("/") and os.path.realpath(fields[0]) == device:
                    places.append(re.sub(r"\\(\d{3})", lambda match: chr(int(match.group(1), 8)), fields[1]))
    except OSError:
        return []
    return places


@contextlib.contextmanager
def _mount(device: str) -> Iterator[str]:
    """Mount a drive for reading, out of everybody's sight; gives "" where that fails."""
    place = tempfile.mkdtemp(prefix="portico-config-")
    mounted = _run(["mount", "-o", "ro,nosuid,nodev,noexec", device, place])
    try:
        yield place if mounted else ""
    finally:
        if mounted:
            _run(["umount", place])
        with contextlib.suppress(OSError):
            os.rmdir(place)


def _run(argv: List[str]) -> bool:
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _file(directory: str, name: str) -> str:
    try:
        with open(os.path.join(directory, "openstack", "latest", name), "rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _json(text: str) -> Dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
