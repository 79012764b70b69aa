"""Shared by tests of segments: saving, refreshing at a moment, and views of who is in them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import Database
from cdp.segments.definition import Draft, create_segment
from cdp.segments.refresh import Refreshed, refresh_step, take_turn
from cdp.segments.segment import Segment
from tests.cdp.ingesting import WORKSPACE


@dataclass(frozen=True, slots=True)
class Stage:
    """A database of which a test has one transaction, in place of many: nothing of it stays."""

    connection: AsyncConnection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """The one there is."""
        yield self.connection


async def without_starters(connection: AsyncConnection) -> None:
    """Only the segments of the test."""
    await connection.execute(tables.segment.delete())


async def a_segment(
    connection: AsyncConnection, name: str, filter_: object, **more: str
) -> Segment:
    """A saved segment; None: a static list."""
    return await create_segment(connection, Draft(name=name, filter=filter_, **more), WORKSPACE)


async def refreshed(database: Database | Stage, as_of: datetime | None = None) -> Refreshed:
    """Every step of a refresh, as of the moment that is given, else of now."""
    total = Refreshed()
    while True:
        async with database.transaction() as connection:
            now = await take_turn(connection)
            step = await refresh_step(connection, WORKSPACE, as_of or now)
        if step is None:
            return total
        total += step


async def members(connection: AsyncConnection) -> dict[str, set[int]]:
    """The ids of who is in each segment now, by slug."""
    segment, member = tables.segment, tables.segment_membership
    rows = await connection.execute(
        select(segment.c.slug, func.array_agg(member.c.customer_id))
        .outerjoin(member, (member.c.segment_id == segment.c.id) & member.c.exited_at.is_(None))
        .where(segment.c.archived_at.is_(None))
        .group_by(segment.c.slug)
    )
    return {slug: {one for one in ids if one is not None} for slug, ids in rows}


async def feed(connection: AsyncConnection) -> list[tuple[str, str, int, str, int | None]]:
    """Slug, kind, customer, cause and whom it speaks of, in order."""
    change, segment = tables.segment_change, tables.segment
    rows = await connection.execute(
        select(
            segment.c.slug,
            change.c.kind,
            change.c.customer_id,
            change.c.cause,
            change.c.other_id,
        )
        .join(segment, segment.c.id == change.c.segment_id)
        .order_by(change.c.id)
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


async def customer_ids(connection: AsyncConnection) -> Mapping[str, int]:
    """The customer of each source profile, by the profile's key."""
    profile = tables.source_profile
    rows = await connection.execute(select(profile.c.key, profile.c.customer_id))
    return {row[0]: row[1] for row in rows}
