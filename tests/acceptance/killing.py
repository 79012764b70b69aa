"""Kills a command over and over until it has come to its end by itself."""

import asyncio
import random
import signal
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from tests.acceptance.running import Said, finished, start

POLL_SECONDS = 0.005
MOST_PAGES = 3  # that a run may commit before its end
MOST_DELAY_SECONDS = 0.25  # about what a page takes
LONGEST_START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Killed:
    """How a command came to its end: how often it was killed on the way, and its last words."""

    kills: int
    last: Said


async def killed_until_done(
    command: Sequence[str],
    variables: Mapping[str, str],
    database_url: str,
    chance: random.Random,
    kills: int,
) -> Killed:
    """Kill it at most `kills` times, each at a random moment; the run after that is left alone.

    A moment is some pages after the start, and a moment more: so that a slow machine sees kills
    in the midst of the work too, not at the start alone. A run that ends before its moment has
    come to the end of the work.
    """
    watcher = await asyncpg.connect(database_url)
    try:
        for count in range(kills):
            process = await start(*command, **variables)
            ending = asyncio.create_task(finished(process))
            await _moment(watcher, process, chance)
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            said = await ending
            if said.code != -signal.SIGKILL:
                return Killed(count, said)
    finally:
        await watcher.close()
    return Killed(kills, await finished(await start(*command, **variables)))


async def _moment(
    watcher: "asyncpg.Connection[asyncpg.Record]", process: Process, chance: random.Random
) -> None:
    """Wait until it is time to kill, or until the process has ended."""
    pages, before = chance.randint(0, MOST_PAGES), await _committed(watcher)
    end = asyncio.get_running_loop().time() + LONGEST_START_SECONDS
    while pages and process.returncode is None and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(POLL_SECONDS)
        now = await _committed(watcher)
        if now != before:
            pages, before = pages - 1, now
    await asyncio.sleep(chance.uniform(0, MOST_DELAY_SECONDS))


async def _committed(watcher: "asyncpg.Connection[asyncpg.Record]") -> object:
    return await watcher.fetchval("SELECT max(updated_at) FROM checkpoint WHERE cursor IS NOT NULL")
