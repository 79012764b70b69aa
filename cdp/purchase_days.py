"""Days of purchase: priced orders and their lines folded into one row per source profile and day.

So an account with millions of orders stays cheap. A pure function of the records up to a moment,
which is an argument; `cdp.facts` folds the days into customers.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    CTE,
    Boolean,
    ColumnElement,
    FromClause,
    Function,
    Numeric,
    Select,
    Text,
    and_,
    case,
    cast,
    column,
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
    return _folded(orders, lines, orders.join(lines, literal(value=True)))


def days_of_orders(orders: FromClause) -> Select[Any]:
    """The rows of `purchase_day` of priced orders, all those of their days.

    Their lines are not looked up, but joined as a whole table.
    """
    line = order_line.c
    is_theirs = and_(
        line.source_id == orders.c.source_id,
        line.order_key == orders.c.key,
        line.deleted_at.is_(None),
    )
    return _folded(orders, order_line, orders.join(order_line, is_theirs))


def _lines_of(orders: CTE) -> FromClause:
    """The lines of each of the orders, looked up like the orders themselves."""
    line = order_line.c
    return (
        select(order_line)
        .where(
            line.source_id == orders.c.source_id,
            line.order_key == orders.c.key,
            line.deleted_at.is_(None),
        )
        .offset(0)
        .lateral("lines")
    )


def _folded(orders: FromClause, lines: FromClause, sold: FromClause) -> Select[Any]:
    """Priced orders, folded into days; `sold` are the orders joined with their lines.

    Orders and lines are stacked and grouped, not joined day by day: there is no join for the
    planner to get wrong. They are sorted for that, since a group has a row or two: a table of
    groups in memory takes twice the time, and a kilobyte for each.
    """
    stacked = (
        union_all(_order_entries(orders), _line_entries(orders, lines, sold))
        .order_by("source_profile_id", "on")
        .subquery("stacked")
    )
    each = stacked.c
    is_sold = each.category.is_not(None)
    has_channel = and_(each.qualifies, each.channel.is_not(None))
    one = literal(1, Numeric)
    day = (
        select(
            each.source_profile_id,
            each.on,
            *(
                cast(measure, purchase_day.c[name].type).label(name)
                for name, measure in _measures(stacked).items()
            ),
            _listed(each.category, Text).filter(is_sold).label("category_names"),
            _listed(each.amount, Numeric).filter(is_sold).label("category_amounts"),
            _listed(each.channel, Text).filter(has_channel).label("channel_names"),
            _listed(one, Numeric).filter(has_channel).label("channel_amounts"),
        )
        .group_by(each.source_profile_id, each.on)
        .subquery("day")
    )
    return select(
        day.c.source_profile_id,
        day.c.on,
        *(day.c[name] for name in _measures(stacked)),
        _shares(day, day.c.category_names, day.c.category_amounts).label("categories"),
        _shares(day, day.c.channel_names, day.c.channel_amounts).label("channels"),
    )


def _order_entries(orders: FromClause) -> Select[Any]:
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


def _line_entries(orders: FromClause, lines: FromClause, sold: FromClause) -> Select[Any]:
    """Of each line of a qualifying order its category, its own else its product's, and its price.

    Nothing else: what is summed over orders is null.
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
            sold.outerjoin(
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


def _listed(value: ColumnElement[Any], type_: type[Text | Numeric[Any]]) -> Function[Any]:
    return func.array_agg(value, type_=ARRAY(type_))


def _shares(
    day: FromClause, names: ColumnElement[Any], amounts: ColumnElement[Any]
) -> ColumnElement[Any]:
    """Name to the sum of its amounts, as JSON; null for none.

    Most days have one: its sum is itself, and to group it would take longer than all the rest.
    """
    entry = (
        func.unnest(names, amounts)
        .table_valued(column("name", Text), column("amount", Numeric), name="entry")
        .render_derived()
    )
    sums = (
        select(entry.c.name, func.sum(entry.c.amount).label("amount"))
        .group_by(entry.c.name)
        .correlate(day)
        .subquery("sums")
    )
    summed = select(func.jsonb_object_agg(sums.c.name, sums.c.amount)).scalar_subquery()
    count = func.cardinality(names)
    return case((count == 1, func.jsonb_build_object(names[1], amounts[1])), (count > 1, summed))
