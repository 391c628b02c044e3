"""How many bytes a desktop, a user and a log-in take in a filled database, indexes included."""

from sqlalchemy import text
from tests.bench.fleet import DESKTOPS, USERS
from tests.bench.machine import table

from portico.store.engine import Database

TABLES = {"desktop": ("desktops", "seats", "pool_members"), "user": ("users",), "log-in": ("sessions", "events")}
GOALS = {"desktop": 1_024, "user": 1_024, "log-in": 5_120}


def sizes(url: str) -> dict[str, int]:
    """Return the bytes of each table with its indexes."""
    db = Database(url)
    with db.read() as conn:
        if db.is_sqlite:
            query = "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY 1"
            found = {name: int(size) for name, size in conn.execute(text(query))}
        else:
            conn.execute(text("VACUUM FULL"))  # What updates left behind is not what a row takes.
            query = "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
            found = {name: int(size) for name, size in conn.execute(text(query))}
    db.dispose()
    return found


def log_ins(url: str) -> int:
    """Return how many sessions the database holds."""
    db = Database(url)
    with db.read() as conn:
        number = int(conn.execute(text("SELECT count(*) FROM sessions")).scalar_one())
    db.dispose()
    return number


def report(databases: dict[str, str], empty: dict[str, dict[str, int]]) -> str:
    """Return the table: what the rows added to the sizes of `empty` databases."""
    rows = []
    for name, url in databases.items():
        full, numbers = sizes(url), {"desktop": DESKTOPS, "user": USERS, "log-in": log_ins(url)}
        for thing, parts in TABLES.items():
            grown = sum(full.get(part, 0) - empty[name].get(part, 0) for part in parts)
            rows.append([name, thing, round(grown / numbers[thing]), GOALS[thing], ", ".join(parts)])
    return table("Storage", ("database", "thing", "bytes", "goal", "tables, with their indexes"), rows)
