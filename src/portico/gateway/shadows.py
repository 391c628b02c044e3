"""Joining sessions: the question that a broker sends to a person's page, helpers who come in, and the person's word that ends it.

To the page, as {"shadow": …}:  {"ask": id, "who": str, "mode": "view"|"control", "seconds": int}   the answer goes to the portal
                                {"restart": true}    open the session anew, so that it can be shown from its beginning
                                {"screen": true}     tell what is on the terminal's screen
                                {"on": id, "who": str, "mode": …} and {"off": id}
From the page:                  {"stop": id}   and   {"screen": str, "size": [columns, rows], "seen": bytes that it has been sent}
"""

import time
from collections.abc import Callable, Mapping

from portico import logs
from portico.gateway.entry import cells
from portico.gateway.grant import Visit
from portico.gateway.refusals import Refused
from portico.gateway.sessions import Peer, Session, Sessions
from portico.gateway.stage import Helper, Stage
from portico.gateway.websocket import Socket

log = logs.get(__name__)

RESTART_SECONDS = 10.0  # between two wishes that a page open its session anew
MAX_SCREEN = 16_384

OnVisit = Callable[[str, str, str, str], None]  # kind, connection, the shadow's id, reason


class Shadows:
    """The stages of this gateway."""

    def __init__(self, sessions: Sessions, on_visit: OnVisit) -> None:
        self._sessions, self._on_visit = sessions, on_visit
        self._stages: set[Stage] = set()
        self._restarts: dict[str, float] = {}

    def set_stage(self, peer: Peer, protocol: str) -> Stage:
        """Put a stage before a browser whose session may be shown."""
        stage = Stage(peer, protocol)
        self._stages.add(stage)
        return stage

    def ask(self, message: Mapping[str, object]) -> None:
        """Bring a broker's question to the person's page; a client without a page cannot be asked."""
        session = self._sessions.get(str(message.get("connection", "")))
        if session is not None:
            asked = {"ask": message.get("shadow"), **{name: message.get(name) for name in ("who", "mode", "seconds")}}
            session.socket.send_object({"shadow": asked})

    def end(self, connection: str, shadow: str) -> None:
        """End a visit."""
        helper = self._helper(connection)
        if helper is not None and helper.visit.id == shadow:
            helper.end("shadow.ended")

    def enter(self, visit: Visit, socket: Socket) -> None:
        """Let a helper in. Raises Refused, SocketClosed."""
        session = self._sessions.get(visit.connection)
        if session is None or session.grant.protocol != visit.protocol:
            raise Refused("shadow.waiting", "the person's session is not here")
        stage = self._stage(session)
        if stage.helper is not None:
            stage.helper.end("closed.elsewhere")
        helper = Helper(visit, socket, session, self._left)
        policy = {"view_only": not visit.control, "watermark": session.grant.policy.watermark}
        socket.send_object({"ok": True, "policy": policy})
        socket.attach(helper)
        session.socket.send_object(
            {"shadow": {"on": visit.id, "who": visit.who, "mode": "control" if visit.control else "view"}}
        )
        if visit.protocol == "ssh":
            helper.hold()
            session.socket.send_object({"shadow": {"screen": True}})
        stage.admit(helper)
        log.info(
            "somebody joined a session",
            connection=visit.connection,
            shadow=visit.id,
            who=visit.who,
            control=visit.control,
        )
        self._on_visit("shadow.opened", visit.connection, visit.id, "")  # fmt: skip

    def heard(self, connection: str, fields: Mapping[str, object]) -> None:
        """Take the person's word."""
        helper = self._helper(connection)
        if helper is None:
            return
        if fields.get("stop") == helper.visit.id:
            helper.end("shadow.ended")
        text, size, seen = fields.get("screen"), fields.get("size"), fields.get("seen")
        if isinstance(text, str) and isinstance(size, list) and len(size) == 2 and isinstance(seen, int):
            checked = cells(*size)
            if checked is not None and len(text) <= MAX_SCREEN:
                helper.screen(text, list(checked), seen)
        elif isinstance(size, list) and len(size) == 2 and (checked := cells(*size)) is not None:
            helper.resized(list(checked))

    def sweep(self, now: float, monotonic: float) -> None:
        """End the visits whose time is up, and forget the stages of sessions that are over."""
        for stage in list(self._stages):
            stage.sweep(now, monotonic)
        self._stages = {stage for stage in self._stages if not stage.closed}
        self._restarts = {name: at for name, at in self._restarts.items() if monotonic - at < RESTART_SECONDS}

    def _stage(self, session: Session) -> Stage:
        """Return the stage of a session that can be shown now. Raises Refused."""
        here = session.socket
        if session.grant.protocol == "ssh":
            if not isinstance(here, Stage):
                here = session.socket = self.set_stage(here, "ssh")
            return here
        if isinstance(here, Stage) and here.is_set:
            return here
        connection, now = session.grant.connection, time.monotonic()
        if now - self._restarts.get(connection, 0.0) >= RESTART_SECONDS:
            self._restarts[connection] = now
            session.socket.send_object({"shadow": {"restart": True}})
        raise Refused("shadow.waiting", "the person's session opens anew")

    def _helper(self, connection: str) -> Helper | None:
        session = self._sessions.get(connection)
        return session.socket.helper if session is not None and isinstance(session.socket, Stage) else None

    def _left(self, helper: Helper, code: str) -> None:
        session, visit = helper.session, helper.visit
        if isinstance(session.socket, Stage) and session.socket.helper is helper:
            session.socket.helper = None
        if not session.ended:
            session.socket.send_object({"shadow": {"off": visit.id}})
        reason = "shadow.ended" if code == "shadow.ended" else "shadow.left"
        log.info("a helper left", connection=visit.connection, shadow=visit.id, because=code)
        self._on_visit("shadow.closed", visit.connection, visit.id, reason)
