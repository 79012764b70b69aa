"""Facts: how records fold into one row per customer; each fact once, recomputed, never added to.

Two folds. Orders fold into one row per source profile and day (`purchase_day`), so that an account
with millions of orders stays cheap; days and profiles fold into the customer's row. Both are pure
functions of the records up to a moment, and both take the moment as an argument.
"""

from collections.abc import Mapping
from datetime import date, datetime
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
    and_,
    case,
    cast,
    func,
    literal,
    select,
)

from cdp.rows import VOID_STATUSES
from cdp.tables import (
    FACT_COLUMNS,
    exchange_rate,
    order_line,
    product,
    refund,
    sales_order,
    source_profile,
)
from cdp.workspace import Workspace

RATE_VALID_DAYS: Final = 7  # a rate of up to seven days before stands in for a missing one
Clock: TypeAlias = ColumnElement[datetime]


def day_of(moment: datetime, workspace: Workspace) -> date:
    """The workspace's day of a moment."""
    return moment.astimezone(ZoneInfo(workspace.timezone)).date()


def order_day(workspace: Workspace) -> ColumnElement[date]:
    """The workspace's day of an order."""
    return cast(func.timezone(workspace.timezone, sales_order.c.placed_at), Date)


# Orders into days -----------------------------------------------------------------------------


def _midnight(on: ColumnElement[Any], workspace: Workspace) -> ColumnElement[datetime]:
    return func.timezone(workspace.timezone, cast(on, DateTime(timezone=False)))


def exchange_rate_on(
    currency: ColumnElement[Any], on: ColumnElement[date], workspace: Workspace
) -> ColumnElement[Any]:
    """What one unit of `currency` is worth on a day; null where no rate is known."""
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
        .order_by(rate.on.desc())
        .limit(1)
        .scalar_subquery()
    )
    return case((currency == workspace.currency, literal(1, Numeric)), else_=known)


def priced_orders(days: FromClause, workspace: Workspace, as_of: Clock) -> Select[Any]:
    """The orders that stand on the given days (source_profile_id, on); one row per order.

    `given_back` is what was refunded up to `as_of`, in the order's currency; `rate` is null where
    the order's day has none; `next_change_at` is the first moment after `as_of` that changes it.
    """
    o = sales_order.c
    given = (
        select(
            func.count().label("refund_count"),
            func.sum(refund.c.amount).filter(refund.c.refunded_at <= as_of).label("amount"),
            func.min(refund.c.refunded_at).filter(refund.c.refunded_at > as_of).label("next_at"),
        )
        .where(
            refund.c.source_id == o.source_id,
            refund.c.order_key == o.key,
            refund.c.deleted_at.is_(None),
        )
        .lateral("given")
    )
    whole_at = func.coalesce(o.updated_at, o.placed_at)
    is_whole = and_(o.status == "refunded", given.c.refund_count == 0)
    is_future = o.placed_at > as_of
    on_the_day = and_(
        o.source_profile_id == days.c.source_profile_id,
        o.placed_at >= _midnight(days.c.on, workspace),
        o.placed_at < _midnight(days.c.on + 1, workspace),
    )
    return (
        select(
            o.source_profile_id,
            days.c.on,
            o.source_id,
            o.key,
            o.placed_at,
            o.channel,
            o.total,
            case(
                (and_(is_whole, whole_at <= as_of), o.total),
                else_=func.coalesce(given.c.amount, 0),
            ).label("given_back"),
            exchange_rate_on(o.currency, days.c.on, workspace).label("rate"),
            is_future.label("is_future"),
            case(
                (is_future, o.placed_at),
                (and_(is_whole, whole_at > as_of), whole_at),
                else_=given.c.next_at,
            ).label("next_change_at"),
        )
        .select_from(days.join(sales_order, on_the_day).join(given, literal(value=True)))
        .where(o.deleted_at.is_(None), func.coalesce(o.status, "").notin_(VOID_STATUSES))
    )


def _shares(kind: str, sums: Select[Any]) -> FromClause:
    """(profile, day, name, amount) folded to one JSON object of name to amount per profile, day."""
    one = sums.subquery()
    return (
        select(
            one.c.source_profile_id,
            one.c.on,
            func.jsonb_object_agg(one.c.name, one.c.amount).label(kind),
        )
        .group_by(one.c.source_profile_id, one.c.on)
        .subquery()
    )


def _categories(orders: CTE) -> FromClause:
    """Spend on lines of qualifying orders by category; a line's own, else its product's."""
    line = order_line.c
    name = func.coalesce(line.category, product.c.category)
    amount = (line.quantity * line.unit_price - func.coalesce(line.discount, 0)) * orders.c.rate
    return _shares(
        "categories",
        select(
            orders.c.source_profile_id,
            orders.c.on,
            name.label("name"),
            func.sum(func.coalesce(amount, 0)).label("amount"),
        )
        .select_from(
            orders.join(
                order_line,
                and_(line.source_id == orders.c.source_id, line.order_key == orders.c.key),
            ).outerjoin(
                product,
                and_(product.c.source_id == line.source_id, product.c.key == line.product_id),
            )
        )
        .where(_qualifies(orders), name.is_not(None), line.deleted_at.is_(None))
        .group_by(orders.c.source_profile_id, orders.c.on, name),
    )


def _channels(orders: CTE) -> FromClause:
    return _shares(
        "channels",
        select(
            orders.c.source_profile_id,
            orders.c.on,
            orders.c.channel.label("name"),
            func.count().label("amount"),
        )
        .where(_qualifies(orders), orders.c.channel.is_not(None))
        .group_by(orders.c.source_profile_id, orders.c.on, orders.c.channel),
    )


def _qualifies(orders: CTE) -> ColumnElement[bool]:
    """Placed by now, and something is left of it after refunds."""
    return and_(~orders.c.is_future, orders.c.total - orders.c.given_back > 0)


def purchase_days(days: FromClause, workspace: Workspace, as_of: Clock) -> Select[Any]:
    """The rows of `purchase_day` for the given days; no row where no order stands."""
    orders = priced_orders(days, workspace, as_of).cte("orders")
    categories, channels = _categories(orders), _channels(orders)
    qualifies, is_past = _qualifies(orders), ~orders.c.is_future
    net = orders.c.total - orders.c.given_back

    def money(amount: ColumnElement[Any], which: ColumnElement[bool]) -> ColumnElement[Any]:
        return func.coalesce(func.sum(amount * orders.c.rate).filter(which), 0)

    def same(other: FromClause) -> ColumnElement[bool]:
        return and_(
            other.c.source_profile_id == orders.c.source_profile_id, other.c.on == orders.c.on
        )

    return (
        select(
            orders.c.source_profile_id,
            orders.c.on,
            func.count().filter(qualifies).label("order_count"),
            func.count(orders.c.rate).filter(qualifies).label("priced_order_count"),
            money(orders.c.total, is_past).label("gross_spend"),
            money(orders.c.given_back, is_past).label("refunded"),
            money(net, qualifies).label("qualifying_spend"),
            func.count().filter(is_past, orders.c.rate.is_(None)).label("unpriced_count"),
            func.min(orders.c.placed_at).filter(qualifies).label("first_order_at"),
            func.max(orders.c.placed_at).filter(qualifies).label("last_order_at"),
            categories.c.categories,
            channels.c.channels,
            func.min(orders.c.next_change_at).label("next_change_at"),
        )
        .select_from(
            orders.outerjoin(categories, same(categories)).outerjoin(channels, same(channels))
        )
        .group_by(
            orders.c.source_profile_id, orders.c.on, categories.c.categories, channels.c.channels
        )
    )


# Days into customers --------------------------------------------------------------------------


def _favourite(mine: FromClause, days: FromClause, name: str) -> Select[Any]:
    """The name with the largest sum over a customer's days; of equals the first in the alphabet."""
    share = func.jsonb_each_text(days.c[name]).table_valued("key", "value").lateral()
    total = func.sum(cast(share.c.value, Numeric))
    return (
        select(share.c.key)
        .select_from(
            mine.join(days, days.c.source_profile_id == mine.c.id).join(share, literal(value=True))
        )
        .group_by(share.c.key)
        .order_by(total.desc(), share.c.key)
        .limit(1)
    )


def customer_facts(one: FromClause, days: FromClause) -> Select[Any]:
    """Every fact of FACT_COLUMNS for one customer (`id`): one row, for a lateral join.

    `days` is `purchase_day`, or for a past moment `purchase_days(...)` folded up to it. Sums are
    null for a customer without days.
    """
    d, mine = days.c, source_profile.c
    has_order = d.order_count > 0

    def favourite(name: str) -> ColumnElement[Any]:
        own, other = source_profile.alias(), days.alias()
        best = _favourite(own, other, name).where(own.c.customer_id == one.c.id)
        return case((func.sum(d.order_count) > 0, best.correlate(one).scalar_subquery()))

    folds: Mapping[str, ColumnElement[Any]] = {
        "order_count": func.sum(d.order_count),
        "priced_order_count": func.sum(d.priced_order_count),
        "order_day_count": func.count(d.on.distinct()).filter(has_order),
        "gross_spend": func.sum(d.gross_spend),
        "refunded": func.sum(d.refunded),
        "net_spend": func.sum(d.gross_spend) - func.sum(d.refunded),
        "qualifying_spend": func.sum(d.qualifying_spend),
        "unpriced_count": func.sum(d.unpriced_count),
        "first_order_at": func.min(d.first_order_at),
        "last_order_at": func.max(d.last_order_at),
        "first_order_on": func.min(d.on).filter(has_order),
        "last_order_on": func.max(d.on).filter(has_order),
        "favourite_category": favourite("categories"),
        "favourite_channel": favourite("channels"),
    }
    return (
        select(*(cast(folds[fact.name], fact.type).label(fact.name) for fact in FACT_COLUMNS))
        .select_from(source_profile.join(days, d.source_profile_id == mine.id))
        .where(mine.customer_id == one.c.id)
        .correlate(one)
    )
