"""The bench of a check: a source of its own, the emulator behind it, and what was stored."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeAlias

from sqlalchemy import select
from starlette.types import ASGIApp

from cdp.database import Database
from cdp.deadletters import DeadLetter, list_letters
from cdp.sources import SourceRow, add_source, find_source
from cdp.tables import source_profile
from cdp.workspace import Workspace
from connectors.base import Source
from connectors.registry import build
from connectors.runner import RunReport, sync
from connectors.sandbox.server import serving
from connectors.sandbox.state import Faults

KEY: Final = "a-key-of-the-sandbox"
WRONG_KEY: Final = "another-key-altogether"
BEGIN: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
PEOPLE: Final = 230  # three pages of a hundred
FAST: Final = Faults(rate_multiplier=1_000)


class Broken(Exception):
    """A check found the connector at fault: one sentence."""


class Sandbox(Protocol):
    """What every emulator can do."""

    @property
    def app(self) -> ASGIApp:
        """What is served."""
        ...

    def put(self, kind: str, item: dict[str, object]) -> None:
        """Insert or replace an object."""
        ...

    def delete(self, kind: str, key: str, at: datetime) -> None:
        """Delete an object."""
        ...


Put: TypeAlias = Callable[[Sandbox, int, object, datetime], None]
"""Put the person of that number, bearing that name (text, if it is a good one), as changed then."""


@dataclass(frozen=True, slots=True)
class Case:
    """A connector with its emulator. `delete` is None where the vendor tells of no deletes."""

    connector: str
    sandbox: Callable[[Faults], Sandbox]
    settings: Mapping[str, str]
    secret: str
    people: str
    put: Put
    delete: Callable[[Sandbox, int, datetime], None] | None = None


@dataclass(slots=True)
class Bench:
    """One check's own source in a database, and the emulator behind it."""

    case: Case
    database: Database
    sandbox: Sandbox
    name: str
    first_number: int = 0
    """Where the numbers of its people begin, so that the people of two checks are not the same."""
    put: dict[int, str] = field(default_factory=dict)

    def fill(self, people: int = PEOPLE, at: datetime = BEGIN) -> None:
        """Put people, each changed a second after the one before."""
        for number in range(people):
            self.change(number, f"Person{number}", at + timedelta(seconds=number))

    def change(self, number: int, name: str, at: datetime) -> None:
        """Put one person."""
        self.case.put(self.sandbox, self.first_number + number, name, at)
        self.put[number] = name

    def spoil(self, number: int, name: object, at: datetime) -> None:
        """Put one person under a name that nobody can take."""
        self.case.put(self.sandbox, self.first_number + number, name, at)

    async def row(self, url: str, settings: Mapping[str, str] | None = None) -> SourceRow:
        """The check's source, reading from that address."""
        async with self.database.transaction() as connection:
            row = await find_source(connection, self.name)
            if row is None:
                row = await add_source(
                    connection, self.name, self.case.connector, self.case.settings
                )
        return replace(row, settings={**self.case.settings, **(settings or {}), "url": url})

    @asynccontextmanager
    async def source(
        self,
        app: ASGIApp | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> AsyncIterator[tuple[SourceRow, Source]]:
        """The connector reading from the emulator, or from another app in front of it."""
        async with serving(app or self.sandbox.app) as url:
            row = await self.row(url, settings)
            source = build(row)
            try:
                yield row, source
            finally:
                await source.close()

    async def sync(
        self,
        app: ASGIApp | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        wrap: Callable[[Source], Source] = lambda source: source,
    ) -> RunReport:
        """One run, with hardly a wait between attempts."""
        async with self.source(app, settings) as (row, source):
            return await sync(self.database, row, wrap(source), Workspace(), backoff_seconds=0.001)

    async def stored(self) -> dict[str, str | None]:
        """The people that are stored and not deleted, by key: their name as the vendor gave it."""
        async with self.database.read_only() as connection:
            row = await find_source(connection, self.name)
            if row is None:
                return {}
            profiles = await connection.execute(
                select(
                    source_profile.c.key,
                    source_profile.c.first_name,
                    source_profile.c.full_name,
                ).where(
                    source_profile.c.source_id == row.id,
                    source_profile.c.stream == "customers",
                    source_profile.c.deleted_at.is_(None),
                )
            )
            return {key: first or full for key, first, full in profiles}

    async def letters(self) -> list[DeadLetter]:
        """What could not be taken, and still cannot."""
        async with self.database.read_only() as connection:
            return await list_letters(connection, source_name=self.name, limit=PEOPLE)

    async def expect_everybody(self) -> None:
        """Everybody who was put is stored once, under the name that they bear now."""
        expect(sorted(self.put.values()), sorted(map(str, (await self.stored()).values())))


def expect(wanted: object, found: object) -> None:
    """Raises Broken where they differ."""
    if wanted != found:
        raise Broken(f"Expected {str(wanted)[:200]}, found {str(found)[:200]}.")
