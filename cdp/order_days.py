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
    ARRAY,
    CTE,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Function,
    Integer,
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


def _given_back_of(
    order: FromClause, on: ColumnElement[date], workspace: Workspace, as_of: Clock
) -> list[ColumnElement[Any]]:
    """What is told of the refunds of an order of day `on`, up to `as_of`: aggregates over `refund`.

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
    return [
        func.count().label("refund_count"),
        func.sum(amount).filter(is_past).label("amount"),
        func.count().filter(is_past, amount.is_(None)).label("unpriced_count"),
        func.min(r.refunded_at).filter(r.refunded_at > as_of).label("next_at"),
    ]


def _refunds(
    order: FromClause, on: ColumnElement[date], workspace: Workspace, as_of: Clock
) -> Select[Any]:
    """One row: the refunds of an order, looked up by its key."""
    return select(*_given_back_of(order, on, workspace, as_of)).where(_is_of(order))


def _every_refund(workspace: Workspace, as_of: Clock) -> FromClause:
    """A row for each order (source_id, order_key) that has refunds: all of them, read at once."""
    on = order_day(workspace)
    return (
        select(
            refund.c.source_id,
            refund.c.order_key,
            *_given_back_of(sales_order, on, workspace, as_of),
        )
        .select_from(refund.join(sales_order, _is_of(sales_order)))
        .group_by(refund.c.source_id, refund.c.order_key)
        .subquery("given")
    )


def _is_of(order: FromClause) -> ColumnElement[bool]:
    """That a refund stands, and is one of the order's."""
    o, r = order.c, refund.c
    return and_(r.source_id == o.source_id, r.order_key == o.key, r.deleted_at.is_(None))


def _is_whole(order: FromClause, refunds: FromClause) -> ColumnElement[bool]:
    """Given back wholly, as the order says and no refund tells."""
    has_none = func.coalesce(refunds.c.refund_count, 0) == 0
    return and_(order.c.status == "refunded", has_none)


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
    given = _refunds(order, days.c.on, workspace, as_of).lateral("given")
    return select(*_priced(order, days.c.on, given, workspace, as_of)).select_from(
        days.join(order, order.c.deleted_at.is_(None)).join(given, literal(value=True))
    )


def every_priced_order(workspace: Workspace, as_of: Clock) -> Select[Any]:
    """The same of all orders that are somebody's: read as a whole, not looked up."""
    o, given = sales_order.c, _every_refund(workspace, as_of)
    return (
        select(*_priced(sales_order, order_day(workspace), given, workspace, as_of))
        .select_from(
            sales_order.outerjoin(
                given, and_(given.c.source_id == o.source_id, given.c.order_key == o.key)
            )
        )
        .where(
            o.source_profile_id.is_not(None),
            o.placed_at.is_not(None),
            o.deleted_at.is_(None),
            _stands(),
        )
    )


def _priced(
    order: FromClause,
    on: ColumnElement[date],
    given: FromClause,
    workspace: Workspace,
    as_of: Clock,
) -> list[ColumnElement[Any]]:
    """The columns of a priced order, whose refunds are `given`."""
    o = order.c
    whole_at = _whole_at(order)
    is_future = o.placed_at > as_of
    return [
        o.source_profile_id,
        on.label("on"),
        o.source_id,
        o.key,
        o.placed_at,
        o.channel,
        o.total,
        _amount_given_back(order, given, as_of).label("given_back"),
        cast(func.coalesce(given.c.unpriced_count, 0), Integer).label("unpriced_refund_count"),
        exchange_rate_on(o.currency, on, workspace).label("rate"),
        is_future.label("is_future"),
        case(
            (is_future, o.placed_at),
            (and_(_is_whole(order, given), whole_at > as_of), whole_at),
            else_=given.c.next_at,
        ).label("next_change_at"),
    ]


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
            _stands(),
        )
        .offset(0)
        .lateral("mine")
    )


def _stands() -> ColumnElement[bool]:
    return func.coalesce(sales_order.c.status, "").notin_(VOID_STATUSES)


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
    return and_(~orders.c.is_future, orders.c.total - orders.c.given_back > 0)


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
