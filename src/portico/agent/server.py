"""The agent's own HTTPS door, for a broker that may reach it: mutual TLS, and only the deployment's brokers come in."""

import contextlib
import json
import logging
import os
import socket
import socketserver
import ssl
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any, Callable, Dict, Tuple

from portico.agent.http import read_authority

log = logging.getLogger("portico.agent")

_MOST_BYTES = 64 * 1024
_MOST_CONNECTIONS = 8
_DEADLINE_SECONDS = 20.0
_ROLE = "broker"

Answer = Callable[[], Dict[str, Any]]
Command = Callable[[Dict[str, Any]], Dict[str, Any]]


class Door(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Accepts connections of brokers; each has its own thread, a deadline, and a place among a few."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 16

    def __init__(self, address: Tuple[str, int], context: ssl.SSLContext, command: Command, status: Answer) -> None:
        self.command = command
        self.status = status
        self._context = context
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        socketserver.TCPServer.__init__(self, address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or close it when there are too many."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            socketserver.ThreadingMixIn.process_request(self, request, client_address)
        except Exception:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread, so that a silent peer holds up nobody else."""
        try:
            request.settimeout(_DEADLINE_SECONDS)
            secured = self._context.wrap_socket(request, server_side=True)
        except (OSError, ValueError):
            self.shutdown_request(request)
            self._places.release()
            return
        # One timer for the whole exchange: a peer that sends a byte now and then has no longer than others.
        deadline = threading.Timer(_DEADLINE_SECONDS, _cut, [secured])
        deadline.daemon = True
        deadline.start()
        try:
            socketserver.ThreadingMixIn.process_request_thread(self, secured, client_address)
        finally:
            deadline.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write down that a connection failed, without a stack trace."""
        log.info("connection failed problem=%s", type(sys.exc_info()[1]).__name__)


class _Handler(BaseHTTPRequestHandler):
    server: Door
    protocol_version = "HTTP/1.0"  # one request for each connection
    server_version = "portico-agent"
    sys_version = ""

    def do_GET(self) -> None:
        if not self._is_broker():
            return self._answer(403, {"error": "this door is for brokers"})
        if self.path != "/agent/v1/status":
            return self._answer(404, {"error": "there is nothing here"})
        self._answer(200, self.server.status())

    def do_POST(self) -> None:
        if not self._is_broker():
            return self._answer(403, {"error": "this door is for brokers"})
        if self.path != "/agent/v1/command":
            return self._answer(404, {"error": "there is nothing here"})
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _MOST_BYTES:
            return self._answer(413, {"error": "a length of at most {} bytes is wanted".format(_MOST_BYTES)})
        try:
            command = json.loads(self.rfile.read(int(length)).decode("utf-8"))
        except ValueError:
            return self._answer(400, {"error": "this is not JSON"})
        if not isinstance(command, dict):
            return self._answer(400, {"error": "a command is an object"})
        self._answer(200, self.server.command(command))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing about single requests."""

    def _is_broker(self) -> bool:
        certificate = self.connection.getpeercert() or {}
        names = [pair for group in certificate.get("subject", ()) for pair in group]
        return ("organizationalUnitName", _ROLE) in names

    def _answer(self, status: int, values: Dict[str, Any]) -> None:
        content = json.dumps(values).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def context_of(credentials: Dict[str, str], fingerprint: str, state: str) -> ssl.SSLContext:
    """Return the TLS settings of the door: our certificate, and clients only of the pinned CA. Raises ValueError, OSError."""
    authority = read_authority(credentials.get("ca", ""), fingerprint)
    if authority is None:
        raise ValueError("the enrolment brought another CA than the one that we were given")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    if sys.version_info < (3, 10):  # later ones refuse the old versions by themselves
        context.options |= ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
    # Python reads certificate and key from files only.
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(state) or ".", suffix=".pem") as file:
        file.write(credentials.get("certificate", "") + "\n" + credentials.get("key", "") + "\n")
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
