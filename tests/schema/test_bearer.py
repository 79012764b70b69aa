"""Whom `customer(identifier:)` finds where an identifier was borne by more than one."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import Database
from tests.cdp.builders import NOW, a_customer, an_identifier, days_ago
from tests.schema.client import Graph, serving

pytestmark = pytest.mark.anyio

NUMBER = "+447700900007"


@pytest.fixture
async def open_graph(database: Database) -> AsyncIterator[Graph]:
    async with serving(database, {}) as graph:
        yield graph


async def whose(graph: Graph, kind: str, value: str) -> str | None:
    """The name of who is found."""
    query = "query ($who: IdentifierInput) { customer(identifier: $who) { name } }"
    found = (await graph.read(query, who={"kind": kind, "value": value}))["customer"]
    return None if found is None else str(found["name"])


async def bears(
    connection: AsyncConnection, name: str, *, is_current: bool = True, seen_days_ago: float = 0
) -> int:
    """A new customer with the number, seen so long ago."""
    customer = await a_customer(connection, name=name)
    await an_identifier(connection, customer, "phone", NUMBER, is_current=is_current)
    identifier = tables.identifier
    await connection.execute(
        identifier.update()
        .where(identifier.c.source_profile_id == customer)
        .values(last_seen_at=days_ago(seen_days_ago))
    )
    return customer


async def test_recycled_number_leads_to_its_present_owner(open_graph: Graph) -> None:
    async with open_graph.database.transaction() as connection:
        await bears(connection, "Former", is_current=False)
        await bears(connection, "Present", seen_days_ago=100)
    assert await whose(open_graph, "phone", "07700 900007") == "Present"


async def test_number_of_a_deleted_profile_leads_to_who_lives(open_graph: Graph) -> None:
    async with open_graph.database.transaction() as connection:
        deleted = await bears(connection, "Deleted")
        await bears(connection, "Present", seen_days_ago=100)
        profile = tables.source_profile
        await connection.execute(
            profile.update().where(profile.c.id == deleted).values(deleted_at=NOW)
        )
    assert await whose(open_graph, "phone", NUMBER) == "Present"


async def test_of_two_who_share_it_the_one_seen_last_is_found(open_graph: Graph) -> None:
    async with open_graph.database.transaction() as connection:
        await bears(connection, "Earlier", seen_days_ago=2)
        await bears(connection, "Later", seen_days_ago=1)
        await bears(connection, "As late", seen_days_ago=1)
    assert await whose(open_graph, "phone", NUMBER) == "Later"


async def test_who_once_bore_it_is_found_while_nobody_else_does(open_graph: Graph) -> None:
    async with open_graph.database.transaction() as connection:
        await bears(connection, "Former", is_current=False)
    assert await whose(open_graph, "phone", NUMBER) == "Former"
    assert await whose(open_graph, "phone", "no number") is None


@pytest.mark.parametrize("key", ["0", "test", "x" * 400, " padded "])
async def test_own_key_of_a_source_is_found_whatever_it_looks_like(
    open_graph: Graph, key: str
) -> None:
    async with open_graph.database.transaction() as connection:
        customer = await a_customer(connection, name="Ann")
        await an_identifier(connection, customer, "external:shop", key)
    assert await whose(open_graph, "external:shop", key) == "Ann"
    assert await whose(open_graph, "external:shop", f"{key}!") is None
