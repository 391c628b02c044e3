"""The directory of a demo: taken, written, swept of desktops that still run, and removed. Ours alone, or not touched."""

import fcntl
import json
import os
import shutil
import socket
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from portico.errors import Invalid
from portico.ports.cloud import CloudContext

MARK = ".portico-demo"  # Only a directory with this file in it is ever emptied.
FRONT_PORT = 8443
MAXIMUM_PATH = 50  # characters: the sockets of desktops lie deep below it and may have 107 (unix(7))


@contextmanager
def taken(state: Path) -> Iterator[None]:
    """Hold the directory for the time of a demo. Raises Invalid when another demo holds it."""
    state.parent.mkdir(parents=True, exist_ok=True)
    with state.with_name(f"{state.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Invalid(
                f"Another demo runs in {state}. End that one, or name another directory by --state."
            ) from None
        yield


def prepare(state: Path, keep: bool) -> None:
    """Make the directory ready: what an earlier demo left is swept away, or kept on request.

    Raises Invalid when it is somebody else's, or when the accounts of desktops could not reach it.
    """
    if state.exists() and any(state.iterdir()) and not (state / MARK).exists():
        raise Invalid(f"{state} is not empty and was not made by a demo. Name another directory by --state.")
    if len(str(state)) > MAXIMUM_PATH:
        raise Invalid(f"The path {state} is too long for the sockets below it. Name a shorter one by --state.")
    if state.exists():
        sweep(state)
        if not keep:
            remove(state)
    state.mkdir(parents=True, exist_ok=True)
    # Desktops run as accounts of their own and must reach their homes; each secret below has its own mode.
    state.chmod(0o711)
    (state / MARK).touch()
    closed = _closed_parent(state) if os.geteuid() == 0 else None
    if closed is not None:
        raise Invalid(
            f"Desktops run as accounts of their own, which cannot pass {closed}. "
            "Name another directory by --state, such as /tmp/portico."
        )


@contextmanager
def front_port() -> Iterator[int]:
    """Hold the port of the front for the time of a demo: 8443, or any that is free when another demo has that one.

    The front listens only seconds after the choice, so two demos that start together would both find 8443 free. A name
    in the abstract namespace (unix(7)) says who has it, and goes with its process.
    """
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            claim.bind(f"\0portico-demo-{FRONT_PORT}")
        except OSError:
            yield free_port()
        else:
            yield free_port(FRONT_PORT)


def settings(state: Path, port: int, host: str) -> dict[str, str | list[str]]:
    """Return the configuration of the demo, on ports that are free now."""
    broker, gateway = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    return {
        "state": str(state),
        "listen": broker,
        "broker_url": f"https://{broker}",
        "public_url": f"https://{host}:{port}",
        "gateway_listen": gateway,
        "rdgateway_listen": f"127.0.0.1:{free_port()}",
        "gateway_name": "demo",
        "front_listen": f"{'127.0.0.1' if host == 'localhost' else '0.0.0.0'}:{port}",  # noqa: S104 - asked for by --host
        "egress_allow": ["127.0.0.0/8"],
    }


def write_settings(path: Path, values: Mapping[str, str | list[str]]) -> None:
    """Write portico.toml."""
    # A JSON string is a TOML basic string too.
    write_secret(path, "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, in one step."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(0o600)
    fresh.write_text(text, "utf-8")
    fresh.replace(path)


def read_json(path: Path) -> Any:
    """Read a JSON file, None when it is not there (yet)."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def free_port(wanted: int = 0) -> int:
    """Return `wanted` if it is free on this machine, else any free port."""
    for port in dict.fromkeys((wanted, 0)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Invalid("There is no free port on 127.0.0.1.")


def sweep(state: Path) -> int:
    """End every desktop of this demo: processes, account, files. Returns how many there were; raises CloudError."""
    home = desktops(state)
    if not home.exists():
        return 0
    # The one driver that makes things on this machine, found by name as all drivers are.
    local = resolve_name("portico.clouds.local:Local")
    center = (read_json(state / "content.json") or {}).get("center_id", "")
    context = CloudContext(deployment_id="", center_id=center, state=state)
    driver = local(local.Settings(directory=str(home)), context)
    found = [machine.external_id for machine in driver.scan().machines]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(driver.delete, found))
    return len(found)


def desktops(state: Path) -> Path:
    """Return where the desktops of a demo live: a short path, since sockets lie below it."""
    return state / "desktops"


def remove(state: Path) -> None:
    """Remove the directory of a demo."""
    if (state / MARK).exists():
        shutil.rmtree(state)


def _closed_parent(state: Path) -> Path | None:
    return next((path for path in (state, *state.parents) if not path.stat().st_mode & stat.S_IXOTH), None)
