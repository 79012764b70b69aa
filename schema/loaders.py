"""What statements do not carry: DataLoaders, each named for its row and its key."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection
from strawberry.dataloader import DataLoader

from cdp.database import Database
from cdp.keys import Viewer
from cdp.segments.segment import segment_by_id
from cdp.segments.why import Verdict, why
from cdp.workspace import Workspace
from schema.metrics import STATEMENTS

Reader: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

MAX_BATCH = 250

_DEAD_LETTERS = """
SELECT source_id, count(*) AS waiting FROM dead_letter
WHERE source_id = ANY($1::int[]) AND resolved_at IS NULL GROUP BY source_id
"""


def dead_letter_count_by_source(reader: Reader) -> DataLoader[int, int]:
    """Records of each source that wait to be retried; 0 where there are none."""

    async def load(source_ids: Sequence[int]) -> list[int]:
        STATEMENTS.inc()
        rows = await reader.fetch(_DEAD_LETTERS, source_ids)
        found = {row["source_id"]: row["waiting"] for row in rows}
        return [found.get(source_id, 0) for source_id in source_ids]

    return DataLoader(load_fn=load, max_batch_size=MAX_BATCH)


def verdicts_by_standing(
    database: Database, viewer: Viewer, workspace: Workspace, as_of: datetime
) -> DataLoader[str, list[Verdict]]:
    """Why a customer is in a segment or not; the key is `SEGMENT:CUSTOMER`, two numbers.

    A filter is no part of the statement that is planned before it is read: each is asked by itself,
    in one view of the database.
    """

    async def load(keys: Sequence[str]) -> list[list[Verdict]]:
        async with database.read_only() as connection:
            return [await one(connection, *map(int, key.split(":"))) for key in keys]

    async def one(connection: AsyncConnection, segment_id: int, customer_id: int) -> list[Verdict]:
        STATEMENTS.inc()
        segment = await segment_by_id(connection, segment_id)
        found = await why(connection, segment, customer_id, workspace, as_of)
        return [shown(each) for each in found.verdicts]

    def shown(verdict: Verdict) -> Verdict:
        if viewer.may_see_personal or not verdict.is_personal:
            return verdict
        return replace(verdict, asked=None, holds=None, value=None)

    return DataLoader(load_fn=load, max_batch_size=MAX_BATCH)
