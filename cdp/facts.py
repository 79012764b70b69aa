"""Facts: how days of purchase fold into one row per customer; each fact once, never added to.

Orders are folded into days first (`cdp.purchase_days`). Both folds are pure functions of the
records up to a moment.
"""

from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    FromClause,
    Numeric,
    Select,
    cast,
    column,
    func,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from cdp.money import to_smallest_unit
from cdp.tables import FACT_COLUMNS, purchase_day, source_profile


def days_of(customers: FromClause) -> Select[Any]:
    """The stored days of the given customers (`id`), each with its `customer_id`."""
    mine = source_profile.c
    return select(mine.customer_id, purchase_day).select_from(
        customers.join(source_profile, mine.customer_id == customers.c.id).join(
            purchase_day, purchase_day.c.source_profile_id == mine.id
        )
    )


def customer_facts(customers: FromClause, days: FromClause, money_digits: int) -> Select[Any]:
    """One row per given customer (`id`): every fact of FACT_COLUMNS, zero or null without days.

    `days` are theirs: `days_of(customers)`, or for a past moment `purchase_days(...)` folded up to
    it, each with its `customer_id`. Days are as exact as the exchange rates that they come of; here
    their sums become money, of `money_digits` places, once for whoever shows, compares, or adds up
    what customers have. The customers are stacked upon the days and grouped with them:
    there is no join for the planner to get wrong.
    """
    d = _with_their_days(customers, days).c
    has_order = d.order_count > 0
    gross_spend = to_smallest_unit(func.sum(d.gross_spend), money_digits)
    refunded = to_smallest_unit(func.sum(d.refunded), money_digits)
    folds: dict[str, ColumnElement[Any]] = {
        "order_count": func.sum(d.order_count),
        "priced_order_count": func.sum(d.priced_order_count),
        "order_day_count": func.count(d.on.distinct()).filter(has_order),
        "gross_spend": gross_spend,
        "refunded": refunded,
        "net_spend": gross_spend - refunded,
        "qualifying_spend": to_smallest_unit(func.sum(d.qualifying_spend), money_digits),
        "unpriced_count": func.sum(d.unpriced_count),
        "first_order_at": func.min(d.first_order_at),
        "last_order_at": func.max(d.last_order_at),
        "first_order_on": func.min(d.on).filter(has_order),
        "last_order_on": func.max(d.on).filter(has_order),
    }
    shares = {
        fact: func.array_agg(d[share], type_=ARRAY(JSONB)).filter(d[share].is_not(None))
        for fact, share in _SHARES.items()
    }
    folded = (
        select(
            d.customer_id.label("id"),
            *(fold.label(name) for name, fold in (folds | shares).items()),
        )
        .group_by(d.customer_id)
        .subquery("folded")
    )
    values: dict[str, ColumnElement[Any]] = {name: folded.c[name] for name in folds}
    values |= {fact: _favourite(folded.c[fact], folded) for fact in shares}
    return select(folded.c.id, *(_settled(values[fact.name], fact) for fact in FACT_COLUMNS))


def _with_their_days(customers: FromClause, days: FromClause) -> FromClause:
    """The days, and of each customer one more that holds nothing."""
    told = {each.name for each in days.c}
    types = {each.name: each.type for each in purchase_day.c if each.name in told}
    stacked = union_all(
        select(
            customers.c.id.label("customer_id"),
            *(cast(null(), type_).label(name) for name, type_ in types.items()),
        ),
        select(days.c.customer_id, *(cast(days.c[name], type_) for name, type_ in types.items())),
    )
    # Sorted, since a group has a few rows: a table of groups in memory takes longer, and more.
    return stacked.order_by("customer_id").subquery("stacked")


def _favourite(shares: ColumnElement[Any], folded: FromClause) -> ColumnElement[str]:
    """The name with the largest sum over a customer's days; of equals the first in the alphabet."""
    day = func.unnest(shares).table_valued(column("share", JSONB), name="day").render_derived()
    entry = (
        # Key by key, in no function of its own to join with: that would store each day's entries.
        select(func.jsonb_object_keys(day.c.share).label("name"), day.c.share)
        .correlate(folded)
        .subquery("entry")
    )
    amount = cast(entry.c.share[entry.c.name].astext, Numeric)
    return (
        select(entry.c.name)
        .group_by(entry.c.name)
        .order_by(func.sum(amount).desc(), entry.c.name)
        .limit(1)
        .scalar_subquery()
    )


_SHARES: Final = {"favourite_category": "categories", "favourite_channel": "channels"}
"""The fact that names the largest share, and the column of a day that holds the shares."""


def _settled(value: ColumnElement[Any], fact: Column[Any]) -> ColumnElement[Any]:
    return (value if fact.nullable else func.coalesce(value, 0)).label(fact.name)
