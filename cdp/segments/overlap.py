"""How segments overlap: of each pair how many customers are in both."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.errors import BadInput
from cdp.segments.segment import Segment

MAX_COMPARED: Final = 20  # segments at once: nobody reads a larger table

Overlap: TypeAlias = Mapping[tuple[str, str], int]
"""Of two slugs how many are in both; of one slug twice, how many are in it. Zero is told too."""


async def overlap(connection: AsyncConnection, segments: Sequence[Segment]) -> Overlap:
    """Count the members of each segment and the common members of each pair, as of one moment.

    Raises BadInput for too many.
    """
    if len(segments) > MAX_COMPARED:
        raise BadInput(
            f"{len(segments)} segments; {MAX_COMPARED} are the most.", todo="Name some of them."
        )
    slugs = {one.id: one.slug for one in segments}
    left, right = tables.segment_membership.alias(), tables.segment_membership.alias()
    rows = await connection.execute(
        select(left.c.segment_id, right.c.segment_id, func.count())
        .join(right, right.c.customer_id == left.c.customer_id)
        .where(
            left.c.exited_at.is_(None),
            right.c.exited_at.is_(None),
            left.c.segment_id.in_(slugs),
            right.c.segment_id.in_(slugs),
            left.c.segment_id <= right.c.segment_id,
        )
        .group_by(left.c.segment_id, right.c.segment_id)
    )
    found = dict.fromkeys(((a, b) for a in slugs.values() for b in slugs.values()), 0)
    for first, second, count in rows:
        found[slugs[first], slugs[second]] = found[slugs[second], slugs[first]] = count
    return found
