"""The application behind a real listener on a free port of this machine, for clients that speak HTTP themselves."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import uvicorn

from portico.services.broker import Broker
from portico.web.app import create_app


@contextmanager
def serving(broker: Broker) -> Iterator[str]:
    """Serve the broker's pages and interface, and give the address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = create_app(replace(broker, config=replace(broker.config, public_url=address)))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
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
