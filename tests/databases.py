"""Fixtures: databases for tests, SQLite and PostgreSQL, empty or with Portico's tables in them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest
from tests.capabilities import ran_on
from tests.postgres import Cluster

from portico.config import Config

ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """A PostgreSQL server of this test process."""
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def migrate(url: str, state: Path) -> None:
    """Bring Portico's tables into a database."""
    # Found by name so that tests without a database need nothing of the broker.
    resolve_name("portico.wiring:db_command")(Config(state=state, database=url), "upgrade")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with Portico's tables, to be copied."""
    directory = tmp_path_factory.mktemp("sqlite-template")
    file = directory / "portico.db"
    migrate(f"sqlite+pysqlite:///{file}", directory)
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a PostgreSQL database with Portico's tables, to be copied."""
    name = postgres_cluster.create_database()
    migrate(postgres_cluster.url(name), tmp_path_factory.mktemp("postgres-template"))
    return name


def _made(request: pytest.FixtureRequest, directory: Path, with_tables: bool) -> Iterator[str]:
    if request.param == "sqlite":
        file = directory / "portico.db"
        if with_tables:
            shutil.copyfile(request.getfixturevalue("sqlite_template"), file)
        yield f"sqlite+pysqlite:///{file}"
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    template = request.getfixturevalue("postgres_template") if with_tables else "template0"
    name = cluster.create_database(template)
    yield cluster.url(name)
    cluster.drop_database(name)


@pytest.fixture(scope="module", params=ENGINES)
def module_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with Portico's tables, fresh for the module, once on each engine."""
    yield from _made(request, tmp_path_factory.mktemp("database"), with_tables=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, module_database: str) -> str:
    """The URL of the module's own database, with Portico's tables; each test runs once on each engine."""
    ran_on(request, "postgresql" if module_database.startswith("postgresql") else "sqlite")
    return module_database


@pytest.fixture(params=ENGINES)
def fresh_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with Portico's tables that nobody has written to; each test runs once on each engine."""
    ran_on(request, request.param)
    yield from _made(request, tmp_path, with_tables=True)


@pytest.fixture(params=ENGINES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables; each test runs once on each engine."""
    ran_on(request, request.param)
    yield from _made(request, tmp_path, with_tables=False)
