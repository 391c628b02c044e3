"""What is measured, as a process of its own: the broker's application, or a bare hello-world, each behind the same server."""

import sys
from pathlib import Path
from typing import Any

import uvicorn
from tests.bench.fleet import open_broker

from portico import logs
from portico.web.app import create_app


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """The least that an application can do: the yardstick."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"hello, world"})


def main(what: str, port: str, state: str = "", url: str = "") -> None:
    """Serve on a port of loopback until a signal comes."""
    logs.configure("text", "info")  # The line that each request writes belongs to its cost.
    application = hello if what == "hello" else create_app(open_broker(Path(state), url))
    uvicorn.run(application, host="127.0.0.1", port=int(port), log_config=None, access_log=False,
                server_header=False, proxy_headers=False)  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
