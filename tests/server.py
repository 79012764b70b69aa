"""The PostgreSQL of one run: what every test needs is built there once, and copied by each."""

import asyncio
import fcntl
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.clerk import Clerk


@dataclass(frozen=True, slots=True)
class Server:
    """What every worker of a run knows of it: its server, its name, and a folder for its locks.

    `clerk` is the worker's own.
    """

    clerk: Clerk
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
            if not self._found(name):
                with self.copy(source, keep_as=name) as url:
                    build(url)
        return name

    @contextmanager
    def copy(self, source: str | None, keep_as: str | None = None) -> Iterator[str]:
        """The URL of a copy, or of an empty database; it goes at the end, or takes a name."""
        name = self.draw()
        self.clerk.execute(_copying(name, source)).result()
        try:
            yield self.url_of(name)
            if keep_as is not None:
                self.clerk.execute(f'ALTER DATABASE "{name}" RENAME TO "{keep_as}"').result()
        finally:
            self.clerk.execute(_dropping(name)).result()

    def draw(self) -> str:
        """A name that no database has."""
        return f"{self.name}_{secrets.token_hex(4)}"

    async def create(self, name: str, source: str | None) -> None:
        """Copy a database to which nothing is connected; without one, make an empty."""
        await asyncio.wrap_future(self.clerk.execute(_copying(name, source)))

    async def drop(self, name: str) -> None:
        """Remove a database, if it is there, whoever is connected."""
        await asyncio.wrap_future(self.clerk.execute(_dropping(name)))

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
            for name in self._found(f"{self.name}_", is_whole=False):
                self.clerk.execute(_dropping(name)).result()

    def _found(self, name: str, *, is_whole: bool = True) -> list[str]:
        """The databases of that name, or whose names begin so."""
        query = "SELECT datname FROM pg_database WHERE starts_with(datname, $1)"
        names = self.clerk.texts(query, name)
        return [one for one in names if one == name or not is_whole]


def _copying(name: str, source: str | None) -> str:
    """File by file, which takes half of what it takes by way of the log."""
    of = f' TEMPLATE "{source}" STRATEGY file_copy' if source else ""
    return f'CREATE DATABASE "{name}"{of}'


def _dropping(name: str) -> str:
    return f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'
