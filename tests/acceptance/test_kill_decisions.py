"""A decision or a change of rules that is killed outright is there whole, or not at all."""

import asyncio
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from typing import Final

import pytest
from sqlalchemy import Table, text

from cdp import tables
from cdp.database import Database, open_database
from tests.acceptance.databases import Databases
from tests.acceptance.running import ROOT, environment
from tests.cdp.at_once import rows_of
from tests.cdp.crowd import SOURCES, records, tell
from tests.cdp.ingesting import a_source
from tests.cdp.soundness import require_folded, require_nothing_to_move, require_sound

pytestmark = pytest.mark.anyio

RECORDS: Final = 200
MOST_COMMITTED: Final = 3  # before it is killed, so that a slow machine sees kills of work too
MOST_DELAY_SECONDS: Final = 0.3  # several decisions, or half of a change of rules
POLL_SECONDS: Final = 0.02

_OTHERS: Final = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'"
)


async def _start(url: str, role: str, seed: int) -> Process:
    return await create_subprocess_exec(
        *(sys.executable, "-m", "tests.cdp.crowd", role, str(seed), str(RECORDS), "0"),
        cwd=ROOT,
        env=environment(CDP_DATABASE_URL=url),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )


async def _kill_in_the_midst(url: str, role: str, seed: int) -> None:
    """Let it work for a moment, and kill it there."""
    process = await _start(url, role, seed)
    assert process.stdout is not None
    chance = random.Random(seed)
    for _ in range(1 + chance.randint(0, MOST_COMMITTED)):
        assert await process.stdout.readline()
    await asyncio.sleep(chance.uniform(0, MOST_DELAY_SECONDS))
    process.send_signal(signal.SIGKILL)
    _, said = await process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()


async def _settled(database: Database) -> None:
    """Wait until the server has noticed, and taken back what was not committed."""
    while True:
        async with database.transaction() as connection:
            if not await connection.scalar(_OTHERS):
                return
        await asyncio.sleep(POLL_SECONDS)


async def _kill(databases: Databases, role: str, kills: int, table: Table) -> None:
    """Kill it over and over; after each kill all that it had committed is whole."""
    url = await databases.fresh()
    async with open_database(url) as database:
        async with database.transaction() as connection:
            for name in SOURCES:
                await a_source(connection, name)
        await tell(database, records(kills, RECORDS))
        for seed in range(kills):
            await _kill_in_the_midst(url, role, seed)
            await _settled(database)
            async with database.transaction() as connection:
                await require_sound(connection)
                await require_nothing_to_move(connection)
                await require_folded(connection)
        async with database.transaction() as connection:
            assert await rows_of(connection, table), "it was killed before it had done anything"


async def test_decisions_that_are_killed_are_whole_or_not_at_all(databases: Databases) -> None:
    await _kill(databases, "decide", 1, tables.identity_decision)


@pytest.mark.prove
async def test_fifty_kills_of_decisions_leave_each_whole_or_not_at_all(
    databases: Databases,
) -> None:
    await _kill(databases, "decide", 50, tables.identity_decision)


@pytest.mark.prove
async def test_fifty_kills_of_changed_rules_leave_each_whole_or_not_at_all(
    databases: Databases,
) -> None:
    await _kill(databases, "clock", 50, tables.identity_rules)
