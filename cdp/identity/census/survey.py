"""Who changes: everybody clustered anew under the rules in force, and compared with the map."""

import asyncio
from typing import TypeAlias

import asyncpg
import numpy as np

from cdp.identity.census.clustering import count
from cdp.identity.census.reading import read_census
from cdp.identity.ledger import questions_otherwise
from cdp.identity.rules import read_rules
from cdp.values import ProfileId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def who_changes(driver: Driver) -> list[ProfileId]:
    """The source profiles whose customer is another now, and those of whom is asked otherwise.

    In the order of their customers, so that those of one are resolved together. Nothing is
    written; everything is read and held in memory. The connection should have one view of the data
    from start to end (`Database.read_only`).
    """
    rules = await read_rules(driver)
    census, people = await read_census(driver, rules)
    counted = await asyncio.to_thread(count, census, rules)
    moved = census.profile_ids[counted.customer != people["customer_id"].to_numpy()]
    asked = np.array(sorted(await questions_otherwise(driver, counted.reviews)), np.int64)
    who = np.union1d(moved, asked[np.isin(asked, census.profile_ids)])
    in_order = who[np.argsort(counted.customer[census.places_of(who)], kind="stable")]
    return [ProfileId(one) for one in in_order.tolist()]
