"""The application behind a real listener on a free port of this machine, for clients that speak HTTP themselves."""

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import structlog
import uvicorn
from tests.fleet import Fleet

from portico.services.broker import Broker
from portico.web.app import create_app


@contextmanager
def serving(broker: Broker, tls: Path | None = None, names: tuple[str, ...] = ("127.0.0.1",)) -> Iterator[str]:
    """Serve the broker's pages and interface, and give the address; with `tls`, a directory, as the deployment does."""
    files: dict[str, str] = {}
    if tls is not None:
        certificate, key = broker.keys.issue("broker", names, broker.now())
        (tls / "cert.pem").write_text(certificate + broker.keys.ca_pem)
        (tls / "key.pem").write_text(key)
        files = {"ssl_certfile": str(tls / "cert.pem"), "ssl_keyfile": str(tls / "key.pem")}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"{'https' if files else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        app = create_app(replace(broker, config=replace(broker.config, public_url=address)))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1, **files))  # type: ignore[arg-type]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until = time.monotonic() + 30
            while not server.started:
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.01)
            yield address
        finally:
            server.should_exit = True
            thread.join(30)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the broker's log, which in a test comes out of the same process, apart from what a command says."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(io.StringIO()), cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


@contextmanager
def working(fleet: Fleet) -> Iterator[None]:
    """Let jobs be done meanwhile, as a broker does."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.05):
            fleet.work()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(30)
