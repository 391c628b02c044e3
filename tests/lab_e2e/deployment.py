"""A whole deployment whose desktops are real guests: broker, gateway and front as processes, made ready over REST as by anybody."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import sleep
from typing import Any

from portico.cli.api import Address, Client
from portico.errors import PorticoError
from portico.ops import demo_content, demo_state
from portico.ops.client import Client as First
from portico.ops.client import pinned
from portico.ops.processes import Console, Process, wait_until

PARTS = ("broker", "gateway", "front")
START_SECONDS = 120


class Deployment:
    """Broker, gateway and front. People and agents reach it at `host`, an address that guests can reach too."""

    def __init__(self, state: Path, host: str) -> None:
        self.state, self.host = state, host
        self.processes: dict[str, Process] = {}
        self.environ: dict[str, str] = {}
        self.url = ""
        self._console = Console(colours=False)

    def start(self) -> Client:
        """Start all parts; return a client that is logged in as the administrator."""
        values = demo_state.settings(self.state, demo_state.free_port(), self.host)
        self.url = str(values["public_url"])
        # Not everywhere, as a demo that is to be reached from outside, but where guests come from alone.
        values["front_listen"] = self.url.removeprefix("https://")
        demo_state.write_settings(self.state / "portico.toml", values)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PORTICO_")}
        self.environ = {**kept, "PORTICO_CONFIG": str(self.state / "portico.toml"), "PYTHONUNBUFFERED": "1"}
        self._run("broker")
        found = self.state / "first-run.json"
        self.wait("the first start of the broker", lambda: demo_state.read_json(found) is not None)
        first = demo_state.read_json(found)
        self.environ |= {
            "PORTICO_CA_FINGERPRINT": first["ca_fingerprint"],
            "PORTICO_GATEWAY_TOKEN": first["gateway_token"],
        }
        broker = str(values["broker_url"])
        self.wait("the broker's answer", lambda: self._answers(broker, first["ca_fingerprint"]))
        self._run("gateway")
        self._run("front")
        self.wait("the front's answer", lambda: self._answers(self.url, first["ca_fingerprint"]))
        login, password = first["administrator"]["login"], first["administrator"]["password"]
        plain = First(self.url, pinned(self.url, first["ca_fingerprint"]))
        token = str(plain.login(login, password)["token"])
        # The CA's text, for a client that may change things too.
        authority = plain._ask("GET", "/gateway/v1/ca", None)[1].decode("ascii")
        return Client(Address(self.url, authority), token)

    def wait(self, what: str, ready: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Wait until something is so. Raises portico.ops.processes.Broken, with what the processes said last."""

        def unhurried() -> bool:
            sleep(0.5)  # The processor is the guest's.
            return ready()

        wait_until(what, unhurried, seconds, tuple(self.processes.values()))

    def stop(self) -> None:
        """End all parts."""
        for name in reversed(PARTS):
            if name in self.processes:
                self.processes.pop(name).stop()

    def _run(self, name: str) -> None:
        argv = (sys.executable, "-m", "portico", name)
        # The whole story is in the files; a test's output is for the result.
        self.processes[name] = Process(name, argv, self.environ, self.state / f"{name}.log", lambda line: None)

    def _answers(self, url: str, fingerprint: str) -> bool:
        try:
            return First(url, pinned(url, fingerprint)).is_ready()
        except PorticoError:
            return False


def make_pool(client: Client, center: Mapping[str, Any], wanted: Mapping[str, Any], login: str) -> tuple[str, str]:
    """Make a center, a pool of one single-use desktop, a policy that offers it over SSH, and a person; return pool and password."""
    center_id = client.call("POST", "centers", center)["id"]
    client.wait(client.call("POST", f"centers/{center_id}/scan", {})["job"], START_SECONDS)
    menus = client.get(f"centers/{center_id}/choices")
    chosen = {one: _value(menus[f"{one}s"], str(wanted[one])) for one in ("image", "flavor", "network")}
    made = {
        **chosen, "center_id": center_id, "deletable": True, "name_template": str(wanted["name"]) + "-{SEQUENCE}",
        "limits": {"enabled": True, "start_below": 1, "stop_at": 1}, "placement": dict(wanted["placement"]),
    }  # fmt: skip
    pool = {"name": wanted["title"], "rule": {"own_builds": True}, "provisioning": made}
    pool_id = client.call("POST", "pools", pool)["id"]
    plan = client.call("POST", "protocol-plans", {"name": "Terminal in the browser", "protocols": ["ssh"]})["id"]
    release = {"name": "Single use", "release_after_log_out_minutes": 0, "delete_after_release": True}
    line = {
        "pool_id": pool_id, "quantity": 1, "display": "pool", "protocol_plan_id": plan,
        "release_plan_id": client.call("POST", "release-plans", release)["id"],
    }  # fmt: skip
    policy = client.call("POST", "policies", {"name": "Guests", "assignments": [line]})["id"]
    roles = client.items("roles", {})
    role = next(one["id"] for one in roles if one["builtin"] and one["may_log_in"] and not one["areas"])
    password = demo_content.password()
    person = {
        "login_name": login, "display_name": login.title(), "password": password, "role_id": role, "policy_id": policy,
        "must_change_password": False,
    }  # fmt: skip
    client.call("POST", "users", person)
    return str(pool_id), password


def stop_refilling(client: Client, pool_id: str) -> None:
    """Let a pool build no more."""
    pool = client.get(f"pools/{pool_id}")
    made = {**pool["provisioning"], "limits": {**pool["provisioning"]["limits"], "enabled": False}}
    client.call("PATCH", f"pools/{pool_id}", {"provisioning": made})


def _value(menu: list[Mapping[str, str]], label: str) -> str:
    found = [one["value"] for one in menu if one["label"] == label]
    assert len(found) == 1, f"{label} is not one of {[one['label'] for one in menu]}"
    return found[0]
