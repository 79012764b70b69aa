"""Churn by silence: every customer held to their own rhythm, or to the shop's."""

from collections.abc import Sequence
from datetime import timedelta
from math import log

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.forecasting import score_as_of
from cdp.workspace import Workspace
from tests.cdp.builders import a_customer
from tests.cdp.scoring.shop import NOW, TODAY, add_days, traits_of

pytestmark = pytest.mark.anyio

WORKSPACE = Workspace(timezone="UTC")


async def silence(connection: AsyncConnection, *days_ago: Sequence[int]) -> list[object]:
    """The limit, and the days beyond it, of customers who ordered so many days ago."""
    customers = []
    for days in days_ago:
        customer_id = await a_customer(connection)
        customers.append(customer_id)
        on = [TODAY - timedelta(days=one) for one in days]
        await add_days(connection, [customer_id] * len(on), on, [10.0] * len(on))
    await score_as_of(connection, WORKSPACE, NOW, None)
    told = await traits_of(connection, "churn", NOW, WORKSPACE)
    return [(told[one]["silence_limit_days"], told[one]["overdue_days"]) for one in customers]


async def test_weekly_and_yearly_buyers_are_each_held_to_their_own_rhythm(
    connection: AsyncConnection,
) -> None:
    weekly, yearly = [30 + 7 * week for week in range(30)], [30, 380, 730]
    limits = round(7 * log(10)), round(350 * log(10))
    told = await silence(connection, weekly, yearly)
    assert told == [(limits[0], 30 - limits[0]), (limits[1], 30 - limits[1])]


async def test_customers_without_a_rhythm_are_held_to_the_shops(
    connection: AsyncConnection,
) -> None:
    told = await silence(connection, [95], [55, 95], [10])
    assert told == [(40, 55), (40, 15), (40, -30)]


async def test_where_nobody_came_back_nothing_is_told(connection: AsyncConnection) -> None:
    assert await silence(connection, [95], []) == [(None, None), (None, None)]


async def test_a_daily_buyer_may_go_on_holiday(connection: AsyncConnection) -> None:
    assert await silence(connection, list(range(11, 60))) == [(14, -3)]
