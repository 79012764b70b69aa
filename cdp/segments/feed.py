"""Up to where the feed of a segment goes: what whoever waits for its next change looks at."""

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import func, select

from cdp import tables
from cdp.database import Database

BEFORE_THE_FIRST: Final = 0  # changes are numbered from 1


async def ends_of(database: Database, segment_ids: Collection[int]) -> Mapping[int, int]:
    """Of each of the segments the number of its last change, BEFORE_THE_FIRST where it has none.

    Those that are deleted, and those that never were, are left out. One look by the key at each.
    Changes are committed in the order of their numbers, so none comes later with a lower one.
    Raises DatabaseUnavailable.
    """
    segment, change = tables.segment, tables.segment_change
    last = (
        select(func.coalesce(func.max(change.c.id), BEFORE_THE_FIRST))
        .where(change.c.segment_id == segment.c.id)
        .scalar_subquery()
    )
    wanted = segment.c.id.in_(segment_ids), segment.c.archived_at.is_(None)
    async with database.read_only() as connection:
        rows = await connection.execute(select(segment.c.id, last).where(*wanted))
        return {row[0]: row[1] for row in rows}
