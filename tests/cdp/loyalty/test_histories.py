"""Whatever happens, in whatever order: no point is lost, none counts twice."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.loyalty.application import apply_programme
from tests.cdp.ingesting import WORKSPACE
from tests.cdp.loyalty.club import START, set_clock
from tests.cdp.loyalty.histories import HISTORIES, PROGRAMME, Event, History

pytestmark = pytest.mark.anyio

SHARDS = 20
PROVED = 10_000

_GENERATED = settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def live_through(connection: AsyncConnection, events: list[Event]) -> None:
    """One history in a savepoint of its own, with every promise checked."""
    await set_clock(connection, START)
    if not (await connection.execute(tables.loyalty_programme.select())).all():
        since = START - timedelta(days=700)
        await apply_programme(connection, PROGRAMME, WORKSPACE, actor="test", starts_at=since)
    savepoint = await connection.begin_nested()
    try:
        history = History(connection)
        await history.run(events)
        await history.check()
        await history.check_again()
    finally:
        await savepoint.rollback()


@_GENERATED
@given(events=HISTORIES)
async def test_every_history_keeps_the_promises_of_the_ledger(
    connection: AsyncConnection, events: list[Event]
) -> None:
    await live_through(connection, events)


@pytest.mark.prove
@pytest.mark.parametrize("shard", range(SHARDS))
@settings(_GENERATED, max_examples=PROVED // SHARDS)
@given(events=HISTORIES)
async def test_ten_thousand_histories_keep_the_promises_of_the_ledger(
    connection: AsyncConnection, shard: int, events: list[Event]
) -> None:
    assert 0 <= shard < SHARDS
    await live_through(connection, events)
