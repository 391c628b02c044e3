"""What a log-in and the page of offers cost the broker, in milliseconds of CPU and in hello-worlds of the same run."""

import re
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from urllib.parse import urlencode

from sqlalchemy import text
from starlette.testclient import TestClient
from tests.bench.fleet import ORIGIN, PASSWORD, USERS, open_broker, user_name
from tests.bench.load import AT_ONCE, get, post, run
from tests.bench.machine import cpu_seconds, serving, table

from portico.services.passwords import Hasher
from portico.store.engine import Database, count_statements
from portico.web.app import create_app

HELLOS = 20_000
WARM_UP = 300
LOG_INS = 2_000
PAGES = 1_000
GOAL, AIM = 110, 80  # hello-worlds a log-in


@dataclass(frozen=True)
class Cost:
    """What one request of a kind costs."""

    cpu_ms: float
    database_ms: float
    each_second: float
    statements: int = 0


@dataclass(frozen=True)
class Engine:
    """A filled database: its URL, the state directory beside it, and the pid of its server (0: it has none)."""

    name: str
    url: str
    state: Path
    server: int = 0


def hello_world() -> Cost:
    """Return what a bare answer costs: the yardstick."""
    with serving("hello") as (pid, port):
        run(port, [get("/")] * WARM_UP, 200)
        return _measure(pid, port, [get("/")] * HELLOS, 200, 0)[0]


def select_one(engine: Engine, number: int = 2_000) -> float:
    """Return the CPU milliseconds of a `SELECT 1` through our own engine, on the client's side."""
    db = Database(engine.url)
    with db.read() as conn:
        began = process_time()
        for _ in range(number):
            conn.execute(text("SELECT 1")).scalar()
        spent = process_time() - began
    db.dispose()
    return spent / number * 1000


def real_hash(number: int = 8) -> float:
    """Return the CPU milliseconds of one real password check, which log-ins below leave out."""
    hasher = Hasher()
    hashed = hasher.hash(PASSWORD)
    began = process_time()
    for _ in range(number):
        hasher.verify(hashed, PASSWORD)
    return (process_time() - began) / number * 1000


def log_in(number: int) -> bytes:
    """Return the request of one log-in."""
    form = urlencode({"username": user_name(number % USERS), "password": PASSWORD, "next": "/"})
    return post("/login", form, ORIGIN)


def measure(engine: Engine) -> dict[str, Cost]:
    """Measure log-ins and pages of one broker process on a database."""
    counted = statements(engine)
    with serving("broker", str(engine.state), engine.url) as (pid, port):
        run(port, [log_in(number) for number in range(WARM_UP)], 303)
        requests = [log_in(number) for number in range(LOG_INS)]
        entered, cookies = _measure(pid, port, requests, 303, engine.server)
        pages = [get("/", cookie) for cookie in cookies[:PAGES]]
        run(port, pages[:WARM_UP], 200)
        offers, _ = _measure(pid, port, pages, 200, engine.server)
    found = {"log-in": entered, "offers": offers}
    return {name: Cost(c.cpu_ms, c.database_ms, c.each_second, counted[name]) for name, c in found.items()}


def statements(engine: Engine) -> dict[str, int]:
    """Count the statements of one log-in and of one page of offers, in this process."""
    broker = open_broker(engine.state, engine.url)
    client = TestClient(create_app(broker), base_url=ORIGIN, client=("127.0.0.1", 4711), follow_redirects=False)
    counter, found = count_statements(broker.db.engine), {}
    form = {"username": user_name(0), "password": PASSWORD, "next": "/"}
    for _ in range(2):  # The first fills what is kept in memory.
        counter.statements.clear()
        if client.post("/login", data=form, headers={"origin": ORIGIN}).status_code != 303:
            raise RuntimeError("the log-in was refused")
        found["log-in"] = len(counter.statements)
        counter.statements.clear()
        page = client.get("/").text
        found["offers"] = len(counter.statements)
        if len(re.findall("data-offer=", page)) < 2:
            raise RuntimeError("the page offers no desktops")
    broker.db.dispose()
    return found


def report(hello: Cost, found: dict[str, dict[str, Cost]], yardsticks: dict[str, float]) -> str:
    """Return the tables."""
    first = [["a bare answer of the same server (hello-world)", hello.cpu_ms]]
    first += [[f"`SELECT 1` on {name}", value] for name, value in yardsticks.items()]
    first.append(["a password check (Argon2id, 19 MiB), left out below", real_hash()])
    rows = [
        [name, what, c.cpu_ms, c.cpu_ms / hello.cpu_ms, c.database_ms or "in the broker", c.statements, c.each_second]
        for what in ("log-in", "offers")
        for name, costs in found.items()
        for c in [costs[what]]
    ]
    heads = ("database", "request", "broker CPU ms", "hello-worlds", "database CPU ms", "statements", "a second")
    title = f"Log-ins and offers, {AT_ONCE} at once, one broker process"
    return "\n".join([table("Yardsticks", ("what", "CPU ms"), first), table(title, heads, rows),
                      f"Goal: a log-in costs at most {GOAL} hello-worlds; aim {AIM}.\n"])  # fmt: skip


def _measure(
    pid: int, port: int, requests: list[bytes], expected: int, database: int
) -> tuple[Cost, list[str]]:
    before, stored = cpu_seconds(pid), cpu_seconds(database) if database else 0.0
    seconds, cookies = run(port, requests, expected)
    spent = cpu_seconds(pid) - before
    kept = cpu_seconds(database) - stored if database else 0.0
    number = len(requests)
    return Cost(spent / number * 1000, kept / number * 1000, number / seconds), cookies
