"""Who changes: everybody clustered anew under the rules in force, and compared with the map."""

import asyncio
from typing import TypeAlias

import asyncpg
import numpy as np

from cdp.identity import due
from cdp.identity.census.clustering import count
from cdp.identity.census.columns import Integers
from cdp.identity.census.reading import read_census
from cdp.identity.ledger import questions_otherwise
from cdp.identity.rules import read_rules
from cdp.values import ProfileId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def who_changes(driver: Driver) -> list[list[ProfileId]]:
    """The source profiles whose customer is another now, and those of whom is asked otherwise.

    In steps: whom any evidence ties together is in one of them, however many they are, for each
    step would resolve all of these anew. Nothing is written; everything is read and held in memory.
    The connection should have one view of the data from start to end (`Database.read_only`).
    """
    rules = await read_rules(driver)
    census, people = await read_census(driver, rules)
    counted = await asyncio.to_thread(count, census, rules)
    moved = census.profile_ids[counted.customer != people["customer_id"].to_numpy()]
    asked = np.array(sorted(await questions_otherwise(driver, counted.reviews)), np.int64)
    who = np.union1d(moved, asked[np.isin(asked, census.profile_ids)])
    return _in_steps(who, counted.part[census.places_of(who)])


def _in_steps(who: Integers, part: Integers) -> list[list[ProfileId]]:
    """Whole parts, until they are STEP people or more."""
    order = np.argsort(part, kind="stable")
    ids = [ProfileId(one) for one in who[order].tolist()]
    steps: list[list[ProfileId]] = []
    start = 0
    for end in [*(np.flatnonzero(np.diff(part[order])) + 1).tolist(), len(ids)]:
        if end - start >= due.STEP or end == len(ids) > start:
            steps.append(ids[start:end])
            start = end
    return steps
