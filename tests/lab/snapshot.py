"""A seeded lab as one file, so that the next one need not be made from nothing. It is taken once, right after seeding."""

import shutil
import tarfile

from tests.lab import processes, services
from tests.lab.places import CLOUDS, FACTS, HOME, RUN, SNAPSHOT, STATE, VAR
from tests.lab.processes import say, wait
from tests.lab.schemas import sql

KEPT = 3  # Snapshots of older sources that stay, for whoever goes back and forth between branches.


def save() -> None:
    """Keep the state of the lab, which goes on running; the database is away for some seconds."""
    database = services.infrastructure()[0]
    processes.stop(database.name, 60)
    try:
        part = SNAPSHOT.with_suffix(".part")
        with tarfile.open(part, "w:gz", compresslevel=1) as archive:
            for path in (VAR, FACTS, CLOUDS):
                archive.add(path, path.relative_to(STATE).as_posix(), filter=_wanted)
        part.replace(SNAPSHOT)
    finally:
        processes.start(database)
    wait("the database after the snapshot", lambda: (RUN / "mysql.sock").exists() and sql("SELECT 1"), database.name)
    old = sorted(HOME.glob("snapshot-*.tar.gz"), key=lambda file: file.stat().st_mtime)[:-KEPT]
    for file in old:
        file.unlink()


def restore() -> bool:
    """Put the state back that these very sources left; tell whether there was any."""
    if not SNAPSHOT.exists():
        return False
    say("taking the seeded state of last time")
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir(parents=True, mode=0o700)
    with tarfile.open(SNAPSHOT) as archive:
        archive.extractall(STATE)  # Our own file, made above.
    SNAPSHOT.touch()
    return True


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what the message broker remembers: it begins anew."""
    return None if entry.name.startswith("var/mnesia") else entry
