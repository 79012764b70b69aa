"""Profiles of one source, some of whom are one person by likeness alone."""

import msgspec

from benchmarks.shoppers import tell
from cdp.database import Database
from tests.cdp.ingesting import take

SEED, ALIKE = 71, 800


async def deliver(database: Database, count: int = ALIKE) -> None:
    """Have a source tell of them; nothing is resolved but by what ingest sees."""
    async with database.transaction() as connection:
        rows = [msgspec.to_builtins(one.record) for one in tell(SEED, count)]
        await take(connection, "customers", rows)
