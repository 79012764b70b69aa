"""Money is one amount wherever it is told, compared or added up: to the smallest unit."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Numeric, Text, column, literal, select, values
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.business.moment import moment_of
from cdp.business.purchases import distribution_query
from cdp.business.report import GROUPS, read_campaigns, read_figures
from cdp.filters import predicate
from cdp.money import digits_of, digits_of_each, to_smallest_unit
from cdp.query import present
from cdp.rebuild import rebuild
from cdp.tables import customer, scored_customer
from cdp.traits import purchases, subscription
from cdp.workspace import Workspace
from tests.cdp.ingesting import Row, customers, take_mixed

pytestmark = pytest.mark.anyio

NOW = datetime(2024, 9, 1, tzinfo=UTC)
EUROS = Workspace()
DINARS = Workspace(currency="KWD")
YEN = Workspace(currency="JPY")


def an_order(key: str, who: str, total: str, currency: str = "EUR") -> tuple[str, Row]:
    return "orders", {
        "id": key,
        "customer_id": who,
        "placed_at": "2024-06-01T10:00:00Z",
        "currency": currency,
        "total": total,
    }


def a_rate(rate: str, base: str = "EUR") -> tuple[str, Row]:
    return "exchange_rates", {"on": "2024-06-01", "currency": "USD", "base": base, "rate": rate}


def a_fee(key: str, who: str, amount: str, currency: str, interval: str) -> tuple[str, Row]:
    told = {"id": key, "customer_id": who, "amount": amount, "currency": currency}
    began = {"status": "active", "started_at": "2024-06-01T10:00:00Z", "interval": interval}
    return "subscriptions", {**told, **began}


async def holds(
    connection: AsyncConnection, group: str, field: str, **operators: str
) -> list[bool]:
    """Whether a condition on a trait holds, of each customer."""
    scope = present(NOW, EUROS)
    asked = {group: {field: operators}}
    condition = predicate(asked, scope, workspace=EUROS, may_see_personal=True)
    query = select(condition).select_from(scored_customer).order_by(scored_customer.c.id)
    return list(await connection.scalars(query))


async def test_a_filter_is_given_the_amount_that_the_field_shows(
    connection: AsyncConnection,
) -> None:
    people = [("customers", {"id": "1"}), ("customers", {"id": "2"})]
    orders = [an_order("a", "1", "81.53", "USD"), an_order("b", "2", "75.13")]
    await take_mixed(connection, [*people, a_rate("0.92146"), *orders], workspace=EUROS)
    shown = purchases.net_spend.shown(present(NOW, EUROS))
    assert set(await connection.scalars(select(shown))) == {Decimal("75.13")}
    asked = {"gte": "75.13", "lte": "75.13"}
    assert await holds(connection, "purchases", "netSpend", **asked) == [True, True]
    assert await holds(connection, "purchases", "averageOrderValue", **asked) == [True, True]
    assert await holds(connection, "rfm", "monetary", gt="75.13") == [False, False]


async def test_the_business_is_the_sum_of_what_its_customers_are_told_now_and_then(
    connection: AsyncConnection,
) -> None:
    rows: list[tuple[str, Row]] = [a_rate("0.5")]
    for who in "123":
        rows += [("customers", {"id": who}), an_order(who, who, "10.01", "USD")]
    await take_mixed(connection, rows, workspace=EUROS)
    told = sum(row["net_spend"] for row in await customers(connection))
    assert told == 3 * Decimal("5.01")
    for at in (NOW, NOW - timedelta(days=30)):
        moment = moment_of(at, NOW, EUROS)
        bought = await read_figures(connection, "purchases", moment)
        value = await read_figures(connection, "historic_value", moment)
        assert (bought["net_revenue"], value["total"], value["mean"]) == (told, told, told / 3)


async def test_a_rebuild_changes_no_amount(connection: AsyncConnection) -> None:
    rows = [("customers", {"id": "1"}), a_rate("0.92146"), an_order("a", "1", "81.53", "USD")]
    await take_mixed(connection, [*rows, a_fee("f", "1", "36.06", "EUR", "year")], workspace=EUROS)
    before = await customers(connection)
    await rebuild(connection, EUROS)
    assert await customers(connection) == before


@pytest.mark.parametrize(
    ("workspace", "totals", "average", "monthly"),
    [(DINARS, ("1.000", "1.001", "1.001"), "1.001", "0.833"), (YEN, ("100", "101"), "101", "1")],
    ids=lambda one: one.currency if isinstance(one, Workspace) else "",
)
async def test_what_is_computed_has_the_places_of_the_currency(
    connection: AsyncConnection,
    workspace: Workspace,
    totals: tuple[str, ...],
    average: str,
    monthly: str,
) -> None:
    currency = workspace.currency
    rows = [an_order(str(n), "1", total, currency) for n, total in enumerate(totals)]
    fee = a_fee("f", "1", "10", currency, "year")
    await take_mixed(connection, [("customers", {"id": "1"}), *rows, fee], workspace=workspace)
    scope = present(NOW, workspace)
    told = select(purchases.average_order_value(scope), subscription.monthly_value(scope))
    assert (await connection.execute(told)).one() == (Decimal(average), Decimal(monthly))
    figures = await read_figures(connection, "purchases", moment_of(NOW, NOW, workspace))
    assert figures["average_order_value"] == Decimal(average)
    recurring = await read_figures(connection, "subscriptions", moment_of(NOW, NOW, workspace))
    assert recurring["mrr"] == Decimal(monthly)


async def test_fees_by_the_year_are_divided_once_of_their_sum(connection: AsyncConnection) -> None:
    rows: list[tuple[str, Row]] = [("customers", {"id": "1"}), ("customers", {"id": "2"})]
    rows += [a_fee("f", "1", "36.06", "EUR", "year")]
    rows += [a_fee(key, "2", "0.02", "EUR", "year") for key in "abc"]
    await take_mixed(connection, rows, workspace=EUROS)
    told = await connection.scalars(select(customer.c.monthly_value).order_by(customer.c.id))
    assert list(told) == [Decimal("3.01"), Decimal("0.01")]


async def spread_of(connection: AsyncConnection, *amounts: int) -> dict[str, object]:
    """How amounts are spread among so many customers."""
    given = values(column("value", Numeric), name="given").data([(each,) for each in amounts])
    row = (await connection.execute(distribution_query(given, DINARS))).mappings().one()
    return dict(row)


async def test_the_share_of_the_best_tenth_is_one_of_what_is_above_zero(
    connection: AsyncConnection,
) -> None:
    assert (await spread_of(connection, 90, 60, -50))["top_tenth_share"] == 0.6
    assert (await spread_of(connection, 90, -120))["top_tenth_share"] == 1
    assert (await spread_of(connection, 0, -5))["top_tenth_share"] is None


async def test_a_mean_has_the_places_of_the_currency(connection: AsyncConnection) -> None:
    assert (await spread_of(connection, 1, 1, 2))["mean"] == Decimal("1.333")


@pytest.mark.parametrize(
    ("currency", "amount", "told"),
    [
        ("EUR", "-2.345", "-2.35"),
        ("KWD", "1.0005", "1.001"),
        ("JPY", "0.5", "1"),
        ("XYZ", "7", "7.00"),
    ],
)
async def test_an_amount_is_rounded_half_away_from_zero_to_the_places_of_its_currency(
    connection: AsyncConnection, currency: str, amount: str, told: str
) -> None:
    given = literal(Decimal(amount), Numeric)
    for digits in (digits_of(currency), digits_of_each(literal(currency, Text))):
        assert str(await connection.scalar(select(to_smallest_unit(given, digits)))) == told


async def test_all_money_of_the_business_has_the_places_of_its_currency(
    connection: AsyncConnection,
) -> None:
    rows: list[tuple[str, Row]] = [
        ("customers", {"id": "1"}),
        ("campaigns", {"id": "summer", "cost": "5", "currency": "KWD"}),
        an_order("a", "1", "7", "KWD"),
        a_fee("f", "1", "10", "KWD", "month"),
    ]
    for given in ([], rows):
        await take_mixed(connection, given, workspace=DINARS)
        moment = moment_of(NOW, NOW, DINARS)
        told = [await read_figures(connection, group, moment) for group in GROUPS]
        told += await read_campaigns(connection, moment, 1)
        amounts = [each for one in told for each in one.values() if isinstance(each, Decimal)]
        assert {each.as_tuple().exponent for each in amounts} == {-3}
    assert sum(amounts) > 0
