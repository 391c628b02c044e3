"""The agent: looks at the sessions of its desktop, tells the broker, and does what the broker asks. Never ends by itself.

Four threads: the main one looks, one reports, one waits for commands at the broker, one answers at the agent's own door.
"""

import argparse
import datetime
import logging
import os
import random
import signal
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

import portico
from portico.agent import diagnose, install, linux, server
from portico.agent.commands import Failed, Hands
from portico.agent.config import BadSettings, Settings, load
from portico.agent.http import Broker, BrokerAway, Rejected, own_address
from portico.agent.join import Admission, Waits, Way
from portico.agent.session import Moment, Sight, describe, step
from portico.agent.state import State, write_secret
from portico.wire import packing
from portico.wire.agent import VERSION

log = logging.getLogger("portico.agent")

_HOLD_SECONDS = 25
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 60.0
_MOST_RESULTS = 100


class Agent:
    """One agent, with what its threads share."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._state = State(settings.state)
        self._admission = Admission(settings, self._state)
        self._eyes = linux.Eyes(settings)
        self._hands = Hands(settings, self._state, self._eyes, self.look)
        self._sights: List[Sight] = []
        self._looking = threading.Lock()
        self._commanding = threading.Lock()
        self._results: Dict[str, Dict[str, Any]] = {}
        self._unsent_results: List[Dict[str, Any]] = []
        self._news = threading.Event()  # something is to be reported at once
        self._enrolled = threading.Event()
        self._ended = threading.Event()
        self._heartbeat_seconds = 60.0
        self._door: Optional[server.Door] = None

    def run(self) -> None:
        """Work until `end` is called."""
        self._forget_password()
        self._hands.settle_rights()  # of sessions that ended while we were away
        for work in (self._report_always, self._listen_always):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()
        while not self._ended.wait(self._settings.poll_seconds):
            try:
                self.look()
                self._hands.expire()
            except Failed as problem:
                log.error("password not replaced problem=%s", problem)
            except OSError as problem:
                log.error("look failed problem=%s", problem)
        if self._door is not None:
            self._door.shutdown()

    def end(self) -> None:
        """Have `run` return soon."""
        self._ended.set()
        self._news.set()

    def look(self) -> None:
        """Look at the sessions and note what happened."""
        with self._looking:
            known, users = self._state.sessions(), self._state.users()
            sights = self._eyes.look(with_idle=set(known))
            now = datetime.datetime.now(datetime.timezone.utc).isoformat()
            moment = Moment(now, self._settings.idle_after_seconds)
            after = step(known, users, self._sights, sights, moment)
            self._sights = sights
            if after.events or after.sessions != known or after.users != users:
                self._state.happened(after.sessions, after.users, after.events)
            # Within the lock: what is prepared after this look is not taken for what has ended in it.
            self._hands.settle_rights(*(event.session_kind for event in after.events if event.kind == "logged_off"))
        for event in after.events:
            log.info("session event kind=%s session=%s", event.kind, event.session)
        if after.events:
            self._news.set()

    def command(self, command: Dict[str, Any]) -> Dict[str, Any]:
        """Carry out a command, once for each id, and return its result."""
        name = str(command.get("id", ""))
        with self._commanding:
            if name not in self._results:
                self._results[name] = self._hands.carry_out(command)
                while len(self._results) > _MOST_RESULTS:
                    del self._results[next(iter(self._results))]  # the oldest: dicts keep their order
                log.info("command done kind=%s ok=%s", command.get("kind"), self._results[name]["ok"])
            result = self._results[name]
        self.look()
        return result

    def status(self) -> Dict[str, Any]:
        """Return what the agent's own door tells."""
        return {
            "agent_version": portico.__version__,
            "boot_id": self._state.boot_id,
            "sessions": self._described(),
        }

    def _forget_password(self) -> None:
        try:
            self._hands.make_useless()
        except (Failed, OSError) as problem:
            log.error("password not replaced problem=%s", problem)

    def _report_always(self) -> None:
        broker: Optional[Broker] = None
        pause = _FIRST_PAUSE_SECONDS
        while not self._ended.is_set():
            try:
                way = self._way()
                broker = _line(broker, way)
                if not self._state.credentials:
                    self._enroll(broker, way)
                if not self._enrolled.is_set():
                    self._open_door(way)
                    self._enrolled.set()
                    self._news.set()
                if self._news.wait(self._heartbeat_seconds) and self._ended.is_set():
                    return
                self._news.clear()
                self._report(broker)
                pause = _FIRST_PAUSE_SECONDS
            except Waits as answer:
                log.info("waiting to be admitted reason=%s", answer)
                self._ended.wait(_jitter(answer.seconds))
            except (BrokerAway, Rejected, OSError) as problem:
                self._give_up_credentials(problem)
                log.warning("broker not reached problem=%s", problem)
                self._news.set()  # what was to be said still is
                self._ended.wait(_jitter(pause))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _way(self) -> Way:
        """Return where the broker is. Raises BrokerAway while nothing says so."""
        if not self._state.credentials:
            self._admission.look()
        way = self._admission.way()
        if way is None:
            raise BrokerAway("neither the settings nor the instance's metadata say where the broker is")
        return way

    def _listen_always(self) -> None:
        broker: Optional[Broker] = None
        pause = _FIRST_PAUSE_SECONDS
        while not self._ended.is_set():
            way = self._admission.way() if self._enrolled.wait(1.0) else None
            if way is None:
                continue
            try:
                broker = _line(broker, way)
                path = "/agent/v1/commands?wait={}".format(_HOLD_SECONDS)
                bearer = self._state.credentials.get("bearer", "")
                began = time.monotonic()
                commands = _commands(broker.call("GET", path, bearer=bearer, seconds=_HOLD_SECONDS + 15.0))
                pause = _FIRST_PAUSE_SECONDS
                for command in commands:
                    self._unsent_results.append(self.command(command))
                    self._news.set()
            except (BrokerAway, Rejected, OSError) as problem:
                log.warning("no commands problem=%s", problem)
                self._ended.wait(_jitter(pause))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            if not commands and time.monotonic() - began < 1.0:
                self._ended.wait(1.0)  # a broker that does not hold the question is not asked in a circle

    def _enroll(self, broker: Broker, way: Way) -> None:
        answer = self._admission.enroll(broker, way, self._facts(self._settings.listen_port))
        self._beat(answer)
        log.info("enrolled agent=%s", answer.get("agent_id"))

    def _give_up_credentials(self, problem: Exception) -> None:
        if isinstance(problem, Rejected) and problem.status == 401 and self._enrolled.is_set():
            self._enrolled.clear()
            self._state.forget_credentials()

    def _open_door(self, way: Way) -> None:
        credentials = self._state.credentials
        if self._settings.ssh and credentials.get("ssh_user_ca"):
            write_secret(self._settings.ssh.user_ca_file, credentials["ssh_user_ca"].strip().encode("utf-8") + b"\n")
        if self._door is not None:
            self._door.shutdown()
            self._door.server_close()
            self._door = None
        if not self._settings.listen_port:
            return
        try:
            context = server.context_of(credentials, way.ca_fingerprint, self._settings.state)
            address = (self._settings.listen_address, self._settings.listen_port)
            self._door = server.Door(address, context, self.command, self.status)
        except (OSError, ValueError) as problem:  # then the broker reaches us over the commands that we fetch
            log.error("door not opened problem=%s", problem)
            return
        threading.Thread(target=self._door.serve_forever, name="door", daemon=True).start()

    def _report(self, broker: Broker) -> None:
        events, dropped = self._state.unsent(), self._state.dropped()
        results = list(self._unsent_results)
        body = {
            "v": VERSION,
            "boot_id": self._state.boot_id,
            "facts": self._facts(self._settings.listen_port if self._door else 0),
            "sessions": self._described(),
            "events": events,
            "results": results,
            "sequence": self._state.next_sequence(),
        }  # type: Dict[str, Any]
        if dropped:
            body["dropped"] = dropped
        answer = broker.call("POST", "/agent/v1/report", body, bearer=self._state.credentials.get("bearer", ""))
        self._state.delivered(events, dropped)
        del self._unsent_results[: len(results)]
        self._beat(answer)

    def _facts(self, port: int) -> Dict[str, Any]:
        way = self._admission.way()
        known = linux.facts(self._settings, port, own_address(way.broker_url) if way else "")
        return dict(known, **self._admission.facts())

    def _described(self) -> List[Dict[str, object]]:
        sessions = self._state.sessions()
        return [describe(session, self._eyes.idle_seconds(kind)) for kind, session in sorted(sessions.items())]

    def _beat(self, answer: Any) -> None:
        seconds = answer.get("heartbeat_seconds") if isinstance(answer, dict) else None
        if isinstance(seconds, (int, float)):
            self._heartbeat_seconds = min(max(float(seconds), 1.0), 3600.0)


def _line(broker: Optional[Broker], way: Way) -> Broker:
    """Return the connection to a broker: the one there is, if it still leads there."""
    if broker is not None and broker.leads_to(way.broker_url, way.ca_fingerprint):
        return broker
    if broker is not None:
        broker.close()
    return Broker(way.broker_url, way.ca_fingerprint)


def _jitter(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311 - only keeps many agents from coming at once


def _commands(answer: Any) -> List[Dict[str, Any]]:
    commands = answer.get("commands") if isinstance(answer, dict) else None
    if not isinstance(commands, list):
        raise BrokerAway("the answer holds no commands")
    return [command for command in commands if isinstance(command, dict)]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the agent with a settings file until it is told to end by a signal, or do what else is asked for."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in _VERBS:
        return _VERBS[words[0]](words[1:])
    parser = argparse.ArgumentParser(
        prog="portico agent",
        description="The Portico agent of this desktop.",
        epilog="Also: portico agent install | diagnose | pack, each with --help.",
    )
    parser.add_argument("--config", default="/etc/portico/agent.json", help="settings file (default: %(default)s)")
    arguments = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(0o077)
    try:
        agent = Agent(load(arguments.config))
    except (BadSettings, ValueError) as problem:
        log.error("settings not usable problem=%s", problem)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.end())
    agent.run()
    return 0


_VERBS: Dict[str, Callable[[Sequence[str]], int]] = {
    "install": install.main,
    "diagnose": diagnose.main,
    "pack": packing.main,
}
