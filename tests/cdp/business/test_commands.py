"""`cdp business`, as a person reads it."""

import asyncio
import json

from click.testing import CliRunner

from cdp.__main__ import main
from cdp.database import open_database
from tests.cdp.ingesting import take


def test_the_interval_of_a_rate_is_told_in_per_cent_and_that_of_a_score_in_points(
    database_url: str,
) -> None:
    async def fill() -> None:
        async with open_database(database_url) as database, database.transaction() as connection:
            row = {"id": "1", "score": "5", "email": "ann@example.com"}
            row["given_at"] = "2026-06-01T10:00:00Z"
            await take(connection, "feedback", [{**row, "kind": "csat"}])
            await take(connection, "feedback", [{**row, "id": "2", "kind": "nps"}])

    asyncio.run(fill())
    given = ["business", "--as-of", "2026-06-30", "--database-url", database_url]
    lines = CliRunner().invoke(main, given).output.splitlines()
    lows = [line.split()[1] for line in lines if line.split()[:1] == ["low"]]
    assert [low.endswith("%") for low in lows] == [False, True]


def test_money_of_the_business_is_told_to_the_smallest_unit(database_url: str) -> None:
    order = {"id": "1", "customer_id": "1", "placed_at": "2026-06-01T10:00:00Z", "total": "81.53"}
    rate = {"on": "2026-06-01", "currency": "USD", "base": "EUR", "rate": "0.92146"}
    sent = {"id": "1", "message_id": "1", "customer_id": "1", "channel": "email", "kind": "sent"}
    began = "2026-06-01T08:00:00Z"
    campaign = {"id": "c", "name": "June", "started_at": began, "currency": "USD", "cost": "10"}

    async def fill() -> None:
        async with open_database(database_url) as database, database.transaction() as connection:
            await take(connection, "customers", [{"id": "1"}])
            await take(connection, "exchange_rates", [rate])
            await take(connection, "orders", [{**order, "currency": "USD"}])
            await take(connection, "campaigns", [campaign])
            message = {**sent, "occurred_at": began, "campaign_id": "c"}
            await take(connection, "messages", [message])

    asyncio.run(fill())
    given = ["--json", "--as-of", "2026-06-30", "--database-url", database_url]
    told = json.loads(CliRunner().invoke(main, ["business", *given]).output)
    assert {told["purchases"][name] for name in ("gross_spend", "net_revenue")} == {"75.13"}
    (june,) = told["campaigns"]
    assert (june["revenue"], june["cost"]) == ("75.13", "9.21")
    grid = json.loads(CliRunner().invoke(main, ["retention", *given]).output)
    assert grid["cohorts"][0]["cells"][0]["revenue"] == "75.13"
