"""Two who need what the other holds: each such meeting, made to happen, ends well for both."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text

from cdp import tables
from cdp.database import Database
from cdp.deciding import Author
from cdp.delivery import Deleted
from cdp.refresh import refresh_due
from cdp.stewardship import decide, merge_customers
from cdp.values import CustomerId
from cdp.workspace import take_turn
from tests.cdp.at_once import rows_of
from tests.cdp.ingesting import WORKSPACE, Row, a_source, customers, drop, take
from tests.cdp.soundness import require_folded, require_sound

pytestmark = pytest.mark.anyio

AUTHOR = Author("ann", "They wrote to us.")
HOUSEHOLD: Sequence[Row] = (
    {"id": "1", "first_name": "Ann", "last_name": "Doe", "email": "home@example.com"},
    {"id": "2", "first_name": "Bob", "last_name": "Doe", "email": "home@example.com"},
)

PATIENCE_SECONDS = 30  # of a test that would wait for ever
POLL_SECONDS = 0.01

_WAITING = text(
    "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE a.datname = current_database() AND NOT l.granted"
)


async def _until_waiting(database: Database) -> None:
    """Until somebody waits for a lock."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            async with database.read_only() as connection:
                if await connection.scalar(_WAITING):
                    return
            await asyncio.sleep(POLL_SECONDS)


async def _household(database: Database) -> int:
    """Two who share an address; the number of the question whether they are one."""
    async with database.transaction() as connection:
        await take(connection, "customers", HOUSEHOLD)
        review_id = await connection.scalar(select(tables.match_review.c.id))
        assert review_id is not None
        return int(review_id)


async def _decide(database: Database, review_id: int) -> None:
    async with database.transaction() as connection:
        await decide(connection, review_id, AUTHOR, WORKSPACE, same=True)


async def test_who_answers_a_question_waits_for_who_is_changing_it_without_barring_the_way(
    database: Database,
) -> None:
    review_id = await _household(database)
    async with database.transaction() as connection:
        # Holds the address, and comes to the question only with the second batch.
        await take(connection, "customers", [{**HOUSEHOLD[0], "city": "Rome"}])
        answer = asyncio.create_task(_decide(database, review_id))
        await _until_waiting(database)
        await take(connection, "customers", [{**HOUSEHOLD[1], "first_name": "Ann"}])
    await answer
    async with database.transaction() as connection:
        await require_sound(connection)


async def test_the_clock_locks_nobody_while_everybody_is_worked_over(database: Database) -> None:
    await _household(database)
    due = tables.purchase_day
    async with database.transaction() as connection:
        order = {"id": "o1", "customer_id": "1", "placed_at": "2024-01-01T00:00:00Z"}
        await take(connection, "orders", [{**order, "currency": "EUR", "total": "5"}])
        await connection.execute(due.update().values(next_change_at=datetime.now(UTC)))
    async with database.transaction() as connection:
        await take_turn(connection, alone=True)
        clock = asyncio.create_task(refresh_due(database, WORKSPACE))
        await _until_waiting(database)
        locked = await connection.execute(
            select(tables.customer.c.id).with_for_update(skip_locked=True)
        )
        assert len(locked.all()) == 2
    assert await clock == 1


async def test_a_profile_that_is_deleted_while_it_is_merged_is_hidden_where_it_has_come(
    database: Database,
) -> None:
    async with database.transaction() as connection:
        await take(connection, "customers", [{"id": "1"}])
        await take(connection, "customers", [{"id": "2", "first_name": "Bob"}], source="till")
        ids = [CustomerId(row["id"]) for row in await rows_of(connection, tables.customer)]

    async def delete() -> None:
        async with database.transaction() as connection:
            gone = Deleted("customers", "2", datetime.now(UTC))
            await drop(connection, gone, source="till")

    async with database.transaction() as connection:
        await a_source(connection, "till")
        await merge_customers(connection, ids, AUTHOR, WORKSPACE)
        deletion = asyncio.create_task(delete())
        await _until_waiting(database)
    await deletion
    async with database.transaction() as connection:
        (only,) = await customers(connection)
        assert only["first_name"] is None
        await require_folded(connection)
