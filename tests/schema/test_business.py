"""Figures of the whole business in the graph: who reads them, as of when, in one statement."""

from typing import Any

import pytest

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
    assert (await graph.read(GRID, asOf="2099-01-01"))["retention"] == now
    code, message = await graph.refusal(GRID, asOf="soon")
    assert (code, "asOf" in message) == ("BAD_REQUEST", True)


async def test_retention_takes_a_filter_of_customers(graph: Graph) -> None:
    grid = (await graph.read(GRID, filter={"country": {"eq": "DK"}}))["retention"]
    assert [one["size"] for one in grid["cohorts"]] == [1, 0]
    assert cells(grid["cohorts"][1])[0] == "2026-01-01 0 None 0 .."
    code, _ = await graph.refusal(GRID, "analyst", filter={"name": {"eq": "Ann"}})
    assert code == "FORBIDDEN"


async def test_retention_is_asked_twice_in_one_operation(graph: Graph) -> None:
    query = """{ a: retention(period: MONTH, asOf: "2026-01-01") { cohorts { size } }
                 b: retention(period: YEAR, asOf: "2025-12-01") { cohorts { size } } }"""
    found = await graph.read(query)
    assert sum(one["size"] for one in found["a"]["cohorts"]) == 2
    assert [one["size"] for one in found["b"]["cohorts"]] == [2]


@pytest.mark.parametrize("query", ["{ retention(period: MONTH) { asOf } }"])
async def test_frontend_reads_no_figures_of_the_business(graph: Graph, query: str) -> None:
    code, _ = await graph.refusal(query, "frontend")
    assert code == "FORBIDDEN"
