"""What follows ingest: facts that a moment gone by has changed, and segments."""

from typing import Final

from sqlalchemy import func, select

from cdp import outbox
from cdp.customers import (
    ProfileDay,
    lock_customers,
    refresh_activity,
    refresh_days,
    refresh_facts,
)
from cdp.database import Database
from cdp.loyalty.clock import refresh_points
from cdp.segments.refresh import Refreshed, refresh_segments
from cdp.tables import customer, purchase_day
from cdp.values import CustomerId, ProfileId
from cdp.workspace import Workspace, is_in_force, take_turn

DUE_BATCH: Final = 5_000  # days, or customers, folded in one transaction


async def follow(database: Database, workspace: Workspace) -> Refreshed:
    """Bring up to date whatever follows from what is committed, and from the clock."""
    await refresh_due(database, workspace)
    return await refresh_segments(database, workspace)


async def refresh_due(database: Database, workspace: Workspace) -> int:
    """Fold whatever a moment gone by has changed; returns how many days and customers there were.

    An order dated tomorrow counts from tomorrow, a subscription until it ends, points until they
    expire. Ends early where the settings are not those of `workspace` any more: whoever changed
    them brings all up to date.
    """
    return await _refresh_days_due(database, workspace) + await _refresh_activity_due(
        database, workspace
    )


async def _refresh_activity_due(database: Database, workspace: Workspace) -> int:
    folded = 0
    while True:
        async with database.transaction() as connection:
            await take_turn(connection, alone=False)
            if not await is_in_force(connection, workspace):
                return folded
            rows = await connection.execute(
                select(customer.c.id)
                .where(customer.c.activity_change_at <= func.now())
                .order_by(customer.c.id)
                .limit(DUE_BATCH)
            )
            due = {CustomerId(row[0]) for row in rows}
            await lock_customers(connection, (), due)
            await refresh_activity(connection, due, workspace)
            await outbox.note(connection, due, "clock")
        folded += len(due)
        if len(due) < DUE_BATCH:
            return folded


async def _refresh_days_due(database: Database, workspace: Workspace) -> int:
    folded = 0
    while True:
        async with database.transaction() as connection:
            await take_turn(connection, alone=False)  # others lock everybody, batch by batch
            if not await is_in_force(connection, workspace):
                return folded
            rows = await connection.execute(
                select(purchase_day.c.source_profile_id, purchase_day.c.on)
                .where(purchase_day.c.next_change_at <= func.now())
                .order_by(purchase_day.c.source_profile_id, purchase_day.c.on)
                .limit(DUE_BATCH)
            )
            due: list[ProfileDay] = [(ProfileId(row[0]), row[1]) for row in rows]
            customers = await lock_customers(connection, [profile_id for profile_id, _ in due])
            await refresh_days(connection, due, workspace)
            await refresh_facts(connection, customers, workspace)
            await outbox.note(connection, customers, "clock")
        folded += len(due)
        if len(due) < DUE_BATCH:
            return folded + await refresh_points(database)
