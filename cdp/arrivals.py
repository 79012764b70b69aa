"""Which sources tell that a message was delivered; of the others' one that was sent has arrived.

Kept with a source when it first tells it, and never taken back: so it is the same whatever the
order in which records come, and a customer of whom none tells it counts like the others of that
source.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.records import MessageRecord
from cdp.tables import message, source
from cdp.values import ProfileId, SourceId
from cdp.versions import Changes

DELIVERED: Final = "delivered"


def tells_delivery(source_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a source has ever told that a message was delivered."""
    one = source.alias()
    query = select(one.c.tells_delivery).where(one.c.id == source_id).correlate_except(one)
    return query.scalar_subquery()


async def begin_to_tell(
    connection: AsyncConnection, source_id: SourceId, changes: Changes
) -> Collection[ProfileId]:
    """Whose messages count otherwise from now on: all of the source's, where it tells it first.

    For the caller who has the turn of the source.
    """
    told = (one.record for one in (*changes.current, *changes.late))
    if not any(isinstance(one, MessageRecord) and one.kind == DELIVERED for one in told):
        return ()
    begins = (
        update(source)
        .where(source.c.id == source_id, ~source.c.tells_delivery)
        .values(tells_delivery=True)
        .returning(source.c.id)
    )
    if await connection.scalar(begins) is None:
        return ()
    owner = message.c.source_profile_id
    theirs = select(owner).where(message.c.source_id == source_id, owner.is_not(None)).distinct()
    return [ProfileId(one) for one in await connection.scalars(theirs)]
