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
from cdp.traits.lookups import LookUps, Rows, cheap_first, since_of
from cdp.traits.trait import Scope


def records_of(relation: Relation, scope: Scope, around: FromClause | None) -> Rows:
    """The rows of the relation's table that belong to the customer.

    `around`: a row whose records they are in place of the customer.
    """
    rows = relation.table.alias()
    moment = None if relation.occurred is None else rows.c[relation.occurred]
    found = select(true()).where(rows.c.deleted_at.is_(None))
    if moment is not None:
        found = found.where(moment <= scope.as_of)
    if around is not None:
        belong = [rows.c[mine] == around.c[theirs] for mine, theirs in relation.keys.items()]
        inner = found.select_from(rows).where(*belong).correlate(around)
        return Rows(relation.name, rows, inner, moment)
    profile, whose = tables.source_profile.alias(), _whose(scope)
    found = found.select_from(rows.join(profile, profile.c.id == rows.c.source_profile_id))
    theirs = profile.c.customer_id
    mine = Rows(
        relation.name,
        rows,
        found.where(theirs == whose.c.id).correlate(whose),
        moment,
        found.with_only_columns(theirs.label("customer_id")).group_by(theirs),
    )
    return mine if scope.lookups is None else scope.lookups.rows(mine)


def _whose(scope: Scope) -> FromClause:
    """The row by whose `id` is known whom records and memberships belong to."""
    told = None if scope.lookups is None else scope.lookups.told
    return scope.customer if told is None else told


def some_of(
    rows: Rows, holds: ColumnElement[bool], scope: Scope, around: FromClause | None
) -> ColumnElement[bool]:
    """Whether the condition holds for one of the rows, or more."""
    since = _since(rows, holds, around)
    lookups = _shared(scope, since, around)
    if lookups is None:
        return exists(rows.mine.where(holds))
    answer = lookups.ask(rows, func.bool_or(cheap_first(holds)), since)
    return func.coalesce(answer, false(), type_=Boolean)


def count_of(
    rows: Rows, holds: ColumnElement[bool], scope: Scope, around: FromClause | None
) -> ColumnElement[int]:
    """For how many of the rows the condition holds."""
    since = _since(rows, holds, around)
    lookups = _shared(scope, since, around)
    if lookups is None:
        return rows.mine.where(holds).with_only_columns(func.count()).scalar_subquery()
    answer = lookups.ask(rows, func.count().filter(cheap_first(holds)), since)
    return func.coalesce(answer, 0, type_=Integer)


def _since(
    rows: Rows, holds: ColumnElement[bool], around: FromClause | None
) -> ColumnElement[Any] | None:
    """How far back the rows that answer reach, where the condition says so of a customer's."""
    return None if around is not None or rows.moment is None else since_of(holds, rows.moment)


def _shared(
    scope: Scope, since: ColumnElement[Any] | None, around: FromClause | None
) -> LookUps | None:
    """What reads the rows once for all conditions; None for a look of this condition's own.

    Of some customers whoever does not say how far back they look has one, which ends with the first
    row: that of all together would read whatever there ever was. Of everybody that is read anyway.
    """
    lookups = scope.lookups
    if lookups is None or around is not None:
        return None
    return lookups if lookups.are_everybodys or since is not None else None


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
    told = None if scope.lookups is None else scope.lookups.told
    if scope.lookups is None or told is None:
        return exists(members_of(slugs, scope))
    mine = scope.lookups.rows(memberships(told))
    is_open = mine.rows.c.exited_at.is_(None)
    numbers = func.array_agg(mine.rows.c.segment_id, type_=ARRAY(Integer)).filter(is_open)
    overlaps = scope.lookups.ask(mine, numbers).bool_op("&&")(_numbers(slugs))
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
            membership.c.segment_id == any_(_numbers(slugs)),
        )
        .correlate(scope.customer)
    )


def _numbers(slugs: Sequence[str]) -> ColumnElement[Any]:
    """Looked up once, whatever the planner makes of the rest: an array, and no join."""
    segment = tables.segment.alias()
    named = segment.c.slug == any_(literal(list(slugs), ARRAY(Text)))
    numbers = select(segment.c.id).where(named, segment.c.archived_at.is_(None))
    return func.array(numbers.scalar_subquery(), type_=ARRAY(Integer))
