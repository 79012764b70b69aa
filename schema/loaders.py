"""What statements do not carry: DataLoaders, each named for its row and its key."""

from collections.abc import Sequence
from typing import TypeAlias

import asyncpg
from strawberry.dataloader import DataLoader

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
