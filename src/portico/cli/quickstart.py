"""`portico quickstart`: from an entry of a clouds.yaml to a center, a pool, a policy that offers it, and the portal's address.

It asks only what it cannot find out. What it made once it finds again by its name, so that it can be run until it is through.
"""

import argparse
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from portico.cli import logins
from portico.cli.api import Client
from portico.cli.clouds_yaml import settings
from portico.cli.running import guarded
from portico.errors import Conflict, Invalid, Unavailable

JOB_SECONDS = 600
READY_SECONDS = 1800
POLL_SECONDS = 1.0
# flag → what it is chosen from, what it is called, whether there may be none
MENUS = (
    ("image", "images", "image", False),
    ("flavor", "flavors", "flavor", True),
    ("network", "networks", "network", True),
)


def main(argv: Sequence[str]) -> int:
    """Run it and return the exit status."""
    given = _parser().parse_args(argv)
    return guarded(lambda: _run(logins.client(given), given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="portico quickstart", description=str(__doc__).partition("\n\n")[0], allow_abbrev=False
    )
    parser.add_argument("--os-cloud", metavar="NAME", help="entry of clouds.yaml")
    parser.add_argument(
        "--clouds-yaml", type=Path, metavar="FILE", help="OS_CLIENT_CONFIG_FILE and the usual places when left out"
    )
    parser.add_argument("--kind", default="openstack", help="kind of the center; default: %(default)s")
    parser.add_argument("--center", metavar="NAME", help="name of the center; default: that of the cloud")
    parser.add_argument("--image", help="what desktops are made from, by name or id; asked for when there are several")
    parser.add_argument("--flavor", help="how large they are")
    parser.add_argument("--network", help="where they are attached")
    parser.add_argument("--floating-ip", action=argparse.BooleanOptionalAction, help="give each a floating IP")
    parser.add_argument("--pool", metavar="NAME", help="name of the pool; default: that of the image")
    parser.add_argument(
        "--start-below", type=int, default=1, metavar="N", help="so many are always free; default: %(default)s"
    )
    parser.add_argument(
        "--stop-at", type=int, default=3, metavar="N", help="never more than so many; default: %(default)s"
    )
    parser.add_argument("--policy", metavar="NAME", help="policy that offers the pool; default: the default policy")
    parser.add_argument("--yes", action="store_true", help="ask nothing: what cannot be found out must be given")
    parser.add_argument("--wait", action="store_true", help="wait until the first desktop is ready")
    logins.options(parser)
    return parser


def _run(client: Client, given: argparse.Namespace) -> int:
    center = _center(client, given)
    _check(client, center)
    _say("Looking at the center.")
    client.wait(client.call("POST", f"centers/{center['id']}/scan", {})["job"], JOB_SECONDS)
    pool = _named(client, "pools", given.pool) if given.pool else None
    if pool is None:
        pool = _pool(client, center, given)
    policy = _policy(client, pool, given)
    if given.wait:
        _await(client, pool)
    _say(f"Policy {policy} offers the pool {pool['name']}. Log in at:")
    sys.stdout.write(f"{client.url}/\n")
    return 0


def _center(client: Client, given: argparse.Namespace) -> Mapping[str, Any]:
    name = given.center or given.os_cloud
    if not name:
        raise Invalid("Say which cloud with --os-cloud NAME.")
    found = _named(client, "centers", name)
    if found is not None:
        if found["kind"] != given.kind:
            raise Conflict(f"The center {name} is of the kind {found['kind']}. Choose another name with --center.")
        _say(f"The center {name} is there.")
        return found
    if given.kind == "openstack" and not given.os_cloud:
        raise Invalid("Say which cloud with --os-cloud NAME.")
    typed = settings(given.os_cloud, given.clouds_yaml) if given.kind == "openstack" else {}
    made: Mapping[str, Any] = client.call("POST", "centers", {"name": name, "kind": given.kind, "settings": typed})
    _say(f"Made the center {name}.")
    return made


def _check(client: Client, center: Mapping[str, Any]) -> None:
    """Say what a pre-flight finds missing; it stops nothing, for not all of it is needed by everybody."""
    for one in client.call("POST", f"centers/{center['id']}/check", {})["findings"]:
        if one["state"] in ("missing", "warning"):
            _say(f"{one['name']}: {one['state']}. {one['remedy']}")


def _pool(client: Client, center: Mapping[str, Any], given: argparse.Namespace) -> Mapping[str, Any]:
    menus = client.get(f"centers/{center['id']}/choices")
    chosen = {flag: _choose(menus[menu], flag, title, getattr(given, flag), given.yes, optional)
              for flag, menu, title, optional in MENUS}  # fmt: skip
    image = next(one["label"] for one in menus["images"] if one["value"] == chosen["image"])
    name = given.pool or image
    found = _named(client, "pools", name)
    if found is not None:
        _say(f"The pool {name} is there.")
        return found
    floating = given.floating_ip
    if floating is None:
        floating = bool(menus["floating_networks"]) and not given.yes and _agreed("Give each desktop a floating IP?")
    provisioning = {
        **chosen, "center_id": center["id"], "deletable": True,
        "name_template": f"{_host_name(name)}-{{SEQUENCE}}",
        "limits": {"enabled": True, "start_below": given.start_below, "stop_at": given.stop_at},
        "placement": {"floating_ip": floating},
    }  # fmt: skip
    made: Mapping[str, Any] = client.call(
        "POST", "pools", {"name": name, "rule": {"own_builds": True}, "provisioning": provisioning}
    )
    _say(f"Made the pool {name}: at least {given.start_below} free, at most {given.stop_at} desktops.")
    return made


def _choose(
    menu: Sequence[Mapping[str, str]], flag: str, title: str, wanted: str | None, silent: bool, optional: bool
) -> str:
    """Return an entry of a menu: what was given, the only one there is, or what is asked for."""
    if wanted:
        found = [one["value"] for one in menu if wanted in (one["value"], one["label"])]
        if len(found) != 1:
            which = "There is no" if not found else "There are several"
            raise Invalid(f"{which} {title} {wanted}. Give --{flag} one of: {_listed(menu)}.")
        return found[0]
    if len(menu) == 1:
        return menu[0]["value"]
    if not menu:
        if optional:
            return ""
        raise Conflict(f"The center has no {title}. Bring one into the cloud, then run this again.")
    if silent or not sys.stdin.isatty():
        raise Invalid(f"There are several to choose from. Give --{flag} one of: {_listed(menu)}.")
    for number, one in enumerate(menu, 1):
        sys.stderr.write(f"{number:3}  {one['label']}{'  ' + one['note'] if one.get('note') else ''}\n")
    while True:
        typed = _asked(f"Which {title}? [1-{len(menu)}] ")
        if typed.isdigit() and 1 <= int(typed) <= len(menu):
            return menu[int(typed) - 1]["value"]


def _listed(menu: Sequence[Mapping[str, str]]) -> str:
    return ", ".join(one["label"] for one in menu[:30]) + (" …" if len(menu) > 30 else "")


def _policy(client: Client, pool: Mapping[str, Any], given: argparse.Namespace) -> str:
    """Let a policy offer the pool, after what it offers already."""
    if given.policy:
        policy = _named(client, "policies", given.policy) or client.call("POST", "policies", {"name": given.policy})
    else:
        policy = next(client.items("policies", {"default": "true"}))
    lines = policy.get("assignments") or []
    if not any(line["pool_id"] == pool["id"] for line in lines):
        client.call(
            "PATCH", f"policies/{policy['id']}", {"assignments": [*lines, {"pool_id": pool["id"], "quantity": 1}]}
        )
    return str(policy["name"])


def _await(client: Client, pool: Mapping[str, Any]) -> None:
    _say("Waiting for the first desktop.")
    until = time.monotonic() + READY_SECONDS
    while True:
        now = client.get(f"pools/{quote(pool['id'])}")
        if (now.get("counts") or {}).get("available"):
            return
        if now.get("stopped_reason"):
            raise Conflict(f"The pool stopped: {now['stopped_reason']}. `portico event list --level error` tells why.")
        if time.monotonic() > until:
            raise Unavailable("The first desktop is not ready yet. `portico desktop list` tells how it stands.")
        time.sleep(POLL_SECONDS)


def _named(client: Client, noun: str, name: str) -> Mapping[str, Any] | None:
    return next((one for one in client.items(noun, {"q": name}) if one["name"] == name), None)


def _host_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:40] or "desktop"


def _agreed(question: str) -> bool:
    return sys.stdin.isatty() and _asked(f"{question} [y/N] ").lower() in ("y", "yes")


def _asked(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise Invalid("There is nobody to ask. Give what is asked for as an option.")
    return line.strip()


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
