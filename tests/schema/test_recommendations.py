"""Recommendations in the graph: what a shop's page shows, and why, in the one statement."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cdp.database import Database
from cdp.keys import Role, create_key
from cdp.recommendations import refresh
from tests.cdp.ingesting import WORKSPACE, take
from tests.schema.business import days_ago
from tests.schema.client import Graph, serving

pytestmark = pytest.mark.anyio

QUERY = """query ($first: Int) { customers(first: 20) { nodes {
    email
    recommendations(first: $first) {
        score computedAt product { sku title category price currency customers }
        because { lift customers boughtAt product { title } } } } } }"""


def an_order(number: int, who: int, sku: str, days: int) -> dict[str, Any]:
    line = {"sku": sku, "title": sku.title(), "quantity": 1, "unit_price": "3"}
    return {
        "id": f"{sku}{number}",
        "email": f"p{who}@example.com",
        "placed_at": days_ago(days),
        "currency": "EUR",
        "total": "3",
        "lines": [line],
    }


@pytest.fixture
async def tea_shop(database: Database) -> AsyncIterator[Graph]:
    """Six buy tea, five of them milk too, ten nails; nobody but the sixth lacks anything."""
    rows = [an_order(n, n, "tea", 40) for n in range(6)]
    rows += [an_order(n, n, "milk", 20) for n in range(5)]
    rows += [an_order(n, n, "nails", 20) for n in range(6, 16)]
    product = {"id": "1", "sku": "milk", "title": "Fresh milk", "price": "1.20", "currency": "EUR"}
    keys = {}
    async with database.transaction() as connection:
        await take(connection, "products", [product])
        await take(connection, "orders", rows)
        await refresh(connection, WORKSPACE)
        for role in (Role.ADMIN, Role.FRONTEND):
            _, keys[role.value] = await create_key(connection, role, role.value)
    async with serving(database, keys) as graph:
        yield graph


async def test_recommendations_tell_what_and_why_in_one_statement(tea_shop: Graph) -> None:
    found = await tea_shop.read(QUERY)
    assert len(tea_shop.reader.statements) == 1
    shown = {
        one["email"]: one["recommendations"]
        for one in found["customers"]["nodes"]
        if one["recommendations"]
    }
    assert list(shown) == ["p5@example.com"]
    (only,) = shown["p5@example.com"]
    assert only["product"] == {
        "sku": "milk",
        "title": "Fresh milk",
        "category": None,
        "price": "1.20",
        "currency": "EUR",
        "customers": 5,
    }
    because = only["because"]
    assert because["product"] == {"title": "Tea"}
    assert because["boughtAt"] == days_ago(40)
    assert (because["customers"], because["lift"]) == (5, pytest.approx(16 / 6))
    assert only["score"] == pytest.approx(16 / 6 * (1 - 5**-0.5))


async def test_role_frontend_reads_recommendations(tea_shop: Graph) -> None:
    found = (await tea_shop.read(QUERY, "frontend", first=1))["customers"]["nodes"]
    assert [one["email"] for one in found] == [None] * 16
    assert [len(one["recommendations"]) for one in found].count(1) == 1
    code, _ = await tea_shop.refusal(QUERY, "frontend", first=1_000)
    assert code == "BAD_REQUEST"
