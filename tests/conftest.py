"""One PostgreSQL and one migrated database for the whole run, a copy of it per worker or test."""

import asyncio
import gc
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import Database, open_database
from cdp.postgres import embedded
from migrations import upgrade
from tests.clerk import Clerk
from tests.memory import files_of_a_run, home_of_the_run
from tests.server import Server

# A machine that is busy fails no test.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

if find_spec("sniffio") is None:
    # HTTP clients look for it at every request, in every folder of the path; this tells them.
    sys.modules["sniffio"] = None  # type: ignore[assignment]

GARBAGE_THRESHOLD = 500_000  # as in a command: cycles are looked for after so many new objects


def pytest_configure(config: pytest.Config) -> None:
    """Give the run its folder; workers inherit it. What is loaded from now on stays."""
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
    if not hasattr(config, "workerinput"):
        stack = ExitStack()
        stack.enter_context(files_of_a_run())
        config.add_cleanup(stack.close)


def pytest_collection_finish() -> None:
    """What is loaded by now stays until the end: looking for cycles in it finds none."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A PostgreSQL for this run: CDP_TEST_DATABASE_URL, else an embedded one shared by workers."""
    with ExitStack() as stack:
        given = os.environ.get("CDP_TEST_DATABASE_URL")
        if given is None:
            given = stack.enter_context(embedded(home_of_the_run()))
            _trust_the_machine(given)
        yield given


TRUSTING = ("fsync", "full_page_writes", "synchronous_commit", "wal_compression", "autovacuum")
ANYBODY = "host all all 127.0.0.1/32 trust\n"


def _trust_the_machine(server_url: str) -> None:
    """Wait for no disk, do nothing for a crash, ask for no password: all is made by the hundred.

    Each copy is a checkpoint, after which every page would be logged whole. What a machine that
    stops would lose is no loss here, and a process that is killed loses none. A password takes a
    client thousands of hashes at each connection.
    """
    with closing(Clerk(server_url)) as clerk:
        for setting in TRUSTING:
            clerk.execute(f"ALTER SYSTEM SET {setting} = off").result()
        (access,) = clerk.texts("SHOW hba_file")
        Path(access).write_text(ANYBODY)
        clerk.execute("SELECT pg_reload_conf()").result()


@pytest.fixture(scope="session")
def server(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server with what the workers of this run share on it."""
    folder = tmp_path_factory.getbasetemp()
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is not None:
        folder = folder.parent  # each worker has a folder of its own in it
    name = f"test_{(run or secrets.token_hex(6))[:12]}"
    with closing(Clerk(server_url)) as clerk:
        server = Server(clerk, server_url, name, folder)
        with server.in_use():
            yield server


def _migrate(url: str) -> None:
    async def build() -> None:
        async with open_database(url) as database, database.transaction() as connection:
            await upgrade(connection)

    asyncio.run(build())


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """The name of a database built by the real migrations; nothing connects to it after that."""
    return server.built("migrated", _migrate)


@pytest.fixture
def database_url(server: Server, template: str) -> Iterator[str]:
    """The URL of a fresh migrated database of the test's own, for what commits."""
    with server.copy(template) as url:
        yield url


@pytest.fixture
def second_database_url(server: Server, template: str) -> Iterator[str]:
    """Another one, to compare with the first."""
    with server.copy(template) as url:
        yield url


@pytest.fixture(scope="session")
async def worker_database(server: Server, template: str) -> AsyncIterator[Database]:
    """One migrated database for all tests of this worker that roll back."""
    name = server.draw()
    await server.create(name, template)
    async with open_database(server.url_of(name)) as database:
        yield database
    await server.drop(name)


@pytest.fixture
async def connection(worker_database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection inside a transaction that is rolled back when the test ends."""
    async with worker_database.engine.connect() as connection:
        yield connection
        await connection.rollback()


@pytest.fixture
async def empty_database(server: Server) -> AsyncIterator[Database]:
    """A database without a single table, open."""
    name = server.draw()
    await server.create(name, None)
    async with open_database(server.url_of(name)) as opened:
        yield opened
    await server.drop(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh migrated database of the test's own, open."""
    async with open_database(database_url) as opened:
        yield opened


@pytest.fixture
async def second_database(second_database_url: str) -> AsyncIterator[Database]:
    """Another fresh migrated database, open."""
    async with open_database(second_database_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Vendors' samples and public data sets, beside the checkout; skips where they are not."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the sample data folder {folder} is not here")
    return folder
