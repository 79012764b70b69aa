"""The stage of a customer, and when it began: one definition, told by two traits."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.query import present
from cdp.tables import LifecycleStage as Stage
from cdp.traits.lifecycle import stage, stage_since
from tests.cdp.builders import a_customer
from tests.cdp.ingesting import WORKSPACE

pytestmark = pytest.mark.anyio

BERLIN = ZoneInfo("Europe/Berlin")
LAST = datetime(2026, 1, 10, 23, 30, tzinfo=UTC)  # the eleventh in Berlin
SILENT = (Stage.AT_RISK, Stage.LAPSED, Stage.LOST)


async def a_buyer(connection: AsyncConnection, days: int, span: int, orders: int) -> int:
    """Who bought on so many days, from `span` days before LAST until LAST."""
    last_on = LAST.astimezone(BERLIN).date()
    return await a_customer(
        connection,
        order_count=orders,
        order_day_count=days,
        first_order_at=LAST - timedelta(days=span),
        first_order_on=last_on - timedelta(days=span),
        last_order_at=LAST,
        last_order_on=last_on,
    )


async def told(connection: AsyncConnection, as_of: datetime) -> Sequence[tuple[int, Stage, Any]]:
    scope = present(as_of, WORKSPACE)
    rows = await connection.execute(
        select(scope.customer.c.id, stage(scope), stage_since(scope)).order_by(scope.customer.c.id)
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def stages(connection: AsyncConnection, as_of: datetime) -> dict[int, Stage]:
    return {one: found for one, found, _ in await told(connection, as_of)}


async def test_a_silent_stage_begins_at_the_moment_it_is_dated(connection: AsyncConnection) -> None:
    """Just before that moment it was another, at the moment it is this one; whatever the rhythm."""
    for days, span, orders in ((1, 0, 1), (2, 3, 2), (3, 91, 5), (6, 152, 6), (2, 800, 2)):
        await a_buyer(connection, days, span, orders)
    seen = set()
    for days in range(0, 1500, 60):
        for one, found, since in await told(connection, LAST + timedelta(days=days)):
            if found not in SILENT:
                assert since == LAST
                continue
            seen.add(found)
            assert since.astimezone(BERLIN).time() == datetime.min.time()
            assert (await stages(connection, since))[one] is found
            before = (await stages(connection, since - timedelta(microseconds=1)))[one]
            assert before is not found
    assert seen == set(SILENT)


async def test_stages_follow_each_other_by_the_published_numbers(
    connection: AsyncConnection,
) -> None:
    """One order, so a rhythm of 90 days: silent for 135, 225 and 360 days at most."""
    one = await a_buyer(connection, 1, 0, 1)
    day = datetime(2026, 1, 11, tzinfo=BERLIN)
    for after, found, since in (
        (135, Stage.NEW, None),
        (136, Stage.AT_RISK, 136),
        (225, Stage.AT_RISK, 136),
        (226, Stage.LAPSED, 226),
        (361, Stage.LOST, 361),
    ):
        begun = LAST if since is None else day + timedelta(days=since)
        assert await told(connection, day + timedelta(days=after)) == [(one, found, begun)]


async def test_a_prospect_has_no_date(connection: AsyncConnection) -> None:
    prospect = await a_customer(connection)
    assert await told(connection, LAST) == [(prospect, Stage.PROSPECT, None)]
