"""`portico demo`: everything on this machine as the separate processes that it always is, with people and desktops in it."""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic, sleep

from portico.errors import PorticoError
from portico.ops import demo_content, demo_state
from portico.ops.client import Client, pinned
from portico.ops.processes import Broken, Console, Process, wait_until

PARTS = ("broker", "gateway", "front")
RESTARTS = 5  # of one part in a demo; more mean that something is wrong
RESTART_SECONDS = 1.0


class Demo:
    """One running demo."""

    def __init__(self, state: Path, options: argparse.Namespace, console: Console) -> None:
        self.state, self.keep, self.host, self.database = state, options.keep, options.host, options.database
        self.console = console
        self.say = console.voice("demo")
        self.voices = {name: console.voice(name) for name in PARTS}
        self.processes: dict[str, Process] = {}
        self.restarts = dict.fromkeys(PARTS, 0)
        self.environ: dict[str, str] = {}
        self.facts: dict[str, object] = {}

    def start(self, port: int) -> None:
        """Bring everything up, its front on `port`, and wait until a desktop of each pool can be opened.

        Raises Broken with the story of what failed.
        """
        began = monotonic()
        settings = demo_state.settings(self.state, port, self.host)
        demo_state.write_settings(self.state / "portico.toml", settings | {"database": self.database})
        self.environ = _environment(self.state / "portico.toml")
        self.say("starting the broker")
        self._run("broker")
        first_run = self.state / "first-run.json"
        self._wait("The first start of the broker", lambda: demo_state.read_json(first_run) is not None, 90)
        first = demo_state.read_json(first_run)
        client = self._client(str(settings["broker_url"]), first["ca_fingerprint"])
        self.environ["PORTICO_CA_FINGERPRINT"] = first["ca_fingerprint"]
        self.environ["PORTICO_GATEWAY_TOKEN"] = first["gateway_token"]
        self.say("starting the gateway and the front")
        self._run("gateway")
        self._run("front")
        client.login(**_credentials(first["administrator"]))
        content = self._content(client)
        self.say("waiting for the first desktops")
        everything = set(content.pools)
        self._wait("Building the first desktops", lambda: demo_content.ready_pools(client, content) == everything, 180)
        self.facts = {
            "url": settings["public_url"],
            "administrator": first["administrator"],
            "content": asdict(content),
            "seconds_to_ready": round(monotonic() - began, 1),
        }
        self.publish()

    def publish(self) -> None:
        """Write demo.json, for whoever drives the demo: address, people, pids."""
        pids = {name: process.pid for name, process in self.processes.items()}
        demo_state.write_secret(self.state / "demo.json", json.dumps({**self.facts, "pids": pids}, indent=1))

    def follow(self) -> None:
        """Watch until interrupted. A part that ends is started again, as a service manager would; again and again is trouble."""
        while True:
            for name, process in list(self.processes.items()):
                if process.status() is None:
                    continue
                self.restarts[name] += 1
                if self.restarts[name] > RESTARTS:
                    process.check()
                self.say(f"the {name} has ended; starting it again")
                sleep(RESTART_SECONDS)
                self._run(name)
                self.publish()
            sleep(0.2)

    def clean_up(self) -> None:
        """Stop all parts, then end every desktop and remove its account and files: nothing is left to build new ones."""
        for name in reversed(PARTS):
            if name in self.processes:
                self.processes.pop(name).stop()
        try:
            count = demo_state.sweep(self.state)
            self.say(f"stopped; {count} desktop{'' if count == 1 else 's'} removed")
        except PorticoError as trouble:
            self.say(
                f"not all desktops are gone; starting the demo again removes them. {trouble.sentence} {trouble.detail}"
            )
            self.keep = True
        if self.keep:
            self.say(f"kept: {self.state}")
        else:
            demo_state.remove(self.state)

    def _run(self, name: str) -> None:
        argv = (sys.executable, "-m", "portico", name)
        self.processes[name] = Process(name, argv, self.environ, self.state / f"{name}.log", self.voices[name])

    def _wait(self, what: str, ready: Callable[[], bool], seconds: float) -> None:
        wait_until(what, ready, seconds, tuple(self.processes.values()))

    def _client(self, url: str, fingerprint: str) -> Client:
        found: list[Client] = []

        def ready() -> bool:
            try:
                found.append(Client(url, pinned(url, fingerprint)))
            except PorticoError:
                return False
            return found[-1].is_ready()

        self._wait("The start of the broker", ready, 60)
        return found[-1]

    def _content(self, client: Client) -> demo_content.Content:
        file = self.state / "content.json"
        known = demo_state.read_json(file)
        if known is not None:
            return demo_content.Content(**known)
        self.say("making a center, pools, a policy and two people")
        content = demo_content.make(client, self._wait, demo_state.desktops(self.state))
        demo_state.write_secret(file, json.dumps(asdict(content), indent=1))
        return content


def main(argv: Sequence[str]) -> int:
    """Run the demo until Ctrl-C. Returns 0 then, 1 when a part failed."""
    options = _arguments(argv)
    state = (options.state or Path(tempfile.gettempdir()) / "portico-demo").absolute()
    console = Console()
    # Ctrl-C too: a shell that starts us in the background has it ignored, and then nothing would ever clean up.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with demo_state.taken(state), demo_state.front_port() as port:
        demo_state.prepare(state, options.keep)
        demo = Demo(state, options, console)
        try:
            demo.start(port)
            console.show(_welcome(demo.facts))
            demo.follow()
        except KeyboardInterrupt:
            return 0
        except PorticoError as trouble:
            _explain(console, trouble, state)
            demo.keep = demo.keep or isinstance(trouble, Broken)  # The logs are needed now.
            return 1
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # Cleaning up is not interrupted: it is what was asked for.
            demo.clean_up()
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="portico demo", description="Run everything on this machine, for a first look."
    )
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="where everything is kept (default: portico-demo in /tmp)"
    )
    parser.add_argument("--keep", action="store_true", help="keep people, pools and logs for the next time")
    parser.add_argument(
        "--host", default="localhost", metavar="NAME", help="be reached from other machines, by this name"
    )
    parser.add_argument(
        "--database",
        default="",
        metavar="URL",
        help="an empty database to use, such as postgresql+psycopg://… (default: SQLite)",
    )
    return parser.parse_args(argv)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _credentials(administrator: Mapping[str, str]) -> dict[str, str]:
    return {"username": administrator["login"], "password": administrator["password"]}


def _environment(config: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PORTICO_")}
    return {**kept, "PORTICO_CONFIG": str(config), "PYTHONUNBUFFERED": "1"}


def _explain(console: Console, trouble: PorticoError, state: Path) -> None:
    console.show(f"\n{trouble.sentence}")
    if trouble.detail:
        console.show(trouble.detail)
    console.show(f"\nThe logs are in {state}/*.log. `portico doctor` tells what this machine lacks.\n")


def _welcome(facts: Mapping[str, object]) -> str:
    administrator, content = facts["administrator"], facts["content"]
    assert isinstance(administrator, dict)
    assert isinstance(content, dict)
    rows = [
        ("Portico is ready", str(facts["url"])),
        ("", ""),
        (f"{administrator['login']} (console)", administrator["password"]),
        *content["people"].items(),
        ("", ""),
        ("Your browser will ask", "the certificate is this demo's own"),
        ("Ctrl-C", "ends the demo and removes all of it"),
    ]
    left = max(len(row[0]) for row in rows)
    width = left + 3 + max(len(row[1]) for row in rows)
    body = "\n".join(f"│ {f'{name:{left}}   {text}':{width}} │" for name, text in rows)
    return f"\n╭{'─' * (width + 2)}╮\n{body}\n╰{'─' * (width + 2)}╯\n"
