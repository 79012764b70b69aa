"""Orders on their days, priced: what each is worth by the rates of its day, less its refunds.

A pure function of the records up to a moment, which is an argument; `cdp.purchase_days` folds the
orders into days.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Integer,
    Numeric,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    select,
)

from cdp.rows import VOID_STATUSES
from cdp.tables import refund, sales_order
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

    Of several rates the latest day's; of one day the one changed last, then the first source's: by
    a function of the database, because processes side by side do not look into subqueries.
    """
    known = func.exchange_rate_on(currency, workspace.currency, on, RATE_VALID_DAYS, type_=Numeric)
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


def _every_refund(workspace: Workspace, as_of: Clock, *which: ColumnElement[bool]) -> FromClause:
    """A row for each order (source_id, order_key) that has refunds: all of them, read at once.

    `which`: conditions on the orders.
    """
    on = order_day(workspace)
    return (
        select(
            refund.c.source_id,
            refund.c.order_key,
            *_given_back_of(sales_order, on, workspace, as_of),
        )
        .select_from(refund.join(sales_order, _is_of(sales_order)))
        .where(*which)
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


def qualifies(order: FromClause, workspace: Workspace, as_of: Clock) -> ColumnElement[bool]:
    """Placed by `as_of`, not void, and something is left of it after the refunds by then.

    `order` is a `sales_order`; whether it was deleted is not asked.
    """
    o = order.c
    remains = is_left(o.total, given_back(order, workspace, as_of))
    return and_(o.placed_at <= as_of, _stands(order), remains)


def is_left(total: ColumnElement[Any], given_back: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether anything is left of an order of so much."""
    return total - given_back > 0


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
    given = _every_refund(workspace, as_of)
    is_owned = sales_order.c.source_profile_id.is_not(None)
    return _all_priced(given, workspace, as_of).where(is_owned)


def priced_orders_of_nobody(workspace: Workspace, as_of: Clock) -> Select[Any]:
    """The same of all orders that name nobody, or a customer whom their source has not told yet."""
    o = sales_order.c
    # With the second condition the partial index of these orders serves here too.
    is_nobodys = (o.source_profile_id.is_(None), o.deleted_at.is_(None))
    given = _every_refund(workspace, as_of, *is_nobodys)
    return _all_priced(given, workspace, as_of).where(*is_nobodys)


def _all_priced(given: FromClause, workspace: Workspace, as_of: Clock) -> Select[Any]:
    """The orders that stand, whose refunds are `given`."""
    o = sales_order.c
    return (
        select(*_priced(sales_order, order_day(workspace), given, workspace, as_of))
        .select_from(
            sales_order.outerjoin(
                given, and_(given.c.source_id == o.source_id, given.c.order_key == o.key)
            )
        )
        .where(o.placed_at.is_not(None), o.deleted_at.is_(None), _stands())
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
        o.currency,
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


def _stands(order: FromClause = sales_order) -> ColumnElement[bool]:
    return func.coalesce(order.c.status, "").notin_(VOID_STATUSES)
