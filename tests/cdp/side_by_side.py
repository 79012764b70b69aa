"""Generated histories lived through side by side in one database: what one costs is shared.

Each has people of its own, who have nothing in common with those of the others; what is the same
for all in a database, such as the rules in force or the clock, is the world that they share. A step
of all is one batch, and what must hold is looked for in all of them at once. Where it does not,
each is lived through again alone, and Hypothesis makes the first that fails as small as it can.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final, Generic, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.segments.refresh import REFRESH_LOCK

BESIDE: Final = 100  # histories in a database at once: their number has two digits
ALONE: Final = 100  # of so many one has the database to itself, where nobody else has any ties
SLICE_COUNT: Final = 12  # that are tried whenever tests run
FULL_COUNT: Final = 10_000
PARTS: Final = 20  # of the full count: each is a test of its own, for several processes to share

History = TypeVar("History")
World = TypeVar("World")
Drawn = TypeVar("Drawn")


@dataclass(frozen=True, slots=True)
class Claim(Generic[History, World]):
    """What must hold of every history.

    `live` lives through several, each known by its place, in one world, and fails where anything
    does not hold of one of them. What it writes is rolled back. `follows_segments`: decisions bring
    scores and segments up to date; otherwise a refresh is under way, and they leave it to that.
    """

    histories: st.SearchStrategy[History]
    worlds: st.SearchStrategy[World]
    live: Callable[[AsyncConnection, Sequence[History], World], Awaitable[None]]
    follows_segments: bool = False


in_parts: Final = pytest.mark.parametrize("part", range(PARTS))


async def try_slice(connection: AsyncConnection, claim: Claim[History, World]) -> None:
    """As many histories as are tried whenever tests run."""
    await _try(connection, claim, SLICE_COUNT)


async def prove(
    connection: AsyncConnection, claim: Claim[History, World], part: int, count: int = FULL_COUNT
) -> None:
    """One part of so many histories, by chance others each time."""
    assert part < PARTS
    await _try(connection, claim, count // PARTS)


async def count_rows(connection: AsyncConnection) -> None:
    """Let the planner know how many rows there are: within a transaction nobody else tells it."""
    names = ", ".join(tables.metadata.tables)
    await connection.exec_driver_sql(f"ANALYZE {names}")


async def _try(connection: AsyncConnection, claim: Claim[History, World], count: int) -> None:
    chance = secrets.randbits(32)
    histories = _drawn(claim.histories, count, chance)
    assert len(histories) == count
    cuts = _cuts(count)
    worlds = cycle(_drawn(claim.worlds, len(cuts), chance))
    async with connection.engine.connect() as refresher:
        if not claim.follows_segments:
            await refresher.exec_driver_sql(f"SELECT pg_advisory_xact_lock({REFRESH_LOCK})")
        for several, world in zip(cuts, worlds, strict=False):
            try:
                await claim.live(connection, [histories[one] for one in several], world)
            except Exception:
                await connection.rollback()
                await _try_alone(connection, claim, world, several, chance)
                raise
            await connection.rollback()


def _cuts(count: int) -> list[range]:
    """Which histories share a database: as many as can, but for the last few."""
    shared = count - count // ALONE
    alone = [range(one, one + 1) for one in range(shared, count)]
    return [*(range(n, min(n + BESIDE, shared)) for n in range(0, shared, BESIDE)), *alone]


def _settings(count: int, *phases: Phase) -> settings:
    return settings(
        max_examples=count,
        phases=phases,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


def _drawn(strategy: st.SearchStrategy[Drawn], count: int, chance: int) -> list[Drawn]:
    """So many of them, or all that there are; the same ones for the same number."""
    drawn: list[Drawn] = []

    @seed(chance)
    @_settings(count, Phase.generate)
    @given(one=strategy)
    def draw(one: Drawn) -> None:
        drawn.append(one)

    draw()
    return drawn


async def _try_alone(
    connection: AsyncConnection,
    claim: Claim[History, World],
    world: World,
    several: range,
    chance: int,
) -> None:
    """Live through each of them by itself, and fail with the smallest that does not hold.

    Silent where all of them hold by themselves: then they are to blame together.
    """
    loop, drawn = asyncio.get_running_loop(), 0

    async def live(one: History) -> None:
        try:
            await claim.live(connection, [one], world)
        finally:
            await connection.rollback()

    @seed(chance)
    @_settings(several.stop, Phase.generate, Phase.shrink)
    @given(one=claim.histories)
    def holds(one: History) -> None:
        nonlocal drawn
        drawn += 1
        if drawn > several.start:
            asyncio.run_coroutine_threadsafe(live(one), loop).result()

    try:
        await asyncio.to_thread(holds)
    except BaseException as wrong:
        wrong.add_note(f"In the world {world!r}")
        raise
