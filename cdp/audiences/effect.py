"""What writing to an audience did: orders of those written to against those who were held out.

Everybody counts from their own assignment on and in the group that they were assigned to, whatever
became of the message: that alone keeps the groups alike (intention to treat).
"""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Interval,
    Select,
    cast,
    func,
    literal,
    select,
    true,
)

from cdp import tables
from cdp.audiences.assignment import assignments
from cdp.business.shares import wilson
from cdp.errors import BadInput
from cdp.money import to_smallest_unit
from cdp.order_days import day_in, priced_orders
from cdp.workspace import Workspace

MAX_DAYS: Final = 366  # after a year nobody would say that it was the message

WRITTEN: Final = "written"
HELD: Final = "held"
GROUPS: Final = (WRITTEN, HELD)


def effect_of(
    audience_id: ColumnElement[int], days: int, as_of: ColumnElement[datetime], workspace: Workspace
) -> Select[Any]:
    """One row: what both groups of an audience bought within some days after their assignment.

    For each group (`written_`, `held_`): `customers`; `pending`, those whose days are not over by
    `as_of`; `conversions`, those with a qualifying order in them; `revenue`, what is left of those
    orders after refunds, in the workspace's currency (an order without a rate has none); `rate` and
    `revenue_per_customer`, null for an empty group.

    `difference`: the rate of those written to less that of those held out, with its 95 % interval
    `difference_low`, `difference_high` by Newcombe's hybrid score (method 10 of Newcombe, Interval
    estimation for the difference between independent proportions, Statistics in Medicine 17,
    1998), which holds for small groups and rates near zero; null where a group is empty. `lift`:
    the difference per rate of those held out; null where that is zero. Raises BadInput.
    """
    if not 1 <= days <= MAX_DAYS:
        raise BadInput(f"days is {days}.", todo=f"Give 1 to {MAX_DAYS}.", path="days")
    window = literal(timedelta(days=days), Interval)
    counts = _members(audience_id, window, as_of).subquery("counts")
    buyers = _buyers(audience_id, window, as_of, workspace).subquery("buyer")
    won = _totals(buyers).subquery("won")
    digits = workspace.money_digits
    columns: list[ColumnElement[Any]] = [
        *counts.c,
        *_in_all(won, digits),
        *_per_customer(counts, won, digits),
    ]
    whole = select(*columns).select_from(counts.join(won, true())).subquery("whole")
    inner: list[ColumnElement[Any]] = [*whole.c, *_bounds(whole)]
    bounds = select(*inner).subquery("bounds")
    told: list[ColumnElement[Any]] = [bounds.c[each.name] for each in whole.c]
    told += _differences(bounds)
    return select(*told)


def _assigned(audience_id: ColumnElement[int], as_of: ColumnElement[datetime]) -> FromClause:
    """Who had been assigned by then: the earliest assignment is the one that holds."""
    known = assignments(audience_id).subquery("known")
    return select(known).where(known.c.assigned_at <= as_of).subquery("assigned")


def _in(group: str, is_held_out: ColumnElement[bool]) -> ColumnElement[bool]:
    return is_held_out if group == HELD else ~is_held_out


def _members(
    audience_id: ColumnElement[int], window: ColumnElement[Any], as_of: ColumnElement[datetime]
) -> Select[Any]:
    a = _assigned(audience_id, as_of).c
    columns: list[ColumnElement[Any]] = []
    for group in GROUPS:
        mine = _in(group, a.is_held_out)
        is_pending = a.assigned_at + window > as_of
        columns += [
            func.count().filter(mine).label(f"{group}_customers"),
            func.count().filter(mine, is_pending).label(f"{group}_pending"),
        ]
    return select(*columns)


def _buyers(
    audience_id: ColumnElement[int],
    window: ColumnElement[Any],
    as_of: ColumnElement[datetime],
    workspace: Workspace,
) -> Select[Any]:
    """One row per member with a qualifying order in the window: is_held_out, revenue."""
    days = _days(_assigned(audience_id, as_of), window, workspace)
    orders = (
        priced_orders(days, workspace, as_of)
        .add_columns(days.c.customer_id, days.c.is_held_out, days.c.assigned_at)
        .subquery("priced")
    )
    left = orders.c.total - orders.c.given_back
    return (
        select(
            orders.c.is_held_out,
            func.coalesce(func.sum(left * orders.c.rate), 0).label("revenue"),
        )
        .where(
            ~orders.c.is_future,
            left > 0,
            orders.c.placed_at > orders.c.assigned_at,
            orders.c.placed_at <= orders.c.assigned_at + window,
        )
        .group_by(orders.c.customer_id, orders.c.is_held_out)
    )


def _days(assigned: FromClause, window: ColumnElement[Any], workspace: Workspace) -> FromClause:
    """The days with orders that the windows of members touch, as `priced_orders` wants them."""
    profile, day = tables.source_profile.alias(), tables.purchase_day.alias()
    a = assigned.c
    return (
        select(day.c.source_profile_id, day.c.on, a.customer_id, a.is_held_out, a.assigned_at)
        .select_from(assigned)
        .join(profile, profile.c.customer_id == a.customer_id)
        .join(day, day.c.source_profile_id == profile.c.id)
        .where(
            day.c.on >= day_in(a.assigned_at, workspace),
            day.c.on <= day_in(a.assigned_at + window, workspace),
        )
        .subquery("days")
    )


def _totals(buyer: FromClause) -> Select[Any]:
    columns: list[ColumnElement[Any]] = []
    for group in GROUPS:
        mine = _in(group, buyer.c.is_held_out)
        columns += [
            func.count().filter(mine).label(f"{group}_conversions"),
            func.coalesce(func.sum(buyer.c.revenue).filter(mine), 0).label(f"{group}_revenue"),
        ]
    return select(*columns).select_from(buyer)


def _in_all(won: FromClause, digits: int) -> list[ColumnElement[Any]]:
    columns: list[ColumnElement[Any]] = []
    for group in GROUPS:
        revenue = to_smallest_unit(won.c[f"{group}_revenue"], digits)
        columns += [won.c[f"{group}_conversions"], revenue.label(f"{group}_revenue")]
    return columns


def _per_customer(counts: FromClause, won: FromClause, digits: int) -> list[ColumnElement[Any]]:
    columns: list[ColumnElement[Any]] = []
    for group in GROUPS:
        customers = func.nullif(counts.c[f"{group}_customers"], 0)
        revenue = to_smallest_unit(won.c[f"{group}_revenue"] / customers, digits)
        columns += [
            (cast(won.c[f"{group}_conversions"], Double) / customers).label(f"{group}_rate"),
            revenue.label(f"{group}_revenue_per_customer"),
        ]
    return columns


def _bounds(whole: FromClause) -> list[ColumnElement[Any]]:
    """Wilson's score interval of the rate of each group."""
    columns: list[ColumnElement[Any]] = []
    for group in GROUPS:
        low, high = wilson(whole.c[f"{group}_conversions"], whole.c[f"{group}_customers"])
        columns += [low.label(f"{group}_low"), high.label(f"{group}_high")]
    return columns


def _differences(bounds: FromClause) -> list[ColumnElement[Any]]:
    b = bounds.c
    difference = b.written_rate - b.held_rate

    def distance(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.sqrt(one * one + other * other, type_=Double)

    down = distance(b.written_rate - b.written_low, b.held_high - b.held_rate)
    up = distance(b.written_high - b.written_rate, b.held_rate - b.held_low)
    return [
        difference.label("difference"),
        (difference - down).label("difference_low"),
        (difference + up).label("difference_high"),
        (difference / func.nullif(b.held_rate, 0)).label("lift"),
    ]
