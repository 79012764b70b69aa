"""In which segments a customer is: the edge that leads from people to segments."""

from typing import Annotated

import strawberry
from sqlalchemy import select

from cdp import tables
from schema.edges import Arguments, Branch, One, Row, column, planned, row_of
from schema.scalars import DateTime

_Segment = Annotated["Segment", strawberry.lazy("schema.types.segment")]  # type: ignore[name-defined]  # noqa: F821


def segment_of(row: Row) -> Branch:
    """The segment that a row's `segment_id` names."""
    segment = tables.segment.alias()
    query = select().select_from(segment).where(segment.c.id == row.table.c.segment_id)
    return Branch("Segment", row_of(segment, row.scene), query)


@strawberry.type(description="That a customer is in a segment.")
class SegmentMembership:
    """An open row of segment_membership."""

    segment: _Segment = planned(One(segment_of), "The segment.")
    entered_at: DateTime = column("entered_at", "Since when.")


def memberships(customer: Row, _: Arguments) -> Branch:
    """A customer's segments, by slug."""
    member, segment = tables.segment_membership.alias(), tables.segment.alias()
    lives = (
        select(segment.c.slug)
        .where(segment.c.id == member.c.segment_id, segment.c.archived_at.is_(None))
        .correlate(member)
        .scalar_subquery()
    )
    query = (
        select()
        .select_from(member)
        .where(
            member.c.customer_id == customer.table.c.id,
            member.c.exited_at.is_(None),
            lives.is_not(None),
        )
        .order_by(lives)
    )
    return Branch("SegmentMembership", row_of(member, customer.scene), query)
