"""Why a customer is, or is not, in a segment: told clause by clause, by a loader."""

from typing import Any, Final

import strawberry
from sqlalchemy import BigInteger, ColumnElement, Text, cast, func, select, true
from strawberry.types.info import Info

from cdp import tables
from cdp.segments.why import Verdict
from schema.context import Context
from schema.declare import Declared
from schema.edges import (
    EDGE,
    Arguments,
    Branch,
    Loaded,
    One,
    Root,
    Row,
    Scene,
    argument,
    carried,
    column,
    planned,
    row_of,
)
from schema.ids import row_id
from schema.scalars import DateTime, Json
from schema.types.customer import Customer
from schema.types.membership import segment_of
from schema.types.segment import Segment, permitted


@strawberry.type(description="One clause of a segment's filter, as it is for a customer.")
class SegmentVerdict:
    """What a loader gave."""

    path: str = carried("Its place in the filter, such as `or[0].country.eq`.")
    asked: Json | None = carried("What stands there. Null where it is personal and masked.")
    holds: bool | None = carried(
        "Whether it holds for the customer now. Null where it is personal and masked."
    )
    value: str | None = carried(
        "The customer's value; for records how many answer to the clause. Null where there is none,"
        " where it is masked, and where the clause is made of those that follow it."
    )


async def _why(root: dict[str, Any], info: Info[Context, None]) -> list[Verdict]:
    return await info.context.verdicts_by_standing.load(root["why:key"])


def _key(row: Row) -> ColumnElement[str]:
    parts = (cast(row.table.c[name], Text) for name in ("segment_id", "customer_id"))
    return func.concat_ws(":", *parts, type_=Text)


def _customer(row: Row) -> Branch:
    customer = tables.scored_customer.alias()
    query = select().select_from(customer).where(customer.c.id == row.table.c.customer_id)
    return Branch("Customer", row_of(customer, row.scene), query)


_WHY: Final[Declared] = strawberry.field(
    resolver=_why,
    description="Each clause of the filter with its verdict, in the order of the filter; empty for"
    " a static list.",
    metadata={EDGE: Loaded(_key, price=20)},
)


@strawberry.type(description="How a customer stands to a segment.")
class SegmentStanding:
    """A pair of a segment and a customer."""

    segment: Segment = planned(One(segment_of), "The segment.")
    customer: Customer = planned(One(_customer), "The customer.")
    is_member: bool = column("is_member", "Whether the customer is in it.")
    entered_at: DateTime | None = column(
        "entered_at", "When the customer last entered; null for one who never did."
    )
    exited_at: DateTime | None = column(
        "exited_at", "When the customer last left; null for a member, and for one who never was."
    )
    why: list[SegmentVerdict] = _WHY


def _standing(scene: Scene, arguments: Arguments) -> Branch:
    permitted(scene)
    slug = arguments.later("segmentSlug", Text(), lambda text: text)
    number = arguments.later("customerId", BigInteger(), lambda text: row_id(text, "Customer"))
    segment, profile = tables.segment.alias(), tables.source_profile.alias()
    member = tables.segment_membership.alias()
    stay = (
        select(member.c.entered_at, member.c.exited_at)
        .where(member.c.segment_id == segment.c.id, member.c.customer_id == profile.c.customer_id)
        .order_by(member.c.entered_at.desc())
        .limit(1)
        .lateral("stay")
    )
    pair = (
        select(
            segment.c.id.label("segment_id"),
            profile.c.customer_id,
            stay.c.entered_at,
            stay.c.exited_at,
            (stay.c.entered_at.is_not(None) & stay.c.exited_at.is_(None)).label("is_member"),
        )
        .select_from(segment.join(profile, true()).outerjoin(stay, true()))
        .where(segment.c.slug == slug, segment.c.archived_at.is_(None), profile.c.id == number)
        .subquery()
    )
    row = Row(pair, "segment_standing", scene)
    return Branch("SegmentStanding", row, select().select_from(pair))


STANDING: Final = Root(_standing)
STANDING_ARGUMENTS: Final = (
    argument("segment_slug", str, "The segment's slug."),
    argument("customer_id", strawberry.ID, "The customer's id; a merged one will do."),
)
