"""The front as a process: TLS, header rules, streams, and a broker that comes and goes."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.client import HTTPResponse, HTTPSConnection
from types import SimpleNamespace

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from doubles.authority import Authority
from doubles.broker import BrokerDouble, Handler
from doubles.desktops import free_port
from doubles.processes import FrontProcess, GatewayProcess

pytestmark = pytest.mark.capability("S031")


class Lab(SimpleNamespace):
    """A front before a broker double and a gateway."""

    broker: BrokerDouble
    front: FrontProcess
    gateway: GatewayProcess
    trust: ssl.SSLContext
    requests: list[dict[str, str]]
    more: threading.Event

    def client(self) -> HTTPSConnection:
        return HTTPSConnection("localhost", self.front.port, context=self.trust, timeout=20)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[HTTPResponse, bytes]:
        client = self.client()
        client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = client.getresponse()
        content = response.read()
        client.close()
        return response, content

    def raw(self, data: bytes) -> bytes:
        """Send bytes over TLS and return all that comes until the front closes."""
        plain = socket.create_connection(("localhost", self.front.port), 20)
        with self.trust.wrap_socket(plain, server_hostname="localhost") as stream:
            stream.sendall(data)
            return b"".join(iter(lambda: stream.recv(65536), b""))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("front")
    authority = Authority(folder)
    broker = BrokerDouble(authority).start()
    requests: list[dict[str, str]] = []
    more = threading.Event()

    def echo(on: Handler) -> None:
        body = on.body()
        requests.append({name.lower(): value for name, value in on.headers.items()})
        on.reply(200, body or b"hello", "text/plain", Server="secret/1.0", Set_Cookie="a=b")

    def stream(on: Handler) -> None:
        on.send_response(200)
        on.send_header("Content-Type", "text/event-stream")
        on.send_header("Connection", "close")
        on.end_headers()
        on.wfile.write(b"data: first\n\n")
        more.wait(20)
        on.wfile.write(b"data: second\n\n")
        on.close_connection = True

    broker.routes |= {"/echo": echo, "/stream": stream}
    port = free_port()
    gateway = GatewayProcess(folder, broker, f"https://localhost:{port}")
    front = FrontProcess(folder, broker, port, gateway.port)
    gateway.start()
    front.start()
    trust = ssl.create_default_context(cafile=str(authority.path))
    # The threaded client reads and writes one TLS object at once, which the tickets of TLS 1.3 now and then bring to a halt.
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    yield Lab(broker=broker, front=front, gateway=gateway, trust=trust, requests=requests, more=more)
    front.stop()
    gateway.stop()
    broker.stop()


def test_requests_reach_the_broker_with_our_word_on_who_asks(lab: Lab) -> None:
    """Claims of the client are dropped, cookies and bodies pass, the broker's name stays hidden."""
    response, body = lab.ask(
        "POST", "/echo", b"x" * 300_000, Cookie="session=1", X_Forwarded_For="10.9.9.9", X_Forwarded_Proto="http"
    )
    seen = lab.requests[-1]
    assert response.status == 200 and len(body) == 300_000
    assert (
        seen["x-forwarded-for"] == "127.0.0.1"
        and seen["x-forwarded-proto"] == "https"
        and seen["cookie"] == "session=1"
    )
    assert seen["x-forwarded-host"] == f"localhost:{lab.front.port}" == seen["host"]
    assert response.headers["Set-Cookie"] == "a=b" and "secret" not in str(response.headers)


def test_a_connection_serves_many_requests(lab: Lab) -> None:
    """Keep-alive towards the client, also after a HEAD."""
    client = lab.client()
    for method in ("GET", "HEAD", "GET"):
        client.request(method, "/echo")
        response = client.getresponse()
        assert response.status == 200 and response.read() == (b"" if method == "HEAD" else b"hello")
    client.close()


def test_events_flow_as_they_happen(lab: Lab) -> None:
    """The first event of a stream arrives while the second is not yet thought of."""
    lab.more.clear()
    client = lab.client()
    client.request("GET", "/stream")
    response = client.getresponse()
    assert response.readline() == b"data: first\n"
    lab.more.set()
    assert b"data: second" in response.read()
    client.close()


@pytest.mark.parametrize(
    "head",
    [
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnothex\r\n",
        b"GET http://elsewhere/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /echo HTTP/1.1\r\n\r\n",
    ],
)
def test_ambiguous_requests_get_400_and_the_connection_ends(lab: Lab, head: bytes) -> None:
    """Two lengths, bad framing, foreign targets, no host, no HTTP."""
    before = len(lab.requests)
    assert lab.raw(head).startswith(b"HTTP/1.1 400 ")
    assert len(lab.requests) == before


def test_a_chunked_body_passes(lab: Lab) -> None:
    """Its length is not known beforehand; it is framed anew for the broker."""
    client = lab.client()
    client.request(
        "POST", "/echo", iter([b"one", b"two"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
    )
    assert client.getresponse().read() == b"onetwo"
    assert lab.requests[-1]["transfer-encoding"] == "chunked"
    client.close()


def test_plain_http_is_sent_to_https(lab: Lab) -> None:
    """On the same port, with the same path."""
    with socket.create_connection(("localhost", lab.front.port), 20) as plain:
        plain.sendall(b"GET /a?b=c HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = plain.recv(4096)
    assert (
        answer.startswith(b"HTTP/1.1 308 ")
        and f"Location: https://localhost:{lab.front.port}/a?b=c\r\n".encode() in answer
    )


def test_only_websockets_pass_to_the_gateway(lab: Lab) -> None:
    """An ordinary request gets 426, a foreign origin the gateway's 403, and our origin a door that asks for a ticket."""
    response, _ = lab.ask("GET", "/gw/vnc")
    assert response.status == 426
    address = f"wss://localhost:{lab.front.port}/gw/vnc"
    with pytest.raises(InvalidStatus) as refusal:
        connect(address, ssl=lab.trust, origin="https://evil.example").__enter__()
    assert refusal.value.response.status_code == 403
    with connect(address, ssl=lab.trust, origin=f"https://localhost:{lab.front.port}") as door:  # type: ignore[arg-type]
        door.send("{}")
        assert json.loads(door.recv(timeout=20))["error"] == "ticket.invalid"


def test_without_a_broker_people_see_a_page_that_tries_again(lab: Lab) -> None:
    """503 with Retry-After, as a page or as problem+json, and all is well when the broker is back."""
    lab.broker.stop()
    page, body = lab.ask("GET", "/", Accept="text/html")
    assert page.status == 503 and page.headers["Retry-After"] == "5" and b'http-equiv="refresh"' in body
    api, body = lab.ask("GET", "/api/v1/offers", Accept="text/html")
    assert api.status == 503 and json.loads(body)["code"] == "unavailable"
    lab.broker.start()
    response, _ = lab.ask("GET", "/echo")
    assert response.status == 200


def test_without_a_gateway_the_door_says_so(lab: Lab) -> None:
    """503 instead of a silent hang."""
    lab.gateway.stop()
    with pytest.raises(InvalidStatus) as refusal:
        connect(f"wss://localhost:{lab.front.port}/gw/vnc", ssl=lab.trust).__enter__()
    assert refusal.value.response.status_code == 503
    lab.gateway.start()


def test_a_client_that_leaves_frees_its_stream(lab: Lab) -> None:
    """The broker sees the end of a stream whose page was closed."""
    lab.more.clear()
    gone = threading.Event()

    def wait_for_end(on: Handler) -> None:
        on.send_response(200)
        on.send_header("Content-Type", "text/event-stream")
        on.end_headers()
        on.wfile.write(b"data: here\n\n")
        on.connection.settimeout(20)
        if on.connection.recv(1) == b"":
            gone.set()
        on.close_connection = True

    lab.broker.routes["/watched"] = wait_for_end
    client = lab.client()
    client.request("GET", "/watched")
    assert client.getresponse().readline() == b"data: here\n"
    started = time.monotonic()
    assert client.sock is None or client.sock.shutdown(socket.SHUT_RDWR) is None
    client.close()
    assert gone.wait(20), f"still open after {time.monotonic() - started:.0f} s"
