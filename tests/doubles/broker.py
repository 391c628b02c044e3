"""A broker as the gateway sees it: speaks wire.gateway over TLS, remembers what it is told, can be stopped and started again."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc.jwk import KeySet, OKPKey

from doubles.authority import Authority
from portico.wire.tickets import SHADOW, BadTicket, Ticket, seal, unseal

Route = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One request; `self.server.broker` is the double."""

    protocol_version = "HTTP/1.1"

    @property
    def broker(self) -> "BrokerDouble":
        return self.server.broker  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_GET(self) -> None:
        self._dispatch()

    def do_POST(self) -> None:
        self._dispatch()

    def do_HEAD(self) -> None:
        self._dispatch()

    def body(self) -> bytes:
        """Read the request's body, chunked or not. Raises ConnectionResetError if it breaks off."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while line := self.rfile.readline():
            size = int(line, 16)
            body += self.rfile.read(size + 2)[:-2]
            if size == 0:
                return body
        raise ConnectionResetError

    def reply(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, status: int, fields: object) -> None:
        self.reply(status, json.dumps(fields).encode())

    def _dispatch(self) -> None:
        path = self.path.partition("?")[0]
        route = self.broker.routes.get(path) or next(
            (route for prefix, route in self.broker.prefixes.items() if path.startswith(prefix)), None
        )
        if route is None:
            self.json(404, {})
            return
        try:
            route(self)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True


class BrokerDouble:
    """Grants what a test put into `grants` (by connection id)."""

    def __init__(self, authority: Authority, address: str = "127.0.0.1") -> None:
        self.authority = authority
        self.address = address
        self.key = OKPKey.generate_key("Ed25519", parameters={"kid": "first"})
        self.grants: dict[str, dict[str, Any]] = {}
        self.reports: list[dict[str, Any]] = []
        self.redeemed: list[dict[str, Any]] = []
        self.seen_headers: list[dict[str, str]] = []
        self.messages: list[dict[str, Any]] = []
        self.tokens = {"token-1"}
        self.realm = "default"
        self.visits: dict[str, dict[str, Any]] = {}  # what a shadow ticket grants, by connection
        self.routing: dict[str, str] = {}  # routing tokens → connections
        self.reusable: set[str] = set()  # connections whose session tickets are good again
        self.changed = threading.Condition()
        self.prefixes: dict[str, Route] = {}
        self.routes: dict[str, Route] = {
            "/gateway/v1/ca": lambda on: on.reply(200, authority.pem.encode(), "application/x-pem-file"),
            "/gateway/v1/enroll": self._enroll,
            "/gateway/v1/redeem": self._redeem,
            "/gateway/v1/report": self._report,
            "/gateway/v1/control": self._control,
        }
        self._used: set[str] = set()
        self._number = 0
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self._files = authority.issue("broker", address, "localhost")

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"

    @property
    def jwks(self) -> dict[str, Any]:
        return KeySet([self.key]).as_dict(private=False)

    def start(self) -> "BrokerDouble":
        """Listen, on the same port as before if there was one."""
        server = ThreadingHTTPServer((self.address, self.port), Handler, bind_and_activate=False)
        server.daemon_threads = True
        server.allow_reuse_address = True
        server.server_bind()
        server.server_activate()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._files)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.broker = self  # type: ignore[attr-defined]
        self._open = []
        remember = server.process_request

        def process(request: Any, client: Any) -> None:
            self._open.append(request)
            remember(request, client)

        server.process_request = process  # type: ignore[method-assign]
        self.port = server.server_address[1]
        self._server = server
        self._running = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Be away: refuse new connections and drop those that are open."""
        if self._server is None:
            return
        self._running = False
        with self.changed:
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        for connection in self._open:
            # Shut down rather than close: the threads that read there hold it open.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server = None

    def ticket(self, connection: str, protocol: str = "vnc", **changes: Any) -> str:
        """Return a signed ticket; `changes` replace claims, `key` the signing key."""
        self._number += 1
        now = int(time.time())
        key = changes.pop("key", self.key)
        claims: dict[str, Any] = {
            "jti": f"jti-{self._number}",
            "connection": connection,
            "assignment": "assignment",
            "user": "ada",
            "protocol": protocol,
            "realm": self.realm,
            "gateway": "*",
            "epoch": 1,
            "issued": now,
            "expires": now + 60,
        }
        return seal(Ticket(**{**claims, **changes}), key)

    def grant(self, connection: str, protocol: str, host: str, port: int, credentials: Any, **policy: Any) -> None:
        """Grant a session at a desktop to whoever redeems a ticket for this connection."""
        switches = {
            "clipboard_in": True, "clipboard_out": True, "files_in": True, "files_out": True, "drives": True, "printers": True, "usb": True,
            "view_only": False, "idle_seconds": None,
        }  # fmt: skip
        self.grants[connection] = {
            "connection": connection,
            "assignment": "assignment",
            "epoch": 1,
            "user": "ada",
            "protocol": protocol,
            "target": {"host": host, "port": port, "realm": self.realm},
            "credentials": credentials,
            "policy": {**switches, "expires_at": None, **policy},
        }

    def visit(self, connection: str, mode: str = "view", seconds: float = 600) -> str:
        """Let a helper into a session; returns the shadow's id."""
        grant = self.grants[connection]
        until = datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()
        shadow = {"id": f"shadow-{connection}", "mode": mode, "who": "Grace", "expires_at": until}
        self.visits[connection] = {
            "connection": connection,
            "protocol": grant["protocol"],
            "realm": self.realm,
            "shadow": shadow,
        }
        grant["shadowed"] = True
        return shadow["id"]  # fmt: skip

    def tell(self, **message: Any) -> None:
        """Put a message into the gateway's outbox."""
        with self.changed:
            self.messages.append({"id": len(self.messages) + 1, **message})
            self.changed.notify_all()

    def wait_for(self, found: Callable[[], Any], seconds: float = 20.0) -> Any:
        """Wait until `found` gives something true about what was reported, and return it."""
        with self.changed:
            result = self.changed.wait_for(found, seconds)
        assert result, f"not reported within {seconds} s; events so far: {self.events()}"
        return result

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return the events of all reports, those of one kind if named."""
        every = [event for report in self.reports for event in report["events"]]
        return [event for event in every if kind in ("", event["kind"])]

    def _enroll(self, on: Handler) -> None:
        asked = json.loads(on.body())
        if asked["token"] not in self.tokens:
            on.json(401, {"code": "unauthenticated"})
            return
        self.tokens.remove(asked["token"])
        on.json(
            200,
            {
                "gateway_id": "gateway-1",
                "bearer": "bearer-1",
                "keys": self.jwks,
                "group": "default",
                "realm": self.realm,
                "certificate": self.authority.sign_request(asked["csr"]),
                "ca": self.authority.pem,
            },
        )

    def _known(self, on: Handler) -> bool:
        if on.headers.get("Authorization") == "Bearer bearer-1":
            return True
        on.json(401, {"code": "unauthenticated"})
        return False

    def _redeem(self, on: Handler) -> None:
        asked = json.loads(on.body())
        if not self._known(on):
            return
        self.redeemed.append(asked)
        if asked["ticket"] in self.routing:
            on.json(200, self.grants[self.routing[asked["ticket"]]])
            return
        try:
            ticket = unseal(asked["ticket"], KeySet([self.key]), int(time.time()))
        except BadTicket:
            on.json(401, {})
            return
        grant = (self.visits if ticket.use == SHADOW else self.grants).get(ticket.connection)
        if ticket.jti in self._used and ticket.connection not in self.reusable:
            on.json(409, {})
        elif grant is None:
            on.json(410, {})
        else:
            self._used.add(ticket.jti)
            on.json(200, grant)

    def _report(self, on: Handler) -> None:
        asked = json.loads(on.body())
        if not self._known(on):
            return
        with self.changed:
            self.reports.append(asked)
            self.changed.notify_all()
        on.json(200, {"ok": True})

    def _control(self, on: Handler) -> None:
        if not self._known(on):
            return
        after = int(on.path.rpartition("=")[2])
        with self.changed:
            self.changed.wait_for(lambda: len(self.messages) > after or not self._running, 5)
            if not self._running:
                on.close_connection = True
                return
            fresh = self.messages[after:]
        on.json(200, {"messages": fresh, "last": after + len(fresh)})
