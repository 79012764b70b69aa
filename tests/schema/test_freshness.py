"""Freshness: what each group has seen of each source, and which value is older than its records."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from cdp import tables
from cdp.database import Database
from cdp.fields import camel_case
from cdp.traits.catalog import CATALOG
from tests.schema.business import ingest_business
from tests.schema.client import Graph, serving
from tests.schema.ids import gid

pytestmark = pytest.mark.anyio

ANN = 1
QUERY = """query ($id: ID!) { customer(id: $id) {
    freshness { group computedAt isStale sources { source toldAt isSeen } }
    cltv { computedAt }
} }"""


@pytest.fixture
async def own_graph(database: Database) -> AsyncIterator[Graph]:
    """A server before a business of the test's own."""
    async with database.transaction() as connection:
        await ingest_business(connection)
    async with serving(database, {}) as graph:
        yield graph


async def groups(graph: Graph) -> dict[str, dict[str, Any]]:
    found = (await graph.read(QUERY, id=gid("Customer", ANN)))["customer"]
    by_name = {one["group"]: one for one in found["freshness"]}
    assert by_name["cltv"]["computedAt"] == found["cltv"]["computedAt"]
    return by_name


async def learned(graph: Graph, at: datetime) -> None:
    """Ann's orders reach us at a moment."""
    order = tables.sales_order
    mine = select(tables.source_profile.c.id).where(tables.source_profile.c.customer_id == ANN)
    async with graph.database.transaction() as connection:
        await connection.execute(
            update(order).where(order.c.source_profile_id.in_(mine)).values(learned_at=at)
        )


async def scored(graph: Graph, at: datetime) -> None:
    """Ann was scored at a moment."""
    async with graph.database.transaction() as connection:
        await connection.execute(tables.score.delete())
        said = {"customer_id": ANN, "computed_at": at, "predicted": 1}
        await connection.execute(tables.score.insert().values(said))


async def test_facts_have_seen_all_that_is_stored(own_graph: Graph) -> None:
    found = await groups(own_graph)
    assert list(found) == [camel_case(group.name) for group in CATALOG]
    facts = [found[camel_case(each.name)] for each in CATALOG if each.computed_at is None]
    assert not [one for one in facts if one["isStale"]]
    for one in facts:
        for source in one["sources"]:
            assert source["isSeen"]
            assert source["toldAt"] <= one["computedAt"]
    assert {one["source"] for one in found["purchases"]["sources"]} == {"shop"}
    assert {one["source"] for one in found["engagement"]["sources"]} == {"newsletter", "till"}


async def test_what_was_never_computed_is_not_stale(own_graph: Graph) -> None:
    async with own_graph.database.transaction() as connection:
        await connection.execute(tables.score.delete())
    cltv = (await groups(own_graph))["cltv"]
    assert (cltv["computedAt"], cltv["isStale"]) == (None, False)
    assert not [one for one in cltv["sources"] if one["isSeen"]]


async def test_a_score_is_stale_from_the_next_record_on_that_it_is_made_of(
    own_graph: Graph,
) -> None:
    now = datetime.fromisoformat("2040-06-15T10:00:00+00:00")
    await learned(own_graph, now)
    await scored(own_graph, now)
    for name in ("cltv", "churn"):
        fresh = (await groups(own_graph))[name]
        assert (fresh["computedAt"], fresh["isStale"]) == (now.isoformat(), False)
    await learned(own_graph, now + timedelta(seconds=1))
    found = await groups(own_graph)
    for name in ("cltv", "churn"):
        assert found[name]["isStale"]
        assert not [one for one in found[name]["sources"] if one["isSeen"]]
    assert not found["purchases"]["isStale"]
