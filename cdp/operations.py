"""What whoever runs the platform watches: how old each source is, and what waits to be done."""

from dataclasses import dataclass

from sqlalchemy import Float, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.sources import source_states
from cdp.tables import dead_letter, source, touched_customer


@dataclass(frozen=True, slots=True)
class SourceAge:
    """A source, and the seconds since a run began that read it to its end; null before any did."""

    name: str
    connector: str
    age_seconds: float | None
    is_failed: bool


@dataclass(frozen=True, slots=True)
class Operations:
    """What stands now.

    `dead_letters` counts the open ones by source, of sources that have any. `outbox_rows` are what
    waits for segments and scores to follow, and `outbox_age_seconds` how long the first has; 0.
    """

    sources: tuple[SourceAge, ...]
    dead_letters: dict[str, int]
    outbox_rows: int
    outbox_age_seconds: float


async def read_operations(connection: AsyncConnection) -> Operations:
    """How it stands, by three statements; they read the open dead letters and the outbox."""
    now = (await connection.execute(select(func.now()))).scalar_one()
    states = await source_states(connection)
    letters = await connection.execute(
        select(source.c.name, func.count())
        .join_from(dead_letter, source)
        .where(dead_letter.c.resolved_at.is_(None))
        .group_by(source.c.name)
    )
    touched = touched_customer.c
    oldest = func.extract("epoch", func.now() - func.min(touched.due_at))
    waiting = await connection.execute(
        select(func.count(), func.coalesce(cast(oldest, Float), 0.0)).where(
            touched.due_at <= func.now()
        )
    )
    rows, age = waiting.one()
    return Operations(
        tuple(
            SourceAge(one.name, one.connector, one.lag_seconds(now), one.state == "failed")
            for one in states
        ),
        {row.name: row[1] for row in letters},
        rows,
        age,
    )
