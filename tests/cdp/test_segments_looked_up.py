"""What segments ask of records, looked up for some customers: the same answers, in one reading."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import outbox, tables
from cdp.database import driver
from cdp.related import memberships
from cdp.segments.evaluation import known, steps_of
from cdp.segments.preview import preview
from cdp.segments.refresh import refresh_step, take_turn
from cdp.segments.segment import list_segments
from cdp.traits.lookups import MOST_ANSWERS, LookUps
from cdp.values import CustomerId
from tests.cdp.ingesting import WORKSPACE, take
from tests.cdp.segmenting import (
    Stage,
    a_segment,
    customer_ids,
    feed,
    members,
    refreshed,
    without_starters,
)
from tests.cdp.sent import noted
from tests.cdp.test_segments import NOW, ago, an_order

pytestmark = pytest.mark.anyio

LATELY = {"placedAt": {"withinLast": "P30D"}}
YESTERDAY = (NOW - timedelta(days=1)).isoformat()
TEA = {"lines": {"some": {"category": {"eq": "Tea"}}}}

ASKED: dict[str, object] = {
    "lately": {"orders": {"some": LATELY}},
    "lately, above": {"orders": {"some": {"total": {"gte": 30}, **LATELY}}},
    "of some months": {"orders": {"some": {"placedAt": {"between": [ago(100), ago(10)]}}}},
    "after": {"orders": {"some": {"placedAt": {"after": YESTERDAY}}}},
    "long ago": {"orders": {"some": {"placedAt": {"olderThan": "P60D"}}}},
    "one of two": {"orders": {"some": {"or": [LATELY, {"total": {"gte": 80}}]}}},
    "both": {"orders": {"some": {"and": [{"channel": {"eq": "web"}}, LATELY]}}},
    "not of the web": {"orders": {"some": {"not": {"channel": {"eq": "web"}}, **LATELY}}},
    "none lately": {"orders": {"none": LATELY}},
    "every lately": {"orders": {"every": LATELY}},
    "two lately": {"orders": {"count": {"where": LATELY, "gte": 2}}},
    "at most one lately": {"orders": {"count": {"where": LATELY, "lte": 1}}},
    "two ever": {"orders": {"count": {"gte": 2}}},
    "tea lately": {"orders": {"some": {**TEA, **LATELY}}},
    "tea ever": {"orders": {"some": TEA}},
    "no tea lately": {"not": {"orders": {"some": {**TEA, **LATELY}}}},
    "read lately": {"messages": {"some": {"occurredAt": {"withinLast": "P7D"}}}},
    "did not read": {"messages": {"none": {"kind": {"eq": "opened"}}}},
    "new": {"lifecycle": {"stage": {"eq": "NEW"}}},
    "not new": {"lifecycle": {"stage": {"ne": "NEW"}}},
    "new, or of tea": {"or": [{"lifecycle": {"stage": {"eq": "NEW"}}}, {"orders": {"some": TEA}}]},
    "hibernating": {"rfm": {"group": {"in": ["HIBERNATING", "PROSPECT"]}}},
    "in one": {"segments": {"in": ["lately", "two-ever"]}},
    "in none": {"segments": {"notIn": ["lately", "two-ever"]}},
    "in one of those": {"segments": {"in": ["in-none", "read-lately"]}},
}


async def shoppers(stage: Stage) -> dict[str, int]:
    """Of different habits; one of them never did anything, and one has two accounts."""
    async with stage.transaction() as connection:
        await without_starters(connection)
        people = [{"id": one, "email": f"{one}@example.com"} for one in ("ann", "bo", "cy", "dee")]
        await take(connection, "customers", [*people, {"id": "ann2", "email": "ann@example.com"}])
        await take(
            connection,
            "orders",
            [
                an_order("o1", "ann", 40, channel="web"),
                an_order("o2", "ann2", 20, channel="web", total="50"),
                an_order("o3", "ann", 0.5, channel="store"),
                an_order("o4", "bo", 200, total="90"),
                an_order("o5", "cy", 12, status="cancelled", channel="web"),
                an_order("o6", "cy", 11),
            ],
        )
        await take(
            connection,
            "order_lines",
            [
                {
                    "order_id": order,
                    "line": "1",
                    "category": category,
                    "quantity": "1",
                    "unit_price": "10",
                }
                for order, category in (("o2", "Tea"), ("o4", "Tea"), ("o6", "Toys"))
            ],
        )
        await take(
            connection,
            "messages",
            [
                {
                    "id": f"m{days}",
                    "customer_id": customer,
                    "channel": "email",
                    "kind": "opened",
                    "occurred_at": ago(days),
                }
                for customer, days in (("bo", 2), ("cy", 50))
            ],
        )
        return dict(await customer_ids(connection))


async def test_whom_a_batch_touched_are_judged_as_everybody_is(stage: Stage) -> None:
    ids = await shoppers(stage)
    async with stage.transaction() as connection:
        for name, filter_ in ASKED.items():
            await a_segment(connection, name, filter_)
    await refreshed(stage)
    async with stage.transaction() as connection:
        before, told = await members(connection), len(await feed(connection))
        everybody = {CustomerId(one) for one in ids.values()}
        for slug, filter_ in zip(sorted(before), map(ASKED.get, _by_slug(before)), strict=True):
            found = await preview(connection, filter_, WORKSPACE, NOW, may_see_personal=True)
            assert before[slug] == set(found.sample), slug
        assert any(before.values())
        assert all(len(each) < len(everybody) for each in before.values())
        await outbox.note(connection, everybody, "ingest")
    again = await refreshed(stage)
    async with stage.transaction() as connection:
        assert await members(connection) == before
        assert len(await feed(connection)) == told
    assert (again.touched, again.whole) == (len(everybody), 0)


def _by_slug(slugs: dict[str, set[int]]) -> list[str]:
    """The names of segments, in the order of their slugs."""
    names = {name.replace(",", "").replace(" ", "-"): name for name in ASKED}
    return [names[slug] for slug in sorted(slugs)]


async def test_segments_that_look_back_read_a_customers_orders_once(
    connection: AsyncConnection,
) -> None:
    await shoppers(Stage(connection))
    for days in range(1, 6):
        lately = {"placedAt": {"withinLast": f"P{days}D"}}
        await a_segment(connection, f"Some {days}", {"orders": {"some": lately}})
        await a_segment(
            connection, f"Many {days}", {"orders": {"count": {"where": lately, "gte": 2}}}
        )
    steps = steps_of(known(await list_segments(connection)), WORKSPACE, of_touched_now=True)
    (statement,) = steps.statements
    assert statement.text.count("FROM sales_order") == 1
    assert statement.text.count("FROM segment_membership") == 1


async def test_everybodys_orders_are_read_once_however_far_segments_look_back(
    connection: AsyncConnection,
) -> None:
    await shoppers(Stage(connection))
    for name in ("lately", "two lately", "long ago", "two ever", "every lately"):
        await a_segment(connection, name, ASKED[name])
    async with noted(await driver(connection), connection) as sent:
        await refresh_step(connection, WORKSPACE, await take_turn(connection))
    (told,) = (one for one in sent if "INSERT INTO segment_change" in one)
    assert told.count("FROM sales_order") == 1


async def test_a_stage_of_life_is_worked_out_once_for_all_segments(
    connection: AsyncConnection,
) -> None:
    await shoppers(Stage(connection))
    for name in ("new", "not new", "new, or of tea"):
        await a_segment(connection, name, ASKED[name])
    steps = steps_of(known(await list_segments(connection)), WORKSPACE, of_touched_now=True)
    (statement,) = steps.statements
    assert "lifecycle_stage = " in statement.text
    assert statement.text.count("WHEN (scored_customer.order_count = ") == 2  # no order; one order


async def test_segments_that_name_others_read_memberships_once(connection: AsyncConnection) -> None:
    await shoppers(Stage(connection))
    await a_segment(connection, "Lately", ASKED["lately"])
    for number in range(10):
        await a_segment(connection, f"Of them {number}", {"segments": {"in": ["lately"]}})
    await refreshed(Stage(connection))
    await outbox.note(connection, [CustomerId(1)], "ingest")
    async with noted(await driver(connection), connection) as sent:
        while await refresh_step(connection, WORKSPACE, await take_turn(connection)):
            pass
    told = [one for one in sent if "INSERT INTO segment_change" in one]
    assert [one.count("FROM segment_membership") for one in told] == [1, 1]


async def test_more_answers_than_a_row_holds_are_read_twice(connection: AsyncConnection) -> None:
    told = tables.customer
    lookups = LookUps(told)
    rows = lookups.rows(memberships(told))
    asked = [lookups.ask(rows, func.count()) for _ in range(MOST_ANSWERS + 1)]
    joined = lookups.joined_to(told, told.c.id, asked)
    await shoppers(Stage(connection))
    answers = (await connection.execute(select(*asked[-2:]).select_from(joined))).all()
    assert str(joined).count("FROM segment_membership") == 2
    assert [tuple(row) for row in answers] == [(0, 0)] * 4


@pytest.fixture
def stage(connection: AsyncConnection) -> Stage:
    """For what needs no commit."""
    return Stage(connection)
