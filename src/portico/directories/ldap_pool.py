"""Connections of one directory: which server is asked, which failed lately, and which connections are kept for the next log-in."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import dns.exception
import dns.resolver

from portico.directories.deadline import Deadline
from portico.directories.ldap_settings import LdapSettings, read_servers, tls_of
from portico.directories.ldap_wire import SUCCESS, Answer, Connection, Server
from portico.egress import Reach, addresses
from portico.errors import DirectoryError, DirectoryRefused, Invalid

T = TypeVar("T")

KEPT = 16  # connections of each sort
IDLE_SECONDS = 60.0
DEAD_SECONDS = 30.0  # a server that failed is asked last for that long
FOUND_SECONDS = 300.0  # how long what the DNS says is kept


class _NotAccepted(DirectoryError):
    """The service account is refused, which no other server of the directory would mend."""


class Pool:
    """Connections in two sorts: those of the service account, which searches, and those on which people are bound, which do nothing else.

    A bind changes who a connection is. On one that has just been somebody's, nothing is ever searched.
    """

    def __init__(self, settings: LdapSettings, reach: Reach, srv: Sequence[tuple[str, str, int]]) -> None:
        """Open nothing yet. `srv`: (name before the domain, how TLS begins, port or 0 for the record's) to ask the DNS for."""
        self._settings, self._reach, self._srv = settings, reach, srv
        self._tls = tls_of(settings)
        self._named = read_servers(settings)
        self._lock = threading.Lock()
        self._idle: dict[str, list[tuple[float, Connection]]] = {"service": [], "people": []}
        self._closed = False
        self._dead: dict[Server, float] = {}
        self._found: tuple[float, tuple[Server, ...]] = (float("-inf"), ())

    def as_service(self, ask: Callable[[Connection], T], deadline: Deadline) -> T:
        """Ask something as the service account. What a kept connection fails at is asked once more on a fresh one."""
        return self._ask("service", ask, deadline)

    def bind(self, dn: str, password: str, deadline: Deadline, *, ppolicy: bool = False) -> Answer:
        """Try a person's password on a connection that serves for nothing else."""
        return self._ask(
            "people", lambda connection: connection.bind(dn, password, deadline, ppolicy=ppolicy), deadline
        )

    @contextmanager
    def fresh(self, deadline: Deadline) -> Iterator[Connection]:
        """Hold a connection of one's own, nobody's yet, and close it afterwards. Raises DirectoryError."""
        try:
            opened = self._open(deadline)
        except TimeoutError as problem:
            raise _late(problem) from problem
        with opened as connection:
            yield connection

    @contextmanager
    def open_one(self, server: Server, deadline: Deadline) -> Iterator[Connection]:
        """Hold a connection to one server, logged in as nobody. Raises DirectoryError, Invalid."""
        with self._connect(server, deadline) as connection:
            yield connection

    def close(self) -> None:
        """Close what is kept."""
        with self._lock:
            self._closed = True
            kept = [connection for idle in self._idle.values() for _, connection in idle]
            for idle in self._idle.values():
                idle.clear()
        for connection in kept:
            connection.close()

    def servers(self, deadline: Deadline) -> tuple[Server, ...]:
        """Return the servers, those that failed lately last. Raises DirectoryError."""
        now = time.monotonic()
        known = self._named or self._discovered(now, deadline)
        return tuple(sorted(known, key=lambda server: self._dead.get(server, 0.0) > now))

    def _ask(self, sort: str, ask: Callable[[Connection], T], deadline: Deadline) -> T:
        try:
            kept = self._take(sort)
            if kept is not None:
                try:
                    return self._answered(sort, kept, ask)
                except DirectoryError as problem:
                    if kept.usable or isinstance(problem, DirectoryRefused):
                        raise
                    deadline.left()  # it may have been closed while it was idle: once more, unless time is up
            return self._ask_afresh(sort, ask, deadline)
        except TimeoutError as problem:
            raise _late(problem) from problem

    def _ask_afresh(self, sort: str, ask: Callable[[Connection], T], deadline: Deadline) -> T:
        """Ask on a fresh connection. A server that breaks off in the middle counts as one that failed: the next is asked."""
        left = len(self.servers(deadline))
        while True:
            connection = self._open(deadline)
            try:
                if sort == "service":
                    self._bind_service(connection, deadline)
                return self._answered(sort, connection, ask)
            except DirectoryError as problem:
                left -= 1
                if connection.usable or isinstance(problem, DirectoryRefused | _NotAccepted):
                    raise
                self._note_dead(connection.server)
                if left <= 0:
                    raise
                deadline.left()

    def _answered(self, sort: str, connection: Connection, ask: Callable[[Connection], T]) -> T:
        try:
            return ask(connection)
        finally:
            self._give_back(sort, connection)

    def _bind_service(self, connection: Connection, deadline: Deadline) -> None:
        answer = connection.bind(self._settings.bind_name, self._settings.bind_password, deadline)
        if answer.code != SUCCESS:
            connection.close()
            raise _NotAccepted(
                "The directory does not accept the service account. Check its name and password in the settings.",
                f"{answer.code} {answer.text}",
            )

    def _take(self, sort: str) -> Connection | None:
        old = []
        with self._lock:
            idle = self._idle[sort]
            while idle and time.monotonic() - idle[0][0] > IDLE_SECONDS:
                old.append(idle.pop(0)[1])
            found = idle.pop()[1] if idle else None
        for connection in old:
            connection.close()
        return found

    def _give_back(self, sort: str, connection: Connection) -> None:
        if not connection.usable:
            return
        with self._lock:
            if len(self._idle[sort]) < KEPT and not self._closed:
                self._idle[sort].append((time.monotonic(), connection))
                return
        connection.close()

    def _open(self, deadline: Deadline) -> Connection:
        """Connect to the first server that answers; each gets its share of the time, so that a silent one leaves some for the others."""
        servers = self.servers(deadline)
        trouble: DirectoryError | None = None
        for position, server in enumerate(servers):
            share = Deadline(deadline.left() / (len(servers) - position))
            try:
                made = self._connect(server, share)
            except DirectoryError as problem:
                trouble = problem
                self._note_dead(server)
            except Invalid as problem:
                trouble = DirectoryError(problem.sentence)
            else:
                self._dead.pop(server, None)
                return made
        raise trouble or DirectoryError("No server of this directory is known.")

    def _note_dead(self, server: Server | None) -> None:
        if server is not None:
            self._dead[server] = time.monotonic() + DEAD_SECONDS

    def _discovered(self, now: float, deadline: Deadline) -> tuple[Server, ...]:
        """Ask the DNS for the domain's servers (RFC 2782), by priority and weight."""
        at, known = self._found
        if now - at < FOUND_SECONDS:
            return known
        domain = self._settings.dns_domain
        for name, tls, port in self._srv:
            try:
                records = list(self._resolver().resolve(f"{name}.{domain}", "SRV", lifetime=_for_dns(deadline)))
            except dns.exception.DNSException:
                continue
            records.sort(key=lambda record: (record.priority, -record.weight))
            found = tuple(Server(str(record.target).rstrip("."), port or record.port, tls) for record in records)
            if found:
                self._found = (now, found)
                return found
        raise DirectoryError(f"The DNS names no servers for the domain {domain}.")

    def _resolver(self) -> dns.resolver.Resolver:
        if not self._settings.dns_server:
            return dns.resolver.get_default_resolver()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = list(addresses(self._settings.dns_server, self._reach))
        return resolver

    def _connect(self, server: Server, deadline: Deadline) -> Connection:
        def resolve(host: str) -> Sequence[str]:
            try:
                return [
                    str(one) for one in self._resolver().resolve_name(host, lifetime=_for_dns(deadline)).addresses()
                ]
            except dns.exception.DNSException as problem:
                raise OSError(f"the DNS knows no address of {host}") from problem

        own = resolve if self._settings.dns_server else None
        return Connection.open(server, self._tls, lambda host: addresses(host, self._reach, own), deadline)


def _late(problem: TimeoutError) -> DirectoryError:
    return DirectoryError("The directory's server does not answer in time.", str(problem))


def _for_dns(deadline: Deadline) -> float:
    """Return the seconds that a question to the DNS may take: what is left is for the directory."""
    return deadline.left() / 2
