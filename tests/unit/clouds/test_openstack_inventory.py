"""Servers and images of Nova and Glance as machines and images of ours; the shapes are those of a real cloud."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.clouds.openstack_inventory import (
    Volume,
    addresses,
    image,
    is_partial,
    machine,
    os_family,
    power,
    protocols,
)
from portico.domain.model import Power

SERVER: dict[str, Any] = {
    "id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "name": "desktop-7",
    "status": "ACTIVE",
    "OS-EXT-STS:task_state": None,
    "OS-EXT-STS:vm_state": "active",
    "created": "2026-11-26T07:00:01Z",
    "metadata": {"portico:deployment": "dep", "portico:desktop": "desk", "pool": "cad"},
    "tags": ["gold"],
    "image": {"id": "img-1", "properties": {"os_type": "linux", "os_distro": "debian"}},
    "flavor": {
        "vcpus": 1,
        "ram": 1024,
        "disk": 10,
        "ephemeral": 0,
        "original_name": "desktop.small",
        "extra_specs": {},
    },
    "addresses": {
        "desktops": [
            {"version": 6, "addr": "fd00::5", "OS-EXT-IPS:type": "fixed"},
            {"version": 4, "addr": "10.10.0.5", "OS-EXT-IPS:type": "fixed"},
            {"version": 4, "addr": "172.24.1.9", "OS-EXT-IPS:type": "floating"},
        ]
    },
    "os-extended-volumes:volumes_attached": [],
}


@pytest.mark.capability("S089", "S090")
def test_a_server_is_read_in_full() -> None:
    """Ids from our metadata, addresses of both kinds, image, flavor, time, system, other metadata and tags."""
    seen = machine(SERVER)
    assert (seen.external_id, seen.name, seen.power, seen.ready) == (SERVER["id"], "desktop-7", Power.RUNNING, True)
    assert (seen.deployment_id, seen.desktop_id) == ("dep", "desk")
    assert (seen.address, seen.public_address) == ("10.10.0.5", "172.24.1.9")
    assert (seen.image_id, seen.flavor, seen.os_family) == ("img-1", "desktop.small", "linux")
    assert seen.created_at == datetime(2026, 11, 26, 7, 0, 1, tzinfo=UTC)
    assert seen.tags == {"pool": "cad", "gold": ""}
    assert not seen.gone
    assert seen.error == ""


@pytest.mark.capability("S090")
@pytest.mark.parametrize(
    ("status", "task", "wanted", "ready"),
    [
        ("ACTIVE", "", Power.RUNNING, True),
        ("ACTIVE", "powering-off", Power.STOPPING, False),
        ("ACTIVE", "suspending", Power.STOPPING, False),
        ("ACTIVE", "reboot_started_hard", Power.STARTING, False),
        ("ACTIVE", "rebuilding", Power.STARTING, False),
        ("ACTIVE", "deleting", Power.STOPPING, False),
        ("BUILD", "scheduling", Power.STARTING, False),
        ("BUILD", "spawning", Power.STARTING, False),
        ("REBUILD", "rebuild_spawning", Power.STARTING, False),
        ("REBOOT", "rebooting", Power.STARTING, False),
        ("HARD_REBOOT", "rebooting_hard", Power.STARTING, False),
        ("SHUTOFF", "", Power.STOPPED, True),
        ("SHUTOFF", "powering-on", Power.STARTING, False),
        ("SUSPENDED", "", Power.SUSPENDED, True),
        ("SUSPENDED", "resuming", Power.STARTING, False),
        ("PAUSED", "", Power.PAUSED, True),
        ("SHELVED", "", Power.SHELVED, True),
        ("SHELVED_OFFLOADED", "", Power.SHELVED, True),
        ("SHELVED_OFFLOADED", "unshelving", Power.STARTING, False),
        ("RESCUE", "", Power.UNKNOWN, True),
        ("RESIZE", "resize_finish", Power.STOPPED, False),
        ("VERIFY_RESIZE", "", Power.RUNNING, True),
        ("ERROR", "", Power.ERROR, False),
        ("UNKNOWN", "", Power.UNKNOWN, True),
        ("SOMETHING_NEW", "", Power.UNKNOWN, True),
    ],
)
def test_every_state_of_nova_has_a_power(status: str, task: str, wanted: Power, ready: bool) -> None:
    """A task that is under way says more than the state; a machine with a task is not ready for the next call."""
    assert power(status, task) is wanted
    seen = machine({**SERVER, "status": status, "OS-EXT-STS:task_state": task or None})
    assert (seen.power, seen.ready) == (wanted, ready)


@pytest.mark.capability("S089")
@pytest.mark.parametrize("status", ["DELETED", "SOFT_DELETED"])
def test_an_explicit_deletion_is_told(status: str) -> None:
    """As `changes-since` lists it, with next to nothing in it."""
    assert machine({"id": "x", "name": "n", "status": status, "metadata": {}, "addresses": {}, "image": ""}).gone


@pytest.mark.capability("S090")
def test_a_fault_is_told_in_the_clouds_words() -> None:
    """Only of a server in ERROR: old faults stay on servers that work again."""
    fault = {"fault": {"code": 500, "message": "No valid host was found. ", "created": "2026-11-26T07:00:05Z"}}
    assert machine({**SERVER, **fault, "status": "ERROR"}).error == "No valid host was found."
    assert machine({**SERVER, **fault}).error == ""
    assert machine({**SERVER, "status": "ERROR"}).error


@pytest.mark.capability("S090", "S104")
def test_the_image_of_a_machine_on_a_volume_comes_from_our_tag_or_from_its_volume() -> None:
    """Nova says "" there."""
    booted = {**SERVER, "image": "", "os-extended-volumes:volumes_attached": [{"id": "vol-1"}]}
    volumes = {"vol-1": Volume("img-9", {"os_type": "windows"})}
    seen = machine(booted, {}, volumes)
    assert (seen.image_id, seen.os_family) == ("img-9", "windows")
    assert machine(booted).image_id is None
    tagged = {**booted, "metadata": {"portico:image": "img-3"}}
    assert machine(tagged).image_id == "img-3"
    assert machine(tagged).tags == {"gold": ""}


@pytest.mark.capability("S090")
def test_a_server_of_a_silent_cell_is_partial() -> None:
    """Nova lists it with its id alone."""
    assert is_partial(
        {"id": "x", "status": "UNKNOWN", "tenant_id": "p", "created": "2026-11-26T07:00:01Z", "links": []}
    )
    assert not is_partial(SERVER)


@pytest.mark.capability("S089", "S104", "S013")
@pytest.mark.parametrize(
    ("properties", "family"),
    [
        ({"os_type": "windows"}, "windows"),
        ({"os_type": "Linux"}, "linux"),
        ({"os_distro": "ubuntu"}, "linux"),
        ({"os_distro": "windows"}, "windows"),
        ({"name": "Win11 CAD"}, "windows"),
        ({"name": "Rocky 9"}, "linux"),
        ({"name": "darwin"}, ""),
        ({"name": "winter"}, ""),
        ({}, ""),
    ],
)
def test_an_image_tells_its_system(properties: dict[str, str], family: str) -> None:
    """By its properties, else by its name."""
    found = image({"id": "i", "name": "n", "visibility": "shared", "min_disk": 20, "min_ram": 2048, **properties})
    assert found.os_family == family
    assert (found.min_disk_gib, found.min_ram_mib, found.visibility) == (20, 2048, "shared")
    assert os_family({"os_type": ""}) == ""


@pytest.mark.capability("S090")
def test_protocols_are_read_from_a_tag() -> None:
    """What cannot be read is left out."""
    assert protocols("rdp=3389, ssh=22") == {"rdp": 3389, "ssh": 22}
    assert protocols("rdp=99999 =5 ssh vnc=0 x=1a") == {}
    assert addresses({}) == (None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.capability("S090")
@given(
    st.fixed_dictionaries(
        {"id": st.uuids().map(str)},
        optional={
            "status": st.text(max_size=10), "name": st.none() | st.text(max_size=10), "created": JSON, "fault": st.none() | st.just({}),
            "metadata": st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5)), "flavor": st.none() | st.just({}),
            "image": st.none() | st.just("") | st.just({}), "addresses": st.none() | st.just({"n": [{}]}), "tags": st.none() | st.just([]),
        },
    )
)  # fmt: skip
def test_a_sparse_server_is_read_all_the_same(server: dict[str, Any]) -> None:
    """Whatever a cloud leaves out."""
    assert machine(server).external_id == server["id"]
