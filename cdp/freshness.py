"""How fresh what was computed of a customer is: its moment, and what it has seen of each source."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    DateTime,
    FromClause,
    Integer,
    Select,
    Table,
    Text,
    and_,
    any_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.fields import camel_case
from cdp.tables import PERSON_TABLES, STREAM_TABLES, sales_order, source_profile
from cdp.traits.catalog import CATALOG
from cdp.traits.trait import Group, Scope


def freshness_of(scope: Scope) -> Select[Any]:
    """One row per group of the catalog, for the customer of the scope, in the catalog's `place`.

    `name` as in the graph; `computed_at`, null where nothing was computed yet; `is_stale`: a record
    that the group is made of came later than that; `customer_id` and `streams`, for `told`.
    """
    rows = union_all(*(_row(place, group, scope) for place, group in enumerate(CATALOG)))
    groups = rows.subquery("groups")
    g = groups.c
    latest = (
        select(func.max(told(g.customer_id, g.streams).subquery().c.told_at))
        .correlate(groups)
        .scalar_subquery()
    )
    known = select(groups, latest.label("latest")).subquery("known")
    k = known.c
    return select(
        k.place,
        k.name,
        k.customer_id,
        k.streams,
        case(
            (k.folded_at.is_not(None), func.greatest(k.folded_at, k.latest)), else_=k.computed_at
        ).label("computed_at"),
        func.coalesce(k.latest > k.computed_at, False).label("is_stale"),
    )


def _row(place: int, group: Group, scope: Scope) -> Select[Any]:
    """`folded_at` of a group that rests on facts, `computed_at` of the others."""
    nothing = cast(null(), DateTime(timezone=True))
    is_folded = group.computed_at is None
    moment = nothing if group.computed_at is None else group.computed_at(scope)
    return select(
        literal(place, Integer).label("place"),
        literal(camel_case(group.name), Text).label("name"),
        scope.customer.c.id.label("customer_id"),
        literal(list(group.streams), ARRAY(Text)).label("streams"),
        (scope.customer.c.updated_at if is_folded else nothing).label("folded_at"),
        moment.label("computed_at"),
    ).correlate(scope.customer)


def told(customer_id: ColumnElement[int], streams: ColumnElement[Sequence[str]]) -> Select[Any]:
    """Of each source that told something of the customer in the streams when it last did.

    One row per source: source_id, told_at.
    """
    names = sorted({stream for group in CATALOG for stream in group.streams})
    rows: CompoundSelect[Any] = union_all(
        *(
            _last(STREAM_TABLES[name], customer_id, literal(name, Text) == any_(streams))
            for name in names
        )
    )
    found = rows.subquery("told")
    return select(found.c.source_id, func.max(found.c.told_at).label("told_at")).group_by(
        found.c.source_id
    )


def _last(
    table: Table, customer_id: ColumnElement[int], is_wanted: ColumnElement[bool]
) -> Select[Any]:
    """When each source told the last of a stream's records of a customer."""
    record, profile = table.alias(), source_profile.alias()
    rows: FromClause = record
    owner = record
    if table not in PERSON_TABLES:
        owner = sales_order.alias()
        rows = record.join(
            owner,
            and_(owner.c.source_id == record.c.source_id, owner.c.key == record.c.order_key),
        )
    return (
        select(record.c.source_id, func.max(record.c.learned_at).label("told_at"))
        .select_from(rows.join(profile, profile.c.id == owner.c.source_profile_id))
        .where(is_wanted, profile.c.customer_id == customer_id)
        .group_by(record.c.source_id)
        .correlate_except(record, profile, owner)
    )
