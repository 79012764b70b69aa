"""`cdp business` and `cdp campaign`, as a person reads them."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from click.testing import CliRunner

from cdp.__main__ import main
from cdp.database import open_database
from tests.cdp.ingesting import Row, take


def fill(database_url: str, *batches: tuple[str, Sequence[Row]]) -> None:
    """Take rows of several streams."""

    async def apply() -> None:
        async with open_database(database_url) as database, database.transaction() as connection:
            for stream, rows in batches:
                await take(connection, stream, rows)

    asyncio.run(apply())


def test_the_interval_of_a_rate_is_told_in_per_cent_and_that_of_a_score_in_points(
    database_url: str,
) -> None:
    row = {"id": "1", "score": "5", "email": "ann@example.com"}
    row["given_at"] = "2026-06-01T10:00:00Z"
    fill(database_url, ("feedback", [{**row, "kind": "csat"}, {**row, "id": "2", "kind": "nps"}]))
    given = ["business", "--as-of", "2026-06-30", "--database-url", database_url]
    lines = CliRunner().invoke(main, given).output.splitlines()
    lows = [line.split()[1] for line in lines if line.split()[:1] == ["low"]]
    assert [low.endswith("%") for low in lows] == [False, True]


def test_orders_of_nobody_are_told_apart(database_url: str) -> None:
    order = {"id": "1", "placed_at": "2026-06-01T10:00:00Z", "currency": "EUR", "total": "12.50"}
    fill(database_url, ("orders", [order]))
    given = ["business", "--as-of", "2026-06-30", "--database-url", database_url]
    lines = CliRunner().invoke(main, given).output.splitlines()
    block = lines[lines.index("unattributed") + 1 :]
    assert [line.split()[-2:] for line in block[1:2]] == [["12.50", "EUR"]]
    told = json.loads(CliRunner().invoke(main, [*given, "--json"]).output)
    assert (told["unattributed"]["orders"], told["purchases"]["orders"]) == (1, 0)


def test_the_cost_of_a_campaign_is_stated_listed_and_taken_back(database_url: str) -> None:
    campaign = {"id": "k1", "name": "Spring", "started_at": "2026-06-01T00:00:00Z"}
    fill(database_url, ("campaigns", [campaign]))

    def run(*given: str) -> dict[str, Any]:
        result = CliRunner().invoke(
            main, ["campaign", *given, "--json", "--database-url", database_url]
        )
        told = json.loads(result.stdout)
        assert isinstance(told, dict)
        return told

    def listed() -> object:
        (one,) = run("list")["campaigns"]
        return one["source"], one["key"], one["messages"], one["cost"], one["roi"]

    assert listed() == ("shop", "k1", 0, None, None)
    assert run("cost", "shop", "k1", "1250.50", "--currency", "eur")["currency"] == "EUR"
    assert listed() == ("shop", "k1", 0, "1250.50", -1)
    text = CliRunner().invoke(main, ["campaign", "list", "--database-url", database_url]).stdout
    assert text.splitlines()[1].split("\t")[-2:] == ["1,250.50", "-100%"]
    assert run("cost", "shop", "k1", "none")["cost"] is None
    assert listed() == ("shop", "k1", 0, None, None)
    assert run("cost", "shop", "k1", "none")["error"] == "NOT_FOUND"
    assert run("cost", "shop", "k1", "much")["error"] == "BAD_REQUEST"


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
