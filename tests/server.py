"""The PostgreSQL of one run: what every test needs is built there once, and copied by each."""

import asyncio
import fcntl
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy.engine import make_url


@dataclass(frozen=True, slots=True)
class Server:
    """What every worker of a run knows of it: its server, its name, and a folder for its locks."""

    url: str
    name: str
    folder: Path

    def url_of(self, name: str) -> str:
        """Where a database is."""
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def built(self, what: str, build: Callable[[str], None], source: str | None = None) -> str:
        """The name of a database that the first worker who asks builds; the others wait for it.

        `build` is given the URL of an empty database, or of a copy of `source`, and leaves no
        connection open. Of one that fails nothing is kept.
        """
        name = f"{self.name}_{what}"
        with (self.folder / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not asyncio.run(self._is_there(name)):
                with self.copy(source, keep_as=name) as url:
                    build(url)
        return name

    @contextmanager
    def copy(self, source: str | None, keep_as: str | None = None) -> Iterator[str]:
        """The URL of a copy, or of an empty database; it goes at the end, or takes a name."""
        name = self.draw()
        asyncio.run(self.create(name, source))
        try:
            yield self.url_of(name)
            if keep_as is not None:
                asyncio.run(self._execute(f'ALTER DATABASE "{name}" RENAME TO "{keep_as}"'))
        finally:
            asyncio.run(self.drop(name))

    def draw(self) -> str:
        """A name that no database has."""
        return f"{self.name}_{secrets.token_hex(4)}"

    async def create(self, name: str, source: str | None) -> None:
        """Copy a database, file by file, to which nothing is connected; without one, an empty."""
        of = f' TEMPLATE "{source}" STRATEGY file_copy' if source else ""
        await self._execute(f'CREATE DATABASE "{name}"{of}')

    async def drop(self, name: str) -> None:
        """Remove a database, if it is there, whoever is connected."""
        await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold the run open; whoever is the last to leave removes all its databases."""
        with (self.folder / f"{self.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # others still work
            asyncio.run(self._drop_all())

    async def _drop_all(self) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            found = "SELECT datname FROM pg_database WHERE starts_with(datname, $1)"
            for row in await connection.fetch(found, f"{self.name}_"):
                await connection.execute(f'DROP DATABASE "{row["datname"]}" WITH (FORCE)')
        finally:
            await connection.close()

    async def _is_there(self, name: str) -> bool:
        connection = await asyncpg.connect(self.url)
        try:
            found = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
            return bool(await connection.fetchval(found, name))
        finally:
            await connection.close()

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
