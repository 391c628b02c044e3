"""What the brokers want of this gateway, held open as one long question: close a session, forward ports, take new keys, drain."""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from portico import logs
from portico.errors import Invalid, Unavailable
from portico.gateway.broker import Broker
from portico.gateway.doors import Doors
from portico.gateway.forwards import Forwards
from portico.gateway.identity import key_set
from portico.gateway.order import BadOrder, parse_order
from portico.gateway.sessions import Sessions
from portico.wire.gateway import CLOSE
from portico.wire.networks import may_reach

log = logs.get(__name__)

RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
LEAST_SECONDS = 0.2  # between two questions, should a broker answer at once with nothing


class Control:
    """Applies the brokers' messages in order. `keep_keys` is told new signing keys, `refuse` a connection and why it is not forwarded."""

    def __init__(
        self,
        broker: Broker,
        sessions: Sessions,
        forwards: Forwards | None,
        doors: Doors,
        keep_keys: Callable[[dict[str, Any]], None],
        refuse: Callable[[str, str], None],
    ) -> None:
        self._broker = broker
        self._sessions = sessions
        self._forwards = forwards
        self._doors = doors
        self._keep_keys = keep_keys
        self._refuse = refuse
        self._after = 0

    async def run(self) -> None:
        """Ask and apply for ever."""
        failures = 0
        while True:
            try:
                messages = await self._ask()
                failures = 0
            except Unavailable as problem:
                if failures == 0:
                    log.warning("no control by a broker", because=problem.sentence, detail=problem.detail)
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
                continue
            for message in messages:
                self.apply(message)
            if not messages:
                await asyncio.sleep(LEAST_SECONDS)

    async def _ask(self) -> list[Mapping[str, Any]]:
        answer = await self._broker.control(self._after)
        if answer.status != HTTPStatus.OK:
            raise Unavailable("The broker did not answer the control question.", f"HTTP {answer.status}")
        messages, last = answer.fields.get("messages"), answer.fields.get("last")
        if isinstance(last, int):
            self._after = last  # also when it is lower: then the brokers' database was restored
        return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []

    def apply(self, message: Mapping[str, Any]) -> None:
        """Do what one message says; what cannot be read is logged and left."""
        kind = message.get("kind")
        if kind == "close":
            reason = str(message.get("reason", ""))
            log.info("broker closes a session", connection=message.get("connection"), reason=reason)
            code, connection = reason if reason in CLOSE else "session.ended", str(message.get("connection", ""))
            self._sessions.close(connection, code)
            if self._forwards is not None:
                self._forwards.close(connection, code)
        elif kind == "forward":
            self._forward(message)
        elif kind == "shadow":
            self._doors.shadows.ask(message)
        elif kind == "shadow.end":
            self._doors.shadows.end(str(message.get("connection", "")), str(message.get("shadow", "")))
        elif kind == "keys":
            self._take_keys(message.get("keys"))
        elif kind == "drain":
            self._doors.draining = message.get("on") is True
            log.info("drain", on=self._doors.draining)
        else:
            log.warning("unknown control message", kind=str(kind))

    def _forward(self, message: Mapping[str, Any]) -> None:
        try:
            order = parse_order(message)
        except BadOrder as problem:
            log.error("a forward cannot be read", field=str(problem))
            return
        if self._forwards is None:
            self._refuse(order.connection, "forward.off")
        elif order.realm != self._doors.realm or not may_reach(order.host, self._doors.reach):
            self._refuse(order.connection, "forward.no_address")
        else:
            self._forwards.take(order)

    def _take_keys(self, keys: object) -> None:
        try:
            self._doors.keys = key_set(keys)
        except Invalid as problem:
            log.error("new signing keys cannot be read", because=problem.detail)
            return
        assert isinstance(keys, dict)
        self._keep_keys(keys)
        log.info("new signing keys")
