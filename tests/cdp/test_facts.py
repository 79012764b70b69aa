"""Facts: what counts as an order, what as money, in which currency and on which day."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import RowMapping, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import Database, by_index, driver
from cdp.delivery import Deleted
from cdp.facts import customer_facts
from cdp.order_days import day_of, every_priced_order, given_back
from cdp.purchase_days import purchase_days
from cdp.rebuild import rebuild
from cdp.refresh import refresh_due
from cdp.tables import FACT_COLUMNS, customer, purchase_day, sales_order, source_profile
from cdp.workspace import Workspace
from tests.cdp.ingesting import WORKSPACE, customers, drop, facts_by_members, take, take_mixed

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
    key: str,
    order: str,
    amount: str,
    at: str = "2024-06-05T10:00:00Z",
    currency: str = "EUR",
) -> tuple[str, Row]:
    return "refunds", {
        "id": key,
        "order_id": order,
        "refunded_at": at,
        "amount": amount,
        "currency": currency,
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
    refund = a_refund("r", "a", "10", currency="USD")
    row = await fold(connection, *rates, an_order("a", currency="USD"), refund)
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


def a_rate(on: str, currency: str, rate: str, **columns: object) -> tuple[str, Row]:
    return "exchange_rates", {
        "on": on, "currency": currency, "base": "EUR", "rate": rate, **columns,
    }  # fmt: skip


async def test_a_refund_in_another_currency_counts_at_the_rates_of_the_orders_day(
    connection: AsyncConnection,
) -> None:
    row = await fold(
        connection,
        a_rate("2024-06-01", "JPY", "0.01"),
        a_rate("2024-06-01", "USD", "0.8"),
        a_rate("2024-06-05", "JPY", "0.9"),
        an_order("a", total="100"),
        an_order("b", total="100", currency="USD"),
        a_refund("r", "a", "1600", currency="JPY"),
        a_refund("s", "b", "800", currency="JPY"),
    )
    assert (row["gross_spend"], row["refunded"]) == (180, 24)
    query = select(sales_order.c.key, given_back(sales_order, WORKSPACE, func.now()))
    rows = await connection.execute(query.order_by(sales_order.c.key))
    assert rows.all() == [("a", 16), ("b", 10)]


async def test_blank_text_within_lines_is_not_said(connection: AsyncConnection) -> None:
    one = {"quantity": "1", "unit_price": "10"}
    lines = [{**one, "category": " "}, {**one, "category": ""}, {**one, "category": "tea"}]
    row = await fold(connection, an_order("a", lines=lines))
    assert row["favourite_category"] == "tea"


async def test_refunds_of_orders_of_several_days_count_each_at_the_rates_of_its_own_day(
    connection: AsyncConnection,
) -> None:
    """In a batch of their own and together; the refund of each is worth ten euros."""
    await take_mixed(
        connection,
        [
            ("customers", {"id": "1"}),
            a_rate("2024-06-01", "USD", "0.5"),
            a_rate("2024-06-05", "USD", "0.8"),
            a_rate("2024-06-05", "GBP", "1.25"),
            an_order("a", currency="USD", total="100"),
            an_order("b", currency="USD", total="100", placed_at="2024-06-05T10:00:00Z"),
            an_order("c", currency="GBP", total="100", placed_at="2024-06-05T10:00:00Z"),
            a_refund("1", "a", "10", at="2024-06-06T10:00:00Z"),
            a_refund("2", "b", "10", at="2024-06-06T10:00:00Z"),
            a_refund("3", "c", "10", at="2024-06-06T10:00:00Z"),
        ],
    )
    [row] = await customers(connection)
    assert (row["gross_spend"], row["refunded"]) == (50 + 80 + 125, 30)


async def test_a_refund_without_a_rate_is_left_out_and_told_until_its_rate_comes(
    connection: AsyncConnection,
) -> None:
    refunds = a_refund("r", "a", "1600", currency="JPY"), a_refund("s", "a", "5")
    row = await fold(connection, an_order("a"), *refunds)
    assert (row["refunded"], row["unpriced_count"]) == (5, 1)
    row = await fold(connection, a_rate("2024-05-31", "JPY", "0.01"))
    assert (row["refunded"], row["unpriced_count"]) == (21, 0)


async def test_what_was_given_back_on_an_order_is_one_rule_for_facts_and_readers(
    connection: AsyncConnection,
) -> None:
    await fold(
        connection,
        an_order("whole", status="refunded", updated_at="2024-06-10T10:00:00Z"),
        an_order("later"),
        a_refund("r", "later", "7", at="2024-06-10T10:00:00Z"),
    )
    for moment, amount in ((datetime(2024, 6, 5, tzinfo=UTC), 0), (datetime.now(UTC), 57)):
        query = select(given_back(sales_order, WORKSPACE, literal(moment))).select_from(sales_order)
        assert sum((await connection.scalars(query)).all()) == amount


async def test_a_rate_that_is_deleted_or_changed_folds_its_days_anew(
    connection: AsyncConnection,
) -> None:
    dated = {"updated_at": "2024-06-01T10:00:00Z"}
    row = await fold(connection, a_rate("2024-06-01", "USD", "0.5"), an_order("a", currency="USD"))
    assert row["gross_spend"] == 25
    row = await fold(connection, a_rate("2024-06-01", "USD", "0.8", **dated))
    assert row["gross_spend"] == 40
    await drop(
        connection,
        Deleted("exchange_rates", "2024-06-01:USD:EUR", datetime(2024, 7, 1, tzinfo=UTC)),
    )
    [row] = await customers(connection)
    assert (row["gross_spend"], row["unpriced_count"]) == (0, 1)


async def test_of_two_sources_rates_for_a_day_the_first_sources_holds(
    connection: AsyncConnection,
) -> None:
    for source, rate in (("bank", "0.5"), ("shop", "0.8"), ("agency", "0.9")):
        row = a_rate("2024-06-01", "USD", rate)
        await take_mixed(connection, [row], source=source)
    folded = await fold(connection, an_order("a", currency="USD"))
    assert folded["gross_spend"] == 25


async def test_a_product_whose_category_stays_folds_no_order_anew(
    connection: AsyncConnection,
) -> None:
    line = {"quantity": 1, "unit_price": "9", "product_id": "tea"}
    tea = {"id": "tea", "category": "Tea", "price": "9"}
    await fold(connection, ("products", tea), an_order("a", lines=[line]))
    await connection.execute(purchase_day.update().values(gross_spend=1))
    await take(connection, "products", [{**tea, "price": "10"}])
    assert await connection.scalar(select(purchase_day.c.gross_spend)) == 1
    await take(connection, "products", [{**tea, "category": "Drinks"}])
    assert await connection.scalar(select(purchase_day.c.gross_spend)) == 50


async def test_a_line_whose_keys_hold_colons_folds_its_own_order(
    connection: AsyncConnection,
) -> None:
    line = {"order_id": "gid:a", "line": "gid:7", "quantity": 1, "unit_price": "9"}
    await fold(connection, an_order("gid:a"), ("order_lines", {**line, "category": "Tea"}))
    row = await fold(connection, ("order_lines", {**line, "category": "Cups"}))
    assert row["favourite_category"] == "Cups"
    await drop(
        connection, Deleted("order_lines", "gid%3Aa:gid%3A7", datetime(2024, 7, 1, tzinfo=UTC))
    )
    [row] = await customers(connection)
    assert row["favourite_category"] is None


async def test_a_line_with_a_record_of_its_own_stands_whichever_comes_first(
    connection: AsyncConnection,
) -> None:
    inside = {"line": "1", "quantity": 1, "unit_price": "5", "category": "Inside"}
    own = {**inside, "order_id": "a", "category": "Own"}
    row = await fold(connection, ("order_lines", own))
    row = await fold(connection, an_order("a", lines=[inside, {**inside, "line": "2"}]))
    names = await connection.scalars(select(tables.order_line.c.category).order_by("line"))
    assert names.all() == ["Own", "Inside"]
    await fold(connection, an_order("b", lines=[inside]))
    await fold(connection, ("order_lines", {**own, "order_id": "b"}))
    again = {"updated_at": "2024-06-02T10:00:00Z"}
    row = await fold(connection, an_order("b", lines=[inside], **again))
    assert row["favourite_category"] == "Own"


async def test_a_day_is_the_workspaces_day(connection: AsyncConnection) -> None:
    row = await fold(connection, an_order("a", placed_at="2024-06-01T22:30:00Z"))
    assert row["first_order_on"] == date(2024, 6, 2)


async def test_an_order_counts_where_clocks_turn_back_over_midnight(
    connection: AsyncConnection,
) -> None:
    azores = Workspace(currency="EUR", region="PT", timezone="Atlantic/Azores")
    rows = [("customers", {"id": "1"}), an_order("a", placed_at="2024-10-27T00:30:00Z")]
    await take_mixed(connection, rows, workspace=azores)
    [row] = await customers(connection)
    assert (row["order_count"], row["first_order_on"]) == (1, date(2024, 10, 27))


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
    theirs = select(source_profile.c.customer_id, past).join(
        past, past.c.source_profile_id == source_profile.c.id
    )
    rows = await connection.execute(
        customer_facts(customer, theirs.subquery(), WORKSPACE.money_digits)
    )
    row = rows.mappings().one()
    assert set(row) == {"id", *(column.name for column in FACT_COLUMNS)}
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


async def test_a_day_reads_the_orders_of_its_profile_alone(connection: AsyncConnection) -> None:
    days = text("SELECT 1::bigint AS source_profile_id, date '2024-06-01' AS \"on\"")
    given = days.columns(purchase_day.c.source_profile_id, purchase_day.c.on).subquery()
    folded = purchase_days(given, WORKSPACE, func.now())
    sql = folded.compile(connection.engine.sync_engine, compile_kwargs={"literal_binds": True})
    async with by_index(await driver(connection)):
        plan = "\n".join(await connection.scalars(text(f"EXPLAIN (COSTS OFF) {sql}")))
    assert "ix_sales_order_source_profile_id_placed_at" in plan
    assert "ix_sales_order_placed_at" not in plan


async def test_a_rate_can_be_looked_up_by_processes_side_by_side(
    connection: AsyncConnection,
) -> None:
    told = await connection.exec_driver_sql(
        "SELECT proparallel::text, provolatile::text FROM pg_proc"
        " WHERE proname = 'exchange_rate_on'"
    )
    assert tuple(told.one()) == ("s", "s")
    priced = str(every_priced_order(WORKSPACE, func.now()))
    assert "exchange_rate_on(" in priced
    assert "exchange_rate." not in priced
