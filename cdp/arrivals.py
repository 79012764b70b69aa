"""Which sources tell that a message was delivered; of the others' one that was sent has arrived.

Kept beside the settings when a source first tells it, and never taken back: so it is the same
whatever the order in which records come, and a customer of whom none tells it counts like the
others of that source.
"""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, cast, exists, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.records import MessageRecord
from cdp.tables import message, workspace
from cdp.values import ProfileId, SourceId
from cdp.versions import Changes

DELIVERED: Final = "delivered"
_KEY: Final = "tells_delivery:"


def tells_delivery(source_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a source has ever told that a message was delivered."""
    key = func.concat(literal(_KEY, Text), cast(source_id, Text))
    return exists(select(workspace.c.key).where(workspace.c.key == key).correlate_except(workspace))


async def begin_to_tell(
    connection: AsyncConnection, source_id: SourceId, changes: Changes
) -> Collection[ProfileId]:
    """Whose messages count otherwise from now on: all of the source's, where it tells it first.

    For the caller who has the turn of the source.
    """
    told = (one.record for one in (*changes.current, *changes.late))
    if not any(isinstance(one, MessageRecord) and one.kind == DELIVERED for one in told):
        return ()
    row: dict[str, Any] = {"key": f"{_KEY}{source_id}", "value": DELIVERED}
    kept = insert(workspace).values(row).on_conflict_do_nothing().returning(workspace.c.key)
    if await connection.scalar(kept) is None:
        return ()
    owner = message.c.source_profile_id
    theirs = select(owner).where(message.c.source_id == source_id, owner.is_not(None)).distinct()
    return [ProfileId(one) for one in await connection.scalars(theirs)]
