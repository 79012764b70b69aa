"""Money in the graph: what is computed has the places of its currency, whoever's that is."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import Database
from tests.cdp.ingesting import Row, take_mixed
from tests.schema.business import NOW
from tests.schema.client import serving

pytestmark = pytest.mark.anyio

ON = NOW - timedelta(days=30)
ORDERS = """{ customers { nodes { orders { nodes { key total refunded } } } } }"""
CUTS = "{ modelReport { totalPredicted rfmCutPoints { recencyDays frequency monetary } } }"


def an_order(key: str, currency: str, total: str, refund: str, of: str) -> list[tuple[str, Row]]:
    """With a refund in another currency, or in its own."""
    whose = {"id": key, "customer_id": "1", "placed_at": ON.isoformat(), "total": total}
    given = {"id": key, "order_id": key, "refunded_at": ON.isoformat(), "amount": refund}
    return [("orders", {**whose, "currency": currency}), ("refunds", {**given, "currency": of})]


async def test_what_was_given_back_of_an_order_has_the_places_of_its_currency(
    database: Database,
) -> None:
    async with database.transaction() as connection:
        on = str(ON.date())
        rates = [
            ("exchange_rates", {"on": on, "currency": currency, "base": "EUR", "rate": rate})
            for currency, rate in (("USD", "0.92146"), ("JPY", "0.0062"), ("KWD", "2.99"))
        ]
        rows = [
            *an_order("1", "EUR", "100", "10", "USD"),
            *an_order("2", "JPY", "2000", "10", "USD"),
            *an_order("3", "KWD", "20", "10", "USD"),
            *an_order("4", "EUR", "100", "7.5", "EUR"),
            *an_order("5", "XTS", "1.2345", "1.2345", "XTS"),
        ]
        await take_mixed(connection, [("customers", {"id": "1"}), *rates, *rows])
    async with serving(database, {}) as graph:
        (one,) = (await graph.read(ORDERS))["customers"]["nodes"]
    told = {order["key"]: order["refunded"] for order in one["orders"]["nodes"]}
    assert told == {"1": "9.21", "2": "1486", "3": "3.082", "4": "7.50", "5": "1.2345"}


async def _a_model(connection: AsyncConnection, currency: str) -> None:
    cuts = {"recency_days": [9, 7, 5, 3], "frequency": [1, 2, 3, 4]}
    await connection.execute(
        tables.score_model.insert().values(
            version=1, computed_at=NOW, as_of=NOW, horizon_days=365, discount_rate=0, margin=1,
            currency=currency, shortfalls=[], plans={}, report={"total_spend": 12.3456},
            cut_points={**cuts, "monetary": ["0.005", "1", "75.12673", "100.5"]},
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("currency", "total", "monetary"),
    [
        ("EUR", "12.35", ["0.01", "1.00", "75.13", "100.50"]),
        ("KWD", "12.346", ["0.005", "1.000", "75.127", "100.500"]),
    ],
)
async def test_money_of_a_model_has_the_places_of_its_own_currency(
    database: Database, currency: str, total: str, monetary: list[str]
) -> None:
    async with database.transaction() as connection:
        await _a_model(connection, currency)
    async with serving(database, {}) as graph:
        told = (await graph.read(CUTS))["modelReport"]
    assert told["totalPredicted"] == total
    assert told["rfmCutPoints"] == {
        "recencyDays": [9, 7, 5, 3],
        "frequency": [1, 2, 3, 4],
        "monetary": monetary,
    }


async def test_who_shows_an_amount_is_found_by_it(database: Database) -> None:
    async with database.transaction() as connection:
        rate = {"on": str(ON.date()), "currency": "USD", "base": "EUR", "rate": "0.92146"}
        order = {"id": "1", "customer_id": "1", "placed_at": ON.isoformat(), "currency": "USD"}
        await take_mixed(
            connection,
            [
                ("customers", {"id": "1"}),
                ("exchange_rates", rate),
                ("orders", {**order, "total": "81.53"}),
            ],
        )
    shown = "{ customers { nodes { purchases { netSpend } } } }"
    found = "{ customers(filter: {purchases: {netSpend: {eq: %s}}}) { totalCount } }"
    async with serving(database, {}) as graph:
        (one,) = (await graph.read(shown))["customers"]["nodes"]
        amount = Decimal(one["purchases"]["netSpend"])
        assert (await graph.read(found % amount))["customers"]["totalCount"] == 1
