"""A sync that is killed outright, over and over, loses nothing and doubles nothing."""

import asyncio
import os
import random
import signal
import sys
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from cdp.database import Database
from cdp.sources import add_source
from cdp.tables import source_profile
from connectors.conformance.bench import BEGIN, FAST
from connectors.conformance.cases import CASES
from connectors.sandbox.server import serving

pytestmark = [pytest.mark.anyio, pytest.mark.prove]

KILLS = 50
PEOPLE = 60_000
LONGEST_LIFE_SECONDS = 2.5  # of a run: from before it connects to well into its pages


async def test_fifty_kills_lose_and_double_nothing(database: Database) -> None:
    case, chance = CASES["shopify"], random.Random(50)
    sandbox = case.sandbox(FAST)
    for number in range(PEOPLE):
        case.put(sandbox, number, f"Person{number}", BEGIN + timedelta(seconds=number))
    async with serving(sandbox.app) as url:
        async with database.transaction() as connection:
            await add_source(connection, "shop", "shopify", {**case.settings, "url": url})
        for _ in range(KILLS):
            run = await _started(database.url)
            await asyncio.sleep(chance.uniform(0.3, LONGEST_LIFE_SECONDS))
            if run.returncode is None:
                run.send_signal(signal.SIGKILL)
            await run.communicate()
        last = await _started(database.url)
        _, said = await last.communicate()
        assert last.returncode == 0, said.decode()
    async with database.read_only() as connection:
        counts = await connection.execute(
            select(func.count(), func.count(source_profile.c.key.distinct()))
        )
    assert counts.one() == (PEOPLE, PEOPLE)


async def _started(url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cdp",
        "sync",
        "shop",
        env={**os.environ, "CDP_DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
