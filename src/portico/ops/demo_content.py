"""What a demo has in it: a center on this machine, two pools, plans, a policy, two people. Made over REST, as anybody would."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portico.ops.client import Client

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is mistaken for another
PEOPLE = (("ada", "Ada"), ("grace", "Grace"))


@dataclass(frozen=True, slots=True)
class PoolWish:
    """One pool of the demo."""

    name: str
    image: str
    prefix: str  # of its desktops' names
    stop_at: int
    protocols: tuple[str, ...]
    plan: str


POOLS = (
    PoolWish("Linux desktops", "linux-desktop", "desk-", 4, ("vnc", "ssh"), "Desktop in the browser"),
    PoolWish("Shell", "linux-shell", "shell-", 3, ("ssh",), "Terminal in the browser"),
)

Wait = Callable[[str, Callable[[], bool], float], None]


@dataclass(frozen=True, slots=True)
class Content:
    """What was made."""

    center_id: str
    pools: Mapping[str, str]  # name → id
    people: Mapping[str, str]  # login name → password


def password() -> str:
    """Return a new password that is easy to type: four groups of four, some 78 bits."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4))


def make(client: Client, wait: Wait, desktops: Path) -> Content:
    """Make all of it, the desktops to live below `desktops`. The client must be logged in as an administrator."""
    settings = {"directory": str(desktops)}
    center = client.post("centers", {"name": "This machine", "kind": "local", "settings": settings})["id"]
    wait("Finding the images of this machine", lambda: _has_images(client, center), 60)
    single_use = client.post(
        "release-plans",
        {
            "name": "Single use",
            "release_after_log_out_minutes": 0,
            "delete_after_release": True,
            "release_if_never_connected_minutes": 15,
        },
    )["id"]
    pools = {wish.name: client.post("pools", _pool(wish, center))["id"] for wish in POOLS}
    plans = {wish.plan: client.post("protocol-plans", _protocol_plan(wish))["id"] for wish in POOLS}
    lines = [
        {
            "pool_id": pools[wish.name],
            "quantity": 1,
            "display": "pool",
            "protocol_plan_id": plans[wish.plan],
            "release_plan_id": single_use,
        }
        for wish in POOLS
    ]
    policy = client.post("policies", {"name": "Demo", "assignments": lines})["id"]
    role = _role_of_users(tuple(client.items("roles")))
    people = {login: password() for login, _ in PEOPLE}
    for login, name in PEOPLE:
        client.post(
            "users",
            {
                "login_name": login,
                "display_name": name,
                "password": people[login],
                "role_id": role,
                "policy_id": policy,
                "must_change_password": False,
            },
        )
    return Content(center, pools, people)


def ready_pools(client: Client, content: Content) -> set[str]:
    """Return the names of the pools that have a desktop to give."""
    ready = {
        desktop["built_for_pool"]
        for desktop in client.items("desktops")
        if (desktop["stage"], desktop["agent"], desktop["status"]) == ("ready", "running", "available")
    }
    return {name for name, pool_id in content.pools.items() if pool_id in ready}


def _has_images(client: Client, center: str) -> bool:
    found = {image["external_id"] for image in client.items("images") if image["center_id"] == center}
    return {wish.image for wish in POOLS} <= found


def _pool(wish: PoolWish, center: str) -> dict[str, Any]:
    return {
        "name": wish.name,
        "rule": {"own_builds": True},
        "provisioning": {
            "center_id": center,
            "image": wish.image,
            "limits": {"enabled": True, "start_below": 1, "stop_at": wish.stop_at},
            "name_template": wish.prefix + "{SEQUENCE:2}",
            "deletable": True,
        },
    }


def _protocol_plan(wish: PoolWish) -> dict[str, Any]:
    return {"name": wish.plan, "protocols": list(wish.protocols)}


def _role_of_users(roles: Sequence[Mapping[str, Any]]) -> str:
    """Return the id of the built-in role that may log in and sees nothing of the console."""
    return str(next(role["id"] for role in roles if role["builtin"] and role["may_log_in"] and not role["areas"]))
