"""Shared by tests of what things cost the database: the messages that are sent, in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncpg.connection import LoggedQuery
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.statements import Driver


@asynccontextmanager
async def noted(driver: Driver, connection: AsyncConnection) -> AsyncIterator[list[str]]:
    """The statements that are sent meanwhile, by SQLAlchemy or past it; a COPY is none."""
    sent: list[str] = []

    def note(text: str) -> None:
        # Their names have numbers.
        sent.append("SAVEPOINT" if "_savepoint_" in text else text)

    def by_alchemy(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        note(statement)

    def by_driver(query: LoggedQuery) -> None:
        note(query.query)

    event.listen(connection.sync_connection, "before_cursor_execute", by_alchemy)
    with driver.query_logger(by_driver):
        yield sent
        await asyncio.sleep(0)  # the driver tells of its last statement in the loop's next turn
    event.remove(connection.sync_connection, "before_cursor_execute", by_alchemy)
