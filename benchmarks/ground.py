"""Where a benchmark runs: a PostgreSQL, databases that come and go on it, a folder for files."""

import asyncio
import fcntl
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
from sqlalchemy.engine import make_url

from cdp.postgres import embedded
from cdp.postgres.home import Home, lock, open_private
from cdp.settings import read_settings

STOP_SECONDS: Final = 30  # for an embedded server to end once its last user has left
POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Ground:
    """A server that is running, and a folder that is removed in the end."""

    folder: Path
    server_url: str
    is_embedded: bool

    @contextmanager
    def database(self) -> Iterator[str]:
        """An empty database; its URL."""
        name = f"bench_{secrets.token_hex(6)}"
        execute(self.server_url, f'CREATE DATABASE "{name}"')
        try:
            yield (
                make_url(self.server_url).set(database=name).render_as_string(hide_password=False)
            )
        finally:
            execute(self.server_url, f'DROP DATABASE "{name}" WITH (FORCE)')

    @contextmanager
    def home(self) -> Iterator[Path]:
        """A CDP_HOME that nothing has used yet; its server is gone at the end."""
        with _folder(self.folder) as folder:
            yield folder
            _await_end_of_server(folder)


@contextmanager
def open_ground() -> Iterator[Ground]:
    """The server of CDP_DATABASE_URL, else an embedded one in a new folder."""
    with _folder(None) as folder:
        url = read_settings().database_url
        if url is not None:
            yield Ground(folder, url, is_embedded=False)
            return
        home = folder / "home"
        with embedded(home) as server_url:
            yield Ground(folder, server_url, is_embedded=True)
        _await_end_of_server(home)


def execute(url: str, statement: str) -> None:
    """Run a statement that cannot be part of a transaction."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


@contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cdp-bench-", dir=parent) as name:
        folder = Path(name)
        # A server that runs under an account of its own has to pass through it.
        folder.chmod(0o711)
        yield folder


def _await_end_of_server(home: Path) -> None:
    """Wait until nobody supervises the home any more, so that it can be removed."""
    files = Home.of(home)
    descriptor = open_private(files.supervisor)
    try:
        deadline = time.monotonic() + STOP_SECONDS
        while not lock(descriptor, fcntl.LOCK_EX) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    finally:
        os.close(descriptor)
