"""The outbox: whom a transaction touched, noted in it, so that segments can follow afterwards."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, Literal, TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of

MAX_IDS: Final = 5_000  # of one row: bounds what whoever reads the outbox holds at once

Cause: TypeAlias = Literal["ingest", "clock", "identity", "list", "loyalty", "consent"]


async def note(
    connection: AsyncConnection,
    ids: Collection[int],
    cause: Cause,
    due_at: datetime | None = None,
) -> None:
    """Note customers, or source profiles: whoever bears the ids when the outbox is read.

    Nothing is looked up and nothing waits: one row holds thousands of ids, and a row that is there
    twice is evaluated once. `due_at`: for what a record that is dated ahead changes only then.
    """
    sorted_ids = sorted(ids)
    driver = await driver_of(connection)
    for start in range(0, len(sorted_ids), MAX_IDS):
        await driver.execute(
            "INSERT INTO touched_customer (cause, ids, due_at)"
            " VALUES ($1, $2::bigint[], coalesce($3::timestamptz, now()))",
            cause,
            sorted_ids[start : start + MAX_IDS],
            due_at,
        )
