"""Figures of the whole business in the graph: who reads them, as of when, in one statement."""

from datetime import datetime
from typing import Any

import pytest

from cdp.cli.score import read_moment
from tests.cdp.ingesting import WORKSPACE
from tests.schema.business import days_ago
from tests.schema.client import Graph

pytestmark = pytest.mark.anyio

GRID = """query ($asOf: DateTime, $filter: CustomerFilter) {
    retention(period: YEAR, asOf: $asOf, filter: $filter) {
        period asOf currency earlierCustomers
        cohorts { startsOn size cells { index startsOn isComplete customers rate revenue } }
    } }"""


def cells(cohort: dict[str, Any]) -> list[str]:
    """The cells of a cohort, each as a text; `..` where the period is not over."""
    found = []
    for index, one in enumerate(cohort["cells"]):
        assert one["index"] == index
        figures = f"{one['startsOn']} {one['customers']} {one['rate']} {one['revenue']}"
        found.append(figures + ("" if one["isComplete"] else " .."))
    return found


async def test_retention_grid_is_one_statement(graph: Graph) -> None:
    before = len(graph.reader.statements)
    grid = (await graph.read(GRID, "analyst"))["retention"]
    assert len(graph.reader.statements) == before + 1
    assert (grid["period"], grid["currency"], grid["earlierCustomers"]) == ("YEAR", "EUR", 0)
    first, second = grid["cohorts"]
    assert (first["startsOn"], first["size"]) == ("2025-01-01", 2)
    assert cells(first) == ["2025-01-01 2 1 199.99", "2026-01-01 1 0.5 59.90 .."]
    assert (second["startsOn"], second["size"]) == ("2026-01-01", 1)
    assert cells(second) == ["2026-01-01 1 1 33.30 ..", "2027-01-01 None None None .."]


async def test_retention_knows_nothing_of_what_came_after_its_moment(graph: Graph) -> None:
    (cohort,) = (await graph.read(GRID, asOf=days_ago(395)))["retention"]["cohorts"]
    assert (cohort["size"], cells(cohort)) == (1, ["2025-01-01 1 1 120.10 .."])
    now = (await graph.read(GRID))["retention"]
    for to_come in (
        "2099-01-01",
        "2999-01-01",
        "2999-01-01T00:00:00Z",
        "9999-12-31T23:59:59-05:00",
    ):
        assert (await graph.read(GRID, asOf=to_come))["retention"] == now
    code, message = await graph.refusal(GRID, asOf="0001-01-01")
    assert (code, "not one of this age" in message) == ("BAD_REQUEST", True)
    code, message = await graph.refusal(GRID, asOf="soon")
    assert (code, "asOf" in message) == ("BAD_REQUEST", True)


async def test_retention_takes_a_filter_of_customers(graph: Graph) -> None:
    grid = (await graph.read(GRID, filter={"country": {"eq": "DK"}}))["retention"]
    assert [one["size"] for one in grid["cohorts"]] == [1, 0]
    assert cells(grid["cohorts"][1])[0] == "2026-01-01 0 None 0.00 .."
    everybody = (await graph.read(GRID))["retention"]
    scored = {"rfm": {"group": {"ne": "PROSPECT"}}, "cltv": {"reason": {"eq": "TOO_FEW_CUSTOMERS"}}}
    assert (await graph.read(GRID, filter=scored))["retention"] == everybody
    code, _ = await graph.refusal(GRID, "analyst", filter={"name": {"eq": "Ann"}})
    assert code == "FORBIDDEN"


async def test_retention_is_asked_twice_in_one_operation(graph: Graph) -> None:
    query = """{ a: retention(period: MONTH, asOf: "2026-01-01") { cohorts { size } }
                 b: retention(period: YEAR, asOf: "2025-12-01") { cohorts { size } } }"""
    found = await graph.read(query)
    assert sum(one["size"] for one in found["a"]["cohorts"]) == 2
    assert [one["size"] for one in found["b"]["cohorts"]] == [2]


@pytest.mark.parametrize("of", ["business", "retention(period: MONTH)"])
async def test_day_alone_is_looked_back_from_at_its_end_as_on_the_command_line(
    graph: Graph, of: str
) -> None:
    query = "query ($asOf: DateTime) { OF { asOf } }".replace("OF", of)
    query = query.replace("(period: MONTH)", "(period: MONTH, asOf: $asOf)")
    query = query.replace("business", "business(asOf: $asOf)")
    (told,) = (await graph.read(query, asOf="2026-03-01")).values()
    assert datetime.fromisoformat(told["asOf"]) == read_moment("2026-03-01", WORKSPACE.timezone)


BUSINESS = """query ($asOf: DateTime) { business(asOf: $asOf) {
    asOf currency
    purchases { buyers repeatBuyers repeatPurchaseRate orders ordersPerCustomer grossSpend refunded
        netRevenue averageOrderValue unpricedCount }
    unattributed { orders grossSpend refunded netRevenue unpricedCount }
    retention { windowDays activeBefore retained active retentionRate churnRate }
    cltv { historic { customers total mean p10 median highest topTenthShare }
        predicted { customers } predictedReason }
    nps { answers promoters score low high }
    csat { answers rate low high mean }
    loyalty { members participants participationRate pointsIssued redemptionRate breakageRate }
    subscriptions { subscribers mrr subscribersBefore churned churnRate mrrLost mrrChurnRate }
    campaigns { source key name attributedOrders revenue roi } } }"""


async def test_business_is_one_statement_over_all_groups(graph: Graph) -> None:
    before = len(graph.reader.statements)
    told = (await graph.read(BUSINESS, "analyst"))["business"]
    assert len(graph.reader.statements) == before + 1
    assert told["currency"] == "EUR"
    assert told["purchases"] == {
        "buyers": 3,
        "repeatBuyers": 1,
        "repeatPurchaseRate": pytest.approx(1 / 3),
        "orders": 5,
        "ordersPerCustomer": pytest.approx(5 / 3),
        "grossSpend": "323.29",
        "refunded": "30.10",
        "netRevenue": "293.19",
        "averageOrderValue": "58.64",
        "unpricedCount": 0,
    }
    assert told["unattributed"] == {
        "orders": 0,
        "grossSpend": "0.00",
        "refunded": "0.00",
        "netRevenue": "0.00",
        "unpricedCount": 0,
    }
    assert told["retention"]["active"] == 2
    assert (told["cltv"]["predicted"], told["cltv"]["predictedReason"]) == (
        None,
        "TOO_FEW_CUSTOMERS",
    )
    assert told["cltv"]["historic"] == {
        "customers": 3,
        "total": "293.19",
        "mean": "97.73",
        "p10": "19.99",
        "median": "33.30",
        "highest": "239.90",
        "topTenthShare": pytest.approx(239.90 / 293.19),
    }
    assert (told["nps"]["answers"], told["nps"]["score"]) == (1, 100)
    assert told["nps"]["low"] < told["nps"]["high"]
    assert told["csat"] == dict.fromkeys(("rate", "low", "high", "mean")) | {"answers": 0}
    assert told["loyalty"]["participationRate"] == pytest.approx(2 / 3)
    assert (told["subscriptions"]["mrr"], told["subscriptions"]["churnRate"]) == ("9.90", 0)
    assert told["campaigns"] == []


async def test_business_knows_nothing_of_what_came_after_its_moment(graph: Graph) -> None:
    told = (await graph.read(BUSINESS, asOf=days_ago(395)))["business"]
    assert told["purchases"]["netRevenue"] == "120.10"
    assert (told["purchases"]["buyers"], told["nps"]["score"]) == (1, None)
    assert told["subscriptions"]["mrr"] == "0.00"
    now = (await graph.read(BUSINESS))["business"]
    assert (await graph.read(BUSINESS, asOf="2099-01-01T00:00:00Z"))["business"] == now


async def test_group_that_is_not_asked_for_costs_nothing(graph: Graph) -> None:
    few = await graph.answer("{ business { nps { score } } }")
    all_ = await graph.answer(BUSINESS)
    assert few["extensions"]["cost"]["requested"] * 5 < all_["extensions"]["cost"]["requested"]
    assert "points_lot" not in graph.reader.statements[-2]


@pytest.mark.parametrize(
    "query", ["{ retention(period: MONTH) { asOf } }", "{ business { asOf } }"]
)
async def test_frontend_reads_no_figures_of_the_business(graph: Graph, query: str) -> None:
    code, _ = await graph.refusal(query, "frontend")
    assert code == "FORBIDDEN"
