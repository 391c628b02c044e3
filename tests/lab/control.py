"""What tests do to the lab beside its APIs: break and mend services, bend servers, make scale, and clean up."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from tests.lab import cluster, processes, services
from tests.lab.places import RUN
from tests.lab.rest import Cloud, Refused, until
from tests.lab.schemas import sql

FAULTS = RUN / "faults.json"
CLONED = "lab-clone"  # A key in the metadata of servers that are rows and nothing else.


# --- services


def stop(*names: str) -> None:
    """Stop services, by the names that `python3 -m tests.lab status` shows: "keystone", "nova-api", "nova-compute-fake1", …"""
    known = {service.name for service in services.everything()}
    if unknown := set(names) - known:
        raise ValueError(f"no service of the lab: {sorted(unknown)}")
    for name in names:
        processes.stop(name)


def restore() -> None:
    """Start whatever is down, and return when all is well again."""
    FAULTS.unlink(missing_ok=True)
    cluster.up()


@contextmanager
def stopped(*names: str) -> Iterator[None]:
    """Stop services for a while."""
    stop(*names)
    try:
        yield
    finally:
        restore()


@contextmanager
def builds(beginning: str, *, seconds: float = 0, error: str = "") -> Iterator[None]:
    """Let servers whose name begins so take `seconds` to build, and then end in ERROR if there is an `error`.

    This holds for the fake hosts. A server is BUILD meanwhile; deleting it then takes until the time is over.
    """
    wanted = json.loads(FAULTS.read_text()) if FAULTS.exists() else {}
    FAULTS.write_text(json.dumps({**wanted, beginning: {"seconds": seconds, **({"error": error} if error else {})}}))
    try:
        yield
    finally:
        if FAULTS.exists():
            FAULTS.write_text(
                json.dumps({name: what for name, what in json.loads(FAULTS.read_text()).items() if name != beginning})
            )


# --- servers


def admin(project: str = "admin") -> Cloud:
    """Return the cloud as the administrator sees it from a project; all projects of the lab take him."""
    return Cloud("admin", project)


def admin_of_everything() -> Cloud:
    """Return the cloud as the system's administrator sees it: bare metal, above all."""
    return Cloud("admin")


def set_state(server: str, state: str) -> None:
    """Make Nova believe that a server is in a state: "active", "error", or any of its own words ("building", "suspended", …)."""
    if state in ("active", "error"):
        admin().post("compute", f"/servers/{server}/action", {"os-resetState": {"state": state}})
        return
    sql(
        f"UPDATE nova_cell1.instances SET vm_state = '{_word(state)}', updated_at = utc_timestamp() WHERE uuid = '{uuid.UUID(server)}'"
    )


def set_task(server: str, task: str | None) -> None:
    """Make Nova believe that something is going on with a server ("rebooting", …), or nothing: other actions are refused with 409."""
    value = f"'{_word(task)}'" if task else "NULL"
    sql(
        f"UPDATE nova_cell1.instances SET task_state = {value}, updated_at = utc_timestamp() WHERE uuid = '{uuid.UUID(server)}'"
    )


def set_compute_quota(project: str, **limits: int) -> None:
    """Set limits of a project (its id) in Nova: instances, cores, ram."""
    admin().put("compute", f"/os-quota-sets/{project}", {"quota_set": {**limits, "force": True}})


def set_network_quota(project: str, **limits: int) -> None:
    """Set limits of a project (its id) in Neutron: floatingip, port, network, …"""
    admin().put("network", f"/quotas/{project}", {"quota": limits})


def set_volume_quota(project: str, **limits: int) -> None:
    """Set limits of a project (its id) in Cinder: volumes, gigabytes, snapshots. Not below what is used."""
    admin().put("volume", f"/os-quota-sets/{project}", {"quota_set": limits})


# --- scale


def clone(server: str, count: int, name: str = "clone") -> None:
    """Copy an ACTIVE server's rows `count` times: servers for reading, of which no hypervisor knows. `unclone` removes them.

    They carry the metadata of the original, and `lab-clone`.
    """
    # Table, the column that names the server, and what differs in the copy. `n` is made below: one row for each copy.
    own = {"display_name": f"CONCAT('{_word(name)}-', n.number)", "hostname": f"CONCAT('{_word(name)}-', n.number)"}
    tables: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("nova_cell1.instances", "uuid", {**own, "updated_at": "utc_timestamp()"}), ("nova_cell1.instance_info_caches", "instance_uuid", {}),
        ("nova_cell1.instance_extra", "instance_uuid", {}), ("nova_cell1.instance_metadata", "instance_uuid", {}),
        ("nova_cell1.instance_system_metadata", "instance_uuid", {}),
        ("nova_cell1.block_device_mapping", "instance_uuid", {"uuid": "UUID()"}), ("nova_api.instance_mappings", "instance_uuid", {}),
    )  # fmt: skip
    rows = ", ".join(f"({number}, '{uuid.uuid4()}')" for number in range(count))
    steps = [
        "CREATE TEMPORARY TABLE nova_cell1.copies (number INT, made CHAR(36))",
        f"INSERT INTO nova_cell1.copies VALUES {rows}",
    ]
    steps += [_copy(table, key, changes, server) for table, key, changes in tables]
    steps.append(
        "INSERT INTO nova_cell1.instance_metadata (created_at, deleted, `key`, value, instance_uuid) "
        f"SELECT utc_timestamp(), 0, '{CLONED}', 'yes', made FROM nova_cell1.copies"
    )
    sql("; ".join(["SET NAMES utf8mb3", *steps]))


def unclone() -> None:
    """Remove all clones."""
    mine = f"SELECT instance_uuid FROM nova_cell1.instance_metadata WHERE `key` = '{CLONED}'"
    tables = ["instance_info_caches", "instance_extra", "instance_system_metadata", "block_device_mapping"]
    steps = ["CREATE TEMPORARY TABLE nova_cell1.copies (made CHAR(36))", f"INSERT INTO nova_cell1.copies {mine}"]
    names = [*(f"nova_cell1.{table}" for table in tables), "nova_api.instance_mappings", "nova_cell1.instance_metadata"]
    steps += [f"DELETE FROM {table} WHERE instance_uuid IN (SELECT made FROM nova_cell1.copies)" for table in names]
    steps.append("DELETE FROM nova_cell1.instances WHERE uuid IN (SELECT made FROM nova_cell1.copies)")
    sql("; ".join(["SET NAMES utf8mb3", "SET FOREIGN_KEY_CHECKS = 0", *steps]))


def _copy(table: str, key: str, changes: dict[str, str], server: str) -> str:
    schema, _, name = table.partition(".")
    found = sql(
        f"SELECT column_name, extra, column_key, is_generated FROM information_schema.columns WHERE table_schema = '{schema}' AND table_name = '{name}'"
    )
    described = [line.split("\t") for line in found.splitlines()]
    columns = [
        column for column, extra, _, generated in described if "auto_increment" not in extra and generated == "NEVER"
    ]
    values = [f"n.made AS `{key}`" if column == key else changes.get(column, f"s.`{column}`") for column in columns]
    living = " AND s.deleted = 0" if "deleted" in columns else ""
    names = ", ".join(f"`{column}`" for column in columns)
    return f"INSERT INTO {table} ({names}) SELECT {', '.join(values)} FROM {table} s, nova_cell1.copies n WHERE s.`{key}` = '{uuid.UUID(server)}'{living}"


def _word(text: str) -> str:
    if not text.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"not a plain word: {text!r}")
    return text


# --- cleaning up


def purge(user: str, project: str, mark: str) -> None:
    """Remove whatever of a project carries `mark` in its name, description, tags or metadata: servers first, then what they used."""
    cloud = Cloud(user, project)
    _remove(cloud, "compute", "/servers", "servers", mark, "/servers/detail")
    _remove(cloud, "network", "/floatingips", "floatingips", mark)
    _remove(cloud, "network", "/ports", "ports", mark)
    _remove(cloud, "volume", "/snapshots", "snapshots", mark, "/snapshots/detail")
    _remove(cloud, "volume", "/volumes", "volumes", mark, "/volumes/detail")
    _remove(cloud, "image", "/images", "images", mark, "/images?limit=500")
    for kind, path, key in (
        ("network", "/security-groups", "security_groups"),
        ("compute", "/os-server-groups", "server_groups"),
    ):
        _remove(cloud, kind, path, key, mark)


def _remove(cloud: Cloud, kind: str, path: str, key: str, mark: str, listing: str = "") -> None:
    def marked() -> list[dict[str, Any]]:
        return [
            entry
            for entry in cloud.listed(kind, listing or path, key)
            if mark in json.dumps(entry) and _own(cloud, entry)
        ]

    for entry in marked():
        _insist(partial(cloud.delete, kind, f"{path}/{entry['id']}"))
    until(f"{key} with {mark} in {cloud.project} are gone", lambda: not marked())


def _own(cloud: Cloud, entry: dict[str, Any]) -> bool:
    """Tell whether an entry is the project's own, and not only shown to it."""
    owners = [entry[name] for name in ("project_id", "tenant_id", "owner") if entry.get(name)]
    return not owners or cloud.ids["project"] in owners


def _insist(remove: Callable[[], None]) -> None:
    """Try again while something else still uses it."""
    for rest in reversed(range(20)):
        try:
            return remove()
        except Refused as refused:
            if refused.status not in (400, 409) or not rest:
                raise
            time.sleep(1)
    return None
