"""`make bench`: all measurements of one run on one machine, printed and left in build/bench."""

import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench import decisions, directories, first_frame, forwarding, log_ins, sessions, storage
from tests.bench.fleet import fill, open_broker
from tests.bench.log_ins import Engine
from tests.bench.machine import ROOT, describe
from tests.postgres import Cluster

from portico import logs

OUT = ROOT / "build/bench"


def main() -> int:
    """Measure everything; nothing is asserted, since machines differ. Returns 0."""
    OUT.mkdir(parents=True, exist_ok=True)
    logs.configure("text", "warning")
    machine = describe()
    print(f"{machine}\n", flush=True)
    parts = [f"{machine}.\n", _show("decisions", decisions.report()), _show("forwards", forwarding.report())]
    parts += [_show("directories", directories.report())]
    parts += [_show("sessions", sessions.report()), _show("first-frame", first_frame.report())]
    directory, cluster = Path(tempfile.mkdtemp(prefix="portico-bench-")), Cluster()
    try:
        cluster.start()
        parts += _with_databases(directory, cluster)
    finally:
        cluster.stop()
        shutil.rmtree(directory, ignore_errors=True)
    (OUT / "all.md").write_text("\n".join(parts), "utf-8")
    return 0


def _with_databases(directory: Path, cluster: Cluster) -> list[str]:
    server = cluster.server.pid if cluster.server else 0
    engines = [
        Engine("SQLite", f"sqlite+pysqlite:///{directory}/portico.db", directory),
        Engine("PostgreSQL", cluster.url(cluster.create_database()), directory, server),
    ]
    empty = {}
    for engine in engines:
        broker = open_broker(engine.state, engine.url)
        empty[engine.name] = storage.sizes(engine.url)
        fill(broker)
        broker.db.dispose()
    text = log_ins.report(engines)
    kept = storage.report({engine.name: engine.url for engine in engines}, empty)
    return [_show("log-ins", text), _show("storage", kept)]


def _show(name: str, text: str) -> str:
    print(text, flush=True)
    (OUT / f"{name}.md").write_text(text, "utf-8")
    return text


if __name__ == "__main__":
    sys.exit(main())
