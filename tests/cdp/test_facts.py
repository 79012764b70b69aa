"""Facts: what counts as an order, what as money, in which currency and on which day."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import RowMapping, literal, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.customers import rebuild
from cdp.database import Database
from cdp.facts import customer_facts, day_of, purchase_days
from cdp.refresh import refresh_due
from cdp.tables import FACT_COLUMNS, customer, purchase_day, sales_order
from cdp.workspace import Workspace
from tests.cdp.ingesting import WORKSPACE, customers, facts_by_members, take, take_mixed

pytestmark = pytest.mark.anyio

Row = Mapping[str, object]


def an_order(key: str, **columns: object) -> tuple[str, Row]:
    return "orders", {
        "id": key,
        "customer_id": "1",
        "placed_at": "2024-06-01T10:00:00+02:00",
        "currency": "EUR",
        "total": "50.00",
        **columns,
    }


def a_refund(
    key: str, order: str, amount: str, at: str = "2024-06-05T10:00:00Z"
) -> tuple[str, Row]:
    return "refunds", {
        "id": key,
        "order_id": order,
        "refunded_at": at,
        "amount": amount,
        "currency": "EUR",
    }


async def fold(connection: AsyncConnection, *rows: tuple[str, Row]) -> RowMapping:
    await take_mixed(connection, [("customers", {"id": "1", "first_name": "Ann"}), *rows])
    [row] = await customers(connection)
    return row


async def test_orders_that_do_not_stand_count_neither_in_number_nor_in_money(
    connection: AsyncConnection,
) -> None:
    void = ["cancelled", "Canceled", "failed", "voided", "draft", "test"]
    row = await fold(
        connection,
        an_order("a"),
        *(an_order(f"v{n}", status=status) for n, status in enumerate(void)),
    )
    assert (row["order_count"], row["gross_spend"], row["net_spend"]) == (1, 50, 50)


async def test_a_partial_refund_lowers_net_and_a_full_one_unqualifies_the_order(
    connection: AsyncConnection,
) -> None:
    row = await fold(
        connection,
        an_order("a"),
        an_order("b", placed_at="2024-07-01T10:00:00Z"),
        a_refund("r1", "a", "20.00"),
        a_refund("r2", "b", "30.00"),
        a_refund("r3", "b", "20.00"),
    )
    assert (row["order_count"], row["gross_spend"], row["refunded"]) == (1, 100, 70)
    assert (row["net_spend"], row["qualifying_spend"]) == (30, 30)
    assert row["last_order_on"] == date(2024, 6, 1)


async def test_the_status_refunded_without_a_refund_record_is_a_full_refund(
    connection: AsyncConnection,
) -> None:
    row = await fold(connection, an_order("a", status="refunded"), an_order("b", status="paid"))
    assert (row["order_count"], row["gross_spend"], row["refunded"]) == (1, 100, 50)
    told = await fold(connection, a_refund("r", "a", "10.00"))
    assert (told["order_count"], told["refunded"]) == (2, 10)


async def test_money_is_converted_at_the_rate_of_the_orders_day_or_of_the_week_before(
    connection: AsyncConnection,
) -> None:
    rates: list[tuple[str, Row]] = [
        ("exchange_rates", {"on": on, "currency": "USD", "base": "EUR", "rate": rate})
        for on, rate in (("2024-05-20", "0.5"), ("2024-05-28", "0.8"), ("2024-06-02", "0.9"))
    ]
    row = await fold(connection, *rates, an_order("a", currency="USD"), a_refund("r", "a", "10"))
    assert (row["gross_spend"], row["refunded"]) == (Decimal("40.00"), Decimal("8.00"))


async def test_an_order_without_a_rate_is_counted_left_out_of_money_and_told(
    connection: AsyncConnection,
) -> None:
    row = await fold(connection, an_order("a", currency="USD"), an_order("b"))
    assert (row["order_count"], row["priced_order_count"]) == (2, 1)
    assert (row["unpriced_count"], row["gross_spend"]) == (1, 50)
    rate = {"on": "2024-05-31", "currency": "USD", "base": "EUR", "rate": "0.5"}
    await take(connection, "exchange_rates", [rate])
    [later] = await customers(connection)
    assert (later["unpriced_count"], later["gross_spend"]) == (0, 75)


async def test_a_day_is_the_workspaces_day(connection: AsyncConnection) -> None:
    row = await fold(connection, an_order("a", placed_at="2024-06-01T22:30:00Z"))
    assert row["first_order_on"] == date(2024, 6, 2)


async def test_two_orders_of_one_day_are_one_purchase_day(connection: AsyncConnection) -> None:
    row = await fold(
        connection, an_order("a"), an_order("b"), an_order("c", placed_at="2024-06-11T09:00:00Z")
    )
    assert (row["order_count"], row["order_day_count"]) == (3, 2)


async def test_favourites_have_the_most_spend_and_the_most_orders(
    connection: AsyncConnection,
) -> None:
    tea = {"quantity": 1, "unit_price": "9", "product_id": "tea"}
    cups = {"quantity": 2, "unit_price": "5", "category": "Cups"}
    row = await fold(
        connection,
        an_order("a", channel="web", lines=[tea, cups]),
        an_order("b", channel="till", lines=[tea], placed_at="2024-06-03T10:00:00Z"),
        an_order("c", channel="till", placed_at="2024-06-04T10:00:00Z"),
    )
    assert (row["favourite_category"], row["favourite_channel"]) == ("Cups", "till")
    await take(connection, "products", [{"id": "tea", "category": "Drinks"}])
    [row] = await customers(connection)
    assert row["favourite_category"] == "Drinks"


async def test_lines_that_come_by_themselves_count_like_those_inside_the_order(
    connection: AsyncConnection,
) -> None:
    line = {"order_id": "a", "line": "1", "quantity": 1, "unit_price": "9", "category": "Tea"}
    row = await fold(connection, an_order("a"), ("order_lines", line))
    assert row["favourite_category"] == "Tea"


async def test_a_new_version_of_an_order_takes_its_old_lines_away(
    connection: AsyncConnection,
) -> None:
    lines = [{"quantity": 1, "unit_price": "5", "category": name} for name in ("A", "B")]
    await fold(connection, an_order("a", lines=lines, updated_at="2024-06-01T10:00:00Z"))
    await fold(connection, an_order("a", lines=lines[1:], updated_at="2024-06-02T10:00:00Z"))
    found = await connection.execute(select(tables.order_line.c.category))
    assert [row[0] for row in found] == ["B"]


async def test_an_order_that_moves_to_another_day_and_customer_leaves_no_trace(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [{"id": "2", "first_name": "Bob"}])
    await take_mixed(connection, [("customers", {"id": "1"}), an_order("a")])
    await take_mixed(
        connection,
        [
            an_order(
                "a",
                customer_id="2",
                placed_at="2024-08-01T10:00:00Z",
                updated_at="2024-08-01T10:00:00Z",
            )
        ],
    )
    counts = {row["name"]: row["order_count"] for row in await customers(connection)}
    assert counts == {"Bob": 1, None: 0}


async def test_a_rebuild_gives_the_same_rows(connection: AsyncConnection) -> None:
    await fold(connection, an_order("a"), an_order("b", currency="USD"), a_refund("r", "a", "5"))
    before = await facts_by_members(connection)
    assert await rebuild(connection, WORKSPACE) == 1
    assert await facts_by_members(connection) == before
    await rebuild(connection, Workspace(currency="USD", region="GB", timezone="Asia/Tokyo"))
    [row] = await customers(connection)
    assert (row["gross_spend"], row["unpriced_count"]) == (50, 1)


async def test_facts_of_a_past_moment_know_nothing_of_what_came_later(
    connection: AsyncConnection,
) -> None:
    await fold(
        connection,
        an_order("a"),
        an_order("b", placed_at="2024-09-01T10:00:00Z"),
        a_refund("r", "a", "50", at="2024-08-01T10:00:00Z"),
    )
    days = select(purchase_day.c.source_profile_id, purchase_day.c.on).subquery()
    moment = literal(datetime(2024, 7, 1, tzinfo=UTC))
    past = purchase_days(days, WORKSPACE, moment).subquery()
    facts = customer_facts(customer, past).lateral()
    rows = await connection.execute(select(facts).select_from(customer.join(facts, true())))
    row = rows.mappings().one()
    assert set(row) == {column.name for column in FACT_COLUMNS}
    assert (row["order_count"], row["gross_spend"], row["refunded"]) == (1, 50, 0)
    assert row["last_order_on"] == date(2024, 6, 1)


async def test_an_order_dated_in_the_future_counts_when_its_moment_has_come(
    database: Database,
) -> None:
    now = datetime.now(UTC)
    soon, gone = now + timedelta(hours=1), now - timedelta(minutes=1)
    async with database.transaction() as connection:
        row = await fold(connection, an_order("a", placed_at=soon.isoformat()))
    assert (row["order_count"], row["gross_spend"]) == (0, 0)
    assert await refresh_due(database, WORKSPACE) == 0
    async with database.transaction() as connection:  # an hour later, as seen from the records
        await connection.execute(sales_order.update().values(placed_at=gone))
        await connection.execute(
            purchase_day.update().values(on=day_of(gone, WORKSPACE), next_change_at=gone)
        )
    assert await refresh_due(database, WORKSPACE) == 1
    async with database.transaction() as connection:
        [row] = await customers(connection)
    assert (row["order_count"], row["gross_spend"]) == (1, 50)
    assert await refresh_due(database, WORKSPACE) == 0
