"""Processes at work on one database at once leave what one after another would have left."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pytest
from sqlalchemy import text

from cdp.database import Database
from tests.acceptance.running import ROOT, environment
from tests.cdp.crowd import SOURCES, TELLERS, records, tell
from tests.cdp.ingesting import a_source, facts_by_members, partition
from tests.cdp.soundness import require_folded, require_nothing_to_move, require_sound

pytestmark = pytest.mark.anyio

STEWARDS: Final = 2
PATIENCE_SECONDS: Final = 600
ROUNDS: Final = 20  # of a proof


@contextmanager
def _at_work(
    url: str, role: str, seed: int, count: int, many: int
) -> Iterator[list["subprocess.Popen[str]"]]:
    """As many processes, which are gone at the end."""
    command = (sys.executable, "-m", "tests.cdp.crowd", role, str(seed), str(count))
    processes = [
        subprocess.Popen(  # noqa: S603 (our own command)
            [*command, str(number)],
            cwd=ROOT,
            env=environment(CDP_DATABASE_URL=url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(many)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _finish(processes: Sequence["subprocess.Popen[str]"]) -> list[str]:
    """Let them come to their end; what each has said."""
    told = []
    for process in processes:
        said, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, errors
        told.append(said)
    return told


async def _add_sources(database: Database) -> None:
    async with database.transaction() as connection:
        for name in SOURCES:
            await a_source(connection, name)


async def _require_no_deadlock(database: Database) -> None:
    """Not even one that would have been tried again: it would have cost somebody a second."""
    async with database.transaction() as connection:
        await connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        found = await connection.scalar(
            text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        )
        assert found == 0


async def _records_alone(
    database: Database, url: str, other: Database, seed: int, count: int
) -> None:
    """The same as one process gives that hears everything once, in order."""
    await _add_sources(database)
    with _at_work(url, "tell", seed, count, TELLERS) as tellers:
        _finish(tellers)
    await _add_sources(other)
    await tell(other, records(seed, count))
    results = []
    for each in (database, other):
        async with each.transaction() as connection:
            await require_sound(connection)
            await require_folded(connection)
            facts = {
                members: (row["order_count"], row["gross_spend"], row["refunded"])
                for members, row in (await facts_by_members(connection)).items()
            }
            results.append((await partition(connection), facts))
    assert results[0] == results[1]
    await _require_no_deadlock(database)


async def _with_people(database: Database, url: str, seed: int, count: int) -> None:
    """While others merge, split, undo, answer, change the rules and fold what is due."""
    await _add_sources(database)
    with (
        _at_work(url, "decide", seed, count, STEWARDS) as stewards,
        _at_work(url, "clock", seed, count, 1) as clock,
        _at_work(url, "tell", seed, count, TELLERS) as tellers,
    ):
        _finish(tellers)
        decided = _finish(stewards)
        _finish(clock)
    assert all(int(said.split()[-1]) > 0 for said in decided)
    async with database.transaction() as connection:
        await require_sound(connection)
        await require_nothing_to_move(connection)
        await require_folded(connection)
    await _require_no_deadlock(database)


@pytest.mark.prove
async def test_four_processes_at_once_give_the_customers_of_one(
    database: Database, database_url: str, second_database: Database
) -> None:
    await _records_alone(database, database_url, second_database, seed=1, count=80)


async def test_processes_that_tell_decide_and_change_rules_at_once_leave_identity_sound(
    database: Database, database_url: str
) -> None:
    await _with_people(database, database_url, seed=2, count=80)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_many_records_told_by_four_processes_give_the_customers_of_one(
    database: Database, database_url: str, second_database: Database, seed: int
) -> None:
    await _records_alone(database, database_url, second_database, seed=100 + seed, count=600)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_many_records_and_decisions_of_processes_at_once_leave_identity_sound(
    database: Database, database_url: str, seed: int
) -> None:
    await _with_people(database, database_url, seed=200 + seed, count=600)
