"""Days of purchase: priced orders and their lines folded into one row per source profile and day.

So an account with millions of orders stays cheap. A pure function of the records up to a moment,
which is an argument; `cdp.facts` folds the days into customers.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    FromClause,
    Numeric,
    Select,
    Text,
    and_,
    cast,
    func,
    literal,
    null,
    select,
    union_all,
)

from cdp.order_days import Clock, is_left, priced_orders
from cdp.tables import order_line, product, purchase_day
from cdp.workspace import Workspace


def purchase_days(days: FromClause, workspace: Workspace, as_of: Clock) -> Select[Any]:
    """The rows of `purchase_day` for the given days; no row where no order stands."""
    orders = priced_orders(days, workspace, as_of).cte()  # nameless: there may be two of them
    lines = _lines_of(orders)
    return folded_days(orders, _sold(orders, lines, orders.join(lines, literal(value=True))))


def everything_sold(orders: FromClause) -> Select[Any]:
    """What a day is folded from of the lines of priced orders: joined as a whole, not looked up."""
    return _sold(orders, order_line, orders.join(order_line, _is_line_of(orders)))


def _lines_of(orders: CTE) -> FromClause:
    """The lines of each of the orders, looked up like the orders themselves."""
    return select(order_line).where(_is_line_of(orders)).offset(0).lateral("lines")


def _is_line_of(orders: FromClause) -> ColumnElement[bool]:
    line, o = order_line.c, orders.c
    return and_(line.source_id == o.source_id, line.order_key == o.key, line.deleted_at.is_(None))


def folded_days(orders: FromClause, sold: Select[Any]) -> Select[Any]:
    """The rows of `purchase_day` of priced orders, all those of their days, and what they sold.

    Orders and lines are stacked and grouped, not joined day by day: there is no join for the
    planner to get wrong. What is of one category or channel is summed first, and the day of that:
    one sort serves both. They are sorted, since a group has a row or two: a table of groups in
    memory takes twice the time, and a kilobyte for each.
    """
    stacked = (
        union_all(_ordered(orders), sold)
        .order_by("source_profile_id", "on", "category", "channel")
        .subquery("stacked")
    )
    each, measures = stacked.c, _measures(stacked)
    part = (
        select(
            each.source_profile_id,
            each.on,
            each.category,
            each.channel,
            *(measure.label(name) for name, measure in measures.items()),
            func.sum(each.amount).label("amount"),
        )
        .group_by(each.source_profile_id, each.on, each.category, each.channel)
        .subquery("part")
    )
    p = part.c
    whole = {name: _OF_PARTS.get(name, func.sum)(p[name]) for name in measures}
    return select(
        p.source_profile_id,
        p.on,
        *(cast(value, purchase_day.c[name].type).label(name) for name, value in whole.items()),
        _shares(p.category, p.amount).label("categories"),
        _shares(p.channel, func.nullif(p.order_count, 0)).label("channels"),
    ).group_by(p.source_profile_id, p.on)


def _ordered(orders: FromClause) -> Select[Any]:
    """Of each order what is summed."""
    o = orders.c
    return select(
        o.source_profile_id,
        o.on,
        *(o[name] for name in _SUMMED),
        # Placed by now, and something is left of it after refunds.
        _qualifies(orders).label("qualifies"),
        cast(null(), Text).label("category"),
        cast(null(), Numeric).label("amount"),
    )


def _sold(orders: FromClause, lines: FromClause, joined: FromClause) -> Select[Any]:
    """Of each line of a qualifying order its category, its own else its product's, and its price.

    Nothing else: what is summed over orders is null. `joined` are the orders joined with the lines.
    """
    line = lines.c
    name = func.coalesce(line.category, product.c.category)
    price = line.quantity * line.unit_price - func.coalesce(line.discount, 0)
    return (
        select(
            orders.c.source_profile_id,
            orders.c.on,
            # Of the very types: parts of one type each are sorted side by side.
            *(cast(null(), orders.c[name].type).label(name) for name in _SUMMED),
            cast(null(), Boolean).label("qualifies"),
            name.label("category"),
            func.coalesce(price * orders.c.rate, 0).label("amount"),
        )
        .select_from(
            joined.outerjoin(
                product,
                and_(product.c.source_id == line.source_id, product.c.key == line.product_id),
            )
        )
        .where(_qualifies(orders), name.is_not(None))
    )


_SUMMED: Final = (
    "placed_at",
    "channel",
    "total",
    "given_back",
    "unpriced_refund_count",
    "rate",
    "is_future",
    "next_change_at",
)
"""The columns of a priced order that a day is folded from."""


def _qualifies(orders: FromClause) -> ColumnElement[bool]:
    return and_(~orders.c.is_future, is_left(orders.c.total, orders.c.given_back))


def _measures(orders: FromClause) -> Mapping[str, ColumnElement[Any]]:
    """What is summed over the orders of a day; a row whose `is_future` is null counts nowhere."""
    o = orders.c
    qualifies, is_past = o.qualifies, ~o.is_future

    def money(amount: ColumnElement[Any], which: ColumnElement[bool]) -> ColumnElement[Any]:
        return func.coalesce(func.sum(amount * o.rate).filter(which), 0)

    return {
        "order_count": func.count().filter(qualifies),
        "priced_order_count": func.count(o.rate).filter(qualifies),
        "gross_spend": money(o.total, is_past),
        "refunded": money(o.given_back, is_past),
        "qualifying_spend": money(o.total - o.given_back, qualifies),
        "unpriced_count": func.count().filter(is_past, o.rate.is_(None))
        + func.coalesce(func.sum(o.unpriced_refund_count).filter(is_past), 0),
        "first_order_at": func.min(o.placed_at).filter(qualifies),
        "last_order_at": func.max(o.placed_at).filter(qualifies),
        "next_change_at": func.min(o.next_change_at),
    }


_OF_PARTS: Final[Mapping[str, Callable[[ColumnElement[Any]], ColumnElement[Any]]]] = {
    "first_order_at": func.min,
    "last_order_at": func.max,
    "next_change_at": func.min,
}
"""How the measures of its parts make that of the day; the others are added up."""


def _shares(name: ColumnElement[Any], amount: ColumnElement[Any]) -> ColumnElement[Any]:
    """Name to amount, as JSON; null for none."""
    is_told = and_(name.is_not(None), amount.is_not(None))
    return func.jsonb_object_agg(name, amount).filter(is_told)
