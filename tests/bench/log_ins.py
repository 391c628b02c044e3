"""What a log-in and the page of offers cost the broker, in milliseconds of CPU and in hello-worlds of the same run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import mean
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

ROUNDS = 5  # each with the yardstick beside it, since other work on the machine changes what a cycle is worth
HELLOS = 10_000  # a round
WARM_UP = 300
LOG_INS = 600
PAGES = 200
GOAL, AIM = 110, 80  # hello-worlds a log-in


@dataclass(frozen=True)
class Cost:
    """What one request of a kind costs: the mean of all rounds."""

    cpu_ms: float
    database_ms: float
    each_second: float


@dataclass(frozen=True)
class Engine:
    """A filled database: its URL, the state directory beside it, and the pid of its server (0: it has none)."""

    name: str
    url: str
    state: Path
    server: int = 0


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
    """Measure log-ins and pages of offers of one broker process on a database, and hello-worlds beside them."""
    samples: dict[str, list[Cost]] = {"hello-world": [], "log-in": [], "offers": []}
    with serving("hello") as yardstick, serving("broker", str(engine.state), engine.url) as broker:
        run(yardstick[1], [get("/")] * WARM_UP, 200)
        _, cookies = run(broker[1], [log_in(number) for number in range(WARM_UP)], 303)
        run(broker[1], [get("/", cookie) for cookie in cookies[:50]], 200)
        for turn in range(ROUNDS):
            hello, _ = _sample(yardstick, [get("/")] * HELLOS, 200, 0)
            requests = [log_in(turn * LOG_INS + number) for number in range(LOG_INS)]
            entered, cookies = _sample(broker, requests, 303, engine.server)
            pages = [get("/", cookie) for cookie in cookies[:PAGES]]
            samples["offers"].append(_sample(broker, pages, 200, engine.server)[0])
            samples["log-in"].append(entered)
            samples["hello-world"].append(hello)
    return {name: _mean(costs) for name, costs in samples.items()}


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


def report(engines: Sequence[Engine]) -> str:
    """Measure everything and return the tables."""
    yardsticks = [[f"`SELECT 1` on {engine.name}, the client's side", select_one(engine)] for engine in engines]
    rows = []
    for engine in engines:
        counted, found = statements(engine), measure(engine)
        yardsticks.append([f"a hello-world of the same server, beside {engine.name}", found["hello-world"].cpu_ms])
        for what in ("log-in", "offers"):
            cost = found[what]
            stored = cost.database_ms if engine.server else "in the broker"
            rows.append(
                [
                    engine.name,
                    what,
                    cost.cpu_ms,
                    cost.cpu_ms / found["hello-world"].cpu_ms,
                    stored,
                    counted[what],
                    cost.each_second,
                ]
            )
    yardsticks.append(["a password check (Argon2id, 19 MiB), left out below", real_hash()])
    heads = ("database", "request", "broker CPU ms", "hello-worlds", "database CPU ms", "statements", "a second")
    title = f"Log-ins and offers, {AT_ONCE} at once, one broker process"
    return "\n".join([table("Yardsticks", ("what", "CPU ms"), yardsticks), table(title, heads, rows),
                      f"Goal: a log-in costs at most {GOAL} hello-worlds; aim {AIM}.\n"])  # fmt: skip


def _sample(server: tuple[int, int], requests: list[bytes], expected: int, database: int) -> tuple[Cost, list[str]]:
    pid, port = server
    before, stored = cpu_seconds(pid), cpu_seconds(database) if database else 0.0
    seconds, cookies = run(port, requests, expected)
    spent = (cpu_seconds(pid) - before) / len(requests) * 1000
    kept = (cpu_seconds(database) - stored if database else 0.0) / len(requests) * 1000
    return Cost(spent, kept, len(requests) / seconds), cookies


def _mean(costs: list[Cost]) -> Cost:
    return Cost(*(mean(getattr(cost, item.name) for cost in costs) for item in fields(Cost)))
