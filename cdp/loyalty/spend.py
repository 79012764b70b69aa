"""What customers have bought, day by day, in the currency and the days of the programme.

The stored days are in the workspace's. Where a programme was applied before those changed, its days
are folded from the orders, as a walk through each customer's orders: dearer, and the same amounts
as before the change.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import ARRAY, BigInteger, Date, FromClause, Numeric, Text, cast, func, select

from cdp.loyalty.terms import Terms
from cdp.order_days import order_day
from cdp.purchase_days import purchase_days
from cdp.statements import Statement, compiled, given
from cdp.tables import purchase_day, sales_order, source_profile
from cdp.values import CustomerId
from cdp.versions import Driver
from cdp.workspace import Workspace

Rows: TypeAlias = Sequence[Sequence[Any]]


async def spend_by_day(driver: Driver, ids: Sequence[CustomerId], terms: Terms) -> Rows:
    """Customer, day, and what of that day's orders is left after refunds; days of nothing not."""
    values = {"ids": ids, "first": date.min, "last": date.max}
    return await _by_day(_days_of(terms)).fetch(driver, values)


async def bought_between(
    driver: Driver,
    ids: Sequence[CustomerId],
    terms: Terms,
    first: date,
    last: date,
    category: str | None,
) -> Rows:
    """Customer, number of orders, spend, and spend of the category, on the days between."""
    values = {"ids": ids, "first": first, "last": last, "category": category}
    return await _sums(_days_of(terms)).fetch(driver, values)


async def best_day_between(
    driver: Driver, customer_id: CustomerId, terms: Terms, first: date, last: date
) -> Decimal:
    """The most that any source profile of a customer spent on one of the days; 0 without any."""
    values = {"ids": [customer_id], "first": first, "last": last}
    ((most,),) = await _best(_days_of(terms)).fetch(driver, values)
    assert isinstance(most, Decimal)
    return most


def _days_of(terms: Terms) -> Workspace | None:
    """What the days are to be folded in; None: the stored ones will do."""
    if terms.is_in_stored_days:
        return None
    return Workspace(currency=terms.currency, timezone=terms.timezone)


def _days(folding: Workspace | None) -> FromClause:
    """One row per source profile and day of the customers `ids`, between `first` and `last`."""
    first, last = given("first", Date()), given("last", Date())
    whom = func.unnest(given("ids", ARRAY(BigInteger))).table_valued("id").render_derived()
    theirs = whom.join(source_profile, source_profile.c.customer_id == whom.c.id)
    profile_id = source_profile.c.id
    if folding is None:
        days: FromClause = purchase_day
        within = theirs.join(days, days.c.source_profile_id == profile_id)
    else:
        on = order_day(folding)
        bought = (
            select(sales_order.c.source_profile_id, on.label("on"))
            .select_from(theirs.join(sales_order, sales_order.c.source_profile_id == profile_id))
            .where(on.between(first, last))
            .distinct()
            .cte("bought")
        )
        days = purchase_days(bought, folding, func.now()).subquery("days")
        within = days.join(source_profile, days.c.source_profile_id == profile_id)
    return (
        select(
            source_profile.c.customer_id,
            days.c.on,
            days.c.order_count,
            days.c.qualifying_spend,
            days.c.categories,
        )
        .select_from(within)
        .where(days.c.on.between(first, last))
        .subquery()
    )


@cache
def _by_day(folding: Workspace | None) -> Statement:
    day = _days(folding).c
    return compiled(
        select(day.customer_id, day.on, func.sum(day.qualifying_spend))
        .where(day.qualifying_spend != 0)
        .group_by(day.customer_id, day.on)
    )


@cache
def _sums(folding: Workspace | None) -> Statement:
    day = _days(folding).c
    of_category = cast(day.categories.op("->>")(given("category", Text())), Numeric)
    return compiled(
        select(
            day.customer_id,
            func.sum(day.order_count),
            func.sum(day.qualifying_spend),
            func.coalesce(func.sum(of_category), 0),
        ).group_by(day.customer_id)
    )


@cache
def _best(folding: Workspace | None) -> Statement:
    day = _days(folding).c
    return compiled(select(func.coalesce(func.max(day.qualifying_spend), 0)))
