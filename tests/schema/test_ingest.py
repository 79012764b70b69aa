"""Records handed over through the graph: taken, refused one by one, by those who may."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import func, select, text

from cdp import tables
from cdp.database import Database
from cdp.keys import Role, create_key
from cdp.sources import add_source
from cdp.workspace import take_turn
from tests.schema.client import Graph, serving

pytestmark = pytest.mark.anyio

MUTATION = """mutation ($input: IngestInput!) { done: ingest(input: $input) {
  new changed unchanged refused merged refusals { index path reason } errors { code path }
} }"""
PATIENCE_SECONDS = 30  # of a test that would wait for ever
POLL_SECONDS = 0.01
ANN = {"id": "1", "first_name": "Ann", "email": "ann@example.com", "shoe_size": 39}


@pytest.fixture
async def graph(database: Database) -> AsyncIterator[Graph]:
    """Nobody, behind a server with a key for each role."""
    async with database.transaction() as connection:
        keys = {role.value: (await create_key(connection, role, "x"))[1] for role in Role}
    async with serving(database, keys) as graph:
        yield graph


async def hand_over(graph: Graph, stream: str, *records: object, source: str = "crm") -> Any:  # noqa: ANN401  # JSON
    given = {"source": source, "stream": stream, "records": records}
    return (await graph.read(MUTATION, "connector", input=given))["done"]


async def test_records_become_customers_when_they_are_handed_over(graph: Graph) -> None:
    done = await hand_over(graph, "customers", ANN)
    assert (done["new"], done["refusals"], done["errors"]) == (1, [], [])
    order = {"id": "o1", "customer_id": "1", "placed_at": "2026-01-05T09:00:00Z"}
    await hand_over(graph, "orders", {**order, "currency": "EUR", "total": "12.50"})
    query = """{ customer(identifier: {kind: "email", value: "ann@example.com"}) {
        attributes sourceProfiles { source key record } orders { nodes { total } } } }"""
    found = (await graph.read(query, "steward"))["customer"]
    assert found == {
        "attributes": {"shoe_size": 39},
        "sourceProfiles": [{"source": "crm", "key": "1", "record": ANN}],
        "orders": {"nodes": [{"total": "12.50"}]},
    }
    again = await hand_over(graph, "customers", ANN)
    assert (again["new"], again["unchanged"]) == (0, 1)


async def test_rates_that_are_handed_over_by_two_at_once_are_all_taken(
    graph: Graph, database: Database
) -> None:
    rate = {"on": "2026-01-05", "base": "EUR", "rate": "1.1"}
    async with database.transaction() as connection:
        await take_turn(connection, alone=True)
        both = [
            asyncio.create_task(
                hand_over(graph, "exchange_rates", {**rate, "currency": currency}, source=currency)
            )
            for currency in ("USD", "GBP")
        ]
        await until_waiting(database, len(both))
    assert [(done["new"], done["errors"]) for done in await asyncio.gather(*both)] == [(1, [])] * 2


async def until_waiting(database: Database, count: int) -> None:
    """Until as many wait for a lock."""
    waiting = text(
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE a.datname = current_database() AND NOT l.granted"
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            async with database.read_only() as connection:
                if await connection.scalar(waiting) == count:
                    return
            await asyncio.sleep(POLL_SECONDS)


async def test_source_that_a_connector_reads_is_not_written_by_hand(
    graph: Graph, database: Database
) -> None:
    async with database.transaction() as connection:
        await add_source(connection, "web-shop", "shopify", {})
    done = await hand_over(graph, "customers", ANN, source="web-shop")
    assert done["errors"] == [{"code": "BAD_REQUEST", "path": ["input", "source"]}]
    async with database.read_only() as connection:
        stored = select(func.count()).select_from(tables.source_profile)
        assert await connection.scalar(stored) == 0


async def test_what_cannot_be_taken_is_told_and_keeps_nothing_else_out(
    graph: Graph, database: Database
) -> None:
    done = await hand_over(graph, "customers", ANN, {"first_name": "Bob"}, "Cy")
    assert (done["new"], done["refused"]) == (1, 2)
    missing, no_object = done["refusals"]
    assert (missing["index"], no_object["index"]) == (1, 2)
    assert "id" in missing["reason"]
    async with database.read_only() as connection:
        letters = await connection.execute(
            select(tables.dead_letter.c.place, tables.dead_letter.c.payload)
        )
    assert sorted(map(tuple, letters)) == [
        ("records[1]", {"first_name": "Bob"}),
        ("records[2]", "Cy"),
    ]


async def test_statement_of_consent_that_names_nobody_is_told_by_its_place(graph: Graph) -> None:
    said = {"channel": "email", "purpose": "marketing", "status": "denied"}
    denial = {**said, "recorded_at": "2026-01-05T09:00:00Z"}
    good, lost = {"id": "a", "email": "Ann <ann@example.com>"}, {"id": "b", "email": "ann"}
    done = await hand_over(graph, "consents", {**denial, **good}, {**denial, **lost})
    assert (done["new"], done["refused"]) == (1, 1)
    assert [(one["index"], one["path"]) for one in done["refusals"]] == [(1, "email")]


@pytest.mark.parametrize(
    ("given", "path"),
    [({"stream": "nonsense"}, ["input", "stream"]), ({"source": "no name"}, None)],
)
async def test_unknown_stream_or_a_name_that_is_none_does_nothing(
    graph: Graph, given: dict[str, str], path: list[str] | None
) -> None:
    done = await hand_over(graph, given.get("stream", "customers"), ANN, **_source(given))
    assert done["errors"] == [{"code": "BAD_REQUEST", "path": path}]
    assert done["new"] is None


def _source(given: dict[str, str]) -> dict[str, str]:
    return {"source": given["source"]} if "source" in given else {}


async def test_only_connectors_and_admins_hand_records_over(graph: Graph) -> None:
    given = {"source": "crm", "stream": "customers", "records": [ANN]}
    for role in ("frontend", "analyst", "steward"):
        answer = await graph.answer(MUTATION, role, input=given)
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"], role
    assert (await graph.read(MUTATION, "admin", input=given))["done"]["new"] == 1


async def test_a_connector_does_nothing_else(graph: Graph) -> None:
    merge = """mutation { mergeCustomers(input: {customerIds: [], reason: "x"}) {
        errors { code } } }"""
    for asked in (merge, "{ customers { totalCount } }"):
        answer = await graph.answer(asked, "connector")
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
