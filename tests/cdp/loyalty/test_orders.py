"""Points from orders: what rules give, what refunds take back, what late versions change."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.delivery import Deleted
from cdp.loyalty.acts import redeem_points
from cdp.rebuild import rebuild
from tests.cdp.ingesting import WORKSPACE, drop, take, take_mixed
from tests.cdp.loyalty.club import (
    START,
    a_refund,
    accounts_of,
    an_act,
    an_order,
    count_entries,
    open_club,
    pass_days,
    the_customer,
)

pytestmark = pytest.mark.anyio

ANN = ("customers", {"id": "1", "first_name": "Ann", "created_at": "2025-01-01T00:00:00Z"})


async def test_without_a_programme_orders_earn_nothing_and_nobody_is_a_member(
    connection: AsyncConnection,
) -> None:
    await take_mixed(connection, [ANN, ("orders", an_order("a", "50"))])
    row = await the_customer(connection)
    assert row["loyalty_status"].value == "NONE"
    assert row["loyalty_points"] is None
    assert await accounts_of(connection) == {}


async def test_points_are_pending_through_the_return_window_and_then_can_be_spent(
    connection: AsyncConnection,
) -> None:
    await open_club(connection)
    await take_mixed(connection, [ANN, ("orders", an_order("a", "50.90"))])
    row = await the_customer(connection)
    assert (row["loyalty_points"], row["loyalty_pending_points"]) == (0, 50)
    assert row["loyalty_next_change_at"] <= START + timedelta(days=10)
    await pass_days(connection, 10)
    row = await the_customer(connection)
    assert (row["loyalty_points"], row["loyalty_pending_points"]) == (50, 0)
    assert row["loyalty_status"].value == "MEMBER"


async def test_a_refund_takes_back_its_share_of_what_the_order_gave(
    connection: AsyncConnection,
) -> None:
    await open_club(connection)
    orders = [("orders", an_order("a", "50")), ("orders", an_order("b", "33"))]
    await take_mixed(connection, [ANN, *orders])
    await take(connection, "refunds", [a_refund("r", "a", "20")])
    assert await accounts_of(connection) == {"issued": -63, "pending": 63}
    await take(connection, "refunds", [a_refund("s", "b", "33")])
    assert await accounts_of(connection) == {"issued": -30, "pending": 30}


async def test_points_that_were_spent_and_taken_back_are_owed_and_repaid_by_later_ones(
    connection: AsyncConnection,
) -> None:
    await open_club(connection)
    await take_mixed(connection, [ANN, ("orders", an_order("a", "50"))])
    await pass_days(connection, 10)
    customer_id = (await the_customer(connection))["id"]
    await redeem_points(connection, customer_id, an_act("spend"), points=40)
    await take(connection, "refunds", [a_refund("r", "a", "50")])
    assert (await the_customer(connection))["loyalty_points"] == -40
    await take(connection, "orders", [an_order("b", "100", START)])
    assert (await the_customer(connection))["loyalty_points"] == 60
    found = await accounts_of(connection)
    assert found == {"issued": -100, "redeemed": 40, "available": 60}


async def test_an_order_that_is_deleted_or_moves_to_another_customer_takes_its_points_along(
    connection: AsyncConnection,
) -> None:
    await open_club(connection)
    bob = ("customers", {"id": "2", "first_name": "Bob"})
    await take_mixed(connection, [ANN, bob, ("orders", an_order("a", "50"))])
    await take(connection, "orders", [an_order("a", "50", customer_id="2")])
    customer = tables.customer.c
    rows = await connection.execute(select(customer.first_name, customer.loyalty_pending_points))
    assert dict(rows.all()) == {"Ann": 0, "Bob": 50}
    await drop(connection, Deleted("orders", "a", START))
    assert await accounts_of(connection) == {}


async def test_a_rebuild_and_a_replay_post_nothing(connection: AsyncConnection) -> None:
    await open_club(connection)
    batch = [ANN, ("orders", an_order("a", "50")), ("refunds", a_refund("r", "a", "10"))]
    await take_mixed(connection, batch)
    await pass_days(connection, 20)
    before, row = await count_entries(connection), dict(await the_customer(connection))
    await take_mixed(connection, batch)
    await rebuild(connection, WORKSPACE)
    assert await count_entries(connection) == before
    assert {**await the_customer(connection), "updated_at": None} == {**row, "updated_at": None}
