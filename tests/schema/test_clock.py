"""What runs beside the server: facts follow the clock, failures are outlived, the end is clean."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import create_async_engine

from cdp import server, tables
from cdp.database import Database
from cdp.settings import Settings
from tests.cdp.ingesting import take

pytestmark = pytest.mark.anyio

MOST_WAITS = 600
ORDER: Mapping[str, object] = {
    "id": "o1",
    "email": "ann@example.com",
    "placed_at": "2026-01-05T10:00:00Z",
    "currency": "EUR",
    "total": "10",
}


async def order_count(database: Database) -> int | None:
    async with database.read_only() as connection:
        return await connection.scalar(select(tables.customer.c.order_count))


async def a_day_that_is_due(database: Database) -> None:
    """One order that no fact counts yet, of a day whose moment has passed."""
    async with database.transaction() as connection:
        await take(connection, "orders", [ORDER])
        await connection.execute(tables.customer.update().values(order_count=0))
        await connection.execute(
            tables.purchase_day.update().values(order_count=0, next_change_at=func.now())
        )


async def counted(database: Database) -> None:
    """Wait until the facts count the order."""
    for _ in range(MOST_WAITS):
        if await order_count(database) == 1:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("nobody folded what was due")


def settings_of(database: Database) -> Settings:
    return Settings(database.url, Path("unused"), {})


async def test_server_folds_what_time_has_changed(database: Database) -> None:
    await a_day_that_is_due(database)
    assert await order_count(database) == 0
    app = server.create_application(settings_of(database))
    async with app.router.lifespan_context(app):
        await counted(database)


async def test_refresh_outlives_a_failure(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "REFRESH_SECONDS", 0.05)
    await a_day_that_is_due(database)
    async with database.transaction() as connection:
        await connection.exec_driver_sql("ALTER TABLE purchase_day RENAME TO mislaid")
    app = server.create_application(settings_of(database))
    async with app.router.lifespan_context(app):
        for _ in range(MOST_WAITS):
            if "could not be brought up to date" in caplog.text:
                break
            await asyncio.sleep(0.05)
        assert "could not be brought up to date" in caplog.text
        async with database.transaction() as connection:
            await connection.exec_driver_sql("ALTER TABLE mislaid RENAME TO purchase_day")
        await counted(database)


async def test_nothing_of_it_runs_on_when_the_server_has_stopped(database: Database) -> None:
    before = asyncio.all_tasks()
    app = server.create_application(settings_of(database))
    async with app.router.lifespan_context(app):
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before


async def test_lost_database_is_asked_again_without_a_word(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "REFRESH_SECONDS", 0.01)
    asked_often = asyncio.Event()
    asked: list[None] = []

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(None)
        if len(asked) > 10:
            asked_often.set()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        engine = create_async_engine(f"postgresql+asyncpg://nobody@127.0.0.1:{port}/none")
        task = asyncio.create_task(server.follow_the_clock(replace(database, engine=engine), {}))
        async with asyncio.timeout(30):
            await asked_often.wait()
        task.cancel()
        await asyncio.wait([task])
        await engine.dispose()
    assert task.cancelled()
    assert caplog.text == ""
