"""How segments overlap: of each pair how many customers are in both."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.errors import BadInput
from cdp.related import segments_exist

MAX_COMPARED: Final = 20  # segments at once: nobody reads a larger table

Overlap: TypeAlias = Mapping[tuple[str, str], int]
"""Of two slugs how many are in both; of one slug twice, how many are in it. Zero is told too."""


def overlap_query(slugs: Sequence[str]) -> Select[Any]:
    """One row per pair of the segments that have these slugs: `left`, `right`, `count`; by slug.

    Each pair stands once, the earlier slug first; a segment is also a pair with itself. Raises
    BadInput for too many; the statement fails for a slug that there is not.
    """
    if len(slugs) > MAX_COMPARED:
        raise BadInput(
            f"{len(slugs)} segments; {MAX_COMPARED} are the most.", todo="Name some of them."
        )
    left, right = tables.segment.alias("left"), tables.segment.alias("right")
    wanted = [
        condition
        for side in (left, right)
        for condition in (side.c.slug.in_(slugs), side.c.archived_at.is_(None))
    ]
    common = _common(slugs).subquery()
    here = and_(common.c.left_id == left.c.id, common.c.right_id == right.c.id)
    return (
        select(
            left.c.slug.label("left"),
            right.c.slug.label("right"),
            func.coalesce(common.c.count, 0).label("count"),
        )
        .select_from(left.join(right, left.c.slug <= right.c.slug).outerjoin(common, here))
        .where(*segments_exist(slugs), *wanted)
        .order_by(left.c.slug, right.c.slug)
    )


def _common(slugs: Sequence[str]) -> Select[Any]:
    """The members that any two of the segments have in common, read once for all pairs."""
    member, segment = tables.segment_membership, tables.segment.alias()
    theirs = select(segment.c.id).where(segment.c.slug.in_(slugs), segment.c.archived_at.is_(None))
    one, other = (
        select(member.c.segment_id, member.c.customer_id)
        .where(member.c.exited_at.is_(None), member.c.segment_id.in_(theirs))
        .subquery()
        for _ in range(2)
    )
    columns = (one.c.segment_id.label("left_id"), other.c.segment_id.label("right_id"))
    return (
        select(*columns, func.count().label("count"))
        .select_from(one.join(other, one.c.customer_id == other.c.customer_id))
        .group_by(*columns)
    )


async def overlap(connection: AsyncConnection, slugs: Sequence[str]) -> Overlap:
    """Count the members of each segment and the common members of each pair.

    Raises BadInput as `overlap_query`.
    """
    found: dict[tuple[str, str], int] = {}
    for left, right, count in await connection.execute(overlap_query(slugs)):
        found[left, right] = found[right, left] = count
    return found
