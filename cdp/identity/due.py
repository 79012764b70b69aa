"""Who is still to be resolved anew: written down with the reason, so that a crash loses nobody."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import asyncpg

from cdp.values import ProfileId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

STEP: Final = 500
"""Source profiles of one step: whoever writes meanwhile waits for one step, not for all.

More of them where more hang together: those are resolved together in any case."""


@dataclass(frozen=True, slots=True)
class Due:
    """One step: who is to be resolved anew, and why; of a survey it is not known yet who."""

    profile_ids: Sequence[ProfileId]
    actor: str
    reason: str


async def note_everybody(driver: Driver, *, actor: str, reason: str) -> None:
    """Everybody is due: who changes is found out by a survey, in place of whatever was due."""
    await forget(driver)
    insert = "INSERT INTO resolution_due (actor, reason) VALUES ($1, $2)"
    await driver.execute(insert, actor, reason)


def in_steps(profile_ids: Sequence[ProfileId]) -> list[Sequence[ProfileId]]:
    """Of some, of whom it is not known who hangs together."""
    return [profile_ids[start : start + STEP] for start in range(0, len(profile_ids), STEP)]


async def note(
    driver: Driver, steps: Iterable[Sequence[ProfileId]], *, actor: str, reason: str
) -> None:
    """These are due, step by step."""
    for profile_ids in steps:
        await driver.execute(
            "INSERT INTO resolution_due (profile_ids, actor, reason) VALUES ($1::bigint[], $2, $3)",
            profile_ids,
            actor,
            reason,
        )


async def survey_due(driver: Driver) -> int | None:
    """The number of the survey that is due, if one is."""
    number: int | None = await driver.fetchval(
        "SELECT min(id) FROM resolution_due WHERE profile_ids IS NULL"
    )
    return number


async def take(driver: Driver, survey: int | None = None) -> Due | None:
    """Take the next step that nobody is at, or a survey; it is back if the transaction fails."""
    row = await driver.fetchrow(
        "DELETE FROM resolution_due WHERE id = (SELECT id FROM resolution_due"
        " WHERE CASE WHEN $1::bigint IS NULL THEN profile_ids IS NOT NULL ELSE id = $1 END"
        " ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING profile_ids, actor, reason",
        survey,
    )
    return None if row is None else Due(row["profile_ids"] or (), row["actor"], row["reason"])


async def forget(driver: Driver) -> None:
    """Nobody is due any more: everybody was resolved, or will be."""
    await driver.execute("DELETE FROM resolution_due")
