"""What belongs to a customer in other tables: the records of a relation, and memberships."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    FromClause,
    Select,
    Text,
    any_,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from cdp import tables
from cdp.fields import Relation
from cdp.traits.trait import Scope


def records_of(
    relation: Relation, scope: Scope, around: FromClause | None
) -> tuple[FromClause, Select[Any]]:
    """A fresh alias of the relation's table, and the rows of it that belong to the customer.

    `around`: a row whose records they are in place of the customer.
    """
    rows = relation.table.alias()
    if around is not None:
        belong = [rows.c[mine] == around.c[theirs] for mine, theirs in relation.keys.items()]
        found = select(true()).select_from(rows).where(*belong).correlate(around)
    else:
        profile = tables.source_profile.alias()
        found = (
            select(true())
            .select_from(rows.join(profile, profile.c.id == rows.c.source_profile_id))
            .where(profile.c.customer_id == scope.customer.c.id)
            .correlate(scope.customer)
        )
    if relation.occurred is not None:
        found = found.where(rows.c[relation.occurred] <= scope.as_of)
    return rows, found.where(rows.c.deleted_at.is_(None))


def segments_exist(slugs: Collection[str]) -> Sequence[ColumnElement[bool]]:
    """A condition that holds once for a statement, or fails it, where any are named."""
    if not slugs:
        return ()
    named = func.require_segments(literal(sorted(slugs), ARRAY(Text)), type_=Boolean)
    return (select(named).scalar_subquery(),)


def segments_of(scope: Scope) -> ColumnElement[Any]:
    """The slugs of the segments that the customer is in, in order; null for none."""
    membership, segment = tables.segment_membership.alias(), tables.segment.alias()
    slugs = func.array_agg(aggregate_order_by(segment.c.slug, segment.c.slug), type_=ARRAY(Text))
    return (
        select(slugs)
        .select_from(membership.join(segment, segment.c.id == membership.c.segment_id))
        .where(
            membership.c.customer_id == scope.customer.c.id,
            membership.c.exited_at.is_(None),
            segment.c.archived_at.is_(None),
        )
        .correlate(scope.customer)
        .scalar_subquery()
    )


def members_of(slugs: Sequence[str], scope: Scope) -> Select[Any]:
    """The customer's open memberships in segments of these slugs; a slug of none finds nobody."""
    membership, segment = tables.segment_membership.alias(), tables.segment.alias()
    named = select(segment.c.id).where(segment.c.slug.in_(slugs), segment.c.archived_at.is_(None))
    theirs = (
        select(true())
        .where(
            membership.c.customer_id == scope.customer.c.id,
            membership.c.exited_at.is_(None),
        )
        .correlate(scope.customer)
    )
    if not scope.is_of_few:
        return theirs.where(membership.c.segment_id.in_(named))
    # Numbers that are found once, and a fence: else all members would be gathered for a few.
    numbers = func.array(named.scalar_subquery())
    return theirs.where(membership.c.segment_id == any_(numbers)).offset(literal_column("0"))
