"""What a decision costs the database: few statements, compiled once, however many segments."""

from collections.abc import Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import driver
from cdp.deciding import Author
from cdp.segments.evaluation import steps_of
from cdp.stewardship import merge_customers, undo
from cdp.values import CustomerId
from tests.cdp.ingesting import WORKSPACE, take
from tests.cdp.segmenting import a_segment, customer_ids, feed, members, without_starters
from tests.cdp.sent import noted

pytestmark = pytest.mark.anyio

AUTHOR = Author("ann", "They wrote to us.")
MOST_STATEMENTS = 60  # of a merge or its undo, savepoints and settings of the planner included


async def _merged_and_undone(connection: AsyncConnection) -> Sequence[list[str]]:
    """The statements of a merge of ann and bob, and those of its undo."""
    who = await customer_ids(connection)
    pair = [CustomerId(who["ann"]), CustomerId(who["bob"])]
    below = await driver(connection)
    async with noted(below, connection) as of_merge:
        effect = await merge_customers(connection, pair, AUTHOR, WORKSPACE)
    (event_id,) = (one.event_id for one in effect.changes)
    assert event_id is not None
    async with noted(below, connection) as of_undo:
        await undo(connection, event_id, AUTHOR, WORKSPACE)
    return of_merge, of_undo


async def _two(connection: AsyncConnection) -> None:
    await without_starters(connection)
    await take(connection, "customers", [{"id": key, "first_name": key} for key in ("ann", "bob")])
    order = {"id": "o", "customer_id": "bob", "placed_at": "2024-01-01T00:00:00Z",
             "currency": "EUR", "total": "10"}  # fmt: skip
    await take(connection, "orders", [order])


async def test_a_decision_sends_few_statements_and_as_many_for_twenty_segments_as_for_one(
    connection: AsyncConnection,
) -> None:
    await _two(connection)
    await a_segment(connection, "Everybody", {})
    await _merged_and_undone(connection)  # the driver asks once for each type of a value
    few = await _merged_and_undone(connection)
    for number in range(20):
        await a_segment(connection, f"Buyers {number}", {"purchases": {"orderCount": {"gte": 1}}})
    many = await _merged_and_undone(connection)
    assert list(map(len, many)) == list(map(len, few))
    assert max(map(len, many)) <= MOST_STATEMENTS
    # Tables that come and go would cost everybody else their plans.
    assert not [one for each in many for one in each if "CREATE" in one or "DROP" in one]


async def test_a_segment_is_compiled_when_it_is_saved_or_changed_and_not_for_each_decision(
    connection: AsyncConnection,
) -> None:
    await _two(connection)
    await a_segment(connection, "Buyers", {"purchases": {"orderCount": {"gte": 1}}})
    await _merged_and_undone(connection)
    before = steps_of.cache_info()
    first = await _merged_and_undone(connection)
    second = await _merged_and_undone(connection)
    assert steps_of.cache_info().misses == before.misses
    assert first == second
    await connection.execute(
        tables.segment.update().values(filter={"purchases": {"orderCount": {"gte": 2}}})
    )
    await _merged_and_undone(connection)
    assert steps_of.cache_info().misses == before.misses + 1


async def test_a_segment_that_names_another_follows_it_within_the_decision(
    connection: AsyncConnection,
) -> None:
    await _two(connection)
    await a_segment(connection, "Buyers", {"purchases": {"orderCount": {"gte": 1}}})
    await a_segment(connection, "Within", {"segments": {"in": ["buyers"]}})
    await a_segment(connection, "Without", {"segments": {"notIn": ["buyers"]}})
    who = await customer_ids(connection)
    ann, bob = CustomerId(who["ann"]), CustomerId(who["bob"])
    effect = await merge_customers(connection, [ann, bob], AUTHOR, WORKSPACE)
    assert await members(connection) == {"buyers": {ann}, "within": {ann}, "without": set()}
    changed = {one.name: one.after for one in effect.traits}
    assert changed["segments"] == ["buyers", "within"]
    (event_id,) = (one.event_id for one in effect.changes)
    assert event_id is not None
    await undo(connection, event_id, AUTHOR, WORKSPACE)
    assert await members(connection) == {"buyers": {bob}, "within": {bob}, "without": {ann}}
    moves = [
        (kind, whose) for slug, kind, whose, _, _ in await feed(connection) if slug == "buyers"
    ]
    assert moves == [("ENTERED", ann), ("ENTERED", bob), ("EXITED", ann)]
