"""`segmentChanges`: every change once, in order, from any cursor, read as a query would read it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from graphql import GraphQLInterfaceType, GraphQLNamedType, GraphQLObjectType, get_named_type
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import Database, open_database
from cdp.keys import Role, create_key
from cdp.segments.definition import delete_segment
from cdp.segments.lists import ById, add_members, remove_members
from cdp.segments.segment import Segment
from schema.edges import Loaded
from schema.feeds import MAX_BATCH
from schema.root import build_schema
from schema.visit import edge_of
from tests.cdp.builders import WORKSPACE, a_customer, days_ago
from tests.cdp.segmenting import a_segment, refreshed, without_starters
from tests.schema.client import Graph, serving
from tests.schema.gate import gated
from tests.schema.ids import gid
from tests.schema.socket import CHANGES, START, Client, connected

pytestmark = pytest.mark.anyio

COUNT: Final = 2 * MAX_BATCH + 3

FEED = """query ($id: ID!, $first: Int, $after: String) { segment(id: $id) {
    changes(first: $first, after: $after) { edges { cursor node {
        cursor kind cause customerId customer { name purchases { orderCount } } } } } } }"""


@pytest.fixture
async def followed(database: Database) -> AsyncIterator[tuple[Graph, int]]:
    """A server with a key of each role, and the number of a list whose feed is two batches long."""
    async with database.transaction() as connection:
        await without_starters(connection)
        segment = await a_segment(connection, "People", None)
        for name in ("Ann Miller", "Bob"):
            await a_customer(connection, name=name)
        await change(connection, segment.id, COUNT)
        keys = {}
        for role in Role:
            _, keys[role.value] = await create_key(connection, role, role.value)
    async with serving(database, keys) as graph:
        yield graph, segment.id


async def change(connection: AsyncConnection, segment_id: int, count: int) -> None:
    """So many more changes: Ann and Bob come and go."""
    rows = [
        {
            "segment_id": segment_id,
            "customer_id": 1 + place % 2,
            "kind": ("ENTERED", "EXITED")[place // 2 % 2],
            "at": days_ago(1),
            "cause": f"cause {place}",
        }
        for place in range(count)
    ]
    await connection.execute(insert(tables.segment_change), rows)


async def let_in(client: Client, graph: Graph, role: str = "admin") -> None:
    """Show the key of a role."""
    await client.init({"Authorization": f"Bearer {graph.keys[role]}"})


async def whole_feed(graph: Graph, segment_id: int, role: str = "admin") -> list[dict[str, Any]]:
    """The feed as a query reads it, page by page."""
    edges: list[dict[str, Any]] = []
    while True:
        after = edges[-1]["cursor"] if edges else None
        given = {"id": gid("Segment", segment_id), "first": 20, "after": after}
        page = (await graph.read(FEED, role, **given))["segment"]["changes"]["edges"]
        if not page:
            break
        edges += page
    assert all(edge["cursor"] == edge["node"]["cursor"] for edge in edges)
    return [edge["node"] for edge in edges]


async def test_whoever_comes_back_with_a_cursor_misses_nothing_and_sees_nothing_twice(
    followed: tuple[Graph, int],
) -> None:
    graph, segment_id = followed
    feed = await whole_feed(graph, segment_id)
    assert len(feed) == COUNT
    people = gid("Segment", segment_id)
    async with connected(graph.app) as client:
        await let_in(client, graph)
        for split in range(1, COUNT):
            name, few = str(split), min(3, COUNT - split)
            client.subscribe(CHANGES, name, id=people, after=feed[split - 1]["cursor"])
            assert await client.changes(few, name) == feed[split : split + few]
            client.say("complete", id=name)
    for split in (1, MAX_BATCH, MAX_BATCH + 1):
        async with connected(graph.app) as client:
            await let_in(client, graph)
            client.subscribe(CHANGES, id=people, after=feed[split - 1]["cursor"])
            assert await client.changes(len(feed) - split) == feed[split:]
            async with graph.database.transaction() as connection:
                await change(connection, segment_id, 1)
            feed += await client.changes(1)
    assert feed == await whole_feed(graph, segment_id)


async def test_without_a_cursor_only_what_comes_is_told(followed: tuple[Graph, int]) -> None:
    graph, segment_id = followed
    async with connected(graph.app) as client, connected(graph.app) as other:
        for each in (client, other):
            await let_in(each, graph)
            each.subscribe(CHANGES, id=gid("Segment", segment_id))
            each.say("ping")  # is answered once the subscription has been taken
            assert await each.hear() == {"type": "pong"}
        await asyncio.sleep(0.5)  # until both have looked where the feed ends
        async with graph.database.transaction() as connection:
            await change(connection, segment_id, 2)
        told = await client.changes(2)
        assert [one["cause"] for one in told] == ["cause 0", "cause 1"]
        assert await other.changes(2) == told
        assert told == (await whole_feed(graph, segment_id))[COUNT:]


async def test_refresh_is_told_as_it_happens(followed: tuple[Graph, int]) -> None:
    graph, _ = followed
    async with graph.database.transaction() as connection:
        segment = await a_segment(connection, "Friends", None)
        await add_members(connection, segment, [ById(1)], WORKSPACE)
    await refreshed(graph.database)
    async with connected(graph.app) as client:
        await let_in(client, graph)
        client.subscribe(CHANGES, id=gid("Segment", segment.id), after=START)
        (entered,) = await client.changes(1)
        assert (entered["kind"], entered["customer"]["name"]) == ("ENTERED", "Ann Miller")
        await swap(graph.database, segment)
        changes = {(one["kind"], one["customer"]["name"]) for one in await client.changes(2)}
        assert changes == {("EXITED", "Ann Miller"), ("ENTERED", "Bob")}


async def swap(database: Database, segment: Segment) -> None:
    """Ann leaves a list, and Bob enters it."""
    async with database.transaction() as connection:
        await remove_members(connection, segment, [ById(1)], WORKSPACE)
        await add_members(connection, segment, [ById(2)], WORKSPACE)
    await refreshed(database)


@pytest.mark.parametrize("role", ["frontend", "analyst", "steward", "admin"])
async def test_role_sees_of_a_change_what_it_sees_in_a_query(
    followed: tuple[Graph, int], role: str
) -> None:
    graph, segment_id = followed
    feed = await whole_feed(graph, segment_id, role)
    async with connected(graph.app) as client:
        await let_in(client, graph, role)
        client.subscribe(CHANGES, id=gid("Segment", segment_id), after=feed[0]["cursor"])
        told = await client.changes(3)
    assert told == feed[1:4]
    assert (told[1]["customer"]["name"] is None) == (role in ("frontend", "analyst"))


async def test_batch_of_changes_is_one_statement_and_the_next_waits_until_it_is_taken(
    followed: tuple[Graph, int],
) -> None:
    graph, segment_id = followed
    feed = await whole_feed(graph, segment_id)
    before = len(graph.reader.statements)
    async with connected(graph.app) as client:
        await let_in(client, graph)
        client.subscribe(CHANGES, id=gid("Segment", segment_id), after=feed[0]["cursor"])
        await client.changes(1)
        await asyncio.sleep(0.3)  # however long nobody takes anything
        assert len(graph.reader.statements) == before + 1
        await client.changes(MAX_BATCH - 1)
        await client.changes(1)
        assert len(graph.reader.statements) == before + 2


async def test_price_of_a_change_is_told_and_bounds_the_batch(followed: tuple[Graph, int]) -> None:
    graph, segment_id = followed
    feed = await whole_feed(graph, segment_id)
    query = """subscription ($id: ID!, $after: String) {
        it: segmentChanges(segmentId: $id, after: $after) {
            kind customer { orders(first: 100) { nodes { total } } } } }"""
    before = len(graph.reader.statements)
    async with connected(graph.app) as client:
        await let_in(client, graph, "frontend")
        client.subscribe(query, id=gid("Segment", segment_id), after=feed[0]["cursor"])
        payload = (await client.hear())["payload"]
        assert payload["data"]["it"] == {"kind": "ENTERED", "customer": {"orders": {"nodes": []}}}
        cost = payload["extensions"]["cost"]
        assert cost["requested"] == cost["actual"] > 100
        assert cost["limit"] == 1_000
        for _ in range(1_000 // cost["requested"]):
            await client.hear()
        assert len(graph.reader.statements) == before + 2


def test_no_change_leads_to_what_a_statement_lacks() -> None:
    schema = build_schema()._schema  # noqa: SLF001  Strawberry has no public name for it
    seen: set[str] = set()
    rest: list[GraphQLNamedType] = [schema.type_map["SegmentChange"]]
    while rest:
        type_ = rest.pop()
        if type_.name in seen:
            continue
        seen.add(type_.name)
        if isinstance(type_, GraphQLInterfaceType):
            rest += schema.get_possible_types(type_)
        elif isinstance(type_, GraphQLObjectType):
            rest += [get_named_type(each.type) for each in type_.fields.values()]
            loaded = [n for n, each in type_.fields.items() if isinstance(edge_of(each), Loaded)]
            assert not loaded, type_.name
    assert {"Customer", "Order", "TimelineEntry", "LoyaltyMovement"} <= seen


DEAR: Final = " ".join(f"{name}: orders(first: 1000) {{ nodes {{ id }} }}" for name in "abcdefghij")

REFUSED: Final = [
    ("subscription { segmentChanges(segmentId: 3) { kind } }", "BAD_REQUEST", "is not an id"),
    (
        f'subscription {{ segmentChanges(segmentId: "{gid("Customer", 1)}") {{ kind }} }}',
        "BAD_REQUEST",
        "of another type",
    ),
    (
        f'subscription {{ segmentChanges(segmentId: "{gid("Segment", 999)}") {{ kind }} }}',
        "NOT_FOUND",
        "no segment",
    ),
    ("subscription ($id: ID!) { segmentChanges(segmentId: $id) { colour } }", "BAD_REQUEST", "col"),
    ("subscription ($id: ID!) { segmentChanges(segmentId: $id) ", "BAD_REQUEST", "Syntax"),
    (
        "subscription ($id: ID!) { segmentChanges(segmentId: $id) { kind } __typename }",
        "BAD_REQUEST",
        "one top level field",
    ),
    (
        "subscription ($id: ID!) { segmentChanges(segmentId: $id) @skip(if: true) { kind } }",
        "BAD_REQUEST",
        "",
    ),
    ("query ($id: ID!) { segment(id: $id) { slug } }", "BAD_REQUEST", "by POST"),
    ("subscription ($x: Int!) { segmentChanges(segmentId: $x) { kind } }", "BAD_REQUEST", ""),
    (
        "subscription ($id: ID!) { segmentChanges(segmentId: $id) { segment"
        + " { changes { nodes { segment" * 4
        + " { slug }"
        + " } } }" * 4
        + " } }",
        "BAD_REQUEST",
        "levels",
    ),
    (
        f"subscription ($id: ID!) {{ segmentChanges(segmentId: $id) {{ customer {{ {DEAR} }} }} }}",
        "COST_LIMIT",
        "costs",
    ),
]


@pytest.mark.parametrize(("query", "code", "word"), REFUSED)
async def test_what_cannot_be_told_is_refused_before_anything_is(
    followed: tuple[Graph, int], query: str, code: str, word: str
) -> None:
    graph, segment_id = followed
    async with connected(graph.app) as client:
        await let_in(client, graph)
        client.subscribe(query, id=gid("Segment", segment_id))
        found, message = await client.refusal()
        assert (found, word in message) == (code, True), message
        # It is over: the name is free, and the socket as good as before.
        client.subscribe(CHANGES, id=gid("Segment", segment_id), after="bm9uZQ==")
        found, message = await client.refusal()
        assert (found, "cursor" in message) == ("BAD_REQUEST", True)


async def test_role_that_reads_no_customers_subscribes_to_nothing(
    followed: tuple[Graph, int],
) -> None:
    graph, segment_id = followed
    async with connected(graph.app) as client:
        await let_in(client, graph, "connector")
        client.subscribe(CHANGES, id=gid("Segment", segment_id))
        assert (await client.refusal())[0] == "FORBIDDEN"


async def test_subscription_ends_when_the_segment_is_deleted(followed: tuple[Graph, int]) -> None:
    graph, segment_id = followed
    async with connected(graph.app) as client:
        await let_in(client, graph)
        feed = await whole_feed(graph, segment_id)
        client.subscribe(CHANGES, id=gid("Segment", segment_id), after=feed[-2]["cursor"])
        assert await client.changes(1) == feed[-1:]
        async with graph.database.transaction() as connection:
            await delete_segment(connection, "people", WORKSPACE)
        assert (await client.refusal())[0] == "NOT_FOUND"
        client.subscribe(CHANGES, id=gid("Segment", segment_id), after=feed[0]["cursor"])
        assert (await client.refusal())[0] == "NOT_FOUND"


async def test_subscription_by_post_is_refused_in_one_sentence(followed: tuple[Graph, int]) -> None:
    graph, segment_id = followed
    code, message = await graph.refusal(CHANGES, id=gid("Segment", segment_id))
    assert code == "BAD_REQUEST"
    assert "graphql-transport-ws" in message


async def test_subscription_outlives_the_database(followed: tuple[Graph, int]) -> None:
    graph, segment_id = followed
    feed = await whole_feed(graph, segment_id)
    async with (
        gated(graph.database.url) as gate,
        open_database(gate.url) as behind,
        serving(behind, graph.keys) as other,
        connected(other.app) as client,
    ):
        await let_in(client, graph)
        client.subscribe(CHANGES, id=gid("Segment", segment_id), after=feed[-2]["cursor"])
        assert await client.changes(1) == feed[-1:]
        gate.close()
        client.subscribe(CHANGES, name="2", id=gid("Segment", segment_id))
        assert (await client.refusal("2"))[0] == "UNAVAILABLE"
        async with graph.database.transaction() as connection:
            await change(connection, segment_id, 1)
        await asyncio.sleep(1.5)  # the feed is looked at, in vain
        await gate.open()
        assert (await client.changes(1))[0]["cause"] == "cause 0"
