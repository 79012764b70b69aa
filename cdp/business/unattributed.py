"""What was bought by nobody whom we know: orders that are in no customer's figures."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, cast, func, select

from cdp.business.moment import Moment
from cdp.money import to_smallest_unit
from cdp.order_days import exchange_rate_on, is_left, priced_orders_of_nobody


def unattributed_query(moment: Moment) -> Select[Any]:
    """One row: orders and money up to the moment of orders that name nobody.

    Also of those whose customer their source has not told yet. Counted as `purchases_query` counts
    customers' orders, so that both together are what the business took.
    """
    o = priced_orders_of_nobody(moment.workspace, moment.at).subquery("orders").c
    # A rate is looked up for a day and currency, not for each order.
    days = (
        select(
            o.on,
            o.currency,
            func.count().label("standing"),
            func.count().filter(is_left(o.total, o.given_back)).label("orders"),
            func.sum(o.total).label("total"),
            func.sum(o.given_back).label("given_back"),
            func.sum(o.unpriced_refund_count).label("unpriced_refunds"),
        )
        .where(~o.is_future)
        .group_by(o.on, o.currency)
        .subquery("days")
    )
    rate = exchange_rate_on(days.c.currency, days.c.on, moment.workspace)
    d = select(*days.c, rate.label("rate")).subquery("rated").c
    digits = moment.workspace.money_digits
    gross = to_smallest_unit(_sum(d.total * d.rate), digits)
    refunded = to_smallest_unit(_sum(d.given_back * d.rate), digits)
    without_rate = func.sum(d.standing).filter(d.rate.is_(None))
    return select(
        cast(_sum(d.orders), BigInteger).label("orders"),
        gross.label("gross_spend"),
        refunded.label("refunded"),
        (gross - refunded).label("net_revenue"),
        cast(func.coalesce(without_rate, 0) + _sum(d.unpriced_refunds), BigInteger).label(
            "unpriced_count"
        ),
    )


def _sum(amount: ColumnElement[Any]) -> ColumnElement[Any]:
    """Over all days; 0 where there is none."""
    return func.coalesce(func.sum(amount), 0)
