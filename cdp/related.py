"""What belongs to a customer in other tables: the records of a relation, and memberships."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    any_,
    exists,
    false,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from cdp import tables
from cdp.fields import Relation
from cdp.traits.lookups import Rows, cheap_first, since_of
from cdp.traits.trait import Scope


def records_of(relation: Relation, scope: Scope, around: FromClause | None) -> Rows:
    """The rows of the relation's table that belong to the customer.

    `around`: a row whose records they are in place of the customer.
    """
    rows = relation.table.alias()
    if around is not None:
        belong = [rows.c[mine] == around.c[theirs] for mine, theirs in relation.keys.items()]
        found = select(true()).select_from(rows).where(*belong).correlate(around)
    else:
        profile, whose = tables.source_profile.alias(), _whose(scope)
        found = (
            select(true())
            .select_from(rows.join(profile, profile.c.id == rows.c.source_profile_id))
            .where(profile.c.customer_id == whose.c.id)
            .correlate(whose)
        )
    moment = None if relation.occurred is None else rows.c[relation.occurred]
    if moment is not None:
        found = found.where(moment <= scope.as_of)
    mine = Rows(relation.name, rows, found.where(rows.c.deleted_at.is_(None)), moment)
    return mine if scope.lookups is None or around is not None else scope.lookups.rows(mine)


def _whose(scope: Scope) -> FromClause:
    """The row by whose `id` is known whom records and memberships belong to."""
    return scope.customer if scope.lookups is None else scope.lookups.told


def some_of(
    rows: Rows, holds: ColumnElement[bool], scope: Scope, around: FromClause | None
) -> ColumnElement[bool]:
    """Whether the condition holds for one of the rows, or more."""
    since = _since(rows, holds, around)
    if scope.lookups is None or since is None:
        return exists(rows.mine.where(holds))
    answer = func.coalesce(func.bool_or(cheap_first(holds)), false(), type_=Boolean)
    return scope.lookups.ask(rows, answer, since)


def count_of(
    rows: Rows, holds: ColumnElement[bool], scope: Scope, around: FromClause | None
) -> ColumnElement[int]:
    """For how many of the rows the condition holds."""
    since = _since(rows, holds, around)
    if scope.lookups is None or since is None:
        return rows.mine.where(holds).with_only_columns(func.count()).scalar_subquery()
    return scope.lookups.ask(rows, func.count().filter(cheap_first(holds)), since)


def _since(
    rows: Rows, holds: ColumnElement[bool], around: FromClause | None
) -> ColumnElement[Any] | None:
    """How far back the rows that answer reach, where the condition says so of a customer's.

    Whoever does not say it is answered by a look of their own, which ends with the first row: that
    of all together would read whatever there ever was.
    """
    return None if around is not None or rows.moment is None else since_of(holds, rows.moment)


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


def is_member(slugs: Sequence[str], scope: Scope) -> ColumnElement[bool]:
    """Whether the customer is in a segment of these slugs; a slug of none finds nobody."""
    if scope.lookups is None:
        return exists(members_of(slugs, scope))
    mine = scope.lookups.rows(memberships(scope.lookups.told))
    is_open = mine.rows.c.exited_at.is_(None)
    numbers = func.array_agg(mine.rows.c.segment_id, type_=ARRAY(Integer)).filter(is_open)
    named = func.array(_numbers(slugs).scalar_subquery(), type_=ARRAY(Integer))
    overlaps = scope.lookups.ask(mine, numbers).bool_op("&&")(named)
    return func.coalesce(overlaps, false(), type_=Boolean)


def memberships(whose: FromClause) -> Rows:
    """All memberships that somebody ever had, by the primary key.

    Were it said here that they are open, the planner might take the index of those, which goes by
    segment, and read all of it for each customer.
    """
    membership = tables.segment_membership.alias("member")
    theirs = select(true()).where(membership.c.customer_id == whose.c.id)
    return Rows("segments", membership, theirs.correlate(whose))


def members_of(slugs: Sequence[str], scope: Scope) -> Select[Any]:
    """The customer's open memberships in segments of these slugs."""
    membership = tables.segment_membership.alias()
    return (
        select(true())
        .where(
            membership.c.customer_id == scope.customer.c.id,
            membership.c.exited_at.is_(None),
            membership.c.segment_id.in_(_numbers(slugs)),
        )
        .correlate(scope.customer)
    )


def _numbers(slugs: Sequence[str]) -> Select[int]:
    segment = tables.segment.alias()
    named = segment.c.slug == any_(literal(list(slugs), ARRAY(Text)))
    return select(segment.c.id).where(named, segment.c.archived_at.is_(None))
