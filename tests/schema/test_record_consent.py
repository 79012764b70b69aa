"""Consent through the graph: recorded once, refused in the payload, for stewards alone."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select

from cdp import tables
from cdp.database import Database
from cdp.keys import Role, create_key
from tests.cdp.ingesting import take
from tests.schema.client import Graph, Value, serving

pytestmark = pytest.mark.anyio

MUTATION = """mutation ($input: RecordConsentInput!) { done: recordConsent(input: $input) {
  consent { channel purpose status contactPoint source evidence statements { status holds } }
  customer { consents { status } } errors { code path }
} }"""


@pytest.fixture
async def graph(database: Database) -> AsyncIterator[Graph]:
    """Ann, behind a server with a key for each role."""
    keys = {}
    async with database.transaction() as connection:
        await take(
            connection, "customers", [{"id": "1", "first_name": "Ann", "email": "ann@example.com"}]
        )
        for role in Role:
            _, keys[role.value] = await create_key(connection, role, f"desk of {role.value}")
    async with serving(database, keys) as graph:
        yield graph


async def say(graph: Graph, status: str, **more: object) -> Value:
    found = await graph.read("{ customers(first: 1) { nodes { id } } }")
    said = {"channel": "Email", "purpose": "marketing", "status": status, **more}
    said["customerId"] = found["customers"]["nodes"][0]["id"]
    return (await graph.read(MUTATION, "steward", input=said))["done"]


async def test_what_is_said_stands_until_something_later_is_said(graph: Graph) -> None:
    told = {"recordedAt": "2026-01-01T09:00:00Z", "evidence": "Call 17"}
    granted = await say(graph, "GRANTED", contactPoint=" ANN@example.com", **told)
    assert granted["errors"] == []
    assert granted["consent"] == {
        "channel": "email",
        "purpose": "marketing",
        "status": "GRANTED",
        "contactPoint": "ann@example.com",
        "source": "platform",
        "evidence": "Call 17",
        "statements": [{"status": "GRANTED", "holds": True}],
    }
    earlier = await say(graph, "WITHDRAWN", recordedAt="2025-12-01T09:00:00Z")
    assert earlier["consent"]["status"] == "GRANTED"
    later = await say(graph, "WITHDRAWN", recordedAt="2026-02-01T09:00:00Z")
    assert later["consent"]["status"] == "WITHDRAWN"
    assert later["customer"] == {"consents": [{"status": "WITHDRAWN"}]}


async def test_the_same_statement_again_is_one_record_and_tells_the_segments(
    graph: Graph, database: Database
) -> None:
    for _ in range(2):
        await say(graph, "DENIED", recordedAt="2026-01-01T09:00:00Z")
    async with database.read_only() as connection:
        stored = select(func.count()).select_from(tables.consent)
        assert await connection.scalar(stored) == 1
        causes = await connection.scalars(select(tables.touched_customer.c.cause))
        assert "consent" in set(causes)


async def test_a_retry_under_one_key_is_one_statement_and_another_act_is_refused(
    graph: Graph, database: Database
) -> None:
    first, again = [await say(graph, "GRANTED", key="form 17") for _ in range(2)]
    assert first == again
    assert len(again["consent"]["statements"]) == 1
    other = await say(graph, "DENIED", key="form 17")
    assert other["errors"] == [{"code": "KEY_REUSED", "path": ["input", "key"]}]
    async with database.read_only() as connection:
        stored = select(func.count()).select_from(tables.consent)
        assert await connection.scalar(stored) == 1


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"contactPoint": "bob@example.com"}, "contactPoint"),
        ({"contactPoint": "nobody"}, "contactPoint"),
        ({"recordedAt": "2999-01-01T00:00:00Z"}, "recordedAt"),
        ({"purpose": " "}, "purpose"),
    ],
)
async def test_what_cannot_be_recorded_is_told_with_its_place(
    graph: Graph, more: dict[str, object], path: str
) -> None:
    done = await say(graph, "GRANTED", **more)
    assert done["consent"] is None
    assert [(one["code"], one["path"]) for one in done["errors"]] == [
        ("BAD_REQUEST", ["input", path])
    ]


async def test_a_frontend_records_nothing(graph: Graph) -> None:
    given = {"customerId": "x", "channel": "email", "purpose": "marketing", "status": "GRANTED"}
    code, _ = await graph.refusal(MUTATION, "frontend", input=given)
    assert code == "FORBIDDEN"
