"""What follows ingest: facts that a moment gone by has changed, and segments."""

from typing import Final

from sqlalchemy import func, select

from cdp import outbox
from cdp.customers import ProfileDay, lock_customers, refresh_days, refresh_facts
from cdp.database import Database
from cdp.segments.refresh import Refreshed, refresh_segments
from cdp.tables import purchase_day
from cdp.values import ProfileId
from cdp.workspace import Workspace

DUE_BATCH: Final = 5_000  # days folded in one transaction


async def follow(database: Database, workspace: Workspace) -> Refreshed:
    """Bring up to date whatever follows from what is committed, and from the clock."""
    await refresh_due(database, workspace)
    return await refresh_segments(database, workspace)


async def refresh_due(database: Database, workspace: Workspace) -> int:
    """Fold the days whose `next_change_at` has passed; returns how many there were.

    An order dated tomorrow counts from tomorrow, a refund announced for Friday from Friday.
    """
    folded = 0
    while True:
        async with database.transaction() as connection:
            rows = await connection.execute(
                select(purchase_day.c.source_profile_id, purchase_day.c.on)
                .where(purchase_day.c.next_change_at <= func.now())
                .order_by(purchase_day.c.source_profile_id, purchase_day.c.on)
                .limit(DUE_BATCH)
            )
            due: list[ProfileDay] = [(ProfileId(row[0]), row[1]) for row in rows]
            customers = await lock_customers(connection, [profile_id for profile_id, _ in due])
            await refresh_days(connection, due, workspace)
            await refresh_facts(connection, customers)
            await outbox.note(connection, customers, "clock")
        folded += len(due)
        if len(due) < DUE_BATCH:
            return folded
