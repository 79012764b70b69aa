"""The retention grid equals a plain recomputation from the orders, at any moment, to the cent."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.business.retention import MAX_COHORTS, RetentionPeriod, read_retention
from cdp.tables import scored_customer
from tests.cdp.business.shop import NOW, ZONE, Order, a_shop, at, by_shopper, cents, net, open_shop

pytestmark = pytest.mark.anyio

MOMENTS = (
    NOW,
    NOW - timedelta(days=1, hours=9),
    datetime(2026, 3, 31, 21, 59, 59, tzinfo=UTC),
    datetime(2026, 1, 31, 23, 0, 0, tzinfo=UTC),
    datetime(2025, 7, 1, tzinfo=UTC),
    datetime(2020, 1, 1, tzinfo=UTC),
)


def start_of(period: RetentionPeriod, on: date) -> date:
    match period:
        case RetentionPeriod.DAY:
            return on
        case RetentionPeriod.WEEK:
            return on - timedelta(days=on.weekday())
        case RetentionPeriod.MONTH:
            return on.replace(day=1)
        case RetentionPeriod.QUARTER:
            return on.replace(month=(on.month - 1) // 3 * 3 + 1, day=1)
        case RetentionPeriod.YEAR:
            return on.replace(month=1, day=1)


def following(period: RetentionPeriod, start: date) -> date:
    """The period after the one that begins so."""
    longest = {"DAY": 1, "WEEK": 7, "MONTH": 31, "QUARTER": 92, "YEAR": 366}[period.name]
    return start_of(period, start + timedelta(days=longest))


Cells = dict[tuple[date, date], tuple[int, Decimal]]


def recomputed(period: RetentionPeriod, orders: Sequence[Order], moment: datetime) -> Cells:
    """Of each cohort and period: how many of it bought, and what that came to."""
    cells: Cells = {}
    for mine in by_shopper(orders).values():
        bought = {start_of(period, one.on) for one in mine if one.qualifies(moment)}
        if not bought:
            continue
        cohort = min(bought)
        for start in {start_of(period, one.on) for one in mine if one.stands(moment)}:
            if start >= cohort:
                theirs = [one for one in mine if start_of(period, one.on) == start]
                count, revenue = cells.get((cohort, start), (0, Decimal(0)))
                cells[cohort, start] = (count + (start in bought), revenue + net(theirs, moment))
    return {cell: (count, cents(revenue)) for cell, (count, revenue) in cells.items()}


@pytest.mark.parametrize("period", RetentionPeriod)
async def test_every_cell_is_that_of_a_recomputation_at_any_moment(
    connection: AsyncConnection, period: RetentionPeriod
) -> None:
    days = 40 if period is RetentionPeriod.DAY else 380
    orders = a_shop(seed=len(period.name), shoppers=40, orders=260, days=days)
    await open_shop(connection, orders)
    for moment in MOMENTS:
        grid = await read_retention(connection, period, at(moment))
        wanted = recomputed(period, orders, moment)
        today = start_of(period, moment.astimezone(ZONE).date())
        assert (grid.as_of, grid.earlier_customers) == (moment, 0)
        assert bool(grid.cohorts) == bool(wanted)
        start = min((cohort for cohort, _ in wanted), default=today)
        for cohort in grid.cohorts:
            assert cohort.starts_on == start
            assert cohort.size == wanted.get((start, start), (0,))[0]
            then = start
            for index, cell in enumerate(cohort.cells):
                assert (cell.index, cell.starts_on) == (index, then)
                assert cell.is_complete == (then < today)
                told = (cell.customers, cell.revenue)
                is_known = then <= today
                assert told == (wanted.get((start, then), (0, 0)) if is_known else (None, None))
                shares = is_known and cohort.size > 0
                assert cell.rate == ((cell.customers or 0) / cohort.size if shares else None)
                then = following(period, then)
            start = following(period, start)
        assert not wanted or start == following(period, today)


async def test_grid_is_bounded_and_tells_who_came_before_it(connection: AsyncConnection) -> None:
    orders = a_shop(seed=5, shoppers=30, orders=90, days=200)
    await open_shop(connection, orders)
    grid = await read_retention(connection, RetentionPeriod.DAY, at(NOW))
    assert len(grid.cohorts) == MAX_COHORTS
    assert {len(cohort.cells) for cohort in grid.cohorts} == {MAX_COHORTS}
    buyers = {one.shopper for one in orders if one.qualifies(NOW)}
    assert grid.earlier_customers > 0
    assert grid.earlier_customers + sum(one.size for one in grid.cohorts) == len(buyers)


async def test_condition_chooses_the_customers(connection: AsyncConnection) -> None:
    orders = a_shop(seed=6, shoppers=20, orders=80, days=300)
    await open_shop(connection, orders)
    condition = scored_customer.c.email == "s1@example.com"
    grid = await read_retention(connection, RetentionPeriod.MONTH, at(NOW), condition)
    mine = by_shopper(orders)[1]
    told = [one.revenue for one in grid.cohorts[0].cells if one.revenue is not None]
    assert grid.cohorts[0].size == 1
    assert sum(one.size for one in grid.cohorts) == 1
    assert abs(sum(told) - net(mine, NOW)) <= len(told) * Decimal("0.005")  # each is rounded


async def test_without_orders_there_is_no_cohort(connection: AsyncConnection) -> None:
    grid = await read_retention(connection, RetentionPeriod.YEAR, at(NOW))
    assert (grid.cohorts, grid.earlier_customers) == ((), 0)
