"""How an agent becomes known to its broker: by the one-time token of its machine, else as one that waits until it is vouched for."""

import hashlib
import logging
import os
import socket
import time
from typing import Any, Dict, List, NamedTuple, Optional

import portico
from portico.agent import config, instance
from portico.agent.config import Settings
from portico.agent.http import Broker, BrokerAway, Rejected
from portico.agent.state import State
from portico.wire.agent import VERSION

log = logging.getLogger("portico.agent")

_LOOK_AGAIN_SECONDS = 300.0
_UNAUTHORIZED, _FORBIDDEN, _CONFLICT = 401, 403, 409
_REFUSED_SECONDS = 600.0


class Waits(Exception):
    """It is not admitted yet: when to ask again."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Way(NamedTuple):
    """Where the broker is and by which CA it is known, with what admits us there."""

    broker_url: str
    ca_fingerprint: str
    token: str
    join_key: str


def settle(settings: Settings, hello: Dict[str, str]) -> Optional[Way]:
    """Return the way to the broker; None when nothing says where it is. What the file says holds before metadata.

    A token or key that metadata brings for another deployment than the file's is not sent to the file's.
    """
    try:
        url = config.broker_url(hello["broker_url"])
        digits = config.fingerprint(hello["ca_fingerprint"])
    except (KeyError, ValueError):
        url, digits = "", ""
    mine = bool(settings.broker_url)
    if not mine and not url:
        return None
    fits = not mine or not digits or digits == settings.ca_fingerprint
    return Way(
        settings.broker_url or url,
        settings.ca_fingerprint or digits,
        settings.token or (hello.get("token", "") if fits else ""),
        settings.join_key or (hello.get("join_key", "") if fits else ""),
    )


class Admission:
    """What this machine knows of itself and of its broker. Used by one thread, read by others."""

    def __init__(self, settings: Settings, state: State) -> None:
        self._settings = settings
        self._state = state
        self._looked_at: Optional[float] = None
        self._found = instance.Instance("", "", "", {}, "")
        self._useless = ""  # the hash of a token that the broker has refused
        self._said = ""
        if settings.metadata and state.credentials:
            self._notice_a_copy()

    def _notice_a_copy(self) -> None:
        """Forget who we were when this is another machine: an image was made of one that was enrolled."""
        firmware = instance.firmware_uuid()
        if firmware and self._state.identity.get("firmware") == firmware:
            return
        self.look()
        now = {"uuid": self._found.uuid, "firmware": firmware}
        if any(
            now[name] and known and now[name] != known for name, known in self._state.identity.items() if name in now
        ):
            log.warning("this machine is a copy of the one that was enrolled; it enrols as itself")
            self._state.begin_anew()

    def look(self) -> None:
        """Ask what this instance is, unless the settings forbid it."""
        if not self._settings.metadata:
            return
        self._found = instance.find()
        self._looked_at = time.monotonic()
        diagnosis = self._found.diagnosis
        said = "{} {}".format(diagnosis.sentence, diagnosis.fix) if diagnosis else ""
        if said != self._said and diagnosis:
            log.warning("metadata not reached: %s Fix: %s", diagnosis.sentence, diagnosis.fix)
        self._said = said

    def way(self) -> Optional[Way]:
        """Return where the broker is, remembered from the enrolment where nothing else says it."""
        kept = self._state.credentials
        known = dict(self._found.hello)
        if kept.get("broker_url") and kept.get("ca_fingerprint"):
            known.update(broker_url=kept["broker_url"], ca_fingerprint=kept["ca_fingerprint"])
        return settle(self._settings, known)

    def facts(self) -> Dict[str, Any]:
        """Return what goes into FACTS: how metadata is reached, and what it says of our public address."""
        age = time.monotonic() - self._looked_at if self._looked_at is not None else _LOOK_AGAIN_SECONDS + 1
        if age > _LOOK_AGAIN_SECONDS and (self._looked_at is None or self._found.source == instance.SERVICE):
            self.look()  # for the first time since our start, or since a floating IP may have come
        diagnosis = self._found.diagnosis
        return {
            "metadata": self._found.service,
            "metadata_gateway": diagnosis.gateway if diagnosis else "",
            "public_address": self._found.public_address,
        }

    def enroll(self, broker: Broker, way: Way, facts: Dict[str, Any]) -> Dict[str, Any]:
        """Return the answer of an enrolment. Raises Waits, BrokerAway, Rejected."""
        common = {
            "v": VERSION, "agent_version": portico.__version__, "facts": facts, "instance_id": self._found.uuid,
        }  # fmt: skip
        answer: Any = None
        if way.token and _hash(way.token) != self._useless:
            try:
                answer = broker.call("POST", "/agent/v1/enroll", dict(common, token=way.token))
            except Rejected as problem:
                if problem.status != _UNAUTHORIZED:
                    raise
                log.warning("the token is used, expired or for another machine; asking to be admitted without it")
                self._useless = _hash(way.token)
        if answer is None:
            answer = self._join(broker, way, common)
        if not isinstance(answer, dict) or not answer.get("bearer"):
            raise BrokerAway("the enrolment brought no bearer")
        identity = {"uuid": self._found.uuid, "firmware": instance.firmware_uuid() if self._settings.metadata else ""}
        self._state.enrolled(dict(answer, broker_url=way.broker_url, ca_fingerprint=way.ca_fingerprint), identity)
        return answer

    def _join(self, broker: Broker, way: Way, common: Dict[str, Any]) -> Any:
        addresses = [str(common["facts"].get(name, "")) for name in ("address", "public_address")]
        body = dict(
            common, secret=self._state.join_secret(), join_key=way.join_key, macs=macs(),
            addresses=[address for address in addresses if address],
        )  # fmt: skip
        try:
            answer = broker.call("POST", "/agent/v1/join", body)
        except Rejected as problem:
            if problem.status == _CONFLICT:
                self._state.forget_join_secret()
            if problem.status == _FORBIDDEN:
                raise Waits("an administrator refused this agent", _REFUSED_SECONDS) from problem
            raise
        if isinstance(answer, dict) and answer.get("state") == "waiting":
            seconds = answer.get("retry_after")
            seconds = min(max(float(seconds), 1.0), 3600.0) if isinstance(seconds, (int, float)) else 30.0
            raise Waits(str(answer.get("reason", ""))[:500], seconds)
        return answer


def macs() -> List[str]:
    """Return the hardware addresses of this machine's network cards."""
    found = []
    with_index = socket.if_nameindex() if hasattr(socket, "if_nameindex") else []
    for _, name in with_index:
        try:
            with open(os.path.join("/sys/class/net", name, "address"), encoding="ascii") as file:
                text = file.read(32).strip().lower()
        except OSError:
            continue
        if len(text) == 17 and text != "00:00:00:00:00:00":
            found.append(text)
    return sorted(set(found))[:32]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8")).hexdigest()
