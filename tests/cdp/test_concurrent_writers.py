"""Writers at the same time give the customers that writers one after another give."""

import asyncio
import random
from collections.abc import Mapping, Sequence

import pytest

from cdp.database import Database
from cdp.delivery import Batch, receive
from cdp.ingest import apply
from cdp.values import SourceId
from tests.cdp.ingesting import WORKSPACE, a_source, facts_by_members, partition

pytestmark = pytest.mark.anyio

SOURCES = ("shop", "till", "mail", "desk")
BATCHES, ROWS = 12, 15


def _pages(name: str) -> Sequence[Sequence[tuple[str, Mapping[str, object]]]]:
    """Pages of customers and guests' orders that share few addresses and phones."""
    chance = random.Random(name)  # repeatable, not secret
    pages = []
    for page in range(BATCHES):
        rows: list[tuple[str, Mapping[str, object]]] = []
        for row in range(ROWS):
            person = chance.randrange(120)
            key = f"{page}-{row}"
            email = f"p{person}@example.com" if chance.random() < 0.7 else None
            phone = f"+1555{2000000 + person:07d}" if chance.random() < 0.5 else None
            given = {"id": key, "email": email, "phone": phone}
            if chance.random() < 0.6:
                rows.append(("customers", {**given, "first_name": ("Ann", "Bob")[person % 2]}))
            else:
                order = {"placed_at": "2024-01-01T10:00:00Z", "currency": "EUR", "total": "5"}
                rows.append(("orders", {**given, **order}))
        pages.append(rows)
    return pages


async def _deliver(database: Database, name: str, source_id: SourceId) -> None:
    for page in _pages(name):
        deliveries = [receive(stream, row) for stream, row in page]
        async with database.transaction() as connection:
            await apply(connection, Batch(source_id, deliveries), WORKSPACE)


async def _result(database: Database) -> object:
    async with database.transaction() as connection:
        facts = {
            members: (row["order_count"], row["net_spend"])
            for members, row in (await facts_by_members(connection)).items()
        }
        return await partition(connection), facts


async def test_four_writers_at_once_and_one_after_another_give_the_same_customers(
    database: Database, second_database: Database
) -> None:
    async with database.transaction() as connection:
        ids = [await a_source(connection, name) for name in SOURCES]
    async with second_database.transaction() as connection:
        await asyncio.sleep(0)
        same = [await a_source(connection, name) for name in SOURCES]
    assert ids == same
    for name, source_id in zip(reversed(SOURCES), reversed(ids), strict=True):
        await _deliver(database, name, source_id)
    await asyncio.gather(
        *(_deliver(second_database, name, i) for name, i in zip(SOURCES, ids, strict=True))
    )
    assert await _result(second_database) == await _result(database)
