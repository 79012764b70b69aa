"""What belongs to a customer in other tables: the records of a relation, and memberships."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import FromClause, Select, select, true

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


def members_of(slugs: Sequence[str], scope: Scope) -> Select[Any]:
    """The customer's open memberships in segments of these slugs; a slug of none finds nobody."""
    membership, segment = tables.segment_membership.alias(), tables.segment.alias()
    return (
        select(true())
        .select_from(membership.join(segment, segment.c.id == membership.c.segment_id))
        .where(
            membership.c.customer_id == scope.customer.c.id,
            membership.c.exited_at.is_(None),
            segment.c.slug.in_(slugs),
            segment.c.archived_at.is_(None),
        )
        .correlate(scope.customer)
    )
