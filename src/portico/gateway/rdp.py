"""The RDP door: the gateway speaks TLS and Network Level Authentication with the desktop, then bytes go both ways; no pixel is decoded."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

from portico import logs
from portico.gateway import cleanpath, credssp, der, tls, x224
from portico.gateway.conversation import Conversation
from portico.gateway.entry import Entry, LogIn
from portico.gateway.grant import Credentials, Grant
from portico.gateway.rdp_channels import Switches
from portico.gateway.rdp_dynamic import USB, DynamicChannels
from portico.gateway.rdp_filter import NOT_FOR_ONLOOKERS, Filter, Greeting
from portico.gateway.rdp_settings import BadRdp, Settings
from portico.gateway.refusals import Refused
from portico.gateway.sessions import DESKTOP_CLOSED, LEFT, Session

log = logs.get(__name__)

CONNECT_SECONDS = 10.0
HANDSHAKE_SECONDS = 20.0


def switches(grant: Grant) -> Switches:
    """Return what the grant allows on the channels."""
    policy = grant.policy
    return Switches(
        policy.clipboard_in,
        policy.clipboard_out,
        policy.files_in,
        policy.files_out,
        policy.drives,
        policy.printers,
        policy.usb,
    )


class RdpDesktop(Conversation):
    """The desktop's end of an RDP session: messages for the handshake, then the pipe to the browser."""

    def __init__(self) -> None:
        super().__init__()
        self._session: Session | None = None
        self._filter: Filter | None = None
        self._greeting: Greeting | None = None
        self._dynamic: DynamicChannels | None = None
        self.certificate = b""
        self.selected = 0
        self.flags = 0

    @property
    def opening(self) -> bytes:
        """What tells a browser's client that the way is open."""
        return cleanpath.response(x224.confirm(x224.TLS, self.flags), [self.certificate])

    def data_received(self, data: bytes) -> None:
        """Gather for the handshake, or pass on."""
        if self._session is None:
            super().data_received(data)
        else:
            self._to_browser(self._session, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The desktop is gone."""
        super().connection_lost(exc)
        if self._session is not None:
            self._session.end(DESKTOP_CLOSED)

    def pause_writing(self) -> None:
        """Make the browser wait for the desktop."""
        if self._session is not None:
            self._session.socket.pause_reading()

    def resume_writing(self) -> None:
        """Let the browser go on."""
        if self._session is not None:
            self._session.socket.resume_reading()

    async def open(self, grant: Grant) -> None:
        """Go through the handshake up to where the browser takes over. Raises Refused, OSError, BadX224, CredSSP's errors."""
        credentials = grant.credentials
        asked = x224.TLS | (x224.HYBRID | x224.HYBRID_EX if credentials.password else 0)
        self.write(x224.request(asked, credentials.username))
        answer = x224.parse_confirm(await self.message(x224.tpkt_size))
        if answer.failure:
            raise Refused("desktop.refused", x224.FAILURES.get(answer.failure, f"negotiation failure {answer.failure}"))
        if not answer.selected & asked:
            raise Refused("desktop.refused", "it offers no TLS")
        self.selected, self.flags = answer.selected, answer.flags
        self.certificate = await self.start_tls(tls.desktop_context())
        if not tls.is_pinned(self.certificate, grant.certificates):
            raise Refused("desktop.changed", "its certificate is not the one that it reported")
        if answer.selected != x224.TLS:
            try:
                await self._log_in(credentials, grant.host)
            except ConnectionError as problem:  # how some servers say that the password is wrong
                raise credssp.CredsspRefused("it hung up in the log-in") from problem

    async def _log_in(self, credentials: Credentials, host: str) -> None:
        conversation = credssp.conversation(credentials, host, self.certificate)
        said = next(conversation)
        try:
            while True:
                self.write(said)
                said = conversation.send(await self.message(der.size_of))
        except StopIteration as end:
            self.write(end.value)
        if self.selected == x224.HYBRID_EX:
            credssp.parse_verdict(await self.message(lambda _: 4))

    def begin(self, session: Session) -> None:
        """Start the pipe."""
        self._session = session
        session.socket.attach(self)
        if self.gone:
            session.end(DESKTOP_CLOSED)
        elif early := self.early():
            self._to_browser(session, early)

    def prepare(self, grant: Grant, layout: int, *, deep: bool) -> None:
        """Choose what is written into the client's messages."""
        self._greeting = Greeting()
        credentials, policy, allowed = grant.credentials, grant.policy, switches(grant)
        closed = allowed.closed | (NOT_FOR_ONLOOKERS if policy.view_only else frozenset())
        log_in = LogIn(credentials.username, credentials.domain, credentials.password) if credentials.password else None
        self._filter = Filter(
            Settings(self.selected, layout, deep, closed), log_in, allowed,
            view_only=policy.view_only, count=policy.idle_seconds is not None or grant.shadowed,
        )  # fmt: skip

    def from_browser(self, data: bytes) -> None:
        """Take bytes for the desktop."""
        session = self._session
        if session is None or session.ended or self._filter is None:
            return
        session.bytes_in += len(data)
        before = self._filter.inputs
        try:
            data = self._filter.feed(data)
        except BadRdp as problem:
            log.warning("browser broke the protocol", connection=session.grant.connection, because=str(problem))
            session.end("session.ended")
            return
        if self._filter.inputs != before:
            session.last_input = time.monotonic()
        if data:
            self.write(data)

    def help(self, data: bytes) -> None:
        """Take whole messages of somebody who joined the session."""
        if self._greeting is None:
            self.write(data)

    def command(self, fields: Mapping[str, object]) -> None:
        """An RDP session knows no text messages."""

    def browser_closed(self) -> None:
        """The browser is gone."""
        if self._session is not None:
            self._session.end(LEFT)

    def _to_browser(self, session: Session, data: bytes) -> None:
        messages = [data]
        try:
            if self._greeting is not None:
                messages = self._greet(self._greeting, data)
            if self._dynamic is not None:
                messages = self._without_forbidden(self._dynamic, messages)
        except BadRdp as problem:
            log.warning("desktop broke the protocol", connection=session.grant.connection, because=str(problem))
            session.end("session.ended")
            return
        for message in messages:
            session.bytes_out += len(message)
            session.socket.send_bytes(message)

    def _greet(self, greeting: Greeting, data: bytes) -> list[bytes]:
        messages = greeting.feed(data)
        if messages and self._filter is not None and self._filter.curious:
            self._filter.learn(messages[0])
            if self._filter.dynamic:
                self._dynamic = DynamicChannels(self._filter.dynamic, frozenset({USB}))
        if greeting.over:
            self._greeting = None
        return messages

    def _without_forbidden(self, dynamic: DynamicChannels, messages: list[bytes]) -> list[bytes]:
        """Keep the desktop's wishes for forbidden channels from the client, and answer them in its stead."""
        passed = []
        for message in messages:
            heard, answers = dynamic.feed(message)
            for answer in answers:
                assert self._filter is not None
                self.write(self._filter.answer(answer))
            if heard:
                passed.append(heard)
        return passed

    def answer_to(self, protocols: int) -> None:
        """Let the desktop's first message say that the client asked for these security protocols, as the client did ask for them."""
        if self._greeting is not None:
            self._greeting.protocols = protocols


def with_log_in(grant: Grant, entry: Entry) -> Grant:
    """Return the grant with what the person typed, where the broker has no password. Raises Refused if nobody has one."""
    if grant.credentials.password:
        return grant
    if entry.log_in is None:
        raise Refused("credentials.wanted", username=grant.credentials.username)
    typed = entry.log_in
    known = replace(grant.credentials, username=typed.username, domain=typed.domain, password=typed.password)
    return replace(grant, credentials=known)


async def connect(grant: Grant, entry: Entry, layout: int) -> RdpDesktop:
    """Connect and log in to the desktop of a grant, for a browser with a Windows keyboard layout. Raises Refused."""
    grant = with_log_in(grant, entry)
    desktop = await log_in(grant)
    desktop.prepare(grant, layout, deep=grant.deep_colour)
    return desktop


async def log_in(grant: Grant) -> RdpDesktop:
    """Connect to the desktop of a grant, and log in if it has a password for that. Raises Refused."""
    desktop = RdpDesktop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().create_connection(lambda: desktop, grant.host, grant.port)
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await desktop.open(grant)
    except credssp.CredsspRefused as problem:
        desktop.hang_up()
        raise Refused("desktop.refused", str(problem)) from problem
    except (OSError, TimeoutError, x224.BadX224, der.BadDer, credssp.CredsspError) as problem:
        desktop.hang_up()
        raise Refused("desktop.unreachable", str(problem) or "timeout") from problem
    except BaseException:
        desktop.hang_up()
        raise
    return desktop
