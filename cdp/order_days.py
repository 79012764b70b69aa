"""Orders folded into days: one row per source profile and day on which an order stands.

So an account with millions of orders stays cheap. A pure function of the records up to a moment,
which is an argument; `cdp.facts` folds the days into customers.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from sqlalchemy import (
    CTE,
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Numeric,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    union_all,
)

from cdp.rows import VOID_STATUSES
from cdp.tables import exchange_rate, order_line, product, purchase_day, refund, sales_order
from cdp.workspace import Workspace

RATE_VALID_DAYS: Final = 7  # a rate of up to seven days before stands in for a missing one
Clock: TypeAlias = ColumnElement[datetime]


def day_of(moment: datetime, workspace: Workspace) -> date:
    """The workspace's day of a moment."""
    return moment.astimezone(ZoneInfo(workspace.timezone)).date()


def order_day(workspace: Workspace) -> ColumnElement[date]:
    """The workspace's day of an order."""
    return day_in(sales_order.c.placed_at, workspace)


def day_in(moment: ColumnElement[datetime], workspace: Workspace) -> ColumnElement[date]:
    """The workspace's day of a moment, in SQL."""
    return cast(func.timezone(workspace.timezone, moment), Date)


def _midnight(on: ColumnElement[Any], workspace: Workspace) -> ColumnElement[datetime]:
    return func.timezone(workspace.timezone, cast(on, DateTime(timezone=False)))


def exchange_rate_on(
    currency: ColumnElement[Any], on: ColumnElement[date], workspace: Workspace
) -> ColumnElement[Any]:
    """What one unit of `currency` is worth on a day; null where no rate is known.

    Of several rates the latest day's; of one day the one changed last, then the first source's.
    """
    rate = exchange_rate.c
    known = (
        select(rate.rate)
        .where(
            rate.currency == currency,
            rate.base == workspace.currency,
            rate.deleted_at.is_(None),
            rate.on <= on,
            rate.on >= on - RATE_VALID_DAYS,
        )
        .order_by(rate.on.desc(), rate.updated_at.desc().nulls_last(), rate.source_id, rate.key)
        .limit(1)
        .correlate_except(exchange_rate)
        .scalar_subquery()
    )
    return case((currency == workspace.currency, literal(1, Numeric)), else_=known)


def _refunds(
    order: FromClause, on: ColumnElement[date], workspace: Workspace, as_of: Clock
) -> Select[Any]:
    """One row: what was given back on an order of day `on`, by its refunds up to `as_of`.

    `amount` is in the order's currency, at the rates of the order's day; null without a refund.
    Refunds that have no rate then are left out of it and counted in `unpriced_count`.
    """
    o, r = order.c, refund.c
    # Only a refund in another currency than its order's asks for rates. The division's last
    # digits are noise, which must not leave anything of an order that was given back wholly.
    converted = (
        r.amount
        * exchange_rate_on(r.currency, on, workspace)
        / func.nullif(exchange_rate_on(o.currency, on, workspace), 0)
    )
    amount = case((r.currency == o.currency, r.amount), else_=func.round(converted, 12))
    is_past = r.refunded_at <= as_of
    columns: list[ColumnElement[Any]] = [
        func.count().label("refund_count"),
        func.sum(amount).filter(is_past).label("amount"),
        func.count().filter(is_past, amount.is_(None)).label("unpriced_count"),
        func.min(r.refunded_at).filter(r.refunded_at > as_of).label("next_at"),
    ]
    return select(*columns).where(
        r.source_id == o.source_id, r.order_key == o.key, r.deleted_at.is_(None)
    )


def _is_whole(order: FromClause, refunds: FromClause) -> ColumnElement[bool]:
    """Given back wholly, as the order says and no refund tells."""
    return and_(order.c.status == "refunded", refunds.c.refund_count == 0)


def _whole_at(order: FromClause) -> ColumnElement[datetime]:
    return func.coalesce(order.c.updated_at, order.c.placed_at)


def _amount_given_back(
    order: FromClause, refunds: FromClause, as_of: Clock
) -> ColumnElement[Decimal]:
    return case(
        (and_(_is_whole(order, refunds), _whole_at(order) <= as_of), order.c.total),
        else_=func.coalesce(refunds.c.amount, 0),
    )


def given_back(order: FromClause, workspace: Workspace, as_of: Clock) -> ColumnElement[Decimal]:
    """What was given back on an order (a `sales_order`) up to `as_of`, in its own currency.

    Zero where nothing was; what has no rate on the order's day is left out.
    """
    on = day_in(order.c.placed_at, workspace)
    refunds = _refunds(order, on, workspace, as_of).correlate_except(refund).subquery()
    return (
        select(_amount_given_back(order, refunds, as_of))
        .correlate_except(refunds)
        .scalar_subquery()
    )


def priced_orders(days: FromClause, workspace: Workspace, as_of: Clock) -> Select[Any]:
    """The orders that stand on the given days (source_profile_id, on); one row per order.

    `given_back` is what was refunded up to `as_of`, in the order's currency; `rate` is null where
    the order's day has none; `next_change_at` is the first moment after `as_of` that changes it;
    `unpriced_refund_count` counts refunds in another currency that have no rate.
    """
    order = _orders_of(days, workspace)
    o = order.c
    given = _refunds(order, days.c.on, workspace, as_of).lateral("given")
    whole_at = _whole_at(order)
    is_whole = _is_whole(order, given)
    is_future = o.placed_at > as_of
    return select(
        o.source_profile_id,
        days.c.on,
        o.source_id,
        o.key,
        o.placed_at,
        o.channel,
        o.total,
        _amount_given_back(order, given, as_of).label("given_back"),
        given.c.unpriced_count.label("unpriced_refund_count"),
        exchange_rate_on(o.currency, days.c.on, workspace).label("rate"),
        is_future.label("is_future"),
        case(
            (is_future, o.placed_at),
            (and_(is_whole, whole_at > as_of), whole_at),
            else_=given.c.next_at,
        ).label("next_change_at"),
    ).select_from(days.join(order, o.deleted_at.is_(None)).join(given, literal(value=True)))


def _orders_of(days: FromClause, workspace: Workspace) -> FromClause:
    """The orders on each of the days, deleted ones too; OFFSET 0: looked up day by day, by index.

    Were the deleted ones left out in here, the index of everybody's orders by moment would do for
    the planner too, which reads all that was bought on the day, for each day anew.
    """
    o = sales_order.c
    return (
        select(sales_order)
        .where(
            o.source_profile_id == days.c.source_profile_id,
            order_day(workspace) == days.c.on,
            # For the index; a day wider, for where clocks turn at midnight there are two of them.
            o.placed_at >= _midnight(days.c.on - 1, workspace),
            o.placed_at < _midnight(days.c.on + 2, workspace),
            func.coalesce(o.status, "").notin_(VOID_STATUSES),
        )
        .offset(0)
        .lateral("mine")
    )


def _qualifies(orders: CTE) -> ColumnElement[bool]:
    """Placed by now, and something is left of it after refunds."""
    return and_(~orders.c.is_future, orders.c.total - orders.c.given_back > 0)


def _measures(orders: CTE) -> Mapping[str, ColumnElement[Any]]:
    """What is summed over the orders of a day."""
    qualifies, is_past = _qualifies(orders), ~orders.c.is_future

    def money(amount: ColumnElement[Any], which: ColumnElement[bool]) -> ColumnElement[Any]:
        return func.coalesce(func.sum(amount * orders.c.rate).filter(which), 0)

    return {
        "order_count": func.count().filter(qualifies),
        "priced_order_count": func.count(orders.c.rate).filter(qualifies),
        "gross_spend": money(orders.c.total, is_past),
        "refunded": money(orders.c.given_back, is_past),
        "qualifying_spend": money(orders.c.total - orders.c.given_back, qualifies),
        "unpriced_count": func.count().filter(is_past, orders.c.rate.is_(None))
        + func.coalesce(func.sum(orders.c.unpriced_refund_count).filter(is_past), 0),
        "first_order_at": func.min(orders.c.placed_at).filter(qualifies),
        "last_order_at": func.max(orders.c.placed_at).filter(qualifies),
        "next_change_at": func.min(orders.c.next_change_at),
    }


def _categories(orders: CTE) -> Select[Any]:
    """Spend on lines of qualifying orders by category; a line's own, else its product's."""
    lines = _lines_of(orders)
    line = lines.c
    name = func.coalesce(line.category, product.c.category)
    amount = (line.quantity * line.unit_price - func.coalesce(line.discount, 0)) * orders.c.rate
    return (
        select(
            orders.c.source_profile_id,
            orders.c.on,
            literal("category").label("share"),
            name.label("name"),
            func.sum(func.coalesce(amount, 0)).label("amount"),
            *_no_measures(orders),
        )
        .select_from(
            orders.join(lines, literal(value=True)).outerjoin(
                product,
                and_(product.c.source_id == line.source_id, product.c.key == line.product_id),
            )
        )
        .where(_qualifies(orders), name.is_not(None))
        .group_by(orders.c.source_profile_id, orders.c.on, name)
    )


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


def _channels(orders: CTE) -> Select[Any]:
    """Qualifying orders by channel."""
    return (
        select(
            orders.c.source_profile_id,
            orders.c.on,
            literal("channel").label("share"),
            orders.c.channel.label("name"),
            cast(func.count(), Numeric).label("amount"),
            *_no_measures(orders),
        )
        .where(_qualifies(orders), orders.c.channel.is_not(None))
        .group_by(orders.c.source_profile_id, orders.c.on, orders.c.channel)
    )


def _no_measures(orders: CTE) -> list[ColumnElement[Any]]:
    return [cast(null(), purchase_day.c[name].type).label(name) for name in _measures(orders)]


def purchase_days(days: FromClause, workspace: Workspace, as_of: Clock) -> Select[Any]:
    """The rows of `purchase_day` for the given days; no row where no order stands.

    Sums of orders, of categories and of channels are stacked and grouped, not joined: there is no
    join for the planner to get wrong.
    """
    orders = priced_orders(days, workspace, as_of).cte()  # nameless: there may be two of them
    sums = select(
        orders.c.source_profile_id,
        orders.c.on,
        literal("orders").label("share"),
        cast(null(), Text).label("name"),
        cast(null(), Numeric).label("amount"),
        *(
            cast(measure, purchase_day.c[name].type).label(name)
            for name, measure in _measures(orders).items()
        ),
    ).group_by(orders.c.source_profile_id, orders.c.on)
    stacked = union_all(sums, _categories(orders), _channels(orders)).subquery("stacked")

    def shares(which: str) -> ColumnElement[Any]:
        return func.jsonb_object_agg(stacked.c.name, stacked.c.amount).filter(
            stacked.c.share == which
        )

    return select(
        stacked.c.source_profile_id,
        stacked.c.on,
        *(func.max(stacked.c[name]).label(name) for name in _measures(orders)),
        shares("category").label("categories"),
        shares("channel").label("channels"),
    ).group_by(stacked.c.source_profile_id, stacked.c.on)
