"""Audiences in the graph: what came of them, for roles that read everything."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from cdp.database import Database
from cdp.keys import Role, create_key
from tests.cdp.ingesting import take
from tests.cdp.test_audience_effect import SENT, an_audience, an_order
from tests.schema.client import Graph, serving

pytestmark = pytest.mark.anyio

QUERY = """query ($days: Int!) { audiences {
    slug channel purpose heldOutPercent createdAt exportedAt
    effect(days: $days) {
      writtenTo { ...group } heldOut { ...group } difference differenceLow differenceHigh lift
    }
    longer: effect(days: 30) { writtenTo { conversions } }
} }
fragment group on AudienceGroup {
    customers pending conversions rate revenue revenuePerCustomer
}"""


@pytest.fixture
async def graph(database: Database) -> AsyncIterator[Graph]:
    """A server before an audience of four, of whom two are held out."""
    keys = {}
    async with database.transaction() as connection:
        for role in (Role.FRONTEND, Role.ANALYST):
            _, keys[role.value] = await create_key(connection, role, role.value)
        await an_audience(connection, {"a": False, "b": False, "c": True, "d": True})
        orders = [an_order("a", timedelta(days=1), "12.50"), an_order("b", timedelta(days=20))]
        await take(connection, "orders", [*orders, an_order("c", timedelta(days=2), "0.10")])
    async with serving(database, keys) as graph:
        yield graph


async def test_business_tells_the_lift_of_the_audiences_that_there_were_by_then(
    graph: Graph,
) -> None:
    query = """query ($asOf: DateTime) { business(asOf: $asOf) { audiences(first: 5) {
        slug effect(days: 30) { writtenTo { rate } heldOut { rate } difference lift } } } }"""
    (audience,) = (await graph.read(query, "analyst"))["business"]["audiences"]
    effect = {"writtenTo": {"rate": 1.0}, "heldOut": {"rate": 0.5}, "difference": 0.5, "lift": 1.0}
    assert audience == {"slug": "all", "effect": effect}
    before = (SENT - timedelta(days=1)).isoformat()
    assert (await graph.read(query, "analyst", asOf=before))["business"]["audiences"] == []
    assert (await graph.refusal(query, "frontend"))[0] == "FORBIDDEN"


async def test_effect_of_an_audience_is_read_for_any_number_of_days(graph: Graph) -> None:
    (audience,) = (await graph.read(QUERY, "analyst", days=7))["audiences"]
    assert (audience["slug"], audience["heldOutPercent"]) == ("all", 50.0)
    assert audience["createdAt"] == SENT.isoformat()
    effect = audience["effect"]
    assert effect["writtenTo"] == {
        "customers": 2,
        "pending": 0,
        "conversions": 1,
        "rate": 0.5,
        "revenue": "12.50",
        "revenuePerCustomer": "6.25",
    }
    assert (effect["heldOut"]["revenue"], effect["heldOut"]["rate"]) == ("0.10", 0.5)
    assert (effect["difference"], effect["lift"]) == (0, 0)
    assert -1 < effect["differenceLow"] < 0 < effect["differenceHigh"] < 1
    assert audience["longer"]["writtenTo"]["conversions"] == 2


async def test_effects_are_for_those_who_read_everything(graph: Graph) -> None:
    assert (await graph.refusal(QUERY, "frontend", days=7))[0] == "FORBIDDEN"
    code, message = await graph.refusal(QUERY, "analyst", days=400)
    assert (code, message) == ("BAD_REQUEST", "days is 400. Give 1 to 366.")
