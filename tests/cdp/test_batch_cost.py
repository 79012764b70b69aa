"""What a batch of one record costs the database: how many statements are sent for it."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from sqlalchemy import literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.customers import refresh_activity, refresh_facts
from cdp.database import by_index, driver, planned_once
from cdp.tables import customer
from tests.cdp.ingesting import WORKSPACE, take
from tests.cdp.sent import noted

pytestmark = pytest.mark.anyio

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ANN = {"first_name": "Ann", "last_name": "Lee", "email": "ann@example.com"}


async def _sent_for(connection: AsyncConnection, row: Mapping[str, object]) -> int:
    async with noted(await driver(connection), connection) as sent:
        await take(connection, "customers", [row])
    return len(sent)


async def test_a_record_of_somebody_new_or_known_takes_few_statements(
    connection: AsyncConnection,
) -> None:
    # The first of each sort pays for what the driver asks once.
    await take(connection, "customers", [{"id": "0", **ANN}])
    await take(connection, "customers", [{"id": "1", **ANN}])
    stranger = await _sent_for(connection, {"id": "2", "email": "bob@example.com"})
    known = await _sent_for(connection, {"id": "3", **ANN})
    assert stranger <= 18
    assert known <= 26


async def test_a_stretch_of_index_walks_within_another_sends_nothing(
    connection: AsyncConnection,
) -> None:
    below = await driver(connection)
    walks = (planned_once(below), by_index(below), by_index(below))
    async with noted(below, connection) as sent, walks[0], walks[1], walks[2]:
        assert await below.fetchval("SHOW enable_seqscan") == "off"
        assert await below.fetchval("SHOW plan_cache_mode") == "force_generic_plan"
    settings = [one for one in sent if one.startswith("SET")]
    assert len(settings) == 4
    assert await below.fetchval("SHOW enable_seqscan") == "on"
    assert await below.fetchval("SHOW plan_cache_mode") == "auto"


async def test_a_stretch_that_failed_stands_in_nobodys_way(connection: AsyncConnection) -> None:
    below = await driver(connection)
    with pytest.raises(LookupError):
        async with below.transaction(), by_index(below):
            raise LookupError
    assert await below.fetchval("SHOW enable_seqscan") == "on"
    async with by_index(below):
        assert await below.fetchval("SHOW enable_seqscan") == "off"


async def test_a_row_that_stays_as_it_is_is_not_written_again(connection: AsyncConnection) -> None:
    await take(connection, "customers", [{"id": "0", **ANN}])
    (customer_id,) = await connection.scalars(select(customer.c.id))
    place = select(literal_column("ctid::text"), customer.c.updated_at)
    before = (await connection.execute(place)).one()
    await refresh_facts(connection, [customer_id], WORKSPACE)
    await refresh_activity(connection, [customer_id], WORKSPACE)
    assert (await connection.execute(place)).one() == before
    # In another transaction the moment of the fold is another.
    await connection.execute(customer.update().values(updated_at=LONG_AGO))
    await refresh_facts(connection, [customer_id], WORKSPACE)
    assert (await connection.execute(place)).one().updated_at == before.updated_at
